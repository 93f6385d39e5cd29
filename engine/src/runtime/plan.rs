//! From a dataflow to tasks: which operators run fused in one thread, and which channels join the threads.
//!
//! ```text
//!   source ─forward→ filter ─hash→ aggregate ─forward→ sink          task 0: source, filter   task 1: aggregate, sink
//! ```
//! A node starts a task of its own when it is a source, has several inputs, or its input edge is an exchange; every
//! other node is fused into the task of its producer. The nodes of a task form a tree under its head, because fused
//! nodes have exactly one input.

use crate::dataflow::{Dataflow, Exchange, NodeId};

/// One node within a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlannedNode {
    /// Which node of the dataflow.
    pub(super) id: NodeId,
    /// Positions, within the task, of the nodes that are fed by it directly.
    pub(super) children: Vec<usize>,
    /// Positions, in [`Plan::links`], of the links that leave it.
    pub(super) links: Vec<usize>,
}

/// Nodes that run in one thread per subtask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlannedTask {
    /// Its nodes, producers first; the first is the head.
    pub(super) nodes: Vec<PlannedNode>,
    /// Number of subtasks.
    pub(super) parallelism: usize,
    /// Positions, in [`Plan::links`], of the links into the head, by port.
    pub(super) inputs: Vec<usize>,
}

/// An edge between two tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    /// Producing task.
    pub(super) from: usize,
    /// Consuming task.
    pub(super) to: usize,
    /// Input of the consuming task's head.
    pub(super) port: usize,
    /// How rows are spread.
    pub(super) exchange: Exchange,
}

/// All tasks and links.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Tasks, producers before consumers.
    pub(super) tasks: Vec<PlannedTask>,
    /// Links in the order of the dataflow's edges.
    pub(super) links: Vec<Link>,
}

impl Plan {
    /// Plans a valid dataflow.
    pub(super) fn new(dataflow: &Dataflow) -> Self {
        let mut plan = Plan::default();
        // Where each node of the dataflow went: (task, position within the task).
        let mut places: Vec<(usize, usize)> = Vec::with_capacity(dataflow.nodes.len());
        for (id, node) in dataflow.nodes.iter().enumerate() {
            let planned = PlannedNode { id, children: Vec::new(), links: Vec::new() };
            let inputs = dataflow.inputs(id);
            if let [edge] = inputs.as_slice()
                && edge.exchange == Exchange::Forward
            {
                let (task, parent) = places[edge.from];
                let nodes = &mut plan.tasks[task].nodes;
                let position = nodes.len();
                nodes[parent].children.push(position);
                nodes.push(planned);
                places.push((task, position));
                continue;
            }
            let to = plan.tasks.len();
            let first_link = plan.links.len();
            for edge in &inputs {
                let (from, position) = places[edge.from];
                plan.tasks[from].nodes[position].links.push(plan.links.len());
                plan.links.push(Link { from, to, port: edge.port, exchange: edge.exchange.clone() });
            }
            let inputs = (first_link..plan.links.len()).collect();
            plan.tasks.push(PlannedTask { nodes: vec![planned], parallelism: node.parallelism, inputs });
            places.push((to, 0));
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::sync::Arc;

    use arrow::datatypes::Schema;

    use super::*;
    use crate::dataflow::{Node, NodeKind, Uid};
    use crate::error::Error;

    /// A dataflow of `nodes` operators with these edges: from, to, port, exchange.
    fn dataflow(nodes: usize, edges: &[(usize, usize, usize, Exchange)]) -> Dataflow {
        let mut flow = Dataflow::default();
        for id in 0..nodes {
            let uid = Uid(id.to_string());
            let kind = NodeKind::Operator(Arc::new(|_| Err(Error::internal("never made"))));
            flow.add(Node { uid, name: id.to_string(), kind, parallelism: 2, schema: Arc::new(Schema::empty()) });
        }
        for (from, to, port, exchange) in edges {
            flow.connect(*from, *to, *port, exchange.clone());
        }
        flow
    }

    /// Nodes of every task.
    fn tasks(plan: &Plan) -> Vec<Vec<usize>> {
        plan.tasks.iter().map(|t| t.nodes.iter().map(|n| n.id).collect()).collect()
    }

    #[test]
    fn forward_edges_are_fused_into_a_tree() {
        use Exchange::Forward;
        let plan = Plan::new(&dataflow(4, &[(0, 1, 0, Forward), (0, 2, 0, Forward), (2, 3, 0, Forward)]));
        assert_eq!(tasks(&plan), [[0, 1, 2, 3]]);
        let children: Vec<&[usize]> = plan.tasks[0].nodes.iter().map(|n| n.children.as_slice()).collect();
        assert_eq!(children, [&[1, 2][..], &[], &[3], &[]]);
        assert!(plan.links.is_empty());
    }

    #[test]
    fn exchanges_and_several_inputs_start_tasks() {
        let hash = Exchange::Hash(vec![0]);
        let edges =
            [(0, 2, 0, Exchange::Forward), (1, 2, 1, hash.clone()), (2, 3, 0, hash), (3, 4, 0, Exchange::Forward)];
        let plan = Plan::new(&dataflow(5, &edges));
        assert_eq!(tasks(&plan), [vec![0], vec![1], vec![2], vec![3, 4]]);
        let ends: Vec<_> = plan.links.iter().map(|l| (l.from, l.to, l.port)).collect();
        assert_eq!(ends, [(0, 2, 0), (1, 2, 1), (2, 3, 0)]);
        assert_eq!((plan.tasks[2].inputs.clone(), plan.tasks[3].inputs.clone()), (vec![0, 1], vec![2]));
        assert_eq!(plan.tasks[2].nodes[0].links, [2]);
    }
}
