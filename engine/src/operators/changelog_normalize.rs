//! Changelog normalization: makes a full changelog of an upsert stream, by remembering the last row of each key.

use arrow::datatypes::SchemaRef;

use crate::changelog::{ChangelogBatch, RowKind, RowKinds};
use crate::error::Result;
use crate::operator::{Operator, Output};
use crate::state::States;
use crate::state::row_table::RowTable;

/// An upsert stream has no `-U` rows, may repeat rows, and its deletions may hold nothing but the key. Behind this operator
/// every change is exact, net per batch: `+I`, `-U` with the old row and `+U`, `-D` with the old row.
pub struct ChangelogNormalize {
    // Configuration.
    update_before: bool,
    // State.
    rows: RowTable,
    // Scratch.
    numbers: Vec<usize>,
    batches: u64,
    /// Per key number, the batch that touched it last.
    touched_by: Vec<u64>,
}

impl ChangelogNormalize {
    /// Rows of `schema`, unique by the columns at `key`; without `update_before` consumers get no `-U` rows.
    pub fn new(schema: SchemaRef, key: Vec<usize>, update_before: bool) -> Result<Self> {
        let rows = RowTable::new(schema, key)?;
        Ok(ChangelogNormalize { update_before, rows, numbers: Vec::new(), batches: 0, touched_by: Vec::new() })
    }
}

impl Operator for ChangelogNormalize {
    fn on_batch(&mut self, _port: usize, batch: ChangelogBatch, out: &mut Output) -> Result<()> {
        let encoded = self.rows.intern(batch.rows().columns(), &mut self.numbers)?;
        // Per touched key, in order of first touch: its number and the row it had before the batch.
        let mut touched: Vec<(usize, Option<Box<[u8]>>)> = Vec::new();
        self.batches += 1;
        self.touched_by.resize(self.rows.len(), 0);
        for (row, number) in self.numbers.iter().enumerate() {
            let new = batch.kind(row).is_addition().then(|| encoded.row(row));
            let old = self.rows.set(*number, new.as_ref().map(|row| row.data()));
            if std::mem::replace(&mut self.touched_by[*number], self.batches) != self.batches {
                touched.push((*number, old));
            }
        }
        let (mut changed, mut kinds) = (Vec::new(), Vec::new());
        for (number, old) in &touched {
            match (old.as_deref(), self.rows.get(*number)) {
                (None, Some(new)) => {
                    changed.push(new);
                    kinds.push(RowKind::Insert);
                }
                (Some(old), Some(new)) if old != new => {
                    if self.update_before {
                        changed.push(old);
                        kinds.push(RowKind::UpdateBefore);
                    }
                    changed.push(new);
                    kinds.push(RowKind::UpdateAfter);
                }
                (Some(old), None) => {
                    changed.push(old);
                    kinds.push(RowKind::Delete);
                }
                _ => {}
            }
        }
        if !changed.is_empty() {
            let rows = self.rows.decode(changed.into_iter())?;
            out.emit(ChangelogBatch::new(rows, kinds.into_iter().collect::<RowKinds>()));
        }
        self.rows.compact()
    }

    fn states(&mut self) -> States<'_> {
        States::one("rows", &mut self.rows)
    }
}
