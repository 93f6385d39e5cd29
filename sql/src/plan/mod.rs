//! Planning: a parsed query → DataFusion's logical plan → streaming plan.
//!
//! ```text
//!  AST ─prepare→ AST ─SqlToRel + context + relation→ LogicalPlan ─coerce→ typed ─optimize→ LogicalPlan ─lower→ StreamPlan
//! ```
//! DataFusion resolves names, decorrelates, prunes and pushes down; it never executes a plan of ours. Flink's value
//! semantics come in through `functions` (literals, operators, functions, coercion), its streaming constructs through
//! the nodes of `nodes`.

mod aggregate;
mod attributes;
mod changelog_mode;
mod changelog_table;
mod context;
mod dedup;
mod describe;
mod explain;
mod expression_text;
mod legacy_window;
mod lower;
mod merge;
mod nodes;
mod normalize;
mod optimize;
mod prepare;
mod relation;
mod set_operation;
mod shared_scan;
mod source;
mod stream_plan;
mod watermark_column;

pub use attributes::{TimeAttribute, time_attribute};
pub use changelog_mode::{
    SinkRequirements, input_needs_before, is_append_only, sink_needs_before, upsert_key, without_normalization,
};
pub use context::Tables;
pub use explain::{logical_text, tree};
pub use merge::merge_projections;
pub use shared_scan::share_scans;
pub use source::{connector, open_sink, sink_parallelism};
pub use stream_plan::{
    Expression, GroupAggregate, Join, JoinKind, Scan, StreamPlan, Watermark, WindowAggregate, WindowTime,
};

use std::sync::Arc;

use datafusion_expr::LogicalPlan;

use crate::error::Result;

/// A query at every stage of planning.
pub struct Query {
    /// Names resolved, types as Flink has them.
    pub typed: LogicalPlan,
    /// The same after the optimizer.
    pub optimized: LogicalPlan,
    /// What the dataflow is built from.
    pub stream: StreamPlan,
}

impl Query {
    /// Plans a typed query to the end.
    pub fn plan(typed: LogicalPlan) -> Result<Self> {
        let optimized = optimize::optimize(typed.clone())?;
        let stream = lower::lower(&optimized)?;
        Ok(Query { typed, optimized, stream })
    }
}

/// Resolves the names of a query and types its expressions.
pub fn resolve(tables: &Arc<Tables>, query: sqlparser::ast::Query) -> Result<LogicalPlan> {
    optimize::analyze(tables.plan_query(query)?, tables.functions())
}
