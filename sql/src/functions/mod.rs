//! Flink's functions and operators over Arrow columns, and how SQL text becomes calls of them.
//!
//! ```text
//!   SQL expression ─rewrite_expr→ plain calls ─expr_planners→ DataFusion expressions ─coercion::coerce→ typed ones
//! ```
//! Each file is one family; a family is a list of [`call::Function`]s. What a value means (wrapping integers, DECIMAL
//! rules, casts, NULLs, zones) is decided here and in [`crate::coercion`] and nowhere else.

mod accumulate;
mod aggregates;
mod arithmetic;
mod array;
mod call;
pub(crate) mod cast;
mod collection;
mod conditional;
mod copies;
mod datetime;
mod datetime_unit;
pub(crate) mod decimal;
mod encoding;
mod environment;
mod interval;
mod java_time;
mod json;
pub(crate) mod json_build;
mod json_document;
mod json_path;
mod math;
pub(crate) mod names;
mod pattern;
mod planner;
mod returns;
mod rewrite;
mod rounding;
mod string;
mod string_list;
mod temporal;
mod types;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use chrono_tz::Tz;
use datafusion_expr::planner::{ExprPlanner, TypePlanner};
use datafusion_expr::{AggregateUDF, ScalarUDF};

pub use aggregates::{aggregate_function, aggregate_functions, function_name};
pub use environment::{Environment, Random};
pub(crate) use rewrite::call;
pub use rewrite::rewrite_expr;

/// Names of all functions in order.
pub(crate) fn function_names() -> Vec<String> {
    let scalar = scalar_functions(&Environment::of_machine(Tz::UTC));
    let all = scalar.into_keys().chain(aggregate_functions().into_keys());
    let mut names: Vec<String> = all.filter(|name| !name.starts_with('_')).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// All functions of a session, ready for DataFusion's planner.
#[derive(Clone)]
pub struct Functions {
    /// What they know besides their arguments.
    pub environment: Environment,
    /// Scalar functions by lower-case name.
    pub scalar: HashMap<String, Arc<ScalarUDF>>,
    /// Aggregate functions by lower-case name.
    pub aggregate: HashMap<String, Arc<AggregateUDF>>,
    /// Operators and special forms.
    pub expr_planners: Vec<Arc<dyn ExprPlanner>>,
    /// Targets of CAST.
    pub type_planner: Arc<dyn TypePlanner>,
}

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Functions").field("environment", &self.environment).finish_non_exhaustive()
    }
}

impl Functions {
    /// The functions as they behave in `environment`.
    pub fn new(environment: Environment) -> Self {
        let scalar = scalar_functions(&environment);
        let expr_planners: Vec<Arc<dyn ExprPlanner>> =
            vec![Arc::new(planner::FlinkExpressions { functions: scalar.clone() })];
        let type_planner = Arc::new(types::FlinkTypes);
        Functions { environment, scalar, aggregate: aggregate_functions(), expr_planners, type_planner }
    }
}

impl Default for Functions {
    fn default() -> Self {
        Functions::new(Environment::of_machine(Tz::UTC))
    }
}

/// All scalar functions by lower-case name.
pub fn scalar_functions(environment: &Environment) -> HashMap<String, Arc<ScalarUDF>> {
    let families = [
        arithmetic::functions(),
        array::functions(),
        collection::functions(),
        conditional::functions(),
        copies::functions(),
        datetime::functions(),
        datetime_unit::functions(),
        encoding::functions(),
        json::functions(),
        json_build::functions(),
        math::functions(),
        pattern::functions(),
        rounding::functions(),
        string::functions(),
        string_list::functions(),
    ];
    let udfs = families.into_iter().flatten().map(|function| Arc::new(function.into_udf(environment.clone())));
    udfs.map(|udf| (udf.name().to_string(), udf)).collect()
}
