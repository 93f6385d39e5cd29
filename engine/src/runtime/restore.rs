//! Opens the sources, operators and sinks of a job and puts them where a checkpoint says.
//!
//! Order: sinks first, because taking over their target shuts out writers of an earlier run and shows which epochs are
//! visible already; epochs that the checkpoint has decided and the target does not show are applied, and that is
//! recorded. Then operators and sinks get the rows of the key groups that they own, whatever the parallelism was when they
//! were written. Sources last.

use std::sync::Arc;

use super::JobConfig;
use super::committing::Committing;
use super::ledger::Ledger;
use crate::checkpoint::{CheckpointStore, Facts, OperatorEntry, Restored, StateEntry};
use crate::connector::{Guard, Sink, SinkContext, SinkFactory, SourceReader};
use crate::crash;
use crate::dataflow::{Dataflow, Node, NodeKind, Subtask, Uid};
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

/// A job whose parts are all open.
pub(super) struct Opened {
    /// Per node, in the order of the dataflow, its subtasks.
    pub(super) nodes: Vec<Vec<OpenNode>>,
    /// The committers of those sinks that have one; also by position in the dataflow.
    pub(super) committers: Vec<(usize, Committing)>,
    /// The first epoch that may be begun.
    pub(super) first: Epoch,
}

/// What opening needs to know.
pub(super) struct Opening<'a> {
    pub(super) dataflow: &'a Dataflow,
    pub(super) config: &'a JobConfig,
    pub(super) identity: &'a Identity,
    pub(super) store: Option<&'a Arc<CheckpointStore>>,
    pub(super) restored: Option<&'a Restored>,
    /// The highest epoch of an earlier attempt, for jobs that keep no checkpoints.
    pub(super) newest: Epoch,
}

impl Opening<'_> {
    /// Opens every subtask of every node.
    pub(super) fn open(&self) -> Result<Opened> {
        if let Some(restored) = self.restored.filter(|_| !self.config.ignore_unclaimed_state) {
            check_claimed(self.dataflow, restored)?;
        }
        let mut nodes: Vec<Vec<OpenNode>> = self.dataflow.nodes.iter().map(|_| Vec::new()).collect();
        let mut committers = Vec::new();
        for (id, node) in self.dataflow.nodes.iter().enumerate() {
            if let NodeKind::Sink(factory) = &node.kind {
                committers.extend(self.committer(node, factory)?.map(|committing| (id, committing)));
                for subtask in subtasks(node) {
                    nodes[id].push(OpenNode::Sink(factory.open(&self.context(node, subtask))?));
                }
            }
        }
        let first = self.record(&committers)?;
        for (id, node) in self.dataflow.nodes.iter().enumerate() {
            if let NodeKind::Operator(factory) = &node.kind {
                let operators: Vec<_> = subtasks(node).map(|s| factory(s)).collect::<Result<_>>()?;
                nodes[id].extend(operators.into_iter().map(OpenNode::Operator));
            }
            if !matches!(node.kind, NodeKind::Source(_)) {
                self.load(node, &mut nodes[id])?;
            }
        }
        crash::point("recovery.state-loaded")?;
        for (id, node) in self.dataflow.nodes.iter().enumerate() {
            if let NodeKind::Source(source) = &node.kind {
                let entry = self.restored.and_then(|r| r.operator(&node.uid));
                let splits = entry.map(|entry| entry.splits.as_slice());
                for subtask in subtasks(node) {
                    nodes[id].push(OpenNode::Source(source.factory.open(subtask, splits)?));
                }
                self.load(node, &mut nodes[id])?;
            }
        }
        crash::point("recovery.sources-assigned")?;
        Ok(Opened { nodes, committers, first })
    }

    /// Gives every subtask of a node the rows of the key groups that it owns.
    fn load(&self, node: &Node, subtasks: &mut [OpenNode]) -> Result<()> {
        let entry = self.restored.and_then(|r| r.operator(&node.uid).map(|entry| (r, entry)));
        if let Some((restored, entry)) = entry {
            for state in entry.states.iter().filter(|s| !s.files.is_empty()) {
                self.load_state(node, subtasks, restored, state)?;
            }
        }
        let own = self.restored.filter(|r| r.manifest.pipeline == self.identity.pipeline);
        for subtask in subtasks {
            if let OpenNode::Sink(sink) = subtask {
                sink.restored(own.map(|r| r.manifest.epoch))?;
            }
        }
        Ok(())
    }

    fn load_state(
        &self,
        node: &Node,
        subtasks: &mut [OpenNode],
        restored: &Restored,
        state: &StateEntry,
    ) -> Result<()> {
        let rows = restored.read_state(&node.uid, &state.name)?;
        for (index, subtask) in subtasks.iter_mut().enumerate() {
            let owned = key_group::owned(index, node.parallelism);
            let states = match subtask {
                OpenNode::Source(reader) => reader.states(),
                OpenNode::Operator(operator) => operator.states(),
                OpenNode::Sink(sink) => sink.states(),
            };
            let Some((_, target)) = states.into_iter().find(|(name, _)| *name == state.name) else {
                if self.config.ignore_unclaimed_state {
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
        Ok(())
    }

    fn context(&self, node: &Node, subtask: Subtask) -> SinkContext {
        let guard = match self.store {
            Some(store) => {
                let store = store.clone();
                Guard::new(move || store.check_fence())
            }
            None => Guard::open(),
        };
        SinkContext { subtask, pipeline: self.identity.pipeline.clone(), sink: node.uid.0.clone(), guard }
    }

    /// The committer of a sink, with everything visible that the restored checkpoint has decided.
    fn committer(&self, node: &Node, factory: &Arc<dyn SinkFactory>) -> Result<Option<Committing>> {
        let context = self.context(node, Subtask { index: 0, parallelism: node.parallelism });
        let Some(committer) = factory.committer(&context)? else { return Ok(None) };
        let logs = match self.restored {
            Some(restored) => Ledger::decode(&restored.read_logs(&node.uid)?)?,
            None => Ledger::default(),
        };
        let facts = Facts {
            restored: self.restored.map(|r| r.manifest.epoch),
            ours: self.restored.is_some_and(|r| r.manifest.pipeline == self.identity.pipeline),
            recorded: self.store.and_then(|s| s.applied()),
            recorded_marker: self.store.and_then(|s| s.recorded_marker(&node.uid)),
            marker: None,
            partly: None,
            allow_duplicates: self.config.allow_duplicates,
        };
        let (uid, name) = (node.uid.clone(), node.name.clone());
        let newest = self.store.map_or(self.newest, |s| s.newest_epoch());
        Committing::recover(uid, name, committer, self.identity.generation, facts, logs, newest).map(Some)
    }

    /// Records what is visible now, before anything new is written; gives the first epoch of the run.
    fn record(&self, committers: &[(usize, Committing)]) -> Result<Epoch> {
        let Some(store) = self.store else { return Ok(self.newest.next()) };
        let markers = committers.iter().filter_map(|(_, c)| Some((c.uid.clone(), c.marker()?))).collect();
        let ours = self.restored.filter(|r| r.manifest.pipeline == self.identity.pipeline);
        store.record_applied(ours.map_or(Epoch(0), |r| r.manifest.epoch), markers)?;
        let first = store.settle()?;
        crash::point("recovery.settled")?;
        Ok(first)
    }
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
