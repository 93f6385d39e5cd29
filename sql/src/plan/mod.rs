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
mod legacy_window;
mod lower;
mod nodes;
mod normalize;
mod optimize;
mod prepare;
mod relation;
mod set_operation;
mod source;
mod stream_plan;
mod watermark_column;

pub use attributes::{TimeAttribute, time_attribute};
pub use changelog_mode::{
    SinkRequirements, input_needs_before, is_append_only, sink_needs_before, upsert_key, without_normalization,
};
pub use context::Tables;
pub use lower::lower;
pub use optimize::{analyze, optimize};
pub use source::{connector, open_sink};
pub use stream_plan::{
    Expression, GroupAggregate, Join, JoinKind, Scan, StreamPlan, Watermark, WindowAggregate, WindowTime,
};

use datafusion_expr::LogicalPlan;

use crate::error::Result;

/// Plans a query down to the optimized logical plan.
pub fn plan_query(tables: &std::sync::Arc<Tables>, query: sqlparser::ast::Query) -> Result<LogicalPlan> {
    let plan = tables.plan_query(query)?;
    optimize(analyze(plan, tables.functions())?)
}
