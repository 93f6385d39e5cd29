//! How a relation holds its rows: encoded so that they compare as bytes, with the columns of the key in front.
//!
//! Arrow's row format encodes column after column, so the encoded key is a prefix of the encoded row: one allocation
//! holds both.

use std::hash::BuildHasher;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, Rows, SortField};
use hashbrown::DefaultHashBuilder;

use crate::error::{Error, Result};

/// Encodes and decodes the rows of one relation.
#[derive(Debug)]
pub(super) struct Codec {
    schema: SchemaRef,
    /// The columns of the key; None when equal rows are counted.
    key: Option<Vec<usize>>,
    /// The columns in the order in which they are encoded: those of the key first.
    order: Vec<usize>,
    /// Where each column stands in that order.
    places: Vec<usize>,
    rows: RowConverter,
    keys: RowConverter,
    hasher: DefaultHashBuilder,
}

/// Encoded rows with their keys.
pub(super) struct Encoded {
    rows: Rows,
    keys: Keys,
}

enum Keys {
    /// The whole row.
    Whole,
    /// No columns: there is one row at most.
    Nothing,
    Prefix(Rows),
}

impl Encoded {
    /// The bytes of row `row`, and how many of them are its key.
    pub(super) fn row(&self, row: usize) -> (&[u8], usize) {
        let bytes = self.rows.row(row).data();
        let key = match &self.keys {
            Keys::Whole => bytes.len(),
            Keys::Nothing => 0,
            Keys::Prefix(keys) => keys.row(row).data().len(),
        };
        (bytes, key)
    }
}

fn converter(schema: &SchemaRef, columns: &[usize]) -> Result<RowConverter> {
    let field = |column: &usize| SortField::new(schema.field(*column).data_type().clone());
    Ok(RowConverter::new(columns.iter().map(field).collect())?)
}

impl Codec {
    /// For rows of `schema` that are unique by the columns at `key`, or counted without one.
    pub(super) fn new(schema: SchemaRef, key: Option<Vec<usize>>) -> Result<Self> {
        let front = key.clone().unwrap_or_default();
        let others = (0..schema.fields().len()).filter(|column| !front.contains(column));
        let order: Vec<usize> = front.iter().copied().chain(others).collect();
        let mut places = vec![0; order.len()];
        order.iter().enumerate().for_each(|(place, column)| places[*column] = place);
        let (rows, keys) = (converter(&schema, &order)?, converter(&schema, &front)?);
        Ok(Codec { schema, key, order, places, rows, keys, hasher: DefaultHashBuilder::default() })
    }

    /// Columns of the relation.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The columns of the key; None when equal rows are counted.
    pub(super) fn key(&self) -> Option<&[usize]> {
        self.key.as_deref()
    }

    /// The columns by which rows are spread: the key, or all of them.
    pub(super) fn spread_by(&self) -> Vec<usize> {
        self.key.clone().unwrap_or_else(|| (0..self.schema.fields().len()).collect())
    }

    /// Encodes columns that are those of the schema.
    pub(super) fn encode(&self, columns: &[ArrayRef]) -> Result<Encoded> {
        if columns.len() != self.order.len() {
            return Err(Error::internal("rows have other columns than their relation"));
        }
        let ordered: Vec<ArrayRef> = self.order.iter().map(|column| columns[*column].clone()).collect();
        let rows = self.rows.convert_columns(&ordered)?;
        let keys = match self.key.as_ref().map(Vec::len) {
            None => Keys::Whole,
            Some(0) => Keys::Nothing,
            Some(columns) => Keys::Prefix(self.encode_keys(&ordered[..columns])?),
        };
        Ok(Encoded { rows, keys })
    }

    /// Encodes the columns of keys, in the order of the key, of which there must be at least one.
    pub(super) fn encode_keys(&self, columns: &[ArrayRef]) -> Result<Rows> {
        Ok(self.keys.convert_columns(columns)?)
    }

    /// Encoded rows as a batch, of the columns at `projection` or of all.
    pub(super) fn decode<'a>(
        &self,
        rows: impl ExactSizeIterator<Item = &'a [u8]>,
        projection: Option<&[usize]>,
    ) -> Result<RecordBatch> {
        let parser = self.rows.parser();
        let rows: Vec<&[u8]> = rows.collect();
        let decoded = self.rows.convert_rows(rows.iter().map(|row| parser.parse(row)))?;
        let column = |column: &usize| decoded[self.places[*column]].clone();
        let (schema, columns) = match projection {
            Some(wanted) => (SchemaRef::new(self.schema.project(wanted)?), wanted.iter().map(column).collect()),
            None => (self.schema.clone(), self.places.iter().map(|place| decoded[*place].clone()).collect()),
        };
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
    }

    /// The hash of an encoded key; another one in every process.
    pub(super) fn hash(&self, key: &[u8]) -> u32 {
        self.hasher.hash_one(key) as u32
    }
}
