//! Sending messages and making sure that they arrived.
//!
//! Only failures are reported (`delivery.report.only.error`), which costs nothing per message; that all others arrived
//! follows from the send queue being empty after a flush. The crate's own flush polls in steps of 100 ms, librdkafka's
//! takes a millisecond or two.

use std::os::raw::c_void;
use std::time::{Duration, Instant};

use eddyline_engine::error::{Error, Result};
use rdkafka::ClientConfig;
use rdkafka::bindings as sys;
use rdkafka::error::{IsError, RDKafkaErrorCode};
use rdkafka::types::{RDKafkaRespErr, RDKafkaType};

use super::KAFKA;
use super::client::{Client, topic_name};
use super::interrupt::Interrupt;

/// Longest wait within one call of librdkafka, after which failures are looked for.
const STEP_MS: i32 = 50;

/// One message to send.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outgoing<'a> {
    /// None leaves the choice to librdkafka's partitioner.
    pub(super) partition: Option<i32>,
    pub(super) key: Option<&'a [u8]>,
    /// None for a tombstone.
    pub(super) value: Option<&'a [u8]>,
    /// Milliseconds since the epoch; None is now.
    pub(super) timestamp_ms: Option<i64>,
    /// Names and values.
    pub(super) headers: &'a [(&'a str, Option<&'a [u8]>)],
}

impl Outgoing<'_> {
    /// Bytes of key and value, which are what librdkafka compares to `message.max.bytes`.
    pub(super) fn bytes(&self) -> usize {
        self.value.map_or(0, <[u8]>::len) + self.key.map_or(0, <[u8]>::len)
    }
}

/// The error for a message of `bytes` bytes that may not be sent.
pub(super) fn too_large(topic: &str, bytes: usize) -> Error {
    let text = format!("a message of {bytes} bytes to topic '{topic}' is too large");
    Error::data(text).with_hint("raise 'properties.max.request.size'")
}

/// Writes to one topic.
pub(super) struct Producer {
    client: Client,
    topic: *mut sys::rd_kafka_topic_t,
    name: String,
    interrupt: Interrupt,
}

// SAFETY: librdkafka's topic handles may be used from any thread.
unsafe impl Send for Producer {}

impl Producer {
    /// Makes a producer; contacts nothing yet. `interrupt` ends its waiting.
    pub(super) fn new(config: &ClientConfig, topic: &str, interrupt: Interrupt) -> Result<Producer> {
        let client = Client::new(config, RDKafkaType::RD_KAFKA_PRODUCER)?;
        let name = topic_name(topic)?;
        // SAFETY: handle and name are valid; a null configuration takes the handle's defaults.
        let handle = unsafe { sys::rd_kafka_topic_new(client.ptr(), name.as_ptr(), std::ptr::null_mut()) };
        if handle.is_null() {
            return Err(Error::connector(KAFKA, format!("cannot write to topic '{topic}'")));
        }
        Ok(Producer { client, topic: handle, name: topic.to_string(), interrupt })
    }

    /// The client, for questions about the cluster.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Queues a message; waits while the queue is full.
    pub(super) fn send(&self, message: &Outgoing<'_>) -> Result<()> {
        loop {
            match self.try_send(message) {
                RDKafkaErrorCode::NoError => return Ok(()),
                RDKafkaErrorCode::QueueFull => {
                    // SAFETY: the handle is valid. A short flush is a wait for room in the queue.
                    unsafe { sys::rd_kafka_flush(self.client.ptr(), STEP_MS) };
                    self.check()?;
                    self.interrupt.check()?;
                }
                RDKafkaErrorCode::MessageSizeTooLarge => {
                    return Err(too_large(&self.name, message.bytes()));
                }
                code => return Err(self.failed(&code.to_string())),
            }
        }
    }

    fn try_send(&self, message: &Outgoing<'_>) -> RDKafkaErrorCode {
        use sys::rd_kafka_vtype_t as V;
        let headers = native_headers(message.headers);
        let (key, key_length) = parts(message.key);
        let (value, length) = parts(message.value);
        // SAFETY: the arguments follow the tags that announce them, as the variadic call wants; librdkafka copies key
        // and value, and takes the headers over when it answers without error.
        let code: RDKafkaRespErr = unsafe {
            sys::rd_kafka_producev(
                self.client.ptr(),
                V::RD_KAFKA_VTYPE_RKT,
                self.topic,
                V::RD_KAFKA_VTYPE_PARTITION,
                message.partition.unwrap_or(-1),
                V::RD_KAFKA_VTYPE_MSGFLAGS,
                sys::RD_KAFKA_MSG_F_COPY,
                V::RD_KAFKA_VTYPE_KEY,
                key,
                key_length,
                V::RD_KAFKA_VTYPE_VALUE,
                value,
                length,
                V::RD_KAFKA_VTYPE_TIMESTAMP,
                message.timestamp_ms.unwrap_or(0),
                V::RD_KAFKA_VTYPE_HEADERS,
                headers,
                V::RD_KAFKA_VTYPE_END,
            )
        };
        if code.is_error() && !headers.is_null() {
            // SAFETY: after an error the headers are still ours.
            unsafe { sys::rd_kafka_headers_destroy(headers) };
        }
        RDKafkaErrorCode::from(code)
    }

    /// Waits until every message sent so far has arrived; an error as soon as one is known not to.
    pub(super) fn flush(&self) -> Result<()> {
        loop {
            // SAFETY: the handle is valid.
            let code = unsafe { sys::rd_kafka_flush(self.client.ptr(), STEP_MS) };
            self.check()?;
            if !code.is_error() {
                return Ok(());
            }
            self.interrupt.check()?;
        }
    }

    /// Like [`Producer::flush`], but gives up after `limit` and tells nobody.
    pub(super) fn flush_within(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        // SAFETY: the handle is valid.
        while unsafe { sys::rd_kafka_flush(self.client.ptr(), STEP_MS) }.is_error() && Instant::now() < deadline {
            self.client.serve();
        }
    }

    /// An error if a message could not be delivered.
    pub(super) fn check(&self) -> Result<()> {
        self.client.serve();
        match self.client.undelivered() {
            Some(failure) => Err(self.failed(&failure)),
            None => Ok(()),
        }
    }

    fn failed(&self, why: &str) -> Error {
        let trouble = self.client.trouble().map(|trouble| format!(" ({trouble})")).unwrap_or_default();
        Error::connector(KAFKA, format!("cannot write to topic '{}': {why}{trouble}", self.name))
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // SAFETY: the topic handle is ours; the client is dropped after it.
        unsafe { sys::rd_kafka_topic_destroy(self.topic) };
    }
}

fn parts(bytes: Option<&[u8]>) -> (*mut c_void, usize) {
    bytes.map_or((std::ptr::null_mut(), 0), |b| (b.as_ptr().cast_mut().cast(), b.len()))
}

/// The headers in librdkafka's form; null without any.
fn native_headers(headers: &[(&str, Option<&[u8]>)]) -> *mut sys::rd_kafka_headers_t {
    if headers.is_empty() {
        return std::ptr::null_mut();
    }
    // SAFETY: names and values are given with their lengths and copied.
    unsafe {
        let native = sys::rd_kafka_headers_new(headers.len());
        for (name, value) in headers {
            let (start, length) = parts(*value);
            sys::rd_kafka_header_add(native, name.as_ptr().cast(), name.len() as isize, start, length as isize);
        }
        native
    }
}
