//! Sinks: one interface for all of them, in two phases that follow the checkpoint.
//!
//! Phase one, [`Sink::prepare`], runs at the barrier in every subtask; what it returns becomes part of the checkpoint.
//! When the checkpoint's manifest is durable, phase two, [`Committer::apply`], makes the epoch visible. There is one
//! committer per sink, whatever the parallelism, on a thread of its own: targets keep one marker per sink, epochs become
//! visible strictly in order, and a rescaled job leaves nothing behind. After a restart the runtime calls `fence`, asks
//! `applied_up_to` and applies the logs that are missing.
//!
//! A sink that writes in `write` and flushes in `prepare` (at least once) returns empty logs and needs no committer.

use std::fmt;
use std::sync::Arc;

use crate::changelog::ChangelogBatch;
use crate::dataflow::Subtask;
use crate::error::Result;
use crate::state::States;
use crate::time::Epoch;

/// What a sink must keep from `prepare` to `apply`: bytes in the sink's own format, stored with the checkpoint.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EpochLog {
    bytes: Vec<u8>,
}

impl EpochLog {
    /// Nothing left to do for this epoch.
    pub fn empty() -> Self {
        EpochLog::default()
    }

    /// A log with content.
    pub fn new(bytes: Vec<u8>) -> Self {
        EpochLog { bytes }
    }

    /// True when `apply` has nothing to do.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The content.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Writes the rows of one subtask. Called from one thread.
pub trait Sink: Send {
    /// Takes rows of the current epoch. May buffer, may write, may block (that is backpressure).
    fn write(&mut self, batch: &ChangelogBatch) -> Result<()>;

    /// Called about every 100 ms while no rows come, so that a sink with a flush interval can keep it.
    fn tick(&mut self) -> Result<()> {
        Ok(())
    }

    /// Phase one at the barrier of `epoch`: afterwards every row written so far is either durable in the target or in
    /// the returned log.
    fn prepare(&mut self, epoch: Epoch) -> Result<EpochLog>;

    /// Everything that the sink must remember over a restart, by stable name; as it stands at the end of `prepare`. Keyed
    /// states want their rows spread by hash.
    fn states(&mut self) -> States<'_> {
        States::none()
    }

    /// All states hold what they held at `epoch` of this pipeline; None when the job starts without a checkpoint of its
    /// own. Called once, before the first row.
    fn restored(&mut self, _epoch: Option<Epoch>) -> Result<()> {
        Ok(())
    }

    /// Bytes that wait in memory for the next log. Much of it makes the runtime take a checkpoint before its time.
    fn log_bytes(&self) -> usize {
        0
    }
}

/// Makes prepared epochs visible; one per sink. Called from one thread.
pub trait Committer: Send {
    /// Shuts out every writer of an earlier `generation` of this pipeline, and ends what they left open. Called before
    /// anything else.
    fn fence(&mut self, generation: u64) -> Result<()>;

    /// The last epoch that the target itself knows to be applied as a whole; None when the target holds no marker.
    fn applied_up_to(&mut self) -> Result<Option<Epoch>>;

    /// The epoch after that if a part of it is visible already, for targets that take an epoch in several steps.
    fn partly_applied(&mut self) -> Result<Option<Epoch>> {
        Ok(None)
    }

    /// Phase two: makes the rows of `epoch` visible, those of `logs` in this order: one log per subtask that had rows.
    /// Idempotent: applying the same logs again changes nothing. Called in order of epochs.
    fn apply(&mut self, epoch: Epoch, logs: &[Arc<EpochLog>]) -> Result<()>;
}

/// Asks whether this process still is the one that may write for its pipeline.
#[derive(Clone)]
pub struct Guard(Arc<dyn Fn() -> Result<()> + Send + Sync>);

impl Guard {
    /// A guard that asks `check`.
    pub fn new(check: impl Fn() -> Result<()> + Send + Sync + 'static) -> Self {
        Guard(Arc::new(check))
    }

    /// A guard for jobs without checkpoints, which nobody can take over.
    pub fn open() -> Self {
        Guard::new(|| Ok(()))
    }

    /// An error that is not retriable when another process has taken the pipeline over.
    ///
    /// What makes this airtight with Kafka: a handle that was initialised *before* a check that passed is certain to be
    /// fenced by everyone who takes over afterwards. So initialise first, then check, then commit with that handle.
    pub fn check(&self) -> Result<()> {
        self.0()
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}

/// Where a sink instance stands.
#[derive(Debug, Clone)]
pub struct SinkContext {
    /// Which of how many.
    pub subtask: Subtask,
    /// Identity of the pipeline, made when the job was first created and kept with its checkpoints.
    pub pipeline: String,
    /// Name of the sink within the pipeline, stable over restarts.
    pub sink: String,
    /// To be asked before rows become visible.
    pub guard: Guard,
}

/// Makes sinks; shared by all subtasks and by all attempts of a job.
pub trait SinkFactory: Send + Sync {
    /// Connects to the target and checks what can be checked before rows flow: table, columns, types, credentials.
    fn open(&self, context: &SinkContext) -> Result<Box<dyn Sink>>;

    /// The committer of the sink, if its logs are ever other than empty. `context` is that of subtask 0.
    fn committer(&self, _context: &SinkContext) -> Result<Option<Box<dyn Committer>>> {
        Ok(None)
    }

    /// The delivery guarantee in words for the job's start line: `exactly-once`, `at-least-once`, `none`.
    fn guarantee(&self) -> &'static str {
        "at-least-once"
    }

    /// True when rows leave the program, so that its user is told the guarantee.
    fn is_outside(&self) -> bool {
        true
    }

    /// True when the guarantee holds only for jobs that take checkpoints; without them such a job is refused.
    fn needs_checkpoints(&self) -> bool {
        false
    }

    /// What to use instead in a job that keeps no checkpoints, for a sink that can also do with a smaller guarantee.
    fn without_checkpoints(&self) -> Option<Arc<dyn SinkFactory>> {
        None
    }

    /// The attempt is being torn down, after a failure or on request: calls of its sinks and committers that wait must
    /// return soon, best with an error. The next `open` begins anew.
    fn interrupt(&self) {}

    /// True when nobody wants the rows any longer: the job then ends quietly.
    fn is_closed(&self) -> bool {
        false
    }
}
