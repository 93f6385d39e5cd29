//! Event time, watermarks, epochs, and the clock through which processing time enters the engine.
//!
//! All times are microseconds since 1970-01-01T00:00:00Z, whatever precision the SQL column has.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{
    DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// When something happened, in microseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventTime(pub i64);

/// A promise about a stream: no later row is at or before this time (rows that are, are late).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Watermark(pub EventTime);

impl Watermark {
    /// Before any row.
    pub const MIN: Watermark = Watermark(EventTime(i64::MIN));
    /// After every row: the end of a bounded input.
    pub const MAX: Watermark = Watermark(EventTime(i64::MAX));
}

/// Wall-clock time of the machine, in microseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessingTime(pub i64);

/// The number of a checkpoint of one job: dense, from 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch after this one.
    pub fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }
}

/// The only door through which wall-clock time enters.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> ProcessingTime;
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> ProcessingTime {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        ProcessingTime(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// A clock that moves only when told to, for tests.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that stands at `micros`.
    pub fn at(micros: i64) -> Self {
        ManualClock(AtomicI64::new(micros))
    }

    /// Sets the time.
    pub fn set(&self, micros: i64) {
        self.0.store(micros, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> ProcessingTime {
        ProcessingTime(self.0.load(Ordering::SeqCst))
    }
}

/// The values of a timestamp column of any precision, zone or none, as microseconds; NULLs stay NULL.
pub fn column_micros(column: &ArrayRef) -> Result<Int64Array> {
    let DataType::Timestamp(unit, _) = column.data_type() else {
        return Err(Error::internal(format!("a time attribute must be a timestamp, not {}", column.data_type())));
    };
    Ok(match unit {
        TimeUnit::Second => column.as_primitive::<TimestampSecondType>().unary(|v| v.saturating_mul(1_000_000)),
        TimeUnit::Millisecond => column.as_primitive::<TimestampMillisecondType>().unary(|v| v.saturating_mul(1_000)),
        TimeUnit::Microsecond => column.as_primitive::<TimestampMicrosecondType>().unary(|v| v),
        TimeUnit::Nanosecond => column.as_primitive::<TimestampNanosecondType>().unary(|v| v.div_euclid(1_000)),
    })
}

/// The inverse of [`column_micros`]: microseconds as a column of the timestamp type `data_type`, rounding down.
pub fn micros_column(micros: Int64Array, data_type: &DataType) -> Result<ArrayRef> {
    let DataType::Timestamp(unit, zone) = data_type else {
        return Err(Error::internal(format!("{data_type} is not a timestamp type")));
    };
    let zone = zone.clone();
    Ok(match unit {
        TimeUnit::Second => std::sync::Arc::new(
            micros.unary::<_, TimestampSecondType>(|v| v.div_euclid(1_000_000)).with_timezone_opt(zone),
        ),
        TimeUnit::Millisecond => std::sync::Arc::new(
            micros.unary::<_, TimestampMillisecondType>(|v| v.div_euclid(1_000)).with_timezone_opt(zone),
        ),
        TimeUnit::Microsecond => {
            std::sync::Arc::new(micros.unary::<_, TimestampMicrosecondType>(|v| v).with_timezone_opt(zone))
        }
        TimeUnit::Nanosecond => std::sync::Arc::new(
            micros.unary::<_, TimestampNanosecondType>(|v| v.saturating_mul(1_000)).with_timezone_opt(zone),
        ),
    })
}

/// The largest non-NULL value, if there is one.
pub fn max_micros(times: &Int64Array) -> Option<EventTime> {
    if times.null_count() == times.len() {
        return None;
    }
    arrow::compute::max(times).map(EventTime)
}

/// Year, month and day of a day since 1970-01-01 (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
pub fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}
