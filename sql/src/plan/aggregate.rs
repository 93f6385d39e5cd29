//! Lowering of aggregations: running groups, grouping sets, and groups per window.
//!
//! An aggregation whose group keys contain `window_start` and `window_end` of a window table function becomes one
//! operator that assigns windows itself: the window function under it is taken out of the plan, through the filters
//! and projections in between. Where that cannot be done, rows keep their window columns and are grouped by those.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::{DFSchema, ExprSchema, ScalarValue};
use datafusion_expr::expr::AggregateFunctionParams;
use datafusion_expr::logical_plan::Aggregate;
use datafusion_expr::{Expr, GroupingSet};
use datafusion_physical_expr::expressions::Literal;
use eddyline_engine::aggregate::AggregateCall;

use super::attributes::{self, WindowColumn};
use super::lower::{as_column, bind, bind_all, column, engine_function, lower, map_columns, output_schema, with_keys};
use super::stream_plan::{Expression, GroupAggregate, StreamPlan, WindowAggregate, WindowTime};
use crate::error::{Result, SqlError};
use eddyline_engine::window::WindowKind;

/// Lowers one aggregation.
pub fn lower_aggregate(aggregate: &Aggregate) -> Result<StreamPlan> {
    let schema = output_schema(&datafusion_expr::LogicalPlan::Aggregate(aggregate.clone()));
    if let [Expr::GroupingSet(sets)] = aggregate.group_expr.as_slice() {
        return lower_grouping_sets(aggregate, sets, schema);
    }
    let own = aggregate.input.schema();
    let windows: Vec<Option<WindowColumn>> = aggregate.group_expr.iter().map(|e| window_column(e, own)).collect();
    let position = |wanted| windows.iter().position(|found| *found == Some(wanted));
    let window_end = position(WindowColumn::Start).and(position(WindowColumn::End));
    if window_end.is_some()
        && let Some(bare) = without_window(lower(&aggregate.input)?)
    {
        return lower_window(aggregate, bare, &windows, schema);
    }
    let keys = bind_all(&aggregate.group_expr, own)?;
    let results = schema.fields().iter().skip(keys.len()).cloned();
    let calls = bind_calls(&aggregate.aggr_expr, own, results)?;
    let (input, keys) = with_keys(lower(&aggregate.input)?, &keys)?;
    Ok(StreamPlan::GroupAggregate(GroupAggregate { input: Box::new(input), keys, calls, window_end, schema }))
}

fn window_column(expr: &Expr, schema: &DFSchema) -> Option<WindowColumn> {
    let Expr::Column(column) = expr else { return None };
    attributes::window_column(schema.field_from_column(column).ok()?)
}

fn bind_calls(
    exprs: &[Expr],
    schema: &DFSchema,
    fields: impl Iterator<Item = arrow::datatypes::FieldRef>,
) -> Result<Vec<AggregateCall>> {
    exprs.iter().zip(fields).map(|(expr, field)| bind_call(expr, schema, field)).collect()
}

fn bind_call(expr: &Expr, schema: &DFSchema, field: arrow::datatypes::FieldRef) -> Result<AggregateCall> {
    match expr {
        Expr::Alias(alias) => bind_call(&alias.expr, schema, field),
        Expr::AggregateFunction(call) => {
            let AggregateFunctionParams { args, distinct, filter, .. } = &call.params;
            let function = engine_function(call.func.name())?;
            let counts_rows =
                function == eddyline_engine::aggregate::AggregateFunction::Count && args.iter().all(counts_every_row);
            let args = if counts_rows && !distinct { Vec::new() } else { bind_all(args, schema)? };
            let filter = filter.as_ref().map(|f| bind(f, schema)).transpose()?;
            Ok(AggregateCall { function, args, filter, distinct: *distinct, retractable: false, field })
        }
        other => Err(SqlError::internal(format!("'{other}' is not an aggregate"))),
    }
}

/// True for `*` and for constants, which COUNT counts in every row.
#[expect(deprecated, reason = "sqlparser's `COUNT(*)` arrives as this variant")]
fn counts_every_row(argument: &Expr) -> bool {
    matches!(argument, Expr::Wildcard { .. }) || matches!(argument, Expr::Literal(value, _) if !value.is_null())
}

/// All subsets that a grouping set clause stands for.
fn enumerate(sets: &GroupingSet) -> Vec<Vec<Expr>> {
    match sets {
        GroupingSet::GroupingSets(sets) => sets.clone(),
        GroupingSet::Rollup(exprs) => (0..=exprs.len()).rev().map(|n| exprs[..n].to_vec()).collect(),
        GroupingSet::Cube(exprs) => (0..1_usize << exprs.len())
            .rev()
            .map(|mask| {
                let chosen = |(i, e): (usize, &Expr)| (mask >> (exprs.len() - 1 - i) & 1 == 1).then(|| e.clone());
                exprs.iter().enumerate().filter_map(chosen).collect()
            })
            .collect(),
    }
}

/// Grouping sets: each row once per set, with the keys that are not in the set NULL and a number of the set as one
/// more key (bit i from the right is set when the i-th key from the right is not in the set; duplicates counted above).
fn lower_grouping_sets(aggregate: &Aggregate, sets: &GroupingSet, schema: SchemaRef) -> Result<StreamPlan> {
    let own = aggregate.input.schema();
    let distinct: Vec<Expr> = sets.distinct_expr().into_iter().cloned().collect();
    let keys = bind_all(&distinct, own)?;
    let input = lower(&aggregate.input)?;
    let (input, key_columns) = with_keys(input, &keys)?;
    let base = input.schema();
    let width = base.fields().len();
    let id_field = schema.field(distinct.len()).clone();
    let mut fields: Vec<Field> = base.fields().iter().map(|f| f.as_ref().clone()).collect();
    fields.extend((0..distinct.len()).map(|i| schema.field(i).clone().with_nullable(true)));
    fields.push(id_field.clone());
    let mut seen: Vec<u64> = Vec::new();
    let mut projections = Vec::new();
    for set in enumerate(sets) {
        let absent: Vec<bool> = distinct.iter().map(|key| !set.contains(key)).collect();
        let mask = absent.iter().fold(0_u64, |mask, absent| mask << 1 | u64::from(*absent));
        let ordinal = seen.iter().filter(|m| **m == mask).count() as u64;
        seen.push(mask);
        let mut projection: Vec<Expression> = (0..width).map(|i| column(&base, i)).collect();
        for (key, absent) in key_columns.iter().zip(&absent) {
            let value = if *absent {
                Arc::new(Literal::new(ScalarValue::try_from(base.field(*key).data_type())?)) as Expression
            } else {
                column(&base, *key)
            };
            projection.push(value);
        }
        let id = mask | ordinal << distinct.len();
        let id = ScalarValue::UInt64(Some(id)).cast_to(id_field.data_type())?;
        projection.push(Arc::new(Literal::new(id)));
        projections.push(projection);
    }
    let expanded: SchemaRef = Arc::new(Schema::new(fields));
    let results = schema.fields().iter().skip(distinct.len() + 1).cloned();
    let calls = bind_calls(&aggregate.aggr_expr, own, results)?;
    let input = StreamPlan::Expand { input: Box::new(input), projections, schema: expanded };
    let keys = (width..=width + distinct.len()).collect();
    let window_end = window_end_of_sets(sets, &distinct, own);
    Ok(StreamPlan::GroupAggregate(GroupAggregate { input: Box::new(input), keys, calls, window_end, schema }))
}

/// The key that is the end of a window, when window start and end are in every one of the sets.
fn window_end_of_sets(sets: &GroupingSet, keys: &[Expr], schema: &DFSchema) -> Option<usize> {
    let position = |wanted| keys.iter().position(|key| window_column(key, schema) == Some(wanted));
    let (start, end) = (position(WindowColumn::Start)?, position(WindowColumn::End)?);
    let everywhere = enumerate(sets).iter().all(|set| set.contains(&keys[start]) && set.contains(&keys[end]));
    everywhere.then_some(end)
}

/// What remains of a plan when its window function is taken out.
struct Unwindowed {
    plan: StreamPlan,
    /// Where each column of the original plan is now; None for window columns.
    columns: Vec<Option<usize>>,
    time: WindowTime,
    kind: WindowKind,
    offset: i64,
}

/// Takes the window function out from under filters and projections; None when something in between uses a window
/// column, or when there is no window function there.
fn without_window(plan: StreamPlan) -> Option<Unwindowed> {
    match plan {
        StreamPlan::WindowAssign { input, time, kind, offset, schema } => {
            let width = input.schema().fields().len();
            let columns = (0..schema.fields().len()).map(|i| (i < width).then_some(i)).collect();
            Some(Unwindowed { plan: *input, columns, time, kind, offset })
        }
        StreamPlan::Filter { input, predicate } => {
            let inner = without_window(*input)?;
            let schema = inner.plan.schema();
            let predicate = map_columns(&predicate, &|i| Some(column(&schema, (*inner.columns.get(i)?)?))).ok()?;
            Some(Unwindowed { plan: StreamPlan::Filter { input: Box::new(inner.plan), predicate }, ..inner })
        }
        StreamPlan::Project { input, expressions, schema } => {
            let inner = without_window(*input)?;
            let below = inner.plan.schema();
            let mut kept = Vec::new();
            let mut fields = Vec::new();
            let mut columns = Vec::new();
            for (expression, field) in expressions.iter().zip(schema.fields()) {
                if as_column(expression).is_some_and(|i| inner.columns[i].is_none()) {
                    columns.push(None);
                    continue;
                }
                columns.push(Some(kept.len()));
                kept.push(map_columns(expression, &|i| Some(column(&below, (*inner.columns.get(i)?)?))).ok()?);
                fields.push(field.clone());
            }
            let time = match inner.time {
                WindowTime::Event(index) => {
                    kept.push(column(&below, index));
                    fields.push(below.fields()[index].clone());
                    WindowTime::Event(kept.len() - 1)
                }
                WindowTime::Processing => WindowTime::Processing,
            };
            let schema = Arc::new(Schema::new(fields));
            let plan = StreamPlan::Project { input: Box::new(inner.plan), expressions: kept, schema };
            Some(Unwindowed { plan, columns, time, kind: inner.kind, offset: inner.offset })
        }
        _ => None,
    }
}

fn lower_window(
    aggregate: &Aggregate,
    bare: Unwindowed,
    windows: &[Option<WindowColumn>],
    schema: SchemaRef,
) -> Result<StreamPlan> {
    let own = aggregate.input.schema();
    let below = bare.plan.schema();
    let remap = |e: &Expression| map_columns(e, &|i| Some(column(&below, (*bare.columns.get(i)?)?)));
    let ordinary: Vec<&Expr> =
        aggregate.group_expr.iter().zip(windows).filter(|(_, w)| w.is_none()).map(|(e, _)| e).collect();
    let keys = ordinary.iter().map(|e| remap(&bind(e, own)?)).collect::<Result<Vec<_>>>()?;
    let results = schema.fields().iter().skip(windows.len()).cloned();
    let mut calls = bind_calls(&aggregate.aggr_expr, own, results)?;
    for call in &mut calls {
        call.args = call.args.iter().map(&remap).collect::<Result<_>>()?;
        call.filter = call.filter.as_ref().map(&remap).transpose()?;
    }
    let (input, keys) = with_keys(bare.plan, &keys)?;
    let input_schema = input.schema();
    let mut fields: Vec<Field> = keys.iter().map(|k| input_schema.field(*k).clone()).collect();
    fields.extend(calls.iter().map(|c| c.field.as_ref().clone()));
    let bound = DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, None);
    fields.push(Field::new("window_start", bound.clone(), false));
    fields.push(Field::new("window_end", bound.clone(), false));
    let time_type = match bare.time {
        WindowTime::Event(index) => input_schema.field(index).data_type().clone(),
        WindowTime::Processing => DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, Some("UTC".into())),
    };
    fields.push(Field::new("window_time", time_type, false));
    let inner_schema: SchemaRef = Arc::new(Schema::new(fields));
    // The query's order: keys as written (window columns among them), then results.
    let first_window = keys.len() + calls.len();
    let mut next_key = 0..keys.len();
    let mut order: Vec<usize> = Vec::with_capacity(schema.fields().len());
    for window in windows {
        order.push(match window {
            Some(WindowColumn::Start) => first_window,
            Some(WindowColumn::End) => first_window + 1,
            Some(WindowColumn::Time) => first_window + 2,
            None => next_key.next().ok_or_else(|| SqlError::internal("more keys than group expressions"))?,
        });
    }
    order.extend(keys.len()..first_window);
    let expressions = order.iter().map(|i| column(&inner_schema, *i)).collect();
    let window = StreamPlan::WindowAggregate(WindowAggregate {
        input: Box::new(input),
        keys,
        calls,
        time: bare.time,
        kind: bare.kind,
        offset: bare.offset,
        schema: inner_schema,
    });
    Ok(StreamPlan::Project { input: Box::new(window), expressions, schema })
}
