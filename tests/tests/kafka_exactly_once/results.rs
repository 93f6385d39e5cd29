//! What the output of a job must be, checked message by message as it becomes visible.
//!
//! Row n of the input happens at millisecond n. Half of the keys get rows from the beginning to the end, so that their
//! order shows; the other half live for [`LIFE`] rows only, so that later messages cannot make up for a lost one.

use std::collections::HashMap;

use rdkafka::Message;
use rdkafka::message::OwnedMessage;

/// What a job computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Every row as it is.
    PassThrough,
    /// Rows per key and window.
    Windows,
    /// Rows per key, as a changelog.
    Counts,
    /// Rows per key, as upserts.
    Upserts,
}

/// So many keys get rows at the same time, each in its turn.
const KEYS: i64 = 500;
/// Keys of the second half are followed by others after so many rows of all keys.
const LIFE: i64 = 10_000;
/// Milliseconds of a window.
pub(super) const WINDOW: i64 = 1000;

/// The key of a row. Rows whose numbers are equal modulo a divisor of [`KEYS`] keep apart from all others by key.
pub(super) fn key(row: i64) -> i64 {
    let turn = row % KEYS;
    if turn < KEYS / 2 { turn } else { row / LIFE * KEYS + turn }
}

/// The first row of a key; the others follow in steps of [`KEYS`].
fn first_row(key: i64) -> i64 {
    key / KEYS * LIFE + key % KEYS
}

/// How many of the first `rows` rows have this key.
fn rows_of(key: i64, rows: i64) -> i64 {
    let end = if key % KEYS < KEYS / 2 { rows } else { rows.min((key / KEYS + 1) * LIFE) };
    (end - first_row(key) + KEYS - 1) / KEYS
}

/// What has become visible.
pub(super) struct Results {
    shape: Shape,
    messages: usize,
    /// So many rows of the input led to what is visible.
    rows: i64,
    /// By key: its newest row, window or count.
    newest: HashMap<i64, i64>,
}

impl Results {
    pub(super) fn new(shape: Shape) -> Results {
        Results { shape, messages: 0, rows: 0, newest: HashMap::new() }
    }

    pub(super) fn rows(&self) -> i64 {
        self.rows
    }

    /// Takes the next message; panics when it is not one that may come now.
    pub(super) fn take(&mut self, message: &OwnedMessage) {
        self.messages += 1;
        match self.shape {
            Shape::PassThrough => {
                let [row, of] = numbers(message);
                assert_eq!(key(row), of, "row {row} has another key");
                self.follow(of, row, first_row(of), KEYS);
                self.rows += 1;
            }
            Shape::Windows => {
                let [window, of, count] = numbers(message);
                assert_eq!(count, WINDOW / KEYS, "rows of key {of} in window {window}");
                self.follow(of, window, first_row(of) / WINDOW, 1);
                self.rows += count;
            }
            Shape::Counts => self.change(message),
            Shape::Upserts => {
                let [of, count] = numbers(message);
                let before = self.newest.insert(of, count).unwrap_or(0);
                assert!(before < count, "the count of key {of} goes from {before} to {count}: it came twice or late");
                self.rows += count - before;
            }
        }
    }

    /// What is visible of a key is complete up to here and in order: `found` is the first, or `step` after the last.
    fn follow(&mut self, of: i64, found: i64, first: i64, step: i64) {
        let due = self.newest.insert(of, found).map_or(first, |last| last + step);
        let what = if found < due { "came twice or late" } else { "came before what is due, or that is lost" };
        assert!(found == due, "{found} of key {of} {what}: {due} is due");
    }

    /// A change must fit the ones before it.
    fn change(&mut self, message: &OwnedMessage) {
        let change: serde_json::Value = serde_json::from_slice(message.payload().unwrap_or_default()).expect("JSON");
        let row = |side: &str| Some((change[side]["k"].as_i64()?, change[side]["n"].as_i64()?));
        if let Some((of, count)) = row("before") {
            assert_eq!(self.newest.remove(&of), Some(count), "a retraction of what is not there: {change}");
            self.rows -= count;
        }
        if let Some((of, count)) = row("after") {
            assert_eq!(self.newest.insert(of, count), None, "an insertion over what is there: {change}");
            self.rows += count;
        }
    }

    /// Everything that follows from the first `rows` rows must be there, and nothing else.
    pub(super) fn check(&self, rows: i64) {
        let shape = self.shape;
        assert_eq!(self.rows, rows, "{shape:?}: rows of the input that show in {} messages", self.messages);
        if matches!(shape, Shape::Counts | Shape::Upserts) {
            let wrong = self.newest.iter().find(|(of, count)| rows_of(**of, rows) != **count);
            assert_eq!(wrong, None, "{shape:?}: a key and its count, which should be another");
        }
    }
}

/// The numbers in a message.
fn numbers<const N: usize>(message: &OwnedMessage) -> [i64; N] {
    let text = std::str::from_utf8(message.payload().unwrap_or_default()).expect("text");
    let numbers: Vec<i64> = text.trim().split(',').map(|number| number.parse().expect("a number")).collect();
    numbers.try_into().unwrap_or_else(|_| panic!("not {N} numbers: {text}"))
}

#[test]
fn keys_take_turns_and_half_of_them_end() {
    let mut seen: HashMap<i64, Vec<i64>> = HashMap::new();
    (0..3 * LIFE).for_each(|row| seen.entry(key(row)).or_default().push(row));
    for (of, rows) in &seen {
        assert_eq!((rows[0], rows.len() as i64), (first_row(*of), rows_of(*of, 3 * LIFE)), "key {of}");
        assert!(rows.windows(2).all(|pair| pair[1] - pair[0] == KEYS), "key {of}");
        assert_eq!(rows_of(*of, rows[0] + KEYS + 1), 2, "key {of}");
    }
    assert_eq!(seen.len() as i64, KEYS / 2 + 3 * KEYS / 2);
}
