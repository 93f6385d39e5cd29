//! Window assignment: the bare window table function, which appends the window's columns to each row. Stateless.

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::datatypes::SchemaRef;

use super::window_columns::WallClock;
use crate::changelog::ChangelogBatch;
use crate::error::Result;
use crate::operator::{Operator, Output};
use crate::window::{WindowSpec, Zone};

/// `SELECT * FROM TUMBLE | HOP | CUMULATE(TABLE t, DESCRIPTOR(column), …)`: a row comes out once per window it belongs
/// to, followed by `window_start`, `window_end` and `window_time`. Late rows are not dropped.
pub struct WindowAssign {
    window: WindowSpec,
    column: usize,
    schema: SchemaRef,
    clock: WallClock,
}

impl WindowAssign {
    /// Windows over the timestamp in `column`; `schema` is the input's columns and the three of the window.
    pub fn new(window: WindowSpec, column: usize, schema: SchemaRef) -> Self {
        WindowAssign { window, column, schema, clock: WallClock::default() }
    }

    /// The same, with windows laid out on the wall clock of `zone`: for TIMESTAMP_LTZ.
    pub fn in_zone(self, zone: Arc<dyn Zone>) -> Self {
        WindowAssign { clock: WallClock(Some(zone)), ..self }
    }
}

impl Operator for WindowAssign {
    fn on_batch(&mut self, _port: usize, batch: ChangelogBatch, out: &mut Output) -> Result<()> {
        let times = self.clock.times(&batch, self.column)?;
        let (mut rows, mut windows) = (Vec::new(), Vec::new());
        for (row, time) in times.values().iter().enumerate() {
            for window in self.window.windows(*time) {
                rows.push(row as u32);
                windows.push(window);
            }
        }
        let repeated = batch.take(&UInt32Array::from(rows))?;
        let mut columns = repeated.rows().columns().to_vec();
        columns.extend(self.clock.columns(&windows, &self.schema)?);
        out.emit(repeated.with_rows(RecordBatch::try_new(self.schema.clone(), columns)?));
        Ok(())
    }
}
