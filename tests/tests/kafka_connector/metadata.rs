//! Metadata columns, keys, and messages without value.

use super::*;
use arrow::datatypes::TimeUnit;
use eddyline_tests::services::kafka::Record;

fn headers_type() -> DataType {
    let field = KafkaConnector.metadata().into_iter().find(|m| m.key == "headers").unwrap();
    field.data_type
}

fn timestamp_ltz() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

#[test]
fn every_metadata_column_can_be_read() {
    let topic = shared().fresh_topic("meta", 2);
    let header = |key: &str, value: &[u8]| (key.to_string(), value.to_vec());
    let record = Record {
        partition: Some(1),
        value: Some(b"hello".to_vec()),
        timestamp_ms: Some(1_700_000_000_123),
        headers: vec![header("trace", b"old"), header("source", b"web"), header("trace", b"new")],
        ..Record::default()
    };
    let tombstone = Record { partition: Some(1), ..Record::default() };
    shared().produce(&topic, [tombstone, record]);
    let table = Table::lines(&topic)
        .all()
        .metadata("topic", DataType::Utf8, "topic")
        .metadata("part", DataType::Int64, "partition")
        .metadata("at", DataType::Int64, "offset")
        .metadata("ts", timestamp_ltz(), "timestamp")
        .metadata("kind", DataType::Utf8, "timestamp-type")
        .metadata("headers", headers_type(), "headers");
    let mut reader = table.reader();
    let Polled::Rows { batch, .. } = wait_for_rows(&mut *reader) else { unreachable!("rows were waited for") };
    assert_eq!(batch.rows().schema(), table.0.source_schema());
    let text = texts("", &batch);
    assert_eq!(batch.len(), 2);
    let text = [&text[1]];
    let expected = format!("|hello|{topic}|1|1|2023-11-14T22:13:20.123Z|CreateTime|");
    assert!(text[0].starts_with(&expected), "{text:?}");
    assert!(batch.column(0).is_null(0), "without a value, raw is NULL");
    let headers = batch.column(6).as_map();
    let names: Vec<&str> = headers.keys().as_string::<i32>().iter().flatten().collect();
    let values: Vec<&[u8]> = headers.values().as_binary::<i32>().iter().flatten().collect();
    assert_eq!((names, values), (vec!["source", "trace"], vec![b"web".as_slice(), b"new"]), "the last duplicate wins");
}

fn wait_for_rows(reader: &mut dyn SourceReader) -> Polled {
    let deadline = Instant::now() + DEADLINE;
    loop {
        assert!(Instant::now() < deadline, "no rows within {DEADLINE:?}");
        let polled = reader.poll(100, Duration::from_millis(100)).unwrap();
        if matches!(polled, Polled::Rows { .. }) {
            return polled;
        }
    }
}

#[test]
fn key_columns_are_read_from_the_key() {
    let topic = shared().fresh_topic("keys", 1);
    let record = |key: Option<&str>, value: &str| Record {
        key: key.map(|k| k.as_bytes().to_vec()),
        value: Some(value.as_bytes().to_vec()),
        ..Record::default()
    };
    shared().produce(&topic, [record(Some("7"), r#"{"name":"a"}"#), record(None, r#"{"name":"b"}"#)]);
    let table = Table::at(&shared().bootstrap(), &topic, "json")
        .column("k_id", DataType::Utf8)
        .column("name", DataType::Utf8)
        .all()
        .with("key.format", "raw")
        .with("key.fields", "k_id")
        .with("key.fields-prefix", "k_")
        .with("value.fields-include", "EXCEPT_KEY");
    assert_eq!(drain(&mut *table.reader()), [format!("{topic}-0|7|a"), format!("{topic}-0|NULL|b")]);
}

#[test]
fn a_missing_value_is_a_row_only_in_raw() {
    let topic = shared().fresh_topic("nothing", 1);
    let only_key = Record { key: Some(b"k".to_vec()), ..Record::default() };
    let with_value = Record { value: Some(b"7".to_vec()), ..Record::default() };
    shared().produce(&topic, [only_key, with_value, Record::default()]);
    let keyed = |format: &str| {
        Table::at(&shared().bootstrap(), &topic, format)
            .column("id", DataType::Utf8)
            .column("v", DataType::Utf8)
            .all()
            .with("key.format", "raw")
            .with("key.fields", "id")
            .with("value.fields-include", "EXCEPT_KEY")
    };
    let expected = ["k|NULL", "NULL|7", "NULL|NULL"].map(|row| format!("{topic}-0|{row}"));
    assert_eq!(drain(&mut *keyed("raw").reader()), expected);
    assert_eq!(drain(&mut *keyed("csv").reader()), [format!("{topic}-0|NULL|7")]);
}
