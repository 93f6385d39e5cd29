//! The values of one generated column: a pure function of seed, column and row number.
//!
//! The function is part of the connector's contract (a job resumed from a checkpoint must see the rows it would have
//! seen), so it is written out here (SplitMix64) and does not come from a library that may change it.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryBuilder, BooleanArray, Decimal128Array, Float64Array, Int64Array, StringBuilder,
};
use arrow::compute::cast;
use arrow::compute::kernels::cast_utils::parse_decimal;
use arrow::datatypes::{DataType, Decimal128Type, Field, TimeUnit};
use eddyline_engine::connector::Options;
use eddyline_engine::{Error, Result};

/// How the values of one column are made.
#[derive(Debug, Clone)]
pub(super) struct FieldGenerator {
    field: Field,
    kind: Kind,
    null_rate: f64,
    /// Makes columns differ.
    salt: u64,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Sequence {
        start: i64,
        end: i64,
    },
    Integer {
        min: i64,
        max: i64,
    },
    Float {
        min: f64,
        max: f64,
    },
    Decimal {
        min: i128,
        max: i128,
    },
    Boolean,
    Text {
        length: usize,
        varies: bool,
    },
    Bytes {
        length: usize,
        varies: bool,
    },
    /// The time now, minus up to this many microseconds.
    Moment {
        max_past_us: u64,
    },
}

/// Which rows to make: `first`, `first + step`, …
#[derive(Debug, Clone, Copy)]
pub(super) struct RowNumbers {
    pub(super) first: u64,
    pub(super) step: u64,
    pub(super) count: usize,
}

impl RowNumbers {
    fn iter(self) -> impl Iterator<Item = u64> {
        (0..self.count as u64).map(move |i| self.first + i * self.step)
    }
}

impl FieldGenerator {
    /// Reads the options `fields.<name>.*` of one column.
    pub(super) fn new(field: &Field, options: &Options) -> Result<Self> {
        let name = field.name();
        let key = |part: &str| format!("fields.{name}.{part}");
        let is_sequence = options.text(&key("kind")).is_some_and(|k| k.eq_ignore_ascii_case("sequence"));
        let foreign: &[&str] =
            if is_sequence { &["min", "max", "length", "var-len", "max-past", "null-rate"] } else { &["start", "end"] };
        if let Some(part) = foreign.iter().find(|part| options.given(&key(part))) {
            let (kind, other) = if is_sequence { ("sequence", "random") } else { ("random", "sequence") };
            let message = format!("option '{}' does not belong to a field of kind '{kind}'", key(part));
            return Err(Error::option(message, format!("set '{}' = '{other}'", key("kind"))));
        }
        let kind = if is_sequence { sequence(field, options)? } else { random(field, options)? };
        let null_rate = number(options, &key("null-rate"))?.unwrap_or(0.0);
        if !(0.0..=1.0).contains(&null_rate) || (null_rate > 0.0 && !field.is_nullable()) {
            let message = format!("option '{}' must be between 0 and 1, and 0 for a NOT NULL column", key("null-rate"));
            return Err(Error::option(message, None));
        }
        let salt =
            name.bytes().fold(0xcbf2_9ce4_8422_2325, |h: u64, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        Ok(FieldGenerator { field: field.clone(), kind, null_rate, salt })
    }

    /// Number of rows after which a sequence is used up; None for random values.
    pub(super) fn total_rows(&self) -> Option<u64> {
        match self.kind {
            Kind::Sequence { start, end } => Some(end.abs_diff(start).saturating_add(1)),
            _ => None,
        }
    }

    /// The values of `rows`; `now_us` is the time now for columns that hold times.
    pub(super) fn values(&self, seed: u64, rows: RowNumbers, now_us: i64) -> Result<ArrayRef> {
        let streams = rows.iter().map(|row| {
            let mut stream = Stream(mix(seed ^ mix(self.salt)) ^ mix(row.wrapping_add(1)));
            let is_null = self.null_rate > 0.0 && stream.unit() < self.null_rate;
            (!is_null).then_some((row, stream))
        });
        let array: ArrayRef = match &self.kind {
            Kind::Sequence { start, .. } => {
                Arc::new(streams.map(|s| s.map(|(row, _)| start.wrapping_add_unsigned(row))).collect::<Int64Array>())
            }
            Kind::Integer { min, max } => {
                Arc::new(streams.map(|s| s.map(|(_, mut s)| s.integer(*min, *max))).collect::<Int64Array>())
            }
            Kind::Float { min, max } => {
                let scaled = |unit: f64| min * (1.0 - unit) + max * unit;
                Arc::new(streams.map(|s| s.map(|(_, mut s)| scaled(s.unit()))).collect::<Float64Array>())
            }
            Kind::Decimal { min, max } => {
                let values = streams.map(|s| s.map(|(_, mut s)| s.wide(*min, *max))).collect::<Decimal128Array>();
                Arc::new(values.with_data_type(self.field.data_type().clone()))
            }
            Kind::Boolean => Arc::new(streams.map(|s| s.map(|(_, mut s)| s.next() & 1 == 1)).collect::<BooleanArray>()),
            Kind::Text { length, varies } => {
                let mut texts = StringBuilder::with_capacity(rows.count, rows.count * length);
                streams.for_each(|s| texts.append_option(s.map(|(_, mut s)| s.hex(*length, *varies))));
                Arc::new(texts.finish())
            }
            Kind::Bytes { length, varies } => {
                let mut bytes = BinaryBuilder::with_capacity(rows.count, rows.count * length);
                streams.for_each(|s| bytes.append_option(s.map(|(_, mut s)| s.hex(*length, *varies).into_bytes())));
                Arc::new(bytes.finish())
            }
            Kind::Moment { max_past_us } => {
                let moment = |mut s: Stream| now_us.saturating_sub_unsigned(s.next() % max_past_us.saturating_add(1));
                let moments = streams.map(|s| s.map(|(_, s)| moment(s))).collect::<Int64Array>();
                return self.moments(moments);
            }
        };
        if array.data_type() == self.field.data_type() { Ok(array) } else { Ok(cast(&array, self.field.data_type())?) }
    }

    /// Microseconds since the epoch as the column's own type.
    fn moments(&self, micros: Int64Array) -> Result<ArrayRef> {
        const DAY_US: i64 = 86_400_000_000;
        let of_day = |unit_us: i64| micros.unary::<_, arrow::datatypes::Int32Type>(|v| time_of_day(v, unit_us));
        Ok(match self.field.data_type() {
            DataType::Date32 => {
                let days = micros.unary::<_, arrow::datatypes::Int32Type>(|v| small(v.div_euclid(DAY_US)));
                cast(&days, self.field.data_type())?
            }
            DataType::Time32(TimeUnit::Second) => cast(&of_day(1_000_000), self.field.data_type())?,
            DataType::Time32(_) => cast(&of_day(1_000), self.field.data_type())?,
            other => {
                let moments = cast(&micros, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
                match other {
                    // Through plain numbers, because a cast to a zone would shift the time.
                    DataType::Timestamp(unit, zone) => {
                        let plain = cast(&moments, &DataType::Timestamp(*unit, None))?;
                        cast(&cast(&plain, &DataType::Int64)?, &DataType::Timestamp(*unit, zone.clone()))?
                    }
                    _ => moments,
                }
            }
        })
    }
}

fn time_of_day(micros: i64, unit_us: i64) -> i32 {
    small(micros.rem_euclid(86_400_000_000) / unit_us)
}

fn small(value: i64) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn sequence(field: &Field, options: &Options) -> Result<Kind> {
    let name = field.name();
    let bound = |part: &str| {
        let key = format!("fields.{name}.{part}");
        let missing = || Error::option(format!("option '{key}' is required for a field of kind 'sequence'"), None);
        options.integer(&key)?.ok_or_else(missing)
    };
    let (start, end) = (bound("start")?, bound("end")?);
    if start > end {
        return Err(Error::option(format!("the sequence of field '{name}' ends before it starts"), None));
    }
    use DataType as D;
    match field.data_type() {
        D::Int8 | D::Int16 | D::Int32 | D::Int64 | D::Float32 | D::Float64 | D::Decimal128(_, _) | D::Utf8 => {}
        other => return Err(Error::option(format!("field '{name}' {other} cannot be a sequence"), None)),
    }
    let bounds = Int64Array::from(vec![start, end]);
    if cast(&bounds, field.data_type())?.null_count() > 0 {
        return Err(Error::option(format!("the sequence of field '{name}' leaves the range of its type"), None));
    }
    Ok(Kind::Sequence { start, end })
}

fn random(field: &Field, options: &Options) -> Result<Kind> {
    let key = |part: &str| format!("fields.{}.{part}", field.name());
    Ok(match field.data_type() {
        DataType::Int8 => integers(field, options, i8::MIN.into(), i8::MAX.into())?,
        DataType::Int16 => integers(field, options, i16::MIN.into(), i16::MAX.into())?,
        DataType::Int32 => integers(field, options, i32::MIN.into(), i32::MAX.into())?,
        DataType::Int64 => integers(field, options, i64::MIN, i64::MAX)?,
        DataType::Float32 => floats(field, options, f32::MAX.into())?,
        DataType::Float64 => floats(field, options, f64::MAX)?,
        DataType::Decimal128(precision, scale) => {
            let largest = 10_i128.pow(u32::from(*precision)) - 1;
            let bound = |part: &str, otherwise: i128| match options.text(&key(part)) {
                None => Ok(otherwise),
                Some(text) => parse_decimal::<Decimal128Type>(text, *precision, *scale)
                    .map_err(|_| Error::option(format!("option '{}' must fit the column's DECIMAL", key(part)), None)),
            };
            let (min, max) = (bound("min", -largest)?, bound("max", largest)?);
            ordered(field, min <= max, Kind::Decimal { min, max })?
        }
        DataType::Boolean => Kind::Boolean,
        DataType::Utf8 => {
            let (length, varies) = length(field, options)?;
            Kind::Text { length, varies }
        }
        DataType::Binary => {
            let (length, varies) = length(field, options)?;
            Kind::Bytes { length, varies }
        }
        DataType::Date32 | DataType::Time32(_) | DataType::Timestamp(_, _) => {
            let past = options.duration(&key("max-past"))?.unwrap_or_default();
            Kind::Moment { max_past_us: u64::try_from(past.as_micros()).unwrap_or(u64::MAX) }
        }
        other => {
            let message = format!("the 'datagen' connector cannot make values of {other} (field '{}')", field.name());
            return Err(Error::option(message, "build nested values in a view over plain columns".to_string()));
        }
    })
}

fn integers(field: &Field, options: &Options, lowest: i64, highest: i64) -> Result<Kind> {
    let bound = |part: &str, otherwise: i64| {
        let key = format!("fields.{}.{part}", field.name());
        let value = options.integer(&key)?.unwrap_or(otherwise);
        let fits = (lowest..=highest).contains(&value);
        if fits {
            Ok(value)
        } else {
            Err(Error::option(format!("option '{key}' leaves the range of the column's type"), None))
        }
    };
    let (min, max) = (bound("min", lowest)?, bound("max", highest)?);
    ordered(field, min <= max, Kind::Integer { min, max })
}

fn floats(field: &Field, options: &Options, highest: f64) -> Result<Kind> {
    let min = number(options, &format!("fields.{}.min", field.name()))?.unwrap_or(0.0);
    let max = number(options, &format!("fields.{}.max", field.name()))?.unwrap_or(highest);
    ordered(field, min <= max && max <= highest, Kind::Float { min, max })
}

fn ordered(field: &Field, is_ordered: bool, kind: Kind) -> Result<Kind> {
    let message = || format!("options 'fields.{0}.min' and 'fields.{0}.max' leave no value between them", field.name());
    if is_ordered { Ok(kind) } else { Err(Error::option(message(), None)) }
}

/// Length of texts and bytes: as given, else the one of a CHAR, VARCHAR, BINARY or VARBINARY type, else 100.
fn length(field: &Field, options: &Options) -> Result<(usize, bool)> {
    let key = format!("fields.{}.length", field.name());
    let declared = field.metadata().get("flink.type").and_then(|name| {
        let (_, inside) = name.split_once('(')?;
        inside.split(')').next()?.trim().parse::<usize>().ok()
    });
    let declared = declared.filter(|n| *n < 1_000_000);
    let given = options.integer(&key)?.map(|n| usize::try_from(n).unwrap_or(0));
    if given.is_some_and(|g| g == 0 || declared.is_some_and(|d| g > d)) {
        return Err(Error::option(format!("option '{key}' must be positive and not above the column's length"), None));
    }
    Ok((given.or(declared).unwrap_or(100), options.boolean(&format!("fields.{}.var-len", field.name()))?))
}

fn number(options: &Options, key: &str) -> Result<Option<f64>> {
    let parse = |text: &str| {
        let value = text.trim().parse::<f64>().ok().filter(|v| v.is_finite());
        value
            .ok_or_else(|| Error::option(format!("Invalid value '{text}' for option '{key}': expected a number"), None))
    };
    options.text(key).map(parse).transpose()
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The random numbers of one value.
struct Stream(u64);

impl Stream {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// At least 0, below 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Between the bounds, both included.
    fn integer(&mut self, min: i64, max: i64) -> i64 {
        let span = u128::from(max.abs_diff(min)) + 1;
        let offset = (u128::from(self.next()) * span) >> 64;
        min.wrapping_add_unsigned(u64::try_from(offset).unwrap_or(u64::MAX))
    }

    fn wide(&mut self, min: i128, max: i128) -> i128 {
        let span = max.abs_diff(min).saturating_add(1);
        let random = (u128::from(self.next()) << 64) | u128::from(self.next());
        min.wrapping_add_unsigned(random % span)
    }

    /// Hexadecimal digits; of any length from 1 when the length varies.
    fn hex(&mut self, length: usize, varies: bool) -> String {
        let length = if varies { 1 + (self.next() % length as u64) as usize } else { length };
        let mut text = String::with_capacity(length + 16);
        while text.len() < length {
            text.push_str(&format!("{:016x}", self.next()));
        }
        text.truncate(length);
        text
    }
}
