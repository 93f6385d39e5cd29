//! Times plus and minus intervals.
//!
//! An interval is Arrow's (months, days, nanoseconds). Months move the calendar and are cut to the last day of the
//! month; days and the rest are plain lengths of time (a day is 24 hours, also on TIMESTAMP_LTZ).

use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array};
use arrow::array::{ArrayRef, IntervalMonthDayNanoArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
    Time32MillisecondType, Time32SecondType, TimeUnit,
};
use chrono::{Datelike, Months, NaiveDate};
use datafusion_common::{Result, internal_err};

use super::call::Call;

/// Nanoseconds in a day.
const DAY_NANOS: i128 = 86_400_000_000_000;

/// Type of a time of type `time` moved by something of type `by`; None if that makes no sense.
pub(super) fn shifted_type(time: &DataType, by: &DataType) -> Option<DataType> {
    if !matches!(by, DataType::Interval(_)) {
        return None;
    }
    match time {
        DataType::Timestamp(TimeUnit::Second, zone) => Some(DataType::Timestamp(TimeUnit::Millisecond, zone.clone())),
        DataType::Timestamp(_, _) | DataType::Date32 | DataType::Time32(_) | DataType::Interval(_) => {
            Some(time.clone())
        }
        _ => None,
    }
}

/// Type of an interval times a number.
pub(super) fn scaled_type(interval: &DataType, by: &DataType) -> Option<DataType> {
    (matches!(interval, DataType::Interval(_)) && by.is_integer()).then(|| interval.clone())
}

/// `time ± interval`, in either order of the arguments.
pub(super) fn shift(call: &Call<'_>, negated: bool) -> Result<ArrayRef> {
    let first_is_interval = matches!(call.arg(0)?.0.data_type(), DataType::Interval(_));
    let second_is_interval = matches!(call.arg(1)?.0.data_type(), DataType::Interval(_));
    let (time, by) = if first_is_interval && !second_is_interval { (1, 0) } else { (0, 1) };
    let intervals = call.primitive::<IntervalMonthDayNanoType>(by)?;
    let interval = |row: usize| intervals.get(row).map(|i| if negated { negate(i) } else { i });
    let (array, constant) = call.arg(time)?;
    if let DataType::Interval(_) = array.data_type() {
        let left = call.primitive::<IntervalMonthDayNanoType>(time)?;
        let sums: IntervalMonthDayNanoArray =
            (0..call.rows).map(|row| Some(sum(left.get(row)?, interval(row)?))).collect();
        return Ok(Arc::new(sums));
    }
    let array = cast(array, call.result)?;
    let ticks = ticks(&array)?;
    let at = |row: usize| {
        let row = if constant { 0 } else { row };
        ticks.is_valid(row).then(|| ticks.value(row))
    };
    let moved: Int64Array = (0..call.rows).map(|row| move_ticks(at(row)?, interval(row)?, call.result)).collect();
    from_ticks(&moved, call.result)
}

/// `interval * number`, in either order.
pub(super) fn scale(call: &Call<'_>) -> Result<ArrayRef> {
    let interval = usize::from(!matches!(call.arg(0)?.0.data_type(), DataType::Interval(_)));
    let intervals = call.primitive::<IntervalMonthDayNanoType>(interval)?;
    let (factors, constant) = call.arg(1 - interval)?;
    let factors = cast(factors, &DataType::Int64)?;
    let factors = factors.as_primitive::<Int64Type>();
    let values: IntervalMonthDayNanoArray = (0..call.rows)
        .map(|row| {
            let at = if constant { 0 } else { row };
            let (value, factor) = (intervals.get(row)?, factors.is_valid(at).then(|| factors.value(at))?);
            let small = i32::try_from(factor).ok()?;
            let nanoseconds = value.nanoseconds.checked_mul(factor)?;
            let (months, days) = (value.months.checked_mul(small)?, value.days.checked_mul(small)?);
            Some(IntervalMonthDayNano { months, days, nanoseconds })
        })
        .collect();
    Ok(Arc::new(values))
}

/// The whole numbers under a temporal array.
pub(super) fn ticks(array: &ArrayRef) -> Result<Int64Array> {
    let ticks = match array.data_type() {
        DataType::Timestamp(_, _) | DataType::Time64(_) | DataType::Date64 => cast(array, &DataType::Int64)?,
        _ => cast(&cast(array, &DataType::Int32)?, &DataType::Int64)?,
    };
    Ok(ticks.as_primitive::<Int64Type>().clone())
}

/// The temporal array over these whole numbers.
pub(super) fn from_ticks(ticks: &Int64Array, data_type: &DataType) -> Result<ArrayRef> {
    let small = |v: i64| i32::try_from(v).unwrap_or(if v < 0 { i32::MIN } else { i32::MAX });
    Ok(match data_type {
        DataType::Timestamp(_, _) => cast(ticks, data_type)?,
        DataType::Date32 => Arc::new(ticks.unary::<_, Date32Type>(small)),
        DataType::Time32(TimeUnit::Second) => Arc::new(ticks.unary::<_, Time32SecondType>(small)),
        DataType::Time32(_) => Arc::new(ticks.unary::<_, Time32MillisecondType>(small)),
        DataType::Interval(IntervalUnit::MonthDayNano) => return internal_err!("an interval has no ticks"),
        other => cast(ticks, other)?,
    })
}

/// Nanoseconds of one tick of a temporal type.
pub(super) fn tick_nanos(data_type: &DataType) -> i128 {
    match data_type {
        DataType::Timestamp(unit, _) | DataType::Time32(unit) | DataType::Time64(unit) => match unit {
            TimeUnit::Second => 1_000_000_000,
            TimeUnit::Millisecond => 1_000_000,
            TimeUnit::Microsecond => 1_000,
            TimeUnit::Nanosecond => 1,
        },
        _ => DAY_NANOS,
    }
}

/// `ticks` of type `data_type` moved by `interval`; None out of range.
pub(super) fn move_ticks(ticks: i64, interval: IntervalMonthDayNano, data_type: &DataType) -> Option<i64> {
    let tick = tick_nanos(data_type);
    let mut nanos = i128::from(ticks) * tick;
    if interval.months != 0 && !matches!(data_type, DataType::Time32(_) | DataType::Time64(_)) {
        let days = i64::try_from(nanos.div_euclid(DAY_NANOS)).ok()?;
        nanos = i128::from(add_months(days, interval.months)?) * DAY_NANOS + nanos.rem_euclid(DAY_NANOS);
    }
    nanos += i128::from(interval.days) * DAY_NANOS + i128::from(interval.nanoseconds);
    if matches!(data_type, DataType::Time32(_) | DataType::Time64(_)) {
        nanos = nanos.rem_euclid(DAY_NANOS);
    }
    i64::try_from(nanos.div_euclid(tick)).ok()
}

/// The day `months` later, cut to the end of its month; days are counted from 1970-01-01.
pub(super) fn add_months(days: i64, months: i32) -> Option<i64> {
    let date = date_of(days)?;
    let by = Months::new(months.unsigned_abs());
    let moved = if months < 0 { date.checked_sub_months(by)? } else { date.checked_add_months(by)? };
    Some(days_of(moved))
}

/// The date of a day number.
pub(super) fn date_of(days: i64) -> Option<NaiveDate> {
    NaiveDate::from_num_days_from_ce_opt(i32::try_from(days.checked_add(719_163)?).ok()?)
}

/// The day number of a date.
pub(super) fn days_of(date: NaiveDate) -> i64 {
    i64::from(date.num_days_from_ce()) - 719_163
}

fn negate(i: IntervalMonthDayNano) -> IntervalMonthDayNano {
    IntervalMonthDayNano { months: -i.months, days: -i.days, nanoseconds: -i.nanoseconds }
}

fn sum(a: IntervalMonthDayNano, b: IntervalMonthDayNano) -> IntervalMonthDayNano {
    IntervalMonthDayNano {
        months: a.months.wrapping_add(b.months),
        days: a.days.wrapping_add(b.days),
        nanoseconds: a.nanoseconds.wrapping_add(b.nanoseconds),
    }
}
