//! The numbers of a time or timestamp array, whatever its unit and width.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use eddyline_engine::error::Result;

use super::columns::unsupported;

/// The values of the array, in its unit.
pub(super) enum Instants<'a> {
    Narrow(&'a [i32]),
    Wide(&'a [i64]),
}

impl Instants<'_> {
    /// Value `row`.
    #[inline]
    pub(super) fn value(&self, row: usize) -> i64 {
        match self {
            Instants::Narrow(values) => i64::from(values[row]),
            Instants::Wide(values) => values[row],
        }
    }
}

/// The numbers of the time or timestamp column `name`.
pub(super) fn instants<'a>(name: &str, array: &'a dyn Array) -> Result<Instants<'a>> {
    Ok(match array.data_type() {
        DataType::Time32(TimeUnit::Second) => Instants::Narrow(array.as_primitive::<Time32SecondType>().values()),
        DataType::Time32(TimeUnit::Millisecond) => {
            Instants::Narrow(array.as_primitive::<Time32MillisecondType>().values())
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            Instants::Wide(array.as_primitive::<Time64MicrosecondType>().values())
        }
        DataType::Time64(TimeUnit::Nanosecond) => Instants::Wide(array.as_primitive::<Time64NanosecondType>().values()),
        DataType::Timestamp(TimeUnit::Second, _) => {
            Instants::Wide(array.as_primitive::<TimestampSecondType>().values())
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            Instants::Wide(array.as_primitive::<TimestampMillisecondType>().values())
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Instants::Wide(array.as_primitive::<TimestampMicrosecondType>().values())
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            Instants::Wide(array.as_primitive::<TimestampNanosecondType>().values())
        }
        other => return Err(unsupported(name, other)),
    })
}
