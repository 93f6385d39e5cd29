//! Phase two of one sink: brings it up to date when a job starts, and applies epochs on a thread of its own while the
//! job runs, so that a slow target never holds up the rows that come after.

use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::driver::{Report, TaskReport};
use super::ledger::Ledger;
use super::snapshot::ReportSender;
use super::stop::TaskResult;
use crate::checkpoint::{Decision, Facts, decide};
use crate::connector::Committer;
use crate::crash;
use crate::dataflow::Uid;
use crate::error::{Error, Result};
use crate::time::Epoch;

/// The committer of one sink and the logs that wait for it.
pub(super) struct Committing {
    /// What the sink means; its marker is recorded under this name.
    pub(super) uid: Uid,
    /// For messages.
    pub(super) name: String,
    /// Logs of all its subtasks.
    pub(super) ledger: Ledger,
    committer: Box<dyn Committer>,
    /// Where the target's marker stands; None when it keeps none.
    marker: Option<Epoch>,
}

impl Committing {
    /// Shuts out earlier writers and makes visible what the restored checkpoint has decided. `logs` are the logs in that
    /// checkpoint, `newest` is the highest epoch that the pipeline ever began.
    pub(super) fn recover(
        uid: Uid,
        name: String,
        mut committer: Box<dyn Committer>,
        generation: u64,
        mut facts: Facts,
        logs: Ledger,
        newest: Epoch,
    ) -> Result<Self> {
        committer.fence(generation)?;
        crash::point("recovery.committer-fenced")?;
        facts.marker = committer.applied_up_to()?;
        facts.partly = committer.partly_applied()?;
        crash::point("recovery.marker-read")?;
        match decide(&facts) {
            Decision::Refuse(refusal) => return Err(refusal.error(&name)),
            Decision::Nothing => {}
            Decision::ReplayAfter(visible) => {
                for (epoch, logs) in logs.between(visible, newest) {
                    tracing::info!(sink = name, epoch = epoch.0, "applying a prepared epoch of an earlier run");
                    committer.apply(epoch, &logs)?;
                }
            }
        }
        crash::point("recovery.logs-applied")?;
        // A target that keeps a marker gets one before the first rows: from now on, none at all means a lost one.
        if facts.marker.is_none() {
            committer.apply(facts.restored.filter(|_| facts.ours).unwrap_or(Epoch(0)), &[])?;
        }
        let marker = committer.applied_up_to()?;
        Ok(Committing { uid, name, ledger: Ledger::default(), committer, marker })
    }

    /// Where the marker stands after recovery.
    pub(super) fn marker(&self) -> Option<Epoch> {
        self.marker
    }

    /// Starts the thread. It ends when the sender of its control channel is dropped.
    pub(super) fn start(self, reports: Sender<Report>, attempt: u64, number: usize) -> Result<CommitterThread> {
        let (sender, control) = unbounded();
        let (ledger, thread_name) = (self.ledger.clone(), format!("commit {}", self.name).replace('\0', " "));
        let reports = ReportSender { reports, attempt, thread: number, subtask: 0 };
        let run = move || {
            let mut committing = self;
            if let Err(stopped) = committing.run(&control, &reports) {
                reports.send(TaskReport::Left(Err(stopped)));
            }
        };
        let thread = std::thread::Builder::new().name(thread_name).spawn(run);
        let thread = thread.map_err(|e| Error::io("a thread cannot be started", e))?;
        Ok(CommitterThread { sender, ledger, thread })
    }

    fn run(&mut self, control: &Receiver<Epoch>, reports: &ReportSender) -> TaskResult {
        for epoch in control.iter() {
            crash::point("commit.begin")?;
            let mut waiting = self.ledger.between(Epoch(0), epoch);
            if waiting.last().is_none_or(|(last, _)| *last < epoch) {
                // An epoch without rows still tells the target that the pipeline lives.
                waiting.push((epoch, Vec::new()));
            }
            for (epoch, logs) in &waiting {
                self.committer.apply(*epoch, logs)?;
                if !logs.is_empty() {
                    self.marker = self.marker.map(|_| *epoch);
                }
            }
            self.ledger.forget_up_to(epoch);
            crash::point("commit.applied")?;
            reports.send(TaskReport::Applied { epoch, marker: self.marker });
        }
        Ok(())
    }
}

/// A running committer.
pub(super) struct CommitterThread {
    sender: Sender<Epoch>,
    ledger: Ledger,
    thread: JoinHandle<()>,
}

impl CommitterThread {
    /// Asks for everything up to `epoch`.
    pub(super) fn apply(&self, epoch: Epoch) {
        // A thread that is gone has reported why.
        let _ = self.sender.send(epoch);
    }

    /// Lets tasks go that wait for the committer.
    pub(super) fn close(&self) {
        self.ledger.close();
    }

    /// Ends the thread and waits until it is gone.
    pub(super) fn end(self) {
        drop(self.sender);
        // A panic shows as an epoch that is never applied; the attempt is over anyway.
        let _ = self.thread.join();
    }
}
