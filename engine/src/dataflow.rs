//! A dataflow as a value: nodes, edges and how rows are spread over them. Planning makes one, the runtime runs it.
//!
//! Invariants, checked by [`Dataflow::validate`]: edges go from lower to higher node numbers (no cycles); sources have no
//! input, sinks one; the ports of an operator are 0..n without gaps; a forward edge joins nodes of equal parallelism;
//! uids are unique.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion_physical_expr::PhysicalExpr;
use serde::{Deserialize, Serialize};

use crate::connector::{SinkFactory, SourceFactory};
use crate::error::{Error, Result};
use crate::operator::Operator;
use crate::state::State;

/// Which of how many parallel instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subtask {
    /// From 0.
    pub index: usize,
    /// Number of instances.
    pub parallelism: usize,
}

/// What an operator means, in words that survive harmless edits of the query; state is matched by it on restore.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Uid(pub String);

/// Position of a node in [`Dataflow::nodes`].
pub type NodeId = usize;

/// Makes the operator of one subtask; called again at every attempt of the job.
pub type OperatorFactory = Arc<dyn Fn(Subtask) -> Result<Box<dyn Operator>> + Send + Sync>;

/// How a source makes watermarks.
#[derive(Clone)]
pub struct WatermarkStrategy {
    /// Index of the time attribute in the source's output (after `project`).
    pub column: usize,
    /// The watermark expression, a timestamp, over the source's output.
    pub expression: Arc<dyn PhysicalExpr>,
}

/// A source node: a connector, what is computed from its columns, and its watermarks.
#[derive(Clone)]
pub struct SourceNode {
    /// Makes the readers.
    pub factory: Arc<dyn SourceFactory>,
    /// Expressions over the connector's columns that give the node's output (computed columns); None when the columns
    /// are the output.
    pub project: Option<Vec<Arc<dyn PhysicalExpr>>>,
    /// Watermarks, if the table declares them.
    pub watermark: Option<WatermarkStrategy>,
    /// True when reading ends by itself.
    pub bounded: bool,
}

/// What a node does.
#[derive(Clone)]
pub enum NodeKind {
    /// Reads an external system.
    Source(SourceNode),
    /// Transforms.
    Operator(OperatorFactory),
    /// Writes an external system.
    Sink(Arc<dyn SinkFactory>),
}

/// One node.
#[derive(Clone)]
pub struct Node {
    /// What it means, for matching state.
    pub uid: Uid,
    /// What people see in plans, metrics and errors: `GroupAggregate(groupBy=[word], …)`.
    pub name: String,
    /// What it does.
    pub kind: NodeKind,
    /// Number of parallel instances, 1 to 128.
    pub parallelism: usize,
    /// Columns of its output; of its input for a sink.
    pub schema: SchemaRef,
}

/// How rows are spread over the instances of the next node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchange {
    /// Instance i feeds instance i; such nodes can run in one task.
    Forward,
    /// By key group of these columns.
    Hash(Vec<usize>),
    /// Every row to every instance.
    Broadcast,
    /// Every row to instance 0.
    Single,
    /// Batches to the instances in turn.
    Rebalance,
}

/// One edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// Producer.
    pub from: NodeId,
    /// Consumer.
    pub to: NodeId,
    /// Which input of the consumer.
    pub port: usize,
    /// How rows are spread.
    pub exchange: Exchange,
}

/// The whole graph.
#[derive(Clone, Default)]
pub struct Dataflow {
    /// Nodes, producers before consumers.
    pub nodes: Vec<Node>,
    /// Edges, in the order in which they were made.
    pub edges: Vec<Edge>,
}

impl Dataflow {
    /// Adds a node and says where it stands.
    pub fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Joins `from` to input `port` of `to`.
    pub fn connect(&mut self, from: NodeId, to: NodeId, port: usize, exchange: Exchange) {
        self.edges.push(Edge { from, to, port, exchange });
    }

    /// Edges into `node`, by port.
    pub fn inputs(&self, node: NodeId) -> Vec<&Edge> {
        let mut edges: Vec<&Edge> = self.edges.iter().filter(|e| e.to == node).collect();
        edges.sort_by_key(|e| e.port);
        edges
    }

    /// Edges out of `node`.
    pub fn outputs(&self, node: NodeId) -> Vec<&Edge> {
        self.edges.iter().filter(|e| e.from == node).collect()
    }

    /// True when every source ends by itself.
    pub fn is_bounded(&self) -> bool {
        self.nodes.iter().all(|n| !matches!(&n.kind, NodeKind::Source(s) if !s.bounded))
    }

    /// Name of a sink whose guarantee holds only for jobs that take checkpoints, if there is one.
    pub fn needs_checkpoints(&self) -> Option<&str> {
        let needs = |node: &&Node| matches!(&node.kind, NodeKind::Sink(factory) if factory.needs_checkpoints());
        self.nodes.iter().find(needs).map(|node| node.name.as_str())
    }

    /// Checks the invariants of the module's page.
    pub fn validate(&self) -> Result<()> {
        let mut uids = std::collections::HashSet::new();
        for (id, node) in self.nodes.iter().enumerate() {
            if !uids.insert(&node.uid) {
                return Err(Error::internal(format!("two operators have the uid '{}'", node.uid.0)));
            }
            if node.parallelism == 0 || node.parallelism > crate::state::key_group::COUNT as usize {
                return Err(Error::internal(format!("parallelism {} is not between 1 and 128", node.parallelism)));
            }
            let inputs = self.inputs(id);
            let fits = match node.kind {
                NodeKind::Source(_) => inputs.is_empty(),
                NodeKind::Sink(_) => inputs.len() == 1,
                NodeKind::Operator(_) => {
                    !inputs.is_empty() && inputs.iter().enumerate().all(|(port, edge)| edge.port == port)
                }
            };
            if !fits {
                return Err(Error::internal(format!("'{}' has {} inputs", node.name, inputs.len())));
            }
        }
        for edge in &self.edges {
            if edge.from >= edge.to || edge.to >= self.nodes.len() {
                return Err(Error::internal(format!("edge {} → {} does not go forward", edge.from, edge.to)));
            }
            let same = self.nodes[edge.from].parallelism == self.nodes[edge.to].parallelism;
            if edge.exchange == Exchange::Forward && !same {
                return Err(Error::internal(format!("forward edge {} → {} changes parallelism", edge.from, edge.to)));
            }
        }
        Ok(())
    }
}

impl Dataflow {
    /// How rows travel over `edge`: `hash[word]`.
    fn describe_exchange(&self, edge: &Edge) -> String {
        match &edge.exchange {
            Exchange::Forward => "forward".to_string(),
            Exchange::Hash(columns) => {
                let schema = &self.nodes[edge.from].schema;
                let names: Vec<&str> = columns.iter().map(|c| schema.field(*c).name().as_str()).collect();
                format!("hash[{}]", names.join(", "))
            }
            Exchange::Broadcast => "broadcast".to_string(),
            Exchange::Single => "single".to_string(),
            Exchange::Rebalance => "rebalance".to_string(),
        }
    }
}

/// The names of what the operators of a node remember, with how it is spread.
fn state_names(node: &Node) -> Vec<String> {
    let NodeKind::Operator(factory) = &node.kind else { return Vec::new() };
    let Ok(mut operator) = factory(Subtask { index: 0, parallelism: node.parallelism }) else { return Vec::new() };
    let name = |(name, state): (&str, &mut dyn State)| format!("{name} ({:?})", state.distribution()).to_lowercase();
    operator.states().into_iter().map(name).collect()
}

/// Every node with its parallelism, its inputs, its uid and its states.
impl fmt::Display for Dataflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, node) in self.nodes.iter().enumerate() {
            writeln!(f, "[{id}] {} ×{}", node.name, node.parallelism)?;
            for edge in self.inputs(id) {
                writeln!(f, "    input  [{}] {}", edge.from, self.describe_exchange(edge))?;
            }
            writeln!(f, "    uid    {}", node.uid.0)?;
            for state in state_names(node) {
                writeln!(f, "    state  {state}")?;
            }
        }
        Ok(())
    }
}
