//! A list of messages in one allocation: what encoders fill and writers drain.

/// Encoded messages, one after the other in one buffer, to be reused from batch to batch.
#[derive(Debug, Clone, Default)]
pub struct Messages {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Which of them are missing, in order.
    missing: Vec<usize>,
}

impl Messages {
    /// Without messages.
    pub fn new() -> Self {
        Messages::default()
    }

    /// Adds a message.
    pub fn push(&mut self, message: &[u8]) {
        self.bytes.extend_from_slice(message);
        self.finish();
    }

    /// The buffer, to append the next message to; [`Messages::finish`] ends it.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Ends the message that was appended to [`Messages::buffer`].
    pub fn finish(&mut self) {
        self.ends.push(self.bytes.len());
    }

    /// Ends a message that is not there: what a row is for which the format has no message, such as a NULL in `raw`.
    pub fn finish_missing(&mut self) {
        self.missing.push(self.ends.len());
        self.finish();
    }

    /// Message `index`; None past the end, and where it is missing.
    pub fn present(&self, index: usize) -> Option<&[u8]> {
        if self.missing.binary_search(&index).is_ok() { None } else { self.get(index) }
    }

    /// Message `index`, empty where it is missing; None past the end.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        Some(&self.bytes[start..end])
    }

    /// The messages in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> + '_ {
        (0..self.ends.len()).filter_map(|index| self.get(index))
    }

    /// Number of messages.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True without messages.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Total bytes of all messages.
    pub fn byte_len(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Forgets the messages and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.missing.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_in_order_with_their_bounds() {
        let mut messages = Messages::new();
        messages.push(b"one");
        messages.push(b"");
        messages.buffer().extend_from_slice(b"three");
        messages.finish();
        assert_eq!(messages.iter().collect::<Vec<_>>(), [b"one".as_slice(), b"", b"three"]);
        assert_eq!((messages.len(), messages.byte_len()), (3, 8));
        assert_eq!(messages.get(3), None);
        messages.finish_missing();
        assert_eq!((messages.len(), messages.get(3), messages.present(3)), (4, Some(b"".as_slice()), None));
        assert_eq!((messages.present(1), messages.present(2)), (Some(b"".as_slice()), Some(b"three".as_slice())));
        messages.clear();
        messages.push(b"again");
        assert_eq!((messages.present(0), messages.present(1)), (Some(b"again".as_slice()), None));
        messages.clear();
        assert!(messages.is_empty());
        assert_eq!(messages.iter().count(), 0);
    }
}
