//! Dates and times to and from text and numbers: DATE_FORMAT, TO_TIMESTAMP, FROM_UNIXTIME, CONVERT_TZ and so on.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array};
use arrow::datatypes::{DataType, Int64Type};
use chrono::{FixedOffset, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;
use datafusion_common::{Result, plan_err};

use super::call::{Call, Column, Function, Inputs, Kind, data_error};
use super::decimal::power;
use super::interval::{from_ticks, ticks};
use super::java_time::Pattern;
use super::returns;
use super::temporal::{parse_date, parse_timestamp, ticks_of, to_local, to_utc, wall};

const DEFAULT_PATTERN: &str = "yyyy-MM-dd HH:mm:ss";

/// The functions of this file.
pub(super) fn functions() -> Vec<Function> {
    const TT: &[Kind] = &[Kind::Text, Kind::Text];
    let now = |name, returns| Function::new(name, &[], returns, now).volatile().never_null();
    vec![
        Function::new("date_format", &[Kind::Any, Kind::Text], returns::text, date_format).nullable(),
        Function::new("to_timestamp", TT, returns::timestamp3, to_timestamp).optional(1).nullable(),
        Function::new("to_date", TT, returns::date, to_date).optional(1).nullable(),
        Function::new("to_timestamp_ltz", &[Kind::Any, Kind::Any, Kind::Text], ltz_type, to_timestamp_ltz)
            .optional(2)
            .nullable(),
        Function::new("unix_timestamp", TT, returns::bigint, unix_timestamp).optional(2),
        Function::new("from_unixtime", &[Kind::Int, Kind::Text], returns::text, from_unixtime).optional(1).nullable(),
        Function::new("convert_tz", &[Kind::Text, Kind::Text, Kind::Text], returns::text, convert_tz).nullable(),
        now("proctime", returns::timestamp_ltz3),
        now("now", returns::timestamp_ltz3),
        now("current_timestamp", returns::timestamp_ltz3),
        now("current_row_timestamp", returns::timestamp_ltz3),
        now("localtimestamp", returns::timestamp3),
        now("current_date", returns::date),
        now("current_time", |_| Ok(DataType::Time32(arrow::datatypes::TimeUnit::Second))),
        now("localtime", |_| Ok(DataType::Time32(arrow::datatypes::TimeUnit::Second))),
        now("current_unix_timestamp", returns::bigint),
        Function::new("current_watermark", &[Kind::Temporal], returns::same_as_first, watermark_is_elsewhere)
            .volatile()
            .nullable(),
    ]
}

/// Only an operator that sees watermarks can evaluate this; the planner puts one there.
fn watermark_is_elsewhere(_: &Call<'_>) -> Result<ArrayRef> {
    Err(data_error("CURRENT_WATERMARK cannot be used here"))
}

/// The session's clock, once per batch; zoneless types show it in the session's zone.
fn now(call: &Call<'_>) -> Result<ArrayRef> {
    let micros = call.environment.clock.now().0;
    if call.result == &DataType::Int64 {
        return call.numbers::<Int64Type>(|_| Ok(Some(micros.div_euclid(1_000_000))));
    }
    let utc = chrono::DateTime::from_timestamp_micros(micros).unwrap_or_default().naive_utc();
    temporal(call, |_| Some(to_local(utc, call.zone)))
}

/// Patterns by row, compiled again only when the text changes.
pub(super) struct Patterns<'a> {
    texts: Option<Column<&'a arrow::array::StringArray>>,
    last: Option<(String, Option<Pattern>)>,
}

impl<'a> Patterns<'a> {
    /// Patterns from argument `i`, or the default if it is not given.
    pub fn from_argument(call: &'a Call<'_>, i: usize) -> Result<Self> {
        let texts = if call.len() > i { Some(call.text(i)?) } else { None };
        Ok(Patterns { texts, last: None })
    }

    /// The pattern of `row`; None if it is NULL or no pattern.
    pub fn get(&mut self, row: usize) -> Option<&Pattern> {
        let text = match &self.texts {
            Some(texts) => texts.get(row)?,
            None => DEFAULT_PATTERN,
        };
        if self.last.as_ref().is_none_or(|(t, _)| t != text) {
            self.last = Some((text.to_string(), Pattern::compile(text)));
        }
        self.last.as_ref()?.1.as_ref()
    }
}

/// Wall-clock values of argument `i`: temporal as it is, text read as a timestamp.
pub(super) fn walls(call: &Call<'_>, i: usize) -> Result<Vec<Option<NaiveDateTime>>> {
    let array = call.spread(i)?;
    if array.data_type() == &DataType::Utf8 {
        let texts = arrow::array::AsArray::as_string::<i32>(&array);
        return Ok(texts.iter().map(|t| parse_timestamp(t?)).collect());
    }
    let (ticks, data_type) = (ticks(&array)?, array.data_type().clone());
    Ok(ticks.iter().map(|t| wall(t?, &data_type, call.zone)).collect())
}

fn offset_at(utc_or_wall: NaiveDateTime, zone: Tz) -> FixedOffset {
    zone.offset_from_utc_datetime(&utc_or_wall).fix()
}

fn date_format(call: &Call<'_>) -> Result<ArrayRef> {
    let walls = walls(call, 0)?;
    let mut patterns = Patterns::from_argument(call, 1)?;
    let utc = offset_at(NaiveDateTime::default(), Tz::UTC);
    call.texts(|row| Ok(walls[row].and_then(|at| patterns.get(row).map(|p| p.format(at, utc)))))
}

fn temporal(call: &Call<'_>, mut f: impl FnMut(usize) -> Option<NaiveDateTime>) -> Result<ArrayRef> {
    let values: Int64Array = (0..call.rows).map(|row| ticks_of(f(row)?, call.result, call.zone)).collect();
    from_ticks(&values, call.result)
}

/// Without a pattern any form that CAST reads; text that does not fit gives NULL.
fn to_timestamp(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.text(0)?;
    let mut patterns = Patterns::from_argument(call, 1)?;
    if call.len() == 1 {
        return temporal(call, |row| parse_timestamp(text.get(row)?));
    }
    temporal(call, |row| {
        let text = text.get(row)?;
        patterns.get(row)?.parse(text).or_else(|| parse_timestamp(text))
    })
}

fn to_date(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.text(0)?;
    if call.len() == 1 {
        return temporal(call, |row| parse_date(text.get(row)?)?.and_hms_opt(0, 0, 0));
    }
    let mut patterns = Patterns::from_argument(call, 1)?;
    temporal(call, |row| patterns.get(row)?.parse(text.get(row)?))
}

fn ltz_type(inputs: &Inputs<'_>) -> Result<DataType> {
    if inputs.types.first().is_some_and(|t| t.is_numeric()) && inputs.constant_int(1).is_some_and(|p| p != 0 && p != 3)
    {
        return plan_err!("The precision value of TO_TIMESTAMP_LTZ must be 0 or 3");
    }
    returns::timestamp_ltz3(inputs)
}

/// Of a number: seconds (precision 0) or milliseconds (3, the default). Of text: a pattern and a zone, UTC by default.
fn to_timestamp_ltz(call: &Call<'_>) -> Result<ArrayRef> {
    let (first, _) = call.arg(0)?;
    if first.data_type() == &DataType::Utf8 {
        return text_to_ltz(call);
    }
    let precision = if call.len() > 1 { Some(call.spread(1)?) } else { None };
    let precision = precision.map(|p| arrow::compute::cast(&p, &DataType::Int64)).transpose()?;
    let epochs = call.spread(0)?;
    let millis = |row: usize| -> Option<i64> {
        let seconds = match &precision {
            Some(p) if p.is_null(row) => return None,
            Some(p) => arrow::array::AsArray::as_primitive::<Int64Type>(p).value(row) == 0,
            None => false,
        };
        let value = number_at(&epochs, row, if seconds { 1000 } else { 1 })?;
        Some(value)
    };
    let values: Int64Array = (0..call.rows).map(millis).collect();
    from_ticks(&values, call.result)
}

#[expect(clippy::cast_possible_truncation, reason = "a fraction of a millisecond is cut")]
fn number_at(array: &ArrayRef, row: usize, factor: i64) -> Option<i64> {
    use arrow::array::AsArray;
    use arrow::datatypes::{Decimal128Type, Float32Type, Float64Type};
    if array.is_null(row) {
        return None;
    }
    match array.data_type() {
        DataType::Float64 => Some((array.as_primitive::<Float64Type>().value(row) * factor as f64) as i64),
        DataType::Float32 => Some((f64::from(array.as_primitive::<Float32Type>().value(row)) * factor as f64) as i64),
        DataType::Decimal128(_, scale) => {
            let value = array.as_primitive::<Decimal128Type>().value(row).checked_mul(i128::from(factor))?;
            i64::try_from(value / power(i32::from(*scale))?).ok()
        }
        _ => {
            let wide = arrow::compute::cast(&array.slice(row, 1), &DataType::Int64).ok()?;
            wide.as_primitive::<Int64Type>().value(0).checked_mul(factor)
        }
    }
}

fn text_to_ltz(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.text(0)?;
    let zones = if call.len() > 2 { Some(call.text(2)?) } else { None };
    let mut patterns = Patterns::from_argument(call, 1)?;
    let result = call.result.clone();
    let values: Int64Array = (0..call.rows)
        .map(|row| {
            let text = text.get(row)?;
            let zone = match &zones {
                Some(zones) => zones.get(row)?.parse().ok()?,
                None => Tz::UTC,
            };
            let read = if call.len() > 1 { patterns.get(row)?.parse(text) } else { parse_timestamp(text) };
            ticks_of(read?, &result, zone)
        })
        .collect();
    from_ticks(&values, call.result)
}

/// Seconds since the epoch, of now or of a text in the session's zone; text that does not fit gives the smallest number.
fn unix_timestamp(call: &Call<'_>) -> Result<ArrayRef> {
    if call.len() == 0 {
        return now(call);
    }
    let text = call.text(0)?;
    let mut patterns = Patterns::from_argument(call, 1)?;
    call.numbers::<Int64Type>(|row| {
        let Some(text) = text.get(row) else { return Ok(None) };
        let read = patterns.get(row).and_then(|p| p.parse(text));
        let utc = read.and_then(|at| to_utc(at, call.zone));
        Ok(Some(utc.map_or(i64::MIN, |at| at.and_utc().timestamp())))
    })
}

fn from_unixtime(call: &Call<'_>) -> Result<ArrayRef> {
    let seconds = call.int(0)?;
    let mut patterns = Patterns::from_argument(call, 1)?;
    call.texts(|row| {
        let utc = seconds.get(row).and_then(|s| chrono::DateTime::from_timestamp(s, 0)).map(|at| at.naive_utc());
        Ok(utc.and_then(|utc| {
            let pattern = patterns.get(row)?;
            Some(pattern.format(to_local(utc, call.zone), offset_at(utc, call.zone)))
        }))
    })
}

/// `CONVERT_TZ(text, from, to)` for text of the form `yyyy-MM-dd HH:mm:ss`; an unknown zone gives NULL.
fn convert_tz(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, from, to) = (call.text(0)?, call.text(1)?, call.text(2)?);
    call.texts(|row| {
        let convert = || {
            let (from, to): (Tz, Tz) = (from.get(row)?.parse().ok()?, to.get(row)?.parse().ok()?);
            let utc = to_utc(parse_timestamp(text.get(row)?)?, from)?;
            Some(to_local(utc, to).format("%Y-%m-%d %H:%M:%S").to_string())
        };
        Ok(convert())
    })
}

/// An array of the result type from whole numbers.
pub(super) fn result_array(call: &Call<'_>, values: Int64Array) -> Result<ArrayRef> {
    if call.result == &DataType::Int64 {
        return Ok(Arc::new(values));
    }
    from_ticks(&values, call.result)
}
