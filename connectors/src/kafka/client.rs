//! One librdkafka client: its events, and the questions that the connector asks a cluster.
//!
//! librdkafka reports connection trouble as events on its main queue, apart from the call that suffers from it.
//! [`Client::serve`] takes them off; the newest words are kept, so that an error can say why (`Connection refused`,
//! `Authentication failed`) rather than only that time ran out.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::{CStr, CString};
use std::os::raw::c_char;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use eddyline_engine::connector::nearest;
use eddyline_engine::error::{Error, Result};
use eddyline_engine::interrupt::outside;
use rdkafka::bindings as sys;
use rdkafka::client::{Client as RdClient, DefaultClientContext};
use rdkafka::error::{IsError, KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::types::{RDKafkaRespErr, RDKafkaType};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::KAFKA;

/// How long to wait for an answer at the start of a job. With connecting and teardown an unreachable broker is
/// reported within ten seconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);

/// Pause before a question that came too early is asked again.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// How many of the newest reports are kept.
const REPORTS: usize = 8;

/// What librdkafka has reported.
#[derive(Debug, Default)]
struct Reports {
    /// Newest last.
    trouble: VecDeque<String>,
    /// Code of the newest.
    code: Option<RDKafkaErrorCode>,
    /// Why the broker does not accept us.
    denied: Option<String>,
    /// The first message that could not be delivered.
    undelivered: Option<(RDKafkaErrorCode, String)>,
}

/// A consumer or producer handle.
pub(super) struct Client {
    native: Arc<RdClient<DefaultClientContext>>,
    main_queue: *mut sys::rd_kafka_queue_t,
    bootstrap: String,
    reports: Mutex<Reports>,
}

// SAFETY: librdkafka's handles and queues may be used from any thread at the same time.
unsafe impl Send for Client {}
// SAFETY: as above.
unsafe impl Sync for Client {}

impl Client {
    /// Makes a client; contacts nothing yet.
    pub(super) fn new(config: &ClientConfig, kind: RDKafkaType) -> Result<Client> {
        let refused = |error: KafkaError| {
            Error::refused(KAFKA, format!("cannot make a client: {error}"), "check the options 'properties.*'")
        };
        let conf = config.create_native_config().map_err(refused)?;
        let events = sys::RD_KAFKA_EVENT_ERROR | sys::RD_KAFKA_EVENT_DR | sys::RD_KAFKA_EVENT_OFFSET_COMMIT;
        // SAFETY: `conf` is a valid configuration that nobody else uses yet.
        unsafe { sys::rd_kafka_conf_set_events(conf.ptr(), events) };
        let native = RdClient::new(config, conf, kind, DefaultClientContext).map_err(refused)?;
        // SAFETY: the handle is valid; the reference to its main queue is given back in `drop`.
        let main_queue = unsafe { sys::rd_kafka_queue_get_main(native.native_ptr()) };
        let bootstrap = config.get("bootstrap.servers").unwrap_or_default().to_string();
        Ok(Client { native: Arc::new(native), main_queue, bootstrap, reports: Mutex::default() })
    }

    /// Makes a client that asks for offsets of its group, and hears why the group's coordinator does not answer.
    pub(super) fn of_group(config: &ClientConfig) -> Result<Client> {
        let client = Client::new(config, RDKafkaType::RD_KAFKA_CONSUMER)?;
        // SAFETY: the handle is a consumer's, and valid. Errors of the group come with those of the client from now on.
        unsafe { sys::rd_kafka_poll_set_consumer(client.ptr()) };
        Ok(client)
    }

    /// librdkafka's handle, valid as long as `self`.
    pub(super) fn ptr(&self) -> *mut sys::rd_kafka_t {
        self.native.native_ptr()
    }

    /// Takes all waiting events; never waits.
    pub(super) fn serve(&self) {
        loop {
            // SAFETY: the queue is valid until `drop`; the event is ours until we destroy it below.
            let event = unsafe { sys::rd_kafka_queue_poll(self.main_queue, 0) };
            if event.is_null() {
                return;
            }
            self.note(event);
            // SAFETY: `event` came from the queue and is not used after this.
            unsafe { sys::rd_kafka_event_destroy(event) };
        }
    }

    /// The first message that could not be delivered, if any.
    pub(super) fn undelivered(&self) -> Option<String> {
        self.reports().undelivered.as_ref().map(|(_, words)| words.clone())
    }

    /// Why it could not be delivered.
    pub(super) fn undelivered_code(&self) -> Option<RDKafkaErrorCode> {
        self.reports().undelivered.as_ref().map(|(code, _)| *code)
    }

    /// The newest words about trouble with the broker.
    pub(super) fn trouble(&self) -> Option<String> {
        self.reports().trouble.back().cloned()
    }

    /// The code that belongs to the newest words about trouble.
    pub(super) fn trouble_code(&self) -> Option<RDKafkaErrorCode> {
        self.reports().code
    }

    fn note(&self, event: *mut sys::rd_kafka_event_t) {
        // SAFETY: `event` is valid; the texts that it lends are copied before it is destroyed.
        unsafe {
            let code = sys::rd_kafka_event_error(event);
            match sys::rd_kafka_event_type(event) {
                sys::RD_KAFKA_EVENT_LOG => self.note_log(event),
                sys::RD_KAFKA_EVENT_ERROR => {
                    self.note_trouble(code, text(sys::rd_kafka_event_error_string(event)));
                }
                sys::RD_KAFKA_EVENT_DR => self.note_deliveries(event),
                sys::RD_KAFKA_EVENT_OFFSET_COMMIT if code.is_error() => {
                    tracing::warn!(error = %RDKafkaErrorCode::from(code), "could not commit offsets to the group");
                }
                _ => {}
            }
        }
    }

    fn note_log(&self, event: *mut sys::rd_kafka_event_t) {
        let (mut facility, mut line): (*const c_char, *const c_char) = (std::ptr::null(), std::ptr::null());
        let mut level = 0;
        // SAFETY: the event is a log event; the texts live as long as it.
        let (facility, line) = unsafe {
            if sys::rd_kafka_event_log(event, &mut facility, &mut line, &mut level) != 0 {
                return;
            }
            (text(facility), text(line))
        };
        tracing::debug!(facility, level, "{line}");
    }

    fn note_trouble(&self, code: RDKafkaRespErr, words: String) {
        tracing::debug!(error = %RDKafkaErrorCode::from(code), "{words}");
        let mut reports = self.reports();
        let code = RDKafkaErrorCode::from(code);
        let words = without_noise(&words);
        match code {
            RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::UnsupportedSASLMechanism => reports.denied = Some(words),
            // A summary that names no reason; the reasons came before it.
            RDKafkaErrorCode::AllBrokersDown => {}
            _ => {
                if reports.trouble.len() == REPORTS {
                    reports.trouble.pop_front();
                }
                reports.trouble.push_back(words);
                reports.code = Some(code);
            }
        }
    }

    fn note_deliveries(&self, event: *mut sys::rd_kafka_event_t) {
        loop {
            // SAFETY: the messages of a delivery report live as long as the event.
            let failure = unsafe {
                let message = sys::rd_kafka_event_message_next(event);
                if message.is_null() {
                    return;
                }
                let message = &*message;
                message.err.is_error().then(|| {
                    let topic = text(sys::rd_kafka_topic_name(message.rkt));
                    let why = RDKafkaErrorCode::from(message.err);
                    let partition = message.partition;
                    (why, format!("a message to topic '{topic}', partition {partition} was not delivered: {why}"))
                })
            };
            if let Some(failure) = failure {
                self.reports().undelivered.get_or_insert(failure);
            }
        }
    }

    fn reports(&self) -> MutexGuard<'_, Reports> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All topics that this user may see, with their partitions in order. Waits about eight seconds at most; the error
    /// says why there was no answer.
    pub(super) fn topics(&self) -> Result<BTreeMap<String, Vec<i32>>> {
        let deadline = Instant::now() + ANSWER_WITHIN;
        // The broker is asked in slices, so that a refused login is reported at once.
        for slice in [1, 2, 5] {
            let slice = Duration::from_secs(slice).min(deadline.saturating_duration_since(Instant::now()));
            let answer =
                self.ask(move |native| native.fetch_metadata(None, slice).map(|metadata| partitions_of(&metadata)))?;
            self.serve();
            if let Ok(topics) = answer {
                return Ok(topics);
            }
            if let Some(why) = self.reports().denied.clone() {
                return Err(Error::refused(
                    KAFKA,
                    format!("the broker at {} does not accept this client: {why}", self.bootstrap),
                    "check 'properties.security.protocol' and 'properties.sasl.*'",
                ));
            }
        }
        let why = self.trouble().map(|why| format!(": {why}")).unwrap_or_default();
        let message = format!("cannot reach the broker at {} within {ANSWER_WITHIN:?}{why}", self.bootstrap);
        Err(Error::connector(KAFKA, message).with_hint("check 'properties.bootstrap.servers' and that the broker runs"))
    }

    /// The answer of a call that waits for the broker.
    fn ask<T: Send + 'static>(
        &self,
        call: impl FnOnce(&RdClient<DefaultClientContext>) -> T + Send + 'static,
    ) -> Result<T> {
        let native = Arc::clone(&self.native);
        outside(&format!("the broker at {}", self.bootstrap), move || call(&native))
    }

    /// First offset, and the offset after the last one that may be read.
    pub(super) fn watermarks(&self, topic: &str, partition: i32) -> Result<(i64, i64)> {
        let asked = topic.to_string();
        let answer = self.ask(move |native| native.fetch_watermarks(&asked, partition, ANSWER_WITHIN))?;
        answer.map_err(|error| self.failed(&format!("cannot read the offsets of {topic}-{partition}"), &error))
    }

    /// The offset after the newest message as last heard in fetches; None when nothing was heard yet.
    pub(super) fn known_end(&self, topic: &CStr, partition: i32) -> Option<i64> {
        let (mut low, mut high) = (-1, -1);
        // SAFETY: handle and texts are valid; the call only reads cached values.
        let code =
            unsafe { sys::rd_kafka_get_watermark_offsets(self.ptr(), topic.as_ptr(), partition, &mut low, &mut high) };
        (!code.is_error() && high >= 0).then_some(high)
    }

    /// The first offset at or after `timestamp_ms` of each partition; None where there is no such message.
    pub(super) fn offsets_at(&self, splits: &[(String, i32)], timestamp_ms: i64) -> Result<Vec<Option<i64>>> {
        let list = offset_list(splits.iter().map(|(t, p)| (t.as_str(), *p, timestamp_ms)))?;
        let (list, code) = self.ask(move |native| {
            let wait_ms = ANSWER_WITHIN.as_millis() as i32;
            // SAFETY: handle and list are valid; the list is filled in place before the call returns.
            let code = unsafe { sys::rd_kafka_offsets_for_times(native.native_ptr(), list.ptr(), wait_ms) };
            (list, code)
        })?;
        self.answered("cannot look up offsets by timestamp", code)?;
        Ok(known_offsets(&list, splits))
    }

    /// What the client's group has committed for each partition. A group's coordinator may be moving, or being made for
    /// the first group of a cluster: that is waited for.
    pub(super) fn committed(&self, splits: &[(String, i32)]) -> Result<Vec<Option<i64>>> {
        use RDKafkaErrorCode::{CoordinatorLoadInProgress, CoordinatorNotAvailable, NotCoordinator};
        let deadline = Instant::now() + ANSWER_WITHIN;
        loop {
            match self.try_committed(splits, ANSWER_WITHIN)? {
                Ok(offsets) => return Ok(offsets),
                Err(CoordinatorLoadInProgress | CoordinatorNotAvailable | NotCoordinator)
                    if Instant::now() < deadline =>
                {
                    std::thread::park_timeout(RETRY_AFTER);
                }
                Err(code) => return Err(self.failed("cannot read the group's committed offsets", &code)),
            }
        }
    }

    /// Asks once what the client's group has committed for each partition. With `isolation.level` = `read_committed`
    /// offsets that a transaction is about to move are waited for.
    pub(super) fn try_committed(
        &self,
        splits: &[(String, i32)],
        wait: Duration,
    ) -> Result<std::result::Result<Vec<Option<i64>>, RDKafkaErrorCode>> {
        let list = offset_list(splits.iter().map(|(t, p)| (t.as_str(), *p, sys::RD_KAFKA_OFFSET_INVALID as i64)))?;
        let (list, code) = self.ask(move |native| {
            // SAFETY: handle and list are valid; the list is filled in place before the call returns.
            let code = unsafe { sys::rd_kafka_committed(native.native_ptr(), list.ptr(), wait.as_millis() as i32) };
            (list, code)
        })?;
        self.serve();
        Ok(if code.is_error() { Err(RDKafkaErrorCode::from(code)) } else { Ok(known_offsets(&list, splits)) })
    }

    /// Number of a broker of the cluster.
    pub(super) fn any_broker(&self) -> Option<i32> {
        let metadata = self.ask(|native| native.fetch_metadata(None, ANSWER_WITHIN)).ok()?.ok()?;
        metadata.brokers().first().map(|broker| broker.id())
    }

    /// Commits next offsets to the client's group, without waiting; failures are logged when they are heard of.
    pub(super) fn commit<'a>(&self, offsets: impl Iterator<Item = (&'a str, i32, i64)>) -> Result<()> {
        let list = offset_list(offsets)?;
        // SAFETY: handle and list are valid; librdkafka copies the list.
        let code = unsafe { sys::rd_kafka_commit(self.ptr(), list.ptr(), 1) };
        self.answered("cannot commit offsets", code)
    }

    fn answered(&self, what: &str, code: RDKafkaRespErr) -> Result<()> {
        if code.is_error() { Err(self.failed(what, &RDKafkaErrorCode::from(code))) } else { Ok(()) }
    }

    fn failed(&self, what: &str, error: &dyn std::fmt::Display) -> Error {
        self.serve();
        let why = self.trouble().map(|why| format!(" ({why})")).unwrap_or_default();
        Error::connector(KAFKA, format!("{what}: {error}{why}"))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // SAFETY: the queue reference is ours; the handle, which is dropped after this or by a call that was left behind,
        // must outlive it.
        unsafe { sys::rd_kafka_queue_destroy(self.main_queue) };
    }
}

/// The partitions of each topic that has some, in order.
fn partitions_of(metadata: &Metadata) -> BTreeMap<String, Vec<i32>> {
    let topic = |topic: &MetadataTopic| {
        let mut partitions: Vec<i32> = topic.partitions().iter().map(|p| p.id()).collect();
        partitions.sort_unstable();
        (topic.name().to_string(), partitions)
    };
    metadata.topics().iter().map(topic).filter(|(_, partitions)| !partitions.is_empty()).collect()
}

/// The error for a topic that is not there.
pub(super) fn missing_topic(topic: &str, known: &BTreeMap<String, Vec<i32>>) -> Error {
    let visible: Vec<&str> = known.keys().map(String::as_str).filter(|name| !name.starts_with("__")).collect();
    let hint = match nearest(topic, visible.iter().copied()) {
        Some(near) => format!("did you mean '{near}'? Topics are not created automatically"),
        None if visible.is_empty() => "the broker has no topics; create it first".to_string(),
        None => "create the topic first, or check its name; topics are not created automatically".to_string(),
    };
    Error::refused(KAFKA, format!("topic '{topic}' does not exist"), hint)
}

/// A text that librdkafka lends, copied.
///
/// # Safety
/// `pointer` is null or a valid C string.
pub(super) unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: the caller vouches for it.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().trim().to_string()
}

/// The name of a topic for C.
pub(super) fn topic_name(topic: &str) -> Result<CString> {
    CString::new(topic).map_err(|_| Error::option(format!("topic name {topic:?} holds a NUL character"), None))
}

/// `host:9092/bootstrap: Connect to ipv4#… failed: Connection refused (after 0ms in state CONNECT, 1 identical …)`
/// without the parenthesis, which tells users nothing.
fn without_noise(words: &str) -> String {
    words.split(" (after ").next().unwrap_or(words).to_string()
}

fn offset_list<'a>(offsets: impl Iterator<Item = (&'a str, i32, i64)>) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (topic, partition, offset) in offsets {
        list.add_partition_offset(topic, partition, Offset::from_raw(offset))
            .map_err(|error| Error::internal(format!("offset {offset} of {topic}-{partition}: {error}")))?;
    }
    Ok(list)
}

fn known_offsets(list: &TopicPartitionList, splits: &[(String, i32)]) -> Vec<Option<i64>> {
    let offset = |(topic, partition): &(String, i32)| match list.find_partition(topic, *partition)?.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    };
    splits.iter().map(offset).collect()
}
