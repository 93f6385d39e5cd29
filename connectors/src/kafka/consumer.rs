//! Fetching messages in batches with librdkafka's simple consumer.
//!
//! One call per message costs more than all decoding of a small message, so the messages of all partitions are
//! forwarded to one queue, which is emptied with `rd_kafka_consume_batch_queue`. That call waits until its array is
//! full or time is up, which would be a linger; therefore it is made with a timeout of zero, after a wait for the
//! first message only.

use std::collections::HashMap;
use std::ffi::CString;
use std::os::raw::c_void;
use std::sync::Arc;
use std::time::Duration;

use eddyline_engine::error::{Error, Result};
use rdkafka::bindings as sys;
use rdkafka::error::{IsError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

use super::KAFKA;
use super::client::{Client, topic_name};

/// A fetched message, or a report about a partition in its place ([`Message::error`]). Must be dropped before the
/// [`Fetcher`] it came from.
pub(super) struct Message(*mut sys::rd_kafka_message_t);

// SAFETY: a message is owned by whoever holds it; librdkafka allows any thread to read and destroy it.
unsafe impl Send for Message {}

impl Message {
    fn raw(&self) -> &sys::rd_kafka_message_t {
        // SAFETY: the pointer came from librdkafka and is valid until `drop`.
        unsafe { &*self.0 }
    }

    /// Which partition of which topic, as a key for maps within one fetcher.
    pub(super) fn source(&self) -> (usize, i32) {
        (self.raw().rkt as usize, self.raw().partition)
    }

    /// What is reported instead of a message.
    pub(super) fn error(&self) -> Option<RDKafkaErrorCode> {
        self.raw().err.is_error().then(|| RDKafkaErrorCode::from(self.raw().err))
    }

    /// librdkafka's words about the error.
    pub(super) fn error_text(&self) -> String {
        // SAFETY: the message is valid, and so is the text that it lends.
        unsafe { super::client::text(sys::rd_kafka_message_errstr(self.0)) }
    }

    /// Its offset; with the report that a partition's end was reached, the offset after its last message.
    pub(super) fn offset(&self) -> i64 {
        self.raw().offset
    }

    /// Its value; None for a tombstone.
    pub(super) fn payload(&self) -> Option<&[u8]> {
        bytes(self.raw().payload, self.raw().len)
    }

    /// Its key.
    pub(super) fn key(&self) -> Option<&[u8]> {
        bytes(self.raw().key, self.raw().key_len)
    }

    /// Milliseconds since the epoch if known, and Java's name for their kind.
    pub(super) fn timestamp(&self) -> (Option<i64>, &'static str) {
        use sys::rd_kafka_timestamp_type_t as Kind;
        let mut kind = Kind::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is valid; the call only reads it.
        let millis = unsafe { sys::rd_kafka_message_timestamp(self.0, &mut kind) };
        match kind {
            Kind::RD_KAFKA_TIMESTAMP_CREATE_TIME => (Some(millis), "CreateTime"),
            Kind::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => (Some(millis), "LogAppendTime"),
            Kind::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE => (None, "NoTimestampType"),
        }
    }

    /// The epoch of the partition's leader, if known.
    pub(super) fn leader_epoch(&self) -> Option<i32> {
        // SAFETY: the message is valid; the call only reads it.
        let epoch = unsafe { sys::rd_kafka_message_leader_epoch(self.0) };
        (epoch >= 0).then_some(epoch)
    }

    /// Names and values of its headers, in order.
    pub(super) fn headers(&self) -> Vec<(&[u8], Option<&[u8]>)> {
        let mut found = Vec::new();
        let mut headers = std::ptr::null_mut();
        // SAFETY: the message is valid and owns the headers; names are C strings, values have the returned length.
        unsafe {
            if sys::rd_kafka_message_headers(self.0, &mut headers).is_error() {
                return found;
            }
            let (mut name, mut value, mut size) = (std::ptr::null(), std::ptr::null(), 0);
            while !sys::rd_kafka_header_get_all(headers, found.len(), &mut name, &mut value, &mut size).is_error() {
                found.push((std::ffi::CStr::from_ptr(name).to_bytes(), bytes(value.cast_mut(), size)));
            }
        }
        found
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: the message is ours and not used after this.
        unsafe { sys::rd_kafka_message_destroy(self.0) };
    }
}

fn bytes<'a>(start: *mut c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: callers pass a pointer and a length that librdkafka gave for one message, and tie the lifetime to it.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast::<u8>(), length) })
}

/// Reads any number of partitions into one queue.
pub(super) struct Fetcher {
    client: Arc<Client>,
    queue: *mut sys::rd_kafka_queue_t,
    topics: HashMap<CString, *mut sys::rd_kafka_topic_t>,
    started: Vec<(*mut sys::rd_kafka_topic_t, i32)>,
    /// Where librdkafka puts a batch; empty between calls.
    array: Vec<*mut sys::rd_kafka_message_t>,
}

// SAFETY: librdkafka's queues and topics may be used from any thread; `Fetcher` is used by one at a time.
unsafe impl Send for Fetcher {}

impl Fetcher {
    pub(super) fn new(client: Arc<Client>) -> Fetcher {
        // SAFETY: the handle is valid and outlives the queue, which `drop` destroys.
        let queue = unsafe { sys::rd_kafka_queue_new(client.ptr()) };
        Fetcher { client, queue, topics: HashMap::new(), started: Vec::new(), array: Vec::new() }
    }

    /// Starts to read a partition at `offset`; returns what [`Message::source`] of its messages will be.
    pub(super) fn start(&mut self, topic: &str, partition: i32, offset: i64) -> Result<(usize, i32)> {
        let name = topic_name(topic)?;
        let client = self.client.ptr();
        // SAFETY: handle and name are valid; a null configuration takes the handle's defaults.
        let make = || unsafe { sys::rd_kafka_topic_new(client, name.as_ptr(), std::ptr::null_mut()) };
        let handle = match self.topics.get(&name) {
            Some(handle) => *handle,
            None => make(),
        };
        if handle.is_null() {
            return Err(start_error(topic, partition));
        }
        self.topics.insert(name, handle);
        // SAFETY: topic and queue are valid and belong to the same client.
        if unsafe { sys::rd_kafka_consume_start_queue(handle, partition, offset, self.queue) } != 0 {
            return Err(start_error(topic, partition));
        }
        self.started.push((handle, partition));
        Ok((handle as usize, partition))
    }

    /// Stops reading a partition; messages that are in the queue still come.
    pub(super) fn stop(&mut self, source: (usize, i32)) {
        let Some(index) = self.started.iter().position(|(topic, p)| (*topic as usize, *p) == source) else { return };
        let (topic, partition) = self.started.swap_remove(index);
        // SAFETY: the topic is valid and the partition was started.
        unsafe { sys::rd_kafka_consume_stop(topic, partition) };
    }

    /// Waits at most `timeout` for a first message, then appends what is there to `out`, at most `max` messages.
    pub(super) fn fetch(&mut self, max: usize, timeout: Duration, out: &mut Vec<Message>) {
        if self.take_batch(max, out) > 0 {
            return;
        }
        let wait_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        if wait_ms == 0 {
            return;
        }
        // SAFETY: the queue is valid; a message that is not null is ours.
        let first = unsafe { sys::rd_kafka_consume_queue(self.queue, wait_ms) };
        if !first.is_null() {
            out.push(Message(first));
            self.take_batch(max - 1, out);
        }
    }

    fn take_batch(&mut self, max: usize, out: &mut Vec<Message>) -> usize {
        self.array.reserve(max);
        // SAFETY: the array has room for `max` pointers; the first `count` of them are messages that are now ours.
        unsafe {
            let count = sys::rd_kafka_consume_batch_queue(self.queue, 0, self.array.as_mut_ptr(), max);
            let count = usize::try_from(count).unwrap_or(0);
            self.array.set_len(count);
            out.extend(self.array.drain(..).map(Message));
            count
        }
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        // SAFETY: everything destroyed here is ours; messages still in the queue are destroyed with it, and the
        // client lives at least as long as `self.client`.
        unsafe {
            for (topic, partition) in &self.started {
                sys::rd_kafka_consume_stop(*topic, *partition);
            }
            sys::rd_kafka_queue_destroy(self.queue);
            for topic in self.topics.values() {
                sys::rd_kafka_topic_destroy(*topic);
            }
        }
    }
}

fn start_error(topic: &str, partition: i32) -> Error {
    // SAFETY: reads the thread's last error.
    let code: RDKafkaRespErr = unsafe { sys::rd_kafka_last_error() };
    Error::connector(KAFKA, format!("cannot read {topic}-{partition}: {}", RDKafkaErrorCode::from(code)))
}
