//! Messages that wait for a flush, the last one per key.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use eddyline_engine::error::Result;

use crate::kafka::delivery::Encoded;

/// When gathered messages are sent: whichever comes first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::kafka) struct FlushRule {
    /// This many keys have changed.
    pub(in crate::kafka) max_rows: usize,
    /// The first of them changed this long ago.
    pub(in crate::kafka) interval: Duration,
}

/// The last message of each key, in the order in which the keys came.
pub(super) struct Buffer {
    rule: FlushRule,
    messages: Vec<Waiting>,
    by_key: HashMap<Vec<u8>, usize>,
    /// When the first message came.
    since: Option<Instant>,
}

/// A message on its own.
struct Waiting {
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    timestamp_ms: Option<i64>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Buffer {
    pub(super) fn new(rule: FlushRule) -> Self {
        Buffer { rule, messages: Vec::new(), by_key: HashMap::new(), since: None }
    }

    /// Takes a message in the place of an earlier one with this key.
    pub(super) fn put(&mut self, key: &[u8], message: &Encoded<'_>, now: Instant) {
        let waiting = Waiting {
            key: key.to_vec(),
            value: message.value.map(<[u8]>::to_vec),
            timestamp_ms: message.timestamp_ms,
            headers: message.headers.iter().map(|(name, v)| ((*name).to_string(), v.map(<[u8]>::to_vec))).collect(),
        };
        self.since.get_or_insert(now);
        match self.by_key.get(key) {
            Some(place) => self.messages[*place] = waiting,
            None => {
                self.by_key.insert(key.to_vec(), self.messages.len());
                self.messages.push(waiting);
            }
        }
    }

    /// True when it is time to send.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.messages.len() >= self.rule.max_rows
            || self.since.is_some_and(|since| now.saturating_duration_since(since) >= self.rule.interval)
    }

    /// Empties the buffer into `send`.
    pub(super) fn drain(&mut self, mut send: impl FnMut(&Encoded<'_>) -> Result<()>) -> Result<()> {
        self.since = None;
        self.by_key.clear();
        for waiting in self.messages.drain(..) {
            let headers: Vec<(&str, Option<&[u8]>)> =
                waiting.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
            send(&Encoded {
                key: Some(&waiting.key),
                value: waiting.value.as_deref(),
                timestamp_ms: waiting.timestamp_ms,
                headers: &headers,
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const RULE: FlushRule = FlushRule { max_rows: 3, interval: Duration::from_secs(1) };

    fn put(buffer: &mut Buffer, key: &str, value: Option<&str>, now: Instant) {
        let message = Encoded {
            key: Some(key.as_bytes()),
            value: value.map(str::as_bytes),
            timestamp_ms: Some(7),
            headers: &[("h", Some(b"x")), ("none", None)],
        };
        buffer.put(key.as_bytes(), &message, now);
    }

    #[test]
    fn the_last_message_per_key_is_sent_once() {
        let (mut buffer, now) = (Buffer::new(RULE), Instant::now());
        for (key, value) in [("a", Some("1")), ("b", Some("2")), ("a", None), ("b", Some("3")), ("b", Some("4"))] {
            put(&mut buffer, key, value, now);
        }
        assert!(!buffer.is_due(now));
        let mut sent = Vec::new();
        let text = |bytes: Option<&[u8]>| bytes.map(|b| String::from_utf8(b.to_vec()).unwrap());
        let drained = buffer.drain(|m| {
            assert_eq!(
                (m.timestamp_ms, m.headers),
                (Some(7), [("h", Some(b"x".as_slice())), ("none", None)].as_slice())
            );
            sent.push((text(m.key).unwrap(), text(m.value)));
            Ok(())
        });
        drained.unwrap();
        assert_eq!(sent, [("a".into(), None), ("b".into(), Some("4".into()))]);
        buffer.drain(|_| unreachable!("the buffer is empty")).unwrap();
    }

    #[test]
    fn it_is_due_by_rows_or_by_time() {
        let (mut buffer, now) = (Buffer::new(RULE), Instant::now());
        assert!(!buffer.is_due(now + RULE.interval), "nothing waits");
        put(&mut buffer, "a", None, now);
        assert!(!buffer.is_due(now + RULE.interval / 2) && buffer.is_due(now + RULE.interval));
        put(&mut buffer, "b", None, now);
        put(&mut buffer, "c", None, now);
        assert!(buffer.is_due(now));
        buffer.drain(|_| Ok(())).unwrap();
        assert!(!buffer.is_due(now + RULE.interval));
    }
}
