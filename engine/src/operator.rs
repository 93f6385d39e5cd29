//! What an operator is: a deterministic state machine over changelog batches, and nothing else.
//!
//! An operator has no channel, barrier, thread, clock or I/O. The runtime calls it and moves what it puts into
//! [`Output`]; everything it must remember it declares through [`Operator::states`], and the runtime saves and
//! restores it. Same calls in the same order give the same output, also when the operator is replaced by a restored
//! copy between any two calls (`testing::script` runs every operator test both ways).

use crate::changelog::ChangelogBatch;
use crate::error::Result;
use crate::state::States;
use crate::time::{ProcessingTime, Watermark};

/// Where an operator puts its results during one call, and where it learns the time of that call.
#[derive(Debug)]
pub struct Output {
    now: ProcessingTime,
    batches: Vec<ChangelogBatch>,
}

impl Output {
    /// An empty output for a call at time `now`.
    pub fn at(now: ProcessingTime) -> Self {
        Output { now, batches: Vec::new() }
    }

    /// Processing time of this call, fixed for its duration.
    pub fn now(&self) -> ProcessingTime {
        self.now
    }

    /// Sends `batch` downstream; an empty batch is dropped.
    pub fn emit(&mut self, batch: ChangelogBatch) {
        if !batch.is_empty() {
            self.batches.push(batch);
        }
    }

    /// What has been emitted, in order.
    pub fn into_batches(self) -> Vec<ChangelogBatch> {
        self.batches
    }
}

/// A deterministic state machine: no channels, barriers, clocks, threads, I/O. Same calls, same output.
pub trait Operator: Send {
    /// Takes the rows that arrived at input `port` (0 for operators with one input).
    fn on_batch(&mut self, port: usize, batch: ChangelogBatch, out: &mut Output) -> Result<()>;

    /// Event time has reached `watermark` on all inputs. The runtime passes the watermark on after this call, see
    /// [`Operator::output_watermark`].
    fn on_watermark(&mut self, _watermark: Watermark, _out: &mut Output) -> Result<()> {
        Ok(())
    }

    /// Processing time has reached what [`Operator::next_timer`] asked for.
    fn on_timer(&mut self, _now: ProcessingTime, _out: &mut Output) -> Result<()> {
        Ok(())
    }

    /// When `on_timer` is wanted, if at all. Asked after every call.
    fn next_timer(&self) -> Option<ProcessingTime> {
        None
    }

    /// Sends on what the operator only holds back to send it together; called before every barrier, so that such rows
    /// are no state.
    fn flush(&mut self, _out: &mut Output) -> Result<()> {
        Ok(())
    }

    /// The watermark to pass on when `input` arrived: an operator that delays rows holds it back.
    fn output_watermark(&self, input: Watermark) -> Watermark {
        input
    }

    /// Everything the operator must remember, by stable name. The same names in the same order at every call.
    fn states(&mut self) -> States<'_> {
        States::none()
    }

    /// Rows that came too late and were dropped since the operator was made.
    fn late_rows(&self) -> u64 {
        0
    }
}
