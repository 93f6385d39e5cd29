//! `CURRENT_WATERMARK`: the watermark as a column.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::SchemaRef;

use crate::changelog::ChangelogBatch;
use crate::error::Result;
use crate::operator::{Operator, Output};
use crate::state::States;
use crate::state::value::Value;
use crate::time::{Watermark, micros_column};

/// Appends the last watermark to every row, NULL before the first.
pub struct CurrentWatermark {
    schema: SchemaRef,
    watermark: Value<i64>,
}

impl CurrentWatermark {
    /// `schema` is the input's columns and one timestamp.
    pub fn new(schema: SchemaRef) -> Self {
        CurrentWatermark { schema, watermark: Value::new(i64::MIN, i64::min) }
    }
}

impl Operator for CurrentWatermark {
    fn on_batch(&mut self, _port: usize, batch: ChangelogBatch, out: &mut Output) -> Result<()> {
        let watermark = Some(*self.watermark.get()).filter(|w| *w != i64::MIN);
        let micros: Int64Array = std::iter::repeat_n(watermark, batch.len()).collect();
        let mut columns: Vec<ArrayRef> = batch.rows().columns().to_vec();
        columns.push(micros_column(micros, self.schema.field(columns.len()).data_type())?);
        out.emit(batch.with_rows(RecordBatch::try_new(Arc::clone(&self.schema), columns)?));
        Ok(())
    }

    fn on_watermark(&mut self, watermark: Watermark, _out: &mut Output) -> Result<()> {
        self.watermark.set(watermark.0.0);
        Ok(())
    }

    fn states(&mut self) -> States<'_> {
        States::one("watermark", &mut self.watermark)
    }
}
