//! What a `read_committed` reader sees of a topic while a job writes to it, and whether transactions were left open.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::OwnedMessage;
use rdkafka::{Offset, TopicPartitionList};

use crate::services::kafka::Kafka;

const WAIT: Duration = Duration::from_secs(10);

/// Reads a topic from its beginning, and goes on as more becomes visible.
pub struct Committed {
    consumer: BaseConsumer,
    topic: String,
    partitions: i32,
}

impl Committed {
    /// A reader of all partitions of `topic`.
    pub fn new(kafka: &Kafka, topic: &str, partitions: i32) -> Committed {
        let consumer = consumer(kafka, "read_committed");
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
        }
        consumer.assign(&list).expect("an assignment");
        Committed { consumer, topic: topic.to_string(), partitions }
    }

    /// What has become visible since the last call: until nothing comes for `quiet`, or `most` messages.
    pub fn take(&self, most: usize, quiet: Duration) -> Vec<OwnedMessage> {
        let mut messages = Vec::new();
        while messages.len() < most {
            match self.consumer.poll(quiet) {
                Some(Ok(message)) => messages.push(message.detach()),
                // A broker that restarts is waited for by the client.
                Some(Err(KafkaError::MessageConsumption(_))) => {}
                Some(Err(error)) => panic!("cannot read {}: {error}", self.topic),
                None => break,
            }
        }
        messages
    }

    /// True if a transaction is open: its first message is the end of what may be read.
    pub fn is_any_open(&self, kafka: &Kafka) -> bool {
        let everything = consumer(kafka, "read_uncommitted");
        (0..self.partitions).any(|partition| {
            let end = |of: &BaseConsumer| of.fetch_watermarks(&self.topic, partition, WAIT).expect("offsets").1;
            end(&self.consumer) != end(&everything)
        })
    }
}

fn consumer(kafka: &Kafka, isolation: &str) -> BaseConsumer {
    kafka
        .client()
        .set("group.id", "eddyline-tests-committed")
        .set("isolation.level", isolation)
        .set("enable.auto.commit", "false")
        .set("queued.max.messages.kbytes", "16384")
        .create()
        .expect("a consumer")
}
