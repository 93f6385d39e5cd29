//! `EXCEPT ALL` and `INTERSECT ALL`: DataFusion plans them as joins, which forget how often a row is there. Here each
//! distinct row is counted on both sides and repeated as often as the operation says:
//! ```text
//!   Unnest(copies(n, m)) ← Aggregate(sum(l) n, sum(r) m by all columns) ← Union(left: l=1 r=0; right: l=0 r=1)
//! ```

use datafusion_common::tree_node::Transformed;
use datafusion_common::{Column, JoinType, NullEquality, Result, TableReference, plan_err};
use datafusion_expr::expr::{AggregateFunction, ScalarFunction};
use datafusion_expr::{Distinct, Expr, Join, LogicalPlan, LogicalPlanBuilder, lit};

use super::nodes::Unnest;
use crate::functions::Functions;

/// Replaces the joins of such operations in `plan`, as SqlToRel made it: no join that a query writes out treats NULLs as
/// equal at that point.
pub(super) fn count_rows(plan: LogicalPlan, functions: &Functions) -> Result<LogicalPlan> {
    let replaced = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Join(join) if is_bag_operation(&join) => bag_operation(&join, functions).map(Transformed::yes),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(replaced.data)
}

fn is_bag_operation(join: &Join) -> bool {
    join.null_equality == NullEquality::NullEqualsNull
        && matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
        && join.filter.is_none()
        && join.on.len() == join.left.schema().fields().len()
        && !matches!(join.left.as_ref(), LogicalPlan::Distinct(Distinct::All(_)))
}

fn bag_operation(join: &Join, functions: &Functions) -> Result<LogicalPlan> {
    let function = match join.join_type {
        JoinType::LeftAnti => "copies_except",
        _ => "copies_intersect",
    };
    let (Some(copies), Some(sum)) = (functions.scalar.get(function), functions.aggregate.get("sum")) else {
        return plan_err!("the functions of set operations are missing");
    };
    let width = join.left.schema().fields().len();
    let counted = |plan: &LogicalPlan, left: i64, right: i64| {
        let columns = plan.schema().columns().into_iter().enumerate();
        let mut columns: Vec<Expr> = columns.map(|(i, c)| Expr::Column(c).alias(format!("$column{i}"))).collect();
        columns.extend([lit(left).alias("$left"), lit(right).alias("$right")]);
        LogicalPlanBuilder::from(plan.clone()).project(columns)?.build()
    };
    let both = LogicalPlanBuilder::from(counted(&join.left, 1, 0)?).union(counted(&join.right, 0, 1)?)?;
    let total = |name: &str| {
        let argument = Expr::Column(Column::from_name(name));
        Expr::AggregateFunction(AggregateFunction::new_udf(sum.clone(), vec![argument], false, None, vec![], None))
            .alias(format!("{name}_total"))
    };
    let keys: Vec<Expr> = (0..width).map(|i| Expr::Column(Column::from_name(format!("$column{i}")))).collect();
    let totals = both.aggregate(keys, vec![total("$left"), total("$right")])?.build()?;
    let arguments = ["$left_total", "$right_total"].map(|name| Expr::Column(Column::from_name(name)));
    let collection = Expr::ScalarFunction(ScalarFunction::new_udf(copies.clone(), arguments.to_vec()));
    let copies = TableReference::bare("$copies");
    let unnest = Unnest::try_new(totals, collection, false, false, Some(copies), &["copy".to_string()])?;
    let names = join.left.schema().iter().enumerate().map(|(i, (qualifier, field))| {
        Expr::Column(Column::from_name(format!("$column{i}"))).alias_qualified(qualifier.cloned(), field.name())
    });
    LogicalPlanBuilder::from(unnest.into_plan()).project(names.collect::<Vec<_>>())?.build()
}
