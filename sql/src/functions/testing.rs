//! Runs expressions from text to values, without the rest of the planner.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema};
use chrono_tz::Tz;
use datafusion_common::config::ConfigOptions;
use datafusion_common::{DFSchema, DataFusionError, Result, TableReference, plan_err};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::planner::{ContextProvider, ExprPlanner, TypePlanner};
use datafusion_expr::{AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF};
use datafusion_optimizer::simplify_expressions::SimplifyExpressions;
use datafusion_optimizer::{Optimizer, OptimizerContext};
use datafusion_physical_expr::create_physical_expr;
use datafusion_sql::planner::{ParserOptions, SqlToRel};
use sqlparser::ast::{Statement, VisitMut, VisitorMut};

use super::cast::{CastMode, cast};
use super::names::type_name;
use super::{Environment, Functions, rewrite_expr};
use crate::coercion::{coerce, lazy};

/// The table `t` over one batch.
struct Tables {
    functions: Functions,
    schema: Arc<Schema>,
    options: ConfigOptions,
}

impl ContextProvider for Tables {
    fn get_table_source(&self, _name: TableReference) -> Result<Arc<dyn TableSource>> {
        Ok(Arc::new(datafusion_expr::logical_plan::builder::LogicalTableSource::new(self.schema.clone())))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.functions.expr_planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::clone(&self.functions.type_planner))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.functions.scalar.get(&name.to_lowercase()).cloned()
    }

    fn get_higher_order_meta(&self, _: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.functions.aggregate.get(&name.to_lowercase()).cloned()
    }

    fn get_window_meta(&self, _: &str) -> Option<Arc<WindowUDF>> {
        None
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        vec![]
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        vec![]
    }

    fn udaf_names(&self) -> Vec<String> {
        vec![]
    }

    fn udwf_names(&self) -> Vec<String> {
        vec![]
    }
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = DataFusionError;

    fn post_visit_expr(&mut self, expr: &mut sqlparser::ast::Expr) -> ControlFlow<Self::Break> {
        match rewrite_expr(expr) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// The typed and simplified plan of a query over `t`.
pub fn plan(sql: &str, schema: &Arc<Schema>, zone: Tz) -> Result<LogicalPlan> {
    let mut query = crate::parse::parse_query(sql).map_err(|e| DataFusionError::External(Box::new(e)))?;
    if let ControlFlow::Break(error) = query.visit(&mut Rewriter) {
        return Err(error);
    }
    let functions = Functions::new(Environment::of_machine(zone));
    let context = Tables { functions: functions.clone(), schema: schema.clone(), options: ConfigOptions::default() };
    let options = ParserOptions::new()
        .with_parse_float_as_decimal(true)
        .with_enable_ident_normalization(false)
        .with_map_string_types_to_utf8view(false);
    let planner = SqlToRel::new_with_options(&context, options);
    let plan = planner.sql_statement_to_plan(Statement::Query(query))?;
    let plan = coerce(plan, &functions)?;
    let optimizer = Optimizer::with_rules(vec![Arc::new(SimplifyExpressions::new())]);
    optimizer.optimize(plan, &OptimizerContext::new().with_skip_failing_rules(false), |_, _| {})
}

/// The result of a query of projections and filters over `batch` as the table `t`.
pub fn run(sql: &str, batch: &RecordBatch, zone: Tz) -> Result<RecordBatch> {
    evaluate(&plan(sql, &batch.schema(), zone)?, batch)
}

fn evaluate(plan: &LogicalPlan, batch: &RecordBatch) -> Result<RecordBatch> {
    match plan {
        LogicalPlan::TableScan(_) => Ok(batch.clone()),
        LogicalPlan::EmptyRelation(_) => {
            let options = RecordBatchOptions::new().with_row_count(Some(1));
            Ok(RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options)?)
        }
        LogicalPlan::SubqueryAlias(alias) => evaluate(&alias.input, batch),
        LogicalPlan::Filter(filter) => {
            let input = evaluate(&filter.input, batch)?;
            let keep = column(&filter.predicate, filter.input.schema(), &input)?;
            Ok(arrow::compute::filter_record_batch(&input, keep.as_boolean())?)
        }
        LogicalPlan::Projection(projection) => {
            let input = evaluate(&projection.input, batch)?;
            let columns = projection.expr.iter().map(|e| column(e, projection.input.schema(), &input));
            let columns = columns.collect::<Result<Vec<_>>>()?;
            let names = projection.schema.fields().iter().map(|f| f.name().clone());
            let fields: Vec<Field> =
                names.zip(&columns).map(|(n, c)| Field::new(n, c.data_type().clone(), true)).collect();
            for (field, planned) in fields.iter().zip(projection.schema.fields()) {
                assert_eq!(field.data_type(), planned.data_type(), "planned and real type of {}", field.name());
            }
            let options = RecordBatchOptions::new().with_row_count(Some(input.num_rows()));
            Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
        }
        other => plan_err!("the harness cannot run {}", other.display()),
    }
}

fn column(expr: &Expr, schema: &DFSchema, batch: &RecordBatch) -> Result<ArrayRef> {
    let physical = create_physical_expr(
        &lazy(expr.clone())?,
        schema,
        &ExecutionProps::new(),
        &PhysicalPlanningContext::default(),
    )?;
    physical.evaluate(batch)?.into_array(batch.num_rows())
}

/// The value of an expression over literals as text, with its type: `3 INTEGER`.
pub fn value_in(expr: &str, zone: Tz) -> Result<(String, DataType)> {
    let schema = Arc::new(Schema::new(vec![Field::new("one", DataType::Int32, false)]));
    let batch = RecordBatch::try_new(schema, vec![Arc::new(Int32Array::from(vec![1]))])?;
    let result = run(&format!("SELECT {expr} AS v FROM t"), &batch, zone)?;
    let array = result.column(0);
    let text = cast(array, &DataType::Utf8, CastMode { safe: false, zone })?;
    let text = text.as_string::<i32>();
    let value = if text.is_null(0) { "NULL".to_string() } else { text.value(0).to_string() };
    Ok((value, array.data_type().clone()))
}

/// Asserts the text of the value of `expr`, in a session in UTC.
#[track_caller]
pub fn check(expr: &str, expected: &str) {
    match value_in(expr, Tz::UTC) {
        Ok((value, _)) => assert_eq!(value, expected, "{expr}"),
        Err(error) => panic!("{expr}: {error}"),
    }
}

/// Asserts value and type.
#[track_caller]
pub fn check_typed(expr: &str, expected: &str, data_type: &str) {
    match value_in(expr, Tz::UTC) {
        Ok((value, found)) => assert_eq!((value.as_str(), type_name(&found).as_str()), (expected, data_type), "{expr}"),
        Err(error) => panic!("{expr}: {error}"),
    }
}

/// Asserts that `expr` fails with a message that contains `phrase`.
#[track_caller]
pub fn check_error(expr: &str, phrase: &str) {
    match value_in(expr, Tz::UTC) {
        Ok((value, _)) => panic!("{expr} gave {value}, not an error"),
        Err(error) => assert!(error.to_string().contains(phrase), "{expr}: {error}"),
    }
}
