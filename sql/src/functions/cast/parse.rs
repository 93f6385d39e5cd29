//! Text to values: what CAST reads, and what it says when it cannot.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, PrimitiveArray, StringArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use datafusion_common::{DataFusionError, Result, exec_err};

use super::super::call::data_error;
use super::super::decimal::from_text;
use super::super::interval::from_ticks;
use super::super::names::type_name;
use super::super::temporal::{parse_date, parse_time, parse_timestamp, ticks_of};
use super::CastMode;

/// The texts as values of type `to`.
pub(super) fn parsed(texts: &StringArray, to: &DataType, mode: CastMode) -> Result<ArrayRef> {
    let no_number = |text: &str| data_error(format!("For input string: '{text}'"));
    match to {
        DataType::Int8 => numbers::<Int8Type>(texts, to, mode, |t| i8::try_from(integer(t)?).ok(), no_number),
        DataType::Int16 => numbers::<Int16Type>(texts, to, mode, |t| i16::try_from(integer(t)?).ok(), no_number),
        DataType::Int32 => numbers::<Int32Type>(texts, to, mode, |t| i32::try_from(integer(t)?).ok(), no_number),
        DataType::Int64 => numbers::<Int64Type>(texts, to, mode, integer, no_number),
        DataType::Float32 => numbers::<Float32Type>(texts, to, mode, |t| Some(double(t)? as f32), no_number),
        DataType::Float64 => numbers::<Float64Type>(texts, to, mode, double, no_number),
        DataType::Decimal128(p, s) => decimals(texts, (*p, *s), to, mode),
        DataType::Boolean => booleans(texts, mode),
        DataType::Date32 | DataType::Time32(_) | DataType::Timestamp(_, _) => times(texts, to, mode),
        _ => exec_err!("cannot cast text to {}", type_name(to)),
    }
}

fn numbers<T: ArrowPrimitiveType>(
    texts: &StringArray,
    to: &DataType,
    mode: CastMode,
    read: impl Fn(&str) -> Option<T::Native>,
    refuse: impl Fn(&str) -> DataFusionError,
) -> Result<ArrayRef> {
    let values: PrimitiveArray<T> = texts
        .iter()
        .map(|text| {
            let Some(text) = text else { return Ok(None) };
            match read(text) {
                None if !mode.safe => Err(refuse(text)),
                value => Ok(value),
            }
        })
        .collect::<Result<_>>()?;
    Ok(Arc::new(values.with_data_type(to.clone())))
}

/// A decimal that has too many digits is NULL; text that is no number at all is refused.
fn decimals(texts: &StringArray, digits: (u8, i8), to: &DataType, mode: CastMode) -> Result<ArrayRef> {
    let values: PrimitiveArray<Decimal128Type> = texts
        .iter()
        .map(|text| {
            let Some(text) = text else { return Ok(None) };
            match from_text(text.trim(), digits) {
                None if !mode.safe && double(text).is_none() => Err(data_error(format!("For input string: '{text}'"))),
                value => Ok(value),
            }
        })
        .collect::<Result<_>>()?;
    Ok(Arc::new(values.with_data_type(to.clone())))
}

fn booleans(texts: &StringArray, mode: CastMode) -> Result<ArrayRef> {
    let values: BooleanArray = texts
        .iter()
        .map(|text| {
            let Some(text) = text else { return Ok(None) };
            match boolean(text) {
                None if !mode.safe => Err(data_error(format!("Cannot parse '{text}' as BOOLEAN."))),
                value => Ok(value),
            }
        })
        .collect::<Result<_>>()?;
    Ok(Arc::new(values))
}

fn times(texts: &StringArray, to: &DataType, mode: CastMode) -> Result<ArrayRef> {
    let read = |text: &str| {
        let wall = match to {
            DataType::Date32 => parse_date(text)?.and_hms_opt(0, 0, 0)?,
            DataType::Time32(_) => chrono::NaiveDate::default().and_time(parse_time(text)?),
            _ => parse_timestamp(text)?,
        };
        ticks_of(wall, to, mode.zone)
    };
    let values: Int64Array = texts
        .iter()
        .map(|text| {
            let Some(text) = text else { return Ok(None) };
            match read(text) {
                None if !mode.safe => Err(data_error(format!("Cannot parse '{text}' as {}", type_name(to)))),
                value => Ok(value),
            }
        })
        .collect::<Result<_>>()?;
    from_ticks(&values, to)
}

/// ` 12 `, `+12`, `-1.999`: surrounding blanks are allowed, a fraction is read and left out.
fn integer(text: &str) -> Option<i64> {
    let text = text.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    whole.parse().ok()
}

/// What Java's `Double.parseDouble` reads.
fn double(text: &str) -> Option<f64> {
    let text = text.trim();
    let unsigned = text.trim_start_matches(['+', '-']);
    if !matches!(unsigned, "NaN" | "Infinity") && unsigned.bytes().any(|b| b.is_ascii_alphabetic() && b | 32 != b'e') {
        return None;
    }
    text.parse().ok()
}

fn boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "t" | "true" | "y" | "yes" | "1" => Some(true),
        "f" | "false" | "n" | "no" | "0" => Some(false),
        _ => None,
    }
}
