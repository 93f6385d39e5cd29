//! Many at once: clients that work, sockets that say nothing, cancel requests that fit nobody.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use eddyline_tests::http::Endpoint;
use eddyline_tests::server::Server;
use eddyline_tests::services::process::wait_for;

use super::TABLES;
use super::abuse::{connect, memory_kib, startup, until_closed};

const LIMIT: Duration = Duration::from_secs(60);
/// More than this is not flat.
const GROWTH_KIB: u64 = 60_000;

/// A metric without labels.
pub(super) fn metric(endpoint: &Endpoint, name: &str) -> u64 {
    let metrics = endpoint.get("/metrics").body;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap_or("0");
    line.parse().expect("a whole number")
}

#[test]
fn two_hundred_clients_look_at_the_catalog_and_read_streams_at_once() {
    let server = Server::start_with(&["--http", "127.0.0.1:0"]);
    let endpoint = Endpoint::announced(|| server.output());
    server.psql("CREATE TABLE drops (k BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '20')");
    let script = "
import asyncio, asyncpg, os
CLIENTS = 200
async def one(i, all_here):
    c = await asyncpg.connect(host='127.0.0.1', port=os.environ['PORT'], user='ada', timeout=120)
    assert await c.fetchval('SELECT CAST($1 AS INT)', i) == i
    found = await c.fetch(\"SELECT relname FROM pg_catalog.pg_class WHERE relname = 'drops'\")
    assert [tuple(r) for r in found] == [('drops',)], found
    async with c.transaction():
        cursor = await c.cursor('SELECT k FROM drops')
        # One by one: asyncpg takes fewer rows than it asks for as the end.
        rows = [await cursor.fetchrow() for _ in range(3)]
        # Nobody stops reading before all others read.
        await all_here.wait()
        rows.append(await cursor.fetchrow())
    await c.close()
    return sum(row is not None for row in rows)
async def main():
    all_here = asyncio.Barrier(CLIENTS)
    counts = await asyncio.gather(*[one(i, all_here) for i in range(CLIENTS)])
    print(len(counts), min(counts))
asyncio.run(main())";
    assert_eq!(server.python(script), "200 4");
    wait_for("the queries to end with their readers", LIMIT, || {
        (metric(&endpoint, "eddyline_queries") == 0).then_some(())
    });
}

#[test]
fn thousands_of_idle_sockets_take_no_memory_and_keep_nobody_out() {
    let server = Server::start_with(&["--http", "127.0.0.1:0", "--login-timeout", "600", "--max-connections", "50"]);
    let endpoint = Endpoint::announced(|| server.output());
    server.psql(TABLES);
    let mut guest = connect(&server);
    guest.write_all(&startup("ada")).expect("a socket");
    wait_for("the guest to be in", LIMIT, || (metric(&endpoint, "eddyline_pg_connections") == 1).then_some(()));
    let before = memory_kib(&server);
    let mut idle: Vec<TcpStream> = (0..3_000).map(|_| connect(&server)).collect();
    // A byte each, as if something were to come.
    idle.iter_mut().for_each(|stream| drop(stream.write_all(&[0])));
    wait_for("all but 114 to be sent away", LIMIT, || {
        (metric(&endpoint, "eddyline_pg_refused_total") >= 3_000 - 114).then_some(())
    });
    assert_eq!(server.psql("SHOW TABLES").lines().count(), 3, "a newcomer is served");
    guest.write_all(b"Q\0\0\0\x0dSELECT 1\0").expect("a socket");
    let mut answer = Vec::new();
    while !answer.windows(8).any(|window| window == b"SELECT 1") {
        let mut some = [0; 1024];
        let read = guest.read(&mut some).expect("an answer");
        assert!(read > 0, "the guest is still in");
        answer.extend_from_slice(&some[..read]);
    }
    let grown = memory_kib(&server).saturating_sub(before);
    assert!(grown < GROWTH_KIB, "{grown} KiB");
}

/// Reads messages until the server waits for a statement; gives the number and the secret that cancel its statements.
fn cancel_key(stream: &mut TcpStream) -> [i32; 2] {
    let mut key = [0; 2];
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head).expect("a message");
        let [kind, length @ ..] = head;
        let mut body = vec![0; i32::from_be_bytes(length) as usize - 4];
        stream.read_exact(&mut body).expect("a message");
        let word = |at: usize| i32::from_be_bytes(body[at..at + 4].try_into().expect("four bytes"));
        match kind {
            b'K' => key = [word(0), word(4)],
            b'Z' => return key,
            _ => {}
        }
    }
}

#[test]
fn of_a_flood_of_cancel_requests_only_the_right_one_cancels() {
    let server = Server::start_with(&["--http", "127.0.0.1:0"]);
    let endpoint = Endpoint::announced(|| server.output());
    server.psql(TABLES);
    let mut reader = connect(&server);
    reader.write_all(&startup("ada")).expect("a socket");
    let [number, secret] = cancel_key(&mut reader);
    let query = b"SELECT k FROM ticks\0";
    let length = u8::try_from(query.len() + 4).expect("a short message");
    reader.write_all(&[&[b'Q', 0, 0, 0, length], &query[..]].concat()).expect("a socket");
    wait_for("the query", LIMIT, || (metric(&endpoint, "eddyline_queries") == 1).then_some(()));
    let before = memory_kib(&server);
    const WAVES: i32 = 10;
    const WAVE: i32 = 300;
    // Length 16, the code of cancel requests, a connection, a secret.
    let request = |number: i32, secret: i32| {
        [16, 80_877_102, number, secret].iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>()
    };
    for wave in 0..WAVES {
        // All of a wave are there before the first says anything.
        let mut streams: Vec<TcpStream> = (0..WAVE).map(|_| connect(&server)).collect();
        for (guess, stream) in (wave * WAVE..).zip(&mut streams) {
            // Connections that exist, secrets that do not.
            let guessed = if guess == secret { guess - 1 } else { guess };
            stream.write_all(&request(number - guess % 2, guessed)).expect("a socket");
        }
        for stream in streams {
            assert_eq!(until_closed(stream), "", "nobody learns whether it fits");
        }
        assert_eq!(server.psql("SELECT 1"), "1");
    }
    assert_eq!(metric(&endpoint, "eddyline_pg_cancels_total"), (WAVES * WAVE) as u64);
    assert_eq!(metric(&endpoint, "eddyline_queries"), 1, "the query goes on");
    let mut bytes = [0; 4096];
    assert!(reader.read(&mut bytes).expect("rows") > 0);
    let grown = memory_kib(&server).saturating_sub(before);
    assert!(grown < GROWTH_KIB, "{grown} KiB");
    let mut streams: Vec<TcpStream> = (0..WAVE).map(|_| connect(&server)).collect();
    for (guess, stream) in streams.iter_mut().enumerate() {
        let guessed = if guess == 150 { secret } else { secret.wrapping_add(guess as i32 + 1) };
        stream.write_all(&request(number, guessed)).expect("a socket");
    }
    wait_for("the right one to cancel", LIMIT, || (metric(&endpoint, "eddyline_queries") == 0).then_some(()));
    assert_eq!(server.psql("SELECT 1"), "1");
}
