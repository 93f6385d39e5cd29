//! Brings epoch logs into the topic: performs what [`Protocol`] decides.

use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eddyline_engine::connector::{Committer, EpochLog, Guard};
use eddyline_engine::crash;
use eddyline_engine::error::{Error, Result};
use eddyline_engine::time::Epoch;

use super::fault::Fault;
use super::handle::read_marker;
use super::log::{Frame, frames};
use super::marker::Marker;
use super::protocol::{Action, Event, Protocol, Slot};
use super::slots::Slots;
use crate::kafka::KAFKA;
use crate::kafka::client::{Client, missing_topic};
use crate::kafka::interrupt::Interrupt;

/// Transactions in a row that may fail without any progress before the job is restarted.
const ATTEMPTS: u32 = 8;
/// Pause after a failed transaction, which doubles with each.
const PAUSE: Duration = Duration::from_millis(50);
/// How long the marker may take to be read; a transaction that is being decided holds it up.
const MARKER_WITHIN: Duration = Duration::from_secs(60);
/// A marker is written anew after so long without rows. Brokers forget offsets of a group after a week without commits.
const REFRESH_AFTER: Duration = Duration::from_secs(3600);

/// The committer of one sink.
pub(super) struct KafkaCommitter {
    pub(super) topic: String,
    /// Name of the consumer group whose offset is the marker.
    pub(super) group: CString,
    /// After so long a transaction expires.
    pub(super) limit: Duration,
    pub(super) guard: Guard,
    pub(super) interrupt: Interrupt,

    pub(super) slots: Slots,
    /// Reads the marker.
    pub(super) reader: Client,
    pub(super) progress: Progress,
}

/// What changes from transaction to transaction.
pub(super) struct Progress {
    protocol: Protocol,
    /// Cleared by an error, after which the protocol's state means nothing.
    fenced: bool,
    /// When this process wrote the marker last.
    written: Option<Instant>,
    /// Frames in the next transaction; fewer when transactions take long.
    most_frames: usize,
    /// Frames in any transaction.
    limit_frames: usize,
    /// Why the last transaction failed.
    trouble: Option<String>,
}

impl Progress {
    /// Nothing is done yet. A transaction will take `limit_frames` frames, of about a megabyte, at most.
    pub(super) fn new(limit_frames: usize) -> Self {
        let protocol = Protocol::new();
        Progress { protocol, fenced: false, written: None, most_frames: limit_frames, limit_frames, trouble: None }
    }

    /// Keeps transactions far from their `limit`, after one of `frames` frames took so long to write.
    fn adapt(&mut self, frames: usize, took: Duration, limit: Duration) {
        if took > limit / 4 {
            self.most_frames = (frames / 2).max(1);
        } else if took < limit / 16 {
            self.most_frames = (self.most_frames * 2).min(self.limit_frames);
        }
    }
}

impl Committer for KafkaCommitter {
    fn fence(&mut self, _generation: u64) -> Result<()> {
        self.progress = Progress::new(self.progress.limit_frames);
        self.drive(Event::Fence, &[])?;
        self.progress.fenced = true;
        Ok(())
    }

    fn applied_up_to(&mut self) -> Result<Option<Epoch>> {
        self.check_fenced()?;
        Ok(self.progress.protocol.marker().map(|marker| marker.complete))
    }

    fn partly_applied(&mut self) -> Result<Option<Epoch>> {
        let marker = self.progress.protocol.marker();
        Ok(marker.filter(|marker| marker.frames > 0).map(|marker| marker.complete.next()))
    }

    fn apply(&mut self, epoch: Epoch, logs: &[Arc<EpochLog>]) -> Result<()> {
        self.check_fenced()?;
        // What it has heard while nobody asked it anything is not to pile up.
        self.reader.serve();
        let mut all = Vec::new();
        for log in logs {
            all.extend(frames(log.bytes())?);
        }
        let applied = if all.is_empty() { self.refresh(epoch) } else { self.advance(epoch, &all) };
        self.progress.fenced = applied.is_ok();
        applied
    }
}

impl KafkaCommitter {
    fn check_fenced(&self) -> Result<()> {
        let asked_late = || Error::internal("a committer that has failed, or was never fenced, is asked to go on");
        if self.progress.fenced { Ok(()) } else { Err(asked_late()) }
    }

    /// Makes the frames of an epoch visible that are not yet.
    fn advance(&mut self, epoch: Epoch, frames: &[Frame<'_>]) -> Result<()> {
        let mut failures = 0;
        loop {
            let marker = self.progress.protocol.marker();
            if marker.is_some_and(|marker| marker.complete >= epoch) {
                return Ok(());
            }
            let done = marker.map_or(0, |marker| marker.frames_of(epoch)) as usize;
            let Some(rest) = frames.get(done..).filter(|rest| !rest.is_empty()) else {
                let text = format!("{done} frames of epoch {} are visible, but its log has {}", epoch.0, frames.len());
                return Err(Error::checkpoint(text));
            };
            let some = &rest[..rest.len().min(self.progress.most_frames)];
            let to = if some.len() == rest.len() {
                Marker::after(epoch)
            } else {
                Marker::within(epoch, (done + some.len()) as u32)
            };
            self.drive(Event::Advance(to), some)?;
            failures = if self.progress.protocol.marker() == Some(to) { 0 } else { failures + 1 };
            self.recover_breath(failures)?;
        }
    }

    /// Writes the marker when there is none, or when it could be forgotten.
    fn refresh(&mut self, epoch: Epoch) -> Result<()> {
        let is_fresh = |progress: &Progress| progress.written.is_some_and(|at| at.elapsed() < REFRESH_AFTER);
        let mut failures = 0;
        while !is_fresh(&self.progress) {
            self.recover_breath(failures)?;
            self.drive(Event::Refresh(Marker::after(epoch)), &[])?;
            failures += 1;
        }
        Ok(())
    }

    /// Waits after failures; an error after too many.
    fn recover_breath(&mut self, failures: u32) -> Result<()> {
        if failures == 0 {
            return Ok(());
        }
        if failures >= ATTEMPTS {
            let why = self.progress.trouble.take().unwrap_or_default();
            return Err(Error::connector(KAFKA, format!("{failures} transactions in a row came to nothing; {why}")));
        }
        self.interrupt.pause(PAUSE * 2_u32.pow(failures - 1))
    }

    /// Lets the protocol run from `event` to where it has nothing more to do. `frames` are the rows of the transaction
    /// that may follow.
    fn drive(&mut self, mut event: Event, frames: &[Frame<'_>]) -> Result<()> {
        loop {
            event = match self.progress.protocol.on(event) {
                Action::Initialise(slot) => {
                    self.slots.initialise(slot)?;
                    self.after_initialise(slot)?;
                    Event::Initialised
                }
                Action::ReadMarker => Event::MarkerRead(self.read_marker()?),
                Action::AskGuard => {
                    self.guard.check()?;
                    Event::Owned
                }
                Action::Write { slot, .. } => {
                    let began = Instant::now();
                    let written = self.write(slot, frames);
                    self.progress.adapt(frames.len(), began.elapsed(), self.limit);
                    self.event(written, Event::Written)?
                }
                Action::Commit { slot, marker } => {
                    let committed = self.commit(slot, marker);
                    self.event(committed, Event::Committed)?
                }
                Action::Done(None) => return Ok(()),
                Action::Done(Some(spent)) => return self.slots.renew(spent),
                Action::Refuse { expected, found } => return Err(self.foreign_marker(expected, found)),
            };
        }
    }

    fn after_initialise(&mut self, slot: Slot) -> Result<()> {
        if self.progress.trouble.is_some() {
            // A transaction has failed: perhaps because the topic is gone.
            let known = self.slots.handle(slot)?.client().topics()?;
            if !known.contains_key(&self.topic) {
                return Err(missing_topic(&self.topic, &known));
            }
        }
        match (self.progress.fenced, slot) {
            (true, _) => Ok(()),
            (false, Slot::First) => crash::point("kafka.slot-0-initialised"),
            (false, Slot::Second) => crash::point("kafka.slot-1-initialised"),
        }
    }

    fn read_marker(&self) -> Result<Option<Marker>> {
        read_marker(&self.reader, &self.topic, MARKER_WITHIN, &self.interrupt).map_err(|fault| match fault {
            Fault::Stop(error) => error,
            Fault::Again(words) | Fault::Unsure(words) => Error::connector(KAFKA, words),
        })
    }

    /// Begins on a handle that was initialised before the guard was asked, and brings the rows to the broker.
    fn write(&self, slot: Slot, frames: &[Frame<'_>]) -> Result<(), Fault> {
        let handle = self.slots.handle(slot)?;
        handle.begin()?;
        crash::point("kafka.transaction-begun")?;
        for frame in frames {
            frame.for_each(|message| handle.send(message))?;
            crash::point("kafka.mid-produce")?;
        }
        handle.flush()?;
        Ok(crash::point("kafka.flushed")?)
    }

    fn commit(&mut self, slot: Slot, marker: Marker) -> Result<(), Fault> {
        let handle = self.slots.handle(slot)?;
        handle.send_marker(&self.group, &self.topic, marker)?;
        crash::point("kafka.marker-sent")?;
        handle.commit()?;
        (self.progress.written, self.progress.trouble) = (Some(Instant::now()), None);
        tracing::debug!(topic = self.topic, ?marker, "committed");
        Ok(crash::point("kafka.committed")?)
    }

    /// What a step of a transaction means for the protocol.
    fn event(&mut self, outcome: Result<(), Fault>, done: Event) -> Result<Event> {
        match outcome {
            Ok(()) => Ok(done),
            Err(Fault::Stop(error)) => Err(error),
            Err(Fault::Again(words) | Fault::Unsure(words)) => {
                let topic = &self.topic;
                tracing::warn!(topic, words, "a transaction failed or its outcome is unknown: looking at the marker");
                self.progress.trouble = Some(words);
                Ok(Event::Unsure)
            }
        }
    }

    fn foreign_marker(&self, expected: [Option<Marker>; 2], found: Option<Marker>) -> Error {
        let words = |marker: Option<Marker>| match marker {
            None => "nowhere".to_string(),
            Some(Marker { complete, frames: 0 }) => format!("after epoch {}", complete.0),
            Some(Marker { complete, frames }) => format!("{frames} frames after epoch {}", complete.0),
        };
        let [before, after] = expected.map(words);
        let text = format!(
            "the marker of topic '{}' (consumer group '{}') stands {}, but this job left it {before} or moved it {after}",
            self.topic,
            self.group.to_string_lossy(),
            words(found)
        );
        Error::refused(
            KAFKA,
            text,
            "the topic was made anew, or a copy of this job's checkpoint folder is in use elsewhere; nobody can know \
             which rows are visible",
        )
    }
}
