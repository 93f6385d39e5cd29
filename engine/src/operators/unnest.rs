//! Unnest: one output row per element of an array or map. Stateless.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion_physical_expr::PhysicalExpr;

use crate::changelog::ChangelogBatch;
use crate::error::{Error, Result};
use crate::operator::{Operator, Output};

/// `CROSS JOIN UNNEST(expr) [WITH ORDINALITY]`, or `LEFT JOIN` when `outer`: each input row is repeated per element, with
/// the element's column (the fields of a ROW element; key and value of a MAP) and maybe its ordinality appended.
pub struct Unnest {
    expr: Arc<dyn PhysicalExpr>,
    outer: bool,
    with_ordinality: bool,
    schema: SchemaRef,
}

impl Unnest {
    /// `schema` is the input's columns, the element's, and the ordinality (INT from 1) when asked for.
    pub fn new(expr: Arc<dyn PhysicalExpr>, outer: bool, with_ordinality: bool, schema: SchemaRef) -> Self {
        Unnest { expr, outer, with_ordinality, schema }
    }
}

impl Operator for Unnest {
    fn on_batch(&mut self, _port: usize, _batch: ChangelogBatch, _out: &mut Output) -> Result<()> {
        let _ = (&self.expr, self.outer, self.with_ordinality, &self.schema);
        Err(Error::internal("not there yet"))
    }
}
