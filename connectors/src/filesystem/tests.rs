//! The `filesystem` connector over temporary folders.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, TimeUnit, TimestampMillisecondType};
use eddyline_engine::changelog::ChangelogBatch;
use eddyline_engine::connector::{
    ColumnKind, ConnectorFactory, EpochLog, Guard, Polled, Sink, SinkChanges, SinkContext, SinkFactory, SourceReader,
    SplitPosition, TableColumn, TableDescription,
};
use eddyline_engine::dataflow::Subtask;
use eddyline_engine::error::{Error, Result};
use eddyline_engine::testing::sink_suite::{TestTarget, check_sink};
use eddyline_engine::time::Epoch;

use super::FilesystemConnector;

fn physical(name: &str, data_type: DataType) -> TableColumn {
    TableColumn { field: Arc::new(Field::new(name, data_type, true)), kind: ColumnKind::Physical }
}

fn metadata(name: &str, key: &str, data_type: DataType) -> TableColumn {
    let kind = ColumnKind::Metadata { key: key.into(), is_virtual: true };
    TableColumn { field: Arc::new(Field::new(name, data_type, true)), kind }
}

fn table(path: &Path, format: &str, more: &[(&str, &str)]) -> TableDescription {
    let path = path.to_string_lossy();
    let mut options: BTreeMap<String, String> = more.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    for (key, value) in [("connector", "filesystem"), ("path", &*path), ("format", format)] {
        options.insert(key.into(), value.into());
    }
    let columns = vec![physical("id", DataType::Int32), physical("s", DataType::Utf8)];
    TableDescription { name: "t".into(), columns, primary_key: vec![], options }
}

fn reader(
    table: &TableDescription,
    index: usize,
    parallelism: usize,
    restored: Option<&[SplitPosition]>,
) -> Box<dyn SourceReader> {
    let source = FilesystemConnector.source(table).unwrap();
    assert!(source.bounded);
    source.factory.open(Subtask { index, parallelism }, restored).unwrap()
}

/// Everything that is left to read: the ids, and the splits that ended.
fn drain(reader: &mut dyn SourceReader, max_rows: usize) -> Result<(Vec<i32>, usize)> {
    let (mut ids, mut ended) = (Vec::new(), 0);
    loop {
        match reader.poll(max_rows, Duration::ZERO)? {
            Polled::Rows { batch, .. } => {
                assert!(batch.len() <= max_rows);
                ids.extend(batch.column(0).as_primitive::<Int32Type>().values());
            }
            Polled::SplitEnd(_) => ended += 1,
            Polled::Nothing => {}
            Polled::End => return Ok((ids, ended)),
        }
    }
}

fn lines(ids: std::ops::Range<i32>) -> String {
    ids.map(|id| format!("{{\"id\": {id}, \"s\": \"row {id}\"}}\n")).collect()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    fs::create_dir(folder.path().join("_temporary")).unwrap();
    fs::write(folder.path().join("b.json"), lines(20..30)).unwrap();
    fs::write(folder.path().join("a.json"), lines(0..20).trim_end()).unwrap();
    fs::write(folder.path().join("sub/c.json"), lines(30..35)).unwrap();
    fs::write(folder.path().join("sub/empty.json"), "").unwrap();
    fs::write(folder.path().join(".hidden"), "not json").unwrap();
    fs::write(folder.path().join("_SUCCESS"), "").unwrap();
    fs::write(folder.path().join("_temporary/x.json"), "not json").unwrap();
    folder
}

#[test]
fn all_files_of_a_folder_are_read_in_order() {
    let folder = folder();
    let table = table(folder.path(), "json", &[]);
    let mut reader = reader(&table, 0, 1, None);
    assert_eq!(reader.splits().len(), 4);
    assert_eq!(drain(reader.as_mut(), 7).unwrap(), ((0..35).collect(), 4));
    assert_eq!(reader.splits().len(), 0);
    let single = super::tests::table(&folder.path().join("b.json"), "json", &[]);
    assert_eq!(drain(super::tests::reader(&single, 0, 1, None).as_mut(), 100).unwrap(), ((20..30).collect(), 1));
}

#[test]
fn subtasks_share_the_files() {
    let folder = folder();
    let table = table(folder.path(), "json", &[]);
    let mut all = Vec::new();
    for index in 0..3 {
        all.extend(drain(reader(&table, index, 3, None).as_mut(), 100).unwrap().0);
    }
    all.sort_unstable();
    assert_eq!(all, (0..35).collect::<Vec<_>>());
}

#[test]
fn reading_goes_on_where_the_checkpoint_was_taken() {
    let folder = folder();
    let table = table(folder.path(), "json", &[]);
    // One row at a time: after each a restart, then everything must come exactly once.
    for stop in 0..35 {
        let mut first = reader(&table, 0, 1, None);
        let mut ids = Vec::new();
        while ids.len() < stop {
            if let Polled::Rows { batch, .. } = first.poll(1, Duration::ZERO).unwrap() {
                ids.extend(batch.column(0).as_primitive::<Int32Type>().values());
            }
        }
        let positions = first.positions().unwrap();
        assert_eq!(positions.len(), 4);
        // Restored at another parallelism.
        for index in 0..2 {
            ids.extend(drain(reader(&table, index, 2, Some(&positions)).as_mut(), 100).unwrap().0);
        }
        ids.sort_unstable();
        assert_eq!(ids, (0..35).collect::<Vec<_>>());
    }
}

#[test]
fn a_new_file_is_read_from_its_beginning_after_a_restart() {
    let folder = folder();
    let table = table(folder.path(), "json", &[]);
    let mut first = reader(&table, 0, 1, None);
    drain(first.as_mut(), 100).unwrap();
    let positions = first.positions().unwrap();
    fs::write(folder.path().join("aa.json"), lines(100..102)).unwrap();
    let (ids, _) = drain(reader(&table, 0, 1, Some(&positions)).as_mut(), 100).unwrap();
    assert_eq!(ids, [100, 101]);
}

#[test]
fn metadata_columns_describe_the_file() {
    let folder = folder();
    let path = folder.path().join("b.json");
    let mut table = table(&path, "json", &[]);
    let instant = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    table.columns.insert(0, metadata("path", "file.path", DataType::Utf8));
    table.columns.insert(2, metadata("size", "file.size", DataType::Int64));
    table.columns.push(metadata("name", "file.name", DataType::Utf8));
    table.columns.push(metadata("time", "file.modification-time", instant));
    let Polled::Rows { batch, .. } = reader(&table, 0, 1, None).poll(100, Duration::ZERO).unwrap() else {
        panic!("no rows")
    };
    assert_eq!(batch.rows().schema(), table.source_schema());
    assert_eq!(batch.column(0).as_string::<i32>().value(9), path.to_string_lossy());
    assert_eq!(batch.column(1).as_primitive::<Int32Type>().value(0), 20);
    assert_eq!(batch.column(2).as_primitive::<Int64Type>().value(0), i64::try_from(lines(20..30).len()).unwrap());
    assert_eq!(batch.column(4).as_string::<i32>().value(0), "b.json");
    assert!(batch.column(5).as_primitive::<TimestampMillisecondType>().value(0) > 1_600_000_000_000);
    table.columns.push(metadata("x", "file.nam", DataType::Utf8));
    let error = FilesystemConnector.source(&table).err().unwrap();
    assert_eq!(error.hint(), Some("did you mean 'file.name'?"));
}

#[test]
fn quoted_line_ends_of_csv_stay_in_the_field() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.csv");
    fs::write(&path, "1,\"a\nb\"\r\n2,plain\r\n3,\"x\"\"\n\"").unwrap();
    let table = table(&path, "csv", &[]);
    let Polled::Rows { batch, .. } = reader(&table, 0, 1, None).poll(100, Duration::ZERO).unwrap() else {
        panic!("no rows")
    };
    let texts: Vec<&str> = batch.column(1).as_string::<i32>().iter().flatten().collect();
    assert_eq!(texts, ["a\nb", "plain", "x\"\n"]);
    // The line number counts the line ends inside quotes.
    fs::write(&path, "1,\"a\nb\"\n2\n").unwrap();
    let error = drain(reader(&table, 0, 1, None).as_mut(), 1).unwrap_err().to_string();
    assert!(error.contains("in.csv, line 3)") && error.contains("2 fields expected but was 1"), "{error}");
}

#[test]
fn raw_lines_keep_blanks_and_empty_lines() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("in.txt"), "first line\n  indented\n\nlast\r\n").unwrap();
    let mut table = table(folder.path(), "raw", &[]);
    table.columns.remove(0);
    let Polled::Rows { batch, .. } = reader(&table, 0, 1, None).poll(100, Duration::ZERO).unwrap() else {
        panic!("no rows")
    };
    let texts: Vec<&str> = batch.column(0).as_string::<i32>().iter().flatten().collect();
    assert_eq!(texts, ["first line", "  indented", "", "last"]);
}

#[test]
fn messages_longer_than_a_chunk_are_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let long = "x".repeat(1_000_000);
    let text: String = (0..5).map(|id| format!("{{\"id\": {id}, \"s\": \"{long}\"}}\n")).collect();
    fs::write(folder.path().join("in.json"), text).unwrap();
    let (ids, _) = drain(reader(&table(folder.path(), "json", &[]), 0, 1, None).as_mut(), 2).unwrap();
    assert_eq!(ids, [0, 1, 2, 3, 4]);
}

#[test]
fn errors_name_file_and_line_and_skipped_lines_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("in.json"), lines(0..3) + "\n{\"id\": 3, \"s\": \"cut off\n" + &lines(4..6)).unwrap();
    let strict = table(folder.path(), "json", &[]);
    let error = drain(reader(&strict, 0, 1, None).as_mut(), 100).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("Failed to deserialize JSON") && text.contains("in.json, line 5)"), "{text}");
    assert!(matches!(error, Error::Data { hint: Some(_), .. }));
    let lenient = table(folder.path(), "json", &[("json.ignore-parse-errors", "true")]);
    let mut reader = reader(&lenient, 0, 1, None);
    assert_eq!(drain(reader.as_mut(), 100).unwrap().0, [0, 1, 2, 4, 5]);
    assert_eq!(reader.skipped_messages(), 1);
}

#[test]
fn bad_options_are_refused() {
    let folder = folder();
    let error = |path: &Path, format: &str, more: &[(&str, &str)]| {
        let table = table(path, format, more);
        let opened =
            FilesystemConnector.source(&table).and_then(|s| s.factory.open(Subtask { index: 0, parallelism: 1 }, None));
        let error = opened.err().unwrap();
        format!("{error} | {}", error.hint().unwrap_or_default())
    };
    let path = folder.path();
    assert!(error(&path.join("none"), "json", &[]).contains("does not exist"));
    assert!(error(Path::new("s3://bucket/x"), "json", &[]).contains("scheme 's3'"));
    let text = error(path, "jsonn", &[]);
    assert!(
        text.contains("Could not find any format factory for identifier 'jsonn'") && text.contains("'json'"),
        "{text}"
    );
    assert!(error(path, "json", &[("source.monitor-interval", "1s")]).contains("not supported yet"));
    let text = error(path, "json", &[("json.ignore-parse-error", "true")]);
    assert!(text.contains("Unsupported options") && text.contains("json.ignore-parse-errors"), "{text}");
    let mut without = table(path, "json", &[]);
    without.options.remove("format");
    assert!(FilesystemConnector.source(&without).err().unwrap().to_string().contains("missing"));
}

fn batch(ids: std::ops::Range<i32>) -> ChangelogBatch {
    let schema = table(Path::new("/"), "json", &[]).physical_schema();
    let texts: StringArray = ids.clone().map(|id| Some(format!("row {id}"))).collect();
    let rows = RecordBatch::try_new(schema, vec![Arc::new(Int32Array::from_iter_values(ids)), Arc::new(texts)]);
    ChangelogBatch::inserts(rows.unwrap())
}

fn context(index: usize) -> SinkContext {
    let subtask = Subtask { index, parallelism: 2 };
    SinkContext { subtask, pipeline: "p".into(), sink: "s".into(), guard: Guard::open() }
}

fn sink(table: &TableDescription, index: usize) -> Box<dyn Sink> {
    let sink = FilesystemConnector.sink(table).unwrap();
    assert_eq!(sink.factory.guarantee(), "exactly-once");
    sink.factory.open(&context(index)).unwrap()
}

/// As a new process would: with nothing but the logs.
fn apply(table: &TableDescription, epoch: u64, logs: &[EpochLog]) {
    let logs: Vec<_> = logs.iter().cloned().map(Arc::new).collect();
    let factory = FilesystemConnector.sink(table).unwrap().factory;
    factory.committer(&context(0)).unwrap().unwrap().apply(Epoch(epoch), &logs).unwrap();
}

fn visible(table: &TableDescription) -> Vec<i32> {
    let mut ids = drain(reader(table, 0, 1, None).as_mut(), 100).unwrap().0;
    ids.sort_unstable();
    ids
}

#[test]
fn rows_become_visible_with_their_epoch_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let table = table(&folder.path().join("out/deep"), "json", &[]);
    let (mut first, mut second) = (sink(&table, 0), sink(&table, 1));
    first.write(&batch(0..5)).unwrap();
    second.write(&batch(5..8)).unwrap();
    assert!(visible(&table).is_empty());
    let logs = [first.prepare(Epoch(1)).unwrap(), second.prepare(Epoch(1)).unwrap()];
    first.write(&batch(8..10)).unwrap();
    assert!(visible(&table).is_empty());
    for _ in 0..2 {
        apply(&table, 1, &logs);
        assert_eq!(visible(&table), (0..8).collect::<Vec<_>>());
    }
    assert_eq!(second.prepare(Epoch(2)).unwrap(), EpochLog::empty());
    let last = first.prepare(Epoch(2)).unwrap();
    // A crash before apply: another attempt applies the log that the checkpoint holds.
    drop(first);
    apply(&table, 2, &[last]);
    assert_eq!(visible(&table), (0..10).collect::<Vec<_>>());
}

#[test]
fn rows_of_a_failed_attempt_never_show() {
    let folder = tempfile::tempdir().unwrap();
    let table = table(folder.path(), "csv", &[]);
    let mut failed = sink(&table, 0);
    failed.write(&batch(0..5)).unwrap();
    drop(failed);
    let mut again = sink(&table, 0);
    again.write(&batch(0..5)).unwrap();
    let log = again.prepare(Epoch(1)).unwrap();
    apply(&table, 1, &[log]);
    assert_eq!(visible(&table), (0..5).collect::<Vec<_>>());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let name = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().file_name();
    let name = name.to_string_lossy();
    assert!(name.starts_with("part-") && name.ends_with("-0-0"), "{name}");
}

#[test]
fn parts_roll_at_the_size_of_the_option() {
    let folder = tempfile::tempdir().unwrap();
    let table = table(folder.path(), "csv", &[("sink.rolling-policy.file-size", "30b")]);
    let mut sink = sink(&table, 0);
    sink.write(&batch(0..10)).unwrap();
    let log = sink.prepare(Epoch(1)).unwrap();
    apply(&table, 1, &[log]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
    assert_eq!(visible(&table), (0..10).collect::<Vec<_>>());
}

#[test]
fn append_only_formats_refuse_updates_and_debezium_takes_them() {
    let folder = tempfile::tempdir().unwrap();
    let changes = |format: &str| FilesystemConnector.sink(&table(folder.path(), format, &[])).unwrap().changes;
    assert_eq!(changes("json"), SinkChanges::Append);
    assert_eq!(changes("csv"), SinkChanges::Append);
    assert_eq!(changes("debezium-json"), SinkChanges::Retract);
}

struct Folder(tempfile::TempDir);

impl TestTarget for Folder {
    fn factory(&self) -> Result<Arc<dyn SinkFactory>> {
        Ok(FilesystemConnector.sink(&table(self.0.path(), "json", &[]))?.factory)
    }

    fn batch(&self, numbers: &[i64]) -> ChangelogBatch {
        let ids: ArrayRef = Arc::new(Int32Array::from_iter_values(numbers.iter().map(|n| *n as i32)));
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values(numbers.iter().map(|n| n.to_string())));
        let rows = RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("s", texts, true)]);
        ChangelogBatch::inserts(rows.unwrap())
    }

    fn visible(&self) -> Vec<i64> {
        let (mut ids, _) = drain(reader(&table(self.0.path(), "json", &[]), 0, 1, None).as_mut(), 8_192).unwrap();
        ids.sort_unstable();
        ids.into_iter().map(i64::from).collect()
    }

    fn keeps_marker(&self) -> bool {
        false
    }

    fn fences(&self) -> bool {
        false
    }
}

#[test]
fn sink_passes_the_suite() {
    check_sink(|| Folder(tempfile::tempdir().unwrap()));
}
