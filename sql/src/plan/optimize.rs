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
    let mut options = ConfigOptions::default();
    options.optimizer.skip_failed_rules = false;
    options.optimizer.enable_physical_uncorrelated_scalar_subquery = false;
    let context = OptimizerContext::new_with_config_options(Arc::new(options));
    Ok(Optimizer::with_rules(rules).optimize(plan, &context, |_, _| {})?)
}
