//! `INSERT INTO`: the columns of the query laid onto the columns of the table.
//!
//! Columns are matched by position, and values converted where Flink converts by itself: integers to wider ones, exact
//! numbers to DECIMAL, numbers to DOUBLE, timestamps to another precision of the same kind.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, SchemaRef};
use chrono_tz::Tz;
use datafusion_common::{Column, ScalarValue};
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder};

use crate::error::{Result, SqlError, SqlState};
use crate::functions::cast::{CastMode, cast_expr};
use crate::types::ColumnType;

/// `plan` with exactly the columns of `sink`; `columns` are the names that the statement lists, or empty.
pub fn match_columns(
    plan: LogicalPlan,
    table: &str,
    sink: &SchemaRef,
    columns: &[String],
    zone: Tz,
) -> Result<LogicalPlan> {
    let targets: Vec<usize> = if columns.is_empty() {
        (0..sink.fields().len()).collect()
    } else {
        columns.iter().map(|name| target(table, sink, name)).collect::<Result<_>>()?
    };
    let width = plan.schema().fields().len();
    if width != targets.len() {
        return Err(mismatch(&plan, table, sink, "Different number of columns."));
    }
    let mut expressions = Vec::with_capacity(sink.fields().len());
    for (index, field) in sink.fields().iter().enumerate() {
        let expression = match targets.iter().position(|t| *t == index) {
            Some(from) => {
                let (qualifier, own) = plan.schema().qualified_field(from);
                let column = Expr::Column(Column::new(qualifier.cloned(), own.name()));
                convert(column, own, field, CastMode { safe: false, zone }).ok_or_else(|| {
                    let cause = format!("Incompatible types for sink column '{}' at position {from}.", field.name());
                    mismatch(&plan, table, sink, &cause)
                })?
            }
            None => Expr::Literal(ScalarValue::try_from(field.data_type())?, None),
        };
        expressions.push(expression.alias(field.name()));
    }
    Ok(LogicalPlanBuilder::from(plan).project(expressions)?.build()?)
}

/// `plan`, whose columns are those of `table` and then new values for the columns at `targets`, with every column of the
/// table as it is and then as it will be.
#[cfg(feature = "batch")]
pub fn match_new_values(
    plan: LogicalPlan,
    table: &str,
    schema: &SchemaRef,
    targets: &[usize],
    zone: Tz,
) -> Result<LogicalPlan> {
    let width = schema.fields().len();
    let column = |place: usize| {
        let (qualifier, field) = plan.schema().qualified_field(place);
        (Expr::Column(Column::new(qualifier.cloned(), field.name())), field)
    };
    let old = (0..width).map(|place| Ok(column(place).0.alias(format!("old {place}"))));
    let new = schema.fields().iter().enumerate().map(|(place, field)| {
        let assigned = targets.iter().position(|target| *target == place);
        let (value, own) = column(assigned.map_or(place, |given| width + given));
        let converted = convert(value, own, field, CastMode { safe: false, zone }).ok_or_else(|| {
            let (from, to) = (ColumnType::from_arrow(own).data_type, ColumnType::from_arrow(field).data_type);
            let message =
                format!("column '{}' of table '{table}' is of type {to}, the new value of type {from}", field.name());
            SqlError::new(SqlState::DatatypeMismatch, message).with_hint("write CAST(… AS …) around the new value")
        })?;
        Ok(converted.alias(format!("new {place}")))
    });
    let expressions = old.chain(new).collect::<Result<Vec<_>>>()?;
    Ok(LogicalPlanBuilder::from(plan).project(expressions)?.build()?)
}

fn target(table: &str, sink: &SchemaRef, name: &str) -> Result<usize> {
    let names = || sink.fields().iter().map(|f| f.name().as_str());
    names().position(|n| n == name).ok_or_else(|| {
        let unknown = SqlError::unknown_column(name, names());
        SqlError { message: format!("Unknown target column '{name}' of table '{table}'"), ..unknown }
    })
}

fn mismatch(plan: &LogicalPlan, table: &str, sink: &SchemaRef, cause: &str) -> SqlError {
    let list = |fields: &mut dyn Iterator<Item = &Arc<Field>>| {
        fields.map(|f| format!("{}: {}", f.name(), ColumnType::from_arrow(f))).collect::<Vec<_>>().join(", ")
    };
    let query = list(&mut plan.schema().fields().iter());
    let message = format!("Column types of query result and sink for '{table}' do not match.\nCause: {cause}");
    let detail = format!("Query schema: [{query}]\nSink schema:  [{}]", list(&mut sink.fields().iter()));
    SqlError::new(SqlState::DatatypeMismatch, message).with_detail(detail)
}

/// `column` as the type of the sink's column; None when that could lose something.
fn convert(column: Expr, from: &Field, to: &Field, mode: CastMode) -> Option<Expr> {
    let (source, target) = (from.data_type(), to.data_type());
    if source == target {
        return Some(column);
    }
    let fits = widens(source, target) || same_shape(source, target);
    fits.then(|| cast_expr(column, source, target, mode))
}

/// Place of an integer type in the order of their sizes.
fn integer_rank(data_type: &DataType) -> Option<u8> {
    match data_type {
        DataType::Int8 => Some(1),
        DataType::Int16 => Some(2),
        DataType::Int32 => Some(3),
        DataType::Int64 => Some(4),
        _ => None,
    }
}

/// Flink's implicit casts. Into DECIMAL a value is rounded half up, and NULL when it does not fit.
fn widens(source: &DataType, target: &DataType) -> bool {
    let exact = |t: &DataType| integer_rank(t).is_some() || matches!(t, DataType::Decimal128(_, _));
    match (source, target) {
        (DataType::Null, _) | (DataType::Float32, DataType::Float64) => true,
        (_, DataType::Float32 | DataType::Float64 | DataType::Decimal128(_, _)) => exact(source),
        (DataType::Timestamp(_, a), DataType::Timestamp(_, b)) => a.is_some() == b.is_some(),
        (DataType::Time32(_), DataType::Time32(_)) => true,
        _ => match (integer_rank(source), integer_rank(target)) {
            (Some(a), Some(b)) => a <= b,
            _ => false,
        },
    }
}

/// Nested types that differ only in the names or nullability of their parts.
fn same_shape(source: &DataType, target: &DataType) -> bool {
    match (source, target) {
        (DataType::List(a), DataType::List(b)) => same_shape(a.data_type(), b.data_type()),
        (DataType::Map(a, _), DataType::Map(b, _)) => same_shape(a.data_type(), b.data_type()),
        (DataType::Struct(a), DataType::Struct(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(x, y)| same_shape(x.data_type(), y.data_type()))
        }
        _ => source == target,
    }
}
