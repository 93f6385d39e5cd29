//! Following a materialized view.

use eddyline_tests::server::Server;

/// Three payments, of which the last waits in a file that appears later.
const SCRIPT: &str = r#"
import os, psycopg
with psycopg.connect(host='127.0.0.1', port=os.environ['PORT'], user='ada', autocommit=True) as connection:
    connection.execute("BEGIN")
    connection.execute("DECLARE c CURSOR FOR SUBSCRIBE TO totals")
    first = connection.execute("FETCH 2 FROM c")
    print([column.name for column in first.description])
    rows = first.fetchall()
    print(sorted((op, who, total) for op, _, who, total in rows), len({epoch for _, epoch, _, _ in rows}))
    with open(os.path.join(os.environ['FOLDER'], 'payments', 'later.csv.part'), 'w') as file:
        file.write("ada,5\n")
    os.rename(os.path.join(os.environ['FOLDER'], 'payments', 'later.csv.part'),
              os.path.join(os.environ['FOLDER'], 'payments', 'later.csv'))
    changes = connection.execute("FETCH 2 FROM c").fetchall()
    print([(op, who, total) for op, _, who, total in changes])
    print(changes[0][1] == changes[1][1] > rows[0][1])
"#;

#[test]
fn a_subscription_gives_the_rows_and_then_what_changes() {
    let server = Server::start();
    let payments = server.folder().join("payments");
    std::fs::create_dir(&payments).expect("a folder");
    std::fs::write(payments.join("first.csv"), "ada,1\nbob,2\n").expect("a file");
    server.psql(&format!(
        "CREATE TABLE payments (who STRING, amount INT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv',
           'source.monitor-interval' = '100 ms');
         CREATE MATERIALIZED VIEW totals AS SELECT who, SUM(amount) AS total FROM payments GROUP BY who;",
        payments.display()
    ));
    let told = server.python(SCRIPT);
    let expected = "['op', 'epoch', 'who', 'total']\n[('+I', 'ada', 1), ('+I', 'bob', 2)] 1\n\
                    [('-U', 'ada', 1), ('+U', 'ada', 6)]\nTrue";
    assert_eq!(told.trim(), expected);
    let refused = server.psql_error("SUBSCRIBE TO payments");
    assert!(refused.contains("not a materialized view") && refused.contains("HINT"), "{refused}");
    assert!(server.psql_error("SUBSCRIBE TO nothing").contains("42P01"));
}
