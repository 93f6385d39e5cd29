//! Rows of an endless query reach their reader one by one, each before the next is made.

use std::time::Duration;

use eddyline_tests::server::Server;
use eddyline_tests::services::kafka;
use eddyline_tests::services::process::wait_for;

const LIMIT: Duration = Duration::from_secs(60);
const ROWS: usize = 5;

/// Readers of the same query by every means of the wire; each notes in a file of its own what it has got.
const READERS: &str = "
import asyncio, os, signal, threading, asyncpg, psycopg
signal.alarm(100)
QUERY = 'SELECT n FROM numbers'
def connect():
    return psycopg.connect(host='127.0.0.1', port=os.environ['PORT'], user='ada', autocommit=True)
def note(file, row):
    print(row, file=file, flush=True)
def plain(c, file):
    for _, (n,) in zip(range(5), c.cursor().stream(QUERY)):
        note(file, n)
def cursor(c, file):
    with c.transaction(), c.cursor('walk') as walk:
        walk.execute(QUERY)
        for _ in range(5):
            note(file, walk.fetchone()[0])
def copy(c, file):
    with c.cursor().copy(f'COPY ({QUERY}) TO STDOUT') as rows:
        for _, row in zip(range(5), rows.rows()):
            note(file, row[0])
        c.cancel_safe()
        try:
            while rows.read():
                pass
        except psycopg.errors.QueryCanceled:
            pass
async def pages():
    c = await asyncpg.connect(host='127.0.0.1', port=os.environ['PORT'], user='ada')
    with open(os.environ['FOLDER'] + '/pages', 'w') as file:
        async with c.transaction():
            walk = await c.cursor(QUERY)
            for _ in range(5):
                note(file, (await walk.fetchrow())['n'])
    await c.close()
done = []
def read(work):
    with connect() as c, open(os.environ['FOLDER'] + '/' + work.__name__, 'w') as file:
        work(c, file)
    done.append(work)
threads = [threading.Thread(target=read, args=(work,)) for work in (plain, cursor, copy)]
[thread.start() for thread in threads]
asyncio.run(pages())
[thread.join() for thread in threads]
assert len(done) == 3, done
";

#[test]
fn rows_reach_every_reader_before_the_next_is_made() {
    let (server, broker) = (Server::start(), kafka::shared());
    let topic = broker.fresh_topic("numbers", 1);
    server.psql(&format!(
        "CREATE TABLE numbers (n INT) WITH ('connector' = 'kafka', 'topic' = '{topic}', 'format' = 'csv',
           'properties.bootstrap.servers' = '{}', 'scan.startup.mode' = 'earliest-offset')",
        broker.bootstrap()
    ));
    let readers = server.start_python(READERS);
    let noted = |name: &str| std::fs::read_to_string(server.folder().join(name)).unwrap_or_default();
    let mut wanted = String::new();
    for row in 1..=ROWS {
        broker.produce_lines(&topic, 1, [row.to_string()]);
        wanted += &format!("{row}\n");
        for name in ["plain", "cursor", "copy", "pages"] {
            wait_for(&format!("row {row} in '{name}'"), LIMIT, || (noted(name) == wanted).then_some(()));
        }
    }
    let ended = readers.wait_with_output().expect("a child of ours");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}
