//! `VALUES` as a bounded source of one split: the rows of a constant relation.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use eddyline_engine::connector::{Polled, SourceFactory, SourceReader, SplitId, SplitPosition, SplitProgress};
use eddyline_engine::dataflow::Subtask;
use eddyline_engine::{ChangelogBatch, Error, Result};

const SPLIT: &str = "values";

/// Makes readers of the same rows.
pub struct ValuesSource {
    rows: RecordBatch,
}

impl ValuesSource {
    /// A source of `rows`.
    pub fn new(rows: RecordBatch) -> Self {
        ValuesSource { rows }
    }
}

impl SourceFactory for ValuesSource {
    fn open(&self, subtask: Subtask, restored: Option<&[SplitPosition]>) -> Result<Box<dyn SourceReader>> {
        let position = restored.into_iter().flatten().find(|p| p.split == SPLIT);
        let next = match position {
            Some(position) => position.position["row"]
                .as_u64()
                .and_then(|row| usize::try_from(row).ok())
                .ok_or_else(|| Error::checkpoint("the position of VALUES is not a row number"))?,
            None => 0,
        };
        let end = if subtask.index == 0 { self.rows.num_rows() } else { 0 };
        Ok(Box::new(ValuesReader { rows: self.rows.clone(), next: next.min(end), end }))
    }
}

struct ValuesReader {
    rows: RecordBatch,
    next: usize,
    end: usize,
}

impl SourceReader for ValuesReader {
    fn poll(&mut self, max_rows: usize, _timeout: Duration) -> Result<Polled> {
        if self.next == self.end {
            return Ok(Polled::End);
        }
        let length = max_rows.min(self.end - self.next);
        let batch = ChangelogBatch::inserts(self.rows.slice(self.next, length));
        self.next += length;
        Ok(Polled::Rows { split: Arc::from(SPLIT), batch })
    }

    fn positions(&mut self) -> Result<Vec<SplitPosition>> {
        if self.end == 0 {
            return Ok(Vec::new());
        }
        Ok(vec![SplitPosition { split: SPLIT.into(), position: serde_json::json!({ "row": self.next }) }])
    }

    fn progress(&self) -> Vec<SplitProgress> {
        if self.end == 0 {
            return Vec::new();
        }
        let (position, end) = (self.next as u64, self.end as u64);
        vec![SplitProgress { split: Arc::from(SPLIT), position, end: Some(end), lag_rows: Some(end - position) }]
    }

    fn splits(&self) -> Vec<SplitId> {
        if self.end == 0 { Vec::new() } else { vec![Arc::from(SPLIT)] }
    }
}
