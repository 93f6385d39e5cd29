//! The analyzer and optimizer rules of DataFusion that are sound for streams, in order.
//!
//! Left out on purpose: everything that reorders or merges rows (sorting, limits into scans, distinct into group by),
//! and everything that rests on statistics.

use std::sync::Arc;

use datafusion_common::config::ConfigOptions;
use datafusion_expr::LogicalPlan;
use datafusion_optimizer::analyzer::AnalyzerRule;
use datafusion_optimizer::analyzer::resolve_grouping_function::ResolveGroupingFunction;
use datafusion_optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion_optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion_optimizer::eliminate_filter::EliminateFilter;
use datafusion_optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion_optimizer::optimize_projections::OptimizeProjections;
use datafusion_optimizer::push_down_filter::PushDownFilter;
use datafusion_optimizer::scalar_subquery_to_join::ScalarSubqueryToJoin;
use datafusion_optimizer::simplify_expressions::SimplifyExpressions;
use datafusion_optimizer::{Optimizer, OptimizerContext, OptimizerRule};

use crate::error::Result;
use crate::functions::Functions;

/// Types `plan` by Flink's rules. To be done exactly once: literals are narrowed here.
pub fn analyze(plan: LogicalPlan, functions: &Functions) -> Result<LogicalPlan> {
    let plan = super::set_operation::count_rows(plan, functions)?;
    let plan = ResolveGroupingFunction::new().analyze(plan, &ConfigOptions::default())?;
    Ok(crate::coercion::coerce(plan, functions)?)
}

/// Simplifies a typed plan.
pub fn optimize(plan: LogicalPlan) -> Result<LogicalPlan> {
    optimize_by(vec![], false, plan)
}

/// Simplifies a typed plan that DataFusion executes: besides, what it cannot execute is replaced, and limits move to
/// where rows come from.
#[cfg(feature = "batch")]
pub fn optimize_finite(plan: LogicalPlan) -> Result<LogicalPlan> {
    use datafusion_optimizer::push_down_limit::PushDownLimit;
    use datafusion_optimizer::replace_distinct_aggregate::ReplaceDistinctWithAggregate;
    let plan = plan.transform_up_with_subqueries(count_rows)?.data;
    let more: Vec<Arc<dyn OptimizerRule + Send + Sync>> =
        vec![Arc::new(ReplaceDistinctWithAggregate::new()), Arc::new(PushDownLimit::new())];
    optimize_by(more, true, plan)
}

/// `COUNT(*)` as `COUNT(1)`, under its name.
#[cfg(feature = "batch")]
fn count_rows(plan: LogicalPlan) -> datafusion_common::Result<datafusion_common::tree_node::Transformed<LogicalPlan>> {
    use datafusion_common::tree_node::{Transformed, TreeNode};
    use datafusion_expr::expr_rewriter::NamePreserver;
    if !matches!(plan, LogicalPlan::Aggregate(_) | LogicalPlan::Window(_)) {
        return Ok(Transformed::no(plan));
    }
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        Ok(expr.transform_up(|e| Ok(one_for_wildcard(e)))?.update_data(|e| name.restore(e)))
    })
}

#[cfg(feature = "batch")]
#[expect(deprecated, reason = "sqlparser's `COUNT(*)` arrives as this variant")]
fn one_for_wildcard(expr: datafusion_expr::Expr) -> datafusion_common::tree_node::Transformed<datafusion_expr::Expr> {
    use datafusion_common::tree_node::Transformed;
    match expr {
        datafusion_expr::Expr::Wildcard { .. } => Transformed::yes(datafusion_expr::lit(1_i64)),
        other => Transformed::no(other),
    }
}

/// Uncorrelated subqueries for one value become joins, or stay what they are (`keep_subqueries`), for who executes them and
/// sees when they have more rows.
fn optimize_by(
    more: Vec<Arc<dyn OptimizerRule + Send + Sync>>,
    keep_subqueries: bool,
    plan: LogicalPlan,
) -> Result<LogicalPlan> {
    let rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = vec![
        Arc::new(SimplifyExpressions::new()),
        Arc::new(DecorrelatePredicateSubquery::new()),
        Arc::new(ScalarSubqueryToJoin::new()),
        Arc::new(ExtractEquijoinPredicate::new()),
        Arc::new(EliminateFilter::new()),
        Arc::new(EliminateCrossJoin::new()),
        Arc::new(PushDownFilter::new()),
        Arc::new(OptimizeProjections::new()),
    ];
    let rules = rules.into_iter().chain(more).collect();
    let mut options = ConfigOptions::default();
    options.optimizer.skip_failed_rules = false;
    options.optimizer.enable_physical_uncorrelated_scalar_subquery = keep_subqueries;
    let context = OptimizerContext::new_with_config_options(Arc::new(options));
    Ok(Optimizer::with_rules(rules).optimize(plan, &context, |_, _| {})?)
}
