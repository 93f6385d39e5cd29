//! Sources: readers of splits (Kafka partitions, files, sequences) whose positions are part of the checkpoint.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::changelog::ChangelogBatch;
use crate::dataflow::Subtask;
use crate::error::Result;
use crate::state::States;
use crate::time::Epoch;

/// Name of one split, unique and stable within its source: `topic-0`, a file path.
pub type SplitId = Arc<str>;

/// How far a split has been read, in the connector's own terms (`{"offset": 42}`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SplitPosition {
    /// Which split.
    pub split: String,
    /// Where reading goes on.
    pub position: serde_json::Value,
}

/// How far a split has been read, as a number that people can follow: an offset, a row, a byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitProgress {
    /// Which split.
    pub split: SplitId,
    /// Where reading goes on.
    pub position: u64,
    /// Where the split ends at present; None when nobody knows, or when it has no end.
    pub end: Option<u64>,
    /// Rows between the two, where they can be counted.
    pub lag_rows: Option<u64>,
}

/// What one call of [`SourceReader::poll`] brought.
#[derive(Debug)]
pub enum Polled {
    /// Rows of one split, in its order.
    Rows {
        /// Where they come from; watermarks are made per split.
        split: SplitId,
        /// Physical and metadata columns as declared, computed columns not yet.
        batch: ChangelogBatch,
    },
    /// Nothing came within the timeout; more may come.
    Nothing,
    /// This split is read to its end and no longer holds back the watermark.
    SplitEnd(SplitId),
    /// All splits of this subtask are read to their end, and no new ones will come.
    End,
}

/// Reads the splits of one subtask. Called from one thread.
pub trait SourceReader: Send {
    /// Waits at most `timeout` for rows and returns at most `max_rows` of one split. Never waits longer, so that
    /// barriers are not held up. Errors name the split and position of what could not be read.
    fn poll(&mut self, max_rows: usize, timeout: Duration) -> Result<Polled>;

    /// False while rows are still to come that belong together with those that `poll` has returned: a barrier waits until
    /// `poll` has returned the last of them.
    fn is_between(&self) -> bool {
        true
    }

    /// What the reader must remember besides its positions, by stable name.
    fn states(&mut self) -> States<'_> {
        States::none()
    }

    /// Positions of all splits of this subtask after the rows that `poll` has returned so far, also of splits from
    /// which nothing was read yet.
    fn positions(&mut self) -> Result<Vec<SplitPosition>>;

    /// The splits that this subtask reads now; those that have brought no row yet hold back the watermark.
    fn splits(&self) -> Vec<SplitId>;

    /// Checkpoint `epoch`, which holds `positions`, is complete. For monitoring only; must not wait.
    fn checkpoint_complete(&mut self, _epoch: Epoch, _positions: &[SplitPosition]) {}

    /// How far the splits of this subtask have been read, those that are read to their end included. Must not wait.
    fn progress(&self) -> Vec<SplitProgress> {
        Vec::new()
    }

    /// Messages that were skipped because they could not be read (`ignore-parse-errors`).
    fn skipped_messages(&self) -> u64 {
        0
    }
}

/// Makes readers; shared by all subtasks and by all attempts of a job.
pub trait SourceFactory: Send + Sync {
    /// The reader of `subtask`. `restored` holds the positions of all subtasks from the checkpoint (empty on a fresh
    /// start); the reader takes the splits that are its own under the current parallelism. A split that is not in
    /// `restored` although something was restored is new and is read from its beginning.
    fn open(&self, subtask: Subtask, restored: Option<&[SplitPosition]>) -> Result<Box<dyn SourceReader>>;
}
