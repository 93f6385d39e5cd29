//! Finds the column of a JSON key, guessing that keys come in the order of the previous message.
//!
//! Producers write the fields of one kind of message in one order. The n-th key of a message is therefore compared with
//! the n-th key of the last message, quotes and all; only a miss is parsed and looked up. Keys without a column take
//! part, so that unknown fields do not spoil the guess.

use ahash::AHashMap;

/// Longest remembered message; keys behind are looked up each time.
const MAX_REMEMBERED: usize = 256;

/// The names of a row's columns and the order of keys in the last message.
pub(super) struct Keys {
    columns: AHashMap<Box<[u8]>, usize>,
    order: Vec<Guess>,
}

struct Guess {
    /// The key as written, with its quotes.
    raw: Box<[u8]>,
    column: Option<usize>,
}

impl Keys {
    /// Columns by name, numbered in order.
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Keys {
        Keys { columns: names.enumerate().map(|(i, n)| (Box::from(n.as_bytes()), i)).collect(), order: Vec::new() }
    }

    /// If `input` starts with the remembered key number `index`: its length with quotes, and its column.
    #[inline]
    pub(super) fn guess(&self, index: usize, input: &[u8]) -> Option<(usize, Option<usize>)> {
        let guess = self.order.get(index)?;
        input.starts_with(&guess.raw).then_some((guess.raw.len(), guess.column))
    }

    /// The column called `name`; remembers that key number `index` is written as `raw`.
    pub(super) fn look_up(&mut self, index: usize, raw: &[u8], name: &[u8]) -> Option<usize> {
        let column = self.columns.get(name).copied();
        let guess = Guess { raw: raw.into(), column };
        if index < self.order.len() {
            self.order[index] = guess;
        } else if index == self.order.len() && index < MAX_REMEMBERED {
            self.order.push(guess);
        }
        column
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_the_last_message_is_guessed_and_corrected() {
        let mut keys = Keys::new(["a", "b"].into_iter());
        assert_eq!(keys.guess(0, b"\"b\":1"), None);
        assert_eq!(keys.look_up(0, b"\"b\"", b"b"), Some(1));
        assert_eq!(keys.look_up(1, b"\"other\"", b"other"), None);
        assert_eq!(keys.guess(0, b"\"b\":1"), Some((3, Some(1))));
        assert_eq!(keys.guess(1, b"\"other\" : 1"), Some((7, None)));
        assert_eq!(keys.guess(0, b"\"bb\":1"), None);
        assert_eq!(keys.look_up(0, b"\"a\"", b"a"), Some(0));
        assert_eq!(keys.guess(0, b"\"a\":1"), Some((3, Some(0))));
    }
}
