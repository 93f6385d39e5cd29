//! Values as text: `1.0E20`, `TRUE`, `2024-01-31 23:59:59.999`, `[1, NULL]`, `{k=1}`, `(a, 2)`.

use std::fmt::Write;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::cast as arrow_cast;
use arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
    TimeUnit,
};
use chrono::{NaiveDateTime, Timelike};
use chrono_tz::Tz;
use datafusion_common::{Result, exec_err};

use super::super::decimal;
use super::super::interval::ticks;
use super::super::names::type_name;
use super::super::temporal::wall;

/// The text of each value; NULL stays NULL.
pub(crate) fn texts(array: &ArrayRef, zone: Tz) -> Result<StringArray> {
    Ok(match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().clone(),
        DataType::Boolean => array.as_boolean().iter().map(|v| v.map(|v| if v { "TRUE" } else { "FALSE" })).collect(),
        DataType::Float32 => array
            .as_primitive::<Float32Type>()
            .iter()
            .map(|v| v.map(|v| float_text(f64::from(v), &format!("{v:e}"))))
            .collect(),
        DataType::Float64 => array.as_primitive::<Float64Type>().iter().map(|v| v.map(double_text)).collect(),
        DataType::Decimal128(_, scale) => {
            array.as_primitive::<Decimal128Type>().iter().map(|v| v.map(|v| decimal::to_text(v, *scale))).collect()
        }
        DataType::Binary => array.as_binary::<i32>().iter().map(|v| v.map(String::from_utf8_lossy)).collect(),
        DataType::Interval(_) => {
            array.as_primitive::<IntervalMonthDayNanoType>().iter().map(|v| v.map(interval_text)).collect()
        }
        DataType::Date32 | DataType::Time32(_) | DataType::Timestamp(_, _) => {
            let ticks = ticks(array)?;
            let from = array.data_type();
            ticks.iter().map(|t| wall(t?, from, zone).map(|at| time_text(at, from))).collect()
        }
        DataType::List(_) | DataType::Map(_, _) | DataType::Struct(_) => return collection_texts(array, zone),
        from if from.is_integer() => {
            let wide = arrow_cast(array, &DataType::Int64)?;
            wide.as_primitive::<Int64Type>().iter().map(|v| v.map(|v| v.to_string())).collect()
        }
        from => return exec_err!("cannot cast {} to text", type_name(from)),
    })
}

/// As Java's `Double.toString`.
pub(crate) fn double_text(value: f64) -> String {
    float_text(value, &format!("{value:e}"))
}

/// `shortest` is the value as `digits e exponent` with the fewest digits.
fn float_text(value: f64, shortest: &str) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value < 0.0 { "-Infinity".into() } else { "Infinity".into() };
    }
    if value == 0.0 {
        return if value.is_sign_negative() { "-0.0".into() } else { "0.0".into() };
    }
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-3..7).contains(&exponent) {
        let point = if mantissa.contains('.') { "" } else { ".0" };
        return format!("{mantissa}{point}E{exponent}");
    }
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |m| ("-", m));
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    if exponent < 0 {
        let zeros = "0".repeat(usize::try_from(-exponent - 1).unwrap_or(0));
        return format!("{sign}0.{zeros}{digits}");
    }
    let whole = usize::try_from(exponent).unwrap_or(0) + 1;
    let digits = format!("{digits:0<whole$}");
    let (whole, fraction) = digits.split_at(whole);
    format!("{sign}{whole}.{}", if fraction.is_empty() { "0" } else { fraction })
}

/// Date, time or timestamp with as many fraction digits as its type has.
fn time_text(at: NaiveDateTime, data_type: &DataType) -> String {
    let (pattern, unit) = match data_type {
        DataType::Date32 => return at.date().format("%Y-%m-%d").to_string(),
        DataType::Time32(unit) | DataType::Time64(unit) => ("%H:%M:%S", unit),
        DataType::Timestamp(unit, _) => ("%Y-%m-%d %H:%M:%S", unit),
        _ => return at.to_string(),
    };
    let mut text = at.format(pattern).to_string();
    let nanos = at.nanosecond() % 1_000_000_000;
    let fraction = match unit {
        TimeUnit::Second => return text,
        TimeUnit::Millisecond => format!("{:03}", nanos / 1_000_000),
        TimeUnit::Microsecond => format!("{:06}", nanos / 1_000),
        TimeUnit::Nanosecond => format!("{nanos:09}"),
    };
    text.push('.');
    text.push_str(&fraction);
    text
}

/// `+1-02` (years and months) or `+1 02:03:04.500` (days and time).
fn interval_text(interval: IntervalMonthDayNano) -> String {
    if interval.months != 0 {
        let months = interval.months.unsigned_abs();
        return format!("{}{}-{:02}", if interval.months < 0 { '-' } else { '+' }, months / 12, months % 12);
    }
    let millis = i128::from(interval.days) * 86_400_000 + i128::from(interval.nanoseconds) / 1_000_000;
    let (sign, millis) = (if millis < 0 { '-' } else { '+' }, millis.unsigned_abs());
    let (seconds, rest) = (millis / 1000, millis % 1000);
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    format!("{sign}{days} {:02}:{:02}:{:02}.{rest:03}", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

fn collection_texts(array: &ArrayRef, zone: Tz) -> Result<StringArray> {
    if let Some(list) = array.as_list_opt::<i32>() {
        let values = texts(list.values(), zone)?;
        let offsets = list.value_offsets();
        return Ok((0..list.len())
            .map(|row| {
                list.is_valid(row).then(|| joined('[', range(offsets, row), ']', |i, out| push(&values, i, out)))
            })
            .collect());
    }
    if let Some(map) = array.as_map_opt() {
        let (keys, values) = (texts(map.keys(), zone)?, texts(map.values(), zone)?);
        let offsets = map.value_offsets();
        let entry = |i: usize, out: &mut String| {
            push(&keys, i, out);
            out.push('=');
            push(&values, i, out);
        };
        return Ok((0..map.len())
            .map(|row| map.is_valid(row).then(|| joined('{', range(offsets, row), '}', entry)))
            .collect());
    }
    let row_array = array.as_struct();
    let columns = row_array.columns().iter().map(|c| texts(c, zone)).collect::<Result<Vec<_>>>()?;
    Ok((0..row_array.len())
        .map(|row| {
            row_array.is_valid(row).then(|| joined('(', 0..columns.len(), ')', |i, out| push(&columns[i], row, out)))
        })
        .collect())
}

fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let at = |i: usize| usize::try_from(offsets[i]).unwrap_or(0);
    at(row)..at(row + 1)
}

fn joined(open: char, items: std::ops::Range<usize>, close: char, item: impl Fn(usize, &mut String)) -> String {
    let mut out = String::from(open);
    let first = items.start;
    for i in items {
        if i != first {
            out.push_str(", ");
        }
        item(i, &mut out);
    }
    out.push(close);
    out
}

fn push(texts: &StringArray, i: usize, out: &mut String) {
    let text = if texts.is_null(i) { "NULL" } else { texts.value(i) };
    let _ = write!(out, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_print_as_in_java() {
        for (value, text) in [
            (2.5, "2.5"),
            (100.0, "100.0"),
            (1e7, "1.0E7"),
            (1e20, "1.0E20"),
            (-1e-7, "-1.0E-7"),
            (0.001, "0.001"),
            (300.99, "300.99"),
            (1_234_567.0, "1234567.0"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(double_text(value), text);
        }
    }
}
