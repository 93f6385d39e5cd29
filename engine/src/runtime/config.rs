//! How a job is run: its name, its checkpoints, where it starts, and the limits of its tasks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::journal::CheckpointJournal;
use crate::checkpoint::{CheckpointConfig, RestartStrategy};
use crate::error::Result;
use crate::time::{Clock, SystemClock};

/// Where a job starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restore {
    /// From the newest valid checkpoint of the job's name; empty when there is none.
    Latest,
    /// Empty; earlier checkpoints of the job's name are removed.
    Fresh,
    /// From the checkpoint in this folder.
    Path(PathBuf),
}

/// What is called when a job has read all its input and applied all its results.
pub type FinishHook = Arc<dyn Fn() -> Result<()> + Send + Sync>;

/// Everything that [`super::Job::start`] must know besides the dataflow.
#[derive(Clone)]
pub struct JobConfig {
    /// Name of the job; owns the folder of its checkpoints.
    pub name: String,
    /// When and where checkpoints are taken.
    pub checkpoint: CheckpointConfig,
    /// Where to start.
    pub restore: Restore,
    /// What to do after a failure that a restart may cure.
    pub restart: RestartStrategy,
    /// True when state of operators that the dataflow no longer has may be dropped
    /// (`execution.state-recovery.ignore-unclaimed-state`).
    pub ignore_unclaimed_state: bool,
    /// True when another process that runs this job is to be shut out.
    pub takeover: bool,
    /// True when a job whose exactly-once target is ahead of the restored checkpoint, or has lost its marker, may run on
    /// and write rows twice (`eddyline.recovery.allow-duplicates`).
    pub allow_duplicates: bool,
    /// Called before the checkpoints of a finished job are deleted; they stay when it fails. Whoever brings jobs back
    /// after a crash notes here that this one is not to come back.
    pub on_finish: Option<FinishHook>,
    /// True for a job whose result is its state: when it has read all its input, its last checkpoint stays.
    pub keep_result: bool,
    /// How often watermarks are sent; zero sends one after every row and runs the whole job row by row.
    pub auto_watermark_interval: Duration,
    /// A split without rows for this long no longer holds back the watermark; None waits for ever.
    pub idle_timeout: Option<Duration>,
    /// Messages that fit into one channel between two tasks; a full channel is backpressure.
    pub channel_capacity: usize,
    /// Most rows of one batch.
    pub batch_rows: usize,
    /// Where checkpoints are noted besides their folder, for operators.
    pub journal: Option<Arc<dyn CheckpointJournal>>,
    /// Where processing time comes from.
    pub clock: Arc<dyn Clock>,
}

impl JobConfig {
    /// A job without checkpoints on disk, with the defaults of everything else.
    pub fn new(name: impl Into<String>) -> Self {
        JobConfig {
            name: name.into(),
            checkpoint: CheckpointConfig::default(),
            restore: Restore::Latest,
            restart: RestartStrategy::default(),
            ignore_unclaimed_state: false,
            takeover: false,
            allow_duplicates: false,
            on_finish: None,
            keep_result: false,
            auto_watermark_interval: Duration::from_millis(200),
            idle_timeout: Some(Duration::from_secs(30)),
            channel_capacity: 16,
            batch_rows: 8192,
            journal: None,
            clock: Arc::new(SystemClock),
        }
    }

    /// True when the job runs row by row.
    pub fn is_per_row(&self) -> bool {
        self.auto_watermark_interval.is_zero()
    }
}
