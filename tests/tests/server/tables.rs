//! Tables of our own: what statements do to them, what is left after a kill, what views and clients see of it.

use std::fs;
use std::time::Duration;

use eddyline_tests::program::run_sql;
use eddyline_tests::server::Server;
use eddyline_tests::services::kafka;
use eddyline_tests::services::process::wait_for;

use crate::failures::SmallDisk;

const LIMIT: Duration = Duration::from_secs(90);

const USERS: &str = "CREATE TABLE users (id INT PRIMARY KEY, name STRING NOT NULL, score DECIMAL(10, 2))";

#[test]
fn statements_change_rows_and_answer_how_many() {
    let server = Server::start();
    server.psql(USERS);
    let says = |sql: &str| {
        let output = server.psql_command(&["-At", "-c", sql]).output().expect("psql runs");
        String::from_utf8_lossy(&output.stdout).trim().to_string()
    };
    let rows = || server.psql("SELECT id, name, score FROM users ORDER BY id");
    assert_eq!(
        says("INSERT INTO users VALUES (1, 'ada', 1.5), (2, 'bob', CAST(NULL AS DECIMAL(10, 2)))"),
        "INSERT 0 2"
    );
    assert_eq!(says("INSERT INTO users (name, id) VALUES ('eve', 3)"), "INSERT 0 1");
    assert_eq!(says("INSERT INTO users (id, name) VALUES (3, 'x'), (4, 'dan') ON CONFLICT DO NOTHING"), "INSERT 0 1");
    assert_eq!(says("INSERT INTO users (id, name) VALUES (4, 'don') ON CONFLICT DO DEDUPLICATE"), "INSERT 0 1");
    assert_eq!(rows(), "1|ada|1.50\n2|bob|\n3|eve|\n4|don|");
    assert_eq!(
        says("UPDATE users u SET score = COALESCE(u.score, 0) + 1, name = UPPER(name) WHERE u.id < 3"),
        "UPDATE 2"
    );
    assert_eq!(says("UPDATE users SET id = id + 1 WHERE id >= 2"), "UPDATE 3");
    assert_eq!(says("DELETE FROM users AS u WHERE u.name LIKE 'e%'"), "DELETE 1");
    assert_eq!(rows(), "1|ADA|2.50\n3|BOB|1.00\n5|don|");
    assert_eq!(says("INSERT INTO users SELECT id + 10, name, score FROM users WHERE id > 1"), "INSERT 0 2");
    assert_eq!(
        says("UPDATE users SET score = (SELECT MAX(score) FROM users) WHERE id IN (SELECT MAX(id) FROM users)"),
        "UPDATE 1"
    );
    assert_eq!(rows(), "1|ADA|2.50\n3|BOB|1.00\n5|don|\n13|BOB|1.00\n15|don|2.50");
    assert_eq!(says("CREATE TABLE copy AS SELECT name, COUNT(*) AS n FROM users GROUP BY name"), "INSERT 0 3");
    assert_eq!(server.psql("SELECT * FROM copy ORDER BY name"), "ADA|1\nBOB|2\ndon|2");
    assert_eq!(says("TRUNCATE TABLE copy"), "DELETE 3");
    assert_eq!(server.psql("SELECT COUNT(*) FROM copy"), "0");
    assert_eq!(says("DELETE FROM users WHERE FALSE"), "DELETE 0");
}

#[test]
fn wrong_statements_are_refused_with_place_and_hint_and_change_nothing() {
    let server = Server::start();
    server.psql(USERS);
    server.psql(
        "INSERT INTO users VALUES (1, 'ada', 1); CREATE VIEW plain AS SELECT 1 AS a;
         CREATE TABLE ticks (k INT) WITH ('connector' = 'datagen'); CREATE TABLE gone (k INT) WITH ('connector' = 'blackhole')",
    );
    let refused = [
        ("INSERT INTO users VALUES (2, 'bob', 1), (1, 'zed', 1)", "23505", "Key (id)=(1) already exists"),
        ("INSERT INTO users (id) VALUES (2)", "23502", "null value in column 'name' of table 'users'"),
        ("UPDATE users SET name = CAST(NULL AS STRING)", "23502", "null value in column 'name'"),
        ("UPDATE users SET id = 7; UPDATE users SET nam = 'x'", "42703", "did you mean 'name'?"),
        ("UPDATE users SET name = 5", "42804", "is of type STRING, the new value of type INT"),
        ("UPDATE users SET name = 'a', name = 'b'", "42601", "assigned twice"),
        ("INSERT INTO users VALUES (2, 'bob')", "42804", "Different number of columns"),
        ("DELETE FROM user", "42P01", "did you mean 'users'?"),
        ("DELETE FROM ticks", "0A000", "it is no table of our own"),
        ("DELETE FROM plain", "0A000", "it is no table of our own"),
        ("DELETE FROM users WHERE id IN (SELECT k FROM ticks)", "0A000", "would never end"),
        ("INSERT INTO users SELECT k, 'x', 1 FROM ticks", "0A000", "CREATE MATERIALIZED VIEW"),
        ("CREATE TABLE t AS SELECT k FROM ticks", "0A000", "no endless query fills"),
        (
            "EXECUTE STATEMENT SET BEGIN INSERT INTO users SELECT 2, 'b', 1; END",
            "0A000",
            "outside of the statement set",
        ),
        ("CREATE TABLE t (a INT, PRIMARY KEY (a)) WITH ('connector' = 'blackhole')", "42601", "NOT ENFORCED"),
        ("ALTER TABLE users ADD x INT", "55000", "has rows"),
        ("COPY users FROM STDIN", "0A000", "INSERT INTO"),
        ("SELECT * FROM users /*+ OPTIONS('a' = 'b') */", "22023", "has no options"),
    ];
    for (sql, state, text) in refused {
        let error = server.psql_error(sql);
        assert!(error.contains(state) && error.contains(text), "{sql}: {error}");
    }
    assert_eq!(server.psql("SELECT * FROM users"), "7|ada|1.00", "the first half of a pair of statements is in effect");
    // While it is empty and nobody reads it, a table may change.
    server.psql("DELETE FROM users; ALTER TABLE users ADD (born DATE); ALTER TABLE users RENAME TO people");
    server.psql("INSERT INTO people VALUES (1, 'ada', 1, DATE '1815-12-10')");
    assert_eq!(server.psql("SELECT name, born FROM people"), "ada|1815-12-10");
    assert!(server.psql_error("SELECT * FROM users").contains("42P01"));
}

#[test]
fn views_and_jobs_read_tables_and_flush_waits_for_them() {
    let (mut server, broker) = (Server::start(), kafka::shared());
    let topic = broker.fresh_topic("orders", 2);
    broker.produce_lines(&topic, 2, (0..1000).map(|n| format!("{n},{}", n % 4)));
    server.psql(&format!(
        "CREATE TABLE prices (product INT PRIMARY KEY, price INT);
         INSERT INTO prices VALUES (0, 1), (1, 10), (2, 100);
         CREATE TABLE orders (id INT, product INT) WITH ('connector' = 'kafka', 'topic' = '{topic}', 'format' = 'csv',
           'properties.bootstrap.servers' = '{}', 'scan.startup.mode' = 'earliest-offset');
         CREATE MATERIALIZED VIEW income AS
           SELECT p.product, SUM(p.price) AS total FROM orders o JOIN prices p ON o.product = p.product GROUP BY p.product;
         CREATE MATERIALIZED VIEW whole AS SELECT SUM(total) AS total FROM income;
         CREATE MATERIALIZED VIEW many AS SELECT COUNT(*) AS n FROM prices",
        broker.bootstrap()
    ));
    let whole = || server.psql("SELECT total FROM whole");
    wait_for("all orders to be read", LIMIT, || (whole() == "27750").then_some(()));
    // After FLUSH nothing need be waited for.
    for round in 1..=5 {
        let price = round * 1000;
        server.psql(&format!("INSERT INTO prices VALUES (3, {price}) ON CONFLICT DO DEDUPLICATE; FLUSH"));
        assert_eq!(server.psql("SELECT total FROM income WHERE product = 3"), (250 * price).to_string());
        assert_eq!(server.psql("SELECT total FROM whole"), (27750 + 250 * price).to_string());
        assert_eq!(server.psql("SELECT n FROM many"), "4");
    }
    for (sql, text) in [
        ("DROP TABLE prices", "it is read by materialized view 'income'"),
        ("ALTER TABLE prices DROP price", "reads it"),
    ] {
        assert!(server.psql_error(sql).contains(text), "{sql}");
    }
    server.kill();
    server.start_again();
    server.psql("DELETE FROM prices WHERE product = 3; FLUSH");
    assert_eq!(server.psql("SELECT total FROM whole"), "27750", "a view that is coming back is waited for as well");
    server.psql("DROP TABLE prices CASCADE");
    assert_eq!(server.psql("SHOW TABLES"), "orders");
    server.psql("CREATE TABLE prices (product INT PRIMARY KEY, price INT)");
    assert_eq!(server.psql("SELECT COUNT(*) FROM prices"), "0", "a new table has nothing of the old one");
}

/// Two writers until the server is killed: one adds numbered rows, one moves amounts between two accounts. What was answered
/// is noted in files. Nothing but the loss of the connection ends a writer well.
const WRITERS: &str = r#"
import os, random, threading, traceback, psycopg
folder = os.environ['FOLDER']
def connect(): return psycopg.connect(host='127.0.0.1', port=os.environ['PORT'], user='ada', autocommit=True)
def add():
    with connect() as c, open(folder + '/added', 'a') as note:
        first = c.execute('SELECT COALESCE(MAX(id), 0) FROM numbered').fetchone()[0] + 1
        for number in range(first, first + 10**9):
            c.execute('INSERT INTO numbered VALUES (%s, %s)', (number, 'x' * (number % 300)))
            print(number, file=note, flush=True)
def move():
    with connect() as c, open(folder + '/moved', 'a') as note:
        while True:
            a, b = random.sample(range(10), 2)
            c.execute('UPDATE accounts SET balance = balance + CASE id WHEN %s THEN %s ELSE %s END WHERE id IN (%s, %s)',
                      (a, 7, -7, a, b))
            print(a, b, file=note, flush=True)
def survive(work):
    try: work()
    except Exception as error:
        # A server that is gone has no SQLSTATE.
        if not isinstance(error, psycopg.OperationalError) or error.sqlstate:
            traceback.print_exc()
            os._exit(1)
threads = [threading.Thread(target=survive, args=(work,)) for work in (add, move)]
[t.start() for t in threads]
[t.join() for t in threads]
"#;

#[test]
fn what_was_answered_is_there_after_every_kill_and_nothing_is_there_in_part() {
    let mut server = Server::start();
    server.psql(
        "CREATE TABLE numbered (id BIGINT PRIMARY KEY, filling STRING);
         CREATE TABLE accounts (id INT PRIMARY KEY, balance BIGINT);
         INSERT INTO accounts VALUES (0,0),(1,0),(2,0),(3,0),(4,0),(5,0),(6,0),(7,0),(8,0),(9,0);
         CREATE MATERIALIZED VIEW total AS SELECT SUM(balance) AS s, SUM(balance * balance) AS moved FROM accounts;
         CREATE MATERIALIZED VIEW highest AS SELECT MAX(id) AS id, COUNT(*) AS n FROM numbered",
    );
    let (added, moved) = (server.folder().join("added"), server.folder().join("moved"));
    let lines = |path| fs::read_to_string(path).unwrap_or_default().lines().count() as u64;
    let noted = || lines(&added);
    for round in 0..6_u64 {
        let (before, moved_before) = (noted(), lines(&moved));
        let mut writers = server.start_python(WRITERS);
        let mut looks = 0;
        wait_for("some rows to be written", LIMIT, || {
            assert_eq!(server.psql("SELECT SUM(balance) FROM accounts"), "0");
            let seen = server.psql("SELECT s FROM total");
            assert!(["0", ""].contains(&seen.as_str()), "a view of accounts that are out of balance: {seen}");
            looks += 1;
            let enough = noted() > before + 100 + 37 * round && lines(&moved) > moved_before + 20 && looks > 3;
            // What has ended writers before the server is told below.
            (enough || writers.try_wait().expect("a child of ours").is_some()).then_some(())
        });
        server.kill();
        let ended = writers.wait_with_output().expect("a child of ours");
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        server.start_again();
        // The note of the last answer may have been lost, the answer of the last statement too.
        let (answered, kept) =
            (noted(), server.psql("SELECT COUNT(*), MAX(id), SUM(CHAR_LENGTH(filling)) FROM numbered"));
        let whole = |n: u64| format!("{n}|{n}|{}", (1..=n).map(|i| i % 300).sum::<u64>());
        assert!(
            [whole(answered), whole(answered + 1)].contains(&kept),
            "{answered} were answered, and there is {kept}"
        );
        // The notes go on from what is there.
        fs::write(&added, "1\n".repeat(kept.split('|').next().and_then(|n| n.parse().ok()).unwrap_or(0)))
            .expect("notes");
        assert_eq!(server.psql("SELECT SUM(balance) FROM accounts"), "0");
    }
    server.psql("FLUSH");
    let highest = server.psql("SELECT id, n FROM highest");
    assert_eq!(highest, server.psql("SELECT MAX(id), COUNT(*) FROM numbered"));
    let spread = server.psql("SELECT SUM(balance * balance) FROM accounts");
    assert!(spread != "0", "the accounts are as they were");
    assert_eq!(server.psql("SELECT moved FROM total"), spread);
}

#[test]
fn a_damaged_log_keeps_the_server_from_starting_and_is_named() {
    let mut server = Server::start();
    server.psql(USERS);
    server.psql("INSERT INTO users VALUES (1, 'ada', 1); INSERT INTO users VALUES (2, 'bob', 1)");
    server.kill();
    let log = server.folder().join("data/tables/users.log");
    let good = fs::read(&log).expect("the log of the table");
    let mut damaged = good.clone();
    damaged[good.len() / 2] ^= 1;
    fs::write(&log, damaged).expect("damage");
    let folder = server.folder().to_path_buf();
    let arguments = ["serve", "--data-dir", "data", "--pg", "127.0.0.1:0"];
    let ended = eddyline_tests::program::run(&folder, &arguments);
    assert!(!ended.success && ended.stderr.contains("users.log is damaged at byte"), "{}", ended.stderr);
    assert!(ended.stderr.contains("HINT"), "{}", ended.stderr);
    fs::write(&log, good).expect("repair");
    server.start_again();
    assert_eq!(server.psql("SELECT COUNT(*) FROM users"), "2");
}

#[test]
fn a_statement_that_finds_the_disk_full_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = SmallDisk::mount(&folder.path().join("data/tables"));
    let mut server = Server::start_in(folder, &[]);
    server.psql(USERS);
    server.psql("INSERT INTO users VALUES (1, 'ada', 1)");
    disk.fill();
    let error = server.psql_error("INSERT INTO users SELECT id + 1, REPEAT('x', 10000), score FROM users");
    assert!(error.contains("58030") && error.contains("No space left on device"), "{error}");
    assert!(server.psql_error("CREATE TABLE more (a INT)").contains("58030"));
    assert_eq!(server.psql("SELECT * FROM users; SHOW TABLES"), "1|ada|1.00\nusers");
    disk.free();
    server.psql("INSERT INTO users VALUES (2, 'bob', 2)");
    server.kill();
    server.start_again();
    assert_eq!(server.psql("SELECT id FROM users ORDER BY id"), "1\n2");
}

/// Values as parameters in both formats, counts of rows, COPY in all formats, a subscription that is copied.
const CLIENT: &str = r#"
import os, datetime, decimal, psycopg
with psycopg.connect(host='127.0.0.1', port=os.environ['PORT'], user='ada', autocommit=True) as c:
    c.execute('CREATE TABLE things (id BIGINT PRIMARY KEY, name STRING, price DECIMAL(8,2), day DATE, at TIMESTAMP(6), ok BOOLEAN, raw BYTES)')
    day, at = datetime.date(2020, 10, 10), datetime.datetime(2020, 10, 10, 8, 15, 0, 123456)
    row = lambda n: (n, f'n{n}\t\\"', decimal.Decimal('1.25') * n, day, at, n % 2 == 0, bytes([0, n]))
    with c.cursor() as cursor:
        cursor.executemany('INSERT INTO things VALUES (%s, %s, %s, %s, %s, %s, %s)', [row(n) for n in range(1, 6)])
        print(cursor.rowcount)
        cursor.execute('UPDATE things SET price = %s, name = %b WHERE id = %s', (decimal.Decimal('9.99'), None, 5))
        print(cursor.rowcount)
        cursor.execute('DELETE FROM things WHERE day = %s AND id = %s', (day, 4))
        print(cursor.rowcount)
    for binary in (False, True):
        rows = c.execute('SELECT * FROM things ORDER BY id', binary=binary).fetchall()
        print(rows[:3] == [row(n) for n in (1, 2, 3)], rows[3][1:3])
    try: c.execute('INSERT INTO things (id) VALUES (1)')
    except psycopg.errors.UniqueViolation as e: print(e.diag.message_detail)
    with c.cursor().copy('COPY (SELECT id, name, price FROM things ORDER BY id) TO STDOUT') as copy:
        copy.set_types(['int8', 'text', 'numeric'])
        print(list(copy.rows()))
    with c.cursor().copy('COPY (SELECT id, day FROM things ORDER BY id) TO STDOUT (FORMAT binary)') as copy:
        copy.set_types(['int8', 'date'])
        print(list(copy.rows()))
    with c.cursor().copy('COPY things (id, name) TO STDOUT (FORMAT csv, HEADER)') as copy:
        print(sorted(b''.join(copy).splitlines()))
with psycopg.connect(host='127.0.0.1', port=os.environ['PORT'], user='ada', autocommit=True) as c, \
     psycopg.connect(host='127.0.0.1', port=os.environ['PORT'], user='ada', autocommit=True) as writer:
    writer.execute('CREATE TABLE few (id INT PRIMARY KEY, n INT)')
    writer.execute('INSERT INTO few VALUES (1, 1)')
    try:
        with c.cursor().copy('COPY (SUBSCRIBE TO few) TO STDOUT') as copy:
            copy.set_types(['text', 'int8', 'int4', 'int4'])
            lines = copy.rows()
            print([v for i, v in enumerate(next(lines)) if i != 1])
            writer.execute('UPDATE few SET n = 2')
            writer.execute('DELETE FROM few')
            print([[v for i, v in enumerate(next(lines)) if i != 1] for _ in range(3)])
            c.cancel()
            next(lines)
    except psycopg.errors.QueryCanceled: print('cancelled')
    print(c.execute('SELECT COUNT(*) FROM few').fetchone())
"#;

#[test]
fn clients_write_rows_and_copy_them_out() {
    let server = Server::start();
    let expected = [
        "5",
        "1",
        "1",
        "True (None, Decimal('9.99'))",
        "True (None, Decimal('9.99'))",
        "Key (id)=(1) already exists",
        r#"[(1, 'n1\t\\"', Decimal('1.25')), (2, 'n2\t\\"', Decimal('2.50')), (3, 'n3\t\\"', Decimal('3.75')), (5, None, Decimal('9.99'))]"#,
        "[(1, datetime.date(2020, 10, 10)), (2, datetime.date(2020, 10, 10)), (3, datetime.date(2020, 10, 10)), (5, datetime.date(2020, 10, 10))]",
        r#"[b'1,"n1\t\\"""', b'2,"n2\t\\"""', b'3,"n3\t\\"""', b'5,', b'id,name']"#,
        "['+I', 1, 1]",
        "[['-U', 1, 1], ['+U', 1, 2], ['-D', 1, 2]]",
        "cancelled",
        "(0,)",
    ];
    let output = server.python(CLIENT);
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines, expected);
    let csv = server.psql("COPY (VALUES (1, 'a'), (2, 'b,c')) TO STDOUT WITH (FORMAT csv)");
    assert_eq!(csv, "1,a\n2,\"b,c\"");
}

#[test]
fn tables_of_a_file_live_as_long_as_its_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let sql = "CREATE TABLE t (id INT PRIMARY KEY, n BIGINT);
        INSERT INTO t VALUES (1, 10), (2, 20);
        UPDATE t SET n = n + id WHERE id = 2;
        INSERT INTO t SELECT id + 2, n FROM t;
        SELECT id, n FROM t ORDER BY id;";
    for _ in 0..2 {
        let run = run_sql(folder.path(), sql, &[]);
        assert!(run.success, "{}", run.stderr);
        let values: Vec<serde_json::Value> =
            run.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(values.len(), 4, "{}", run.stdout);
        assert!(run.stdout.contains("22"), "{}", run.stdout);
    }
}
