//! DataFusion's logical plan → streaming plan, in one pass: expressions are bound to column numbers, and every shape that
//! has a streaming operator becomes that operator. What has none is refused with Flink's phrase where Flink has one.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion_common::{DFSchema, JoinType, NullEquality, ScalarValue};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::logical_plan::{Distinct, Join as LogicalJoin, TableScan, Values};
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::{Expr, Extension, LogicalPlan};
use datafusion_physical_expr::create_physical_expr;
use datafusion_physical_expr::expressions::{Column, Literal};
use eddyline_engine::aggregate::AggregateFunction;

use super::aggregate::lower_aggregate;
use super::attributes;
use super::changelog_table::{ChangelogTable, Operation};
use super::dedup::lower_deduplicate;
use super::nodes::{Unnest, WatermarkAssign, WindowAssign};
use super::normalize::Normalize;
use super::source::TableRelation;
use super::stream_plan::{Expression, GroupAggregate, Join, JoinKind, Scan, StreamPlan, Watermark, WindowTime};
use super::watermark_column::with_watermark;
use crate::error::{Result, SqlError};

/// Lowers a planned, coerced and optimized query.
pub fn lower(plan: &LogicalPlan) -> Result<StreamPlan> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => Ok(relabel(lower(&alias.input)?, &output_schema(plan))),
        LogicalPlan::Projection(projection) => {
            let input = lower(&projection.input)?;
            let expressions = bind_all(&projection.expr, projection.input.schema())?;
            let (input, expressions) = with_watermark(input, expressions)?;
            Ok(StreamPlan::Project { input: Box::new(input), expressions, schema: output_schema(plan) })
        }
        LogicalPlan::Filter(filter) => {
            if let Some(deduplicate) = lower_deduplicate(filter)? {
                return Ok(deduplicate);
            }
            lower_filter(lower(&filter.input)?, bind(&filter.predicate, filter.input.schema())?)
        }
        LogicalPlan::Aggregate(aggregate) => lower_aggregate(aggregate),
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let input = lower(input)?;
            let keys = (0..input.schema().fields().len()).collect();
            let schema = input.schema();
            Ok(StreamPlan::GroupAggregate(GroupAggregate {
                input: Box::new(input),
                keys,
                calls: Vec::new(),
                window_end: None,
                schema,
            }))
        }
        LogicalPlan::TableScan(scan) => lower_scan(scan),
        LogicalPlan::Extension(extension) => lower_extension(extension),
        LogicalPlan::Union(union) => {
            let schema = output_schema(plan);
            let inputs = union.inputs.iter().map(|i| Ok(relabel(lower(i)?, &schema))).collect::<Result<_>>()?;
            Ok(StreamPlan::Union { inputs, schema })
        }
        LogicalPlan::Values(values) => lower_values(values),
        LogicalPlan::EmptyRelation(empty) => {
            let rows = usize::from(empty.produce_one_row);
            let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
            let schema = output_schema(plan);
            let columns = schema.fields().iter().map(|f| arrow::array::new_null_array(f.data_type(), rows)).collect();
            let rows = RecordBatch::try_new_with_options(schema, columns, &options)?;
            Ok(StreamPlan::Values { rows })
        }
        LogicalPlan::Join(join) => lower_join(join, output_schema(plan)),
        LogicalPlan::Sort(_) => Err(SqlError::unsupported("Sort on a non-time-attribute field is not supported.")
            .with_hint("order by a time attribute, or add a LIMIT")),
        LogicalPlan::Limit(_) => Err(SqlError::unsupported("LIMIT is not supported on a continuous query yet")),
        LogicalPlan::Window(_) => Err(SqlError::unsupported("OVER windows are not supported yet")),
        other => Err(SqlError::unsupported(format!("this query needs '{}', which is not supported yet", kind(other)))),
    }
}

fn lower_filter(input: StreamPlan, predicate: Expression) -> Result<StreamPlan> {
    let schema = input.schema();
    let (input, mut predicates) = with_watermark(input, vec![predicate])?;
    let Some(predicate) = predicates.pop() else { return Ok(input) };
    let appended = input.schema().fields().len() > schema.fields().len();
    let filter = StreamPlan::Filter { input: Box::new(input), predicate };
    if !appended {
        return Ok(filter);
    }
    let expressions = (0..schema.fields().len()).map(|i| column(&schema, i)).collect();
    Ok(StreamPlan::Project { input: Box::new(filter), expressions, schema })
}

fn kind(plan: &LogicalPlan) -> String {
    plan.display().to_string().split([':', ' ']).next().unwrap_or_default().to_string()
}

/// The schema of `plan` as rows will have it: without qualifiers and planning marks.
pub fn output_schema(plan: &LogicalPlan) -> SchemaRef {
    clean(plan.schema().as_arrow())
}

fn clean(schema: &Schema) -> SchemaRef {
    Arc::new(Schema::new(schema.fields().iter().map(|f| attributes::unmarked(f)).collect::<Vec<_>>()))
}

/// The same columns under other names.
fn relabel(plan: StreamPlan, schema: &SchemaRef) -> StreamPlan {
    let own = plan.schema();
    let same = own.fields().iter().zip(schema.fields()).all(|(a, b)| a.name() == b.name());
    if same {
        return plan;
    }
    let expressions = (0..own.fields().len()).map(|i| column(&own, i)).collect();
    StreamPlan::Project { input: Box::new(plan), expressions, schema: Arc::clone(schema) }
}

/// A reference to column `index` of `schema`.
pub(super) fn column(schema: &SchemaRef, index: usize) -> Expression {
    Arc::new(Column::new(schema.field(index).name(), index))
}

/// Binds one expression to the columns of `schema`.
pub(super) fn bind(expr: &Expr, schema: &DFSchema) -> Result<Expression> {
    // Last of all, AND and OR are made to stop at the first side that decides, row by row.
    let expr = &crate::coercion::lazy(expr.clone())?;
    Ok(create_physical_expr(expr, schema, &ExecutionProps::new(), &PhysicalPlanningContext::default())?)
}

/// Binds expressions to the columns of `schema`.
pub(super) fn bind_all(exprs: &[Expr], schema: &DFSchema) -> Result<Vec<Expression>> {
    exprs.iter().map(|e| bind(e, schema)).collect()
}

/// The column number that a bound expression is, if it is a bare column.
pub(super) fn as_column(expression: &Expression) -> Option<usize> {
    expression.downcast_ref::<Column>().map(Column::index)
}

fn lower_scan(scan: &TableScan) -> Result<StreamPlan> {
    let table = TableRelation::of(scan)?;
    let full = scan.source.schema();
    let projection: Vec<usize> = scan.projection.clone().unwrap_or_else(|| (0..full.fields().len()).collect());
    let (source, read_columns) = table.open_source(&projection)?;
    let read_schema = table.schema_of(&source, &read_columns);
    let place = |column: &usize| read_columns.iter().position(|read| read == column);
    let project = (read_columns != projection)
        .then(|| projection.iter().filter_map(place).map(|i| column(&read_schema, i)).collect());
    let schema = clean(scan.projected_schema.as_arrow());
    let bare = Scan {
        table: table.qualified_name(),
        relation: table.clone(),
        source,
        read_columns,
        read_schema,
        project,
        watermark: None,
        schema,
    };
    Ok(StreamPlan::Scan(Box::new(bare)))
}

fn lower_extension(extension: &Extension) -> Result<StreamPlan> {
    let node = extension.node.as_ref();
    let schema = clean(node.schema().as_arrow());
    if let Some(watermark) = node.as_any().downcast_ref::<WatermarkAssign>() {
        return lower_watermark(watermark, schema);
    }
    if let Some(normalize) = node.as_any().downcast_ref::<Normalize>() {
        return normalize.lower(lower(&normalize.input)?, schema);
    }
    if let Some(unnest) = node.as_any().downcast_ref::<Unnest>() {
        return Ok(StreamPlan::Unnest {
            input: Box::new(lower(&unnest.input)?),
            collection: bind(&unnest.collection, unnest.input.schema())?,
            outer: unnest.outer,
            ordinality: unnest.ordinality,
            schema,
        });
    }
    if let Some(table) = node.as_any().downcast_ref::<ChangelogTable>() {
        let input = Box::new(lower(&table.input)?);
        return Ok(match table.operation {
            Operation::Append => StreamPlan::ToChangelog { input, schema },
            Operation::Column(operation) => StreamPlan::FromChangelog { input, operation, schema },
        });
    }
    if let Some(window) = node.as_any().downcast_ref::<WindowAssign>() {
        let input = Box::new(lower(&window.input)?);
        let time = window_time(window)?;
        return Ok(StreamPlan::WindowAssign { input, time, kind: window.kind, offset: window.offset, schema });
    }
    Err(SqlError::internal(format!("no operator for {}", node.name())))
}

fn window_time(window: &WindowAssign) -> Result<WindowTime> {
    let schema = window.input.schema();
    let Expr::Column(time) = &window.time else {
        return Err(SqlError::internal("the time attribute of a window is a column"));
    };
    let index = schema.index_of_column(time)?;
    match attributes::time_attribute(schema.field(index)) {
        Some(attributes::TimeAttribute::Rowtime) => Ok(WindowTime::Event(index)),
        Some(attributes::TimeAttribute::Proctime) => Ok(WindowTime::Processing),
        None => Err(SqlError::unsupported(format!(
            "The window function requires the timecol is a time attribute type, but is {}",
            schema.field(index).data_type()
        ))
        .with_hint("declare a WATERMARK for the column, or a computed column AS PROCTIME()")),
    }
}

/// A watermark and the computed columns under it become part of the scan: watermarks are made where the splits are.
fn lower_watermark(watermark: &WatermarkAssign, schema: SchemaRef) -> Result<StreamPlan> {
    let own = watermark.input.schema();
    let expression = bind(&watermark.expression, own)?;
    let time =
        as_column(&bind(&watermark.column, own)?).ok_or_else(|| SqlError::internal("a time attribute is a column"))?;
    let mark = Some(Watermark { column: time, expression });
    match lower(&watermark.input)? {
        StreamPlan::Scan(scan) => Ok(StreamPlan::Scan(Box::new(Scan { watermark: mark, schema, ..*scan }))),
        StreamPlan::Project { input, expressions, .. } => match *input {
            StreamPlan::Scan(scan) if scan.project.is_none() => {
                Ok(StreamPlan::Scan(Box::new(Scan { watermark: mark, project: Some(expressions), schema, ..*scan })))
            }
            StreamPlan::Scan(scan) => {
                let project = scan.project.as_ref().map(|p| compose(&expressions, p)).transpose()?;
                Ok(StreamPlan::Scan(Box::new(Scan { watermark: mark, project, schema, ..*scan })))
            }
            _ => Err(SqlError::internal("a watermark stands on a table")),
        },
        _ => Err(SqlError::internal("a watermark stands on a table")),
    }
}

/// `outer` over the results of `inner`, as expressions over what `inner` reads.
fn compose(outer: &[Expression], inner: &[Expression]) -> Result<Vec<Expression>> {
    outer.iter().map(|e| map_columns(e, &|i| inner.get(i).cloned())).collect()
}

/// Replaces every column of `expression` by what `replacement` says; an error when it says nothing.
pub(super) fn map_columns(
    expression: &Expression,
    replacement: &dyn Fn(usize) -> Option<Expression>,
) -> Result<Expression> {
    use datafusion_common::tree_node::{Transformed, TreeNode};
    let mapped = Arc::clone(expression).transform_up(|node| match as_column(&node) {
        Some(index) => match replacement(index) {
            Some(other) => Ok(Transformed::yes(other)),
            None => datafusion_common::plan_err!("column {index} is not there"),
        },
        None => Ok(Transformed::no(node)),
    })?;
    Ok(mapped.data)
}

fn lower_values(values: &Values) -> Result<StreamPlan> {
    let schema = clean(values.schema.as_arrow());
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(1));
    let one = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options)?;
    let empty = DFSchema::empty();
    let mut columns = Vec::with_capacity(schema.fields().len());
    for index in 0..schema.fields().len() {
        let cells = values
            .values
            .iter()
            .map(|row| {
                let value = bind(&row[index], &empty)?.evaluate(&one)?.into_array(1)?;
                Ok(arrow::compute::cast(&value, schema.field(index).data_type())?)
            })
            .collect::<Result<Vec<_>>>()?;
        let parts: Vec<&dyn arrow::array::Array> = cells.iter().map(|c| c.as_ref()).collect();
        columns.push(arrow::compute::concat(&parts)?);
    }
    Ok(StreamPlan::Values { rows: RecordBatch::try_new(schema, columns)? })
}

fn lower_join(join: &LogicalJoin, schema: SchemaRef) -> Result<StreamPlan> {
    let kind = match join.join_type {
        JoinType::Inner => JoinKind::Inner,
        JoinType::Left => JoinKind::Left,
        JoinType::Right => JoinKind::Right,
        JoinType::Full => JoinKind::Full,
        JoinType::LeftSemi => JoinKind::Semi,
        JoinType::LeftAnti => JoinKind::Anti,
        other => return Err(SqlError::unsupported(format!("{other} joins are not supported"))),
    };
    let (left_keys, right_keys): (Vec<Expr>, Vec<Expr>) = join.on.iter().cloned().unzip();
    let (left_width, right_width) = (join.left.schema().fields().len(), join.right.schema().fields().len());
    let (left_keys, right_keys, filter) = not_in(join, left_keys, right_keys);
    let (left, left_on) = with_keys(lower(&join.left)?, &bind_all(&left_keys, join.left.schema())?)?;
    let (right, right_on) = with_keys(lower(&join.right)?, &bind_all(&right_keys, join.right.schema())?)?;
    let (left, right) = (with_some_column(left), with_some_column(right));
    let both = join.left.schema().join(join.right.schema())?;
    let condition = filter.as_ref().map(|f| bind(f, &both)).transpose()?;
    let added_left = left.schema().fields().len() - left_width;
    let added_right = right.schema().fields().len() - right_width;
    // Computed keys stand behind the left columns, so that the condition's right columns move by their number.
    let shift = |i: usize| if i < left_width { i } else { i + added_left };
    let inner_schema = {
        let pad = |s: SchemaRef| s.fields().iter().cloned().collect::<Vec<_>>();
        let one_sided = matches!(kind, JoinKind::Semi | JoinKind::Anti);
        let mut fields = pad(left.schema());
        if !one_sided {
            fields.extend(pad(right.schema()));
        }
        let outer_left = matches!(kind, JoinKind::Right | JoinKind::Full);
        let outer_right = matches!(kind, JoinKind::Left | JoinKind::Full);
        let split = left.schema().fields().len();
        let relax = |(i, f): (usize, arrow::datatypes::FieldRef)| {
            let outer = if i < split { outer_left } else { outer_right };
            if outer { Arc::new(f.as_ref().clone().with_nullable(true)) } else { f }
        };
        Arc::new(Schema::new(fields.into_iter().enumerate().map(relax).collect::<Vec<_>>()))
    };
    let joined_columns = inner_schema.clone();
    let right_fields = right.schema();
    let all: Vec<_> = left.schema().fields().iter().chain(right_fields.fields()).cloned().collect();
    let all: SchemaRef = Arc::new(Schema::new(all));
    let condition = condition.map(|c| map_columns(&c, &|i| Some(column(&all, shift(i))))).transpose()?;
    let joined = StreamPlan::Join(Join {
        left: Box::new(left),
        right: Box::new(right),
        kind,
        on: left_on.into_iter().zip(right_on).collect(),
        null_equals_null: join.null_equality == NullEquality::NullEqualsNull,
        condition,
        schema: inner_schema,
    });
    if added_left + added_right == 0 {
        return Ok(relabel(joined, &schema));
    }
    let expressions = (0..schema.fields().len()).map(|i| column(&joined_columns, shift(i))).collect();
    Ok(StreamPlan::Project { input: Box::new(joined), expressions, schema })
}

/// `x NOT IN (SELECT y …)` keeps a row only when x is neither equal to any y nor NULL beside one, nor any y NULL: then
/// the join has no keys, and that for its condition.
fn not_in(join: &LogicalJoin, left: Vec<Expr>, right: Vec<Expr>) -> (Vec<Expr>, Vec<Expr>, Option<Expr>) {
    match (left.as_slice(), right.as_slice(), &join.filter) {
        ([x], [y], None) if join.null_aware => {
            let possibly_equal = x.clone().eq(y.clone()).or(x.clone().is_null()).or(y.clone().is_null());
            (Vec::new(), Vec::new(), Some(possibly_equal))
        }
        _ => (left, right, join.filter.clone()),
    }
}

/// A join remembers rows by their columns, so it needs at least one of each side.
fn with_some_column(input: StreamPlan) -> StreamPlan {
    if !input.schema().fields().is_empty() {
        return input;
    }
    let one = ScalarValue::Boolean(Some(true));
    let schema = Arc::new(Schema::new(vec![Field::new("$exists", one.data_type(), false)]));
    StreamPlan::Project { input: Box::new(input), expressions: vec![Arc::new(Literal::new(one))], schema }
}

/// Makes sure that `keys` are columns: those that are computed are appended to the input.
pub(super) fn with_keys(input: StreamPlan, keys: &[Expression]) -> Result<(StreamPlan, Vec<usize>)> {
    let schema = input.schema();
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    let mut expressions: Vec<Expression> = (0..fields.len()).map(|i| column(&schema, i)).collect();
    let mut columns = Vec::with_capacity(keys.len());
    for key in keys {
        if let Some(index) = as_column(key) {
            columns.push(index);
            continue;
        }
        let field = key.return_field(&schema)?;
        columns.push(expressions.len());
        expressions.push(Arc::clone(key));
        fields.push(Arc::new(field.as_ref().clone().with_name(super::expression_text::text(key))));
    }
    if expressions.len() == schema.fields().len() {
        return Ok((input, columns));
    }
    let schema = clean(&Schema::new(fields));
    Ok((StreamPlan::Project { input: Box::new(input), expressions, schema }, columns))
}

/// The engine's name of an aggregate function, by its SQL name.
pub(super) fn engine_function(name: &str) -> Result<AggregateFunction> {
    crate::functions::aggregate_function(name)
        .ok_or_else(|| SqlError::unsupported(format!("aggregate function '{name}' is not supported")))
}
