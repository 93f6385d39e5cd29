//! A subtask's part of a checkpoint: frozen by the task at the barrier, written by background threads, acknowledged to
//! the driver.
//!
//! The task hands over frozen batches and goes on at once. A sink's part is the log of every epoch that it has prepared
//! and that is not yet applied, see `ledger`.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::driver::{Report, TaskReport};
use super::ledger::Prepared;
use crate::checkpoint::{CheckpointStore, FileEntry};
use crate::connector::SplitPosition;
use crate::crash;
use crate::dataflow::Uid;
use crate::error::{Error, Result};
use crate::state::{Distribution, FrozenRows, State, States};
use crate::time::Epoch;

/// Threads that write snapshots.
const WRITERS: usize = 2;
/// Snapshots that wait for them; more make the tasks wait.
const QUEUE: usize = 64;

/// The frozen part of one node of a subtask.
pub(super) struct FrozenNode {
    uid: Uid,
    states: Vec<FrozenState>,
    splits: Vec<SplitPosition>,
    log: Vec<Arc<Prepared>>,
}

/// One state: its name, how it is spread, its rows.
type FrozenState = (&'static str, Distribution, FrozenRows);

impl FrozenNode {
    /// States of an operator, a sink or a source.
    pub(super) fn of_states(uid: Uid, states: States<'_>) -> Result<Self> {
        let freeze = |(name, state): (_, &mut dyn State)| Ok((name, state.distribution(), state.freeze()?));
        let states = states.into_iter().map(freeze).collect::<Result<_>>()?;
        Ok(FrozenNode { uid, states, splits: Vec::new(), log: Vec::new() })
    }

    /// Adds the positions of a source.
    pub(super) fn with_splits(self, splits: Vec<SplitPosition>) -> Self {
        FrozenNode { splits, ..self }
    }

    /// Adds the prepared epochs of a sink.
    pub(super) fn with_log(self, log: Vec<Arc<Prepared>>) -> Self {
        FrozenNode { log, ..self }
    }
}

/// The frozen part of one subtask.
pub(super) struct Frozen {
    /// Which checkpoint.
    pub(super) epoch: Epoch,
    /// Who acknowledges, and in which attempt.
    pub(super) sender: ReportSender,
    /// Its nodes.
    pub(super) nodes: Vec<FrozenNode>,
}

/// The written part of one node of a subtask.
#[derive(Debug)]
pub(super) struct WrittenNode {
    /// What the node means.
    pub(super) uid: Uid,
    /// Number of the subtask within the node.
    pub(super) subtask: usize,
    /// States with the file of this subtask; None when it had no rows.
    pub(super) states: Vec<(&'static str, Distribution, Option<FileEntry>)>,
    /// Positions of a source.
    pub(super) splits: Vec<SplitPosition>,
    /// The logs of a sink, one per epoch that is not yet applied, oldest first.
    pub(super) log: Vec<FileEntry>,
}

/// How a task speaks to the driver.
#[derive(Clone)]
pub(super) struct ReportSender {
    /// Where reports go.
    pub(super) reports: Sender<Report>,
    /// Which attempt of the job the task belongs to; reports of older ones are ignored.
    pub(super) attempt: u64,
    /// Number of the thread within the job.
    pub(super) thread: usize,
    /// Number of the subtask within its task.
    pub(super) subtask: usize,
}

impl ReportSender {
    /// Tells the driver. A driver that is gone needs no report.
    pub(super) fn send(&self, what: TaskReport) {
        let _ = self.reports.send(Report::Task { attempt: self.attempt, thread: self.thread, what });
    }
}

/// Where tasks hand over what they have frozen.
#[derive(Clone)]
pub(super) struct SnapshotQueue(Option<Sender<Frozen>>);

impl SnapshotQueue {
    /// A queue for jobs that keep no checkpoints: states are dropped, acknowledgements are immediate.
    pub(super) fn none() -> Self {
        SnapshotQueue(None)
    }

    /// Starts the background threads. They end when the last clone of the queue is dropped.
    pub(super) fn start(store: &Arc<CheckpointStore>) -> Result<(Self, Vec<JoinHandle<()>>)> {
        let (sender, receiver) = bounded(QUEUE);
        let threads = (0..WRITERS).map(|n| {
            let (receiver, store): (Receiver<Frozen>, _) = (receiver.clone(), store.clone());
            std::thread::Builder::new()
                .name(format!("snapshot-{n}"))
                .spawn(move || receiver.iter().for_each(|frozen| write(&store, frozen)))
                .map_err(|e| Error::io("a thread cannot be started", e))
        });
        Ok((SnapshotQueue(Some(sender)), threads.collect::<Result<_>>()?))
    }

    /// Hands over a frozen part; the acknowledgement follows when it is written.
    pub(super) fn hand_over(&self, frozen: Frozen) {
        let left = match &self.0 {
            Some(queue) => queue.send(frozen).err().map(|e| e.into_inner()),
            None => Some(frozen),
        };
        if let Some(frozen) = left {
            frozen.sender.send(TaskReport::Acknowledged { epoch: frozen.epoch, nodes: Vec::new() });
        }
    }
}

fn write(store: &CheckpointStore, frozen: Frozen) {
    let Frozen { epoch, sender, nodes } = frozen;
    let subtask = sender.subtask;
    let written = || nodes.iter().map(|node| write_node(store, epoch, subtask, node)).collect::<Result<Vec<_>>>();
    let written = std::panic::catch_unwind(std::panic::AssertUnwindSafe(written))
        .unwrap_or_else(|_| Err(Error::internal("writing a snapshot panicked")));
    sender.send(match written {
        Ok(nodes) => TaskReport::Acknowledged { epoch, nodes },
        Err(error) => TaskReport::SnapshotFailed { epoch, error },
    });
}

fn write_node(store: &CheckpointStore, epoch: Epoch, subtask: usize, node: &FrozenNode) -> Result<WrittenNode> {
    let mut states = Vec::with_capacity(node.states.len());
    for (name, distribution, rows) in &node.states {
        let made;
        let batches = match rows {
            FrozenRows::Made(batches) => batches,
            FrozenRows::Later(make) => {
                made = make()?;
                &made
            }
        };
        let has_rows = batches.iter().any(|b| b.num_rows() > 0);
        let file = has_rows.then(|| store.write_state(epoch, &node.uid, name, subtask, batches)).transpose()?;
        states.push((*name, *distribution, file));
    }
    crash::point("checkpoint.state-written")?;
    let log = node.log.iter().map(|log| log.store(store, epoch, &node.uid, subtask)).collect::<Result<_>>()?;
    crash::point("checkpoint.log-written")?;
    Ok(WrittenNode { uid: node.uid.clone(), subtask, states, splits: node.splits.clone(), log })
}
