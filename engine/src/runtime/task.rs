//! What all tasks share, and the loop of a task whose rows come through channels.
//!
//! A task looks at its control channel, takes one message from every open channel in turn, fires timers, and when there
//! was nothing to do waits for whatever comes first. It stays until it is told to leave.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Select, TryRecvError};

use super::chain::Chain;
use super::driver::TaskReport;
use super::gate::{Gate, Passed};
use super::message::{Barrier, Message};
use super::snapshot::{Frozen, FrozenNode, ReportSender, SnapshotQueue};
use super::stop::{Stopped, TaskResult};
use crate::changelog::ChangelogBatch;
use crate::checkpoint::CheckpointKind;
use crate::time::{Clock, Epoch, ProcessingTime};

/// How often sinks get their tick, and the longest wait of a task.
const TICK: Duration = Duration::from_millis(100);
/// Batches of fewer rows are joined with those waiting behind them.
const SMALL_BATCH: usize = 512;

/// What the driver asks of a task.
#[derive(Debug, Clone, Copy)]
pub(super) enum Control {
    /// Start a checkpoint (sources only).
    Start(Barrier),
    /// This checkpoint is durable (sources only).
    Completed(Epoch),
    /// End now.
    Leave,
}

/// What every task has besides its input.
pub(super) struct TaskContext {
    /// The operators.
    pub(super) chain: Chain,
    /// The driver's wishes.
    pub(super) control: Receiver<Control>,
    /// Answers to the driver.
    pub(super) reports: ReportSender,
    /// Where frozen state goes.
    pub(super) snapshots: SnapshotQueue,
    /// Processing time, for timers.
    pub(super) clock: Arc<dyn Clock>,
    last_tick: Instant,
    /// True from the stop barrier on: no timer fires any more, because what it would emit is in no checkpoint.
    stopped: bool,
}

impl TaskContext {
    /// The context of a task that starts now.
    pub(super) fn new(
        chain: Chain,
        control: Receiver<Control>,
        reports: ReportSender,
        snapshots: SnapshotQueue,
        clock: Arc<dyn Clock>,
    ) -> Self {
        TaskContext { chain, control, reports, snapshots, clock, last_tick: Instant::now(), stopped: false }
    }

    /// Takes the subtask's part of a checkpoint; `own` is the part of the source, if the task has one.
    pub(super) fn snapshot(&mut self, barrier: Barrier, own: Option<FrozenNode>) -> TaskResult {
        self.stopped |= barrier.kind == CheckpointKind::Stop;
        let mut nodes = self.chain.freeze(barrier, self.reports.subtask)?;
        nodes.extend(own);
        tracing::trace!(epoch = barrier.epoch.0, thread = self.reports.thread, "state frozen");
        self.snapshots.hand_over(Frozen { epoch: barrier.epoch, sender: self.reports.clone(), nodes });
        Ok(())
    }

    /// Fires due timers, ticks the sinks when it is time, and tells the driver when a log has grown long.
    pub(super) fn keep_time(&mut self) -> TaskResult {
        if self.chain.wants_checkpoint() {
            self.reports.send(TaskReport::WantsCheckpoint);
        }
        if self.next_timer().is_some_and(|at| at <= self.clock.now()) {
            self.chain.fire_timers()?;
        }
        if self.last_tick.elapsed() >= TICK {
            self.last_tick = Instant::now();
            self.chain.tick()?;
        }
        Ok(())
    }

    fn next_timer(&self) -> Option<ProcessingTime> {
        if self.stopped { None } else { self.chain.next_timer() }
    }

    /// How long the task may wait for input, at most `longest`.
    pub(super) fn patience(&self, longest: Duration) -> Duration {
        let until_timer = self
            .next_timer()
            .map(|at| Duration::from_micros(u64::try_from(at.0.saturating_sub(self.clock.now().0)).unwrap_or(0)));
        until_timer.map_or(longest, |wait| wait.min(longest))
    }
}

/// A task whose rows come through channels.
pub(super) struct ChannelTask {
    context: TaskContext,
    gate: Gate,
    channels: Vec<Receiver<Message>>,
    /// Most rows of a joined batch.
    batch_rows: usize,
    /// What the gate let pass, kept to reuse its memory.
    passed: Vec<Passed>,
}

impl ChannelTask {
    /// A task behind `gate`, which has one channel per element of `channels`.
    pub(super) fn new(context: TaskContext, gate: Gate, channels: Vec<Receiver<Message>>, batch_rows: usize) -> Self {
        ChannelTask { context, gate, channels, batch_rows, passed: Vec::new() }
    }

    /// Runs until told to leave.
    pub(super) fn run(&mut self) -> TaskResult {
        loop {
            loop {
                match self.context.control.try_recv() {
                    Ok(Control::Start(_) | Control::Completed(_)) => {}
                    Ok(Control::Leave) => return Ok(()),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return Err(Stopped::Canceled),
                }
            }
            let worked = self.take_round()?;
            self.context.keep_time()?;
            if !worked {
                self.wait();
            }
        }
    }

    /// Takes one message, or several small batches, from every open channel. False when there was none.
    fn take_round(&mut self) -> TaskResult<bool> {
        let mut worked = false;
        for channel in 0..self.channels.len() {
            if !self.gate.is_open(channel) {
                continue;
            }
            match self.channels[channel].try_recv() {
                Ok(Message::Batch(batch)) if batch.len() < SMALL_BATCH.min(self.batch_rows) => {
                    let next = self.join_small(channel, batch)?;
                    if let Some(message) = next {
                        self.process(channel, message)?;
                    }
                }
                Ok(message) => self.process(channel, message)?,
                Err(TryRecvError::Empty) => continue,
                Err(TryRecvError::Disconnected) => return Err(Stopped::Canceled),
            }
            worked = true;
        }
        Ok(worked)
    }

    /// Processes `first` together with the small batches that wait behind it; gives back the message that ended the
    /// series, if one did.
    fn join_small(&mut self, channel: usize, first: ChangelogBatch) -> TaskResult<Option<Message>> {
        let mut rows = first.len();
        let mut series = vec![first];
        let mut next = None;
        while rows < self.batch_rows && next.is_none() {
            match self.channels[channel].try_recv() {
                Ok(Message::Batch(batch)) if rows + batch.len() <= self.batch_rows => {
                    rows += batch.len();
                    series.push(batch);
                }
                Ok(message) => next = Some(message),
                Err(_) => break,
            }
        }
        self.process(channel, Message::Batch(ChangelogBatch::concat(&series)?))?;
        Ok(next)
    }

    fn process(&mut self, channel: usize, message: Message) -> TaskResult {
        let mut passed = std::mem::take(&mut self.passed);
        self.gate.receive(channel, message, &mut passed);
        for step in passed.drain(..) {
            match step {
                Passed::Batch(port, batch) => self.context.chain.rows(port, batch)?,
                Passed::Watermark(watermark) => self.context.chain.watermark(watermark)?,
                Passed::Idle => self.context.chain.broadcast(&Message::Idle)?,
                Passed::Active => self.context.chain.broadcast(&Message::Active)?,
                Passed::Barrier(barrier) => self.context.snapshot(barrier, None)?,
            }
        }
        self.passed = passed;
        Ok(())
    }

    /// Waits until a channel or the driver has something, or a timer is due.
    fn wait(&self) {
        let patience = self.context.patience(TICK);
        let mut select = Select::new();
        select.recv(&self.context.control);
        for (index, channel) in self.channels.iter().enumerate() {
            if self.gate.is_open(index) {
                select.recv(channel);
            }
        }
        // A timeout is as good as a message: the caller looks at everything again.
        let _ = select.ready_timeout(patience);
    }
}
