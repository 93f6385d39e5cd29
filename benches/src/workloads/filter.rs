//! Filter: bids as JSON, half of them pass, into nothing or into a Kafka topic as JSON.

use std::time::Duration;

use eddyline_tests::services::kafka;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::{bounded, round_folder, settings};
use crate::Setup;
use crate::child::Measured;
use crate::report::{DRAIN_COLUMNS, Table, drain_figures};
use crate::topics::{self, MEDIAN_PRICE, PARTITIONS};

pub(super) const COLUMNS: &str = "auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING, \
                       `dateTime` TIMESTAMP(3), extra STRING";

/// Measures one sink after the other over the same topic.
pub fn run(setup: &Setup, into_blackhole: bool, into_kafka: bool) {
    if !into_blackhole && !into_kafka {
        return;
    }
    let (topic, passing) = topics::bids(setup.rows);
    if into_blackhole {
        measure(setup, &topic, "filter, JSON bids → blackhole", || "'connector' = 'blackhole'".into(), || ());
    }
    if into_kafka {
        let into = kafka::shared().fresh_topic("filtered", PARTITIONS as i32);
        let sink = || {
            let server = format!("'properties.bootstrap.servers' = '{}'", kafka::shared().bootstrap());
            format!("'connector' = 'kafka', 'topic' = '{into}', {server}, 'format' = 'json'")
        };
        let written = std::cell::Cell::new(0);
        let check = || {
            let before = written.replace(messages_in(&into));
            assert_eq!(written.get() - before, passing as i64, "messages written by this round");
        };
        measure(setup, &topic, "filter, JSON bids → JSON in Kafka", sink, check);
    }
}

fn measure(setup: &Setup, topic: &str, title: &str, sink: impl Fn() -> String, check: impl Fn()) {
    let title = format!("{title}: {} rows, half pass, parallelism {}", setup.rows, setup.parallelism);
    let mut table = Table::new(&title, DRAIN_COLUMNS);
    for _ in 0..setup.rounds {
        let folder = round_folder();
        let sql = format!(
            "{}CREATE TABLE bids ({COLUMNS}) WITH ({});
CREATE TABLE passed ({COLUMNS}) WITH ({}{});
INSERT INTO passed SELECT * FROM bids WHERE price >= {MEDIAN_PRICE};
",
            settings(setup, folder.path(), "filter", "5s"),
            bounded(topic, "json"),
            sink(),
            setup.sink_options
        );
        let usage = Measured::start(&setup.binary, folder.path(), &sql).finish();
        check();
        table.round(drain_figures(setup.rows, &usage));
    }
    table.finish();
}

fn messages_in(topic: &str) -> i64 {
    let probe: BaseConsumer = kafka::shared().client().create().expect("a consumer");
    let end = |partition| probe.fetch_watermarks(topic, partition, Duration::from_secs(30)).expect("the offsets").1;
    (0..PARTITIONS as i32).map(end).sum()
}
