//! A journal of checkpoints besides the store: tables in a database, say, that operators can query.
//!
//! Recovery never reads it. It is written on a thread of its own, and one that cannot be written is a warning: entries
//! that come while it is away are left out.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::status::CheckpointInfo;
use crate::checkpoint::Manifest;
use crate::error::{Error, Result};
use crate::time::Epoch;

/// Entries that wait to be written; more are left out.
const QUEUE: usize = 64;
/// How long nothing is written after a failure.
const REST: Duration = Duration::from_secs(5);

/// Something to note about a checkpoint.
#[derive(Debug, Clone)]
pub enum JournalEntry {
    /// It is durable.
    Completed {
        /// Duration, size and place.
        info: CheckpointInfo,
        /// What it consists of, with the positions of all splits.
        manifest: Box<Manifest>,
    },
    /// All sinks have made it visible.
    Applied {
        /// Which one.
        epoch: Epoch,
    },
    /// It was given up.
    Failed {
        /// Which one.
        epoch: Epoch,
        /// Why.
        reason: String,
    },
}

/// Whose checkpoints are noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalOwner {
    /// Name of the job.
    pub job: String,
    /// Identity of the pipeline, kept with its checkpoints.
    pub pipeline: String,
}

/// Where entries go. Called from one thread per job.
pub trait CheckpointJournal: Send + Sync {
    /// Writes an entry. A second one about the same checkpoint adds to the first.
    fn record(&self, owner: &JournalOwner, entry: &JournalEntry) -> Result<()>;
}

/// The thread that writes the journal of a job.
pub(super) struct JournalThread {
    sender: Sender<JournalEntry>,
    thread: JoinHandle<()>,
}

impl JournalThread {
    /// Starts it.
    pub(super) fn start(journal: Arc<dyn CheckpointJournal>, owner: JournalOwner) -> Result<Self> {
        let (sender, entries) = bounded(QUEUE);
        let run = move || write(journal.as_ref(), &owner, &entries);
        let thread = std::thread::Builder::new().name("checkpoint journal".into()).spawn(run);
        Ok(JournalThread { sender, thread: thread.map_err(|e| Error::io("a thread cannot be started", e))? })
    }

    /// Hands an entry over. Never waits.
    pub(super) fn note(&self, entry: JournalEntry) {
        if let Err(TrySendError::Full(_)) = self.sender.try_send(entry) {
            tracing::warn!("the journal of checkpoints is too slow; an entry is left out");
        }
    }

    /// Waits until everything handed over is written or left out.
    pub(super) fn end(self) {
        drop(self.sender);
        // A panic costs entries of the journal, nothing else.
        let _ = self.thread.join();
    }
}

fn write(journal: &dyn CheckpointJournal, owner: &JournalOwner, entries: &Receiver<JournalEntry>) {
    let mut failed: Option<Instant> = None;
    for entry in entries {
        if failed.is_some_and(|at| at.elapsed() < REST) {
            continue;
        }
        failed = journal.record(owner, &entry).err().map(|error| {
            tracing::warn!(job = owner.job, %error, "the journal of checkpoints cannot be written");
            Instant::now()
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::sync::Mutex;

    use super::*;

    /// Fails at its first entry.
    #[derive(Default)]
    struct Flaky(Mutex<Vec<u64>>);

    impl CheckpointJournal for Flaky {
        fn record(&self, _owner: &JournalOwner, entry: &JournalEntry) -> Result<()> {
            let JournalEntry::Applied { epoch } = entry else { panic!("only applied epochs here") };
            self.0.lock().unwrap().push(epoch.0);
            if epoch.0 == 1 { Err(Error::connector("test", "away")) } else { Ok(()) }
        }
    }

    #[test]
    fn failing_journal_is_left_alone_for_a_while_and_holds_nobody_up() {
        let journal = Arc::new(Flaky::default());
        let owner = JournalOwner { job: "j".into(), pipeline: "p".into() };
        let thread = JournalThread::start(journal.clone(), owner).unwrap();
        (1..=3).for_each(|n| thread.note(JournalEntry::Applied { epoch: Epoch(n) }));
        thread.end();
        assert_eq!(*journal.0.lock().unwrap(), [1]);
    }
}
