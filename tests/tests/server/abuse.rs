//! Clients that misbehave: they are refused, and others are served.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use eddyline_tests::server::Server;
use eddyline_tests::services::process::wait_for;

use super::TABLES;

const LIMIT: Duration = Duration::from_secs(30);

/// A socket to the server.
pub fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", server.port())).expect("the server listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
    stream
}

/// What the server sends until it closes the connection.
pub fn until_closed(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        // It closes without reading what it does not want.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the server does not close the connection: {error}"),
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The startup message of a user.
pub fn startup(user: &str) -> Vec<u8> {
    let body = [&196_608_i32.to_be_bytes()[..], b"user\0", user.as_bytes(), b"\0\0"].concat();
    [&i32::try_from(body.len() + 4).expect("a short message").to_be_bytes()[..], &body].concat()
}

/// Resident memory of the server, which has executed a statement before.
pub fn memory_kib(server: &Server) -> u64 {
    let pid = server.process_id();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the server runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("a size");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

#[test]
fn huge_and_nonsensical_frames_before_login_are_refused_at_once() {
    // Only the frame can be the reason for the end: the time for a login is far longer than the test.
    let server = Server::start_with(&["--login-timeout", "3600"]);
    assert_eq!(server.psql("SELECT 1"), "1");
    let before = memory_kib(&server);
    let refusals = [
        (&[0x7f, 0xff, 0xff, 0xff][..], "expected max 10000"),
        (&[0, 0, 0x27, 0x11], "expected max 10000"),
        (&[0, 0, 0, 3], "08P01"),
        (&[0xff, 0xff, 0xff, 0xff], "08P01"),
        (b"GET ", "expected max 10000"),
    ];
    for (head, reason) in refusals {
        let mut stream = connect(&server);
        // The rest of the frame does not come: its length is enough.
        stream.write_all(head).expect("a socket");
        stream.write_all(&[0, 3, 0, 0]).expect("a socket");
        let said = until_closed(stream);
        assert!(said.contains("08P01") && said.contains(reason), "{head:?}: {said}");
    }
    // A frame of the largest size is waited for.
    let mut largest = connect(&server);
    largest.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    largest.write_all(&[0, 0, 0x27, 0x10, 0, 3, 0, 0]).expect("a socket");
    let waiting = largest.read(&mut [0; 1]).expect_err("the server waits");
    assert_eq!(waiting.kind(), ErrorKind::WouldBlock);
    assert_eq!(server.psql("SELECT 1"), "1");
    let grown = memory_kib(&server).saturating_sub(before);
    assert!(grown < 20_000, "{grown} KiB");
}

/// The sockets of many that each send as much as the server takes of what they have announced.
fn senders(server: &Server, count: usize, head: &[u8], announced: usize) -> Vec<TcpStream> {
    let one = || {
        let mut stream = connect(server);
        stream.write_all(&startup("ada")).expect("a socket");
        let mut answer = [0; 24];
        stream.read_exact(&mut answer).expect("the server asks for a password");
        assert_eq!(&answer[..], b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0");
        let length = i32::try_from(announced + 4).expect("a length").to_be_bytes();
        stream.write_all(&[b"p", &length[..], head].concat()).expect("a socket");
        stream
    };
    (0..count).map(|_| one()).collect()
}

#[test]
fn huge_frames_in_the_place_of_a_password_are_refused_by_their_length() {
    let folder = super::logins::folder();
    let server = Server::start_in(folder, &["--user-file", "users", "--login-timeout", "3600"]);
    let before = memory_kib(&server);
    for announced in [10_000, 60_000_000, 0x7fff_fff0] {
        for mut stream in senders(&server, 30, b"SCRAM-SHA-256\0", announced) {
            // Whether the server still listens does not matter.
            let _ = stream.write_all(&[b'x'; 100_000]);
            let said = until_closed(stream);
            assert!(said.is_empty() || said.contains("28P01"), "{said}");
        }
    }
    let grown = memory_kib(&server).saturating_sub(before);
    assert!(grown < 20_000, "{grown} KiB");
    // Smaller ones are waited for.
    let mut waiting = senders(&server, 1, b"SCRAM-SHA-256\0", 9_000).remove(0);
    waiting.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    assert_eq!(waiting.read(&mut [0; 1]).expect_err("the server waits").kind(), ErrorKind::WouldBlock);
}

#[test]
fn large_messages_after_login_are_refused_by_their_length() {
    let server = Server::start_with(&["--max-message-size", "100000"]);
    let mut stream = connect(&server);
    stream.write_all(&startup("ada")).expect("a socket");
    stream.write_all(&[b'Q', 0x3f, 0, 0, 0]).expect("a socket");
    assert!(until_closed(stream).contains("08P01"));
    assert_eq!(server.psql("SELECT 1"), "1");
}

#[test]
fn slow_logins_end_and_the_limit_of_connections_holds() {
    let server = Server::start_with(&["--login-timeout", "2", "--max-connections", "3"]);
    let idle: Vec<TcpStream> = (0..60).map(|_| connect(&server)).collect();
    let guests: Vec<TcpStream> = (0..3)
        .map(|_| {
            let mut stream = connect(&server);
            stream.write_all(&startup("ada")).expect("a socket");
            let mut first = [0; 1];
            stream.read_exact(&mut first).expect("a welcome");
            assert_eq!(&first, b"R");
            stream
        })
        .collect();
    let mut fourth = connect(&server);
    fourth.write_all(&startup("ada")).expect("a socket");
    assert!(until_closed(fourth).contains("53300"));
    idle.into_iter().for_each(|stream| assert_eq!(until_closed(stream), ""));
    drop(guests);
    wait_for("a free place", LIMIT, || {
        let output = server.psql_command(&["-A", "-t", "-c", "SELECT 1"]).output().expect("psql can be run");
        output.status.success().then_some(())
    });
}

#[test]
fn a_reader_that_stops_reading_stops_nobody_else() {
    let server = Server::start();
    server.psql(TABLES);
    server.psql("CREATE TABLE flood (k BIGINT, name STRING) WITH ('connector' = 'datagen')");
    server.psql("SET pipeline.name = 'job'; INSERT INTO counts SELECT k, 1, CURRENT_TIMESTAMP FROM odd");
    let mut lazy = connect(&server);
    lazy.write_all(&startup("ada")).expect("a socket");
    let query = b"SELECT * FROM flood\0";
    let length = i32::try_from(query.len() + 4).expect("a short message").to_be_bytes();
    lazy.write_all(&[b"Q", &length[..], query].concat()).expect("a socket");
    let read = |name: &str| {
        let jobs = server.psql("SHOW JOBS");
        let line = jobs.lines().find(|line| line.split('|').nth(1) == Some(name)).unwrap_or_default().to_string();
        line.split('|').nth(4).and_then(|rows| rows.parse::<u64>().ok()).unwrap_or(0)
    };
    // Its query fills the buffers on the way and then stands still; the job of another goes on.
    let mut last = 0;
    wait_for("the query of the lazy reader to be held back", LIMIT, || {
        let (now, before) = (read("select"), std::mem::replace(&mut last, read("select")));
        (now > 0 && now == before).then_some(())
    });
    let held = read("select");
    let job = read("job");
    wait_for("the job to go on", LIMIT, || (read("job") > job + 500).then_some(()));
    assert_eq!(read("select"), held);
    assert!(server.psql("SELECT 1") == "1" && memory_kib(&server) < 1_500_000);
    drop(lazy);
    wait_for("the query to end with its reader", LIMIT, || {
        (!server.psql("SHOW JOBS").contains("|select|")).then_some(())
    });
}

#[test]
fn one_byte_after_the_other_is_no_login() {
    const SLOW: usize = 300;
    const TIMEOUT: Duration = Duration::from_secs(4);
    let server = Server::start_with(&["--login-timeout", "4", "--max-connections", "400"]);
    assert_eq!(server.psql("SELECT 1"), "1");
    let before = memory_kib(&server);
    let begun = std::time::Instant::now();
    let mut slow: Vec<TcpStream> = (0..SLOW).map(|_| connect(&server)).collect();
    slow.iter().for_each(|stream| stream.set_nonblocking(true).expect("a socket"));
    // A byte each, then a wait for whatever the server says: long before the messages are complete, the end.
    let message = startup(&"a".repeat(9_000));
    let mut sent = 0;
    wait_for("the end of all slow logins", LIMIT, || {
        let byte = &message[sent..=sent];
        sent += 1;
        slow.retain_mut(|stream| {
            let written = stream.write_all(byte).is_ok();
            written && matches!(stream.read(&mut [0; 1]), Err(error) if error.kind() == ErrorKind::WouldBlock)
        });
        // None of them began earlier, so none ends before this.
        if begun.elapsed() < TIMEOUT {
            assert_eq!(slow.len(), SLOW, "they wait");
            assert_eq!(server.psql("SELECT 1"), "1", "others are served");
        }
        slow.is_empty().then_some(())
    });
    let grown = memory_kib(&server).saturating_sub(before);
    assert!(grown < 30_000, "{grown} KiB");
    assert_eq!(server.psql("SELECT 1"), "1");
}
