//! The `jdbc` sink against a real MariaDB: what it writes, what it refuses, and how it comes back from a crash.

use std::collections::{BTreeMap, HashMap};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::array::{
    BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array,
    Time32MillisecondArray, TimestampMicrosecondArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Schema};
use eddyline_connectors::jdbc::JdbcConnector;
use eddyline_engine::connector::{
    ColumnKind, ConnectorFactory, Guard, Sink, SinkContext, TableColumn, TableDescription,
};
use eddyline_engine::dataflow::Subtask;
use eddyline_engine::time::Epoch;
use eddyline_engine::{ChangelogBatch, Error, RowKind};
use eddyline_tests::services::mariadb::{self, MariaDb, PASSWORD, USER};
use eddyline_tests::services::process::free_port;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sqlx::Row;

const WC: &str = "(word VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY, cnt BIGINT)";

/// A table of the server, and how it is declared on our side.
pub(crate) struct Target<'a> {
    pub(crate) server: &'a MariaDb,
    pub(crate) description: TableDescription,
    pub(crate) name: String,
}

impl<'a> Target<'a> {
    /// A table of its own made with `definition`, declared with `fields`.
    pub(crate) fn new(server: &'a MariaDb, definition: &str, fields: Vec<Field>, key: &[&str]) -> Self {
        let name = server.fresh_name("t");
        if !definition.is_empty() {
            server.execute(&format!("CREATE TABLE `{name}` {definition}"));
        }
        let column = |f: Field| TableColumn { field: Arc::new(f), kind: ColumnKind::Physical };
        let description = TableDescription {
            name: name.clone(),
            columns: fields.into_iter().map(column).collect(),
            primary_key: key.iter().map(|k| (*k).to_string()).collect(),
            options: BTreeMap::new(),
        };
        let target = Target { server, description, name };
        let url = server.jdbc_url();
        let name = target.name.clone();
        target
            .with("connector", "jdbc")
            .with("url", &url)
            .with("table-name", &name)
            .with("username", USER)
            .with("password", PASSWORD)
    }

    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        self.description.options.insert(key.into(), value.into());
        self
    }

    pub(crate) fn open(&self) -> Result<Box<dyn Sink>, Error> {
        let subtask = Subtask { index: 0, parallelism: 1 };
        let context = SinkContext { subtask, pipeline: "p".into(), sink: "s".into(), guard: Guard::open() };
        JdbcConnector.sink(&self.description)?.factory.open(&context)
    }

    pub(crate) fn refused(&self) -> Error {
        self.open().err().expect("the table must be refused")
    }

    pub(crate) fn rows(&self, sql: &str) -> Vec<sqlx::mysql::MySqlRow> {
        self.server.query(&sql.replace("$t", &format!("`{}`", self.name)))
    }

    pub(crate) fn counts(&self) -> HashMap<String, i64> {
        self.rows("SELECT word, cnt FROM $t").iter().map(|r| (r.get(0), r.get(1))).collect()
    }
}

pub(crate) fn wc_fields() -> Vec<Field> {
    vec![Field::new("word", DataType::Utf8, true), Field::new("cnt", DataType::Int64, true)]
}

pub(crate) fn wc(server: &MariaDb) -> Target<'_> {
    Target::new(server, WC, wc_fields(), &["word"])
}

pub(crate) fn changes<S: AsRef<str>>(rows: &[(RowKind, S, i64)]) -> ChangelogBatch {
    let words: StringArray = rows.iter().map(|r| Some(r.1.as_ref())).collect();
    let counts: Int64Array = rows.iter().map(|r| Some(r.2)).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(wc_fields())), vec![Arc::new(words), Arc::new(counts)]);
    ChangelogBatch::new(batch.expect("columns fit the schema"), rows.iter().map(|r| r.0).collect())
}

fn one_row(columns: Vec<(&str, ArrayRef)>) -> ChangelogBatch {
    let rows = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true)));
    ChangelogBatch::inserts(rows.expect("columns of one length"))
}

/// `count` random changes over `keys` keys in batches of random sizes, and the table they must lead to.
fn random_changes(seed: u64, count: usize, keys: u32) -> (Vec<ChangelogBatch>, HashMap<String, i64>) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut expected: HashMap<String, i64> = HashMap::new();
    let (mut batches, mut rows, mut made) = (Vec::new(), Vec::new(), 0);
    while made < count {
        let number = random.random_range(0..keys);
        let word = match number % 7 {
            0 => format!("W{number}"),
            1 => format!("w{}", number - 1),
            2 => format!("é'\"`\\{number}"),
            3 => format!("日本😀{number}"),
            _ => format!("w{number}"),
        };
        let value = random.random::<i64>();
        match (expected.get(&word).copied(), random.random_range(0..10)) {
            (Some(old), 0..3) => {
                rows.push((RowKind::Delete, word.clone(), old));
                expected.remove(&word);
            }
            (Some(old), _) => {
                if random.random() {
                    rows.push((RowKind::UpdateBefore, word.clone(), old));
                }
                rows.push((RowKind::UpdateAfter, word.clone(), value));
                expected.insert(word, value);
            }
            (None, _) => {
                rows.push((RowKind::Insert, word.clone(), value));
                expected.insert(word, value);
            }
        }
        made += 1;
        if random.random_range(0..800) == 0 || made == count {
            batches.push(changes(&rows));
            rows.clear();
        }
    }
    (batches, expected)
}

#[test]
fn random_changes_lead_to_the_table_they_describe() {
    let target = wc(mariadb::shared());
    let (batches, expected) = random_changes(7, 100_000, 20_000);
    let mut sink = target.open().expect("the table fits");
    for (number, batch) in batches.iter().enumerate() {
        sink.write(batch).expect("the batch is written");
        if number % 16 == 0 {
            sink.prepare(Epoch(number as u64 + 1)).expect("the flush succeeds");
        }
    }
    sink.prepare(Epoch(1_000)).expect("the flush succeeds");
    assert_eq!(target.counts(), expected);
}

#[test]
fn pace_of_upserts_is_shown() {
    let target = wc(mariadb::shared());
    let words: Vec<String> = (0..100_000).map(|n| format!("word-{}", n * 7_919 % 100_003)).collect();
    let mut sink = target.open().expect("the table fits");
    for round in 1..=2 {
        let started = Instant::now();
        for chunk in words.chunks(8_192) {
            let rows: Vec<(RowKind, &str, i64)> = chunk.iter().map(|w| (RowKind::Insert, w.as_str(), round)).collect();
            sink.write(&changes(&rows)).expect("the batch is written");
        }
        sink.prepare(Epoch(round.unsigned_abs())).expect("the flush succeeds");
        let pace = words.len() as f64 / started.elapsed().as_secs_f64();
        println!("jdbc upserts, round {round}: {pace:.0} rows/s");
    }
    assert_eq!(target.rows("SELECT COUNT(*) FROM $t WHERE cnt = 2")[0].get::<i64, _>(0), 100_000);
}

#[test]
fn wrong_password_is_refused_without_showing_it() {
    let target = wc(mariadb::shared()).with("password", "hunter2-not-the-one");
    let error = target.refused();
    let shown = format!("{error} {error:?} {}", error.hint().unwrap_or_default());
    assert!(shown.contains("Access denied") && shown.contains("127.0.0.1"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(!error.is_retriable());
    let absent = wc(mariadb::shared()).with("url", &mariadb::shared().jdbc_url().replace("/eddyline", "/nowhere"));
    let error = absent.refused();
    assert!(error.to_string().contains("Unknown database 'nowhere'") && !error.is_retriable(), "{error}");
}

#[test]
fn server_that_does_not_answer_is_an_error_within_ten_seconds() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let silent_port = silent.local_addr().expect("a bound address").port();
    for port in [free_port(), silent_port] {
        let started = Instant::now();
        let target = Target::new(mariadb::shared(), "", wc_fields(), &["word"]);
        let error = target.with("url", &format!("jdbc:mysql://127.0.0.1:{port}/x")).refused();
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
        assert!(error.is_retriable());
    }
}

#[test]
fn missing_table_is_named_with_the_statement_that_creates_it() {
    let target = Target::new(mariadb::shared(), "", wc_fields(), &["word"]);
    let error = target.refused();
    assert!(error.to_string().contains(&format!("table '{}' does not exist", target.name)), "{error}");
    let hint = error.hint().expect("a hint").to_string();
    let (_, create) = hint.split_once("Create it with: ").expect("a CREATE TABLE statement");
    target.server.execute(create);
    let mut sink = target.open().expect("the created table fits");
    sink.write(&changes(&[(RowKind::Insert, "a", 1)])).expect("the batch is written");
    sink.prepare(Epoch(1)).expect("the flush succeeds");
    assert_eq!(target.counts(), HashMap::from([("a".into(), 1)]));
    let near =
        Target::new(mariadb::shared(), "", wc_fields(), &["word"]).with("table-name", &format!("{}x", target.name));
    assert!(near.refused().hint().unwrap_or_default().contains(&format!("did you mean '{}'", target.name)));
}

#[test]
fn tables_that_do_not_fit_are_refused_with_a_reason() {
    let refuse = |definition: &str, part: &str, hint_part: &str| {
        let error = Target::new(mariadb::shared(), definition, wc_fields(), &["word"]).refused();
        assert!(error.to_string().contains(part), "{definition}: {error}");
        assert!(error.hint().unwrap_or_default().contains(hint_part), "{definition}: {:?}", error.hint());
        assert!(!error.is_retriable());
    };
    let word = "word VARCHAR(255) COLLATE utf8mb4_bin";
    refuse(&format!("({word} PRIMARY KEY, cmt BIGINT)"), "no column 'cnt'", "did you mean 'cmt'");
    refuse(&format!("({word} PRIMARY KEY, cnt DATE)"), "cannot hold BIGINT", "CAST");
    refuse(&format!("({word} PRIMARY KEY, cnt FLOAT)"), "cnt' of table", "CAST");
    refuse(&format!("({word}, cnt BIGINT)"), "no primary or unique key on exactly (word)", "none");
    refuse(&format!("({word}, cnt BIGINT, PRIMARY KEY (word, cnt))"), "exactly (word)", "(word, cnt)");
    refuse(&format!("({word}, cnt BIGINT, UNIQUE (word(10)))"), "exactly (word)", "none");
    refuse(
        "(word VARCHAR(255) COLLATE utf8mb4_general_ci PRIMARY KEY, cnt BIGINT)",
        "utf8mb4_general_ci",
        "utf8mb4_bin",
    );
    refuse(&format!("({word} PRIMARY KEY, cnt BIGINT, x INT NOT NULL)"), "column 'x'", "default");
    refuse(&format!("({word} PRIMARY KEY, cnt BIGINT AS (1))"), "'cnt' of table", "leave 'cnt' out");
}

#[test]
fn collation_that_merges_keys_needs_the_users_word() {
    let ci = "(word VARCHAR(255) COLLATE utf8mb4_general_ci PRIMARY KEY, cnt BIGINT)";
    let target = Target::new(mariadb::shared(), ci, wc_fields(), &["word"]);
    let target = target.with("eddyline.sink.allow-collation", "true");
    let mut sink = target.open().expect("the user allows it");
    sink.write(&changes(&[(RowKind::Insert, "Ab", 1), (RowKind::Insert, "ab ", 2)])).expect("the batch is taken");
    sink.prepare(Epoch(1)).expect("the flush succeeds");
    assert_eq!(target.counts().len(), 1);
}

#[test]
fn key_that_ends_in_a_space_is_refused_where_spaces_do_not_count() {
    let target = wc(mariadb::shared());
    let mut sink = target.open().expect("the table fits");
    sink.write(&changes(&[(RowKind::Insert, "a ", 1)])).expect("the batch is taken");
    let error = sink.prepare(Epoch(1)).expect_err("the key is ambiguous");
    assert!(error.to_string().contains("must not end in a space"), "{error}");
    let no_pad = if mariadb::shared().is_mariadb() { "utf8mb4_nopad_bin" } else { "utf8mb4_0900_bin" };
    let exact = format!("(word VARCHAR(255) COLLATE {no_pad} PRIMARY KEY, cnt BIGINT)");
    let target = Target::new(mariadb::shared(), &exact, wc_fields(), &["word"]);
    let mut sink = target.open().expect("the table fits");
    sink.write(&changes(&[(RowKind::Insert, "a ", 1), (RowKind::Insert, "a", 2)])).expect("the batch is taken");
    sink.prepare(Epoch(1)).expect("the flush succeeds");
    assert_eq!(target.counts().len(), 2);
}

#[test]
fn values_that_would_be_changed_fail_and_name_their_row() {
    let refuse = |column: &str, array: ArrayRef, parts: &[&str]| {
        let definition = format!("(id BIGINT PRIMARY KEY, v {column})");
        let fields = vec![Field::new("id", DataType::Int64, false), Field::new("v", array.data_type().clone(), true)];
        let target = Target::new(mariadb::shared(), &definition, fields, &["id"]);
        let mut sink = target.open().expect("the types fit");
        let rows = array.len();
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(40..40 + rows as i64));
        sink.write(&one_row(vec![("id", ids), ("v", array)])).expect("the batch is taken");
        let error = sink.prepare(Epoch(1)).expect_err(column);
        for part in parts {
            assert!(error.to_string().contains(part), "{column}: {error}");
        }
        assert!(!error.is_retriable(), "the same row would come again");
        assert!(target.rows("SELECT id FROM $t").is_empty(), "nothing of the flush may stay");
    };
    refuse("VARCHAR(3)", Arc::new(StringArray::from(vec!["abc", "abcd"])), &["'abcd'", "column 'v'", "(id = '41')"]);
    refuse("VARCHAR(3)", Arc::new(StringArray::from(vec!["abc "])), &["too long"]);
    refuse("TINYINT", Arc::new(Int64Array::from(vec![1, 2, 128])), &["1264", "column 'v'", "(id = '42')"]);
    refuse("BIGINT NOT NULL", Arc::new(Int64Array::from(vec![None])), &["1048", "'v'", "(id = '40')"]);
    refuse(
        "DATETIME",
        Arc::new(TimestampMillisecondArray::from(vec![1_500])),
        &["digits after the second", "00:00:01.500"],
    );
    let price = Decimal128Array::from(vec![1_005]).with_precision_and_scale(10, 3).expect("it fits");
    refuse("DECIMAL(10,2)", Arc::new(price), &["1.005", "more than 2 digits"]);
    refuse("DOUBLE", Arc::new(Float64Array::from(vec![f64::NAN])), &["NaN"]);
    refuse("VARCHAR(9) CHARACTER SET latin1", Arc::new(StringArray::from(vec!["日"])), &["1366"]);
}

#[test]
fn every_type_arrives_as_it_was() {
    let columns: Vec<(&str, &str, ArrayRef, &str)> = vec![
        ("b", "BOOLEAN", Arc::new(BooleanArray::from(vec![true])), "1"),
        ("i8", "TINYINT", Arc::new(Int8Array::from(vec![-128])), "-128"),
        ("i64", "BIGINT", Arc::new(Int64Array::from(vec![i64::MIN])), "-9223372036854775808"),
        ("f32", "FLOAT", Arc::new(Float32Array::from(vec![0.1])), "0.1"),
        ("f64", "DOUBLE", Arc::new(Float64Array::from(vec![0.1])), "0.1"),
        (
            "d",
            "DECIMAL(38,10)",
            Arc::new(Decimal128Array::from(vec![-1_i128]).with_precision_and_scale(38, 10).expect("it fits")),
            "-0.0000000001",
        ),
        ("s", "LONGTEXT", Arc::new(StringArray::from(vec!["日本 😀'"])), "日本 😀'"),
        ("y", "VARBINARY(9)", Arc::new(BinaryArray::from(vec![&b"\x00\xff'"[..]])), "00FF27"),
        ("da", "DATE", Arc::new(Date32Array::from(vec![-1])), "1969-12-31"),
        ("ti", "TIME(3)", Arc::new(Time32MillisecondArray::from(vec![86_399_999])), "23:59:59.999"),
        ("ts", "DATETIME(6)", Arc::new(TimestampMicrosecondArray::from(vec![-1])), "1969-12-31 23:59:59.999999"),
        (
            "tz",
            "TIMESTAMP(3)",
            Arc::new(TimestampMillisecondArray::from(vec![1_609_330_394_120]).with_timezone("UTC")),
            "2020-12-30 12:13:14.120",
        ),
        ("t0", "DATETIME", Arc::new(TimestampMillisecondArray::from(vec![1_000])), "1970-01-01 00:00:01"),
        ("st", "VARCHAR(9)", Arc::new(Int64Array::from(vec![7])), "7"),
    ];
    let names: Vec<&str> = columns.iter().map(|c| c.0).collect();
    // All of them, but FLOAT and DOUBLE, also as one composite key: what is written can be found and deleted.
    let key: Vec<&str> = names.iter().copied().filter(|n| !n.starts_with('f') && *n != "s").collect();
    let collation = |name: &str| if name == "st" { " COLLATE utf8mb4_bin" } else { "" };
    let ddl: Vec<String> = columns.iter().map(|c| format!("{} {}{}", c.0, c.1, collation(c.0))).collect();
    let definition = format!("({}, PRIMARY KEY ({}))", ddl.join(", "), key.join(", "));
    let fields = columns.iter().map(|c| Field::new(c.0, c.2.data_type().clone(), true)).collect();
    let target = Target::new(mariadb::shared(), &definition, fields, &key);
    let mut sink = target.open().expect("the types fit");
    let row = one_row(columns.iter().map(|c| (c.0, c.2.clone())).collect());
    sink.write(&row).expect("the batch is taken");
    sink.prepare(Epoch(1)).expect("the flush succeeds");
    let casts: Vec<String> =
        names.iter().map(|n| if *n == "y" { "HEX(y)".into() } else { format!("CAST(`{n}` AS CHAR)") }).collect();
    let found = &target.rows(&format!("SELECT {} FROM $t", casts.join(", ")))[0];
    for (index, column) in columns.iter().enumerate() {
        assert_eq!(found.get::<String, _>(index), column.3, "column {}", column.0);
    }
    let deletion = ChangelogBatch::new(row.rows().clone(), [RowKind::Delete].into_iter().collect());
    sink.write(&deletion).expect("the batch is taken");
    sink.prepare(Epoch(2)).expect("the flush succeeds");
    assert!(target.rows("SELECT 1 FROM $t").is_empty(), "the key must be found again");
}

#[test]
fn rows_without_a_key_are_appended() {
    let fields = wc_fields();
    let target = Target::new(mariadb::shared(), "(word TEXT, cnt BIGINT)", fields, &[])
        .with("eddyline.sink.exactly-once", "false");
    let mut sink = target.open().expect("the table fits");
    let rows: Vec<(RowKind, String, i64)> = (0..2_500).map(|n| (RowKind::Insert, "same".to_string(), n)).collect();
    sink.write(&changes(&rows)).expect("the batch is written");
    sink.prepare(Epoch(1)).expect("the flush succeeds");
    let sums = &target.rows("SELECT COUNT(*), CAST(SUM(cnt) AS SIGNED) FROM $t")[0];
    assert_eq!((sums.get::<i64, _>(0), sums.get::<i64, _>(1)), (2_500, 2_500 * 2_499 / 2));
}

#[test]
fn large_rows_are_cut_into_packets_that_the_server_takes() {
    let target = Target::new(mariadb::shared(), "(word LONGTEXT, cnt BIGINT)", wc_fields(), &[])
        .with("eddyline.sink.exactly-once", "false");
    let mut sink = target.open().expect("the table fits");
    let megabyte = "x".repeat(1 << 20);
    let mut rows: Vec<(RowKind, &str, i64)> = (0..30).map(|n| (RowKind::Insert, megabyte.as_str(), n)).collect();
    let ten = "x".repeat(10 << 20);
    rows.insert(3, (RowKind::Insert, &ten, 30));
    sink.write(&changes(&rows)).expect("the batch is taken");
    sink.prepare(Epoch(1)).expect("40 MB go through packets of 16 MB");
    let total = &target.rows("SELECT CAST(SUM(LENGTH(word)) AS SIGNED) FROM $t")[0];
    assert_eq!(total.get::<i64, _>(0), 40 << 20);
    let row = [(RowKind::Insert, "x".repeat(20 << 20), 1)];
    let error = sink.write(&changes(&row)).and_then(|()| sink.prepare(Epoch(2)).map(drop)).expect_err("too large");
    assert!(error.to_string().contains("bytes are more than the database takes"), "{error}");
}

#[test]
fn killed_connection_is_replaced_and_the_flush_redone() {
    let server = MariaDb::start();
    let target = wc(&server);
    let mut sink = target.open().expect("the table fits");
    sink.write(&changes(&[(RowKind::Insert, "a", 1)])).expect("the batch is taken");
    let others = "SELECT CAST(id AS SIGNED) FROM information_schema.processlist \
                  WHERE id <> CONNECTION_ID() AND user = 'eddy' AND db = 'eddyline'";
    let killed: Vec<i64> = server.query(others).iter().map(|row| row.get(0)).collect();
    assert!(!killed.is_empty(), "the sink keeps its connection");
    for id in killed {
        server.execute(&format!("KILL {id}"));
    }
    sink.prepare(Epoch(1)).expect("a lost connection is replaced");
    assert_eq!(target.counts(), HashMap::from([("a".into(), 1)]));
}

#[test]
fn server_crash_in_mid_write_loses_and_repeats_nothing() {
    let mut server = MariaDb::start();
    let description = wc(&server).description;
    let name = description.options["table-name"].clone();
    let (batches, expected) = random_changes(11, 60_000, 9_000);
    let (signal, crash) = std::sync::mpsc::channel();
    let writer = std::thread::spawn(move || {
        let subtask = Subtask { index: 0, parallelism: 1 };
        let context = SinkContext { subtask, pipeline: "p".into(), sink: "s".into(), guard: Guard::open() };
        let factory = JdbcConnector.sink(&description).expect("the options are right").factory;
        let mut sink = factory.open(&context).expect("the table fits");
        for (number, batch) in batches.iter().enumerate() {
            if number == batches.len() / 3 {
                signal.send(()).expect("the test listens");
            }
            sink.write(batch).expect("the sink waits for the server");
        }
        sink.prepare(Epoch(1)).expect("the flush succeeds");
    });
    crash.recv().expect("the writer gets there");
    server.kill();
    assert!(!writer.is_finished(), "the crash must hit in mid-write");
    server.restart();
    writer.join().expect("the writer survives");
    let rows = server.query(&format!("SELECT word, cnt FROM `{name}`"));
    let found: HashMap<String, i64> = rows.iter().map(|r| (r.get(0), r.get(1))).collect();
    assert_eq!(found, expected);
}
