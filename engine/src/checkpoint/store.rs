//! The checkpoints of one job in one folder.

use std::path::Path;

use arrow::array::RecordBatch;

use super::{FileEntry, Manifest, Restored};
use crate::connector::EpochLog;
use crate::dataflow::Uid;
use crate::error::{Error, Result};
use crate::time::Epoch;

/// The checkpoints of one job in one folder, held by this process alone.
#[derive(Debug)]
pub struct CheckpointStore {
    dir: std::path::PathBuf,
}

fn stub<T>() -> Result<T> {
    Err(Error::internal("not written yet"))
}

impl CheckpointStore {
    /// Opens or creates the folder of `job` below `root` and takes its fence: the lock that keeps other processes out
    /// (an error says which process holds it since when), and a new generation number. The newest `num_retained`
    /// checkpoints are kept.
    pub fn open(root: &Path, _job: &str, _num_retained: usize) -> Result<Self> {
        let _ = CheckpointStore { dir: root.to_path_buf() };
        stub()
    }

    /// Identity of the pipeline, a UUID made when the folder was created.
    pub fn pipeline(&self) -> &str {
        ""
    }

    /// How often the folder has been opened, this time included.
    pub fn generation(&self) -> u64 {
        0
    }

    /// The job's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The newest checkpoint whose files are all as its manifest says, or None when the job never completed one (or
    /// finished, or was started afresh). An error when there are some but all are damaged.
    pub fn latest(&self) -> Result<Option<Restored>> {
        stub()
    }

    /// The complete checkpoints after `after` up to `up_to`, oldest first: those whose logs sinks may still have to
    /// apply. Epochs before the last [`settle`](Self::settle) are left out. Damage is an error.
    pub fn unapplied(&self, _after: Option<Epoch>, _up_to: Epoch) -> Result<Vec<Restored>> {
        stub()
    }

    /// Ends recovery: every epoch so far is applied or given up for good. Returns the first epoch of the new run.
    pub fn settle(&self) -> Result<Epoch> {
        stub()
    }

    /// A number above every epoch that this folder has seen.
    pub fn next_epoch(&self) -> Epoch {
        Epoch(1)
    }

    /// Makes the automatic resume forget all checkpoints so far, without deleting them (`--fresh`).
    pub fn start_fresh(&self) -> Result<()> {
        stub()
    }

    /// Writes the rows of one state of one subtask durably as a Parquet file.
    pub fn write_state(
        &self,
        _epoch: Epoch,
        _uid: &Uid,
        _state: &str,
        _subtask: usize,
        _batches: &[RecordBatch],
    ) -> Result<FileEntry> {
        stub()
    }

    /// Writes the log of one subtask of a sink durably. A second log of the same subtask gets a file of its own.
    pub fn write_log(&self, _epoch: Epoch, _uid: &Uid, _subtask: usize, _log: &EpochLog) -> Result<FileEntry> {
        stub()
    }

    /// Publishes the checkpoint: afterwards it exists whatever happens. On an error it certainly does not. Then deletes
    /// what is no longer retained.
    pub fn commit(&self, _manifest: &Manifest) -> Result<()> {
        stub()
    }

    /// Records durably that all sinks have applied `epoch` and all before it.
    pub fn record_applied(&self, _epoch: Epoch) -> Result<()> {
        stub()
    }

    /// The last epoch recorded as applied.
    pub fn applied(&self) -> Option<Epoch> {
        None
    }

    /// Removes the files of an epoch that was given up.
    pub fn discard(&self, _epoch: Epoch) {}

    /// Deletes all checkpoints of a job that has finished or was cancelled without retention. Its identity and numbering
    /// stay.
    pub fn clear(&self) -> Result<()> {
        stub()
    }
}
