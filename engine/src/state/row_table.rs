//! The row table: the current row of each key, as a primary key table has it.
//!
//! Keys get dense numbers as in the group table; a removed row leaves its number behind until more than half are empty
//! and the table is built anew ([`RowTable::compact`]). Rows are held encoded, so that they compare as bytes.
//!
//! A snapshot holds a row per key: key group, then the columns of the row.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, Rows, SortField};
use datafusion_physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion_physical_plan::aggregates::order::GroupOrdering;

use super::{Distribution, State, key_group};
use crate::error::{Error, Result};

/// Tables with fewer keys are not worth building anew.
const COMPACT_MIN_KEYS: usize = 1024;

/// Rows of a snapshot batch.
const SNAPSHOT_ROWS: usize = 1 << 16;

/// One row per key.
pub struct RowTable {
    row_schema: SchemaRef,
    key_columns: Vec<usize>,
    codec: RowConverter,
    index: Box<dyn GroupValues>,
    rows: Vec<Option<Box<[u8]>>>,
    live: usize,
}

impl RowTable {
    /// A table of rows of `row_schema`, keyed by the columns at `key_columns` (at least one).
    pub fn new(row_schema: SchemaRef, key_columns: Vec<usize>) -> Result<Self> {
        assert!(!key_columns.is_empty(), "a row table has a key");
        let key_schema = Arc::new(row_schema.project(&key_columns)?);
        let fields = row_schema.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        Ok(RowTable {
            codec: RowConverter::new(fields)?,
            index: new_group_values(key_schema, &GroupOrdering::None)?,
            rows: Vec::new(),
            live: 0,
            row_schema,
            key_columns,
        })
    }

    /// Number of keys known, those without a row included.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True before the first key.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Puts the number of each row's key into `numbers`, and returns the rows encoded.
    pub fn intern(&mut self, columns: &[ArrayRef], numbers: &mut Vec<usize>) -> Result<Rows> {
        let keys: Vec<ArrayRef> = self.key_columns.iter().map(|column| columns[*column].clone()).collect();
        self.index.intern(&keys, numbers)?;
        self.rows.resize(self.index.len(), None);
        Ok(self.codec.convert_columns(columns)?)
    }

    /// The encoded row of key `number`, if it has one.
    pub fn get(&self, number: usize) -> Option<&[u8]> {
        self.rows[number].as_deref()
    }

    /// Replaces or removes the row of key `number`, and returns the one it had.
    pub fn set(&mut self, number: usize, row: Option<&[u8]>) -> Option<Box<[u8]>> {
        self.live += usize::from(row.is_some());
        let old = std::mem::replace(&mut self.rows[number], row.map(Box::from));
        self.live -= usize::from(old.is_some());
        old
    }

    /// Encoded rows as a batch.
    pub fn decode<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Result<RecordBatch> {
        let parser = self.codec.parser();
        let rows: Vec<&[u8]> = rows.collect();
        let columns = self.codec.convert_rows(rows.iter().map(|row| parser.parse(row)))?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(RecordBatch::try_new_with_options(self.row_schema.clone(), columns, &options)?)
    }

    /// Builds the table anew without the keys that have no row when they are the majority. Numbers change.
    pub fn compact(&mut self) -> Result<()> {
        if self.len() < COMPACT_MIN_KEYS || self.live * 2 >= self.len() {
            return Ok(());
        }
        let rows = self.decode(self.rows.iter().flatten().map(AsRef::as_ref))?;
        let mut fresh = RowTable::new(self.row_schema.clone(), self.key_columns.clone())?;
        fresh.insert(rows.columns())?;
        *self = fresh;
        Ok(())
    }

    fn insert(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let mut numbers = Vec::new();
        let rows = self.intern(columns, &mut numbers)?;
        for (row, number) in rows.iter().zip(numbers) {
            self.set(number, Some(row.data()));
        }
        Ok(())
    }
}

impl State for RowTable {
    fn schema(&self) -> SchemaRef {
        key_group::keyed_schema(self.row_schema.fields().iter().cloned())
    }

    fn distribution(&self) -> Distribution {
        Distribution::Keyed
    }

    fn snapshot(&mut self) -> Result<Vec<RecordBatch>> {
        let (schema, mut batches) = (State::schema(self), Vec::new());
        for chunk in self.rows.chunks(SNAPSHOT_ROWS) {
            let rows = self.decode(chunk.iter().flatten().map(AsRef::as_ref))?;
            if rows.num_rows() > 0 {
                let keys: Vec<ArrayRef> = self.key_columns.iter().map(|column| rows.column(*column).clone()).collect();
                let mut columns: Vec<ArrayRef> = vec![Arc::new(key_group::of_rows(&keys, rows.num_rows())?)];
                columns.extend_from_slice(rows.columns());
                batches.push(RecordBatch::try_new(schema.clone(), columns)?);
            }
        }
        Ok(batches)
    }

    fn restore(&mut self, rows: &RecordBatch) -> Result<()> {
        if rows.num_columns() != self.row_schema.fields().len() + 1 {
            return Err(Error::checkpoint("the stored rows have other columns than this table"));
        }
        self.insert(&rows.columns()[1..])
    }
}
