//! Opens the sources, operators and sinks of a job and puts them where a checkpoint says.
//!
//! Order: sinks first, because taking over their target shuts out writers of an earlier run and shows which epochs are
//! visible already; epochs that the checkpoint has decided and the target does not show are applied. Then operators get
//! the rows of the key groups that they own, whatever the parallelism was when they were written. Sources last.

use std::sync::Arc;

use super::JobConfig;
use super::snapshot::Pending;
use crate::checkpoint::{CheckpointStore, OperatorEntry, Restored};
use crate::connector::{Sink, SinkContext, SinkFactory, SourceReader};
use crate::dataflow::{Dataflow, Node, NodeKind, OperatorFactory, Subtask, Uid};
use crate::error::{Error, Result};
use crate::operator::Operator;
use crate::state::{Distribution, key_group};
use crate::time::Epoch;

/// One subtask of a node, ready to run.
pub(super) enum OpenNode {
    /// Reads.
    Source(Box<dyn SourceReader>),
    /// Transforms.
    Operator(Box<dyn Operator>),
    /// Writes.
    Sink(Box<dyn Sink>),
}

/// Who the job is to the outside.
pub(super) struct Identity {
    /// Identity of the pipeline, kept with its checkpoints.
    pub(super) pipeline: String,
    /// How often the pipeline was started.
    pub(super) generation: u64,
}

/// Opens every subtask of every node: per node, in the order of the dataflow, its subtasks.
pub(super) fn open_nodes(
    dataflow: &Dataflow,
    config: &JobConfig,
    identity: &Identity,
    store: Option<&CheckpointStore>,
    restored: Option<&Restored>,
) -> Result<Vec<Vec<OpenNode>>> {
    if let Some(restored) = restored.filter(|_| !config.ignore_unclaimed_state) {
        check_claimed(dataflow, restored)?;
    }
    let mut opened: Vec<Vec<OpenNode>> = dataflow.nodes.iter().map(|_| Vec::new()).collect();
    for (slot, node) in opened.iter_mut().zip(&dataflow.nodes) {
        if let NodeKind::Sink(factory) = &node.kind {
            let sinks = open_sinks(node, factory, identity, store, restored)?;
            slot.extend(sinks.into_iter().map(OpenNode::Sink));
        }
    }
    if let (Some(store), Some(restored)) = (store, restored.filter(|r| r.manifest.pipeline == identity.pipeline)) {
        store.record_applied(restored.manifest.epoch)?;
    }
    for (slot, node) in opened.iter_mut().zip(&dataflow.nodes) {
        if let NodeKind::Operator(factory) = &node.kind {
            let operators = open_operators(node, factory, restored, config.ignore_unclaimed_state)?;
            slot.extend(operators.into_iter().map(OpenNode::Operator));
        }
    }
    for (slot, node) in opened.iter_mut().zip(&dataflow.nodes) {
        if let NodeKind::Source(source) = &node.kind {
            let splits = restored.and_then(|r| r.operator(&node.uid)).map(|entry| entry.splits.as_slice());
            for subtask in subtasks(node) {
                slot.push(OpenNode::Source(source.factory.open(subtask, splits)?));
            }
        }
    }
    Ok(opened)
}

fn subtasks(node: &Node) -> impl Iterator<Item = Subtask> + use<> {
    let parallelism = node.parallelism;
    (0..parallelism).map(move |index| Subtask { index, parallelism })
}

/// Refuses a checkpoint that remembers what no operator of the dataflow asks for.
fn check_claimed(dataflow: &Dataflow, restored: &Restored) -> Result<()> {
    let remembers = |entry: &&OperatorEntry| entry.files().next().is_some() || !entry.splits.is_empty();
    let claimed = |uid: &Uid| dataflow.nodes.iter().any(|node| node.uid == *uid);
    match restored.manifest.operators.iter().filter(remembers).find(|entry| !claimed(&entry.uid)) {
        None => Ok(()),
        Some(entry) => Err(unclaimed(restored, &format!("operator '{}'", entry.name))),
    }
}

fn unclaimed(restored: &Restored, what: &str) -> Error {
    let epoch = restored.manifest.epoch.0;
    Error::checkpoint(format!("checkpoint {epoch} has state of {what}, which the query no longer has")).with_hint(
        "run the query that wrote the checkpoint, start with --fresh, or drop that state with \
         SET 'execution.state-recovery.ignore-unclaimed-state' = 'true'",
    )
}

fn open_sinks(
    node: &Node,
    factory: &Arc<dyn SinkFactory>,
    identity: &Identity,
    store: Option<&CheckpointStore>,
    restored: Option<&Restored>,
) -> Result<Vec<Box<dyn Sink>>> {
    let open = |subtask: Subtask| {
        let context = SinkContext { subtask, pipeline: identity.pipeline.clone(), sink: node.uid.0.clone() };
        let mut sink = factory.open(&context)?;
        sink.fence(identity.generation)?;
        Ok::<_, Error>(sink)
    };
    let logs = match restored {
        Some(restored) => unapplied_logs(&node.uid, identity, store, restored)?,
        None => Vec::new(),
    };
    let written_by = restored.and_then(|r| r.operator(&node.uid)).map_or(node.parallelism, |entry| entry.parallelism);
    if written_by != node.parallelism {
        // Markers in the target are kept per subtask, so the subtasks of that time finish what they began.
        for (index, pending) in logs {
            recover(open(Subtask { index, parallelism: written_by })?.as_mut(), pending)?;
        }
        return subtasks(node).map(open).collect();
    }
    let mut sinks: Vec<Box<dyn Sink>> = subtasks(node).map(open).collect::<Result<_>>()?;
    for (index, pending) in logs {
        let sink = sinks.get_mut(index).ok_or_else(|| Error::checkpoint("a log of a subtask that does not exist"))?;
        recover(sink.as_mut(), pending)?;
    }
    Ok(sinks)
}

/// Logs of the checkpoint whose epochs are not recorded as applied. A checkpoint of another pipeline is a starting point
/// only: its own pipeline has made it visible.
fn unapplied_logs(
    uid: &Uid,
    identity: &Identity,
    store: Option<&CheckpointStore>,
    restored: &Restored,
) -> Result<Vec<(usize, Pending)>> {
    let recorded = store.and_then(|s| s.applied());
    if restored.manifest.pipeline != identity.pipeline || recorded >= Some(restored.manifest.epoch) {
        return Ok(Vec::new());
    }
    let mut logs = Vec::new();
    for (subtask, log) in restored.read_logs(uid)? {
        let mut pending = Pending::decode(&log)?;
        if let Some(recorded) = recorded {
            pending.forget_up_to(recorded);
        }
        logs.push((subtask, pending));
    }
    Ok(logs)
}

fn recover(sink: &mut dyn Sink, mut pending: Pending) -> Result<()> {
    if let Some(marker) = sink.applied_up_to()? {
        pending.forget_up_to(marker);
    }
    match pending.newest() {
        Some(newest) => pending.apply_up_to(newest, sink),
        None => Ok(()),
    }
}

fn open_operators(
    node: &Node,
    factory: &OperatorFactory,
    restored: Option<&Restored>,
    ignore_unclaimed: bool,
) -> Result<Vec<Box<dyn Operator>>> {
    let mut operators: Vec<Box<dyn Operator>> = subtasks(node).map(|s| factory(s)).collect::<Result<_>>()?;
    let Some((restored, entry)) = restored.and_then(|r| r.operator(&node.uid).map(|entry| (r, entry))) else {
        return Ok(operators);
    };
    for state in entry.states.iter().filter(|s| !s.files.is_empty()) {
        let rows = restored.read_state(&node.uid, &state.name)?;
        for (index, operator) in operators.iter_mut().enumerate() {
            let owned = key_group::owned(index, node.parallelism);
            let Some((_, target)) = operator.states().into_iter().find(|(name, _)| *name == state.name) else {
                if ignore_unclaimed {
                    continue;
                }
                return Err(unclaimed(restored, &format!("'{}' in operator '{}'", state.name, node.name)));
            };
            for batch in &rows {
                if state.distribution == Distribution::Keyed && node.parallelism > 1 {
                    target.restore(&key_group::retain_owned(batch, &owned)?)?;
                } else {
                    target.restore(batch)?;
                }
            }
        }
    }
    Ok(operators)
}

/// The first epoch of an attempt: above every one that was ever begun.
pub(super) fn first_epoch(store: Option<&CheckpointStore>, last: Option<Epoch>) -> Result<Epoch> {
    match store {
        Some(store) => store.settle(),
        None => Ok(last.map_or(Epoch(1), Epoch::next)),
    }
}
