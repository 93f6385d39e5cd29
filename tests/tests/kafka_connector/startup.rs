//! Where reading starts and where it ends.

use super::*;
use eddyline_tests::services::kafka::Record;

#[test]
fn two_subtasks_read_four_partitions_once_and_in_order() {
    let topic = topic_of_lines(shared(), 4, 10_000);
    let table = Table::lines(&topic).all();
    let mut all = Vec::new();
    for index in 0..2 {
        let mut reader = table.open(Subtask { index, parallelism: 2 }, None).unwrap();
        assert_eq!(reader.splits().len(), 2, "half of the partitions each");
        let rows = drain(&mut *reader);
        assert_eq!(rows.len(), 5000);
        assert!(reader.progress().iter().all(|p| p.lag_rows == Some(0)), "{:?}", reader.progress());
        for split in reader.splits() {
            let partition: usize = split.rsplit_once('-').unwrap().1.parse().unwrap();
            let mine: Vec<&String> = rows.iter().filter(|row| row.starts_with(&format!("{split}|"))).collect();
            let expected: Vec<String> = (partition..10_000).step_by(4).map(|i| format!("{split}|line {i}")).collect();
            assert_eq!(mine, expected.iter().collect::<Vec<_>>(), "in the order of {split}");
        }
        all.extend(rows);
    }
    assert_eq!(all.len(), 10_000);
}

#[test]
fn a_poll_brings_at_most_the_rows_asked_for_and_of_one_split() {
    let topic = topic_of_lines(shared(), 2, 100);
    let mut reader = Table::lines(&topic).all().reader();
    let mut seen = 0;
    loop {
        match reader.poll(7, Duration::from_millis(100)).unwrap() {
            Polled::Rows { batch, .. } => {
                assert!(batch.len() <= 7);
                seen += batch.len();
                let read: i64 = offsets(&reader.positions().unwrap()).values().sum();
                assert_eq!(read, seen as i64, "positions agree with the rows handed out");
            }
            Polled::End => break,
            Polled::Nothing | Polled::SplitEnd(_) => {}
        }
    }
    assert_eq!(seen, 100);
}

#[test]
fn every_split_ends_before_the_reader_does() {
    let topic = topic_of_lines(shared(), 3, 1);
    let mut reader = Table::lines(&topic).all().reader();
    let mut ended = Vec::new();
    loop {
        match reader.poll(10, Duration::from_millis(100)).unwrap() {
            Polled::SplitEnd(split) => ended.push(split.to_string()),
            Polled::End => break,
            _ => {}
        }
    }
    assert_eq!(sorted(ended), (0..3).map(|p| format!("{topic}-{p}")).collect::<Vec<_>>());
}

#[test]
fn latest_offset_is_fixed_before_the_first_row() {
    let topic = topic_of_lines(shared(), 2, 10);
    let mut reader = Table::lines(&topic).with("scan.startup.mode", "latest-offset").reader();
    let positions = offsets(&reader.positions().unwrap());
    assert_eq!(positions, BTreeMap::from([(format!("{topic}-0"), 5), (format!("{topic}-1"), 5)]));
    shared().produce_lines(&topic, 1, ["late"]);
    assert_eq!(next_rows(&mut *reader, 1), [format!("{topic}-0|late")]);
}

#[test]
fn timestamp_starts_at_the_first_message_of_that_time() {
    let topic = shared().fresh_topic("times", 1);
    // Within the last hour: the broker deletes what is older than its retention.
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock after 1970");
    let base = since_epoch.as_millis() as i64 - 3_600_000;
    let at = |millis: i64| Record {
        value: Some(format!("at {millis}").into_bytes()),
        timestamp_ms: Some(base + millis),
        ..Record::default()
    };
    shared().produce(&topic, [at(1000), at(2000), at(3000)]);
    let from = |millis: i64| {
        let table = Table::lines(&topic).all().with("scan.startup.mode", "timestamp");
        drain(&mut *table.with("scan.startup.timestamp-millis", &(base + millis).to_string()).reader())
    };
    assert_eq!(from(1500), [format!("{topic}-0|at 2000"), format!("{topic}-0|at 3000")]);
    assert!(from(9000).is_empty());
    let until = Table::lines(&topic).all().with("scan.bounded.mode", "timestamp");
    let rows = drain(&mut *until.with("scan.bounded.timestamp-millis", &(base + 2000).to_string()).reader());
    assert_eq!(rows, [format!("{topic}-0|at 1000")]);
}

#[test]
fn specific_offsets_bound_the_read_on_both_sides() {
    let topic = topic_of_lines(shared(), 2, 20);
    let table = Table::lines(&topic)
        .with("scan.startup.mode", "specific-offsets")
        .with("scan.startup.specific-offsets", "partition:0,offset:8;partition:1,offset:3")
        .with("scan.bounded.mode", "specific-offsets")
        .with("scan.bounded.specific-offsets", "partition:0,offset:10;partition:1,offset:4");
    let expected = ["0|line 16", "0|line 18", "1|line 7"].map(|row| format!("{topic}-{row}"));
    assert_eq!(sorted(drain(&mut *table.reader())), expected);
}

#[test]
fn group_offsets_start_at_what_was_committed() {
    let topic = topic_of_lines(shared(), 1, 10);
    let group = shared().fresh_name("group");
    let table = || Table::lines(&topic).all().with("scan.startup.mode", "group-offsets");
    let table = || table().with("properties.group.id", &group);

    let refusal = table().refusal();
    assert!(refusal.contains(&group) && refusal.contains(&format!("{topic}-0")), "{refusal}");
    assert!(refusal.contains("'properties.auto.offset.reset'"), "{refusal}");
    let from_earliest = table().with("properties.auto.offset.reset", "earliest");
    assert_eq!(drain(&mut *from_earliest.reader()).len(), 10);
    let from_latest = table().with("properties.auto.offset.reset", "latest");
    assert_eq!(drain(&mut *from_latest.reader()).len(), 0);

    shared().commit(&group, &topic, 0, 7);
    assert_eq!(drain(&mut *table().reader()).len(), 3);
}

#[test]
fn several_topics_and_patterns_are_read_together() {
    let (a, b) = (topic_of_lines(shared(), 2, 4), topic_of_lines(shared(), 1, 3));
    let list = Table::lines(&format!("{a};{b}")).all();
    assert_eq!(drain(&mut *list.reader()).len(), 7);
    let pattern = Table::lines("x").without("topic").with("topic-pattern", &format!("{a}|{b}")).all();
    assert_eq!(drain(&mut *pattern.reader()).len(), 7);
}

#[test]
fn aborted_transactions_are_not_read_and_markers_do_not_hold_up_the_end() {
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
    let topic = shared().fresh_topic("transactions", 1);
    let id = shared().fresh_name("tx");
    let producer: BaseProducer = shared().client().set("transactional.id", id).create().unwrap();
    producer.init_transactions(DEADLINE).unwrap();
    for (line, commit) in [("committed", true), ("aborted", false), ("also committed", true), ("also aborted", false)] {
        producer.begin_transaction().unwrap();
        producer.send(BaseRecord::<str, str>::to(&topic).payload(line)).unwrap();
        match commit {
            true => producer.commit_transaction(DEADLINE).unwrap(),
            false => {
                producer.flush(DEADLINE).unwrap();
                producer.abort_transaction(DEADLINE).unwrap();
            }
        }
    }
    let mut reader = Table::lines(&topic).all().reader();
    assert_eq!(drain(&mut *reader), [format!("{topic}-0|committed"), format!("{topic}-0|also committed")]);
    assert_eq!(offsets(&reader.positions().unwrap())[&format!("{topic}-0")], 8, "four messages and four markers");
}
