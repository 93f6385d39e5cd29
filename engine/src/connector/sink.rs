//! Sinks: one interface for all of them, in two phases that follow the checkpoint.
//!
//! Phase one, [`Sink::prepare`], runs at the barrier; what it returns becomes part of the checkpoint. When the
//! checkpoint's manifest is durable, phase two, [`Sink::apply`], makes the epoch visible. After a restart the runtime
//! calls `fence`, asks `applied_up_to` and applies the logs that are missing. An at-least-once sink writes in `write`,
//! flushes in `prepare` and returns an empty log; `apply` of an empty log does nothing.

use crate::changelog::ChangelogBatch;
use crate::dataflow::Subtask;
use crate::error::Result;
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

    /// The last epoch that the target itself knows to be applied; None when the target keeps no marker.
    fn applied_up_to(&mut self) -> Result<Option<Epoch>> {
        Ok(None)
    }

    /// Phase two: makes the rows of `epoch` visible. Idempotent: applying the same log again changes nothing.
    fn apply(&mut self, _epoch: Epoch, _log: &EpochLog) -> Result<()> {
        Ok(())
    }

    /// Shuts out every writer of an earlier `generation` of this pipeline. Called before anything else after opening.
    fn fence(&mut self, _generation: u64) -> Result<()> {
        Ok(())
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
}

/// Makes sinks; shared by all subtasks and by all attempts of a job.
pub trait SinkFactory: Send + Sync {
    /// Connects to the target and checks what can be checked before rows flow: table, columns, types, credentials.
    fn open(&self, context: &SinkContext) -> Result<Box<dyn Sink>>;

    /// The delivery guarantee in words for the job's start line: `exactly-once`, `at-least-once`, `none`.
    fn guarantee(&self) -> &'static str {
        "at-least-once"
    }

    /// The attempt is being torn down, after a failure or on request: calls of its sinks that wait must return soon,
    /// best with an error. The next `open` begins anew.
    fn interrupt(&self) {}

    /// True when nobody wants the rows any longer: the job then ends quietly.
    fn is_closed(&self) -> bool {
        false
    }
}
