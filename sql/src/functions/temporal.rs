//! Between the whole numbers in temporal columns and dates with a time of day, with the session's zone where needed.
//!
//! A *wall* value is what a clock on the wall shows: TIMESTAMP as it is, TIMESTAMP_LTZ in the session's zone, DATE at
//! midnight, TIME on 1970-01-01. Casts between temporal types go through it.

use arrow::datatypes::DataType;
use chrono::{DateTime, Duration, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone, Timelike};
use chrono_tz::Tz;

use super::interval::{date_of, days_of, tick_nanos};

const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// What the wall clock shows for `ticks` of type `data_type`; None out of range.
pub(crate) fn wall(ticks: i64, data_type: &DataType, zone: Tz) -> Option<NaiveDateTime> {
    let nanos = i128::from(ticks) * tick_nanos(data_type);
    let seconds = i64::try_from(nanos.div_euclid(NANOS_PER_SECOND)).ok()?;
    let fraction = u32::try_from(nanos.rem_euclid(NANOS_PER_SECOND)).ok()?;
    let utc = DateTime::from_timestamp(seconds, fraction)?.naive_utc();
    match data_type {
        DataType::Timestamp(_, Some(_)) => Some(to_local(utc, zone)),
        DataType::Date32 => date_of(ticks)?.and_hms_opt(0, 0, 0),
        _ => Some(utc),
    }
}

/// The value of type `data_type` that shows `wall`, cut to its precision; None out of range.
pub(crate) fn ticks_of(wall: NaiveDateTime, data_type: &DataType, zone: Tz) -> Option<i64> {
    match data_type {
        DataType::Date32 => Some(days_of(wall.date())),
        DataType::Time32(_) | DataType::Time64(_) => {
            let time = wall.time();
            let nanos = i128::from(time.num_seconds_from_midnight()) * NANOS_PER_SECOND + i128::from(time.nanosecond());
            i64::try_from(nanos / tick_nanos(data_type)).ok()
        }
        DataType::Timestamp(_, Some(_)) => utc_ticks(to_utc(wall, zone)?, data_type),
        _ => utc_ticks(wall, data_type),
    }
}

fn utc_ticks(utc: NaiveDateTime, data_type: &DataType) -> Option<i64> {
    let utc = utc.and_utc();
    let nanos = i128::from(utc.timestamp()) * NANOS_PER_SECOND + i128::from(utc.timestamp_subsec_nanos());
    i64::try_from(nanos.div_euclid(tick_nanos(data_type))).ok()
}

/// The instant `utc` on a clock in `zone`.
pub(crate) fn to_local(utc: NaiveDateTime, zone: Tz) -> NaiveDateTime {
    if zone == Tz::UTC { utc } else { zone.from_utc_datetime(&utc).naive_local() }
}

/// The instant at which a clock in `zone` shows `local`: the earlier one when there are two; in a gap the clock is
/// taken to go on as before, so 02:30 becomes what is then called 03:30.
pub(crate) fn to_utc(local: NaiveDateTime, zone: Tz) -> Option<NaiveDateTime> {
    if zone == Tz::UTC {
        return Some(local);
    }
    match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(at) | MappedLocalTime::Ambiguous(at, _) => Some(at.naive_utc()),
        MappedLocalTime::None => {
            let quarters = (1..=96).map(|i| local.checked_sub_signed(Duration::minutes(15 * i)));
            let before = quarters.flatten().find_map(|t| zone.from_local_datetime(&t).latest())?;
            local.checked_sub_offset(before.offset().fix())
        }
    }
}

/// Reads `2024-01-31`, `2024-1-31`, `2024-01`, `2024`; what follows a blank is left out.
pub(crate) fn parse_date(text: &str) -> Option<NaiveDate> {
    let text = text.trim();
    let text = text.split(' ').next()?;
    let mut parts = text.split('-');
    let year = number(parts.next()?, 9)?;
    let month = parts.next().map_or(Some(1), |p| number(p, 2))?;
    let day = parts.next().map_or(Some(1), |p| number(p, 2))?;
    if parts.next().is_some() {
        return None;
    }
    NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)
}

/// Reads `23:59:59.999`, `23:59:59`, `23:59`, `23`.
pub(crate) fn parse_time(text: &str) -> Option<NaiveTime> {
    let text = text.trim();
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = clock.split(':');
    let hour = number(parts.next()?, 2)?;
    let minute = parts.next().map_or(Some(0), |p| number(p, 2))?;
    let second = parts.next().map_or(Some(0), |p| number(p, 2))?;
    if parts.next().is_some() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanos: u32 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    NaiveTime::from_hms_nano_opt(hour, minute, second, nanos)
}

/// Reads a date alone or a date and a time with a blank between (Flink takes no `T`).
pub(crate) fn parse_timestamp(text: &str) -> Option<NaiveDateTime> {
    let text = text.trim();
    let (date, time) = match text.find(' ') {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let date = parse_date(date)?;
    let time = match time {
        Some(time) => parse_time(time)?,
        None => NaiveTime::MIN,
    };
    Some(date.and_time(time))
}

fn number(text: &str, most: usize) -> Option<u32> {
    let plain = !text.is_empty() && text.len() <= most && text.bytes().all(|b| b.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_time_in_the_gap_moves_forward() {
        let zone = Tz::America__Los_Angeles;
        let local = parse_timestamp("2024-03-10 02:30:00").unwrap();
        assert_eq!(to_utc(local, zone).unwrap().to_string(), "2024-03-10 10:30:00");
        assert_eq!(to_local(to_utc(local, zone).unwrap(), zone).to_string(), "2024-03-10 03:30:00");
    }

    #[test]
    fn texts_that_are_no_dates_are_refused() {
        assert!(parse_date("2024-02-30").is_none());
        assert!(parse_date("abc").is_none());
        assert!(parse_timestamp("2024-01-01 25:00:00").is_none());
        assert!(parse_timestamp("").is_none());
        assert!(parse_timestamp("2025-06-30T06:07:08").is_none());
        assert_eq!(parse_date("2024-1-5").unwrap().to_string(), "2024-01-05");
    }
}
