//! Window assignment: the bare window table function, which appends the window's columns to each row. Stateless.

use arrow::datatypes::SchemaRef;

use crate::changelog::ChangelogBatch;
use crate::error::{Error, Result};
use crate::operator::{Operator, Output};
use crate::window::WindowSpec;

/// `SELECT * FROM TUMBLE | HOP | CUMULATE(TABLE t, DESCRIPTOR(column), …)`: a row comes out once per window it belongs
/// to, followed by `window_start`, `window_end` and `window_time`. Late rows are not dropped.
pub struct WindowAssign {
    window: WindowSpec,
    column: usize,
    schema: SchemaRef,
}

impl WindowAssign {
    /// Windows over the timestamp in `column`; `schema` is the input's columns and the three of the window.
    pub fn new(window: WindowSpec, column: usize, schema: SchemaRef) -> Self {
        WindowAssign { window, column, schema }
    }
}

impl Operator for WindowAssign {
    fn on_batch(&mut self, _port: usize, _batch: ChangelogBatch, _out: &mut Output) -> Result<()> {
        let _ = (&self.window, self.column, &self.schema);
        Err(Error::internal("not there yet"))
    }
}
