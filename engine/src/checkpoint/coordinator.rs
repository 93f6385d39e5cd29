//! The checkpoint coordinator: a pure state machine, events in, commands out; no clock, no thread, no I/O.
//!
//! Life of an epoch: *injected* (sources send the barrier) → every task acknowledges → *manifest written*; its
//! durability is the decision → *applied* by the sinks → recorded. Until the manifest is being written an epoch can be
//! given up (declined or timed out); rows that sinks prepared for an epoch that was given up belong to the next one.
//!
//! Invariants, checked in `coordinator_tests` over all interleavings of events:
//! - at most one epoch is in flight, and at most [`MAX_UNAPPLIED_EPOCHS`] are decided but not applied;
//! - epochs are decided in the order of their numbers, and applied once each in that order, never before the manifest
//!   is durable;
//! - after the last epoch of a job (all sources finished, or a stop was requested) none is injected, and the job is
//!   finished only when the sinks have applied all of them.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::{CheckpointConfig, CheckpointKind};
use crate::time::{Epoch, ProcessingTime};

/// No new epoch is injected while this many are decided but not applied by all sinks: that is backpressure.
pub const MAX_UNAPPLIED_EPOCHS: usize = 2;

/// Wait before the last checkpoint of a job is tried again, where no interval says otherwise.
const RETRY_LAST: Duration = Duration::from_secs(1);

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// Time went on. Expected every 100 ms or so.
    Tick {
        /// Time now.
        now: ProcessingTime,
    },
    /// Every source has read its input to the end; the tasks still live and pass barriers.
    AllSourcesFinished {
        /// Time now.
        now: ProcessingTime,
    },
    /// The job shall stop with a last checkpoint.
    StopRequested {
        /// What the last manifest is written as: `Stop`, or `Savepoint` to be kept for the user.
        kind: CheckpointKind,
        /// Time now.
        now: ProcessingTime,
    },
    /// A user wants a savepoint; it does not wait for the interval.
    SavepointRequested {
        /// Time now.
        now: ProcessingTime,
    },
    /// A sink holds so much for its next log that a checkpoint should not wait for the interval.
    CheckpointWanted {
        /// Time now.
        now: ProcessingTime,
    },
    /// A task's part of the epoch (state files, splits, logs) is durable.
    Acknowledged {
        /// Which epoch.
        epoch: Epoch,
        /// Number of the task, below the number given to [`Coordinator::new`].
        task: usize,
    },
    /// A task could not do its part.
    Declined {
        /// Which epoch.
        epoch: Epoch,
        /// Why.
        reason: String,
    },
    /// The manifest is durable: the epoch is decided.
    ManifestDurable {
        /// Which epoch.
        epoch: Epoch,
        /// Time now.
        now: ProcessingTime,
    },
    /// The manifest could not be written and certainly is not there.
    ManifestFailed {
        /// Which epoch.
        epoch: Epoch,
        /// Why.
        reason: String,
        /// Time now.
        now: ProcessingTime,
    },
    /// A sink has made the epoch visible in its target.
    Applied {
        /// Which epoch.
        epoch: Epoch,
        /// Number of the sink, below the number given to [`Coordinator::new`].
        sink: usize,
    },
}

/// What the runtime must do, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Command {
    /// Tell all sources to note their positions and send the barrier.
    Inject {
        /// Which epoch.
        epoch: Epoch,
        /// What the barrier says; after `Stop` sources send nothing but further barriers.
        kind: CheckpointKind,
    },
    /// All tasks acknowledged: write the manifest.
    WriteManifest {
        /// Which epoch.
        epoch: Epoch,
        /// What the manifest says.
        kind: CheckpointKind,
    },
    /// Tell the sinks to make the epoch visible.
    Apply {
        /// Which epoch.
        epoch: Epoch,
    },
    /// Record durably that all sinks have applied the epoch.
    RecordApplied {
        /// Which epoch.
        epoch: Epoch,
    },
    /// The epoch is given up: delete its files. Logs that sinks prepared for it must be part of the next epoch.
    Abort {
        /// Which epoch.
        epoch: Epoch,
        /// Why.
        reason: String,
    },
    /// The job has failed. Nothing follows.
    Fail {
        /// Why.
        reason: String,
    },
    /// The last epoch is applied: the job is done. Nothing follows.
    Finished,
}

/// Decides when epochs begin, are complete, applied or given up, see the module's page.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Coordinator {
    config: CheckpointConfig,
    tasks: usize,
    sinks: usize,

    next_epoch: Epoch,
    clock: MonotoneClock,
    in_flight: Option<InFlight>,
    unapplied: VecDeque<Unapplied>,
    savepoint_wanted: bool,
    /// True when a checkpoint shall not wait for the interval.
    hurry: bool,
    /// What the last manifest is written as, once an end is wanted.
    ending: Option<CheckpointKind>,
    /// When the newest epoch began, and when it was decided or given up.
    last_begin: Duration,
    last_end: Option<Duration>,
    /// When the last epoch may be tried again after it was given up.
    retry_last_at: Duration,
    failures_in_row: u32,
    over: bool,
}

/// An epoch between its injection and its decision.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct InFlight {
    epoch: Epoch,
    kind: CheckpointKind,
    began: Duration,
    missing: BTreeSet<usize>,
    /// True when the manifest is being written, so that only its outcome can end the epoch.
    writing: bool,
}

/// An epoch that is decided but not applied by all sinks; only the first in line is being applied.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Unapplied {
    epoch: Epoch,
    waiting: BTreeSet<usize>,
    last: bool,
}

/// Time since the start that never goes back, whatever the wall clock does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct MonotoneClock {
    seen: ProcessingTime,
    elapsed: Duration,
}

impl MonotoneClock {
    fn advance(&mut self, now: ProcessingTime) {
        let micros = now.0.saturating_sub(self.seen.0).max(0).unsigned_abs();
        self.elapsed += Duration::from_micros(micros);
        self.seen = now;
    }
}

impl Coordinator {
    /// A coordinator of `tasks` tasks, numbered from 0, all of which acknowledge every epoch, and of `sinks` sinks, with
    /// numbers of their own from 0, which apply it. The first epoch will be `first_epoch`, one interval after `now`.
    pub fn new(config: CheckpointConfig, tasks: usize, sinks: usize, first_epoch: Epoch, now: ProcessingTime) -> Self {
        assert!(tasks > 0, "a job without tasks has nothing to checkpoint");
        Coordinator {
            config,
            tasks,
            sinks,
            next_epoch: first_epoch,
            clock: MonotoneClock { seen: now, elapsed: Duration::ZERO },
            in_flight: None,
            unapplied: VecDeque::new(),
            savepoint_wanted: false,
            hurry: false,
            ending: None,
            last_begin: Duration::ZERO,
            last_end: None,
            retry_last_at: Duration::ZERO,
            failures_in_row: 0,
            over: false,
        }
    }

    /// The epoch in flight, if any.
    pub fn in_flight(&self) -> Option<Epoch> {
        self.in_flight.as_ref().map(|f| f.epoch)
    }

    /// Takes one event and says what to do. Events about epochs that are over are ignored.
    pub fn on(&mut self, event: Event) -> Vec<Command> {
        let mut out = Vec::new();
        if self.over {
            return out;
        }
        match event {
            Event::Tick { now } => {
                self.clock.advance(now);
                self.expire(&mut out);
            }
            Event::AllSourcesFinished { now } => {
                self.clock.advance(now);
                self.ending.get_or_insert(CheckpointKind::Stop);
            }
            Event::StopRequested { kind, now } => {
                self.clock.advance(now);
                self.ending.get_or_insert(kind);
            }
            Event::SavepointRequested { now } => {
                self.clock.advance(now);
                self.savepoint_wanted = true;
            }
            Event::CheckpointWanted { now } => {
                self.clock.advance(now);
                self.hurry = true;
            }
            Event::Acknowledged { epoch, task } => self.acknowledge(epoch, task, &mut out),
            Event::Declined { epoch, reason } => {
                if self.in_flight.as_ref().is_some_and(|f| f.epoch == epoch && !f.writing) {
                    self.give_up(reason, &mut out);
                }
            }
            Event::ManifestDurable { epoch, now } => {
                self.clock.advance(now);
                self.decide(epoch, &mut out);
            }
            Event::ManifestFailed { epoch, reason, now } => {
                self.clock.advance(now);
                if self.in_flight.as_ref().is_some_and(|f| f.epoch == epoch && f.writing) {
                    self.give_up(reason, &mut out);
                }
            }
            Event::Applied { epoch, sink } => self.applied(epoch, sink, &mut out),
        }
        if !self.over {
            self.inject_if_due(&mut out);
        }
        out
    }

    /// Gives up the epoch in flight when its acknowledgements take too long. A manifest that is being written may
    /// already be durable, so it has no timeout.
    fn expire(&mut self, out: &mut Vec<Command>) {
        let Some(flight) = &self.in_flight else { return };
        if !flight.writing && self.clock.elapsed - flight.began >= self.config.timeout {
            let late = flight.missing.len();
            let reason = format!("{late} of {} tasks did not finish it within {:?}", self.tasks, self.config.timeout);
            self.give_up(reason, out);
        }
    }

    fn acknowledge(&mut self, epoch: Epoch, task: usize, out: &mut Vec<Command>) {
        let Some(flight) = self.in_flight.as_mut().filter(|f| f.epoch == epoch && !f.writing) else { return };
        flight.missing.remove(&task);
        if flight.missing.is_empty() {
            flight.writing = true;
            let kind = match flight.kind {
                CheckpointKind::Stop => self.ending.unwrap_or(CheckpointKind::Stop),
                other => other,
            };
            out.push(Command::WriteManifest { epoch, kind });
        }
    }

    fn give_up(&mut self, reason: String, out: &mut Vec<Command>) {
        let Some(flight) = self.in_flight.take() else { return };
        self.last_end = Some(self.clock.elapsed);
        let wait = self.config.interval.unwrap_or(RETRY_LAST).max(self.config.min_pause);
        self.retry_last_at = self.clock.elapsed + wait;
        self.failures_in_row = self.failures_in_row.saturating_add(1);
        out.push(Command::Abort { epoch: flight.epoch, reason: reason.clone() });
        if self.failures_in_row > self.config.tolerable_failed {
            self.over = true;
            let reason = format!(
                "checkpoint {} failed ({reason}), and {} failures in a row are more than the {} that \
                 'execution.checkpointing.tolerable-failed-checkpoints' allows",
                flight.epoch.0, self.failures_in_row, self.config.tolerable_failed
            );
            out.push(Command::Fail { reason });
        }
    }

    fn decide(&mut self, epoch: Epoch, out: &mut Vec<Command>) {
        let Some(flight) = self.in_flight.take_if(|f| f.epoch == epoch && f.writing) else { return };
        self.last_end = Some(self.clock.elapsed);
        self.failures_in_row = 0;
        let last = flight.kind == CheckpointKind::Stop;
        self.unapplied.push_back(Unapplied { epoch, waiting: (0..self.sinks).collect(), last });
        if self.unapplied.len() == 1 {
            self.apply_first(out);
        }
    }

    fn applied(&mut self, epoch: Epoch, sink: usize, out: &mut Vec<Command>) {
        let Some(first) = self.unapplied.front_mut().filter(|u| u.epoch == epoch) else { return };
        if first.waiting.remove(&sink) && first.waiting.is_empty() {
            self.record_first(out);
        }
    }

    /// Starts to apply the first epoch in line; without sinks there is nothing to wait for.
    fn apply_first(&mut self, out: &mut Vec<Command>) {
        let Some(first) = self.unapplied.front() else { return };
        if first.waiting.is_empty() {
            self.record_first(out);
        } else {
            out.push(Command::Apply { epoch: first.epoch });
        }
    }

    fn record_first(&mut self, out: &mut Vec<Command>) {
        let Some(first) = self.unapplied.pop_front() else { return };
        out.push(Command::RecordApplied { epoch: first.epoch });
        if first.last {
            self.over = true;
            out.push(Command::Finished);
        } else {
            self.apply_first(out);
        }
    }

    fn inject_if_due(&mut self, out: &mut Vec<Command>) {
        let last_is_decided = self.unapplied.back().is_some_and(|u| u.last);
        if self.in_flight.is_some() || last_is_decided || self.unapplied.len() >= MAX_UNAPPLIED_EPOCHS {
            return;
        }
        let Some(kind) = self.due() else { return };
        self.savepoint_wanted &= kind != CheckpointKind::Savepoint;
        self.hurry = false;
        let epoch = self.next_epoch;
        self.next_epoch = epoch.next();
        self.last_begin = self.clock.elapsed;
        let missing = (0..self.tasks).collect();
        self.in_flight = Some(InFlight { epoch, kind, began: self.clock.elapsed, missing, writing: false });
        out.push(Command::Inject { epoch, kind });
    }

    /// The kind of epoch whose time has come: a savepoint at once, then the last epoch, then those on schedule.
    fn due(&self) -> Option<CheckpointKind> {
        let now = self.clock.elapsed;
        if self.savepoint_wanted {
            return Some(CheckpointKind::Savepoint);
        }
        if self.ending.is_some() {
            return (now >= self.retry_last_at).then_some(CheckpointKind::Stop);
        }
        let rested = self.last_end.is_none_or(|end| now >= end + self.config.min_pause);
        let scheduled = self.config.interval.is_some_and(|interval| self.hurry || now >= self.last_begin + interval);
        (rested && scheduled).then_some(CheckpointKind::Checkpoint)
    }
}
