//! Changes as rows and rows as changes: `TO_CHANGELOG` and `FROM_CHANGELOG`. Stateless.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, UInt32Array};
use arrow::datatypes::SchemaRef;

use crate::changelog::{ChangelogBatch, RowKind};
use crate::error::{Error, Result};
use crate::operator::{Operator, Output};

const NAMES: [(RowKind, &str); 4] = [
    (RowKind::Insert, "INSERT"),
    (RowKind::UpdateBefore, "UPDATE_BEFORE"),
    (RowKind::UpdateAfter, "UPDATE_AFTER"),
    (RowKind::Delete, "DELETE"),
];

/// Every change becomes a row that is only ever added, with what it did in the first column.
pub struct ToChangelog {
    schema: SchemaRef,
}

impl ToChangelog {
    /// `schema` is the column of operations (text) and the input's columns.
    pub fn new(schema: SchemaRef) -> Self {
        ToChangelog { schema }
    }
}

impl Operator for ToChangelog {
    fn on_batch(&mut self, _port: usize, batch: ChangelogBatch, out: &mut Output) -> Result<()> {
        let name = |row| NAMES.iter().find(|(kind, _)| *kind == batch.kind(row)).map(|(_, name)| *name);
        let names: StringArray = (0..batch.len()).map(name).collect();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(names)];
        columns.extend(batch.rows().columns().iter().cloned());
        out.emit(ChangelogBatch::inserts(RecordBatch::try_new(Arc::clone(&self.schema), columns)?));
        Ok(())
    }
}

/// Every row becomes the change that its column of operations names. Rows that name none are dropped.
pub struct FromChangelog {
    operation: usize,
    schema: SchemaRef,
}

impl FromChangelog {
    /// The operation is the input's column `operation`; `schema` is the other columns.
    pub fn new(operation: usize, schema: SchemaRef) -> Self {
        FromChangelog { operation, schema }
    }
}

impl Operator for FromChangelog {
    fn on_batch(&mut self, _port: usize, batch: ChangelogBatch, out: &mut Output) -> Result<()> {
        let names = batch
            .column(self.operation)
            .as_string_opt::<i32>()
            .ok_or_else(|| Error::internal("the column of operations is text"))?;
        let (mut rows, mut kinds) = (Vec::new(), Vec::new());
        for (row, name) in names.iter().enumerate() {
            let kind = NAMES.iter().find(|(_, known)| Some(*known) == name).map(|(kind, _)| *kind);
            if let Some(kind) = kind {
                rows.push(row as u32);
                kinds.push(kind);
            }
        }
        let kept = batch.take(&UInt32Array::from(rows))?;
        let mut columns = kept.rows().columns().to_vec();
        columns.remove(self.operation);
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        out.emit(ChangelogBatch::new(rows, kinds.into_iter().collect()));
        Ok(())
    }
}
