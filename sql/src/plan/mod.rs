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
pub use lower::output_schema;
pub use merge::merge_projections;
pub use shared_scan::share_scans;
pub use source::{TableRelation, connector, open_sink, sink_parallelism};
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

/// Adds the names of the materialized views that `plan` reads.
pub fn note_views(plan: &StreamPlan, names: &mut Vec<String>) {
    if let StreamPlan::Scan(scan) = plan
        && let Some(relation) = scan.relation.live()
    {
        names.push(relation.name().to_string());
    }
    plan.inputs().into_iter().for_each(|input| note_views(input, names));
}

/// Simplifies a typed plan that DataFusion executes.
#[cfg(feature = "batch")]
pub fn optimize_finite(typed: LogicalPlan) -> Result<LogicalPlan> {
    optimize::optimize_finite(typed)
}

/// Resolves the names of a query and types its expressions.
pub fn resolve(tables: &Arc<Tables>, query: sqlparser::ast::Query) -> Result<LogicalPlan> {
    resolve_as(tables, query, &[])
}

/// The same with the columns of the result named `columns`, if there are any.
pub fn resolve_as(tables: &Arc<Tables>, query: sqlparser::ast::Query, columns: &[String]) -> Result<LogicalPlan> {
    let mut plan = tables.plan_query(query)?;
    if !columns.is_empty() {
        plan = context::rename(plan, columns)?;
    }
    optimize::analyze(plan, tables.functions())
}
