//! Filter: passes the rows for which a predicate is true, kinds and all. Stateless.

use std::sync::Arc;

use datafusion_common::cast::as_boolean_array;
use datafusion_physical_expr::PhysicalExpr;

use crate::changelog::ChangelogBatch;
use crate::error::Result;
use crate::operator::{Operator, Output};

/// `WHERE predicate`: NULL counts as false. Whether an update crosses the border of the predicate is not looked at, so
/// an update may leave as a lone `-U` or enter as a lone `+U`, as in Flink.
pub struct Filter {
    predicate: Arc<dyn PhysicalExpr>,
}

impl Filter {
    /// A filter by a boolean expression.
    pub fn new(predicate: Arc<dyn PhysicalExpr>) -> Self {
        Filter { predicate }
    }
}

impl Operator for Filter {
    fn on_batch(&mut self, _port: usize, batch: ChangelogBatch, out: &mut Output) -> Result<()> {
        let keep = self.predicate.evaluate(batch.rows())?.into_array(batch.len())?;
        let keep = as_boolean_array(&keep)?;
        if keep.true_count() == batch.len() {
            out.emit(batch);
        } else if keep.has_true() {
            out.emit(batch.filter(keep)?);
        }
        Ok(())
    }
}
