//! Following a materialized view.

use std::time::Duration;

use eddyline_tests::server::Server;
use eddyline_tests::services::kafka;
use eddyline_tests::services::process::wait_for;

const LIMIT: Duration = Duration::from_secs(60);

/// Reads the first version, says so, and reads what changes.
const SCRIPT: &str = r#"
import os, psycopg
with psycopg.connect(host='127.0.0.1', port=os.environ['PORT'], user='ada', autocommit=True) as connection:
    def rows():
        while True:
            yield from connection.execute('FETCH 10 FROM c').fetchall()
    connection.execute('BEGIN')
    connection.execute('DECLARE c CURSOR FOR SUBSCRIBE TO totals')
    row = rows()
    first = [next(row), next(row)]
    print(sorted((op, who, total) for op, _, who, total in first), first[0][1] == first[1][1])
    open(os.path.join(os.environ['FOLDER'], 'ready'), 'w').close()
    changes = [next(row), next(row)]
    print([(op, who, total) for op, _, who, total in changes])
    print(changes[0][1] == changes[1][1] > first[0][1])
"#;

#[test]
fn a_subscription_gives_the_rows_and_then_what_changes() {
    let (server, broker) = (Server::start(), kafka::shared());
    let topic = broker.fresh_topic("payments", 1);
    broker.produce_lines(&topic, 1, ["ada,1", "bob,2"]);
    server.psql(&format!(
        "CREATE TABLE payments (who STRING, amount INT) WITH ('connector' = 'kafka', 'topic' = '{topic}',
           'format' = 'csv', 'properties.bootstrap.servers' = '{}', 'scan.startup.mode' = 'earliest-offset');
         CREATE MATERIALIZED VIEW totals AS SELECT who, SUM(amount) AS total FROM payments GROUP BY who;",
        broker.bootstrap()
    ));
    let count = || (server.psql("SELECT COUNT(*) FROM totals") == "2").then_some(());
    wait_for("both rows to be in the view", LIMIT, count);
    let reader = server.start_python(SCRIPT);
    wait_for("the first version to be read", LIMIT, || server.folder().join("ready").exists().then_some(()));
    // Versions in which nothing changes are passed over.
    let checkpoints = || server.psql("SHOW CHECKPOINTS").lines().count();
    let before = checkpoints();
    wait_for("some more versions", LIMIT, || (checkpoints() > before + 2).then_some(()));
    assert_eq!(server.job_status("subscribe"), "RUNNING", "it is listed");
    broker.produce_lines(&topic, 1, ["ada,5"]);
    let output = reader.wait_with_output().expect("the reader ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected = "[('+I', 'ada', 1), ('+I', 'bob', 2)] True\n[('-U', 'ada', 1), ('+U', 'ada', 6)]\nTrue";
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), expected);
    wait_for("the subscription to end", LIMIT, || (server.job_status("subscribe") != "RUNNING").then_some(()));
    let refused = server.psql_error("SUBSCRIBE TO payments");
    assert!(refused.contains("neither a materialized view") && refused.contains("HINT"), "{refused}");
    assert!(server.psql_error("SUBSCRIBE TO nothing").contains("42P01"));
}
