//! Functions over a time unit: EXTRACT and its short forms, FLOOR and CEIL, TIMESTAMPADD, TIMESTAMPDIFF.
//!
//! Units come as text (`extract('YEAR', ts)`, `floor(ts, 'HOUR')`); the parser or the rewrite puts them there.

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, Int32Type, Int64Type, IntervalMonthDayNano, TimeUnit};
use chrono::{Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use datafusion_common::{Result, plan_err};

use super::call::{Call, Function, Inputs, Kind, data_error};
use super::datetime::{result_array, walls};
use super::interval::{from_ticks, move_ticks, ticks};
use super::returns;
use super::temporal::ticks_of;

/// The functions of this file.
pub(super) fn functions() -> Vec<Function> {
    const UNIT: &[Kind] = &[Kind::Text, Kind::Temporal];
    macro_rules! part {
        ($name:literal, $unit:literal) => {
            Function::new($name, &[Kind::Temporal], returns::bigint, |call| parts(call, 0, |_| Ok($unit.to_string())))
        };
    }
    vec![
        Function::new("extract", UNIT, returns::bigint, extract),
        part!("year", "YEAR"),
        part!("quarter", "QUARTER"),
        part!("month", "MONTH"),
        part!("week", "WEEK"),
        part!("dayofyear", "DOY"),
        part!("dayofmonth", "DAY"),
        part!("dayofweek", "DOW"),
        part!("hour", "HOUR"),
        part!("minute", "MINUTE"),
        part!("second", "SECOND"),
        Function::new("timestampadd", &[Kind::Text, Kind::Int, Kind::Any], add_type, timestamp_add),
        Function::new("timestampdiff", &[Kind::Text, Kind::Any, Kind::Any], returns::int, timestamp_diff).nullable(),
    ]
}

/// A unit of the calendar or the clock; sub-second ones are given in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Months(i32),
    Week,
    Nanos(i64),
}

const DAY: i64 = 86_400_000_000_000;

impl Unit {
    fn named(name: &str) -> Option<Unit> {
        let name = name.to_ascii_uppercase();
        let name = name.strip_prefix("SQL_TSI_").unwrap_or(&name);
        Some(match name.strip_suffix('S').unwrap_or(name) {
            "MILLENNIUM" => Unit::Months(12_000),
            "CENTURY" => Unit::Months(1_200),
            "DECADE" => Unit::Months(120),
            "YEAR" => Unit::Months(12),
            "QUARTER" => Unit::Months(3),
            "MONTH" => Unit::Months(1),
            "WEEK" => Unit::Week,
            "DAY" => Unit::Nanos(DAY),
            "HOUR" => Unit::Nanos(DAY / 24),
            "MINUTE" => Unit::Nanos(60_000_000_000),
            "SECOND" => Unit::Nanos(1_000_000_000),
            "MILLISECOND" => Unit::Nanos(1_000_000),
            "MICROSECOND" => Unit::Nanos(1_000),
            "NANOSECOND" => Unit::Nanos(1),
            _ => return None,
        })
    }
}

fn unit_of(call: &Call<'_>, argument: usize, row: usize) -> Result<Unit> {
    let names = call.text(argument)?;
    let name = names.get(row).unwrap_or_default();
    Unit::named(name).ok_or_else(|| data_error(format!("'{name}' is not a time unit")))
}

fn extract(call: &Call<'_>) -> Result<ArrayRef> {
    let names = call.text(0)?;
    parts(call, 1, |row| Ok(names.get(row).unwrap_or_default().to_ascii_uppercase()))
}

fn parts(call: &Call<'_>, argument: usize, unit: impl Fn(usize) -> Result<String>) -> Result<ArrayRef> {
    if call.rows == 0 {
        return call.numbers::<Int64Type>(|_| Ok(None));
    }
    let (walls, unit) = (walls(call, argument)?, unit(0)?);
    if walls.iter().flatten().next().is_some_and(|at| part(&unit, *at).is_none()) {
        return Err(data_error(format!("EXTRACT of {unit} is not supported")));
    }
    call.numbers::<Int64Type>(|row| Ok(walls[row].and_then(|at| part(&unit, at))))
}

fn part(unit: &str, at: NaiveDateTime) -> Option<i64> {
    let year = i64::from(at.year());
    Some(match unit {
        "YEAR" => year,
        "ISOYEAR" => i64::from(at.iso_week().year()),
        "QUARTER" => i64::from(at.month0() / 3 + 1),
        "MONTH" => i64::from(at.month()),
        "WEEK" => i64::from(at.iso_week().week()),
        "DAY" => i64::from(at.day()),
        "DOY" => i64::from(at.ordinal()),
        "DOW" => i64::from(at.weekday().num_days_from_sunday()) + 1,
        "ISODOW" => i64::from(at.weekday().num_days_from_monday()) + 1,
        "HOUR" => i64::from(at.hour()),
        "MINUTE" => i64::from(at.minute()),
        "SECOND" => i64::from(at.second()),
        "MILLISECOND" => i64::from(at.nanosecond() / 1_000_000),
        "MICROSECOND" => i64::from(at.nanosecond() / 1_000),
        "NANOSECOND" => i64::from(at.nanosecond()),
        "EPOCH" => at.and_utc().timestamp(),
        "DECADE" => year.div_euclid(10),
        "CENTURY" => (year + 99).div_euclid(100),
        "MILLENNIUM" => (year + 999).div_euclid(1000),
        _ => return None,
    })
}

/// Weeks start on Sunday.
fn floor(at: NaiveDateTime, unit: Unit) -> Option<NaiveDateTime> {
    match unit {
        Unit::Months(months) => {
            let month = at.year() * 12 + i32::try_from(at.month0()).ok()?;
            let first = month.div_euclid(months) * months;
            let date = NaiveDate::from_ymd_opt(first.div_euclid(12), u32::try_from(first.rem_euclid(12)).ok()? + 1, 1)?;
            Some(date.and_time(NaiveTime::MIN))
        }
        Unit::Week => {
            let back = Days::new(u64::from(at.weekday().num_days_from_sunday()));
            Some(at.date().checked_sub_days(back)?.and_time(NaiveTime::MIN))
        }
        Unit::Nanos(DAY) => Some(at.date().and_time(NaiveTime::MIN)),
        Unit::Nanos(unit) => {
            let nanos = i64::from(at.num_seconds_from_midnight()) * 1_000_000_000 + i64::from(at.nanosecond());
            Some(at - chrono::Duration::nanoseconds(nanos % unit))
        }
    }
}

fn ceil(at: NaiveDateTime, unit: Unit) -> Option<NaiveDateTime> {
    let floor = floor(at, unit)?;
    if floor == at {
        return Some(at);
    }
    match unit {
        Unit::Months(months) => floor.checked_add_months(Months::new(months.unsigned_abs())),
        Unit::Week => floor.checked_add_days(Days::new(7)),
        Unit::Nanos(unit) => floor.checked_add_signed(chrono::Duration::nanoseconds(unit)),
    }
}

fn rounded(call: &Call<'_>, f: fn(NaiveDateTime, Unit) -> Option<NaiveDateTime>) -> Result<ArrayRef> {
    let walls = walls(call, 0)?;
    let values = (0..call.rows).map(|row| {
        let unit = unit_of(call, 1, row)?;
        Ok(walls[row].and_then(|at| ticks_of(f(at, unit)?, call.result, call.zone)))
    });
    from_ticks(&values.collect::<Result<Int64Array>>()?, call.result)
}

/// `FLOOR(time TO unit)` with the arguments time and unit.
pub(super) fn floor_time(call: &Call<'_>) -> Result<ArrayRef> {
    rounded(call, floor)
}

/// `CEIL(time TO unit)` with the arguments time and unit.
pub(super) fn ceil_time(call: &Call<'_>) -> Result<ArrayRef> {
    rounded(call, ceil)
}

/// A date stays a date for units of days and more.
fn add_type(inputs: &Inputs<'_>) -> Result<DataType> {
    let Some(name) = inputs.constant_text(0) else { return plan_err!("TIMESTAMPADD takes a time unit first") };
    let Some(unit) = Unit::named(name) else { return plan_err!("'{name}' is not a time unit") };
    let below_day = matches!(unit, Unit::Nanos(n) if n < DAY);
    Ok(match inputs.types.get(2) {
        Some(DataType::Date32) if below_day => DataType::Timestamp(TimeUnit::Millisecond, None),
        Some(DataType::Timestamp(TimeUnit::Second, zone)) if below_day => {
            DataType::Timestamp(TimeUnit::Millisecond, zone.clone())
        }
        Some(DataType::Utf8) => DataType::Timestamp(TimeUnit::Millisecond, None),
        Some(other) => other.clone(),
        None => DataType::Null,
    })
}

fn timestamp_add(call: &Call<'_>) -> Result<ArrayRef> {
    let counts = call.int(1)?;
    let mode = super::cast::CastMode { safe: true, zone: call.zone };
    let times = ticks(&super::cast::cast(&call.spread(2)?, call.result, mode)?)?;
    let values = (0..call.rows).map(|row| {
        let unit = unit_of(call, 0, row)?;
        let moved = || {
            let count = counts.get(row)?;
            let zero = IntervalMonthDayNano { months: 0, days: 0, nanoseconds: 0 };
            let interval = match unit {
                Unit::Months(months) => {
                    let months = i32::try_from(count.checked_mul(i64::from(months))?).ok()?;
                    IntervalMonthDayNano { months, ..zero }
                }
                Unit::Week => IntervalMonthDayNano { days: i32::try_from(count.checked_mul(7)?).ok()?, ..zero },
                Unit::Nanos(DAY) => IntervalMonthDayNano { days: i32::try_from(count).ok()?, ..zero },
                Unit::Nanos(nanos) => IntervalMonthDayNano { nanoseconds: count.checked_mul(nanos)?, ..zero },
            };
            let valid = arrow::array::Array::is_valid(&times, row);
            if valid { move_ticks(times.value(row), interval, call.result) } else { None }
        };
        Ok(moved())
    });
    result_array(call, values.collect::<Result<Int64Array>>()?)
}

/// Whole units between two times, cut towards zero.
fn timestamp_diff(call: &Call<'_>) -> Result<ArrayRef> {
    let (from, to) = (walls(call, 1)?, walls(call, 2)?);
    call.numbers::<Int32Type>(|row| {
        let unit = unit_of(call, 0, row)?;
        let (Some(from), Some(to)) = (from[row], to[row]) else { return Ok(None) };
        Ok(Some(difference(from, to, unit)))
    })
}

#[expect(clippy::cast_possible_truncation, reason = "Flink's result is an INT that wraps around")]
fn difference(from: NaiveDateTime, to: NaiveDateTime, unit: Unit) -> i32 {
    let micros = (to - from).num_microseconds().unwrap_or(i64::MAX);
    match unit {
        Unit::Months(months) => {
            let index = |at: NaiveDateTime| at.year() * 12 + at.month0() as i32;
            let whole = index(to) - index(from);
            // The day that many months later, cut to the end of its month, may lie behind the goal.
            let by = Months::new(whole.unsigned_abs());
            let whole = match whole {
                1.. if from.checked_add_months(by).is_some_and(|reached| reached > to) => whole - 1,
                ..=-1 if from.checked_sub_months(by).is_some_and(|reached| reached < to) => whole + 1,
                _ => whole,
            };
            whole / months
        }
        Unit::Week => (micros / (7 * DAY / 1000)) as i32,
        Unit::Nanos(nanos) if nanos >= 1000 => (micros / (nanos / 1000)) as i32,
        Unit::Nanos(_) => micros.wrapping_mul(1000) as i32,
    }
}
