//! The `upsert-kafka` connector: what its messages mean, and what it refuses.

use super::*;
use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use eddyline_engine::RowKind;
use eddyline_engine::time::Epoch;
use eddyline_tests::services::kafka::Record;
use rdkafka::Message;

/// A table of `id` (key) and `name`, JSON both.
fn upserts(topic: &str) -> Table {
    let mut table = Table::at(&shared().bootstrap(), topic, "json")
        .without("format")
        .with("connector", "upsert-kafka")
        .with("key.format", "json")
        .with("value.format", "json");
    let field = |name: &str, data_type| Arc::new(Field::new(name, data_type, false));
    let fields = [field("id", DataType::Int32), field("name", DataType::Utf8)];
    table.0.columns.extend(fields.map(|field| TableColumn { field, kind: ColumnKind::Physical }));
    table.0.primary_key = vec!["id".to_string()];
    table
}

fn bounded(table: Table) -> Table {
    table.with("scan.bounded.mode", "latest-offset")
}

fn record(key: Option<&str>, value: Option<&str>) -> Record {
    let bytes = |text: &str| text.as_bytes().to_vec();
    Record { partition: Some(0), key: key.map(bytes), value: value.map(bytes), ..Record::default() }
}

/// Key and value of every message.
fn messages(topic: &str) -> Vec<(String, String)> {
    let text = |bytes: Option<&[u8]>| bytes.map_or("none".to_string(), |b| String::from_utf8_lossy(b).to_string());
    shared().read_committed(topic).iter().map(|m| (text(m.key()), text(m.payload()))).collect()
}

fn changes(table: &Table, rows: &[(RowKind, i32, &str)]) -> ChangelogBatch {
    let ids: ArrayRef = Arc::new(Int32Array::from_iter_values(rows.iter().map(|r| r.1)));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.2)));
    let batch = RecordBatch::try_new(table.sink_schema(), vec![ids, names]).unwrap();
    ChangelogBatch::new(batch, rows.iter().map(|r| r.0).collect())
}

#[test]
fn the_key_says_which_row_and_no_value_deletes_it() {
    let topic = shared().fresh_topic("upserts", 1);
    let records = [
        record(Some(r#"{"id":1}"#), Some(r#"{"id":1,"name":"a"}"#)),
        record(Some(r#"{"id":2}"#), None),
        // What the value repeats of the key does not count, nor need it be there.
        record(Some(r#"{"id":3}"#), Some(r#"{"name":"c"}"#)),
        record(Some(r#"{"id":1}"#), None),
    ];
    shared().produce(&topic, records);
    let table = bounded(upserts(&topic));
    let mut reader = table.reader();
    let (mut kinds, mut rows) = (Vec::new(), Vec::new());
    let deadline = Instant::now() + DEADLINE;
    while rows.len() < 4 {
        assert!(Instant::now() < deadline, "only {rows:?} within {DEADLINE:?}");
        if let Polled::Rows { batch, .. } = reader.poll(3, Duration::from_millis(100)).unwrap() {
            kinds.extend((0..batch.len()).map(|row| batch.kind(row).symbol()));
            rows.extend(texts("", &batch));
        }
    }
    assert_eq!(kinds, ["+I", "-D", "+I", "-D"]);
    assert_eq!(rows, ["|1|a", "|2|NULL", "|3|c", "|1|NULL"]);
}

#[test]
fn a_message_without_key_is_refused_with_its_place() {
    let topic = shared().fresh_topic("keyless", 1);
    let good = record(Some(r#"{"id":1}"#), Some(r#"{"id":1,"name":"a"}"#));
    shared().produce(&topic, [good, record(None, Some(r#"{"id":2,"name":"b"}"#))]);
    let mut reader = bounded(upserts(&topic)).reader();
    assert_eq!(next_rows(&mut *reader, 1), [format!("{topic}-0|1|a")]);
    let error = reader.poll(10, DEADLINE).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("a message without key"), "{text}");
    assert!(text.contains(&format!("topic '{topic}', partition 0, offset 1")), "{text}");
    assert!(!error.is_retriable() && error.hint().unwrap().contains("its producer must set the key"), "{error:?}");
}

#[test]
fn deletions_are_written_as_tombstones_and_old_halves_not_at_all() {
    use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};
    let topic = shared().fresh_topic("written", 3);
    let table = upserts(&topic);
    let mut sink = table.open_sink(ONE).unwrap();
    let first = [(Insert, 1, "a"), (Insert, 2, "b"), (UpdateBefore, 1, "a"), (UpdateAfter, 1, "A"), (Delete, 2, "b")];
    sink.write(&changes(&table, &first)).unwrap();
    // A filter has dropped the new half.
    sink.write(&changes(&table, &[(UpdateBefore, 1, "A"), (Insert, 3, "c")])).unwrap();
    sink.prepare(Epoch(1)).unwrap();
    let written = messages(&topic);
    let of = |id: i32| -> Vec<&str> {
        let key = format!(r#"{{"id":{id}}}"#);
        written.iter().filter(|(k, _)| *k == key).map(|(_, value)| value.as_str()).collect()
    };
    assert_eq!(of(1), [r#"{"id":1,"name":"a"}"#, r#"{"id":1,"name":"A"}"#, "none"]);
    assert_eq!(of(2), [r#"{"id":2,"name":"b"}"#, "none"]);
    assert_eq!(of(3), [r#"{"id":3,"name":"c"}"#]);
}

#[test]
fn a_buffered_sink_sends_the_last_change_per_key() {
    use RowKind::{Delete, Insert, UpdateAfter};
    let topic = shared().fresh_topic("buffered", 1);
    let table = upserts(&topic).with("sink.buffer-flush.max-rows", "3").with("sink.buffer-flush.interval", "1 h");
    let mut sink = table.open_sink(ONE).unwrap();
    let rows = [(Insert, 1, "a"), (UpdateAfter, 1, "b"), (Insert, 2, "x"), (UpdateAfter, 1, "c"), (Delete, 2, "x")];
    sink.write(&changes(&table, &rows)).unwrap();
    sink.tick().unwrap();
    assert_eq!(messages(&topic), [], "two keys wait for a third");
    sink.prepare(Epoch(1)).unwrap();
    let pair = |key: &str, value: &str| (key.to_string(), value.to_string());
    let flushed = [pair(r#"{"id":1}"#, r#"{"id":1,"name":"c"}"#), pair(r#"{"id":2}"#, "none")];
    assert_eq!(messages(&topic), flushed, "the barrier lets nothing wait");
    sink.write(&changes(&table, &[(Insert, 4, "p"), (Insert, 5, "q"), (Insert, 6, "r"), (Insert, 7, "s")])).unwrap();
    sink.prepare(Epoch(2)).unwrap();
    assert_eq!(messages(&topic).len(), 6);
}

#[test]
fn null_in_the_primary_key_is_not_written() {
    let topic = shared().fresh_topic("null", 1);
    let mut table = upserts(&topic);
    table.0.columns[0].field = Arc::new(Field::new("id", DataType::Int32, true));
    let mut sink = table.open_sink(ONE).unwrap();
    let columns: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(vec![None])), Arc::new(StringArray::from(vec!["a"]))];
    let batch = RecordBatch::try_new(table.sink_schema(), columns).unwrap();
    let error = sink.write(&ChangelogBatch::inserts(batch)).unwrap_err().to_string();
    assert!(error.starts_with("Column 'id' is part of the PRIMARY KEY, however, a null value"), "{error}");
}

#[test]
fn the_prefix_of_key_columns_is_not_in_the_key() {
    let topic = shared().fresh_topic("prefixed", 1);
    let mut table = upserts(&topic).with("key.fields-prefix", "k_").with("value.fields-include", "EXCEPT_KEY");
    table.0.columns[0].field = Arc::new(Field::new("k_id", DataType::Int32, false));
    table.0.primary_key = vec!["k_id".to_string()];
    let mut sink = table.open_sink(ONE).unwrap();
    sink.write(&changes(&table, &[(RowKind::Insert, 1, "a"), (RowKind::Delete, 2, "b")])).unwrap();
    sink.prepare(Epoch(1)).unwrap();
    let pair = |key: &str, value: &str| (key.to_string(), value.to_string());
    assert_eq!(messages(&topic), [pair(r#"{"id":1}"#, r#"{"name":"a"}"#), pair(r#"{"id":2}"#, "none")]);
    assert_eq!(drain(&mut *bounded(table).reader()), ["1|a", "2|NULL"].map(|row| format!("{topic}-0|{row}")));
}

#[test]
fn what_makes_no_sense_is_refused_in_the_words_of_flink() {
    let refusal = |table: &Table| {
        let source = table.connector().source(&table.0).err().expect("refused as a source").to_string();
        let sink = table.connector().sink(&table.0).err().expect("refused as a sink").to_string();
        assert_eq!(source, sink);
        source
    };
    let mut table = upserts("t");
    table.0.primary_key.clear();
    let keyless = refusal(&table);
    assert!(keyless.starts_with("'upsert-kafka' tables require to define a PRIMARY KEY constraint."), "{keyless}");
    for (key, value, words) in [
        ("value.format", "debezium-json", "'upsert-kafka' connector doesn't support 'debezium-json' as value format"),
        ("key.format", "debezium-json", "'upsert-kafka' connector doesn't support 'debezium-json' as key format"),
        ("scan.startup.mode", "latest-offset", "Unsupported options: scan.startup.mode"),
        ("format", "json", "Unsupported options: format"),
        ("key.fields", "id", "Unsupported options: key.fields"),
        ("sink.partitioner", "fixed", "Unsupported options: sink.partitioner"),
    ] {
        let refused = refusal(&upserts("t").with(key, value));
        assert!(refused.contains(words), "{refused}");
    }
    let missing = refusal(&upserts("t").without("key.format"));
    assert_eq!(missing, "One or more required options are missing for 'upsert-kafka': key.format");
    let half = upserts("t").with("sink.buffer-flush.max-rows", "5");
    let error = half.connector().sink(&half.0).err().unwrap().to_string();
    assert!(error.contains("must be set to be greater than zero together to enable sink buffer flushing"), "{error}");
}
