//! Rows by key, several per key: what a join remembers of each input.
//!
//! Rows are kept in Arrow's row encoding, which compares as bytes. Each row carries a number of the owner's choice (a
//! join counts partners in it). Equal rows are kept as often as they were added.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, SchemaRef, UInt32Type};
use arrow::row::{RowConverter, Rows, SortField};
use hashbrown::HashMap;

use super::{Distribution, State, key_group};
use crate::error::{Error, Result};

/// Name of the column of numbers in snapshots.
const NUMBER: &str = "number";
/// Rows of one batch of a snapshot.
const SNAPSHOT_ROWS: usize = 65_536;

/// One remembered row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRow {
    /// The row, encoded.
    pub row: Box<[u8]>,
    /// The owner's number.
    pub number: u32,
}

/// Rows by key.
pub struct MultiRowTable {
    schema: SchemaRef,
    keys: Vec<usize>,
    row_converter: RowConverter,
    key_converter: RowConverter,
    rows: HashMap<Box<[u8]>, Vec<StoredRow>>,
}

impl MultiRowTable {
    /// An empty table of rows of `schema`, by the columns `keys`.
    pub fn new(schema: SchemaRef, keys: Vec<usize>) -> Result<Self> {
        let field = |f: &Arc<Field>| SortField::new(f.data_type().clone());
        let row_converter = RowConverter::new(schema.fields().iter().map(field).collect())?;
        let mut key_fields: Vec<SortField> = keys.iter().map(|k| field(&schema.fields()[*k])).collect();
        if key_fields.is_empty() {
            key_fields.push(SortField::new(DataType::Boolean));
        }
        let key_converter = RowConverter::new(key_fields)?;
        Ok(MultiRowTable { schema, keys, row_converter, key_converter, rows: HashMap::new() })
    }

    /// Columns of the rows.
    pub fn row_schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The rows of a batch, encoded.
    pub fn encode_rows(&self, batch: &RecordBatch) -> Result<Rows> {
        Ok(self.row_converter.convert_columns(batch.columns())?)
    }

    /// The keys of a batch in the columns `keys`, encoded; both inputs of a join encode equal keys alike.
    pub fn encode_keys(&self, batch: &RecordBatch, keys: &[usize]) -> Result<Rows> {
        let columns: Vec<ArrayRef> = keys.iter().map(|k| batch.column(*k).clone()).collect();
        self.convert_keys(columns, batch.num_rows())
    }

    /// Without key columns all rows have one key; the row encoding needs a column to say so.
    fn convert_keys(&self, mut columns: Vec<ArrayRef>, rows: usize) -> Result<Rows> {
        if columns.is_empty() {
            columns.push(Arc::new(BooleanArray::from(vec![true; rows])));
        }
        Ok(self.key_converter.convert_columns(&columns)?)
    }

    /// Encoded rows as columns.
    pub fn decode<'a>(&self, rows: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        let parser = self.row_converter.parser();
        Ok(self.row_converter.convert_rows(rows.into_iter().map(|row| parser.parse(row)))?)
    }

    /// The rows of a key.
    pub fn get(&self, key: &[u8]) -> &[StoredRow] {
        self.rows.get(key).map_or(&[], Vec::as_slice)
    }

    /// The rows of a key, to change their numbers.
    pub fn get_mut(&mut self, key: &[u8]) -> &mut [StoredRow] {
        self.rows.get_mut(key).map_or(&mut [], Vec::as_mut_slice)
    }

    /// Adds a row.
    pub fn add(&mut self, key: &[u8], row: &[u8], number: u32) {
        let stored = StoredRow { row: row.into(), number };
        match self.rows.get_mut(key) {
            Some(rows) => rows.push(stored),
            None => {
                self.rows.insert(key.into(), vec![stored]);
            }
        }
    }

    /// Removes one row equal to `row`, the newest; false when there is none.
    pub fn remove(&mut self, key: &[u8], row: &[u8]) -> bool {
        let Some(rows) = self.rows.get_mut(key) else { return false };
        let Some(at) = rows.iter().rposition(|stored| *stored.row == *row) else { return false };
        rows.remove(at);
        if rows.is_empty() {
            self.rows.remove(key);
        }
        true
    }

    fn snapshot_batch(&self, rows: &[&StoredRow]) -> Result<RecordBatch> {
        let columns = self.decode(rows.iter().map(|r| &*r.row))?;
        let keys: Vec<ArrayRef> = self.keys.iter().map(|k| columns[*k].clone()).collect();
        let groups: ArrayRef = Arc::new(key_group::of_rows(&keys, rows.len())?);
        let numbers: ArrayRef = Arc::new(rows.iter().map(|r| r.number).collect::<UInt32Array>());
        let all = std::iter::once(groups).chain(columns).chain([numbers]).collect();
        Ok(RecordBatch::try_new(self.schema(), all)?)
    }
}

impl State for MultiRowTable {
    fn schema(&self) -> SchemaRef {
        // Snapshot columns are nullable and renamed by position: two inputs of a join may share column names.
        let column = |(i, f): (usize, &Arc<Field>)| Arc::new(Field::new(format!("c{i}"), f.data_type().clone(), true));
        let fields = self.schema.fields().iter().enumerate().map(column);
        key_group::keyed_schema(fields.chain([Arc::new(Field::new(NUMBER, DataType::UInt32, false))]))
    }

    fn distribution(&self) -> Distribution {
        Distribution::Keyed
    }

    fn snapshot(&mut self) -> Result<Vec<RecordBatch>> {
        let rows: Vec<&StoredRow> = self.rows.values().flatten().collect();
        rows.chunks(SNAPSHOT_ROWS).map(|chunk| self.snapshot_batch(chunk)).collect()
    }

    fn restore(&mut self, rows: &RecordBatch) -> Result<()> {
        let columns = rows.columns();
        let [_, fields @ .., numbers] = columns else {
            return Err(Error::checkpoint("a multi-row table without columns"));
        };
        let numbers = numbers
            .as_primitive_opt::<UInt32Type>()
            .ok_or_else(|| Error::checkpoint(format!("column '{NUMBER}' of a multi-row table has another type")))?;
        let encoded = self.row_converter.convert_columns(fields)?;
        let keys: Vec<ArrayRef> = self.keys.iter().map(|k| fields[*k].clone()).collect();
        let keys = self.convert_keys(keys, rows.num_rows())?;
        for row in 0..rows.num_rows() {
            let key = keys.row(row);
            self.add(key.as_ref(), encoded.row(row).as_ref(), numbers.value(row));
        }
        Ok(())
    }
}

/// Rows in which one of the columns `keys` is NULL.
pub fn null_keys(batch: &RecordBatch, keys: &[usize]) -> Vec<bool> {
    (0..batch.num_rows()).map(|row| keys.iter().any(|k| batch.column(*k).is_null(row))).collect()
}
