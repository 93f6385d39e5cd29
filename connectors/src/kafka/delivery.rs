//! How encoded messages reach their topic: sent at once, or gathered in an epoch log for the committer.
//!
//! [`Target`] is everything of a Kafka sink that does not depend on how rows become messages; the connectors `kafka` and
//! `upsert-kafka` share it. [`Delivery`] takes the messages of one subtask.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use eddyline_engine::connector::{Committer, EpochLog, Options, SinkContext};
use eddyline_engine::error::Result;
use rdkafka::ClientConfig;

use super::client::missing_topic;
use super::exactly_once::log::LogWriter;
use super::exactly_once::partition::Choice;
use super::interrupt::Interrupt;
use super::options::{Guarantee, Partitioner, SinkOptions};
use super::producer::{Outgoing, Producer, too_large};
use super::{embedded, exactly_once, properties};

/// How long the end of a job waits for messages that nobody has to wait for.
const LAST_FLUSH: Duration = Duration::from_secs(5);

/// One encoded row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Encoded<'a> {
    /// None for a message without key.
    pub(crate) key: Option<&'a [u8]>,
    /// None for a tombstone.
    pub(crate) value: Option<&'a [u8]>,
    /// Milliseconds since the epoch; None is now.
    pub(crate) timestamp_ms: Option<i64>,
    /// Names and values.
    pub(crate) headers: &'a [(&'a str, Option<&'a [u8]>)],
}

/// A topic to write to, with a guarantee.
pub(crate) struct Target {
    options: SinkOptions,
    config: ClientConfig,
    /// Of the running attempt.
    interrupt: Mutex<Interrupt>,
}

impl Target {
    /// The target that a table's options name; they must be checked. Contacts nothing yet.
    pub(crate) fn parse(options: &Options) -> Result<Self> {
        let parsed = SinkOptions::parse(options)?;
        let config = properties::producer(options, &parsed)?;
        Ok(Target { options: parsed, config, interrupt: Mutex::default() })
    }

    /// Connects one subtask, and checks what can be checked before rows flow.
    pub(crate) fn open(&self, context: &SinkContext) -> Result<Delivery> {
        let topic = &self.options.topic;
        let mut config = self.config.clone();
        if let Some(partitions) = self.options.embedded {
            config.set("bootstrap.servers", embedded::bootstrap()?);
            embedded::create_topic(topic, partitions)?;
        }
        let producer = Producer::new(&config, topic, self.lock().clone())?;
        let known = producer.client().topics()?;
        let partitions = known.get(topic).ok_or_else(|| missing_topic(topic, &known))?.len() as i32;
        let guarantee = self.options.guarantee;
        let choice = choice(&self.options, context.subtask.index as i32, partitions);
        let way = match guarantee {
            Guarantee::ExactlyOnce => Way::Logged { log: LogWriter::default(), limit: Limit::new(&config, topic) },
            Guarantee::AtLeastOnce | Guarantee::None => Way::Sent(producer),
        };
        Ok(Delivery { guarantee, choice, way })
    }

    /// As [`eddyline_engine::connector::SinkFactory::committer`]. Begins an attempt: what interrupted the last one is
    /// forgotten.
    pub(crate) fn committer(&self, context: &SinkContext) -> Result<Option<Box<dyn Committer>>> {
        let interrupt = Interrupt::default();
        *self.lock() = interrupt.clone();
        if self.options.guarantee != Guarantee::ExactlyOnce {
            return Ok(None);
        }
        exactly_once::open(&self.options, &self.config, context, interrupt).map(Some)
    }

    /// As [`eddyline_engine::connector::SinkFactory::interrupt`].
    pub(crate) fn interrupt(&self) {
        self.lock().set();
    }

    fn lock(&self) -> MutexGuard<'_, Interrupt> {
        self.interrupt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`eddyline_engine::connector::SinkFactory::guarantee`].
    pub(crate) fn guarantee(&self) -> &'static str {
        match self.options.guarantee {
            Guarantee::None => "none",
            Guarantee::AtLeastOnce => "at-least-once",
            Guarantee::ExactlyOnce => "exactly-once",
        }
    }

    /// As [`eddyline_engine::connector::SinkFactory::needs_checkpoints`].
    pub(crate) fn needs_checkpoints(&self) -> bool {
        self.options.guarantee == Guarantee::ExactlyOnce
    }
}

/// How subtask `subtask` chooses partitions. What is logged must be chosen now, by us; librdkafka chooses only for
/// messages that are sent at once, which lets it use partitions that are added later.
fn choice(options: &SinkOptions, subtask: i32, partitions: i32) -> Choice {
    let own = subtask.rem_euclid(partitions);
    match options.partitioner {
        Partitioner::Default if options.guarantee == Guarantee::ExactlyOnce => {
            Choice::Keyed { current: own, written: 0, partitions }
        }
        Partitioner::Default => Choice::Client,
        Partitioner::Fixed => Choice::Fixed(own),
        Partitioner::RoundRobin => Choice::Next { next: own, partitions },
    }
}

/// Takes the messages of one subtask.
pub(crate) struct Delivery {
    guarantee: Guarantee,
    choice: Choice,
    way: Way,
}

enum Way {
    Sent(Producer),
    Logged { log: LogWriter, limit: Limit },
}

/// How large a message may be. One that is logged must be found out at once: in a checkpoint it would stop the job
/// again and again.
struct Limit {
    topic: String,
    bytes: usize,
}

impl Limit {
    /// librdkafka's limit.
    fn new(config: &ClientConfig, topic: &str) -> Self {
        let given = config.get("message.max.bytes").and_then(|text| text.parse().ok());
        Limit { topic: topic.to_string(), bytes: given.unwrap_or(1_000_000) }
    }

    fn check(&self, message: &Outgoing<'_>) -> Result<()> {
        let bytes = message.bytes();
        if bytes > self.bytes { Err(too_large(&self.topic, bytes)) } else { Ok(()) }
    }
}

impl Delivery {
    /// Takes a message. May wait for room, which is backpressure.
    pub(crate) fn send(&mut self, message: &Encoded<'_>) -> Result<()> {
        let bytes = message.key.map_or(0, <[u8]>::len) + message.value.map_or(0, <[u8]>::len);
        let mut outgoing = Outgoing {
            partition: self.choice.next(message.key, bytes),
            key: message.key,
            value: message.value,
            timestamp_ms: message.timestamp_ms,
            headers: message.headers,
        };
        match &mut self.way {
            Way::Sent(producer) => producer.send(&outgoing),
            Way::Logged { log, limit } => {
                limit.check(&outgoing)?;
                // The time of writing, not that of a commit which may be repeated.
                outgoing.timestamp_ms = outgoing.timestamp_ms.or_else(|| Some(now_ms()));
                log.append(&outgoing)
            }
        }
    }

    /// An error if a message sent so far is known to be lost.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.way {
            Way::Sent(producer) => producer.check(),
            Way::Logged { .. } => Ok(()),
        }
    }

    /// As [`eddyline_engine::connector::Sink::prepare`].
    pub(crate) fn prepare(&mut self) -> Result<EpochLog> {
        match &mut self.way {
            Way::Logged { log, .. } => return log.finish(),
            Way::Sent(producer) if self.guarantee == Guarantee::None => producer.check()?,
            Way::Sent(producer) => producer.flush()?,
        }
        Ok(EpochLog::empty())
    }

    /// As [`eddyline_engine::connector::Sink::log_bytes`].
    pub(crate) fn log_bytes(&self) -> usize {
        match &self.way {
            Way::Sent(_) => 0,
            Way::Logged { log, .. } => log.bytes(),
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let (Way::Sent(producer), Guarantee::None) = (&self.way, self.guarantee) {
            producer.flush_within(LAST_FLUSH);
        }
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_message_that_cannot_be_sent_is_not_logged() {
        let mut config = ClientConfig::new();
        config.set("message.max.bytes", "1000");
        let way = Way::Logged { log: LogWriter::default(), limit: Limit::new(&config, "orders") };
        let mut delivery = Delivery { guarantee: Guarantee::ExactlyOnce, choice: Choice::Fixed(0), way };
        let message = |value| Encoded { key: Some(b"key"), value: Some(value), timestamp_ms: None, headers: &[] };
        delivery.send(&message(&[b'x'; 997])).unwrap();
        let error = delivery.send(&message(&[b'x'; 998])).unwrap_err();
        assert_eq!(error.to_string(), "a message of 1001 bytes to topic 'orders' is too large");
        assert!(!error.is_retriable() && delivery.log_bytes() > 997 && !delivery.prepare().unwrap().is_empty());
    }
}
