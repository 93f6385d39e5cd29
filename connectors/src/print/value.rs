//! Values in the text form of Flink's `print`, which is Java's: `100.0`, `2020-12-30T12:13:14.123`, `[1, 2]`, `{a=1}`.

use std::fmt::Write;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Time32MillisecondType, Time32SecondType, TimeUnit,
};
use arrow::temporal_conversions::{as_datetime, date32_to_datetime};
use arrow::util::display::array_value_to_string;
use chrono::{NaiveDateTime, NaiveTime, Timelike};

/// Appends the value of `array` at `row`.
pub(super) fn push_value(text: &mut String, array: &ArrayRef, row: usize) {
    if array.is_null(row) {
        text.push_str("null");
        return;
    }
    match array.data_type() {
        DataType::Utf8 => text.push_str(array.as_string::<i32>().value(row)),
        DataType::Float32 => push_float(text, &format!("{:e}", array.as_primitive::<Float32Type>().value(row))),
        DataType::Float64 => push_float(text, &format!("{:e}", array.as_primitive::<Float64Type>().value(row))),
        DataType::Decimal128(_, _) => text.push_str(&array.as_primitive::<Decimal128Type>().value_as_string(row)),
        DataType::Binary => push_list(text, array.as_binary::<i32>().value(row).iter().map(|b| b.cast_signed())),
        DataType::Date32 => {
            let days = array.as_primitive::<arrow::datatypes::Date32Type>().value(row);
            push_shown(text, date32_to_datetime(days).map(|d| d.format("%Y-%m-%d").to_string()), &days);
        }
        DataType::Time32(unit) => push_time(text, time_of(array, unit, row)),
        DataType::Timestamp(unit, zone) => match timestamp_of(array, unit, row) {
            Some(moment) if zone.is_some() => push_instant(text, moment),
            Some(moment) => {
                let _ = write!(text, "{}T", moment.format("%Y-%m-%d"));
                push_time(text, moment.time());
            }
            None => text.push_str(&array_value_to_string(array, row).unwrap_or_default()),
        },
        DataType::List(_) => {
            let values = array.as_list::<i32>().value(row);
            push_items(text, "[", "]", values.len(), |text, i| push_value(text, &values, i));
        }
        DataType::Map(_, _) => {
            let entries = array.as_map().value(row);
            push_items(text, "{", "}", entries.len(), |text, i| {
                push_value(text, entries.column(0), i);
                text.push('=');
                push_value(text, entries.column(1), i);
            });
        }
        DataType::Struct(_) => {
            let columns = array.as_struct().columns();
            push_items(text, "+I[", "]", columns.len(), |text, i| push_value(text, &columns[i], row));
        }
        _ => text.push_str(&array_value_to_string(array, row).unwrap_or_default()),
    }
}

fn push_items(text: &mut String, open: &str, close: &str, count: usize, mut item: impl FnMut(&mut String, usize)) {
    text.push_str(open);
    for index in 0..count {
        if index > 0 {
            text.push_str(", ");
        }
        item(text, index);
    }
    text.push_str(close);
}

fn push_list(text: &mut String, values: impl Iterator<Item = impl std::fmt::Display>) {
    let shown: Vec<String> = values.map(|v| v.to_string()).collect();
    let _ = write!(text, "[{}]", shown.join(", "));
}

fn push_shown(text: &mut String, shown: Option<String>, otherwise: &dyn std::fmt::Display) {
    match shown {
        Some(shown) => text.push_str(&shown),
        None => drop(write!(text, "{otherwise}")),
    }
}

/// Java writes plain digits between 10⁻³ and 10⁷ and an exponent outside, always with a digit after the point.
/// `scientific` is Rust's shortest form, `1.25e3`.
fn push_float(text: &mut String, scientific: &str) {
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        text.push_str(match scientific {
            "inf" => "Infinity",
            "-inf" => "-Infinity",
            other => other,
        });
        return;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |m| ("-", m));
    let (first, rest) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    text.push_str(sign);
    if first == "0" {
        text.push_str("0.0");
    } else if (-3..7).contains(&exponent) {
        let digits = format!("{first}{rest}");
        if exponent < 0 {
            let zeros = usize::try_from(-exponent - 1).unwrap_or(0);
            let _ = write!(text, "0.{}{digits}", "0".repeat(zeros));
        } else {
            let whole = usize::try_from(exponent).unwrap_or(0) + 1;
            let digits = format!("{digits:0<whole$}");
            let fraction = if digits.len() > whole { &digits[whole..] } else { "0" };
            let _ = write!(text, "{}.{fraction}", &digits[..whole]);
        }
    } else {
        let _ = write!(text, "{first}.{}E{exponent}", if rest.is_empty() { "0" } else { rest });
    }
}

fn time_of(array: &ArrayRef, unit: &TimeUnit, row: usize) -> NaiveTime {
    let millis = match unit {
        TimeUnit::Second => i64::from(array.as_primitive::<Time32SecondType>().value(row)) * 1000,
        _ => i64::from(array.as_primitive::<Time32MillisecondType>().value(row)),
    };
    let millis = u32::try_from(millis.rem_euclid(86_400_000)).unwrap_or(0);
    NaiveTime::from_num_seconds_from_midnight_opt(millis / 1000, millis % 1000 * 1_000_000).unwrap_or_default()
}

fn timestamp_of(array: &ArrayRef, unit: &TimeUnit, row: usize) -> Option<NaiveDateTime> {
    use arrow::datatypes::{
        TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    };
    match unit {
        TimeUnit::Second => as_datetime::<TimestampSecondType>(array.as_primitive::<TimestampSecondType>().value(row)),
        TimeUnit::Millisecond => {
            as_datetime::<TimestampMillisecondType>(array.as_primitive::<TimestampMillisecondType>().value(row))
        }
        TimeUnit::Microsecond => {
            as_datetime::<TimestampMicrosecondType>(array.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        TimeUnit::Nanosecond => {
            as_datetime::<TimestampNanosecondType>(array.as_primitive::<TimestampNanosecondType>().value(row))
        }
    }
}

/// `12:13`, with seconds and three, six or nine digits of them only when they are not zero.
fn push_time(text: &mut String, time: NaiveTime) {
    let _ = write!(text, "{:02}:{:02}", time.hour(), time.minute());
    if time.second() > 0 || time.nanosecond() > 0 {
        let _ = write!(text, ":{:02}", time.second());
        push_fraction(text, time.nanosecond());
    }
}

fn push_instant(text: &mut String, moment: NaiveDateTime) {
    let _ = write!(text, "{}", moment.format("%Y-%m-%dT%H:%M:%S"));
    push_fraction(text, moment.nanosecond());
    text.push('Z');
}

fn push_fraction(text: &mut String, nanos: u32) {
    let _ = match nanos {
        0 => Ok(()),
        n if n % 1_000_000 == 0 => write!(text, ".{:03}", n / 1_000_000),
        n if n % 1_000 == 0 => write!(text, ".{:06}", n / 1_000),
        n => write!(text, ".{n:09}"),
    };
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::sync::Arc;

    use arrow::array::{
        BinaryArray, Decimal128Array, Float32Array, Float64Array, ListArray, StructArray, Time32SecondArray,
        TimestampMillisecondArray,
    };
    use arrow::datatypes::{Field, Int32Type};

    use super::*;

    fn shown(array: impl Array + 'static) -> Vec<String> {
        let array: ArrayRef = Arc::new(array);
        let value = |row| {
            let mut text = String::new();
            push_value(&mut text, &array, row);
            text
        };
        (0..array.len()).map(value).collect()
    }

    #[test]
    fn floats_are_written_as_java_writes_them() {
        let values = vec![100.0, 0.001, 0.000_1, 1e7, 9_999_999.5, -0.0, -1.5e-7, f64::NAN, f64::INFINITY, 123.456];
        let expected =
            ["100.0", "0.001", "1.0E-4", "1.0E7", "9999999.5", "-0.0", "-1.5E-7", "NaN", "Infinity", "123.456"];
        assert_eq!(shown(Float64Array::from(values)), expected);
        assert_eq!(shown(Float32Array::from(vec![0.1, 16_777_216.0])), ["0.1", "1.6777216E7"]);
    }

    #[test]
    fn times_drop_what_is_zero() {
        let moments = TimestampMillisecondArray::from(vec![0, 61_000, 1_609_330_394_123]);
        let expected = ["1970-01-01T00:00", "1970-01-01T00:01:01", "2020-12-30T12:13:14.123"];
        assert_eq!(shown(moments.clone()), expected);
        let instants = moments.with_timezone("UTC");
        assert_eq!(shown(instants)[..2], ["1970-01-01T00:00:00Z", "1970-01-01T00:01:01Z"]);
        assert_eq!(shown(Time32SecondArray::from(vec![3600, 3601])), ["01:00", "01:00:01"]);
    }

    #[test]
    fn nested_values_and_bytes_are_bracketed() {
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), Some(vec![])]);
        assert_eq!(shown(list), ["[1, null]", "[]"]);
        assert_eq!(shown(BinaryArray::from(vec![&b"a\xff"[..]])), ["[97, -1]"]);
        let price = Decimal128Array::from(vec![-5]).with_precision_and_scale(4, 2).unwrap();
        let field = Arc::new(Field::new("p", DataType::Decimal128(4, 2), true));
        assert_eq!(shown(StructArray::from(vec![(field, Arc::new(price) as ArrayRef)])), ["+I[-0.05]"]);
    }
}
