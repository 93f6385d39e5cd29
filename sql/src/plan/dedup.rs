//! `ROW_NUMBER() OVER (PARTITION BY key ORDER BY time) = 1`: the shape in which SQL asks for one row per key.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{Result as DataFusionResult, ScalarValue, not_impl_err};
use datafusion_expr::expr::WindowFunction;
use datafusion_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion_expr::logical_plan::{Filter, Projection, Window};
use datafusion_expr::{
    Expr, LogicalPlan, Operator, PartitionEvaluator, Signature, Volatility, WindowFunctionDefinition, WindowUDF,
    WindowUDFImpl,
};

use super::attributes::{self, TimeAttribute};
use super::lower::{as_column, bind, bind_all, lower, output_schema};
use super::stream_plan::{Expression, StreamPlan};
use crate::error::Result;

/// `ROW_NUMBER`, which only ever stands in this shape; it is never evaluated.
#[derive(Debug, PartialEq, Eq, Hash)]
struct RowNumber(Signature);

impl WindowUDFImpl for RowNumber {
    fn name(&self) -> &str {
        "row_number"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn partition_evaluator(&self, _args: PartitionEvaluatorArgs) -> DataFusionResult<Box<dyn PartitionEvaluator>> {
        not_impl_err!("ROW_NUMBER is planned, not evaluated")
    }

    fn field(&self, args: WindowUDFFieldArgs) -> DataFusionResult<FieldRef> {
        Ok(Arc::new(Field::new(args.name(), DataType::Int64, false)))
    }
}

/// The window function `ROW_NUMBER`.
pub fn row_number() -> Arc<WindowUDF> {
    Arc::new(WindowUDF::from(RowNumber(Signature::nullary(Volatility::Immutable))))
}

/// The pieces of the shape.
struct Shape<'a> {
    window: &'a Window,
    function: &'a WindowFunction,
    /// Projection between the filter and the window, if there is one.
    projection: Option<&'a Projection>,
}

/// The deduplication that `filter` is, or None when it has another shape.
pub fn lower_deduplicate(filter: &Filter) -> Result<Option<StreamPlan>> {
    let Some(shape) = shape(filter) else { return Ok(None) };
    let own = shape.window.input.schema();
    let params = &shape.function.params;
    let [order] = params.order_by.as_slice() else { return Ok(None) };
    let Expr::Column(time) = &order.expr else { return Ok(None) };
    let time_index = own.index_of_column(time)?;
    let Some(kind) = attributes::time_attribute(own.field(time_index)) else { return Ok(None) };
    let order_by = (kind == TimeAttribute::Rowtime).then_some(time_index);
    if order.asc && order_by.is_some() {
        return Ok(None);
    }
    let keys = bind_all(&params.partition_by, own)?;
    let Some(keys) = keys.iter().map(as_column).collect::<Option<Vec<usize>>>() else { return Ok(None) };
    let input = Box::new(lower(&shape.window.input)?);
    let kept = StreamPlan::Deduplicate { input, keys, order: order_by, keep_last: !order.asc };
    // The row number is 1 in every row that stays.
    let one: Expression = Arc::new(datafusion_physical_expr::expressions::Literal::new(ScalarValue::Int64(Some(1))));
    let width = own.fields().len();
    let schema = output_schema(&LogicalPlan::Filter(filter.clone()));
    let below = kept.schema();
    let replace = |i: usize| Some(if i == width { Arc::clone(&one) } else { super::lower::column(&below, i) });
    let expressions = match shape.projection {
        Some(projection) => projection
            .expr
            .iter()
            .map(|e| super::lower::map_columns(&bind(e, shape.window.schema.as_ref())?, &replace))
            .collect::<Result<Vec<_>>>()?,
        None => (0..=width).filter_map(replace).collect(),
    };
    Ok(Some(StreamPlan::Project { input: Box::new(kept), expressions, schema }))
}

/// Recognizes `Filter(row number = 1, [Projection,] Window(ROW_NUMBER))`.
fn shape(filter: &Filter) -> Option<Shape<'_>> {
    let (mut plan, mut projection) = (strip_alias(&filter.input), None);
    if let LogicalPlan::Projection(p) = plan {
        projection = Some(p);
        plan = strip_alias(&p.input);
    }
    let LogicalPlan::Window(window) = plan else { return None };
    let [expr] = window.window_expr.as_slice() else { return None };
    let Expr::WindowFunction(function) = unalias(expr) else { return None };
    let WindowFunctionDefinition::WindowUDF(udf) = &function.fun else { return None };
    if udf.name() != "row_number" {
        return None;
    }
    let number = window.schema.fields().len() - 1;
    let position = match projection {
        Some(p) => p.expr.iter().position(
            |e| matches!(unalias(e), Expr::Column(c) if window.schema.index_of_column(c).ok() == Some(number)),
        )?,
        None => number,
    };
    is_first(&filter.predicate, &filter.input, position).then_some(Shape { window, function, projection })
}

fn strip_alias(plan: &LogicalPlan) -> &LogicalPlan {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => strip_alias(&alias.input),
        other => other,
    }
}

fn unalias(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unalias(&alias.expr),
        other => other,
    }
}

/// True for `number = 1` and `number <= 1`.
fn is_first(predicate: &Expr, input: &LogicalPlan, position: usize) -> bool {
    let Expr::BinaryExpr(binary) = predicate else { return false };
    let number = |e: &Expr| matches!(e, Expr::Column(c) if input.schema().index_of_column(c).ok() == Some(position));
    let one = |e: &Expr| {
        let Expr::Literal(value, _) = e else { return false };
        value.cast_to(&DataType::Int64).is_ok_and(|v| v == ScalarValue::Int64(Some(1)))
    };
    let operator = matches!(binary.op, Operator::Eq | Operator::LtEq);
    operator && number(&binary.left) && one(&binary.right)
        || binary.op == Operator::Eq && one(&binary.left) && number(&binary.right)
}
