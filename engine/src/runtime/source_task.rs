//! The loop of a task that reads an external system: poll, compute the declared columns, push, make watermarks.
//!
//! Batches are whatever is there: a poll waits only while there is nothing, and never longer than [`LONGEST_POLL`], so
//! barriers are not held up; only rows that belong together are read to their last one first.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, Int64Array};
use arrow::datatypes::SchemaRef;
use crossbeam_channel::{RecvTimeoutError, TryRecvError};
use datafusion_physical_expr::PhysicalExpr;

use super::driver::TaskReport;
use super::message::{Barrier, Message};
use super::metrics::SourceMetrics;
use super::snapshot::FrozenNode;
use super::status::SplitStatus;
use super::stop::{Stopped, TaskResult};
use super::task::{Control, TaskContext};
use super::watermarks::{Advance, SourceWatermarks};
use crate::changelog::ChangelogBatch;
use crate::checkpoint::CheckpointKind;
use crate::connector::{Polled, SourceReader, SplitId, SplitPosition};
use crate::crash;
use crate::dataflow::{Uid, WatermarkStrategy};
use crate::error::{Error, Result};
use crate::operators::project_batch;
use crate::time::{Epoch, EventTime, Watermark, column_micros, max_micros};

/// Longest wait for rows, and so the longest delay of a barrier in an idle source.
const LONGEST_POLL: Duration = Duration::from_millis(10);
/// How often lag and skipped messages are asked for.
const FIGURES_INTERVAL: Duration = Duration::from_millis(500);
/// Checkpoints whose positions are kept until they are known to be durable.
const POSITIONS_KEPT: usize = 16;
/// Flink's words for a NULL in the column that a watermark is declared for.
const NULL_ROWTIME: &str = "RowTime field should not be null, please convert it to a non-null long value.";

/// What a source task is made of, besides what every task has.
pub(super) struct SourceParts {
    /// What the source means.
    pub(super) uid: Uid,
    /// Reads the splits.
    pub(super) reader: Box<dyn SourceReader>,
    /// Computed columns.
    pub(super) project: Option<Vec<Arc<dyn PhysicalExpr>>>,
    /// Columns after `project`.
    pub(super) schema: SchemaRef,
    /// How watermarks are made, if at all.
    pub(super) strategy: Option<WatermarkStrategy>,
    /// A split without rows for this long does not hold back the watermark.
    pub(super) idle_timeout: Option<Duration>,
    /// Zero: a watermark after every row.
    pub(super) watermark_interval: Duration,
    /// Most rows of a batch.
    pub(super) batch_rows: usize,
    /// Counters.
    pub(super) metrics: Arc<SourceMetrics>,
}

/// A task that reads an external system.
pub(super) struct SourceTask {
    context: TaskContext,
    parts: SourceParts,
    /// False when all is read, and from the stop barrier on.
    reading: bool,
    watermarks: SourceWatermarks,
    last_watermark: Instant,
    last_figures: Instant,
    skipped_seen: u64,
    positions: VecDeque<(Epoch, Vec<SplitPosition>)>,
}

impl SourceTask {
    /// A task that has read nothing yet.
    pub(super) fn new(context: TaskContext, parts: SourceParts) -> Self {
        let watermarks = SourceWatermarks::new(parts.idle_timeout);
        let now = Instant::now();
        SourceTask {
            context,
            parts,
            reading: true,
            watermarks,
            last_watermark: now,
            last_figures: now,
            skipped_seen: 0,
            positions: VecDeque::new(),
        }
    }

    /// Runs until told to leave.
    pub(super) fn run(&mut self) -> TaskResult {
        self.watermarks.assign(&self.parts.reader.splits());
        self.figures();
        loop {
            loop {
                match self.context.control.try_recv() {
                    Ok(Control::Leave) => return Ok(()),
                    Ok(control) => self.obey(control)?,
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return Err(Stopped::Canceled),
                }
            }
            if self.reading {
                self.read()?;
            } else {
                match self.context.control.recv_timeout(self.context.patience(Duration::from_millis(100))) {
                    Ok(Control::Leave) => return Ok(()),
                    Ok(control) => self.obey(control)?,
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return Err(Stopped::Canceled),
                }
            }
            self.context.keep_time()?;
        }
    }

    fn obey(&mut self, control: Control) -> TaskResult {
        match control {
            Control::Start(barrier) => self.checkpoint(barrier),
            Control::Completed(epoch) => {
                while let Some((oldest, positions)) = self.positions.pop_front_if(|(oldest, _)| *oldest <= epoch) {
                    if oldest == epoch {
                        self.parts.reader.checkpoint_complete(epoch, &positions);
                    }
                }
                Ok(())
            }
            Control::Leave => Ok(()),
        }
    }

    fn checkpoint(&mut self, barrier: Barrier) -> TaskResult {
        while self.reading && !self.parts.reader.is_between() {
            self.read()?;
        }
        let positions = self.parts.reader.positions()?;
        crash::point("checkpoint.source-noted")?;
        if self.positions.len() == POSITIONS_KEPT {
            self.positions.pop_front();
        }
        self.positions.push_back((barrier.epoch, positions.clone()));
        let states = FrozenNode::of_states(self.parts.uid.clone(), self.parts.reader.states())?;
        self.context.snapshot(barrier, Some(states.with_splits(positions)))?;
        if barrier.kind == CheckpointKind::Stop {
            self.reading = false;
            self.figures();
        }
        Ok(())
    }

    /// One poll and what follows from it.
    fn read(&mut self) -> TaskResult {
        let polled = self.parts.reader.poll(self.parts.batch_rows, self.context.patience(LONGEST_POLL))?;
        self.watermarks.step(self.context.clock.now());
        match polled {
            Polled::Rows { split, batch } if !batch.is_empty() => self.rows(&split, batch)?,
            Polled::Rows { .. } | Polled::Nothing => {}
            Polled::SplitEnd(split) => self.watermarks.end(&split),
            Polled::End => return self.end(),
        }
        if self.last_figures.elapsed() >= FIGURES_INTERVAL {
            self.figures();
        }
        if self.parts.strategy.is_some() && self.last_watermark.elapsed() >= self.parts.watermark_interval {
            self.last_watermark = Instant::now();
            self.watermarks.assign(&self.parts.reader.splits());
            self.send_watermark()?;
        }
        Ok(())
    }

    fn end(&mut self) -> TaskResult {
        self.reading = false;
        self.figures();
        self.context.chain.broadcast(&Message::Active)?;
        self.parts.metrics.set_watermark(Watermark::MAX);
        self.context.chain.watermark(Watermark::MAX)?;
        self.context.reports.send(TaskReport::SourceEnded);
        Ok(())
    }

    fn rows(&mut self, split: &SplitId, batch: ChangelogBatch) -> TaskResult {
        let batch = self.computed(batch)?;
        let Some(strategy) = &self.parts.strategy else {
            return self.context.chain.rows(0, batch);
        };
        if self.watermarks.rows(split) {
            self.context.chain.broadcast(&Message::Active)?;
        }
        if self.parts.watermark_interval.is_zero() {
            return self.rows_one_by_one(split, &batch);
        }
        if null_rowtime(strategy, &batch).is_some() {
            return Err(Error::data(NULL_ROWTIME).into());
        }
        let highest = max_micros(&watermark_values(strategy, &batch)?);
        self.context.chain.rows(0, batch)?;
        if let Some(highest) = highest {
            self.watermarks.observe(split, Watermark(highest));
        }
        Ok(())
    }

    /// Each row is followed by its watermark.
    fn rows_one_by_one(&mut self, split: &SplitId, batch: &ChangelogBatch) -> TaskResult {
        let Some(strategy) = &self.parts.strategy else { return Ok(()) };
        let null = null_rowtime(strategy, batch);
        let values = watermark_values(strategy, batch)?;
        for row in 0..null.unwrap_or(batch.len()) {
            self.context.chain.rows(0, batch.slice(row, 1))?;
            if values.is_valid(row) {
                self.watermarks.observe(split, Watermark(EventTime(values.value(row))));
                self.send_watermark()?;
            }
        }
        if null.is_some() { Err(Error::data(NULL_ROWTIME).into()) } else { Ok(()) }
    }

    fn send_watermark(&mut self) -> TaskResult {
        match self.watermarks.advance() {
            Some(Advance::Watermark(watermark)) => {
                self.parts.metrics.set_watermark(watermark);
                self.context.chain.watermark(watermark)
            }
            Some(Advance::Idle) => self.context.chain.broadcast(&Message::Idle),
            None => Ok(()),
        }
    }

    fn computed(&self, batch: ChangelogBatch) -> Result<ChangelogBatch> {
        let Some(project) = &self.parts.project else { return Ok(batch) };
        project_batch(&batch, project, &self.parts.schema)
    }

    fn figures(&mut self) {
        self.last_figures = Instant::now();
        let mut splits = self.watermarks.figures();
        for progress in self.parts.reader.progress() {
            let known = splits.iter().position(|s| s.split == *progress.split).unwrap_or_else(|| {
                splits.push(SplitStatus::new(&progress.split));
                splits.len() - 1
            });
            let split = &mut splits[known];
            (split.position, split.end, split.lag_rows) = (Some(progress.position), progress.end, progress.lag_rows);
        }
        let event_time = self.parts.strategy.is_some();
        for split in &mut splits {
            // Without event time nobody notes when rows come, and nothing is held back.
            (split.event_time, split.idle) = (event_time, split.idle && event_time);
        }
        self.parts.metrics.set_splits(splits);
        let skipped = self.parts.reader.skipped_messages();
        self.parts.metrics.skipped(skipped.saturating_sub(self.skipped_seen));
        self.skipped_seen = skipped;
    }
}

fn watermark_values(strategy: &WatermarkStrategy, batch: &ChangelogBatch) -> Result<Int64Array> {
    column_micros(&strategy.expression.evaluate(batch.rows())?.into_array(batch.len())?)
}

/// The first row that is added and has no event time. (A deletion may carry its key only.)
fn null_rowtime(strategy: &WatermarkStrategy, batch: &ChangelogBatch) -> Option<usize> {
    let times = batch.column(strategy.column);
    if times.null_count() == 0 {
        return None;
    }
    (0..batch.len()).find(|row| times.is_null(*row) && batch.kind(*row).is_addition())
}
