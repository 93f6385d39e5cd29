//! The operators of one subtask that run in one thread: drives them depth first, without queues between them.
//!
//! Per-row mode slices every batch into single rows before every operator, so that each operator sees one row at a
//! time, with all its consequences downstream, as in Flink. No operator knows of it.
//!
//! Invariant: a node's consumers see its rows and watermarks in the order in which it produced them, and watermarks
//! only grow.

use std::sync::Arc;

use super::exchange::Writer;
use super::ledger::Ledger;
use super::message::{Barrier, Message};
use super::metrics::NodeMetrics;
use super::snapshot::FrozenNode;
use super::stop::TaskResult;
use crate::changelog::ChangelogBatch;
use crate::connector::Sink;
use crate::crash;
use crate::dataflow::Uid;
use crate::operator::{Operator, Output};
use crate::time::{Clock, ProcessingTime, Watermark};

/// Bytes in the log of a running epoch that are reason enough for a checkpoint.
const LONG_LOG: usize = 64 << 20;

/// What a node of a chain does with what reaches it.
pub(super) enum Body {
    /// Passes it on: the source itself is outside the chain.
    Source,
    /// Transforms it.
    Operator(Box<dyn Operator>),
    /// Writes it; what it prepares waits in the ledger for the sink's committer.
    Sink(Box<dyn Sink>, Ledger),
}

/// One node of a chain.
pub(super) struct ChainNode {
    /// What it means.
    pub(super) uid: Uid,
    /// What it does.
    pub(super) body: Body,
    /// Positions of the nodes that it feeds directly; all larger than its own.
    pub(super) children: Vec<usize>,
    /// Links that leave it.
    pub(super) writers: Vec<Writer>,
    /// Its counters.
    pub(super) metrics: Arc<NodeMetrics>,
    watermark: Watermark,
    late_seen: u64,
}

impl ChainNode {
    /// A node that has seen nothing yet.
    pub(super) fn new(
        uid: Uid,
        body: Body,
        children: Vec<usize>,
        writers: Vec<Writer>,
        metrics: Arc<NodeMetrics>,
    ) -> Self {
        ChainNode { uid, body, children, writers, metrics, watermark: Watermark::MIN, late_seen: 0 }
    }

    fn count_late(&mut self) {
        if let Body::Operator(operator) = &self.body {
            let late = operator.late_rows();
            if late > self.late_seen {
                self.metrics.dropped_late(late - self.late_seen);
                self.late_seen = late;
            }
        }
    }
}

/// A tree of nodes under a head.
pub(super) struct Chain {
    nodes: Vec<ChainNode>,
    per_row: bool,
    clock: Arc<dyn Clock>,
    now: ProcessingTime,
    asked_for_checkpoint: bool,
}

impl Chain {
    /// A chain whose first node is the head.
    pub(super) fn new(nodes: Vec<ChainNode>, per_row: bool, clock: Arc<dyn Clock>) -> Self {
        let now = clock.now();
        Chain { nodes, per_row, clock, now, asked_for_checkpoint: false }
    }

    /// Rows arrived at input `port` of the head.
    pub(super) fn rows(&mut self, port: usize, batch: ChangelogBatch) -> TaskResult {
        self.now = self.clock.now();
        self.push(0, port, batch)
    }

    /// Event time advanced at the head.
    pub(super) fn watermark(&mut self, watermark: Watermark) -> TaskResult {
        self.now = self.clock.now();
        self.advance(0, watermark)
    }

    /// Calls every operator whose timer is due.
    pub(super) fn fire_timers(&mut self) -> TaskResult {
        self.now = self.clock.now();
        for index in 0..self.nodes.len() {
            if let Body::Operator(operator) = &mut self.nodes[index].body
                && operator.next_timer().is_some_and(|at| at <= self.now)
            {
                let mut out = Output::at(self.now);
                operator.on_timer(self.now, &mut out)?;
                self.emit(index, out)?;
            }
        }
        Ok(())
    }

    /// When the next timer is due, if any.
    pub(super) fn next_timer(&self) -> Option<ProcessingTime> {
        let timer = |node: &ChainNode| if let Body::Operator(o) = &node.body { o.next_timer() } else { None };
        self.nodes.iter().filter_map(timer).min()
    }

    /// Sends a message over all links that leave the chain.
    pub(super) fn broadcast(&self, message: &Message) -> TaskResult {
        self.nodes.iter().flat_map(|n| &n.writers).try_for_each(|writer| writer.control(message))
    }

    /// The barrier has come: flushes, freezes the states of all operators, passes the barrier on, and only then lets the sinks
    /// do their part, which may take longer.
    pub(super) fn freeze(&mut self, barrier: Barrier, subtask: usize) -> TaskResult<Vec<FrozenNode>> {
        self.flush()?;
        let mut frozen = Vec::new();
        for node in &mut self.nodes {
            if let Body::Operator(operator) = &mut node.body {
                frozen.push(FrozenNode::of_states(node.uid.clone(), operator.states())?);
            }
        }
        crash::point("checkpoint.state-frozen")?;
        self.broadcast(&Message::Barrier(barrier))?;
        for node in &mut self.nodes {
            if let Body::Sink(sink, ledger) = &mut node.body {
                ledger.push(barrier.epoch, subtask, sink.prepare(barrier.epoch)?);
                let states = FrozenNode::of_states(node.uid.clone(), sink.states())?;
                frozen.push(states.with_log(ledger.of_subtask(subtask)));
                crash::point("checkpoint.sink-prepared")?;
            }
        }
        self.asked_for_checkpoint = false;
        Ok(frozen)
    }

    /// Lets every operator send what it holds back: it belongs to the epoch that ends now.
    fn flush(&mut self) -> TaskResult {
        self.now = self.clock.now();
        for index in 0..self.nodes.len() {
            if let Body::Operator(operator) = &mut self.nodes[index].body {
                let mut out = Output::at(self.now);
                operator.flush(&mut out)?;
                self.emit(index, out)?;
            }
        }
        Ok(())
    }

    /// True, once per epoch, when the log of a sink has grown so long that a checkpoint should not wait for its time.
    pub(super) fn wants_checkpoint(&mut self) -> bool {
        let long = |node: &ChainNode| matches!(&node.body, Body::Sink(sink, _) if sink.log_bytes() >= LONG_LOG);
        let wants = !self.asked_for_checkpoint && self.nodes.iter().any(long);
        self.asked_for_checkpoint |= wants;
        wants
    }

    /// Gives sinks a chance to keep their flush intervals.
    pub(super) fn tick(&mut self) -> TaskResult {
        for node in &mut self.nodes {
            if let Body::Sink(sink, _) = &mut node.body {
                sink.tick()?;
            }
        }
        Ok(())
    }

    fn push(&mut self, index: usize, port: usize, batch: ChangelogBatch) -> TaskResult {
        let slices = self.per_row && batch.len() > 1 && !matches!(self.nodes[index].body, Body::Sink(..));
        if !slices {
            return self.push_whole(index, port, batch);
        }
        (0..batch.len()).try_for_each(|row| self.push_whole(index, port, batch.slice(row, 1)))
    }

    fn push_whole(&mut self, index: usize, port: usize, batch: ChangelogBatch) -> TaskResult {
        let node = &mut self.nodes[index];
        node.metrics.received(batch.len());
        match &mut node.body {
            Body::Source => self.send(index, batch),
            Body::Operator(operator) => {
                let mut out = Output::at(self.now);
                operator.on_batch(port, batch, &mut out)?;
                node.count_late();
                self.emit(index, out)
            }
            Body::Sink(sink, ledger) => {
                let rows = batch.len();
                sink.write(&batch)?;
                ledger.wait_for_room(sink.log_bytes());
                node.metrics.sent(rows);
                Ok(())
            }
        }
    }

    fn advance(&mut self, index: usize, watermark: Watermark) -> TaskResult {
        let node = &mut self.nodes[index];
        let mut output = watermark;
        if let Body::Operator(operator) = &mut node.body {
            let mut out = Output::at(self.now);
            operator.on_watermark(watermark, &mut out)?;
            output = operator.output_watermark(watermark);
            node.count_late();
            self.emit(index, out)?;
        }
        let node = &mut self.nodes[index];
        if output <= node.watermark {
            return Ok(());
        }
        node.watermark = output;
        node.writers.iter().try_for_each(|writer| writer.control(&Message::Watermark(output)))?;
        for child in 0..self.nodes[index].children.len() {
            self.advance(self.nodes[index].children[child], output)?;
        }
        Ok(())
    }

    fn emit(&mut self, index: usize, out: Output) -> TaskResult {
        out.into_batches().into_iter().try_for_each(|batch| self.send(index, batch))
    }

    /// Gives a batch to every consumer of a node; the last one gets it without a copy of its pointers.
    fn send(&mut self, index: usize, batch: ChangelogBatch) -> TaskResult {
        let node = &self.nodes[index];
        node.metrics.sent(batch.len());
        let (children, writers) = (node.children.len(), node.writers.len());
        let mut batch = Some(batch);
        for consumer in 0..children + writers {
            let last = consumer + 1 == children + writers;
            let Some(rows) = (if last { batch.take() } else { batch.clone() }) else { break };
            if consumer < children {
                self.push(self.nodes[index].children[consumer], 0, rows)?;
            } else {
                self.nodes[index].writers[consumer - children].rows(rows)?;
            }
        }
        Ok(())
    }
}
