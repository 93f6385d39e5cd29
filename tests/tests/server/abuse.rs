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

/// Resident memory of the server.
pub fn memory_kib(server: &Server) -> u64 {
    let pid = server.process_id();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the server runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("a size");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

#[test]
fn huge_and_nonsensical_frames_before_login_are_refused() {
    let server = Server::start();
    let before = memory_kib(&server);
    for head in [[0x7f, 0xff, 0xff, 0xff], [0, 0, 0, 3], [0xff, 0xff, 0xff, 0xff], *b"GET "] {
        let mut stream = connect(&server);
        stream.write_all(&head).expect("a socket");
        // Whether the server still listens does not matter.
        let _ = stream.write_all(&[b'x'; 20_000]);
        until_closed(stream);
    }
    assert_eq!(server.psql("SELECT 1"), "1");
    let grown = memory_kib(&server).saturating_sub(before);
    assert!(grown < 100_000, "{grown} KiB");
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
    let server = Server::start_with(&["--login-timeout", "2"]);
    let mut slow = connect(&server);
    slow.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    let begun = std::time::Instant::now();
    // A byte, then a wait for whatever the server says: long before the message is complete, the end.
    let message = startup(&"a".repeat(500));
    let sent = message.iter().take_while(|byte| {
        let written = slow.write_all(&[**byte]).is_ok();
        let waiting = matches!(slow.read(&mut [0; 1]), Err(error) if error.kind() == ErrorKind::WouldBlock);
        written && waiting
    });
    let sent = sent.count();
    assert!(sent > 0 && sent < 100, "{sent} bytes of {}", message.len());
    assert!(begun.elapsed() >= Duration::from_secs(2) && begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
    assert_eq!(server.psql("SELECT 1"), "1");
}
