//! Projection: computes each output column from the input row. Stateless.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion_physical_expr::PhysicalExpr;

use crate::changelog::ChangelogBatch;
use crate::error::Result;
use crate::operator::{Operator, Output};

/// `SELECT expression, …` without aggregation.
///
/// ```
/// # use std::sync::Arc;
/// # use arrow::array::{Int64Array, RecordBatch};
/// # use arrow::datatypes::{DataType, Field, Schema};
/// # use datafusion_physical_expr::expressions::col;
/// # use eddyline_engine::{ChangelogBatch, operator::{Operator, Output}, operators::Project, time::ProcessingTime};
/// let field = |name| Field::new(name, DataType::Int64, true);
/// let input = Schema::new(vec![field("a"), field("b")]);
/// let columns = [1, 2].map(|v| Arc::new(Int64Array::from(vec![v])) as _).to_vec();
/// let rows = RecordBatch::try_new(Arc::new(input.clone()), columns)?;
///
/// let mut project = Project::new(vec![col("b", &input)?], Arc::new(Schema::new(vec![field("b")])));
/// let mut out = Output::at(ProcessingTime(0));
/// project.on_batch(0, ChangelogBatch::inserts(rows), &mut out)?;
/// assert_eq!(out.into_batches()[0].rows().num_columns(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Project {
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    schema: SchemaRef,
}

impl Project {
    /// One output column per expression; `schema` names them.
    pub fn new(exprs: Vec<Arc<dyn PhysicalExpr>>, schema: SchemaRef) -> Self {
        assert_eq!(exprs.len(), schema.fields().len(), "a projection has one expression per column");
        Project { exprs, schema }
    }
}

/// The batch whose columns are `exprs` over `batch`, named by `schema`, with the same kinds.
pub(crate) fn project(
    batch: &ChangelogBatch,
    exprs: &[Arc<dyn PhysicalExpr>],
    schema: &SchemaRef,
) -> Result<ChangelogBatch> {
    let rows = batch.len();
    let columns = exprs
        .iter()
        .map(|e| e.evaluate(batch.rows())?.into_array(rows))
        .collect::<datafusion_common::Result<Vec<ArrayRef>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(batch.with_rows(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?))
}

impl Operator for Project {
    fn on_batch(&mut self, _port: usize, batch: ChangelogBatch, out: &mut Output) -> Result<()> {
        out.emit(project(&batch, &self.exprs, &self.schema)?);
        Ok(())
    }
}
