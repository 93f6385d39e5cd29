//! What exactly-once costs: the same pass-through from Kafka to Kafka, at least once and exactly once in turn, with a
//! checkpoint every second.

use std::time::{Duration, Instant};

use eddyline_tests::services::kafka;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::filter::COLUMNS;
use super::{bounded, round_folder, settings};
use crate::Setup;
use crate::child::Measured;
use crate::report::{DRAIN_COLUMNS, Table, drain_figures};
use crate::topics::{self, PARTITIONS};

/// How long a reader waits for a message.
const PATIENCE: Duration = Duration::from_secs(30);
const GUARANTEES: [&str; 2] = ["at-least-once", "exactly-once"];

/// Measures both guarantees in turn, so that both see the same machine.
pub fn run(setup: &Setup) {
    let (topic, _) = topics::bids(setup.rows);
    let mut walls: [Vec<f64>; 2] = Default::default();
    let mut rounds: [Vec<Vec<f64>>; 2] = Default::default();
    for _ in 0..setup.rounds {
        for (which, guarantee) in GUARANTEES.iter().enumerate() {
            let usage = round(setup, &topic, guarantee);
            walls[which].push(usage[0]);
            rounds[which].push(usage);
        }
    }
    for (which, guarantee) in GUARANTEES.iter().enumerate() {
        let title = format!(
            "pass-through, JSON in Kafka → JSON in Kafka, {guarantee}: {} rows, checkpoint every second, parallelism {}",
            setup.rows, setup.parallelism
        );
        let mut table = Table::new(&title, DRAIN_COLUMNS);
        rounds[which].drain(..).for_each(|figures| table.round(figures));
        table.finish();
    }
    let ratios: Vec<String> = walls[0].iter().zip(&walls[1]).map(|(a, e)| format!("{:.0} %", 100.0 * a / e)).collect();
    println!("rows/s exactly once, as a share of at least once, round by round: {}", ratios.join(", "));
}

fn round(setup: &Setup, topic: &str, guarantee: &str) -> Vec<f64> {
    let folder = round_folder();
    let into = kafka::shared().fresh_topic("passed", PARTITIONS as i32);
    let sql = format!(
        "{}CREATE TABLE bids ({COLUMNS}) WITH ({});
CREATE TABLE passed ({COLUMNS}) WITH ('connector' = 'kafka', 'topic' = '{into}', \
         'properties.bootstrap.servers' = '{}', 'format' = 'json', 'sink.delivery-guarantee' = '{guarantee}', \
         'sink.transactional-id-prefix' = 'bench');
INSERT INTO passed SELECT * FROM bids;
",
        settings(setup, folder.path(), "passthrough", "1s"),
        bounded(topic, "json"),
        kafka::shared().bootstrap(),
    );
    let usage = Measured::start(&setup.binary, folder.path(), &sql).finish();
    assert_eq!(committed_rows(&into), setup.rows, "rows that a read_committed reader sees");
    // The topics of all rounds together would fill a disk.
    kafka::shared().delete_topic(&into);
    drain_figures(setup.rows, &usage)
}

/// Messages that a reader of committed transactions sees, without keeping them.
fn committed_rows(topic: &str) -> usize {
    let mut config = kafka::shared().client();
    config.set("group.id", "count").set("isolation.level", "read_committed").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut all = TopicPartitionList::new();
    for partition in 0..PARTITIONS as i32 {
        all.add_partition_offset(topic, partition, Offset::Beginning).expect("a partition");
    }
    consumer.assign(&all).expect("an assignment");
    let (mut rows, mut open, mut heard) = (0, PARTITIONS, Instant::now());
    while open > 0 {
        // Nothing may also mean an event of the client's own.
        let Some(polled) = consumer.poll(PATIENCE) else {
            assert!(heard.elapsed() < PATIENCE, "{topic}: neither a message nor an end within {PATIENCE:?}");
            continue;
        };
        heard = Instant::now();
        match polled {
            Ok(message) => rows += usize::from(message.payload().is_some()),
            Err(KafkaError::PartitionEOF(_)) => open -= 1,
            Err(error) => panic!("{topic}: {error}"),
        }
    }
    rows
}
