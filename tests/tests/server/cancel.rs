//! Statements that wait for something come to an end when their user has enough of it: by a cancel request, by a timeout,
//! and when the client is gone.

use std::time::Duration;

use eddyline_tests::http::Endpoint;
use eddyline_tests::server::Server;
use eddyline_tests::services::kafka::Kafka;
use eddyline_tests::services::process::wait_for;

use super::crowd::metric;

/// Far less than any of the statements would take by itself.
const LIMIT: Duration = Duration::from_secs(40);

/// Tables of our own, a source that takes its time, and one that never ends.
const TABLES: &str = "
CREATE TABLE numbers (id INT PRIMARY KEY, n INT);
INSERT INTO numbers VALUES (1, 0);
CREATE TABLE slow (k INT) WITH ('connector' = 'datagen', 'number-of-rows' = '100', 'rows-per-second' = '1',
  'fields.k.kind' = 'sequence', 'fields.k.start' = '1', 'fields.k.end' = '100');
CREATE TABLE sequence (k INT) WITH ('connector' = 'datagen', 'number-of-rows' = '4000',
  'fields.k.kind' = 'sequence', 'fields.k.start' = '1', 'fields.k.end' = '4000');
CREATE TABLE many (k INT PRIMARY KEY);
INSERT INTO many SELECT k FROM sequence;
CREATE TABLE ticks (k INT) WITH ('connector' = 'datagen', 'rows-per-second' = '100');
";

const CANCEL: &str = r#"
import os, signal, threading, psycopg
signal.alarm(40)
connect = lambda: psycopg.connect(host='127.0.0.1', port=os.environ['PORT'], user='ada', autocommit=True)
with connect() as c, connect() as other:
    def ends(sql, cancel, wanted):
        done = threading.Event()
        def ask():
            # The statement may not have begun when the first request comes.
            while not done.wait(0.1):
                c.cancel_safe()
        asker = threading.Thread(target=ask)
        if cancel: asker.start()
        try:
            c.execute(sql).fetchall()
            print(sql, 'has ended by itself')
        except psycopg.errors.QueryCanceled as e:
            print(wanted in str(e) or str(e))
        finally:
            done.set()
            if cancel: asker.join()
    long = '''DELETE FROM numbers WHERE EXISTS (SELECT 1 FROM many AS a JOIN (many AS b JOIN (many AS c JOIN many AS d
              ON c.k + d.k > 0) ON b.k + c.k > 0) ON a.k * b.k * c.k * d.k < 0)'''
    for sql in ['FLUSH', long, 'INSERT INTO numbers SELECT k, 1 FROM slow', 'SELECT k FROM ticks']:
        ends(sql, True, 'cancel')
    # Nobody holds the table any more.
    print(other.execute('UPDATE numbers SET n = 0').rowcount)
    c.execute("SET statement_timeout = '300ms'")
    for sql in ['FLUSH', 'SELECT k FROM ticks', long, 'INSERT INTO numbers SELECT k, 1 FROM slow']:
        ends(sql, False, 'canceling statement due to statement timeout')
    print(c.execute('SELECT COUNT(*) FROM numbers').fetchone())
    c.execute('RESET statement_timeout')
    try: c.execute("SET statement_timeout = 'soon'")
    except psycopg.errors.InvalidParameterValue as e: print(e)
"#;

#[test]
fn what_waits_is_cancelled_and_nothing_is_changed() {
    let broker = Kafka::start();
    let topic = broker.fresh_topic("away", 1);
    let mut server = Server::start();
    server.psql(TABLES);
    server.psql(&format!(
        "CREATE TABLE away (n BIGINT) WITH ('connector' = 'kafka', 'topic' = '{topic}', 'format' = 'csv',
           'properties.bootstrap.servers' = '{}', 'scan.startup.mode' = 'earliest-offset');
         CREATE MATERIALIZED VIEW both AS SELECT n FROM away UNION ALL SELECT n FROM numbers; FLUSH",
        broker.bootstrap()
    ));
    // Without its broker the view cannot show what is written from now on.
    server.kill();
    drop(broker);
    server.start_again();
    server.psql("INSERT INTO numbers VALUES (2, 0)");
    let output = server.python(CANCEL);
    let lines: Vec<&str> = output.lines().collect();
    let expected = [
        "True",
        "True",
        "True",
        "True",
        "2",
        "True",
        "True",
        "True",
        "True",
        "(2,)",
        "invalid value for parameter \"statement_timeout\": \"soon\"",
        "HINT:  write 500, '500ms', '5s' or '1min'",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_client_that_is_gone_leaves_no_statement_behind() {
    let server = Server::start_with(&["--http", "127.0.0.1:0"]);
    let endpoint = Endpoint::announced(|| server.output());
    server.psql(TABLES);
    let connections = |wanted: u64| {
        let count = || (metric(&endpoint, "eddyline_pg_connections") == wanted).then_some(());
        wait_for(&format!("{wanted} connections"), LIMIT, count);
    };
    let long =
        "DELETE FROM numbers WHERE EXISTS (SELECT 1 FROM many AS a JOIN (many AS b JOIN (many AS c JOIN many AS d
                ON c.k + d.k > 0) ON b.k + c.k > 0) ON a.k * b.k * c.k * d.k < 0)";
    for sql in ["INSERT INTO numbers SELECT k, 1 FROM slow", long] {
        connections(0);
        let mut psql = server.psql_command(&["-c", sql]).spawn().expect("psql can be run");
        connections(1);
        psql.kill().expect("psql can be killed");
        psql.wait().expect("psql ends");
        connections(0);
    }
    assert_eq!(server.psql("UPDATE numbers SET n = 0; SELECT id, n FROM numbers"), "1|0", "nobody holds the table");
}

#[test]
fn a_query_that_needs_too_much_memory_fails_alone_and_fills_no_disk() {
    let server = Server::start();
    server.psql(TABLES);
    // The left side of the upper join, which is kept, has 16 million rows.
    let wide = "SELECT COUNT(*) FROM many AS a JOIN many AS b ON a.k + b.k > 0 JOIN many AS c ON a.k + b.k + c.k < 0";
    let wide = wide.replace("many AS b", "(SELECT k, CAST(k AS STRING) || REPEAT('x', 200) AS text FROM many) AS b");
    let error = server.psql_error(&wide.replace("c.k < 0", "c.k < 0 AND CHAR_LENGTH(b.text) > c.k"));
    assert!(error.contains("54000") && error.contains("needs more memory"), "{error}");
    assert_eq!(server.psql("SELECT COUNT(*) FROM many"), "4000");
}
