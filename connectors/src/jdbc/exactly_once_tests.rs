//! Exactly-once and refused rows against SQLite files: what MySQL does alike.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use eddyline_engine::connector::{
    Committer, ConnectorFactory, EpochLog, Guard, SinkContext, SinkFactory, TableDescription,
};
use eddyline_engine::testing::sink_suite::{TestTarget, check_sink};
use eddyline_engine::time::Epoch;
use eddyline_engine::{ChangelogBatch, Error, Result, RowKind};
use sqlx::Row;

use super::JdbcConnector;
use super::tests::{changes, context, counts, open, query, table, wc};

const I: RowKind = RowKind::Insert;
const D: RowKind = RowKind::Delete;

/// A SQLite file with a table of numbers.
struct Numbers {
    _folder: tempfile::TempDir,
    path: PathBuf,
    options: Vec<(&'static str, &'static str)>,
    key: &'static [&'static str],
}

impl Numbers {
    fn new(key: &'static [&'static str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("numbers.db");
        query(&path, "CREATE TABLE wc (v BIGINT UNIQUE)");
        let options = vec![("eddyline.sink.exactly-once", "true")];
        Numbers { _folder: folder, path, options, key }
    }

    fn description(&self) -> TableDescription {
        table(&self.path, vec![Field::new("v", DataType::Int64, false)], self.key, &self.options)
    }

    fn committer(&self) -> Box<dyn Committer> {
        JdbcConnector.sink(&self.description()).unwrap().factory.committer(&context()).unwrap().unwrap()
    }

    fn log(&self, numbers: &[i64]) -> Vec<Arc<EpochLog>> {
        let mut sink = open(&self.description()).unwrap();
        sink.write(&self.batch(numbers)).unwrap();
        assert!(sink.log_bytes() > 0);
        let log = sink.prepare(Epoch(1)).unwrap();
        assert_eq!(sink.log_bytes(), 0);
        vec![Arc::new(log)]
    }
}

impl TestTarget for Numbers {
    fn factory(&self) -> Result<Arc<dyn SinkFactory>> {
        Ok(JdbcConnector.sink(&self.description())?.factory)
    }

    fn batch(&self, numbers: &[i64]) -> ChangelogBatch {
        let schema = Schema::new(vec![Field::new("v", DataType::Int64, false)]);
        let column = Arc::new(Int64Array::from(numbers.to_vec()));
        ChangelogBatch::inserts(RecordBatch::try_new(Arc::new(schema), vec![column]).unwrap())
    }

    fn visible(&self) -> Vec<i64> {
        query(&self.path, "SELECT v FROM wc ORDER BY rowid").iter().map(|row| row.get(0)).collect()
    }
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
fn upserts_and_deletions_are_applied_with_their_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wc.db");
    let table = wc(&path, &["word"], &[("eddyline.sink.exactly-once", "true")]);
    let factory = JdbcConnector.sink(&table).unwrap().factory;
    assert!(factory.needs_checkpoints() && factory.without_checkpoints().is_none());
    let mut committer = factory.committer(&context()).unwrap().unwrap();
    committer.fence(1).unwrap();
    committer.apply(Epoch(0), &[]).unwrap();
    let mut sink = factory.open(&context()).unwrap();
    sink.write(&changes(&[(I, "b", 1), (I, "gone", 1), (RowKind::UpdateAfter, "b", 2)])).unwrap();
    let first = Arc::new(sink.prepare(Epoch(1)).unwrap());
    sink.write(&changes(&[(D, "gone", 1), (I, "c", 3)])).unwrap();
    let second = Arc::new(sink.prepare(Epoch(2)).unwrap());
    committer.apply(Epoch(1), &[first]).unwrap();
    assert_eq!(counts(&path), [("b".into(), 2), ("gone".into(), 1)]);
    committer.apply(Epoch(2), &[second]).unwrap();
    assert_eq!(counts(&path), [("b".into(), 2), ("c".into(), 3)]);
}

/// 120 000 rows are three transactions; a trigger refuses a row of the second one until it is dropped.
#[test]
fn half_written_epoch_is_resumed_where_it_stopped() {
    let numbers = Numbers::new(&[]);
    let all: Vec<i64> = (0..120_000).collect();
    let log = numbers.log(&all);
    query(
        &numbers.path,
        "CREATE TRIGGER no BEFORE INSERT ON wc WHEN NEW.v = 70000 BEGIN SELECT RAISE(ABORT, 'not today'); END",
    );
    let mut committer = numbers.committer();
    committer.fence(1).unwrap();
    committer.apply(Epoch(4), &[]).unwrap();
    let error = committer.apply(Epoch(5), &log).unwrap_err();
    assert!(error.to_string().contains("not today") && error.to_string().contains("(v = '70000')"), "{error}");
    assert!(!error.is_retriable() && error.hint().unwrap().contains("sink.on-error"));
    let written = numbers.visible().len();
    assert!(written > 0 && written < 70_000, "{written} rows");
    let mut next = numbers.committer();
    next.fence(2).unwrap();
    assert_eq!(next.applied_up_to().unwrap(), Some(Epoch(4)), "epoch 5 is not there as a whole");
    assert_eq!(next.partly_applied().unwrap(), Some(Epoch(5)));
    query(&numbers.path, "DROP TRIGGER no");
    next.apply(Epoch(5), &log).unwrap();
    assert_eq!(numbers.visible(), all);
    assert_eq!((next.applied_up_to().unwrap(), next.partly_applied().unwrap()), (Some(Epoch(5)), None));
}

#[test]
fn lost_marker_is_not_made_up_for() {
    let numbers = Numbers::new(&[]);
    let mut committer = numbers.committer();
    committer.fence(3).unwrap();
    committer.apply(Epoch(1), &[]).unwrap();
    query(&numbers.path, "DELETE FROM __eddyline_commits");
    let error = committer.apply(Epoch(2), &numbers.log(&[1])).unwrap_err();
    assert!(error.to_string().contains("is gone") && !error.is_retriable(), "{error}");
    assert_eq!(numbers.visible(), [0; 0]);
    let mut next = numbers.committer();
    next.fence(4).unwrap();
    assert_eq!(next.applied_up_to().unwrap(), None, "which recovery takes for a lost marker");
}

#[test]
fn log_of_other_columns_is_refused() {
    let numbers = Numbers::new(&[]);
    query(&numbers.path, "ALTER TABLE wc ADD COLUMN w TEXT");
    let fields = vec![Field::new("v", DataType::Int64, false), Field::new("w", DataType::Utf8, true)];
    let wider = table(&numbers.path, fields, &[], &numbers.options);
    let mut committer = JdbcConnector.sink(&wider).unwrap().factory.committer(&context()).unwrap().unwrap();
    committer.fence(1).unwrap();
    let error = committer.apply(Epoch(1), &numbers.log(&[1])).unwrap_err();
    assert!(error.to_string().contains("(v Int64)") && error.hint().is_some(), "{error}");
}

#[test]
fn fence_is_refused_behind_a_newer_process() {
    let numbers = Numbers::new(&[]);
    numbers.committer().fence(5).unwrap();
    let error = numbers.committer().fence(4).unwrap_err();
    assert!(error.to_string().contains("generation 5") && !error.is_retriable(), "{error}");
    numbers.committer().fence(5).unwrap();
}

#[test]
fn sink_that_was_taken_over_writes_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wc.db");
    let ours = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&ours);
    let guard = Guard::new(move || match asked.load(Ordering::Relaxed) {
        true => Ok(()),
        false => Err(Error::checkpoint("taken over")),
    });
    let factory = JdbcConnector.sink(&wc(&path, &["word"], &[])).unwrap().factory;
    let mut sink = factory.open(&SinkContext { guard, ..context() }).unwrap();
    sink.write(&changes(&[(I, "a", 1)])).unwrap();
    ours.store(false, Ordering::Relaxed);
    assert!(sink.prepare(Epoch(1)).is_err());
    assert_eq!(counts(&path), []);
}

/// Words with counts of which those from 10 on are refused.
fn picky(path: &std::path::Path) {
    query(path, "CREATE TABLE wc (word TEXT PRIMARY KEY, cnt BIGINT NOT NULL CHECK (cnt < 10))");
}

fn many_with_bad_ones() -> (Vec<(RowKind, String, i64)>, Vec<(String, i64)>) {
    let bad = |n: i64| n % 700 == 3 || n == 0 || n == 2_499;
    let rows = (0..2_500).map(|n| (I, format!("w{n:05}"), if bad(n) { 10 + n } else { n % 10 }));
    let kept = (0..2_500).filter(|n| !bad(*n)).map(|n| (format!("w{n:05}"), n % 10));
    (rows.collect(), kept.collect())
}

fn write_all(table: &TableDescription) -> Result<()> {
    let factory = JdbcConnector.sink(table)?.factory;
    let mut sink = factory.open(&context())?;
    let (rows, _) = many_with_bad_ones();
    let rows: Vec<(RowKind, &str, i64)> = rows.iter().map(|(kind, word, n)| (*kind, word.as_str(), *n)).collect();
    sink.write(&changes(&rows))?;
    let log = Arc::new(sink.prepare(Epoch(1))?);
    if let Some(mut committer) = factory.committer(&context())? {
        committer.fence(1)?;
        committer.apply(Epoch(1), &[log])?;
    }
    Ok(())
}

#[test]
fn refused_rows_are_found_and_follow_the_rule() {
    for exactly_once in ["false", "true"] {
        let mode = ("eddyline.sink.exactly-once", exactly_once);
        let folder = tempfile::tempdir().unwrap();
        let fresh = |name: &str| {
            let path = folder.path().join(name);
            picky(&path);
            path
        };
        let path = fresh("fail.db");
        let error = write_all(&wc(&path, &["word"], &[mode])).unwrap_err();
        assert!(error.to_string().contains("(word = 'w00000')") && error.to_string().contains("CHECK"), "{error}");
        assert_eq!(counts(&path), [], "nothing of the flush may stay");

        let (_, kept) = many_with_bad_ones();
        let path = fresh("skip.db");
        write_all(&wc(&path, &["word"], &[mode, ("sink.on-error", "skip")])).unwrap();
        assert_eq!(counts(&path), kept);

        let path = fresh("dead.db");
        let letters = [mode, ("sink.on-error", "dead-letter"), ("sink.dead-letter-table", "dead \"rows")];
        write_all(&wc(&path, &["word"], &letters)).unwrap();
        assert_eq!(counts(&path), kept);
        let sql = "SELECT row_json, operation, reason, target FROM \"dead \"\"rows\" ORDER BY id";
        let dead: Vec<[String; 4]> =
            query(&path, sql).iter().map(|r| [0, 1, 2, 3].map(|i| r.get::<String, _>(i))).collect();
        assert_eq!(dead.len(), 2_500 - kept.len());
        assert_eq!(dead[0][..2], [r#"{"word":"w00000","cnt":"10"}"#.to_string(), "write".to_string()]);
        assert!(dead[0][2].contains("CHECK") && dead[0][3] == "wc", "{:?}", dead[0]);
    }
}

#[test]
fn value_that_would_be_changed_is_a_refused_row_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wc.db");
    let fields = vec![Field::new("word", DataType::Utf8, true), Field::new("cnt", DataType::Float64, true)];
    query(&path, "CREATE TABLE wc (word TEXT, cnt DOUBLE)");
    let options = [("eddyline.sink.exactly-once", "false"), ("sink.on-error", "skip")];
    let mut sink = open(&table(&path, fields, &[], &options)).unwrap();
    let words = Arc::new(arrow::array::StringArray::from(vec!["a", "b", "c"]));
    let counts = Arc::new(arrow::array::Float64Array::from(vec![1.5, f64::NAN, 2.5]));
    let rows = RecordBatch::try_from_iter_with_nullable([("word", words as _, true), ("cnt", counts as _, true)]);
    sink.write(&ChangelogBatch::inserts(rows.unwrap())).unwrap();
    sink.prepare(Epoch(1)).unwrap();
    let written: Vec<f64> = query(&path, "SELECT cnt FROM wc").iter().map(|r| r.get(0)).collect();
    assert_eq!(written, [1.5, 2.5]);
}
