//! Types every expression of a plan by Flink's rules and inserts the casts that Flink makes by itself.
//!
//! One pass, from the leaves up, before any optimization:
//! - number literals take their SQL type (`1` is INT, not BIGINT);
//! - both sides of a comparison, of IN, BETWEEN and CASE get a common type; where Flink has none (`INT = 'text'`) the
//!   query is refused in its words;
//! - CAST becomes our cast, `IF` becomes CASE; branches of a set operation and keys of a join get equal types;
//! - DataFusion's own coercion runs last, for window frames and subqueries; it finds nothing else to do.
//!
//! Names of result columns never change: where an expression's own name would, it is kept as an alias.

mod common;
mod expression;
mod lazy;
mod relation;
#[cfg(test)]
mod tests;

use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DFSchema, Result};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{Expr, LogicalPlan};
use datafusion_optimizer::analyzer::AnalyzerRule;
use datafusion_optimizer::analyzer::type_coercion::TypeCoercion;

pub(crate) use common::common_type;
use expression::Coercer;
pub use lazy::lazy;

use crate::functions::Functions;

/// Types `plan`. Run it once, on the plan as DataFusion's SQL planner made it.
pub fn coerce(plan: LogicalPlan, functions: &Functions) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|node| coerce_node(node, functions))?.data;
    TypeCoercion::new().analyze(plan, &ConfigOptions::default())
}

/// Types one expression over columns of `schema`.
pub fn coerce_expr(expr: Expr, schema: &DFSchema, functions: &Functions) -> Result<Expr> {
    let coercer = Coercer { schema, functions };
    Ok(expr.transform_up(|e| coercer.coerce(e).map(Transformed::yes))?.data)
}

fn coerce_node(plan: LogicalPlan, functions: &Functions) -> Result<Transformed<LogicalPlan>> {
    let mut schema = merge_schema(&plan.inputs());
    match &plan {
        LogicalPlan::TableScan(scan) => {
            let source = DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?;
            schema.merge(&source);
        }
        LogicalPlan::Limit(_) => return Ok(Transformed::no(plan)),
        LogicalPlan::Values(_) => return relation::values(plan, functions).map(Transformed::yes),
        LogicalPlan::Unnest(_) => return plan.recompute_schema().map(Transformed::yes),
        _ => {}
    }
    let names = NamePreserver::new(&plan);
    let plan = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let typed = coerce_expr(expr, &schema, functions)?;
        Ok(Transformed::yes(name.restore(typed)))
    })?;
    let plan = match plan.data {
        LogicalPlan::Join(join) => relation::join(join, functions)?,
        LogicalPlan::Union(union) => relation::union(union, functions)?,
        other => other.recompute_schema()?,
    };
    Ok(Transformed::yes(plan))
}
