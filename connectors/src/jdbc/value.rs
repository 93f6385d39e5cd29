//! Arrow values as the database takes them, exact or not at all.
//!
//! Numbers, booleans, text and bytes are bound as they are; decimals, dates and times as text, which every server reads
//! exactly. What the target would silently round or cut is an error here, because a sink must not change values.

use std::borrow::Cow;
use std::fmt::Write;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int8Array, Int16Array, Int32Array, Int64Array, PrimitiveArray, StringArray,
};
use arrow::datatypes::{
    DataType, Time32MillisecondType, Time32SecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow::temporal_conversions::date32_to_datetime;
use chrono::{DateTime, Datelike, Timelike};
use eddyline_engine::{Error, Result};

use super::target::{Rule, TargetType, digits};

/// One value to bind.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// Only beyond the range of `Int`, for BIGINT UNSIGNED.
    UInt(u64),
    Float(f32),
    Double(f64),
    Text(Cow<'a, str>),
    Bytes(&'a [u8]),
}

impl Value<'_> {
    /// About how many bytes it takes in a packet.
    pub(super) fn size_bytes(&self) -> usize {
        match self {
            Value::Text(text) => text.len() + 9,
            Value::Bytes(bytes) => bytes.len() + 9,
            _ => 8,
        }
    }
}

/// Reads the values of one column of one batch.
pub(super) struct Reader<'a> {
    values: Values<'a>,
    nulls: Option<&'a arrow::buffer::NullBuffer>,
    rule: &'a Rule,
}

enum Values<'a> {
    Boolean(&'a BooleanArray),
    Int8(&'a Int8Array),
    Int16(&'a Int16Array),
    Int32(&'a Int32Array),
    Int64(&'a Int64Array),
    Float32(&'a Float32Array),
    Float64(&'a Float64Array),
    Decimal(&'a Decimal128Array, u32),
    Text(&'a StringArray),
    Binary(&'a BinaryArray),
    Date(&'a Date32Array),
    /// Units since midnight or the epoch, and digits after the second of one unit.
    Time(&'a [i32], u32),
    Timestamp(&'a [i64], u32),
}

/// True when values of this type can be written.
pub(super) fn is_supported(data_type: &DataType) -> bool {
    use DataType as D;
    matches!(
        data_type,
        D::Boolean | D::Int8 | D::Int16 | D::Int32 | D::Int64 | D::Float32 | D::Float64 | D::Decimal128(_, _)
    ) || matches!(data_type, D::Utf8 | D::Binary | D::Date32 | D::Time32(_) | D::Timestamp(_, _))
}

impl<'a> Reader<'a> {
    /// A reader of `array`, whose type must be a supported one.
    pub(super) fn new(array: &'a ArrayRef, rule: &'a Rule) -> Result<Self> {
        let values = match array.data_type() {
            DataType::Boolean => Values::Boolean(array.as_boolean()),
            DataType::Int8 => Values::Int8(array.as_primitive()),
            DataType::Int16 => Values::Int16(array.as_primitive()),
            DataType::Int32 => Values::Int32(array.as_primitive()),
            DataType::Int64 => Values::Int64(array.as_primitive()),
            DataType::Float32 => Values::Float32(array.as_primitive()),
            DataType::Float64 => Values::Float64(array.as_primitive()),
            DataType::Decimal128(_, scale) => Values::Decimal(array.as_primitive(), u32::try_from(*scale).unwrap_or(0)),
            DataType::Utf8 => Values::Text(array.as_string()),
            DataType::Binary => Values::Binary(array.as_binary()),
            DataType::Date32 => Values::Date(array.as_primitive()),
            DataType::Time32(unit) => Values::Time(time_values(array, unit), digits(unit)),
            DataType::Timestamp(unit, _) => Values::Timestamp(timestamp_values(array, unit), digits(unit)),
            other => return Err(Error::internal(format!("the jdbc sink cannot write {other}"))),
        };
        Ok(Reader { values, nulls: array.nulls(), rule })
    }

    /// The value at `row`; an error when the target could not keep it as it is.
    pub(super) fn read(&self, row: usize) -> Result<Value<'a>> {
        if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            return Ok(Value::Null);
        }
        Ok(match &self.values {
            Values::Boolean(a) => Value::Bool(a.value(row)),
            Values::Int8(a) => self.integer(a.value(row).into()),
            Values::Int16(a) => self.integer(a.value(row).into()),
            Values::Int32(a) => self.integer(a.value(row).into()),
            Values::Int64(a) => self.integer(a.value(row)),
            Values::Float32(a) if a.value(row).is_finite() => Value::Float(a.value(row)),
            Values::Float64(a) if a.value(row).is_finite() => Value::Double(a.value(row)),
            Values::Float32(a) => {
                return Err(self.lossy(&a.value(row).to_string(), "SQL databases keep no such number"));
            }
            Values::Float64(a) => {
                return Err(self.lossy(&a.value(row).to_string(), "SQL databases keep no such number"));
            }
            Values::Decimal(a, scale) => return self.decimal(a.value(row), *scale),
            Values::Text(a) => return self.text(a.value(row)),
            Values::Binary(a) => return self.bytes(a.value(row)),
            Values::Date(a) => return self.date(a.value(row)),
            Values::Time(a, unit) => return self.time(a[row].into(), *unit),
            Values::Timestamp(a, unit) => return self.timestamp(a[row], *unit),
        })
    }

    fn lossy(&self, shown: &str, reason: &str) -> Error {
        let Rule { name, declared, .. } = self.rule;
        Error::data(format!("value '{shown}' does not fit into column '{name}' {declared}: {reason}"))
    }

    /// Whole numbers go into text columns as text, so that they are also compared as text when rows are deleted.
    fn integer(&self, value: i64) -> Value<'a> {
        match self.rule.target {
            TargetType::Text { .. } => Value::Text(Cow::Owned(value.to_string())),
            _ => Value::Int(value),
        }
    }

    fn text(&self, text: &'a str) -> Result<Value<'a>> {
        if self.rule.refuse_trailing_space && text.ends_with(' ') {
            let reason = "its collation takes 'a' and 'a ' for the same key, so a key must not end in a space";
            let hint = "use a NO PAD collation (utf8mb4_0900_bin, utf8mb4_nopad_bin) or VARBINARY for the key, or \
                        TRIM it in the query";
            return Err(self.lossy(&shortened(text), reason).with_hint(hint));
        }
        match &self.rule.target {
            TargetType::Bytes { .. } => return self.bytes(text.as_bytes()),
            TargetType::Text { max_chars, max_bytes } => {
                let too_long =
                    max_chars.is_some_and(|max| text.len() as u64 > max && text.chars().count() as u64 > max);
                if too_long || max_bytes.is_some_and(|max| text.len() as u64 > max) {
                    return Err(
                        self.lossy(&shortened(text), &format!("{} characters are too long", text.chars().count()))
                    );
                }
            }
            _ => {}
        }
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn bytes(&self, bytes: &'a [u8]) -> Result<Value<'a>> {
        if let TargetType::Bytes { max_bytes: Some(max) } = self.rule.target
            && bytes.len() as u64 > max
        {
            let shown = shortened(&String::from_utf8_lossy(bytes));
            return Err(self.lossy(&shown, &format!("{} bytes are too long", bytes.len())));
        }
        Ok(Value::Bytes(bytes))
    }

    fn decimal(&self, unscaled: i128, scale: u32) -> Result<Value<'a>> {
        if self.rule.target == TargetType::Integer {
            let signed = i64::try_from(unscaled).map(Value::Int);
            let value = signed.or_else(|_| u64::try_from(unscaled).map(Value::UInt));
            return value.map_err(|_| self.lossy(&unscaled.to_string(), "it is out of range"));
        }
        let mut text = unscaled.unsigned_abs().to_string();
        if scale > 0 {
            let width = scale as usize + 1;
            if text.len() < width {
                text.insert_str(0, &"0".repeat(width - text.len()));
            }
            text.insert(text.len() - scale as usize, '.');
        }
        if unscaled < 0 {
            text.insert(0, '-');
        }
        if let TargetType::Decimal { scale: target } = self.rule.target
            && scale > target
            && unscaled % 10_i128.pow(scale - target) != 0
        {
            return Err(self.lossy(&text, &format!("more than {target} digits after the point")));
        }
        Ok(Value::Text(Cow::Owned(text)))
    }

    fn date(&self, days: i32) -> Result<Value<'a>> {
        let date = date32_to_datetime(days).filter(|d| (0..=9999).contains(&d.year()));
        let date = date.ok_or_else(|| self.lossy(&format!("day {days}"), "the year is not between 0 and 9999"))?;
        Ok(Value::Text(Cow::Owned(date.format("%Y-%m-%d").to_string())))
    }

    fn time(&self, units: i64, unit_digits: u32) -> Result<Value<'a>> {
        let per_second = 10_i64.pow(unit_digits);
        let seconds = units.div_euclid(per_second);
        let mut text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        self.push_fraction(&mut text, units.rem_euclid(per_second) * 10_i64.pow(9 - unit_digits))?;
        Ok(Value::Text(Cow::Owned(text)))
    }

    fn timestamp(&self, units: i64, unit_digits: u32) -> Result<Value<'a>> {
        let per_second = 10_i64.pow(unit_digits);
        let nanos = units.rem_euclid(per_second) * 10_i64.pow(9 - unit_digits);
        let moment = DateTime::from_timestamp(units.div_euclid(per_second), 0).map(|t| t.naive_utc());
        let moment = moment.filter(|m| (0..=9999).contains(&m.year()));
        let moment = moment.ok_or_else(|| self.lossy(&units.to_string(), "the year is not between 0 and 9999"))?;
        let mut text = String::with_capacity(26);
        let (year, month, day) = (moment.year(), moment.month(), moment.day());
        let (hour, minute, second) = (moment.hour(), moment.minute(), moment.second());
        let _ = write!(text, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
        self.push_fraction(&mut text, nanos)?;
        Ok(Value::Text(Cow::Owned(text)))
    }

    /// Appends the part after the second with as many digits as it needs: none, 3, 6 or 9.
    fn push_fraction(&self, text: &mut String, nanos: i64) -> Result<()> {
        let (width, shown) = match nanos {
            0 => return Ok(()),
            n if n % 1_000_000 == 0 => (3, n / 1_000_000),
            n if n % 1_000 == 0 => (6, n / 1_000),
            n => (9, n),
        };
        let _ = write!(text, ".{shown:0width$}");
        if let TargetType::Time { digits } | TargetType::DateTime { digits } = self.rule.target
            && nanos % 10_i64.pow(9 - digits.min(9)) != 0
        {
            let error = self.lossy(text, &format!("the column keeps {digits} digits after the second"));
            return Err(error.with_hint("declare the column with more digits, or CAST the value to fewer in the query"));
        }
        Ok(())
    }
}

fn time_values<'a>(array: &'a ArrayRef, unit: &TimeUnit) -> &'a [i32] {
    match unit {
        TimeUnit::Second => values(array.as_primitive::<Time32SecondType>()),
        _ => values(array.as_primitive::<Time32MillisecondType>()),
    }
}

fn timestamp_values<'a>(array: &'a ArrayRef, unit: &TimeUnit) -> &'a [i64] {
    match unit {
        TimeUnit::Second => values(array.as_primitive::<TimestampSecondType>()),
        TimeUnit::Millisecond => values(array.as_primitive::<TimestampMillisecondType>()),
        TimeUnit::Microsecond => values(array.as_primitive::<TimestampMicrosecondType>()),
        TimeUnit::Nanosecond => values(array.as_primitive::<TimestampNanosecondType>()),
    }
}

fn values<T: arrow::datatypes::ArrowPrimitiveType>(array: &PrimitiveArray<T>) -> &[T::Native] {
    array.values()
}

/// At most 40 characters of `text`, for messages.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::sync::Arc;

    use arrow::array::TimestampSecondArray;

    use super::*;

    fn read(array: impl Array + 'static, target: TargetType) -> Result<String> {
        let rule = Rule { name: "c".into(), declared: "X".into(), target, refuse_trailing_space: true };
        let array: ArrayRef = Arc::new(array);
        let value = Reader::new(&array, &rule).unwrap().read(0)?;
        Ok(match value {
            Value::Text(text) => text.into_owned(),
            other => format!("{other:?}"),
        })
    }

    fn decimal(unscaled: i128, scale: i8, target: TargetType) -> Result<String> {
        read(Decimal128Array::from(vec![unscaled]).with_precision_and_scale(38, scale).unwrap(), target)
    }

    #[test]
    fn decimals_keep_their_digits_or_fail() {
        let scale = |scale| TargetType::Decimal { scale };
        assert_eq!(decimal(-5, 2, scale(2)).unwrap(), "-0.05");
        assert_eq!(decimal(120, 2, scale(1)).unwrap(), "1.20");
        assert!(decimal(125, 2, scale(1)).unwrap_err().to_string().contains("'1.25' does not fit into column 'c' X"));
        assert_eq!(decimal(7, 0, TargetType::Integer).unwrap(), "Int(7)");
        assert_eq!(decimal(u64::MAX.into(), 0, TargetType::Integer).unwrap(), "UInt(18446744073709551615)");
        assert!(decimal(i128::from(u64::MAX) + 1, 0, TargetType::Integer).is_err());
    }

    #[test]
    fn times_keep_their_fraction_or_fail() {
        let at = |digits| TargetType::DateTime { digits };
        assert_eq!(read(TimestampSecondArray::from(vec![-1]), at(0)).unwrap(), "1969-12-31 23:59:59");
        assert!(read(TimestampSecondArray::from(vec![i64::MAX]), at(0)).is_err());
        assert!(read(TimestampSecondArray::from(vec![253_402_300_800]), at(0)).is_err(), "the year 10000");
        let nanos = arrow::array::TimestampNanosecondArray::from(vec![1_000_001]);
        assert_eq!(read(nanos.clone(), at(9)).unwrap(), "1970-01-01 00:00:00.001000001");
        assert!(read(nanos, at(6)).is_err());
        let day = arrow::array::Time32SecondArray::from(vec![3_599]);
        assert_eq!(read(day, TargetType::Time { digits: 0 }).unwrap(), "00:59:59");
    }

    #[test]
    fn texts_fit_by_characters_or_bytes() {
        let chars = TargetType::Text { max_chars: Some(2), max_bytes: None };
        assert_eq!(read(StringArray::from(vec!["日本"]), chars.clone()).unwrap(), "日本");
        assert!(read(StringArray::from(vec!["abc"]), chars.clone()).is_err());
        assert!(read(StringArray::from(vec!["a "]), chars).is_err(), "a key that ends in a space");
        let bytes = TargetType::Text { max_chars: None, max_bytes: Some(2) };
        assert!(read(StringArray::from(vec!["日"]), bytes).is_err());
        assert!(read(Float64Array::from(vec![f64::NAN]), TargetType::Double).is_err());
        let null = StringArray::from(vec![None::<&str>]);
        assert_eq!(read(null, TargetType::Any).unwrap(), "Null");
    }
}
