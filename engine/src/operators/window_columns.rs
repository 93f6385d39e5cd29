//! What the window operators share: reading the time attribute, writing the columns of windows, and session time zones.
//!
//! Windows over TIMESTAMP_LTZ are laid out on the wall clock of the session: instants become wall-clock times when they
//! come in, windows and panes are wall-clock times, and `window_time` and the closing of windows are instants again.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array};
use arrow::datatypes::{FieldRef, Int64Type, SchemaRef};

use crate::changelog::ChangelogBatch;
use crate::error::{Error, Result};
use crate::time::{column_micros, micros_column};
use crate::window::{Window, Zone};

/// The resolution of watermarks: a window closes this long before its end, in microseconds.
pub(super) const TICK: i64 = 1_000;

/// The wall clock of a session; without a zone, instants are wall-clock times.
#[derive(Clone, Default)]
pub(super) struct WallClock(pub(super) Option<Arc<dyn Zone>>);

impl WallClock {
    /// What the clock shows at `instant`.
    pub(super) fn wall(&self, instant: i64) -> i64 {
        match &self.0 {
            Some(zone) if instant != i64::MAX && instant != i64::MIN => zone.wall(instant),
            _ => instant,
        }
    }

    /// When the clock shows `wall`.
    pub(super) fn instant(&self, wall: i64) -> i64 {
        match &self.0 {
            Some(zone) if wall != i64::MAX && wall != i64::MIN => zone.instant(wall),
            _ => wall,
        }
    }

    /// The wall-clock times of the time attribute in `column`.
    pub(super) fn times(&self, batch: &ChangelogBatch, column: usize) -> Result<Int64Array> {
        let times = column_micros(batch.column(column))?;
        if times.null_count() > 0 {
            return Err(Error::data("RowTime field should not be null, please convert it to a non-null long value."));
        }
        Ok(if self.0.is_some() { times.unary::<_, Int64Type>(|instant| self.wall(instant)) } else { times })
    }

    /// `window_start`, `window_end` and `window_time` in the types of the last three columns of `schema`.
    pub(super) fn columns(&self, windows: &[Window], schema: &SchemaRef) -> Result<Vec<ArrayRef>> {
        let times: [&dyn Fn(&Window) -> i64; 3] =
            [&|window| window.start, &|window| window.end, &|window| self.instant(window.end - TICK)];
        let types = schema.fields().iter().rev().take(times.len()).rev();
        let column = |(time, field): (&dyn Fn(&Window) -> i64, &FieldRef)| {
            micros_column(windows.iter().map(time).collect::<Vec<i64>>().into(), field.data_type())
        };
        times.into_iter().zip(types).map(column).collect()
    }
}
