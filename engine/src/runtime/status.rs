//! What the outside sees of a job: its state, its figures, its events and its end.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::checkpoint::CheckpointKind;
use crate::connector::SplitId;
use crate::dataflow::Uid;
use crate::time::{Epoch, Watermark};

/// Where a job stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// Its tasks run.
    Running,
    /// An attempt failed; the next one starts after a delay.
    Restarting,
    /// Its end was asked for, or its input ended, and its last checkpoint is under way.
    Stopping,
    /// It came to its end: all input read, or stopped with a checkpoint.
    Finished,
    /// It ended with an error.
    Failed,
    /// It was ended without a last checkpoint.
    Canceled,
}

impl JobState {
    /// True for the three last states.
    pub fn is_terminal(self) -> bool {
        matches!(self, JobState::Finished | JobState::Failed | JobState::Canceled)
    }
}

/// How to end a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// With a last checkpoint, from which it can be resumed. Without a checkpoint folder the sinks are flushed.
    Checkpoint,
    /// Like `Checkpoint`, and the checkpoint is a savepoint: it stays until the user deletes it.
    Savepoint,
    /// At once; what came after the last checkpoint is forgotten.
    Cancel,
}

/// One complete checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckpointInfo {
    /// Its number.
    pub epoch: Epoch,
    /// From the barrier to the durable manifest.
    pub duration: Duration,
    /// Size of its files.
    pub bytes: u64,
    /// When it became durable.
    pub completed_at: SystemTime,
    /// Its folder; None for jobs without one.
    pub path: Option<PathBuf>,
}

/// The checkpoint that a job started from.
#[derive(Debug, Clone, PartialEq)]
pub struct RestoredFrom {
    /// Its number.
    pub epoch: Epoch,
    /// When it was taken.
    pub taken_at: SystemTime,
    /// Its folder.
    pub path: PathBuf,
}

/// What a node of a dataflow is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeRole {
    /// Reads.
    Source,
    /// Transforms.
    Operator,
    /// Writes.
    Sink,
}

/// One node of the job's graph with its figures, all subtasks together, since the job was submitted.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeStatus {
    /// The node's name in the dataflow.
    pub name: String,
    /// What it means.
    pub uid: Uid,
    /// What it is for.
    pub role: NodeRole,
    /// Number of its subtasks.
    pub parallelism: usize,
    /// Positions of the nodes that feed it.
    pub inputs: Vec<usize>,
    /// Rows that came in (for sources: out of the external system).
    pub rows_in: u64,
    /// Rows that went out (for sinks: to the external system).
    pub rows_out: u64,
    /// Rows dropped because they were late.
    pub late_rows: u64,
}

/// How one split of a source (a Kafka partition, a file) stands. At most half a second old.
#[derive(Debug, Clone, PartialEq)]
pub struct SplitStatus {
    /// Position of the source's node.
    pub node: usize,
    /// Name of the split.
    pub split: String,
    /// Where reading goes on: an offset, a row, a byte.
    pub position: Option<u64>,
    /// Where the split ends at present, where the external system says so.
    pub end: Option<u64>,
    /// Rows that wait in the external system, where it says so.
    pub lag_rows: Option<u64>,
    /// True when its source makes watermarks.
    pub event_time: bool,
    /// The split's own watermark; None before there is one, and for sources without.
    pub watermark: Option<Watermark>,
    /// True when it has been silent for so long that it no longer holds the watermark back.
    pub idle: bool,
    /// True when it is read to its end.
    pub ended: bool,
}

impl SplitStatus {
    /// A split of which nothing is known yet.
    pub(super) fn new(id: &SplitId) -> Self {
        SplitStatus {
            node: 0,
            split: id.to_string(),
            position: None,
            end: None,
            lag_rows: None,
            event_time: false,
            watermark: None,
            idle: false,
            ended: false,
        }
    }
}

/// How far a checkpoint has come.
#[derive(Debug, Clone, PartialEq)]
pub enum CheckpointProgress {
    /// Its barrier is on the way, or its files are being written.
    InProgress,
    /// It is durable; bytes are the size of its files.
    Completed {
        /// From the barrier to the durable manifest.
        duration: Duration,
        /// Size of its files.
        bytes: u64,
        /// Its folder; None for jobs without one.
        path: Option<PathBuf>,
    },
    /// It was given up.
    Failed {
        /// Why.
        reason: String,
        /// From the barrier to the moment in which it was given up.
        duration: Duration,
    },
}

/// One checkpoint of this run, whatever became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckpointRecord {
    /// Its number.
    pub epoch: Epoch,
    /// What it was taken for.
    pub kind: CheckpointKind,
    /// When its barrier was sent.
    pub began_at: SystemTime,
    /// How far it has come.
    pub progress: CheckpointProgress,
}

/// A job at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct JobStatus {
    /// Where it stands.
    pub state: JobState,
    /// How often it was restarted after a failure.
    pub restarts: u64,
    /// Rows read by all sources.
    pub rows_read: u64,
    /// Rows given to all sinks.
    pub rows_written: u64,
    /// Rows that wait in the external systems, when all of them say so.
    pub lag_rows: Option<u64>,
    /// Rows dropped because they were late.
    pub late_rows: u64,
    /// Messages skipped because they could not be read.
    pub skipped_messages: u64,
    /// The smallest watermark of all sources; None before there is one.
    pub watermark: Option<Watermark>,
    /// The newest complete checkpoint of this run.
    pub last_checkpoint: Option<CheckpointInfo>,
    /// Checkpoints that were completed.
    pub completed_checkpoints: u64,
    /// Checkpoints that were given up.
    pub failed_checkpoints: u64,
    /// The newest failure of the job, also one that was cured.
    pub last_error: Option<String>,
    /// When that was.
    pub last_error_at: Option<SystemTime>,
    /// Where this run started from; None when it started empty.
    pub restored_from: Option<RestoredFrom>,
    /// Figures per node, in the order of the dataflow.
    pub nodes: Vec<NodeStatus>,
}

/// Something worth telling a person.
#[derive(Debug, Clone, PartialEq)]
pub enum JobEvent {
    /// The job (or its next attempt) starts from a checkpoint.
    Resumed(RestoredFrom),
    /// A damaged checkpoint was passed over.
    SkippedDamaged {
        /// Which one, and what is wrong with it.
        text: String,
    },
    /// What a sink outside of the program promises.
    Guarantee {
        /// Name of the sink.
        sink: String,
        /// `exactly-once`, `at-least-once` or `none`.
        guarantee: &'static str,
    },
    /// A checkpoint is durable.
    CheckpointCompleted(CheckpointInfo),
    /// A checkpoint was given up; the job goes on.
    CheckpointFailed {
        /// Which one.
        epoch: Epoch,
        /// Why.
        reason: String,
    },
    /// The job failed and starts again after `delay`.
    Restarting {
        /// What failed.
        error: String,
        /// Until the next attempt.
        delay: Duration,
    },
    /// The job has reached a last state.
    Ended(JobState),
}

/// What a job has done when it ended without an error.
#[derive(Debug, Clone, PartialEq)]
pub struct JobSummary {
    /// Finished or Canceled.
    pub state: JobState,
    /// True for a finished job that was stopped before all its input was read.
    pub stopped: bool,
    /// Rows read by all sources.
    pub rows_read: u64,
    /// Rows given to all sinks.
    pub rows_written: u64,
    /// Rows dropped because they were late.
    pub late_rows: u64,
    /// Messages skipped because they could not be read.
    pub skipped_messages: u64,
    /// Restarts after failures.
    pub restarts: u64,
    /// The newest complete checkpoint of this run.
    pub last_checkpoint: Option<CheckpointInfo>,
    /// From start to end.
    pub elapsed: Duration,
}
