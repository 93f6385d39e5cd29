//! Going on from positions, offsets committed for monitoring, and partitions that appear or lose messages.

use super::*;

#[test]
fn reading_goes_on_at_the_positions_with_another_parallelism() {
    let topic = topic_of_lines(shared(), 4, 4000);
    let table = Table::lines(&topic).all();
    let (mut rows, mut positions) = (Vec::new(), Vec::new());
    for index in 0..2 {
        let mut reader = table.open(Subtask { index, parallelism: 2 }, None).unwrap();
        rows.extend(next_rows(&mut *reader, 700));
        positions.extend(reader.positions().unwrap());
    }
    assert_eq!(positions.len(), 4, "all partitions, also those without a row yet");
    // Written after the start: a bounded read does not see them, not even after a restore.
    shared().produce_lines(&topic, 4, (0..8).map(|i| format!("later {i}")));
    for index in 0..3 {
        let mut reader = table.open(Subtask { index, parallelism: 3 }, Some(&positions)).unwrap();
        rows.extend(drain(&mut *reader));
    }
    let mut lines: Vec<&str> = rows.iter().map(|row| row.split_once('|').unwrap().1).collect();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!((rows.len(), lines.len()), (4000, 4000), "each line once");
    assert!(lines.iter().all(|line| line.starts_with("line ")));
}

#[test]
fn a_restore_ignores_the_startup_mode_and_reads_new_partitions_from_their_beginning() {
    let topic = topic_of_lines(shared(), 1, 3);
    let table = Table::lines(&topic).with("scan.startup.mode", "latest-offset");
    let positions = table.reader().positions().unwrap();
    assert_eq!(offsets(&positions), BTreeMap::from([(format!("{topic}-0"), 3)]));
    shared().add_partitions(&topic, 2);
    shared().produce_lines(&topic, 2, ["a", "b"]);
    let mut reader = table.open(ONE, Some(&positions)).unwrap();
    assert_eq!(sorted(next_rows(&mut *reader, 2)), [format!("{topic}-0|a"), format!("{topic}-1|b")]);
}

#[test]
fn new_partitions_are_found_while_reading() {
    let topic = topic_of_lines(shared(), 1, 1);
    let table = Table::lines(&topic)
        .with("scan.startup.mode", "latest-offset")
        .with("scan.topic-partition-discovery.interval", "50 ms");
    let mut reader = table.reader();
    shared().add_partitions(&topic, 3);
    shared().produce_lines(&topic, 3, ["p0", "p1", "p2"]);
    let expected = ["0|p0", "1|p1", "2|p2"].map(|row| format!("{topic}-{row}"));
    assert_eq!(sorted(next_rows(&mut *reader, 3)), expected);
    assert_eq!(reader.positions().unwrap().len(), 3);
}

#[test]
fn deleted_messages_are_missed_loudly() {
    let topic = topic_of_lines(shared(), 1, 10);
    let table = Table::lines(&topic).with("scan.startup.mode", "earliest-offset");
    let mut reader = table.reader();
    let mut positions = reader.positions().unwrap();
    shared().delete_before(&topic, 0, 5);
    let error = table.open(ONE, Some(&positions)).err().unwrap().to_string();
    assert!(
        error.contains("offset 0") && error.contains(&format!("{topic}-0")) && error.contains("offset 5"),
        "{error}"
    );
    drop(reader);

    positions[0].position = serde_json::json!({ "offset": 99 });
    let mut reader = table.open(ONE, Some(&positions)).unwrap();
    let deadline = Instant::now() + DEADLINE;
    let error = loop {
        assert!(Instant::now() < deadline, "an offset past the end is an error");
        if let Err(error) = reader.poll(10, Duration::from_millis(100)) {
            break error.to_string();
        }
    };
    assert!(error.contains("offset 99") && error.contains("out of range"), "{error}");
}

#[test]
fn offsets_are_committed_to_the_group_only_when_it_was_named() {
    let topic = topic_of_lines(shared(), 1, 10);
    let group = shared().fresh_name("monitor");
    let table = Table::lines(&topic).all();
    let mut reader = table.reader();
    drain(&mut *reader);
    let positions = reader.positions().unwrap();
    reader.checkpoint_complete(eddyline_engine::time::Epoch(1), &positions);
    drop(reader);
    assert_eq!(shared().committed("KafkaSource-t", &topic, 0), None);

    let mut reader = table.with("properties.group.id", &group).reader();
    drain(&mut *reader);
    reader.checkpoint_complete(eddyline_engine::time::Epoch(1), &positions);
    let committed = || shared().committed(&group, &topic, 0);
    eddyline_tests::services::process::wait_for("the commit", DEADLINE, || (committed() == Some(10)).then_some(()));
}
