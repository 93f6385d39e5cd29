//! The whole sink against SQLite files. (MySQL and MariaDB: `tests/tests/jdbc_connector.rs`.)
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray};
use arrow::array::{TimestampMillisecondArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use eddyline_engine::connector::{
    ColumnKind, ConnectorFactory, Guard, Sink, SinkChanges, SinkContext, TableColumn, TableDescription,
};
use eddyline_engine::dataflow::Subtask;
use eddyline_engine::time::Epoch;
use eddyline_engine::{ChangelogBatch, Result, RowKind};
use sqlx::{AssertSqlSafe, Connection, Row};

use super::JdbcConnector;

pub(super) fn table(path: &Path, fields: Vec<Field>, key: &[&str], options: &[(&str, &str)]) -> TableDescription {
    let url = format!("sqlite:{}", path.display());
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for (key, value) in [("connector", "jdbc"), ("url", &url), ("table-name", "wc")].iter().chain(options) {
        all.insert((*key).into(), (*value).into());
    }
    let column = |f: Field| TableColumn { field: Arc::new(f), kind: ColumnKind::Physical };
    TableDescription {
        name: "wc".into(),
        columns: fields.into_iter().map(column).collect(),
        primary_key: key.iter().map(|k| (*k).to_string()).collect(),
        options: all,
    }
}

pub(super) fn wc(path: &Path, key: &[&str], options: &[(&str, &str)]) -> TableDescription {
    let fields = vec![Field::new("word", DataType::Utf8, true), Field::new("cnt", DataType::Int64, true)];
    table(path, fields, key, options)
}

pub(super) fn context() -> SinkContext {
    let subtask = Subtask { index: 0, parallelism: 1 };
    SinkContext { subtask, pipeline: "p".into(), sink: "s".into(), guard: Guard::open() }
}

pub(super) fn open(table: &TableDescription) -> Result<Box<dyn Sink>> {
    JdbcConnector.sink(table)?.factory.open(&context())
}

pub(super) fn changes(rows: &[(RowKind, &str, i64)]) -> ChangelogBatch {
    let words: StringArray = rows.iter().map(|r| Some(r.1)).collect();
    let counts: Int64Array = rows.iter().map(|r| Some(r.2)).collect();
    let schema = Schema::new(vec![Field::new("word", DataType::Utf8, true), Field::new("cnt", DataType::Int64, true)]);
    let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(words), Arc::new(counts)]).unwrap();
    ChangelogBatch::new(batch, rows.iter().map(|r| r.0).collect())
}

pub(super) fn query(path: &Path, sql: &str) -> Vec<sqlx::sqlite::SqliteRow> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let url = format!("sqlite:{}?mode=rwc", path.display());
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap()
    })
}

pub(super) fn counts(path: &Path) -> Vec<(String, i64)> {
    query(path, "SELECT word, cnt FROM wc ORDER BY rowid").iter().map(|r| (r.get(0), r.get(1))).collect()
}

const I: RowKind = RowKind::Insert;
const B: RowKind = RowKind::UpdateBefore;
const A: RowKind = RowKind::UpdateAfter;
const D: RowKind = RowKind::Delete;

#[test]
fn table_is_created_and_upserted_when_prepared() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wc.db");
    let table = wc(&path, &["word"], &[]);
    assert_eq!(JdbcConnector.sink(&table).unwrap().changes, SinkChanges::Upsert);
    let mut sink = open(&table).unwrap();
    sink.write(&changes(&[(I, "b", 1), (I, "it's", 1), (B, "b", 1), (A, "b", 2), (I, "gone", 1)])).unwrap();
    assert_eq!(counts(&path), [], "nothing is due before the barrier");
    assert!(sink.prepare(Epoch(1)).unwrap().is_empty());
    assert_eq!(counts(&path), [("b".into(), 2), ("gone".into(), 1), ("it's".into(), 1)]);
    sink.write(&changes(&[(D, "gone", 1), (B, "it's", 1), (B, "b", 2), (A, "b", 3)])).unwrap();
    sink.prepare(Epoch(2)).unwrap();
    assert_eq!(counts(&path), [("b".into(), 3)]);
}

#[test]
fn rows_are_flushed_by_number_and_by_interval() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wc.db");
    let by_rows = [("sink.buffer-flush.max-rows", "2"), ("sink.buffer-flush.interval", "0")];
    let mut sink = open(&wc(&path, &["word"], &by_rows)).unwrap();
    sink.write(&changes(&[(I, "a", 1), (A, "a", 2)])).unwrap();
    sink.tick().unwrap();
    assert_eq!(counts(&path), [], "two changes of one key count once");
    sink.write(&changes(&[(I, "b", 1)])).unwrap();
    assert_eq!(counts(&path), [("a".into(), 2), ("b".into(), 1)]);
    let by_time = [("sink.buffer-flush.max-rows", "0"), ("sink.buffer-flush.interval", "1 ms")];
    let mut sink = open(&wc(&path, &["word"], &by_time)).unwrap();
    sink.write(&changes(&[(A, "a", 9)])).unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while counts(&path)[0].1 != 9 {
        assert!(std::time::Instant::now() < deadline, "tick did not flush");
        sink.tick().unwrap();
    }
}

#[test]
fn many_rows_go_in_many_statements_and_one_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wc.db");
    let each_batch = [("sink.buffer-flush.max-rows", "1000")];
    let mut sink = open(&wc(&path, &["word"], &each_batch)).unwrap();
    let words: Vec<String> = (0..2_345).map(|n| format!("w{n}")).collect();
    let rows: Vec<(RowKind, &str, i64)> = words.iter().map(|w| (I, w.as_str(), 1)).collect();
    sink.write(&changes(&rows)).unwrap();
    assert_eq!(counts(&path).len(), 2_345);
    let deletions: Vec<(RowKind, &str, i64)> = words.iter().skip(5).map(|w| (D, w.as_str(), 1)).collect();
    sink.write(&changes(&deletions)).unwrap();
    assert_eq!(counts(&path).len(), 5);
}

#[test]
fn composite_keys_are_upserted_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wc.db");
    let mut sink = open(&wc(&path, &["word", "cnt"], &[])).unwrap();
    sink.write(&changes(&[(I, "a", 1), (I, "a", 2), (I, "a", 1)])).unwrap();
    sink.prepare(Epoch(1)).unwrap();
    assert_eq!(counts(&path), [("a".into(), 1), ("a".into(), 2)]);
    sink.write(&changes(&[(D, "a", 2), (I, "a", 1)])).unwrap();
    sink.prepare(Epoch(2)).unwrap();
    assert_eq!(counts(&path), [("a".into(), 1)]);
}

#[test]
fn without_a_key_rows_are_appended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wc.db");
    let table = wc(&path, &[], &[]);
    assert_eq!(JdbcConnector.sink(&table).unwrap().changes, SinkChanges::Append);
    let factory = JdbcConnector.sink(&table).unwrap().factory;
    assert_eq!((factory.guarantee(), factory.needs_checkpoints()), ("exactly-once", false));
    let factory = factory.without_checkpoints().expect("a job without checkpoints gets less");
    assert_eq!(factory.guarantee(), "at-least-once");
    let mut sink = factory.open(&context()).unwrap();
    sink.write(&changes(&[(I, "a", 1), (I, "a", 1)])).unwrap();
    sink.prepare(Epoch(1)).unwrap();
    assert_eq!(counts(&path), [("a".into(), 1), ("a".into(), 1)]);
    assert!(sink.write(&changes(&[(D, "a", 1)])).is_err());
}

#[test]
fn every_type_arrives_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wc.db");
    let columns: Vec<(Field, ArrayRef)> = vec![
        (Field::new("id", DataType::Int64, false), Arc::new(Int64Array::from(vec![i64::MIN]))),
        (
            Field::new("price", DataType::Decimal128(38, 3), true),
            Arc::new(Decimal128Array::from(vec![-1_i128]).with_precision_and_scale(38, 3).unwrap()),
        ),
        (Field::new("day", DataType::Date32, true), Arc::new(Date32Array::from(vec![-1]))),
        (
            Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), true),
            Arc::new(TimestampMillisecondArray::from(vec![1_500])),
        ),
        (
            Field::new("before", DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), true),
            Arc::new(TimestampNanosecondArray::from(vec![-1_000]).with_timezone("UTC")),
        ),
        (Field::new("nothing", DataType::Utf8, true), Arc::new(StringArray::from(vec![None::<&str>]))),
    ];
    let fields: Vec<Field> = columns.iter().map(|c| c.0.clone()).collect();
    let schema = Arc::new(Schema::new(fields.clone()));
    let batch = RecordBatch::try_new(schema, columns.into_iter().map(|c| c.1).collect()).unwrap();
    let mut sink = open(&table(&path, fields, &["id"], &[])).unwrap();
    sink.write(&ChangelogBatch::inserts(batch)).unwrap();
    sink.prepare(Epoch(1)).unwrap();
    let row = &query(&path, "SELECT id || '', price, day, at, \"before\", \"nothing\" FROM wc")[0];
    let texts: Vec<Option<String>> = (0..6).map(|i| row.get_unchecked(i)).collect();
    let expected = ["-9223372036854775808", "-0.001", "1969-12-31", "1970-01-01 00:00:01.500"];
    assert_eq!(texts[..4], expected.map(|t| Some(t.to_string())));
    assert_eq!(texts[4..], [Some("1969-12-31 23:59:59.999999".to_string()), None]);
}

#[test]
fn tables_that_do_not_fit_are_refused_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let refuse = |ddl: &str, part: &str, hint_part: &str| {
        let path = folder.path().join("x.db");
        query(&path, "DROP TABLE IF EXISTS wc");
        query(&path, ddl);
        let error = open(&wc(&path, &["word"], &[])).err().unwrap_or_else(|| panic!("accepted: {ddl}"));
        assert!(error.to_string().contains(part), "{error}");
        assert!(error.hint().unwrap_or_default().contains(hint_part), "{:?}", error.hint());
        assert!(!error.is_retriable());
    };
    refuse("CREATE TABLE wc (word TEXT PRIMARY KEY, cmt BIGINT)", "no column 'cnt'", "did you mean 'cmt'");
    refuse("CREATE TABLE wc (word TEXT PRIMARY KEY, cnt TEXT, x TEXT NOT NULL)", "column 'x'", "declare the column");
    refuse("CREATE TABLE wc (word INT PRIMARY KEY, cnt BIGINT)", "cannot hold STRING", "CAST");
    refuse("CREATE TABLE wc (word TEXT, cnt BIGINT)", "no primary or unique key on exactly (word)", "PRIMARY KEY");
    refuse("CREATE TABLE wc (word TEXT COLLATE NOCASE PRIMARY KEY, cnt BIGINT)", "collation NOCASE", "allow-collation");
    refuse("CREATE TABLE wc (word TEXT, cnt BIGINT, PRIMARY KEY (word, cnt))", "exactly (word)", "(word, cnt)");
}

#[test]
fn value_that_the_database_refuses_fails_the_write() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wc.db");
    query(&path, "CREATE TABLE wc (word TEXT PRIMARY KEY, cnt BIGINT CHECK (cnt < 10))");
    let mut sink = open(&wc(&path, &["word"], &[])).unwrap();
    sink.write(&changes(&[(I, "big", 10)])).unwrap();
    let error = sink.prepare(Epoch(1)).unwrap_err();
    assert!(error.to_string().contains("(word = 'big')") && error.to_string().contains("CHECK"), "{error}");
    assert!(!error.is_retriable());
}

#[test]
fn options_are_checked() {
    let path = Path::new("never-made.db");
    let refuse = |options: &[(&str, &str)], part: &str| {
        let error = JdbcConnector.sink(&wc(path, &["word"], options)).err().expect("refused");
        let text = format!("{error} {}", error.hint().unwrap_or_default());
        assert!(text.contains(part), "{text}");
    };
    refuse(&[("sink.buffer-flush.max-row", "1")], "did you mean 'sink.buffer-flush.max-rows'");
    refuse(&[("username", "u")], "'username' and 'password' belong together");
    refuse(&[("url", "jdbc:postgresql://h/x")], "PostgreSQL is not supported yet");
    refuse(&[("sink.max-retries", "-1")], "must not be negative");
    refuse(&[("sink.on-error", "skipp")], "did you mean 'skip'");
    refuse(&[("sink.on-error", "dead-letter")], "needs the option 'sink.dead-letter-table'");
    refuse(&[("sink.dead-letter-table", "bad")], "has no effect");
    assert!(JdbcConnector.source(&wc(path, &[], &[])).is_err());
}
