//! Several projections of each row: grouping sets, where every row counts once per set.

use std::sync::Arc;

use arrow::array::UInt32Array;
use arrow::datatypes::SchemaRef;
use datafusion_physical_expr::PhysicalExpr;

use crate::changelog::ChangelogBatch;
use crate::error::Result;
use crate::operator::{Operator, Output};
use crate::operators::project_batch;

/// Emits each input row once per projection, the results of one row side by side.
pub struct Expand {
    projections: Vec<Vec<Arc<dyn PhysicalExpr>>>,
    schema: SchemaRef,
}

impl Expand {
    /// An operator whose `projections` all give the columns of `schema`.
    pub fn new(projections: Vec<Vec<Arc<dyn PhysicalExpr>>>, schema: SchemaRef) -> Self {
        Expand { projections, schema }
    }
}

impl Operator for Expand {
    fn on_batch(&mut self, _port: usize, batch: ChangelogBatch, out: &mut Output) -> Result<()> {
        let (rows, sets) = (batch.len() as u32, self.projections.len() as u32);
        let expanded =
            self.projections.iter().map(|p| project_batch(&batch, p, &self.schema)).collect::<Result<Vec<_>>>()?;
        // Row-major order: consumers that look at rows one by one see all sets of a row before the next row.
        let order: UInt32Array = (0..rows).flat_map(|row| (0..sets).map(move |set| set * rows + row)).collect();
        out.emit(ChangelogBatch::concat(&expanded)?.take(&order)?);
        Ok(())
    }
}
