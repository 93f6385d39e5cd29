//! Rows that wait to be written: with a primary key only the last change of each key, else all rows in order.
//!
//! Batches are kept as they came (their columns are shared, not copied); the index points into them. Keys are bytes of
//! Arrow's row format, whose order is the order of the values, so that two subtasks that happen to touch the same rows
//! lock them in the same order.

use std::collections::HashMap;

use ahash::RandomState;
use arrow::array::{Array, ArrayRef};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use eddyline_engine::{ChangelogBatch, Error, Result};

/// Batches that are kept at most before a flush, however few keys they touch: bounds what dead rows cost.
const MAX_BATCHES: usize = 256;
/// Bytes that are kept at most before a flush.
const MAX_BYTES: usize = 32 << 20;

/// Where a waiting row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowRef {
    pub(super) batch: u32,
    pub(super) row: u32,
}

/// What a flush must do, each part in order of the keys (or of arrival without a key).
#[derive(Debug, Default, PartialEq)]
pub(super) struct Changes {
    pub(super) deletes: Vec<RowRef>,
    pub(super) writes: Vec<RowRef>,
}

/// The rows that wait.
pub(super) struct Buffer {
    table: String,
    keys: Option<Keys>,
    batches: Vec<ChangelogBatch>,
    rows: usize,
    bytes: usize,
}

struct Keys {
    /// Indices of the key columns, in the order of the primary key.
    columns: Vec<usize>,
    converter: RowConverter,
    /// Last change of each key: the row, and true for a deletion.
    last: HashMap<Box<[u8]>, (RowRef, bool), RandomState>,
}

impl Buffer {
    /// A buffer for rows of `schema`; `key` holds the indices of the primary key's columns, empty in append mode.
    pub(super) fn new(table: &str, schema: &SchemaRef, key: &[usize]) -> Result<Self> {
        let keys = if key.is_empty() {
            None
        } else {
            let fields = key.iter().map(|k| SortField::new(schema.field(*k).data_type().clone())).collect();
            let converter = RowConverter::new(fields)?;
            Some(Keys { columns: key.to_vec(), converter, last: HashMap::default() })
        };
        Ok(Buffer { table: table.to_string(), keys, batches: Vec::new(), rows: 0, bytes: 0 })
    }

    /// Takes rows in.
    pub(super) fn add(&mut self, batch: &ChangelogBatch) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let number = u32::try_from(self.batches.len()).unwrap_or(u32::MAX);
        match &mut self.keys {
            None if batch.retractions().is_some() => {
                let message = format!("table '{}' has no primary key and takes no updates or deletions", self.table);
                return Err(Error::data(message).with_hint("declare PRIMARY KEY (…) NOT ENFORCED in CREATE TABLE"));
            }
            None => self.rows += batch.len(),
            Some(keys) => {
                keys.add(&self.table, batch, number)?;
                self.rows = keys.last.len();
            }
        }
        self.bytes += batch.memory_bytes();
        self.batches.push(batch.clone());
        Ok(())
    }

    /// Number of changes that a flush would write.
    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// True when nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Memory of the rows that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// True when more must not be taken in before a flush, whatever the options say.
    pub(super) fn is_full(&self) -> bool {
        self.batches.len() >= MAX_BATCHES || self.bytes >= MAX_BYTES
    }

    /// What a flush must do now.
    pub(super) fn changes(&self) -> Changes {
        let mut changes = Changes::default();
        match &self.keys {
            Some(keys) => {
                let mut sorted: Vec<(&[u8], &(RowRef, bool))> = keys.last.iter().map(|(k, c)| (&**k, c)).collect();
                sorted.sort_unstable_by_key(|(key, _)| *key);
                for (_, (row, is_deletion)) in sorted {
                    if *is_deletion { changes.deletes.push(*row) } else { changes.writes.push(*row) }
                }
            }
            None => {
                for (number, batch) in (0_u32..).zip(&self.batches) {
                    let rows = u32::try_from(batch.len()).unwrap_or(u32::MAX);
                    changes.writes.extend((0..rows).map(|row| RowRef { batch: number, row }));
                }
            }
        }
        changes
    }

    /// The batches that row references point into.
    pub(super) fn batches(&self) -> &[ChangelogBatch] {
        &self.batches
    }

    /// Forgets everything: it is written.
    pub(super) fn clear(&mut self) {
        self.batches.clear();
        self.rows = 0;
        self.bytes = 0;
        if let Some(keys) = &mut self.keys {
            keys.last.clear();
        }
    }
}

impl Keys {
    fn add(&mut self, table: &str, batch: &ChangelogBatch, number: u32) -> Result<()> {
        let columns: Vec<ArrayRef> = self.columns.iter().map(|c| batch.column(*c).clone()).collect();
        if let Some(null) = columns.iter().position(|c| c.null_count() > 0) {
            let schema = batch.rows().schema();
            let name = schema.field(self.columns[null]).name();
            let message = format!("Column '{name}' is NOT NULL, however, a null value is being written into it");
            return Err(Error::data(format!("{message} (primary key of table '{table}')")));
        }
        let rows = self.converter.convert_columns(&columns)?;
        for (row, key) in (0_u32..).zip(rows.iter()) {
            let change = (RowRef { batch: number, row }, !batch.kind(row as usize).is_addition());
            match self.last.get_mut(key.as_ref()) {
                Some(last) => *last = change,
                None => drop(self.last.insert(key.as_ref().into(), change)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::sync::Arc;

    use arrow::array::{Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema};
    use eddyline_engine::RowKind;

    use super::*;

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, true), Field::new("k", DataType::Int64, true)]))
    }

    fn batch(rows: &[(RowKind, i64, Option<i64>)]) -> ChangelogBatch {
        let values: Int64Array = rows.iter().map(|r| Some(r.1)).collect();
        let keys: Int64Array = rows.iter().map(|r| r.2).collect();
        let rows_batch = RecordBatch::try_new(schema(), vec![Arc::new(values), Arc::new(keys)]).unwrap();
        ChangelogBatch::new(rows_batch, rows.iter().map(|r| r.0).collect())
    }

    const I: RowKind = RowKind::Insert;
    const B: RowKind = RowKind::UpdateBefore;
    const A: RowKind = RowKind::UpdateAfter;
    const D: RowKind = RowKind::Delete;

    #[test]
    fn only_the_last_change_of_a_key_is_kept_in_key_order() {
        let mut buffer = Buffer::new("t", &schema(), &[1]).unwrap();
        buffer.add(&batch(&[(I, 1, Some(9)), (I, 1, Some(-5)), (B, 1, Some(9)), (A, 2, Some(9))])).unwrap();
        buffer.add(&batch(&[(D, 1, Some(-5)), (I, 3, Some(2)), (B, 3, Some(7))])).unwrap();
        assert_eq!(buffer.len(), 4);
        let at = |batch, row| RowRef { batch, row };
        let expected = Changes { deletes: vec![at(1, 0), at(1, 2)], writes: vec![at(1, 1), at(0, 3)] };
        assert_eq!(buffer.changes(), expected);
        buffer.clear();
        assert!(buffer.is_empty() && buffer.changes() == Changes::default());
    }

    #[test]
    fn without_a_key_rows_stay_in_order_and_updates_are_refused() {
        let mut buffer = Buffer::new("t", &schema(), &[]).unwrap();
        buffer.add(&batch(&[(I, 1, None), (I, 1, None)])).unwrap();
        buffer.add(&batch(&[(I, 2, None)])).unwrap();
        let places: Vec<(u32, u32)> = buffer.changes().writes.iter().map(|r| (r.batch, r.row)).collect();
        assert_eq!(places, [(0, 0), (0, 1), (1, 0)]);
        assert!(buffer.add(&batch(&[(I, 1, None), (D, 1, None)])).is_err());
    }

    #[test]
    fn null_in_the_key_is_an_error_that_names_the_column() {
        let mut buffer = Buffer::new("t", &schema(), &[1]).unwrap();
        let error = buffer.add(&batch(&[(I, 1, None)])).unwrap_err().to_string();
        assert!(error.contains("'k' is NOT NULL"), "{error}");
    }
}
