//! Jobs that read materialized views: a join with an endless table, an INSERT into a sink; what they hold fast.

use std::time::Duration;

use eddyline_tests::server::Server;
use eddyline_tests::services::kafka;
use eddyline_tests::services::process::wait_for;

const LIMIT: Duration = Duration::from_secs(60);

/// A view of a table of our own.
const PRICES: &str = "
CREATE TABLE prices (item STRING NOT NULL, price INT, PRIMARY KEY (item) NOT ENFORCED);
INSERT INTO prices VALUES ('tea', 3), ('milk', 1);
CREATE MATERIALIZED VIEW current_prices AS SELECT item, price FROM prices;
FLUSH;
";

/// Follows the join and adds up its changes: prints when it has come to what each order costs, before and after.
const FOLLOWER: &str = r#"
import os, signal, psycopg
signal.alarm(60)
rows, wanted = {}, [{('tea', 6): 1, ('milk', 5): 1}, {('tea', 8): 1, ('milk', 5): 1}, {('tea', 8): 1, ('milk', 5): 1, ('tea', 4): 1}]
with psycopg.connect(host='127.0.0.1', port=os.environ['PORT'], user='ada', autocommit=True) as connection:
    connection.execute('BEGIN')
    connection.execute('''DECLARE c CURSOR FOR SELECT o.item, o.amount * p.price AS cost
        FROM orders o JOIN current_prices p ON o.item = p.item''')
    for step, wished in enumerate(wanted):
        while rows != wished:
            for op, item, cost in connection.execute('FETCH 10 FROM c').fetchall():
                count = rows.get((item, cost), 0) + (1 if op[0] == '+' else -1)
                rows[item, cost] = count
                assert count >= 0, (op, item, cost)
                if count == 0:
                    del rows[item, cost]
        open(os.path.join(os.environ['FOLDER'], f'step{step}'), 'w').close()
print('ok')
"#;

#[test]
fn a_view_joined_to_an_endless_table_is_a_continuous_query() {
    let (server, broker) = (Server::start(), kafka::shared());
    let topic = broker.fresh_topic("orders", 1);
    broker.produce_lines(&topic, 1, ["tea,2", "milk,5", "water,1"]);
    server.psql(&format!(
        "{PRICES} CREATE TABLE orders (item STRING, amount INT) WITH ('connector' = 'kafka', 'topic' = '{topic}',
           'format' = 'csv', 'properties.bootstrap.servers' = '{}', 'scan.startup.mode' = 'earliest-offset')",
        broker.bootstrap()
    ));
    let follower = server.start_python(FOLLOWER);
    let reached = |step: usize| {
        wait_for("the follower", LIMIT, || server.folder().join(format!("step{step}")).exists().then_some(()));
    };
    reached(0);
    server.psql("UPDATE prices SET price = 4 WHERE item = 'tea'");
    reached(1);
    broker.produce_lines(&topic, 1, ["tea,1"]);
    let output = follower.wait_with_output().expect("the follower ends");
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.trim(), "ok", "{errors}");
}

#[test]
fn an_insert_from_a_view_keeps_its_sink_current_also_over_a_kill_and_holds_the_view() {
    let mut server = Server::start();
    let database = server.folder().join("kept.db");
    server.psql(&format!(
        "{PRICES} CREATE TABLE kept (item STRING NOT NULL, price INT, PRIMARY KEY (item) NOT ENFORCED)
           WITH ('connector' = 'jdbc', 'url' = 'jdbc:sqlite:{}', 'table-name' = 'kept');
         SET execution.checkpointing.interval = '200ms';
         INSERT INTO kept SELECT item, price * 10 FROM current_prices",
        database.display()
    ));
    let kept = |server: &Server, wanted: &str| {
        let script = "import os, sqlite3\n\
                      rows = sqlite3.connect(os.environ['FOLDER'] + '/kept.db').execute('SELECT * FROM kept ORDER BY 1')\n\
                      print(rows.fetchall())";
        wait_for(&format!("{wanted} in the sink"), LIMIT, || (server.python(script) == wanted).then_some(()));
    };
    kept(&server, "[('milk', 10), ('tea', 30)]");
    server.psql("UPDATE prices SET price = 4 WHERE item = 'tea'; DELETE FROM prices WHERE item = 'milk'");
    kept(&server, "[('tea', 40)]");
    server.kill();
    server.start_again();
    server.psql("INSERT INTO prices VALUES ('cake', 7); DELETE FROM prices WHERE item = 'tea'");
    kept(&server, "[('cake', 70)]");

    let name = "insert-into_default_catalog.default_database.kept";
    for drop in ["DROP MATERIALIZED VIEW current_prices", "DROP MATERIALIZED VIEW current_prices CASCADE"] {
        let refused = server.psql_error(drop);
        let reason = format!("cannot drop materialized view 'current_prices' because job '{name}' reads it");
        assert!(refused.contains("2BP01") && refused.contains(&reason), "{refused}");
        assert!(refused.contains("HINT:  STOP JOB '"), "{refused}");
    }
    assert_eq!(server.psql("SELECT item, price FROM current_prices"), "cake|7", "the view is still there");
    assert_eq!(server.job_status(name), "RUNNING");
    server.psql(&format!("STOP JOB '{name}'; DROP MATERIALIZED VIEW current_prices"));
    assert_eq!(server.psql("SHOW MATERIALIZED VIEWS"), "");
}

#[test]
fn lag_of_a_view_is_told_in_versions() {
    let server = Server::start();
    server.psql(&format!(
        "{PRICES} CREATE MATERIALIZED VIEW dear AS SELECT MAX(price) AS price FROM current_prices; FLUSH"
    ));
    server.psql("UPDATE prices SET price = 9 WHERE item = 'tea'; FLUSH");
    let jobs = server.psql("SHOW JOBS");
    let reader = jobs.lines().find(|line| line.contains(".dear|")).and_then(|line| line.split('|').next());
    let reader = reader.expect("the job of the upper view");
    wait_for("the newest version to be read", LIMIT, || {
        let lag = server.psql(&format!("SHOW LAG FOR JOB '{reader}'"));
        let fields: Vec<&str> = lag.split('|').collect();
        assert_eq!((fields[2], fields[3], fields[9]), ("current_prices", "relation", "ACTIVE"), "{lag}");
        let (position, end): (u64, u64) =
            (fields[4].parse().expect("a version"), fields[5].parse().expect("a version"));
        assert!(position <= end, "{lag}");
        (position == end && end > 1 && fields[6] == "0").then_some(())
    });
}

#[test]
fn a_row_that_took_the_place_of_another_stays_when_that_one_goes() {
    let server = Server::start();
    server.psql(
        "CREATE TABLE people (id INT NOT NULL, room STRING, PRIMARY KEY (id) NOT ENFORCED);
         CREATE MATERIALIZED VIEW last_in (room, id, PRIMARY KEY (room) NOT ENFORCED) AS SELECT room, id FROM people;
         INSERT INTO people VALUES (1, 'x'); FLUSH",
    );
    server.psql("INSERT INTO people VALUES (2, 'x'); FLUSH");
    assert_eq!(server.psql("SELECT id FROM last_in"), "2");
    server.psql("DELETE FROM people WHERE id = 1; FLUSH");
    assert_eq!(server.psql("SELECT id FROM last_in"), "2");
    server.psql("DELETE FROM people WHERE id = 2; FLUSH");
    assert_eq!(server.psql("SELECT COUNT(*) FROM last_in"), "0");
}

#[test]
fn each_statement_into_a_table_is_the_next_epoch_of_its_subscribers() {
    let server = Server::start();
    server.psql(PRICES);
    let said = server.python(
        "
import os, signal, psycopg
signal.alarm(60)
connect = lambda: psycopg.connect(host='127.0.0.1', port=os.environ['PORT'], user='ada', autocommit=True)
with connect() as reader, connect() as writer:
    reader.execute('BEGIN')
    reader.execute('DECLARE c CURSOR FOR SUBSCRIBE TO prices')
    rows = []
    while len(rows) < 2:
        rows += reader.execute('FETCH 10 FROM c').fetchall()
    writer.execute(\"DELETE FROM prices WHERE item = 'milk'\")
    rows += reader.execute('FETCH 10 FROM c').fetchall()
    print([(op, item) for op, _, item, _ in rows[2:]], [row[1] - rows[0][1] for row in rows])",
    );
    assert_eq!(said, "[('-D', 'milk')] [0, 0, 1]");
}
