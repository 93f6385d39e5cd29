//! The broker inside the process.

use super::*;
use arrow::array::{RecordBatch, StringArray};
use eddyline_engine::time::Epoch;

#[test]
fn a_sink_and_a_source_meet_in_the_embedded_broker() {
    let table = Table::at("embedded", "words", "raw")
        .column("line", DataType::Utf8)
        .with("scan.startup.mode", "earliest-offset")
        .with("eddyline.embedded.partitions", "2")
        .with("properties.group.id", "g");
    let mut reader = table.reader();
    assert_eq!(reader.splits().len(), 2, "the topic is made by whoever comes first");
    assert!(matches!(reader.poll(10, Duration::from_millis(1)).unwrap(), Polled::Nothing));

    let mut sink = table.open_sink(ONE).unwrap();
    let lines: Vec<String> = (0..5000).map(|i| format!("word {i}")).collect();
    let rows = RecordBatch::try_new(table.sink_schema(), vec![Arc::new(StringArray::from(lines.clone()))]).unwrap();
    sink.write(&ChangelogBatch::inserts(rows)).unwrap();
    sink.prepare(Epoch(1)).unwrap();

    let read = next_rows(&mut *reader, 5000);
    let mut words: Vec<String> = read.iter().map(|row| row.split_once('|').unwrap().1.to_string()).collect();
    words.sort();
    assert_eq!(words, sorted(lines));
    let positions = reader.positions().unwrap();
    reader.checkpoint_complete(Epoch(1), &positions);
    let mut again = table.all().open(ONE, Some(&positions)).unwrap();
    assert_eq!(drain(&mut *again), Vec::<String>::new(), "nothing is read twice");
}

#[test]
fn what_the_embedded_broker_has_dropped_is_missed_loudly() {
    let table = Table::at("embedded", "too-much", "raw").column("line", DataType::Utf8);
    let table = table.with("scan.startup.mode", "earliest-offset").with("properties.compression.type", "none");
    let positions = table.reader().positions().unwrap();
    assert_eq!(offsets(&positions)["too-much-0"], 0);
    let mut sink = table.open_sink(ONE).unwrap();
    let lines = StringArray::from_iter_values((0..8000).map(|i| format!("{i:01000}")));
    let rows = RecordBatch::try_new(table.sink_schema(), vec![Arc::new(lines)]).unwrap();
    sink.write(&ChangelogBatch::inserts(rows)).unwrap();
    sink.prepare(Epoch(1)).unwrap();
    let error = table.open(ONE, Some(&positions)).err().expect("offset 0 is gone").to_string();
    assert!(error.contains("offset 0 of too-much-0"), "{error}");
}
