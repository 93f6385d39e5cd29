//! Reading: one reader per subtask, which owns a fixed share of the partitions.
//!
//! *Life of a message:* a batch is fetched from the one queue of all partitions → its messages are put to their splits
//! in order → a poll decodes messages of one split into one batch → the split's next offset moves. Messages are
//! fetched only when all earlier ones are decoded, so what lies here is one batch; the rest waits in librdkafka's
//! bounded queue, and beyond that in the broker.

use std::collections::{HashMap, VecDeque};
use std::ffi::CString;
use std::sync::Arc;
use std::time::Duration;

use eddyline_engine::connector::{Polled, SourceFactory, SourceReader, SplitId, SplitPosition, SplitProgress};
use eddyline_engine::dataflow::Subtask;
use eddyline_engine::error::{Error, Result};
use eddyline_engine::time::Epoch;
use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaType;

use super::client::{Client, topic_name};
use super::consumer::{Fetcher, Message};
use super::discovery::{Discovery, divide, owns, partitions};
use super::layout::Layout;
use super::options::{Formats, SourceOptions, Topics};
use super::rows::RowDecoder;
use super::start::{self, Range};
use super::{KAFKA, embedded};

/// Most messages that one fetch brings.
const FETCH_MESSAGES: usize = 8192;

/// Makes readers of one table.
pub(super) struct KafkaSourceFactory {
    options: SourceOptions,
    config: ClientConfig,
    layout: Layout,
    formats: Formats,
}

impl KafkaSourceFactory {
    pub(super) fn new(options: SourceOptions, config: ClientConfig, layout: Layout, formats: Formats) -> Self {
        KafkaSourceFactory { options, config, layout, formats }
    }

    /// A client of the broker that the table names, which may have to be started first.
    fn client(&self) -> Result<Client> {
        let mut config = self.config.clone();
        if let Some(count) = self.options.embedded {
            config.set("bootstrap.servers", embedded::bootstrap()?);
            if let Topics::Named(names) = &self.options.topics {
                names.iter().try_for_each(|name| embedded::create_topic(name, count))?;
            }
        }
        Client::new(&config, RDKafkaType::RD_KAFKA_CONSUMER)
    }
}

impl SourceFactory for KafkaSourceFactory {
    fn open(&self, subtask: Subtask, restored: Option<&[SplitPosition]>) -> Result<Box<dyn SourceReader>> {
        let client = Arc::new(self.client()?);
        let existing = partitions(&client, &self.options.topics)?;
        let ranges = match restored {
            None => {
                let mine = existing.into_iter().filter(|(t, p)| owns(subtask, t, *p)).collect();
                start::fresh(&client, mine, &self.options)?
            }
            Some(positions) => {
                let divided = divide(start::from_positions(positions)?, existing, subtask)?;
                let mut ranges = start::discovered(&client, divided.new, &self.options)?;
                for (split, range) in divided.restored {
                    ranges.push(start::resume(&client, split, range, &self.options)?);
                }
                ranges
            }
        };
        let discovery = self
            .options
            .discovery
            .map(|interval| Discovery::new(client.clone(), self.options.clone(), subtask, interval));
        let mut reader = KafkaReader {
            decoder: RowDecoder::new(self.layout.clone(), &self.formats)?,
            bounded: self.options.bounded.is_some(),
            embedded: self.options.embedded.is_some(),
            commits: self.options.commits,
            discovery,
            splits: Vec::new(),
            by_source: HashMap::new(),
            ready: VecDeque::new(),
            ended: VecDeque::new(),
            fetched: Vec::new(),
            fetcher: Fetcher::new(client.clone()),
            client,
        };
        ranges.into_iter().try_for_each(|range| reader.add(range))?;
        Ok(Box::new(reader))
    }
}

/// One partition.
struct Split {
    id: SplitId,
    topic: String,
    topic_c: CString,
    partition: i32,
    /// The offset of the message that comes next.
    next: i64,
    /// The offset before which reading ends.
    stop: Option<i64>,
    /// The end of the partition when reading began.
    end: i64,
    is_done: bool,
    source: (usize, i32),
    /// Fetched, not decoded yet.
    pending: VecDeque<Message>,
}

/// Reads the partitions of one subtask. Fields are dropped in order: messages go before the fetcher.
struct KafkaReader {
    decoder: RowDecoder,
    bounded: bool,
    embedded: bool,
    commits: bool,
    discovery: Option<Discovery>,

    splits: Vec<Split>,
    by_source: HashMap<(usize, i32), usize>,
    /// Splits with pending messages, in the order in which they are served.
    ready: VecDeque<usize>,
    /// Splits whose end has not been told yet.
    ended: VecDeque<usize>,
    fetched: Vec<Message>,

    fetcher: Fetcher,
    client: Arc<Client>,
}

impl KafkaReader {
    fn add(&mut self, range: Range) -> Result<()> {
        let index = self.splits.len();
        let is_done = range.stop.is_some_and(|stop| range.next >= stop);
        let source = match is_done {
            true => (0, 0),
            false => self.fetcher.start(&range.topic, range.partition, range.next)?,
        };
        if is_done {
            self.ended.push_back(index);
        } else {
            self.by_source.insert(source, index);
        }
        self.splits.push(Split {
            id: format!("{}-{}", range.topic, range.partition).into(),
            topic_c: topic_name(&range.topic)?,
            topic: range.topic,
            partition: range.partition,
            next: range.next,
            stop: range.stop,
            end: range.end,
            is_done,
            source,
            pending: VecDeque::new(),
        });
        Ok(())
    }

    fn add_discovered(&mut self) -> Result<()> {
        let Some(discovery) = &mut self.discovery else { return Ok(()) };
        let splits = &self.splits;
        let found = discovery.found(|| splits.iter().map(|s| (s.topic.clone(), s.partition)).collect());
        for range in found {
            tracing::info!(topic = range.topic, partition = range.partition, offset = range.next, "new partition");
            self.add(range)?;
        }
        Ok(())
    }

    /// Puts the fetched messages to their splits.
    fn distribute(&mut self) {
        for message in self.fetched.drain(..) {
            let Some(index) = self.by_source.get(&message.source()).copied() else { continue };
            let split = &mut self.splits[index];
            if split.is_done {
                continue;
            }
            if split.pending.is_empty() {
                self.ready.push_back(index);
            }
            split.pending.push_back(message);
        }
    }

    /// Decodes pending messages of one split; None when they gave no rows.
    fn decode(&mut self, index: usize, max_rows: usize) -> Result<Option<Polled>> {
        let split = &mut self.splits[index];
        while let Some(message) = split.pending.pop_front() {
            match take_message(&mut self.decoder, split, &message) {
                Ok(()) => {}
                // What was decoded before the bad message still goes out; the error comes with the next poll.
                Err(_) if self.decoder.rows() > 0 => {
                    split.pending.push_front(message);
                    break;
                }
                // The usual advice about retention does not help there.
                Err(error @ Error::Connector { .. }) if self.embedded => return Err(error.with_hint(embedded::LIMIT)),
                Err(error) => return Err(error),
            }
            if split.is_done {
                split.pending.clear();
                self.fetcher.stop(split.source);
                self.ended.push_back(index);
                break;
            }
            if self.decoder.rows() >= max_rows {
                break;
            }
        }
        if !split.pending.is_empty() {
            self.ready.push_back(index);
        }
        if self.decoder.rows() == 0 {
            return Ok(None);
        }
        let batch = self.decoder.take(&split.topic, split.partition)?;
        Ok(Some(Polled::Rows { split: split.id.clone(), batch }))
    }

    fn next_ready(&mut self, max_rows: usize) -> Result<Option<Polled>> {
        while let Some(index) = self.ready.pop_front() {
            if let Some(polled) = self.decode(index, max_rows)? {
                return Ok(Some(polled));
            }
        }
        if let Some(index) = self.ended.pop_front() {
            return Ok(Some(Polled::SplitEnd(self.splits[index].id.clone())));
        }
        Ok(None)
    }
}

/// Decodes one message, or acts on what is reported in its place, and moves the split on.
fn take_message(decoder: &mut RowDecoder, split: &mut Split, message: &Message) -> Result<()> {
    match message.error() {
        None => {
            if split.stop.is_some_and(|stop| message.offset() >= stop) {
                split.is_done = true;
                return Ok(());
            }
            decoder.append(message).map_err(|error| located(error, split, message.offset()))?;
            split.next = message.offset() + 1;
        }
        // Offsets without messages (transaction markers) may lie before the end.
        Some(RDKafkaErrorCode::PartitionEOF) => split.next = split.next.max(message.offset()),
        Some(code) => return fetch_error(split, code, &message.error_text()),
    }
    split.is_done = split.stop.is_some_and(|stop| split.next >= stop);
    Ok(())
}

/// Adds topic, partition and offset to the error of a format.
fn located(error: Error, split: &Split, offset: i64) -> Error {
    let at = format!("topic '{}', partition {}, offset {offset}", split.topic, split.partition);
    match error {
        Error::Data { message, hint } => {
            let usual =
                || "fix the message, or skip such messages with the format's option 'ignore-parse-errors'".to_string();
            Error::data(format!("{message} ({at})")).with_hint(hint.unwrap_or_else(usual))
        }
        other => Error::data(format!("{other} ({at})")),
    }
}

fn fetch_error(split: &Split, code: RDKafkaErrorCode, words: &str) -> Result<()> {
    let (id, next) = (&split.id, split.next);
    match code {
        // librdkafka goes on by itself.
        RDKafkaErrorCode::BrokerTransportFailure
        | RDKafkaErrorCode::AllBrokersDown
        | RDKafkaErrorCode::OperationTimedOut
        | RDKafkaErrorCode::Resolve => {
            tracing::debug!(split = %id, "{words}");
            Ok(())
        }
        RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => Err(Error::refused(
            KAFKA,
            format!("offset {next} of {id} is out of range: {words}"),
            "messages were deleted before they were read, or the topic was created anew; start without the checkpoint \
             (--fresh), and see that retention outlasts the time the job is down",
        )),
        RDKafkaErrorCode::UnknownTopicOrPartition
        | RDKafkaErrorCode::UnknownPartition
        | RDKafkaErrorCode::UnknownTopic => {
            Err(Error::refused(KAFKA, format!("{id} does not exist any more: {words}"), "create the topic again"))
        }
        RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::GroupAuthorizationFailed => {
            Err(Error::refused(KAFKA, format!("cannot read {id}: {words}"), "grant this user the right to read"))
        }
        _ => Err(Error::connector(KAFKA, format!("cannot read {id} at offset {next}: {words}"))),
    }
}

impl SourceReader for KafkaReader {
    fn poll(&mut self, max_rows: usize, timeout: Duration) -> Result<Polled> {
        if let Some(polled) = self.next_ready(max_rows)? {
            return Ok(polled);
        }
        if self.bounded && self.splits.iter().all(|split| split.is_done) {
            return Ok(Polled::End);
        }
        self.client.serve();
        self.add_discovered()?;
        self.fetcher.fetch(FETCH_MESSAGES, timeout, &mut self.fetched);
        self.distribute();
        Ok(self.next_ready(max_rows)?.unwrap_or(Polled::Nothing))
    }

    fn positions(&mut self) -> Result<Vec<SplitPosition>> {
        Ok(self.splits.iter().map(|split| start::to_position(&split.id, split.next, split.stop)).collect())
    }

    fn splits(&self) -> Vec<SplitId> {
        self.splits.iter().map(|split| split.id.clone()).collect()
    }

    fn checkpoint_complete(&mut self, epoch: Epoch, positions: &[SplitPosition]) {
        if !self.commits {
            return;
        }
        let mine = |(topic, partition): &(String, i32)| {
            self.splits.iter().any(|split| split.partition == *partition && split.topic == *topic)
        };
        let committed = start::from_positions(positions).and_then(|ranges| {
            let mine = ranges.iter().filter(|(split, _)| mine(split));
            self.client.commit(mine.map(|((topic, partition), (next, _))| (topic.as_str(), *partition, *next)))
        });
        if let Err(error) = committed {
            tracing::warn!(epoch = epoch.0, %error, "could not commit offsets to the group");
        }
    }

    fn progress(&self) -> Vec<SplitProgress> {
        let unsigned = |offset: i64| u64::try_from(offset).unwrap_or(0);
        let progress = |split: &Split| {
            let end = self.client.known_end(&split.topic_c, split.partition).unwrap_or(0).max(split.end);
            let end = split.stop.map_or(end, |stop| end.min(stop)).max(split.next);
            SplitProgress {
                split: split.id.clone(),
                position: unsigned(split.next),
                end: Some(unsigned(end)),
                lag_rows: Some(unsigned(end - split.next)),
            }
        };
        self.splits.iter().map(progress).collect()
    }

    fn skipped_messages(&self) -> u64 {
        self.decoder.skipped()
    }
}
