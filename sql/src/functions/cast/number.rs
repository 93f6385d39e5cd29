//! Casts among numbers and BOOLEAN, as Java converts them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray};
use arrow::compute::cast as arrow_cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use datafusion_common::{Result, exec_err};

use super::super::decimal::{from_text, power, rescale, to_text};
use super::super::names::type_name;

/// A column of numbers or truth values as the number type (or BOOLEAN) `to`.
pub(super) fn number(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::Boolean => from_boolean(array.as_boolean(), to),
        DataType::Float32 => from_double(arrow_cast(array, &DataType::Float64)?.as_primitive(), to, true),
        DataType::Float64 => from_double(array.as_primitive(), to, false),
        DataType::Decimal128(_, scale) => from_decimal(array.as_primitive(), *scale, to),
        from if from.is_integer() => from_integer(arrow_cast(array, &DataType::Int64)?.as_primitive(), to),
        from => exec_err!("cannot cast {} to {}", type_name(from), type_name(to)),
    }
}

fn unary<A: ArrowPrimitiveType, B: ArrowPrimitiveType>(
    array: &PrimitiveArray<A>,
    f: impl Fn(A::Native) -> B::Native,
) -> Result<ArrayRef> {
    Ok(Arc::new(array.unary::<_, B>(f)))
}

fn decimals<A: ArrowPrimitiveType>(
    array: &PrimitiveArray<A>,
    to: &DataType,
    f: impl Fn(A::Native) -> Option<i128>,
) -> Result<ArrayRef> {
    Ok(Arc::new(array.unary_opt::<_, Decimal128Type>(f).with_data_type(to.clone())))
}

fn booleans<A: ArrowPrimitiveType>(array: &PrimitiveArray<A>, f: impl Fn(A::Native) -> bool) -> Result<ArrayRef> {
    Ok(Arc::new(array.iter().map(|v| v.map(&f)).collect::<BooleanArray>()))
}

#[expect(clippy::cast_possible_truncation, reason = "narrowing wraps around, as in Java")]
fn from_integer(array: &PrimitiveArray<Int64Type>, to: &DataType) -> Result<ArrayRef> {
    match to {
        DataType::Int8 => unary::<_, Int8Type>(array, |v| v as i8),
        DataType::Int16 => unary::<_, Int16Type>(array, |v| v as i16),
        DataType::Int32 => unary::<_, Int32Type>(array, |v| v as i32),
        DataType::Int64 => unary::<_, Int64Type>(array, |v| v),
        DataType::Float32 => unary::<_, Float32Type>(array, |v| v as f32),
        DataType::Float64 => unary::<_, Float64Type>(array, |v| v as f64),
        DataType::Boolean => booleans(array, |v| v != 0),
        DataType::Decimal128(p, s) => decimals(array, to, |v| rescale(i128::from(v), 0, (*p, *s))),
        _ => exec_err!("cannot cast BIGINT to {}", type_name(to)),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "Rust saturates and maps NaN to 0, as Java does")]
fn from_double(array: &PrimitiveArray<Float64Type>, to: &DataType, single: bool) -> Result<ArrayRef> {
    match to {
        DataType::Int8 => unary::<_, Int8Type>(array, |v| v as i32 as i8),
        DataType::Int16 => unary::<_, Int16Type>(array, |v| v as i32 as i16),
        DataType::Int32 => unary::<_, Int32Type>(array, |v| v as i32),
        DataType::Int64 => unary::<_, Int64Type>(array, |v| v as i64),
        DataType::Float32 => unary::<_, Float32Type>(array, |v| v as f32),
        DataType::Float64 => unary::<_, Float64Type>(array, |v| v),
        DataType::Boolean => booleans(array, |v| v != 0.0),
        DataType::Decimal128(p, s) => decimals(array, to, |v| {
            let text = if single { format!("{:e}", v as f32) } else { format!("{v:e}") };
            from_text(&text, (*p, *s))
        }),
        _ => exec_err!("cannot cast DOUBLE to {}", type_name(to)),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "narrowing wraps around, as in Java")]
fn from_decimal(array: &PrimitiveArray<Decimal128Type>, scale: i8, to: &DataType) -> Result<ArrayRef> {
    let unit = power(i32::from(scale)).unwrap_or(1);
    match to {
        DataType::Int8 => unary::<_, Int8Type>(array, |v| (v / unit) as i8),
        DataType::Int16 => unary::<_, Int16Type>(array, |v| (v / unit) as i16),
        DataType::Int32 => unary::<_, Int32Type>(array, |v| (v / unit) as i32),
        DataType::Int64 => unary::<_, Int64Type>(array, |v| (v / unit) as i64),
        DataType::Float32 => unary::<_, Float32Type>(array, |v| decimal_to_double(v, scale) as f32),
        DataType::Float64 => unary::<_, Float64Type>(array, |v| decimal_to_double(v, scale)),
        DataType::Boolean => booleans(array, |v| v != 0),
        DataType::Decimal128(p, s) => decimals(array, to, |v| rescale(v, scale, (*p, *s))),
        _ => exec_err!("cannot cast DECIMAL to {}", type_name(to)),
    }
}

/// The double nearest to a decimal. Up to 2^53 and 10^22 both numbers are exact, so one division rounds once.
pub(in super::super) fn decimal_to_double(value: i128, scale: i8) -> f64 {
    let exact = value.unsigned_abs() < 1 << 53 && (0..=22).contains(&scale);
    if exact {
        return value as f64 / 10_f64.powi(i32::from(scale));
    }
    to_text(value, scale).parse().unwrap_or(f64::NAN)
}

fn from_boolean(array: &BooleanArray, to: &DataType) -> Result<ArrayRef> {
    let ones: PrimitiveArray<Int64Type> = array.iter().map(|v| v.map(i64::from)).collect();
    from_integer(&ones, to)
}
