//! Counters of a running job: relaxed atomics that tasks bump once per batch and anyone may read.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use super::status::NodeStatus;
use crate::dataflow::{Dataflow, NodeKind};
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
    lag_rows: AtomicU64,
    skipped: AtomicU64,
    watermark: AtomicI64,
}

const UNKNOWN_LAG: u64 = u64::MAX;

impl Default for SourceMetrics {
    fn default() -> Self {
        SourceMetrics {
            lag_rows: AtomicU64::new(UNKNOWN_LAG),
            skipped: AtomicU64::new(0),
            watermark: AtomicI64::new(i64::MIN),
        }
    }
}

impl SourceMetrics {
    /// Rows that wait in the external system.
    pub(super) fn set_lag(&self, lag: Option<u64>) {
        self.lag_rows.store(lag.unwrap_or(UNKNOWN_LAG), Relaxed);
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
    names: Vec<String>,
    is_source: Vec<bool>,
    is_sink: Vec<bool>,
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
        Metrics {
            names: nodes.iter().map(|n| n.name.clone()).collect(),
            is_source: nodes.iter().map(|n| matches!(n.kind, NodeKind::Source(_))).collect(),
            is_sink: nodes.iter().map(|n| matches!(n.kind, NodeKind::Sink(_))).collect(),
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
        self.sum(&self.is_source, |n| &n.rows_in)
    }

    /// Rows given to all sinks.
    pub(super) fn rows_written(&self) -> u64 {
        self.sum(&self.is_sink, |n| &n.rows_out)
    }

    /// Late rows of all operators.
    pub(super) fn late_rows(&self) -> u64 {
        self.nodes.iter().map(|n| n.late_rows.load(Relaxed)).sum()
    }

    /// Skipped messages of all sources.
    pub(super) fn skipped_messages(&self) -> u64 {
        self.sources.iter().flatten().map(|s| s.skipped.load(Relaxed)).sum()
    }

    /// Rows that wait in the external systems; None when no source knows.
    pub(super) fn lag_rows(&self) -> Option<u64> {
        let known = self.sources.iter().flatten().map(|s| s.lag_rows.load(Relaxed)).filter(|lag| *lag != UNKNOWN_LAG);
        known.fold(None, |sum, lag| Some(sum.unwrap_or(0) + lag))
    }

    /// The smallest watermark of the sources that have sent one.
    pub(super) fn watermark(&self) -> Option<Watermark> {
        let sent = self.sources.iter().flatten().map(|s| s.watermark.load(Relaxed)).filter(|w| *w != i64::MIN);
        sent.min().map(|w| Watermark(EventTime(w)))
    }

    /// Figures per node.
    pub(super) fn nodes(&self) -> Vec<NodeStatus> {
        let figures = |(name, n): (&String, &Arc<NodeMetrics>)| NodeStatus {
            name: name.clone(),
            rows_in: n.rows_in.load(Relaxed),
            rows_out: n.rows_out.load(Relaxed),
            late_rows: n.late_rows.load(Relaxed),
        };
        self.names.iter().zip(&self.nodes).map(figures).collect()
    }

    fn sum(&self, which: &[bool], counter: impl Fn(&NodeMetrics) -> &AtomicU64) -> u64 {
        self.nodes.iter().zip(which).filter(|(_, is)| **is).map(|(n, _)| counter(n).load(Relaxed)).sum()
    }
}
