//! What is known of a checkpoint under way, and its manifest when all of it is there.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::JobConfig;
use super::restore::Identity;
use super::snapshot::WrittenNode;
use crate::checkpoint::{CheckpointKind, FORMAT_VERSION, LogEntry, Manifest, OperatorEntry, StateEntry};
use crate::dataflow::{Dataflow, Node};
use crate::time::{Epoch, ProcessingTime};

/// The parts of a checkpoint that have been written so far.
pub(super) struct EpochParts {
    /// When it was begun.
    pub(super) began: ProcessingTime,
    /// Parts of all subtasks, in order of their acknowledgement.
    pub(super) nodes: Vec<WrittenNode>,
}

impl EpochParts {
    /// A checkpoint that begins at `began`.
    pub(super) fn new(began: ProcessingTime) -> Self {
        EpochParts { began, nodes: Vec::new() }
    }
}

/// The manifest of a checkpoint whose parts are all there.
pub(super) fn manifest(
    config: &JobConfig,
    identity: &Identity,
    dataflow: &Dataflow,
    epoch: Epoch,
    kind: CheckpointKind,
    finished: bool,
    mut parts: EpochParts,
) -> Manifest {
    parts.nodes.sort_by_key(|part| part.subtask);
    let entries = dataflow.nodes.iter().map(|node| entry(node, &mut parts.nodes));
    let remembers = |e: &OperatorEntry| !(e.states.is_empty() && e.splits.is_empty() && e.logs.is_empty());
    Manifest {
        format_version: FORMAT_VERSION,
        job: config.name.clone(),
        pipeline: identity.pipeline.clone(),
        generation: identity.generation,
        epoch,
        kind,
        created_ms: parts.began.0.div_euclid(1000),
        finished,
        operators: entries.filter(remembers).collect(),
    }
}

fn entry(node: &Node, parts: &mut [WrittenNode]) -> OperatorEntry {
    let mut entry = OperatorEntry::new(node.uid.clone(), &node.name, node.parallelism);
    for part in parts.iter_mut().filter(|part| part.uid == node.uid) {
        for (name, distribution, file) in part.states.drain(..) {
            let position = entry.states.iter().position(|s| s.name == name).unwrap_or_else(|| {
                entry.states.push(StateEntry { name: name.to_string(), distribution, files: Vec::new() });
                entry.states.len() - 1
            });
            entry.states[position].files.extend(file);
        }
        entry.splits.append(&mut part.splits);
        entry
            .logs
            .extend(std::mem::take(&mut part.log).into_iter().map(|file| LogEntry { subtask: part.subtask, file }));
    }
    entry
}

/// A time of the job's clock as the standard library has it.
pub(super) fn system_time(time: ProcessingTime) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(time.0).unwrap_or(0))
}

/// Milliseconds since 1970 as the standard library has it.
pub(super) fn system_time_ms(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
