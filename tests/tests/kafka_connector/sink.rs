//! What a sink writes, seen by another reader.

use super::*;
use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::TimeUnit;
use eddyline_engine::time::Epoch;
use rdkafka::Message;

fn batch(table: &Table, columns: Vec<ArrayRef>) -> ChangelogBatch {
    ChangelogBatch::inserts(RecordBatch::try_new(table.sink_schema(), columns).unwrap())
}

fn text(bytes: Option<&[u8]>) -> String {
    bytes.map_or("NULL".to_string(), |b| String::from_utf8_lossy(b).to_string())
}

#[test]
fn all_rows_have_arrived_when_the_barrier_passes() {
    let topic = shared().fresh_topic("out", 3);
    let table = Table::lines(&topic);
    let mut sink = table.open_sink(ONE).unwrap();
    for start in (0..20_000).step_by(1000) {
        let lines = StringArray::from_iter_values((start..start + 1000).map(|i| format!("row {i}")));
        sink.write(&batch(&table, vec![Arc::new(lines)])).unwrap();
    }
    assert!(sink.prepare(Epoch(1)).unwrap().is_empty());
    let read = shared().read_committed(&topic);
    let mut rows: Vec<String> = read.iter().map(|m| text(m.payload())).collect();
    rows.sort();
    rows.dedup();
    assert_eq!((read.len(), rows.len()), (20_000, 20_000));
}

#[test]
fn keys_timestamps_and_headers_are_written() {
    let topic = shared().fresh_topic("keyed", 4);
    let ts = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let table = Table::at(&shared().bootstrap(), &topic, "json")
        .column("id", DataType::Int32)
        .column("name", DataType::Utf8)
        .metadata("ts", ts, "timestamp")
        .with("key.format", "json")
        .with("key.fields", "id");
    let mut sink = table.open_sink(ONE).unwrap();
    let ids: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 1]));
    let names: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c"]));
    let times = TimestampMillisecondArray::from(vec![Some(5000), Some(6000), None]).with_timezone("UTC");
    sink.write(&batch(&table, vec![ids, names, Arc::new(times)])).unwrap();
    sink.prepare(Epoch(1)).unwrap();
    let read = shared().read_committed(&topic);
    let found = |name: &str| read.iter().find(|m| text(m.payload()).contains(name)).unwrap();
    assert_eq!(
        (text(found("\"a\"").key()), text(found("\"a\"").payload())),
        (r#"{"id":1}"#.into(), r#"{"id":1,"name":"a"}"#.into())
    );
    assert_eq!(found("\"b\"").timestamp().to_millis(), Some(6000));
    assert!(found("\"c\"").timestamp().to_millis() > Some(1_700_000_000_000), "NULL is now");
    assert_eq!(found("\"a\"").partition(), found("\"c\"").partition(), "one key, one partition");
}

#[test]
fn partitioners_choose_as_their_names_say() {
    let topic = shared().fresh_topic("partitioned", 3);
    let write = |partitioner: &str, index: usize| {
        let table = Table::lines(&topic).with("sink.partitioner", partitioner);
        let mut sink = table.open_sink(Subtask { index, parallelism: 5 }).unwrap();
        let lines = StringArray::from_iter_values((0..6).map(|i| format!("{partitioner} {i}")));
        sink.write(&batch(&table, vec![Arc::new(lines)])).unwrap();
        sink.prepare(Epoch(1)).unwrap();
    };
    write("fixed", 4);
    write("round-robin", 0);
    let read = shared().read_committed(&topic);
    let count = |word: &str, partition: i32| {
        read.iter().filter(|m| m.partition() == partition && text(m.payload()).starts_with(word)).count()
    };
    assert_eq!([0, 1, 2].map(|p| count("fixed", p)), [0, 6, 0]);
    assert_eq!([0, 1, 2].map(|p| count("round-robin", p)), [2, 2, 2]);
}

#[test]
fn an_undeliverable_message_fails_the_barrier() {
    let topic = shared().fresh_topic("limited", 1);
    // The broker refuses more than about a megabyte per message; we let it go out.
    let table = Table::lines(&topic).with("properties.max.request.size", "9000000");
    let mut sink = table.open_sink(ONE).unwrap();
    let line: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(3_000_000)]));
    let result = sink.write(&batch(&table, vec![line])).and_then(|_| sink.prepare(Epoch(1)));
    let error = result.expect_err("the broker refuses the message").to_string();
    assert!(error.contains(&format!("'{topic}'")) && error.contains("not delivered"), "{error}");
}
