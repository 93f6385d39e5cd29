//! What a program's changelog (`--output jsonl`) adds up to.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::program::Finished;

/// The rows that a changelog adds up to, and how often each is there.
#[derive(Debug, PartialEq)]
pub struct Table(BTreeMap<String, i64>);

impl Table {
    /// The table that a program has printed; panics when it failed, or took back a row that was not there.
    pub fn of(finished: &Finished) -> Self {
        assert!(finished.success, "{finished:?}");
        let mut rows = BTreeMap::new();
        for line in finished.stdout.lines() {
            let change: Value = serde_json::from_str(line).expect("one JSON object per line");
            let count: &mut i64 = rows.entry(change["row"].to_string()).or_default();
            *count += match change["op"].as_str() {
                Some("+I" | "+U") => 1,
                Some("-U" | "-D") => -1,
                other => panic!("{other:?} is no kind of change: {line}"),
            };
            assert!(*count >= 0, "a row is retracted that is not there: {line}");
        }
        rows.retain(|_, count| *count != 0);
        Table(rows)
    }

    /// Each of `rows` once, as JSON arrays without blanks.
    pub fn from(rows: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Table(rows.into_iter().map(|row| (row.into(), 1)).collect())
    }

    /// All rows.
    pub fn rows(&self) -> Vec<Value> {
        self.0.iter().flat_map(|(row, n)| vec![serde_json::from_str(row).expect("JSON"); *n as usize]).collect()
    }
}
