//! ROUND, TRUNCATE, CEIL and FLOOR of numbers; CEIL and FLOOR with a unit are those of times.

use arrow::array::ArrayRef;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use datafusion_common::{Result, plan_err};

use super::call::{Call, Column, Function, Inputs, Kind};
use super::datetime_unit::{ceil_time, floor_time};
use super::decimal::{power, rescale};
use super::names::type_name;

/// The functions of this file.
pub(super) fn functions() -> Vec<Function> {
    const NI: &[Kind] = &[Kind::Number, Kind::Int];
    const AT: &[Kind] = &[Kind::Any, Kind::Text];
    let ceil = Function::new("ceil", AT, whole_type, |call| whole(call, true)).optional(1);
    vec![
        Function::new("round", NI, rounded_type, |call| round(call, Rounding::HalfUp)).optional(1),
        Function::new("truncate", NI, rounded_type, |call| round(call, Rounding::Down)).optional(1),
        ceil.named("ceiling"),
        ceil,
        Function::new("floor", AT, whole_type, |call| whole(call, false)).optional(1),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rounding {
    HalfUp,
    Down,
}

/// A decimal keeps only the digits asked for, and one more in front; other numbers keep their type.
fn rounded_type(inputs: &Inputs<'_>) -> Result<DataType> {
    let digits = if inputs.types.len() > 1 { inputs.constant_int(1) } else { Some(0) };
    Ok(match inputs.types.first() {
        Some(&DataType::Decimal128(p, s)) => match digits {
            Some(digits) if digits < i64::from(s) => {
                let scale = i8::try_from(digits.max(0)).unwrap_or(0);
                let precision = i16::from(p) - i16::from(s) + 1 + i16::from(scale);
                DataType::Decimal128(u8::try_from(precision.min(38)).unwrap_or(38), scale)
            }
            _ => DataType::Decimal128(p, s),
        },
        Some(other) => other.clone(),
        None => DataType::Null,
    })
}

/// `value / 10^places` in whole steps, times `10^places`.
fn step(value: i128, places: i32, rounding: Rounding) -> Option<i128> {
    let unit = power(places)?;
    let (whole, rest) = (value / unit, value % unit);
    let up = rounding == Rounding::HalfUp && rest.unsigned_abs() * 2 >= unit.unsigned_abs();
    (whole + if up { value.signum() } else { 0 }).checked_mul(unit)
}

fn round(call: &Call<'_>, rounding: Rounding) -> Result<ArrayRef> {
    let digits = if call.len() > 1 { Some(call.int(1)?) } else { None };
    let digits = |row: usize| match &digits {
        Some(digits) => digits.get(row).map(|d| i32::try_from(d.clamp(-400, 400)).unwrap_or(0)),
        None => Some(0),
    };
    match call.arg(0)?.0.data_type() {
        DataType::Int8 => integers::<Int8Type>(call, digits, rounding),
        DataType::Int16 => integers::<Int16Type>(call, digits, rounding),
        DataType::Int32 => integers::<Int32Type>(call, digits, rounding),
        DataType::Int64 => integers::<Int64Type>(call, digits, rounding),
        DataType::Float32 => {
            let values = call.primitive::<Float32Type>(0)?;
            #[expect(clippy::cast_possible_truncation, reason = "a FLOAT was read and has no more digits")]
            call.numbers::<Float32Type>(|row| {
                let rounded = |(value, digits): (f32, i32)| {
                    round_text(&value.to_string(), digits, rounding).unwrap_or(f64::from(value)) as f32
                };
                Ok(values.get(row).zip(digits(row)).map(rounded))
            })
        }
        DataType::Float64 => {
            let values = call.double(0)?;
            call.numbers::<Float64Type>(|row| {
                let rounded =
                    |(value, digits): (f64, i32)| round_text(&value.to_string(), digits, rounding).unwrap_or(value);
                Ok(values.get(row).zip(digits(row)).map(rounded))
            })
        }
        &DataType::Decimal128(_, scale) => decimals(call, scale, digits, rounding),
        other => plan_err!("ROUND is for numbers, not for {}", type_name(other)),
    }
}

/// Rounds the decimal digits that the number shows, as Java's BigDecimal does; None if that changes nothing.
fn round_text(text: &str, digits: i32, rounding: Rounding) -> Option<f64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let shown = i32::try_from(fraction.len()).ok()?;
    if shown <= digits || whole.contains(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    // More digits than 128 bits hold are below any rounding that a double could show.
    let unscaled: i128 = [whole, fraction].concat().parse().ok()?;
    let places = shown - digits;
    let rounded = match power(places) {
        Some(_) => step(unscaled, places, rounding)?,
        None => 0,
    };
    format!("{rounded}e-{shown}").parse().ok()
}

fn integers<T: ArrowPrimitiveType>(
    call: &Call<'_>,
    digits: impl Fn(usize) -> Option<i32>,
    rounding: Rounding,
) -> Result<ArrayRef>
where
    T::Native: Into<i64> + TryFrom<i128>,
{
    let values: Column<_> = call.primitive::<T>(0)?;
    call.numbers::<T>(|row| {
        let Some((value, digits)) = values.get(row).zip(digits(row)) else { return Ok(None) };
        if digits >= 0 {
            return Ok(Some(value));
        }
        let wide: i64 = value.into();
        let rounded = step(i128::from(wide), -digits, rounding).unwrap_or(0);
        Ok(Some(T::Native::try_from(rounded).unwrap_or(value)))
    })
}

fn decimals(call: &Call<'_>, scale: i8, digits: impl Fn(usize) -> Option<i32>, rounding: Rounding) -> Result<ArrayRef> {
    let &DataType::Decimal128(p, s) = call.result else { return plan_err!("ROUND of a decimal must be a decimal") };
    let values = call.primitive::<Decimal128Type>(0)?;
    call.numbers::<Decimal128Type>(|row| {
        let Some((value, digits)) = values.get(row).zip(digits(row)) else { return Ok(None) };
        let places = i32::from(scale) - digits;
        let rounded = if places <= 0 { Some(value) } else { step(value, places, rounding).or(Some(0)) };
        Ok(rounded.and_then(|value| rescale(value, scale, (p, s))))
    })
}

fn whole_type(inputs: &Inputs<'_>) -> Result<DataType> {
    let time = |t: &DataType| matches!(t, DataType::Timestamp(_, _) | DataType::Date32 | DataType::Time32(_));
    match inputs.types.as_slice() {
        [DataType::Decimal128(p, _)] => Ok(DataType::Decimal128(*p, 0)),
        [number] if number.is_numeric() || number.is_null() => Ok(number.clone()),
        [t, unit] if (time(t) || t.is_null()) && unit == &DataType::Utf8 => Ok(t.clone()),
        types => {
            let given: Vec<String> = types.iter().map(|t| format!("<{}>", type_name(t))).collect();
            plan_err!(
                "Cannot apply 'CEIL' or 'FLOOR' to arguments of type ({}). Supported form(s): 'CEIL(<NUMERIC>)', \
                 'CEIL(<DATETIME> TO <TIME_UNIT>)'",
                given.join(", ")
            )
        }
    }
}

fn whole(call: &Call<'_>, up: bool) -> Result<ArrayRef> {
    if call.len() == 2 {
        return if up { ceil_time(call) } else { floor_time(call) };
    }
    match call.arg(0)?.0.data_type() {
        DataType::Float32 => {
            let x = call.primitive::<Float32Type>(0)?;
            call.numbers::<Float32Type>(|row| Ok(x.get(row).map(|x| if up { x.ceil() } else { x.floor() })))
        }
        DataType::Float64 => {
            let x = call.double(0)?;
            call.numbers::<Float64Type>(|row| Ok(x.get(row).map(|x| if up { x.ceil() } else { x.floor() })))
        }
        &DataType::Decimal128(_, scale) => {
            let unit = power(i32::from(scale)).unwrap_or(1);
            let x = call.primitive::<Decimal128Type>(0)?;
            let whole = |x: i128| if up { -(-x).div_euclid(unit) } else { x.div_euclid(unit) };
            call.numbers::<Decimal128Type>(|row| Ok(x.get(row).map(whole)))
        }
        _ => call.spread(0),
    }
}
