//! Union: passes the rows of all inputs on as they come. Stateless.

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;

use crate::changelog::ChangelogBatch;
use crate::error::Result;
use crate::operator::{Operator, Output};

/// `UNION ALL` of any number of inputs with equal column types.
pub struct Union {
    schema: Option<SchemaRef>,
}

impl Union {
    /// A union whose output columns take the names of `schema`, or keep those of each input.
    pub fn new(schema: Option<SchemaRef>) -> Self {
        Union { schema }
    }
}

impl Operator for Union {
    fn on_batch(&mut self, _port: usize, batch: ChangelogBatch, out: &mut Output) -> Result<()> {
        let Some(schema) = &self.schema else {
            out.emit(batch);
            return Ok(());
        };
        let options = RecordBatchOptions::new().with_row_count(Some(batch.len()));
        let rows = RecordBatch::try_new_with_options(schema.clone(), batch.rows().columns().to_vec(), &options)?;
        out.emit(batch.with_rows(rows));
        Ok(())
    }
}
