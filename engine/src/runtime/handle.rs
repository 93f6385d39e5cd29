//! The outside's hold on a running job: ask how it is, stop it, wait for it. And the board on which the driver posts.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::config::JobConfig;
use super::driver::Report;
use super::metrics::Metrics;
use super::status::{
    CheckpointInfo, CheckpointProgress, CheckpointRecord, JobEvent, JobState, JobStatus, JobSummary, RestoredFrom,
    SplitStatus, StopMode,
};
use crate::checkpoint::{CheckpointConfig, CheckpointKind, RestartStrategy};
use crate::dataflow::Dataflow;
use crate::error::{Error, Result};
use crate::time::Epoch;

/// Events kept for whoever reads them; when nobody does, the oldest are dropped.
const EVENTS_KEPT: usize = 1024;

/// Checkpoints kept for whoever asks.
const CHECKPOINTS_KEPT: usize = 100;

/// A running job. Clones are the same job. Dropping all of them leaves the job running.
#[derive(Clone)]
pub struct JobHandle {
    board: Arc<Board>,
    driver: Sender<Report>,
}

impl JobHandle {
    pub(super) fn new(board: Arc<Board>, driver: Sender<Report>) -> Self {
        JobHandle { board, driver }
    }

    /// The handle of work that was done at once, without a job: to all who look, a job that has finished.
    pub fn done(name: impl Into<String>) -> Self {
        let board =
            Board::new(&uuid::Uuid::new_v4().to_string(), &JobConfig::new(name), Metrics::new(&Dataflow::default()));
        board.end(JobState::Finished, None);
        JobHandle { board: Arc::new(board), driver: crossbeam_channel::unbounded().0 }
    }

    /// When and where it takes checkpoints.
    pub fn checkpoint_config(&self) -> &CheckpointConfig {
        &self.board.checkpoint
    }

    /// What it does after a failure.
    pub fn restart_strategy(&self) -> &RestartStrategy {
        &self.board.restart
    }

    /// The job's name.
    pub fn name(&self) -> &str {
        &self.board.name
    }

    /// The pipeline's identity as 32 hexadecimal digits: the same after every restart of a job with checkpoints.
    pub fn id(&self) -> &str {
        &self.board.id
    }

    /// How the job is now.
    pub fn status(&self) -> JobStatus {
        self.board.status()
    }

    /// Asks the job to end and returns at once; [`JobHandle::wait`] waits for the end. A `Cancel` overtakes a stop with
    /// a checkpoint; anything else after the first call changes nothing.
    pub fn stop(&self, mode: StopMode) {
        // A driver that is gone has ended the job already.
        let _ = self.driver.send(Report::StopAsked(mode));
    }

    /// Asks for a checkpoint before its time; nothing happens while one is being taken, or without checkpoints.
    pub fn checkpoint_early(&self) {
        // A driver that is gone takes no checkpoints.
        let _ = self.driver.send(Report::CheckpointAsked);
    }

    /// Waits until the job has ended. Every call gets the same answer.
    pub fn wait(&self) -> Result<JobSummary> {
        let mut view = self.board.lock();
        loop {
            if let Some(outcome) = &view.outcome {
                return match outcome {
                    Ok(summary) => Ok(summary.clone()),
                    Err(error) => Err(duplicate(error)),
                };
            }
            view = self.board.ended.wait(view).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until the job has ended, at most `timeout`; None when it still runs then.
    pub fn wait_timeout(&self, timeout: Duration) -> Option<Result<JobSummary>> {
        let deadline = Instant::now() + timeout;
        let mut view = self.board.lock();
        loop {
            if let Some(outcome) = &view.outcome {
                return Some(match outcome {
                    Ok(summary) => Ok(summary.clone()),
                    Err(error) => Err(duplicate(error)),
                });
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            view = self.board.ended.wait_timeout(view, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// How each split of each source stands.
    pub fn splits(&self) -> Vec<SplitStatus> {
        self.board.metrics.splits()
    }

    /// The newest checkpoints of this run, completed or not, oldest first.
    pub fn checkpoints(&self) -> Vec<CheckpointRecord> {
        self.board.lock().checkpoints.iter().cloned().collect()
    }

    /// How long the job ran, once it has ended.
    pub fn ended_after(&self) -> Option<Duration> {
        self.board.lock().ended_after
    }

    /// When the job was started.
    pub fn started_at(&self) -> SystemTime {
        self.board.started_at
    }

    /// What happened, in order. There is one queue: each event goes to one reader.
    pub fn events(&self) -> Receiver<JobEvent> {
        self.board.events.1.clone()
    }

    /// What happened since the last call.
    pub fn drain_events(&self) -> Vec<JobEvent> {
        self.board.events.1.try_iter().collect()
    }
}

impl fmt::Debug for JobHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobHandle").field("name", &self.board.name).finish_non_exhaustive()
    }
}

/// What the driver posts and handles read.
pub(super) struct Board {
    id: String,
    name: String,
    checkpoint: CheckpointConfig,
    restart: RestartStrategy,
    metrics: Metrics,
    started: Instant,
    started_at: SystemTime,
    view: Mutex<View>,
    ended: Condvar,
    events: (Sender<JobEvent>, Receiver<JobEvent>),
}

/// The driver's part of a job's status.
pub(super) struct View {
    pub(super) state: JobState,
    pub(super) restarts: u64,
    pub(super) last_checkpoint: Option<CheckpointInfo>,
    pub(super) completed_checkpoints: u64,
    checkpoints: VecDeque<CheckpointRecord>,
    pub(super) failed_checkpoints: u64,
    last_error: Option<(String, SystemTime)>,
    pub(super) restored_from: Option<RestoredFrom>,
    /// The last checkpoint has left input unread.
    pub(super) stopped: bool,
    ended_after: Option<Duration>,
    outcome: Option<Result<JobSummary>>,
}

impl View {
    /// A checkpoint begins.
    pub(super) fn checkpoint_begins(&mut self, epoch: Epoch, kind: CheckpointKind, began_at: SystemTime) {
        if self.checkpoints.len() == CHECKPOINTS_KEPT {
            self.checkpoints.pop_front();
        }
        let progress = CheckpointProgress::InProgress;
        self.checkpoints.push_back(CheckpointRecord { epoch, kind, began_at, progress });
    }

    /// A checkpoint is durable.
    pub(super) fn checkpoint_completed(&mut self, info: &CheckpointInfo) {
        let CheckpointInfo { duration, bytes, path, .. } = info.clone();
        self.checkpoint_ends(info.epoch, CheckpointProgress::Completed { duration, bytes, path });
        self.completed_checkpoints += 1;
        self.last_checkpoint = Some(info.clone());
    }

    /// A checkpoint is given up.
    pub(super) fn checkpoint_failed(&mut self, epoch: Epoch, reason: &str) {
        let began_at = self.checkpoints.iter().rfind(|r| r.epoch == epoch).map(|r| r.began_at);
        let duration = began_at.and_then(|at| at.elapsed().ok()).unwrap_or_default();
        self.checkpoint_ends(epoch, CheckpointProgress::Failed { reason: reason.to_string(), duration });
        self.failed_checkpoints += 1;
    }

    /// The job, or this attempt of it, has failed.
    pub(super) fn failed(&mut self, error: &Error) {
        self.last_error = Some((error.to_string(), SystemTime::now()));
    }

    fn checkpoint_ends(&mut self, epoch: Epoch, progress: CheckpointProgress) {
        if let Some(record) = self.checkpoints.iter_mut().rev().find(|r| r.epoch == epoch) {
            record.progress = progress;
        }
    }
}

impl Board {
    /// The board of a job that starts now.
    pub(super) fn new(pipeline: &str, config: &JobConfig, metrics: Metrics) -> Self {
        let view = View {
            state: JobState::Running,
            restarts: 0,
            last_checkpoint: None,
            completed_checkpoints: 0,
            checkpoints: VecDeque::new(),
            failed_checkpoints: 0,
            last_error: None,
            restored_from: None,
            stopped: false,
            ended_after: None,
            outcome: None,
        };
        Board {
            id: pipeline.replace('-', ""),
            name: config.name.clone(),
            checkpoint: config.checkpoint.clone(),
            restart: config.restart.clone(),
            metrics,
            started: Instant::now(),
            started_at: SystemTime::now(),
            view: Mutex::new(view),
            ended: Condvar::new(),
            events: bounded(EVENTS_KEPT),
        }
    }

    /// The job's counters.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The driver's part, to read or change.
    pub(super) fn lock(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whoever listens.
    pub(super) fn post(&self, event: JobEvent) {
        let mut event = event;
        while let Err(TrySendError::Full(back)) = self.events.0.try_send(event) {
            let _ = self.events.1.try_recv();
            event = back;
        }
    }

    /// Posts the job's end and wakes all who wait for it.
    pub(super) fn end(&self, state: JobState, error: Option<Error>) {
        let mut view = self.lock();
        view.state = state;
        let summary = JobSummary {
            state,
            stopped: view.stopped,
            rows_read: self.metrics.rows_read(),
            rows_written: self.metrics.rows_written(),
            late_rows: self.metrics.late_rows(),
            skipped_messages: self.metrics.skipped_messages(),
            restarts: view.restarts,
            last_checkpoint: view.last_checkpoint.clone(),
            elapsed: self.started.elapsed(),
        };
        if let Some(error) = &error {
            view.failed(error);
        }
        view.ended_after = Some(summary.elapsed);
        view.outcome = Some(error.map_or(Ok(summary), Err));
        drop(view);
        self.post(JobEvent::Ended(state));
        self.ended.notify_all();
    }

    fn status(&self) -> JobStatus {
        let view = self.lock();
        JobStatus {
            state: view.state,
            restarts: view.restarts,
            rows_read: self.metrics.rows_read(),
            rows_written: self.metrics.rows_written(),
            lag_rows: self.metrics.lag_rows(),
            late_rows: self.metrics.late_rows(),
            skipped_messages: self.metrics.skipped_messages(),
            watermark: self.metrics.watermark(),
            last_checkpoint: view.last_checkpoint.clone(),
            completed_checkpoints: view.completed_checkpoints,
            failed_checkpoints: view.failed_checkpoints,
            last_error: view.last_error.as_ref().map(|(text, _)| text.clone()),
            last_error_at: view.last_error.as_ref().map(|(_, at)| *at),
            restored_from: view.restored_from.clone(),
            nodes: self.metrics.nodes(),
        }
    }
}

/// The same error once more: everybody who waits gets it, and foreign errors cannot be cloned.
fn duplicate(error: &Error) -> Error {
    match error {
        Error::Data { message, hint } => Error::Data { message: message.clone(), hint: hint.clone() },
        Error::Option { message, hint } => Error::Option { message: message.clone(), hint: hint.clone() },
        Error::Connector { connector, message, hint, retriable } => {
            let (message, hint) = (message.clone(), hint.clone());
            Error::Connector { connector, message, hint, retriable: *retriable }
        }
        Error::Checkpoint { message, hint } => Error::Checkpoint { message: message.clone(), hint: hint.clone() },
        Error::Unavailable { message, hint } => Error::Unavailable { message: message.clone(), hint: hint.clone() },
        Error::Io { context, source } => {
            Error::Io { context: context.clone(), source: std::io::Error::new(source.kind(), source.to_string()) }
        }
        Error::Expression(inner) => Error::Expression(Arc::clone(inner)),
        Error::DuplicateKey { .. } => Error::data(error.to_string()),
        Error::Cancelled { message } => Error::Cancelled { message: message.clone() },
        Error::Arrow(_) | Error::Internal(_) => Error::internal(error.to_string()),
    }
}
