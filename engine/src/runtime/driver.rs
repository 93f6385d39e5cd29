//! The control thread of a job: performs what the checkpoint coordinator decides, watches the tasks, restarts them after
//! failures, and posts what happens.
//!
//! One attempt runs at a time. Whatever ends it, all its threads are gone before the next one starts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::JobConfig;
use super::attempt::{Attempt, Blueprint};
use super::epochs::{EpochParts, manifest};
use super::handle::Board;
use super::journal::{JournalEntry, JournalThread};
use super::message::Barrier;
use super::plan::Plan;
use super::restore::{Identity, Opening};
use super::snapshot::WrittenNode;
use super::status::{CheckpointInfo, JobEvent, JobState, RestoredFrom, StopMode};
use super::stop::{Stopped, TaskResult};
use super::task::Control;
use crate::checkpoint::{CheckpointKind, CheckpointStore, Command, Coordinator, Event, Restored, Retention};
use crate::crash;
use crate::dataflow::{Dataflow, NodeKind, Uid};
use crate::error::{Error, Result};
use crate::time::Epoch;

/// How often the coordinator learns the time.
const TICK: Duration = Duration::from_millis(25);

/// What reaches the driver.
#[derive(Debug)]
pub(super) enum Report {
    /// Somebody wants the job to end.
    StopAsked(StopMode),
    /// Somebody wants a checkpoint before its time.
    CheckpointAsked,
    /// A task has something to say.
    Task {
        /// In which attempt.
        attempt: u64,
        /// Number of its thread.
        thread: usize,
        /// What.
        what: TaskReport,
    },
}

/// What a task has to say.
#[derive(Debug)]
pub(super) enum TaskReport {
    /// A source has read everything.
    SourceEnded,
    /// The task's part of a checkpoint is durable.
    Acknowledged {
        /// Which checkpoint.
        epoch: Epoch,
        /// What was written.
        nodes: Vec<WrittenNode>,
    },
    /// The task's part of a checkpoint could not be written.
    SnapshotFailed {
        /// Which checkpoint.
        epoch: Epoch,
        /// Why.
        error: Error,
    },
    /// The log of a sink has grown long.
    WantsCheckpoint,
    /// A committer, named by the number of its thread, has applied an epoch.
    Applied {
        /// Which one.
        epoch: Epoch,
        /// Where its target's marker stands; None when it keeps none.
        marker: Option<Epoch>,
    },
    /// The task has ended.
    Left(TaskResult),
}

/// How an attempt ended.
enum Outcome {
    /// The last epoch is applied.
    Finished,
    /// Ended on request.
    Canceled,
    /// A failure, and whether a restart may cure it.
    Failed(Error, bool),
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Self {
        let retriable = error.is_retriable();
        Outcome::Failed(error, retriable)
    }
}

/// The control thread's things.
pub(super) struct Driver {
    pub(super) dataflow: Dataflow,
    pub(super) plan: Plan,
    pub(super) config: JobConfig,
    pub(super) identity: Identity,
    pub(super) store: Option<Arc<CheckpointStore>>,
    pub(super) board: Arc<Board>,
    pub(super) journal: Option<JournalThread>,
    pub(super) reports: (Sender<Report>, Receiver<Report>),
    /// The checkpoint that the job was submitted with.
    pub(super) origin: Option<Restored>,
    /// The first epoch that this run may have completed itself.
    pub(super) own_since: Option<Epoch>,
    /// Number of attempts so far.
    pub(super) attempts: u64,
    /// What was asked for, if an end was.
    pub(super) stop: Option<StopMode>,
}

/// A started attempt and what is known of its epochs.
pub(super) struct Run {
    attempt: Attempt,
    coordinator: Coordinator,
    epochs: BTreeMap<Epoch, EpochParts>,
    sources_left: usize,
    /// The sinks with committers, in order of their numbers.
    sinks: Vec<Uid>,
    /// Where the markers of their targets stand.
    markers: BTreeMap<Uid, Epoch>,
}

impl Driver {
    /// Opens everything and starts the threads of the next attempt. Errors of external systems come back from here.
    pub(super) fn open(&mut self) -> Result<Run> {
        let restored = self.restored()?;
        crash::point("recovery.manifest-read")?;
        let opening = Opening {
            dataflow: &self.dataflow,
            config: &self.config,
            identity: &self.identity,
            store: self.store.as_ref(),
            restored: restored.as_ref(),
            newest: self.own_since.unwrap_or(Epoch(0)),
        };
        let opened = opening.open()?;
        let first = opened.first;
        let sinks: Vec<Uid> = opened.committers.iter().map(|(_, c)| c.uid.clone()).collect();
        self.own_since.get_or_insert(first);
        self.attempts += 1;
        if let Some(restored) = &restored {
            self.announce(restored);
        }
        let blueprint = Blueprint {
            dataflow: &self.dataflow,
            plan: &self.plan,
            config: &self.config,
            metrics: self.board.metrics(),
            store: self.store.as_ref(),
            reports: &self.reports.0,
            number: self.attempts,
        };
        let attempt = Attempt::start(&blueprint, opened)?;
        let (tasks, committers) = (attempt.thread_count(), attempt.committer_count());
        let coordinator =
            Coordinator::new(self.config.checkpoint.clone(), tasks, committers, first, self.config.clock.now());
        let sources_left = attempt.source_threads();
        let epochs = BTreeMap::new();
        Ok(Run { attempt, coordinator, epochs, sources_left, sinks, markers: BTreeMap::new() })
    }

    /// Drives the job to its end.
    pub(super) fn run(mut self, first: Run) {
        let mut next: Result<Run> = Ok(first);
        let mut failures = 0;
        loop {
            let began = Instant::now();
            let outcome = match next {
                Ok(run) => self.attend(run),
                Err(error) => error.into(),
            };
            let (error, retriable) = match outcome {
                Outcome::Finished => return self.end(JobState::Finished, None),
                Outcome::Canceled => return self.end(JobState::Canceled, None),
                Outcome::Failed(error, retriable) => (error, retriable),
            };
            if self.config.restart.reset_after().is_some_and(|reset| began.elapsed() >= reset) {
                failures = 0;
            }
            let jitter = (self.config.clock.now().0.rem_euclid(1000)) as f64 / 1000.0;
            let delay = self.config.restart.next_delay(failures, jitter).filter(|_| retriable && self.store.is_some());
            let Some(delay) = delay else { return self.end(JobState::Failed, Some(error)) };
            failures += 1;
            if !self.rest(&error, delay) {
                return self.end(JobState::Canceled, None);
            }
            next = self.open();
            self.board.lock().state = JobState::Running;
        }
    }

    /// Waits before a restart; false when the job shall end instead.
    fn rest(&mut self, error: &Error, delay: Duration) -> bool {
        tracing::warn!(job = self.config.name, %error, ?delay, "job failed, restarting");
        {
            let mut view = self.board.lock();
            view.state = JobState::Restarting;
            view.restarts += 1;
            view.failed(error);
        }
        self.board.post(JobEvent::Restarting { error: error.to_string(), delay });
        let deadline = Instant::now() + delay;
        while self.stop.is_none() {
            match self.reports.1.recv_deadline(deadline) {
                Ok(Report::StopAsked(mode)) => self.stop = Some(mode),
                Ok(Report::Task { .. } | Report::CheckpointAsked) => {}
                Err(_) => return true,
            }
        }
        false
    }

    /// Sees an attempt through. All its threads are gone afterwards.
    fn attend(&mut self, mut run: Run) -> Outcome {
        let outcome = loop {
            let report = self.reports.1.recv_timeout(TICK);
            let mut step = match report {
                Ok(report) => self.on_report(&mut run, report),
                Err(RecvTimeoutError::Timeout) => Ok(None),
                Err(RecvTimeoutError::Disconnected) => Err(Outcome::Canceled),
            };
            if let Ok(None) = step {
                step = Ok(Some(Event::Tick { now: self.config.clock.now() }));
            }
            if self.is_unwanted() {
                break Outcome::Canceled;
            }
            let performed = step.and_then(|event| self.perform(&mut run, event));
            if let Err(outcome) = performed {
                break outcome;
            }
        };
        if !matches!(outcome, Outcome::Finished) {
            for node in &self.dataflow.nodes {
                if let NodeKind::Sink(factory) = &node.kind {
                    factory.interrupt();
                }
            }
        }
        run.attempt.end();
        for report in self.reports.1.try_iter() {
            if let Report::StopAsked(mode) = report {
                self.stop = Some(mode);
            }
        }
        outcome
    }

    /// True when the job was cancelled or nobody wants its rows any longer.
    fn is_unwanted(&self) -> bool {
        let closed = |kind: &NodeKind| matches!(kind, NodeKind::Sink(factory) if factory.is_closed());
        self.stop == Some(StopMode::Cancel) || self.dataflow.nodes.iter().any(|n| closed(&n.kind))
    }

    /// Turns a report into an event for the coordinator, if it is one.
    fn on_report(&mut self, run: &mut Run, report: Report) -> Result<Option<Event>, Outcome> {
        let now = self.config.clock.now();
        let (thread, what) = match report {
            Report::StopAsked(mode) => {
                self.stop = Some(if self.stop == Some(StopMode::Cancel) { StopMode::Cancel } else { mode });
                self.board.lock().state = JobState::Stopping;
                let savepoint = mode == StopMode::Savepoint;
                let kind = if savepoint { CheckpointKind::Savepoint } else { CheckpointKind::Stop };
                return Ok(Some(Event::StopRequested { kind, now }));
            }
            Report::CheckpointAsked => return Ok(Some(Event::CheckpointWanted { now })),
            Report::Task { attempt, thread, what } if attempt == self.attempts => (thread, what),
            Report::Task { .. } => return Ok(None),
        };
        Ok(match what {
            TaskReport::SourceEnded => {
                run.sources_left -= 1;
                (run.sources_left == 0).then_some(Event::AllSourcesFinished { now })
            }
            TaskReport::Acknowledged { epoch, nodes } => {
                crash::point("checkpoint.acknowledged")?;
                if let Some(parts) = run.epochs.get_mut(&epoch) {
                    parts.nodes.extend(nodes);
                }
                Some(Event::Acknowledged { epoch, task: thread })
            }
            TaskReport::SnapshotFailed { epoch, error } => Some(Event::Declined { epoch, reason: error.to_string() }),
            TaskReport::WantsCheckpoint => Some(Event::CheckpointWanted { now }),
            TaskReport::Applied { epoch, marker } => {
                let uid = run.sinks.get(thread).cloned();
                run.markers.extend(uid.zip(marker));
                Some(Event::Applied { epoch, sink: thread })
            }
            TaskReport::Left(Err(Stopped::Failed(error))) => return Err(error.into()),
            TaskReport::Left(Ok(()) | Err(Stopped::Canceled)) => {
                return Err(Error::internal("a task ended before its time").into());
            }
        })
    }

    /// Gives the coordinator an event and does what it says, until it has nothing more to say.
    fn perform(&mut self, run: &mut Run, event: Option<Event>) -> Result<(), Outcome> {
        let mut events: Vec<Event> = event.into_iter().collect();
        while let Some(event) = events.pop() {
            for command in run.coordinator.on(event) {
                events.extend(self.execute(run, command)?);
            }
        }
        Ok(())
    }

    fn execute(&mut self, run: &mut Run, command: Command) -> Result<Option<Event>, Outcome> {
        match command {
            Command::Inject { epoch, kind } => {
                tracing::debug!(job = self.config.name, epoch = epoch.0, ?kind, "checkpoint begins");
                if let Some(store) = &self.store {
                    store.check_fence()?;
                }
                crash::point("checkpoint.injected")?;
                let began_at = super::epochs::system_time(self.config.clock.now());
                self.board.lock().checkpoint_begins(epoch, kind, began_at);
                run.epochs.insert(epoch, EpochParts::new(self.config.clock.now()));
                run.attempt.tell_sources(Control::Start(Barrier { epoch, kind }));
            }
            Command::WriteManifest { epoch, kind } => return self.write_manifest(run, epoch, kind).map(Some),
            Command::Apply { epoch } => run.attempt.apply(epoch),
            Command::RecordApplied { epoch } => {
                if let Some(store) = &self.store {
                    store.record_applied(epoch, run.markers.clone()).map_err(Outcome::from)?;
                    self.note(|| JournalEntry::Applied { epoch });
                }
            }
            Command::Abort { epoch, reason } => {
                tracing::warn!(job = self.config.name, epoch = epoch.0, reason, "checkpoint given up");
                run.epochs.remove(&epoch);
                if let Some(store) = &self.store {
                    store.discard(epoch);
                }
                self.board.lock().checkpoint_failed(epoch, &reason);
                self.note(|| JournalEntry::Failed { epoch, reason: reason.clone() });
                self.board.post(JobEvent::CheckpointFailed { epoch, reason });
            }
            Command::Fail { reason } => return Err(Outcome::Failed(Error::checkpoint(reason), true)),
            Command::Finished => return Err(self.finished(run)),
        }
        Ok(None)
    }

    fn write_manifest(&mut self, run: &mut Run, epoch: Epoch, kind: CheckpointKind) -> Result<Event, Outcome> {
        let parts = run.epochs.remove(&epoch).unwrap_or_else(|| EpochParts::new(self.config.clock.now()));
        let began = parts.began;
        let (mut bytes, mut written) = (0, None);
        if let Some(store) = &self.store {
            let finished = run.sources_left == 0;
            let manifest = manifest(&self.config, &self.identity, &self.dataflow, epoch, kind, finished, parts);
            bytes = manifest.bytes();
            match store.commit(&manifest) {
                Ok(()) => written = Some(Box::new(manifest)),
                Err(error @ Error::Io { .. }) => {
                    let (reason, now) = (error.to_string(), self.config.clock.now());
                    return Ok(Event::ManifestFailed { epoch, reason, now });
                }
                // Another process holds the store, or nobody knows whether the checkpoint exists: nothing may follow.
                Err(error) => return Err(Outcome::Failed(error, false)),
            }
        }
        let now = self.config.clock.now();
        run.attempt.tell_sources(Control::Completed(epoch));
        crash::point("checkpoint.sources-told")?;
        let duration = Duration::from_micros(u64::try_from(now.0 - began.0).unwrap_or(0));
        let path = self.store.as_ref().map(|s| s.dir().join(format!("chk-{}", epoch.0)));
        let completed_at = super::epochs::system_time(now);
        let info = CheckpointInfo { epoch, duration, bytes, completed_at, path };
        tracing::debug!(job = self.config.name, epoch = epoch.0, ?duration, bytes, "checkpoint complete");
        self.board.lock().checkpoint_completed(&info);
        if let Some(manifest) = written {
            self.note(|| JournalEntry::Completed { info: info.clone(), manifest });
            self.board.post(JobEvent::CheckpointCompleted(info));
        }
        Ok(Event::ManifestDurable { epoch, now })
    }

    fn note(&self, entry: impl FnOnce() -> JournalEntry) {
        if let Some(journal) = &self.journal {
            journal.note(entry());
        }
    }

    /// A job that has read all its input has no use for its checkpoints; a stopped one is resumed from them.
    fn finished(&self, run: &Run) -> Outcome {
        self.board.lock().stopped = run.sources_left > 0;
        if run.sources_left > 0 || self.config.keep_result {
            return Outcome::Finished;
        }
        let noted = self.config.on_finish.as_ref().map_or(Ok(()), |hook| hook());
        let cleared = noted.and_then(|()| self.store.as_ref().map_or(Ok(()), |store| store.clear()));
        if let Err(error) = cleared {
            tracing::warn!(job = self.config.name, %error, "checkpoints of a finished job could not be deleted");
        }
        Outcome::Finished
    }

    /// The checkpoint to start from: the newest of this run, else the one that the job was submitted with.
    fn restored(&self) -> Result<Option<Restored>> {
        let newest = match (&self.store, self.own_since) {
            (Some(store), Some(own)) => store.latest()?.filter(|r| r.manifest.epoch >= own),
            _ => None,
        };
        Ok(newest.or_else(|| self.origin.clone()))
    }

    fn announce(&self, restored: &Restored) {
        for text in &restored.skipped {
            self.board.post(JobEvent::SkippedDamaged { text: text.clone() });
        }
        let from = RestoredFrom {
            epoch: restored.manifest.epoch,
            taken_at: super::epochs::system_time_ms(restored.manifest.created_ms),
            path: restored.dir.clone(),
        };
        self.board.lock().restored_from = Some(from.clone());
        self.board.post(JobEvent::Resumed(from));
    }

    fn end(self, state: JobState, error: Option<Error>) {
        let deleted = state == JobState::Canceled && self.config.checkpoint.retention == Retention::Delete;
        if let Some(store) = self.store.as_ref().filter(|_| deleted)
            && let Err(error) = store.clear()
        {
            tracing::warn!(job = self.config.name, %error, "checkpoints of a cancelled job could not be deleted");
        }
        match &error {
            Some(error) => tracing::error!(job = self.config.name, %error, "job failed"),
            None => tracing::info!(job = self.config.name, ?state, "job ended"),
        }
        // The connectors go first, so that readers of collected rows see their end no later than the job's.
        let Driver { dataflow, store, board, journal, .. } = self;
        if let Some(journal) = journal {
            journal.end();
        }
        drop((dataflow, store));
        board.end(state, error);
    }
}
