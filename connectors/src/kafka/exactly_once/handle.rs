//! One transactional producer, used for one transaction.
//!
//! librdkafka's calls are made in short steps and repeated while they say that they may be, so that an interrupted job
//! ends at once. Of the crate's own calls none is used: they poll in steps of 100 ms.

use std::ffi::CString;
use std::time::{Duration, Instant};

use eddyline_engine::crash;
use eddyline_engine::error::{Error, Result};
use rdkafka::bindings as sys;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::fault::Fault;
use super::marker::Marker;
use crate::kafka::client::Client;
use crate::kafka::interrupt::Interrupt;
use crate::kafka::producer::{Outgoing, Producer};

/// Longest wait within one call.
const STEP_MS: i32 = 200;
/// Longest wait for the marker to be taken, which cannot be resumed.
const MARKER_STEP_MS: i32 = 5_000;
/// Pause before a call is repeated.
const PAUSE: Duration = Duration::from_millis(20);

/// A producer whose producer epoch is its own.
pub(super) struct Handle {
    producer: Producer,
    interrupt: Interrupt,
    /// After so long without an end, a transaction has expired.
    limit: Duration,
}

impl Handle {
    /// Makes a producer with the transactional id that `config` names; contacts nothing yet.
    pub(super) fn new(config: &ClientConfig, topic: &str, limit: Duration, interrupt: &Interrupt) -> Result<Handle> {
        let producer = Producer::new(config, topic, interrupt.clone())?;
        Ok(Handle { producer, interrupt: interrupt.clone(), limit })
    }

    /// The client, for questions about the cluster.
    pub(super) fn client(&self) -> &Client {
        self.producer.client()
    }

    /// Shuts out every older handle of the same transactional id and aborts what it left open.
    pub(super) fn initialise(&self, limit: Duration) -> Result<(), Fault> {
        self.repeat("initialise transactions", limit, |rk| {
            // SAFETY: the handle is valid; the error is ours.
            unsafe { Fault::check("initialise transactions", sys::rd_kafka_init_transactions(rk, STEP_MS)) }
        })
    }

    /// Begins the transaction.
    pub(super) fn begin(&self) -> Result<(), Fault> {
        // SAFETY: as above.
        unsafe { Fault::check("begin a transaction", sys::rd_kafka_begin_transaction(self.client().ptr())) }
    }

    /// Queues a message, waiting for room.
    pub(super) fn send(&self, message: &Outgoing<'_>) -> Result<(), Fault> {
        self.producer.send(message).map_err(|error| self.lost(error))
    }

    /// Waits until every message has been acknowledged.
    pub(super) fn flush(&self) -> Result<(), Fault> {
        self.producer.flush().map_err(|error| self.lost(error))
    }

    /// Lets the group's offset on partition 0 of the topic move with this transaction.
    pub(super) fn send_marker(&self, group: &CString, topic: &str, marker: Marker) -> Result<(), Fault> {
        let mut list = TopicPartitionList::new();
        let added = list.add_partition_offset(topic, 0, Offset::Offset(marker.encode()?));
        added.map_err(|e| Error::internal(format!("the marker of topic '{topic}': {e}")))?;
        // SAFETY: the name is valid; the metadata is freed below.
        let metadata = unsafe { sys::rd_kafka_consumer_group_metadata_new(group.as_ptr()) };
        let sent = self.repeat("send the marker", self.limit, |rk| {
            // SAFETY: handle, list and metadata are valid; librdkafka copies what it keeps; the error is ours.
            unsafe {
                let error = sys::rd_kafka_send_offsets_to_transaction(rk, list.ptr(), metadata, MARKER_STEP_MS);
                Fault::check("send the marker", error)
            }
        });
        // SAFETY: made above and not used after this.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(metadata) };
        sent
    }

    /// Commits. Whether it has happened is known only when this returns without error.
    pub(super) fn commit(&self) -> Result<(), Fault> {
        let mut first = true;
        self.repeat("commit", self.limit, |rk| {
            // A call that is out of time goes on in the background and is resumed by the next one.
            let wait_ms = if first { 1 } else { STEP_MS };
            // SAFETY: the handle is valid; the error is ours.
            let result = unsafe { Fault::check("commit", sys::rd_kafka_commit_transaction(rk, wait_ms)) };
            if std::mem::take(&mut first) {
                crash::point("kafka.commit-sent")?;
            }
            result
        })
    }

    /// Repeats `call` while it asks for that, until `limit` has passed.
    fn repeat(
        &self,
        what: &str,
        limit: Duration,
        mut call: impl FnMut(*mut sys::rd_kafka_t) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let deadline = Instant::now() + limit;
        loop {
            let called = call(self.client().ptr());
            self.client().serve();
            let Err(Fault::Again(words)) = called else { return called };
            self.interrupt.check()?;
            if Instant::now() > deadline {
                let trouble = self.client().trouble().map(|t| format!(" ({t})")).unwrap_or_default();
                return Err(Fault::Unsure(format!("{words}{trouble}; gave up to {what} after {limit:?}")));
            }
            tracing::trace!(words, "again");
            std::thread::park_timeout(PAUSE);
        }
    }

    /// What a message that did not arrive means for the transaction.
    fn lost(&self, error: Error) -> Fault {
        match self.client().undelivered_code() {
            Some(code) => Fault::of("write", code, &error.to_string(), false),
            None if error.is_retriable() && self.interrupt.check().is_ok() => Fault::Unsure(error.to_string()),
            None => Fault::Stop(error),
        }
    }
}

/// Reads where a group's offset stands on partition 0 of `topic`, waiting for transactions that are being decided.
pub(super) fn read_marker(
    reader: &Client,
    topic: &str,
    limit: Duration,
    interrupt: &Interrupt,
) -> Result<Option<Marker>, Fault> {
    let deadline = Instant::now() + limit;
    let partition = [(topic.to_string(), 0)];
    loop {
        let code = match reader.try_committed(&partition, Duration::from_secs(1))? {
            Ok(offsets) => return Ok(offsets.into_iter().flatten().next().map(Marker::decode)),
            // Nobody answers whom the group is denied to: the reason is told apart.
            Err(code) => {
                reader.trouble_code().filter(|c| *c == RDKafkaErrorCode::GroupAuthorizationFailed).unwrap_or(code)
            }
        };
        interrupt.check()?;
        let retriable = is_transient(code);
        let out_of_time = Instant::now() > deadline;
        match Fault::of("read the marker", code, &code.to_string(), retriable) {
            Fault::Again(_) if !out_of_time => interrupt.pause(PAUSE)?,
            Fault::Stop(error) => return Err(Fault::Stop(error)),
            Fault::Again(words) | Fault::Unsure(words) => return Err(Fault::Unsure(words)),
        }
    }
}

/// Errors of reading offsets that pass by themselves.
fn is_transient(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as C;
    matches!(
        code,
        C::CoordinatorLoadInProgress
            | C::CoordinatorNotAvailable
            | C::NotCoordinator
            | C::UnstableOffsetCommit
            | C::OperationTimedOut
            | C::RequestTimedOut
            | C::BrokerTransportFailure
            | C::AllBrokersDown
            | C::WaitingForCoordinator
    )
}
