//! Exactly-once and refused rows of the `jdbc` sink against a real MariaDB.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use eddyline_connectors::jdbc::JdbcConnector;
use eddyline_engine::connector::{Committer, ConnectorFactory, EpochLog, Guard, SinkContext, SinkFactory};
use eddyline_engine::dataflow::Subtask;
use eddyline_engine::testing::sink_suite::{TestTarget, check_sink};
use eddyline_engine::time::Epoch;
use eddyline_engine::{ChangelogBatch, Result, RowKind};
use eddyline_tests::services::mariadb::{self, MariaDb};
use eddyline_tests::services::process::wait_for;
use sqlx::Row;

use crate::jdbc_connector::{Target, changes, wc, wc_fields};

const LIMIT: Duration = Duration::from_secs(30);

/// A table of numbers, with a column that keeps the order of insertion.
struct Numbers {
    target: Target<'static>,
    database: String,
}

impl Numbers {
    /// In a database of its own, so that the marker table is its own too.
    fn new(key: &[&str]) -> Self {
        let server = mariadb::shared();
        let database = server.fresh_name("numbers");
        let fields = vec![Field::new("v", DataType::Int64, false)];
        let target = Target::new(server, "(v BIGINT UNIQUE, place BIGINT AUTO_INCREMENT PRIMARY KEY)", fields, key);
        server.execute(&format!(
            "CREATE DATABASE {database}; RENAME TABLE eddyline.{table} TO {database}.{table}",
            table = target.name
        ));
        let url = server.jdbc_url().replace("/eddyline", &format!("/{database}"));
        let target = target.with("url", &url).with("eddyline.sink.exactly-once", "true");
        Numbers { target, database }
    }

    fn query(&self, sql: &str) -> Vec<sqlx::mysql::MySqlRow> {
        self.target.server.query(&sql.replace("$d", &self.database).replace("$t", &self.target.name))
    }

    fn committer(&self) -> Box<dyn Committer> {
        let committer = self.factory().expect("the options are right").committer(&context());
        committer.expect("the table fits").expect("exactly-once has a committer")
    }

    fn log(&self, numbers: &[i64]) -> Vec<Arc<EpochLog>> {
        let mut sink = self.target.open().expect("the table fits");
        sink.write(&self.batch(numbers)).expect("rows are taken");
        vec![Arc::new(sink.prepare(Epoch(1)).expect("a log"))]
    }
}

impl TestTarget for Numbers {
    fn factory(&self) -> Result<Arc<dyn SinkFactory>> {
        Ok(JdbcConnector.sink(&self.target.description)?.factory)
    }

    fn batch(&self, numbers: &[i64]) -> ChangelogBatch {
        let schema = Schema::new(vec![Field::new("v", DataType::Int64, false)]);
        let column = Arc::new(Int64Array::from(numbers.to_vec()));
        ChangelogBatch::inserts(RecordBatch::try_new(Arc::new(schema), vec![column]).expect("one column"))
    }

    fn visible(&self) -> Vec<i64> {
        self.query("SELECT v FROM $d.$t ORDER BY place").iter().map(|row| row.get(0)).collect()
    }
}

fn context() -> SinkContext {
    let subtask = Subtask { index: 0, parallelism: 1 };
    SinkContext { subtask, pipeline: "p".into(), sink: "s".into(), guard: Guard::open() }
}

#[test]
fn appending_passes_the_suite() {
    check_sink(|| Numbers::new(&[]));
}

#[test]
fn upserting_passes_the_suite() {
    check_sink(|| Numbers::new(&["v"]));
}

#[test]
fn table_without_transactions_is_refused() {
    let target = Target::new(mariadb::shared(), "(word TEXT, cnt BIGINT) ENGINE=MyISAM", wc_fields(), &[]);
    let factory = JdbcConnector.sink(&target.description).expect("the options are right").factory;
    let error = factory.committer(&context()).err().expect("refused");
    assert!(error.to_string().contains("MyISAM") && error.hint().unwrap_or_default().contains("InnoDB"), "{error}");
    target.with("eddyline.sink.exactly-once", "false").open().expect("fine for at-least-once");
}

/// Ids of the server's connections into a database, our own apart.
fn connections(server: &MariaDb, database: &str) -> Vec<i64> {
    let sql = format!(
        "SELECT CAST(id AS SIGNED) FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND db = '{database}'"
    );
    server.query(&sql).iter().map(|row| row.get(0)).collect()
}

#[test]
fn connection_killed_between_epochs_is_replaced() {
    let numbers = Numbers::new(&[]);
    let mut committer = numbers.committer();
    committer.fence(1).expect("fenced");
    committer.apply(Epoch(1), &[]).expect("a marker");
    let ids = connections(numbers.target.server, &numbers.database);
    assert_eq!(ids.len(), 1, "the committer keeps one connection");
    ids.iter().for_each(|id| numbers.target.server.execute(&format!("KILL {id}")));
    committer.apply(Epoch(2), &numbers.log(&[1, 2])).expect("a new connection");
    assert_eq!(numbers.visible(), [1, 2]);
}

/// A transaction of another session holds the marker, as one of a process does that stands still before its COMMIT.
#[test]
fn fence_waits_for_a_transaction_that_holds_the_marker() {
    let numbers = Numbers::new(&[]);
    let mut old = numbers.committer();
    old.fence(1).expect("fenced");
    old.apply(Epoch(1), &[]).expect("a marker");
    let mut holder = numbers.target.server.session(&numbers.database);
    holder.execute("BEGIN; UPDATE __eddyline_commits SET epoch = 2");
    holder.execute(&format!("INSERT INTO {} (v) VALUES (77)", numbers.target.name));
    let mut new = numbers.committer();
    let fencing = std::thread::spawn(move || {
        new.fence(2).expect("fenced when the lock is free");
        new.applied_up_to().expect("a marker")
    });
    wait_for("the fence to wait for the lock", LIMIT, || {
        // What runs in this database can but wait. `innodb_trx` would not do: it stays as it is while it is read often.
        let waiting = "SELECT COUNT(*) FROM information_schema.processlist \
                       WHERE db = '$d' AND info LIKE 'INSERT INTO%__eddyline_commits%'";
        (numbers.query(waiting)[0].get::<i64, _>(0) > 0).then_some(())
    });
    holder.execute("COMMIT");
    assert_eq!(fencing.join().expect("no panic"), Some(Epoch(2)), "the marker is read after the fence");
    assert!(old.apply(Epoch(3), &numbers.log(&[1])).is_err());
    assert_eq!(numbers.visible(), [77]);
}

/// A second session locks rows in the opposite order all the time: 1213 and 1205 in plenty.
#[test]
fn deadlock_storm_loses_and_repeats_nothing() {
    let numbers = Numbers::new(&["v"]);
    numbers.query("INSERT INTO $d.$t (v) VALUES (5), (1995)");
    let target = &numbers.target;
    let (database, name) = (numbers.database.clone(), target.name.clone());
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    let storm = std::thread::spawn(move || {
        let mut session = mariadb::shared().session(&database);
        let mut deadlocks = 0;
        while !asked.load(std::sync::atomic::Ordering::Relaxed) {
            let steps = [
                "BEGIN".to_string(),
                format!("UPDATE {name} SET v = v WHERE v = 1995"),
                "DO SLEEP(0.002)".to_string(),
                format!("UPDATE {name} SET v = v WHERE v = 5"),
                "COMMIT".to_string(),
            ];
            deadlocks += usize::from(steps.iter().any(|sql| session.try_execute(sql).is_err()));
        }
        deadlocks
    });
    let mut sink = JdbcConnector.sink(&target.description).expect("options").factory.open(&context()).expect("a sink");
    let mut committer = numbers.committer();
    committer.fence(1).expect("fenced");
    committer.apply(Epoch(1), &[]).expect("a marker");
    for epoch in 2..42 {
        let rows: Vec<i64> = (0..2_000).filter(|v| v % 40 != epoch - 2 || *v == 5 || *v == 1995).collect();
        sink.write(&numbers.batch(&rows)).expect("rows are taken");
        let log = Arc::new(sink.prepare(Epoch(epoch as u64)).expect("a log"));
        // What the runtime does after a failure that may pass: apply again.
        wait_for("an epoch to be applied", LIMIT, || match committer.apply(Epoch(epoch as u64), &[Arc::clone(&log)]) {
            Ok(()) => Some(()),
            Err(error) => {
                assert!(error.is_retriable(), "{error}");
                None
            }
        });
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let deadlocks = storm.join().expect("no panic");
    println!("deadlock storm: the other session lost {deadlocks} times");
    let mut visible = numbers.visible();
    visible.sort_unstable();
    assert_eq!(visible, (0..2_000).collect::<Vec<i64>>());
}

fn refusing(options: &[(&str, &str)]) -> (Target<'static>, Result<()>) {
    let definition = "(word VARCHAR(5) COLLATE utf8mb4_bin PRIMARY KEY, cnt TINYINT NOT NULL, note VARCHAR(9) UNIQUE)";
    let mut target = Target::new(mariadb::shared(), definition, wc_fields(), &["word"]);
    for (key, value) in options {
        target = target.with(key, value);
    }
    let rows: Vec<(RowKind, String, i64)> =
        (0..3_000).map(|n| (RowKind::Insert, format!("w{n}"), if n % 1_000 == 999 { n } else { n % 100 })).collect();
    let written = (|| {
        let factory = JdbcConnector.sink(&target.description)?.factory;
        // A marker of its own.
        let context = SinkContext { pipeline: target.name.clone(), ..context() };
        let mut sink = factory.open(&context)?;
        sink.write(&changes(&rows))?;
        let log = Arc::new(sink.prepare(Epoch(1))?);
        if let Some(mut committer) = factory.committer(&context)? {
            committer.fence(1)?;
            committer.apply(Epoch(1), &[log])?;
        }
        Ok(())
    })();
    (target, written)
}

#[test]
fn refused_rows_are_found_and_follow_the_rule() {
    let server = mariadb::shared();
    for exactly_once in ["false", "true"] {
        let database = server.fresh_name("refusing");
        server.execute(&format!("CREATE DATABASE {database}"));
        let mode = ("eddyline.sink.exactly-once", exactly_once);
        let (target, failed) = refusing(&[mode]);
        let error = failed.expect_err("a row is refused");
        assert!(error.to_string().contains("1264") && error.to_string().contains("(word = 'w1999')"), "{error}");
        assert!(!error.is_retriable() && error.hint().unwrap_or_default().contains("dead-letter"));
        assert!(target.counts().is_empty(), "nothing of the flush may stay");

        let (target, written) = refusing(&[mode, ("sink.on-error", "skip")]);
        written.expect("the other rows are written");
        assert_eq!(target.counts().len(), 2_997);

        let letters = format!("{database}.dead");
        let (target, written) =
            refusing(&[mode, ("sink.on-error", "dead-letter"), ("sink.dead-letter-table", &letters)]);
        written.expect("the other rows are written");
        assert_eq!(target.counts().len(), 2_997);
        let dead = server.query(&format!("SELECT row_json, reason FROM {letters} ORDER BY id"));
        let rows: Vec<String> = dead.iter().map(|r| r.get(0)).collect();
        assert_eq!(rows.len(), 3, "{rows:?}");
        assert!(rows.contains(&r#"{"word":"w999","cnt":"999"}"#.to_string()), "{rows:?}");
        assert!(dead[0].get::<String, _>(1).contains("1264"));
    }
}

#[test]
fn each_class_of_refusal_names_its_row() {
    let refuse = |column: &str, parts: &[&str]| {
        let definition = format!("(word VARCHAR(255), {column})");
        let target = Target::new(mariadb::shared(), &definition, wc_fields(), &[]);
        let target = target.with("eddyline.sink.exactly-once", "false");
        let mut sink = target.open().expect("the types fit");
        let rows = [(RowKind::Insert, "a", 1), (RowKind::Insert, "b", 1), (RowKind::Insert, "c", 300)];
        sink.write(&changes(&rows)).expect("rows are taken");
        let error = sink.prepare(Epoch(1)).expect_err(column);
        for part in parts {
            assert!(error.to_string().contains(part), "{column}: {error}");
        }
        assert!(!error.is_retriable());
        assert!(target.counts().is_empty());
    };
    refuse("cnt TINYINT", &["1264", "(word = 'c', cnt = '300')"]);
    refuse("cnt BIGINT UNIQUE", &["1062", "(word = 'b', cnt = '1')"]);
    refuse("cnt BIGINT CHECK (cnt < 9)", &["4025", "(word = 'c', cnt = '300')"]);
}

#[test]
fn default_collation_is_refused_for_keys_that_it_merges() {
    // What a user gets who does not think of collations.
    let ddl = "(word VARCHAR(255) PRIMARY KEY, cnt BIGINT)";
    let target = Target::new(mariadb::shared(), ddl, wc_fields(), &["word"]);
    let error = target.refused();
    let shown = format!("{error} {}", error.hint().unwrap_or_default());
    for part in
        ["key column 'word'", "_ci", "different texts are equal", "utf8mb4_bin", "eddyline.sink.allow-collation"]
    {
        assert!(shown.contains(part), "{shown}");
    }
    assert!(!error.is_retriable());
    // Where the user has chosen a column that keeps them apart, all four are there.
    let exact = "(word VARBINARY(255) PRIMARY KEY, cnt BIGINT)";
    let target = Target::new(mariadb::shared(), exact, wc_fields(), &["word"]);
    let mut sink = target.open().expect("bytes differ");
    let rows: Vec<(RowKind, &str, i64)> = ["Ab", "ab", "ab ", "áb"].iter().map(|w| (RowKind::Insert, *w, 1)).collect();
    sink.write(&changes(&rows)).expect("rows are taken");
    sink.prepare(Epoch(1)).expect("written");
    assert_eq!(target.rows("SELECT COUNT(*) FROM $t")[0].get::<i64, _>(0), 4);
    wc(mariadb::shared()).open().expect("and so does utf8mb4_bin");
}

/// A primary that became a replica refuses writes for a while.
#[test]
fn read_only_server_is_waited_for() {
    let server = MariaDb::start();
    let mut target = wc(&server);
    server.execute("CREATE USER plain@'%' IDENTIFIED BY 'x'; GRANT ALL PRIVILEGES ON eddyline.* TO plain@'%'");
    target = target.with("username", "plain").with("password", "x");
    let mut sink = target.open().expect("the table fits");
    sink.write(&changes(&[(RowKind::Insert, "a", 1)])).expect("rows are taken");
    server.execute("SET GLOBAL read_only = 1");
    // A refused write ends its connection and opens another, which is refused as soon. The server numbers connections one
    // after the other, and each question here is one: a number left out is the sink's.
    let number = || server.query("SELECT CAST(CONNECTION_ID() AS SIGNED)")[0].get::<i64, _>(0);
    let mut expected = number();
    let writer = std::thread::spawn(move || sink.prepare(Epoch(1)).map(drop));
    wait_for("a new connection of the sink", LIMIT, || {
        expected += 1;
        (number() > expected).then_some(())
    });
    assert!(!writer.is_finished(), "the sink waits");
    server.execute("SET GLOBAL read_only = 0");
    writer.join().expect("no panic").expect("written in the end");
    assert_eq!(target.counts().len(), 1);
}

/// Local ports of this machine's connections to `port`.
fn connected_from(port: u16) -> HashSet<String> {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the table of sockets");
    let to_port = |line: &&str| line.split_whitespace().nth(2).is_some_and(|to| to.ends_with(&format!(":{port:04X}")));
    table.lines().filter(to_port).filter_map(|l| l.split_whitespace().nth(1).map(str::to_string)).collect()
}

/// A server that stands still takes what is sent and does not answer; when it goes on, it does what it was told.
#[test]
fn unanswered_transaction_is_done_again_on_a_new_connection_and_once() {
    let server = MariaDb::start();
    let target = Target::new(&server, "(word TEXT, cnt BIGINT)", wc_fields(), &[]);
    let factory = JdbcConnector.sink(&target.description).expect("the options are right").factory;
    let mut committer = factory.committer(&context()).expect("the table fits").expect("a committer");
    committer.fence(1).expect("fenced");
    committer.apply(Epoch(1), &[]).expect("a marker");
    let mut sink = factory.open(&context()).expect("a sink");
    sink.write(&changes(&[(RowKind::Insert, "a", 1), (RowKind::Insert, "b", 2)])).expect("rows are taken");
    let log = Arc::new(sink.prepare(Epoch(2)).expect("a log"));
    let before = connected_from(server.port());
    server.signal("STOP");
    let applying = std::thread::spawn(move || committer.apply(Epoch(2), &[log]));
    wait_for("another connection after the first gave no answer", Duration::from_secs(60), || {
        connected_from(server.port()).iter().any(|from| !before.contains(from)).then_some(())
    });
    server.signal("CONT");
    applying.join().expect("no panic").expect("applied in the end");
    assert_eq!(target.counts(), HashMap::from([("a".into(), 1), ("b".into(), 2)]));
    assert_eq!(target.rows("SELECT COUNT(*) FROM $t")[0].get::<i64, _>(0), 2);
}

#[test]
fn pace_of_exactly_once_is_shown() {
    let words: Vec<String> = (0..200_000).map(|n| format!("word-{n}")).collect();
    let mut paces = Vec::new();
    for exactly_once in ["false", "true"] {
        let target = Target::new(mariadb::shared(), "(word VARCHAR(40), cnt BIGINT)", wc_fields(), &[]);
        let target = target.with("eddyline.sink.exactly-once", exactly_once);
        let factory = JdbcConnector.sink(&target.description).expect("the options are right").factory;
        let context = SinkContext { pipeline: target.name.clone(), ..context() };
        let mut committer = factory.committer(&context).expect("the table fits");
        if let Some(committer) = &mut committer {
            committer.fence(1).expect("fenced");
        }
        let mut sink = factory.open(&context).expect("the table fits");
        let started = std::time::Instant::now();
        // Four epochs.
        for (epoch, words) in (1..).zip(words.chunks(50_000)) {
            for words in words.chunks(8_192) {
                let rows: Vec<(RowKind, &str, i64)> = words.iter().map(|w| (RowKind::Insert, w.as_str(), 1)).collect();
                sink.write(&changes(&rows)).expect("rows are taken");
            }
            let log = Arc::new(sink.prepare(Epoch(epoch)).expect("a log"));
            if let Some(committer) = &mut committer {
                committer.apply(Epoch(epoch), &[log]).expect("applied");
            }
        }
        paces.push(words.len() as f64 / started.elapsed().as_secs_f64());
        assert_eq!(target.rows("SELECT COUNT(DISTINCT word) FROM $t")[0].get::<i64, _>(0), 200_000);
    }
    let share = 100.0 * paces[1] / paces[0];
    println!("jdbc appends: {:.0} rows/s at least once, {:.0} exactly once ({share:.0} %)", paces[0], paces[1]);
}
