//! Flink's functions and operators over Arrow columns, and how SQL text becomes calls of them.
//!
//! ```text
//!   SQL expression ─rewrite_expr→ plain calls ─expr_planners→ DataFusion expressions ─coercion::coerce→ typed ones
//! ```
//! Each file is one family; a family is a list of [`call::Function`]s. What a value means (wrapping integers, DECIMAL
//! rules, casts, NULLs, zones) is decided here and in [`crate::coercion`] and nowhere else.

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

pub use aggregates::{aggregate_function, aggregate_functions};
pub(crate) use rewrite::call;
pub use rewrite::rewrite_expr;

/// What functions need to know of the session's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionTime {
    /// `table.local-time-zone`.
    pub zone: Tz,
}

impl Default for SessionTime {
    fn default() -> Self {
        SessionTime { zone: Tz::UTC }
    }
}

/// All functions of a session, ready for DataFusion's planner.
#[derive(Clone)]
pub struct Functions {
    /// The session's time, as given.
    pub time: SessionTime,
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
        f.debug_struct("Functions").field("time", &self.time).finish_non_exhaustive()
    }
}

impl Functions {
    /// The functions as they behave in the zone of `time`.
    pub fn new(time: SessionTime) -> Self {
        let scalar = scalar_functions(&time);
        let expr_planners: Vec<Arc<dyn ExprPlanner>> =
            vec![Arc::new(planner::FlinkExpressions { functions: scalar.clone() })];
        let type_planner = Arc::new(types::FlinkTypes);
        Functions { time, scalar, aggregate: aggregate_functions(), expr_planners, type_planner }
    }
}

impl Default for Functions {
    fn default() -> Self {
        Functions::new(SessionTime::default())
    }
}

/// All scalar functions by lower-case name.
pub fn scalar_functions(time: &SessionTime) -> HashMap<String, Arc<ScalarUDF>> {
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
    let udfs = families.into_iter().flatten().map(|function| Arc::new(function.into_udf(time.zone)));
    udfs.map(|udf| (udf.name().to_string(), udf)).collect()
}
