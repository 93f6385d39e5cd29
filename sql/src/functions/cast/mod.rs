//! CAST and TRY_CAST with Flink's semantics, as a function that carries its target type.
//!
//! Narrowing integers wraps, fractions are cut, DOUBLE saturates, DECIMAL rounds half up and overflows to NULL; text
//! that cannot be read stops the job under CAST and gives NULL under TRY_CAST. Zones: only between TIMESTAMP_LTZ and
//! the rest, by the session's.

mod number;
mod parse;
mod text;

pub(crate) use text::double_text;

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, ListArray, MapArray, StringArray, StructArray, new_null_array,
};
use arrow::compute::cast as arrow_cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use chrono_tz::Tz;
use datafusion_common::{Result, ScalarValue, exec_err, plan_err};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::interval::{from_ticks, ticks};
use super::names::type_name;
use super::temporal::{ticks_of, wall};

/// How texts are read and zones applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CastMode {
    /// NULL instead of an error for text that cannot be read.
    pub safe: bool,
    /// The session's zone.
    pub zone: Tz,
}

#[derive(Debug)]
struct CastFunction {
    target: DataType,
    mode: CastMode,
    signature: Signature,
}

impl PartialEq for CastFunction {
    fn eq(&self, other: &Self) -> bool {
        self.target == other.target && self.mode == other.mode
    }
}

impl Eq for CastFunction {}

impl Hash for CastFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.target.hash(state);
        self.mode.hash(state);
    }
}

/// `expr`, which has type `from`, as `target`: itself if it is that already, DataFusion's cast where it means the same
/// (so that the optimizer understands it), else ours.
pub(crate) fn cast_expr(expr: Expr, from: &DataType, target: &DataType, mode: CastMode) -> Expr {
    if from == target {
        return expr;
    }
    if let Expr::Literal(ScalarValue::Null, metadata) = &expr
        && let Ok(null) = ScalarValue::try_from(target)
    {
        return Expr::Literal(null, metadata.clone());
    }
    if is_plain_widening(from, target) {
        return Expr::Cast(datafusion_expr::Cast::new(Box::new(expr), target.clone()));
    }
    let signature = Signature::any(1, Volatility::Immutable);
    let function = CastFunction { target: target.clone(), mode, signature };
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(function)), vec![expr]))
}

/// Casts in which Arrow and Flink agree and nothing can go wrong.
fn is_plain_widening(from: &DataType, target: &DataType) -> bool {
    if from.is_integer() && target.is_integer() {
        return from.primitive_width() <= target.primitive_width();
    }
    matches!((from, target), (DataType::Float32, DataType::Float64)) || from.is_integer() && target.is_floating()
}

impl ScalarUDFImpl for CastFunction {
    fn name(&self) -> &str {
        if self.mode.safe { "try_cast" } else { "cast" }
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let inner = args.first().map(|a| a.schema_name().to_string()).unwrap_or_default();
        Ok(format!("{}({inner} AS {})", self.name().to_uppercase(), type_name(&self.target)))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.target.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let Some(field) = args.arg_fields.first() else {
            return plan_err!("CAST takes one argument");
        };
        if !castable(field.data_type(), &self.target) {
            return plan_err!(
                "Cast function cannot convert value of type {} to type {}",
                type_name(field.data_type()),
                type_name(&self.target)
            );
        }
        let overflows = matches!(self.target, DataType::Decimal128(_, _));
        let nullable = field.is_nullable() || self.mode.safe || overflows;
        Ok(Arc::new(Field::new(self.name(), self.target.clone(), nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.first() {
            Some(ColumnarValue::Array(array)) => Ok(ColumnarValue::Array(cast(array, &self.target, self.mode)?)),
            Some(ColumnarValue::Scalar(scalar)) => {
                let array = cast(&scalar.to_array()?, &self.target, self.mode)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
            }
            None => exec_err!("CAST takes one argument"),
        }
    }
}

/// True if Flink has a cast between these types.
pub(crate) fn castable(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    match (from, to) {
        _ if from == to || from.is_null() => true,
        (T::Interval(_), T::Utf8) => true,
        (T::Interval(_), _) | (_, T::Interval(_)) => matches!((from, to), (T::Interval(_), T::Interval(_))),
        (_, T::Utf8) => true,
        (T::Utf8, T::List(_) | T::Map(_, _) | T::Struct(_)) => false,
        (T::Utf8, _) => true,
        (T::List(a), T::List(b)) => castable(a.data_type(), b.data_type()),
        (T::Map(a, _), T::Map(b, _)) => castable(a.data_type(), b.data_type()),
        (T::Struct(a), T::Struct(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| castable(a.data_type(), b.data_type()))
        }
        (T::Date32, T::Time32(_)) | (T::Time32(_), T::Date32) => false,
        _ => {
            let number = |t: &T| t.is_numeric() || matches!(t, T::Boolean);
            let time = |t: &T| matches!(t, T::Date32 | T::Time32(_) | T::Timestamp(_, _));
            number(from) && number(to) || time(from) && time(to)
        }
    }
}

/// `array` as `to`.
pub(crate) fn cast(array: &ArrayRef, to: &DataType, mode: CastMode) -> Result<ArrayRef> {
    use DataType as T;
    match (array.data_type(), to) {
        (from, to) if from == to => Ok(Arc::clone(array)),
        (T::Null, _) => Ok(new_null_array(to, array.len())),
        (T::Binary, T::Utf8) => Ok(Arc::new(
            array.as_binary::<i32>().iter().map(|v| v.map(String::from_utf8_lossy)).collect::<StringArray>(),
        )),
        (T::Utf8, T::Binary) => {
            Ok(Arc::new(array.as_string::<i32>().iter().map(|v| v.map(str::as_bytes)).collect::<BinaryArray>()))
        }
        (_, T::Utf8) => Ok(Arc::new(text::texts(array, mode.zone)?)),
        (T::Utf8, _) => parse::parsed(array.as_string::<i32>(), to, mode),
        (T::List(_), T::List(item)) => {
            let list = array.as_list::<i32>();
            let values = cast(list.values(), item.data_type(), mode)?;
            Ok(Arc::new(ListArray::try_new(Arc::clone(item), list.offsets().clone(), values, list.nulls().cloned())?))
        }
        (T::Struct(_), T::Struct(_)) => cast_row(array.as_struct(), to, mode),
        (T::Map(_, _), T::Map(entries, sorted)) => {
            let map = array.as_map();
            let inner = cast_row(map.entries(), entries.data_type(), mode)?;
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, inner.as_struct().clone(), nulls, *sorted)?))
        }
        (T::Timestamp(_, Some(_)), T::Timestamp(_, Some(_))) | (T::Timestamp(_, None), T::Timestamp(_, None)) => {
            rescaled(array, to)
        }
        (from, _) if is_time(from) && is_time(to) => through_wall(array, to, mode.zone),
        (T::Interval(_), T::Interval(_)) => Ok(arrow_cast(array, to)?),
        _ => number::number(array, to),
    }
}

fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Time32(_) | DataType::Timestamp(_, _))
}

fn cast_row(row: &StructArray, to: &DataType, mode: CastMode) -> Result<ArrayRef> {
    let DataType::Struct(fields) = to else {
        return exec_err!("a row can only be cast to a row, not to {}", type_name(to));
    };
    let columns = row.columns().iter().zip(fields).map(|(column, field)| cast(column, field.data_type(), mode));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let array = StructArray::try_new_with_length(fields.clone(), columns, row.nulls().cloned(), row.len())?;
    Ok(Arc::new(array))
}

/// Same zone, another precision: cut, towards the past.
fn rescaled(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    use super::interval::tick_nanos;
    let (from_tick, to_tick) = (tick_nanos(array.data_type()), tick_nanos(to));
    let ticks = ticks(array)?;
    let scaled = ticks.unary_opt(|t| i64::try_from((i128::from(t) * from_tick).div_euclid(to_tick)).ok());
    from_ticks(&scaled, to)
}

fn through_wall(array: &ArrayRef, to: &DataType, zone: Tz) -> Result<ArrayRef> {
    let from = array.data_type();
    let ticks = ticks(array)?;
    from_ticks(&ticks.unary_opt(|t| ticks_of(wall(t, from, zone)?, to, zone)), to)
}
