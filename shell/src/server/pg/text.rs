//! Values as PostgreSQL writes them.

use std::fmt::Write;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, IntervalMonthDayNanoType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use pgwire::api::Type;
use serde_json::Value;

use super::types::item_of;
use crate::render::value_text;

/// The text of a value that is not NULL.
pub fn value(array: &dyn Array, row: usize, pg_type: &Type) -> String {
    if *pg_type == Type::JSONB {
        return json(array, row).to_string();
    }
    match array.data_type() {
        DataType::Boolean => (if array.as_boolean().value(row) { "t" } else { "f" }).to_string(),
        DataType::Float32 => float(f64::from(array.as_primitive::<Float32Type>().value(row)), || {
            array.as_primitive::<Float32Type>().value(row).to_string()
        }),
        DataType::Float64 => float(array.as_primitive::<Float64Type>().value(row), || {
            array.as_primitive::<Float64Type>().value(row).to_string()
        }),
        DataType::Binary => format!("\\x{}", value_text(array, row)),
        DataType::Timestamp(_, _) => timestamp(array, row).replace('Z', "+00"),
        DataType::Interval(_) => interval(array, row),
        DataType::List(_) => list(&array.as_list::<i32>().value(row), &item_of(pg_type)),
        _ => value_text(array, row),
    }
}

/// A timestamp without what it has beyond microseconds, which PostgreSQL does not know and drivers do not read.
fn timestamp(array: &dyn Array, row: usize) -> String {
    let text = value_text(array, row);
    let Some((whole, fraction)) = text.split_once('.') else { return text };
    let (fraction, zone) = fraction.strip_suffix('Z').map_or((fraction, ""), |fraction| (fraction, "Z"));
    format!("{whole}.{}{zone}", fraction.get(..6).unwrap_or(fraction))
}

/// Microseconds since 1970-01-01.
pub fn micros(array: &dyn Array, row: usize, unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => array.as_primitive::<TimestampSecondType>().value(row).saturating_mul(1_000_000),
        TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().value(row).saturating_mul(1_000),
        TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().value(row),
        TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().value(row).div_euclid(1_000),
    }
}

/// Months, days and microseconds of an interval; Flink's days have 24 hours.
pub fn interval_parts(array: &dyn Array, row: usize) -> (i32, i32, i64) {
    const DAY_MICROS: i64 = 86_400_000_000;
    let interval = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
    let micros = interval.nanoseconds / 1_000;
    let days = i32::try_from(micros / DAY_MICROS).unwrap_or_default();
    (interval.months, interval.days.saturating_add(days), micros % DAY_MICROS)
}

fn float(value: f64, finite: impl FnOnce() -> String) -> String {
    if value.is_nan() {
        return "NaN".to_string();
    }
    match value.is_infinite() {
        true => (if value > 0.0 { "Infinity" } else { "-Infinity" }).to_string(),
        false => finite(),
    }
}

/// `1 year 2 mons 3 days 04:05:06.5`, each part with its own sign.
fn interval(array: &dyn Array, row: usize) -> String {
    let (months, days, micros) = interval_parts(array, row);
    let mut parts = Vec::new();
    let mut part = |count: i32, one: &str| {
        if count != 0 {
            parts.push(format!("{count} {one}{}", if count.abs() == 1 { "" } else { "s" }));
        }
    };
    part(months / 12, "year");
    part(months % 12, "mon");
    part(days, "day");
    if micros != 0 || parts.is_empty() {
        let (sign, micros) = (if micros < 0 { "-" } else { "" }, micros.unsigned_abs());
        let seconds = micros / 1_000_000;
        let mut clock = format!("{sign}{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        if micros % 1_000_000 != 0 {
            let fraction = format!("{:06}", micros % 1_000_000);
            let _ = write!(clock, ".{}", fraction.trim_end_matches('0'));
        }
        parts.push(clock);
    }
    parts.join(" ")
}

/// `{a,"b c",NULL}`.
fn list(items: &dyn Array, item: &Type) -> String {
    let text = |row: usize| {
        if items.is_null(row) {
            return "NULL".to_string();
        }
        let text = value(items, row, item);
        let plain = !text.is_empty()
            && !text.eq_ignore_ascii_case("null")
            && !text.contains(|c: char| c.is_whitespace() || "{},\"\\".contains(c));
        if plain { text } else { format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")) }
    };
    format!("{{{}}}", (0..items.len()).map(text).collect::<Vec<_>>().join(","))
}

/// A value as JSON: rows and maps are objects, numbers that JSON lacks are strings.
fn json(array: &dyn Array, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Boolean => Value::Bool(array.as_boolean().value(row)),
        data_type if data_type.is_numeric() => {
            let text = value_text(array, row);
            text.parse::<serde_json::Number>().map_or(Value::String(text), Value::Number)
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            Value::Array((0..items.len()).map(|i| json(&items, i)).collect())
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            fields.iter().zip(columns).map(|(f, column)| (f.name().clone(), json(column, row))).collect()
        }
        DataType::Map(_, _) => {
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            (0..entries.len()).map(|i| (json_text(keys, i), json(values, i))).collect()
        }
        _ => Value::String(json_text(array, row)),
    }
}

fn json_text(array: &dyn Array, row: usize) -> String {
    match array.data_type() {
        DataType::Timestamp(_, _) => timestamp(array, row),
        _ => value_text(array, row),
    }
}
