//! Readers that are slow or stop reading: of a view, of what changes in it, of a copy of both. They hold back nobody, and
//! what they have not taken is kept nowhere.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use eddyline_tests::server::Server;
use eddyline_tests::services::process::wait_for;

use super::abuse::{connect, memory_kib, startup};

const LIMIT: Duration = Duration::from_secs(60);

/// A view of 20 000 rows of which half change with each version, some times a second.
const FLOOD: &str = "
CREATE TABLE flood (k BIGINT, name STRING) WITH ('connector' = 'datagen', 'rows-per-second' = '50000',
  'fields.k.min' = '1', 'fields.k.max' = '20000', 'fields.name.length' = '150');
SET execution.checkpointing.interval = '300 ms';
CREATE MATERIALIZED VIEW latest AS SELECT k, COUNT(*) AS n, MAX(name) AS name FROM flood GROUP BY k";

/// A client that sends statements and reads nothing, ever.
fn lazy(server: &Server, statements: &[&str]) -> TcpStream {
    let mut stream = connect(server);
    stream.write_all(&startup("ada")).expect("a socket");
    for sql in statements {
        let length = i32::try_from(sql.len() + 5).expect("a short statement").to_be_bytes();
        stream.write_all(&[b"Q", &length[..], sql.as_bytes(), b"\0"].concat()).expect("a socket");
    }
    stream
}

/// Follows the view: reads a row, waits for the file `go`, and reads on until it has caught up. What it has read adds up to
/// as many rows of the source as are in a version of the view.
const SLEEPER: &str = "
import os, signal, time, psycopg
signal.alarm(100)
def connect():
    return psycopg.connect(host='127.0.0.1', port=os.environ['PORT'], user='ada', autocommit=True)
folder, counts, epochs, goal = os.environ['FOLDER'], {}, [], None
def look():
    with connect() as other:
        return other.execute('SELECT SUM(n) FROM latest').fetchone()[0]
with connect() as c:
    for op, epoch, k, n, name in c.cursor().stream('SUBSCRIBE TO latest'):
        if not epochs:
            open(folder + '/asleep', 'w').close()
            while not os.path.exists(folder + '/go'):
                time.sleep(0.01)
            goal = look()
        if not epochs or epochs[-1] != epoch:
            if goal and sum(counts.values()) >= goal:
                break
            epochs.append(epoch)
        if op in ('+I', '+U'):
            assert k not in counts, (op, k)
            counts[k] = n
        else:
            assert counts.pop(k) == n, (op, k, n)
assert epochs == sorted(set(epochs))
passed_over = epochs[-1] - epochs[0] + 1 - len(epochs)
print(passed_over > 5, len(counts) <= 20000)
";

#[test]
fn slow_readers_of_a_view_hold_back_nobody_and_are_kept_nothing_for() {
    let server = Server::start();
    server.psql(FLOOD);
    let number = |sql: &str| server.psql(sql).parse::<u64>().unwrap_or(0);
    let published = || number("SELECT SUM(n) FROM latest");
    wait_for("the view to be full", LIMIT, || (number("SELECT COUNT(*) FROM latest") > 19_000).then_some(()));
    let cursor = "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM latest";
    let lazy_ones = [
        lazy(&server, &["SUBSCRIBE TO latest"]),
        lazy(&server, &["COPY (SUBSCRIBE TO latest) TO STDOUT"]),
        lazy(&server, &["SELECT * FROM latest a, latest b WHERE a.n > b.n"]),
        lazy(&server, &[cursor, "FETCH 10 FROM c"]),
        lazy(&server, &["DECLARE c CURSOR WITH HOLD FOR SUBSCRIBE TO latest", "FETCH ALL FROM c"]),
    ];
    let sleeper = server.start_python(SLEEPER);
    wait_for("the sleeper", LIMIT, || server.folder().join("asleep").exists().then_some(()));
    // At first what lies between the view and each of them fills up; then the view goes on, and nothing more is kept.
    let versions = |count: usize| {
        for _ in 0..count {
            let before = published();
            wait_for("another version", LIMIT, || (published() > before).then_some(()));
        }
    };
    versions(30);
    let before = memory_kib(&server);
    versions(30);
    let grown = memory_kib(&server).saturating_sub(before);
    assert!(grown < 100_000, "{grown} KiB");
    assert!(!server.psql("SHOW CHECKPOINTS").contains("FAILED"));
    std::fs::write(server.folder().join("go"), "").expect("a writable folder");
    let output = sleeper.wait_with_output().expect("a child of ours");
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.trim(), "True True", "{errors}");
    drop(lazy_ones);
    wait_for("their queries to end", LIMIT, || {
        let jobs = server.psql("SHOW JOBS");
        (jobs.lines().filter(|line| line.contains("|RUNNING|")).count() == 1).then_some(())
    });
}
