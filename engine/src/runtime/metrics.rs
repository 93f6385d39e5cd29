//! Counters of a running job: relaxed atomics that tasks bump once per batch and anyone may read.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::status::{NodeRole, NodeStatus, SplitStatus};
use crate::dataflow::{Dataflow, Node, NodeKind};
use crate::time::{EventTime, Watermark};

/// Figures of one node, shared by its subtasks.
#[derive(Debug, Default)]
pub(super) struct NodeMetrics {
    rows_in: AtomicU64,
    rows_out: AtomicU64,
    late_rows: AtomicU64,
}

impl NodeMetrics {
    /// Rows came in.
    pub(super) fn received(&self, rows: usize) {
        self.rows_in.fetch_add(rows as u64, Relaxed);
    }

    /// Rows went out.
    pub(super) fn sent(&self, rows: usize) {
        self.rows_out.fetch_add(rows as u64, Relaxed);
    }

    /// Rows were dropped because they were late.
    pub(super) fn dropped_late(&self, rows: u64) {
        self.late_rows.fetch_add(rows, Relaxed);
    }
}

/// Figures of one source subtask.
#[derive(Debug)]
pub(super) struct SourceMetrics {
    skipped: AtomicU64,
    watermark: AtomicI64,
    /// Changed twice a second.
    splits: Mutex<Vec<SplitStatus>>,
}

impl Default for SourceMetrics {
    fn default() -> Self {
        SourceMetrics { skipped: AtomicU64::new(0), watermark: AtomicI64::new(i64::MIN), splits: Mutex::default() }
    }
}

impl SourceMetrics {
    /// How the splits of the subtask stand.
    pub(super) fn set_splits(&self, splits: Vec<SplitStatus>) {
        *self.splits() = splits;
    }

    fn splits(&self) -> MutexGuard<'_, Vec<SplitStatus>> {
        self.splits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// More messages were skipped.
    pub(super) fn skipped(&self, messages: u64) {
        self.skipped.fetch_add(messages, Relaxed);
    }

    /// The watermark that was sent last.
    pub(super) fn set_watermark(&self, watermark: Watermark) {
        self.watermark.store(watermark.0.0, Relaxed);
    }
}

/// All counters of a job; they live over restarts.
#[derive(Debug)]
pub(super) struct Metrics {
    /// What is known of the nodes beforehand.
    plan: Vec<NodeStatus>,
    nodes: Vec<Arc<NodeMetrics>>,
    /// Per node its subtasks; empty for other nodes than sources.
    sources: Vec<Vec<Arc<SourceMetrics>>>,
}

impl Metrics {
    /// Counters for every node of `dataflow`, all zero.
    pub(super) fn new(dataflow: &Dataflow) -> Self {
        let nodes = &dataflow.nodes;
        let subtasks = |kind: &NodeKind, parallelism: usize| match kind {
            NodeKind::Source(_) => (0..parallelism).map(|_| Arc::default()).collect(),
            _ => Vec::new(),
        };
        let plan = |(id, node): (usize, &Node)| NodeStatus {
            name: node.name.clone(),
            uid: node.uid.clone(),
            role: match &node.kind {
                NodeKind::Source(_) => NodeRole::Source,
                NodeKind::Operator(_) => NodeRole::Operator,
                NodeKind::Sink(_) => NodeRole::Sink,
            },
            parallelism: node.parallelism,
            inputs: dataflow.inputs(id).into_iter().map(|edge| edge.from).collect(),
            rows_in: 0,
            rows_out: 0,
            late_rows: 0,
        };
        Metrics {
            plan: nodes.iter().enumerate().map(plan).collect(),
            nodes: nodes.iter().map(|_| Arc::default()).collect(),
            sources: nodes.iter().map(|n| subtasks(&n.kind, n.parallelism)).collect(),
        }
    }

    /// The counters of node `node`.
    pub(super) fn node(&self, node: usize) -> Arc<NodeMetrics> {
        self.nodes[node].clone()
    }

    /// The counters of one subtask of the source `node`.
    pub(super) fn source(&self, node: usize, subtask: usize) -> Arc<SourceMetrics> {
        self.sources[node][subtask].clone()
    }

    /// Rows read by all sources.
    pub(super) fn rows_read(&self) -> u64 {
        self.sum(NodeRole::Source, |n| &n.rows_in)
    }

    /// Rows given to all sinks.
    pub(super) fn rows_written(&self) -> u64 {
        self.sum(NodeRole::Sink, |n| &n.rows_out)
    }

    /// Late rows of all operators.
    pub(super) fn late_rows(&self) -> u64 {
        self.nodes.iter().map(|n| n.late_rows.load(Relaxed)).sum()
    }

    /// Skipped messages of all sources.
    pub(super) fn skipped_messages(&self) -> u64 {
        self.sources.iter().flatten().map(|s| s.skipped.load(Relaxed)).sum()
    }

    /// Rows that wait in the external systems; None when a split that is not read to its end does not say.
    pub(super) fn lag_rows(&self) -> Option<u64> {
        let splits = self.splits();
        let lag = |split: &SplitStatus| split.lag_rows.or(split.ended.then_some(0));
        if splits.is_empty() { None } else { splits.iter().map(lag).sum() }
    }

    /// How each split of each source stands.
    pub(super) fn splits(&self) -> Vec<SplitStatus> {
        let mut splits = Vec::new();
        for (node, subtasks) in self.sources.iter().enumerate() {
            let own = subtasks.iter().flat_map(|s| s.splits().clone());
            splits.extend(own.map(|split| SplitStatus { node, ..split }));
        }
        splits
    }

    /// The smallest watermark of the sources that have sent one.
    pub(super) fn watermark(&self) -> Option<Watermark> {
        let sent = self.sources.iter().flatten().map(|s| s.watermark.load(Relaxed)).filter(|w| *w != i64::MIN);
        sent.min().map(|w| Watermark(EventTime(w)))
    }

    /// Figures per node.
    pub(super) fn nodes(&self) -> Vec<NodeStatus> {
        let figures = |(plan, n): (&NodeStatus, &Arc<NodeMetrics>)| NodeStatus {
            rows_in: n.rows_in.load(Relaxed),
            rows_out: n.rows_out.load(Relaxed),
            late_rows: n.late_rows.load(Relaxed),
            ..plan.clone()
        };
        self.plan.iter().zip(&self.nodes).map(figures).collect()
    }

    fn sum(&self, role: NodeRole, counter: impl Fn(&NodeMetrics) -> &AtomicU64) -> u64 {
        let wanted = self.plan.iter().zip(&self.nodes).filter(|(plan, _)| plan.role == role);
        wanted.map(|(_, n)| counter(n).load(Relaxed)).sum()
    }
}
