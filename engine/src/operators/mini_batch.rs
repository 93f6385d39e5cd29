//! Mini-batches: collects rows in front of an operator and gives them to it together, so that it reports net changes
//! once per batch rather than once per piece of input.
//!
//! Rows wait until there are enough of them, until the first has waited long enough, until a barrier or the end of the
//! input. Event time passes by, since what an operator behind this one emits has none. The operator behind keeps its
//! name and states: pacing can be switched on and off between two runs of a job.

use crate::changelog::ChangelogBatch;
use crate::error::Result;
use crate::operator::{Operator, Output};
use crate::state::States;
use crate::time::{ProcessingTime, Watermark};

/// An operator with one input, fed in batches.
pub struct MiniBatch {
    // Configuration.
    inner: Box<dyn Operator>,
    /// Rows that are enough.
    size: usize,
    /// Longest wait of a row, in microseconds.
    latency: i64,
    // Rows that wait; none at a barrier, so they are no state.
    waiting: Vec<ChangelogBatch>,
    rows: usize,
    due: Option<ProcessingTime>,
}

impl MiniBatch {
    /// `inner` behind batches of `size` rows that wait for at most `latency` microseconds.
    pub fn new(inner: Box<dyn Operator>, size: usize, latency: i64) -> Self {
        MiniBatch { inner, size, latency, waiting: Vec::new(), rows: 0, due: None }
    }

    fn hand_over(&mut self, out: &mut Output) -> Result<()> {
        self.due = None;
        self.rows = 0;
        if self.waiting.is_empty() {
            return Ok(());
        }
        let batch = ChangelogBatch::concat(&std::mem::take(&mut self.waiting))?;
        self.inner.on_batch(0, batch, out)
    }
}

impl Operator for MiniBatch {
    fn on_batch(&mut self, port: usize, batch: ChangelogBatch, out: &mut Output) -> Result<()> {
        assert_eq!(port, 0, "only operators with one input are fed in batches");
        self.rows += batch.len();
        self.waiting.push(batch);
        self.due.get_or_insert(ProcessingTime(out.now().0.saturating_add(self.latency)));
        if self.rows >= self.size { self.hand_over(out) } else { Ok(()) }
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Output) -> Result<()> {
        if watermark == Watermark::MAX {
            self.hand_over(out)?;
        }
        self.inner.on_watermark(watermark, out)
    }

    fn on_timer(&mut self, now: ProcessingTime, out: &mut Output) -> Result<()> {
        if self.due.is_some_and(|due| due <= now) {
            self.hand_over(out)?;
        }
        if self.inner.next_timer().is_some_and(|at| at <= now) { self.inner.on_timer(now, out) } else { Ok(()) }
    }

    fn next_timer(&self) -> Option<ProcessingTime> {
        [self.due, self.inner.next_timer()].into_iter().flatten().min()
    }

    fn flush(&mut self, out: &mut Output) -> Result<()> {
        self.hand_over(out)
    }

    fn output_watermark(&self, input: Watermark) -> Watermark {
        self.inner.output_watermark(input)
    }

    fn states(&mut self) -> States<'_> {
        self.inner.states()
    }

    fn late_rows(&self) -> u64 {
        self.inner.late_rows()
    }
}
