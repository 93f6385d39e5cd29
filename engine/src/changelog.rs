//! Record batches with a change kind per row: what flows along every edge of a dataflow.
//!
//! Four kinds are carried, as Flink has them. An operator needs to know only whether a row is added or taken back
//! ([`RowKind::is_addition`]); the finer distinction (a deletion, or the old half of an update) is passed through to
//! where rows leave us, because users and sinks see it there. A batch without kinds is all inserts: the common case,
//! and free.

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::SchemaRef;

use crate::error::{Error, Result};

/// What one row of a changelog does to the table it describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RowKind {
    /// A new row (`+I`).
    Insert = 0,
    /// The old half of an update (`-U`).
    UpdateBefore = 1,
    /// The new half of an update (`+U`).
    UpdateAfter = 2,
    /// A row that is gone (`-D`).
    Delete = 3,
}

impl RowKind {
    /// True for `+I` and `+U`.
    pub fn is_addition(self) -> bool {
        matches!(self, RowKind::Insert | RowKind::UpdateAfter)
    }

    /// The kind that undoes this one.
    pub fn inverse(self) -> RowKind {
        match self {
            RowKind::Insert => RowKind::Delete,
            RowKind::UpdateBefore => RowKind::UpdateAfter,
            RowKind::UpdateAfter => RowKind::UpdateBefore,
            RowKind::Delete => RowKind::Insert,
        }
    }

    /// Flink's two-character name.
    pub fn symbol(self) -> &'static str {
        match self {
            RowKind::Insert => "+I",
            RowKind::UpdateBefore => "-U",
            RowKind::UpdateAfter => "+U",
            RowKind::Delete => "-D",
        }
    }

    /// The kind with this name.
    pub fn from_symbol(symbol: &str) -> Option<RowKind> {
        use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};
        [Insert, UpdateBefore, UpdateAfter, Delete].into_iter().find(|kind| kind.symbol() == symbol)
    }

    fn from_byte(byte: u8) -> RowKind {
        match byte {
            0 => RowKind::Insert,
            1 => RowKind::UpdateBefore,
            2 => RowKind::UpdateAfter,
            _ => RowKind::Delete,
        }
    }
}

/// The kinds of the rows of one batch, a byte each. Cheap to clone and slice.
#[derive(Debug, Clone, PartialEq)]
pub struct RowKinds(ScalarBuffer<u8>);

impl RowKinds {
    /// Kind of row `row`; rows past the end do not exist and panic, as with any array.
    pub fn get(&self, row: usize) -> RowKind {
        RowKind::from_byte(self.0[row])
    }

    /// All kinds in order.
    pub fn iter(&self) -> impl Iterator<Item = RowKind> + '_ {
        self.0.iter().map(|b| RowKind::from_byte(*b))
    }
}

impl FromIterator<RowKind> for RowKinds {
    fn from_iter<I: IntoIterator<Item = RowKind>>(kinds: I) -> Self {
        RowKinds(kinds.into_iter().map(|k| k as u8).collect::<Vec<u8>>().into())
    }
}

/// Rows and what they do. `kinds == None` means that all rows are inserts.
#[derive(Debug, Clone)]
pub struct ChangelogBatch {
    rows: RecordBatch,
    kinds: Option<RowKinds>,
}

impl ChangelogBatch {
    /// New rows only.
    pub fn inserts(rows: RecordBatch) -> Self {
        ChangelogBatch { rows, kinds: None }
    }

    /// Rows with their kinds, one per row. Kinds that are all inserts are dropped.
    pub fn new(rows: RecordBatch, kinds: RowKinds) -> Self {
        assert_eq!(rows.num_rows(), kinds.0.len(), "a changelog batch has one kind per row");
        let kinds = if kinds.0.iter().all(|k| *k == 0) { None } else { Some(kinds) };
        ChangelogBatch { rows, kinds }
    }

    /// An empty batch.
    pub fn empty(schema: SchemaRef) -> Self {
        ChangelogBatch::inserts(RecordBatch::new_empty(schema))
    }

    /// The rows.
    pub fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    /// The kinds, or None when all rows are inserts.
    pub fn kinds(&self) -> Option<&RowKinds> {
        self.kinds.as_ref()
    }

    /// Column `index` of the rows.
    pub fn column(&self, index: usize) -> &ArrayRef {
        self.rows.column(index)
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.num_rows()
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Kind of row `row`.
    pub fn kind(&self, row: usize) -> RowKind {
        self.kinds.as_ref().map_or(RowKind::Insert, |k| k.get(row))
    }

    /// Which rows are taken back: None when none is, else one flag per row.
    pub fn retractions(&self) -> Option<Vec<bool>> {
        let flags: Vec<bool> = self.kinds.as_ref()?.iter().map(|k| !k.is_addition()).collect();
        flags.contains(&true).then_some(flags)
    }

    /// The same kinds with other rows (a projection of this batch).
    pub fn with_rows(&self, rows: RecordBatch) -> Self {
        assert_eq!(rows.num_rows(), self.rows.num_rows(), "a projection keeps the number of rows");
        ChangelogBatch { rows, kinds: self.kinds.clone() }
    }

    /// Rows `offset .. offset + length`, without copying.
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        ChangelogBatch {
            rows: self.rows.slice(offset, length),
            kinds: self.kinds.as_ref().map(|k| RowKinds(k.0.slice(offset, length))),
        }
    }

    /// The rows where `keep` is true (NULL counts as false).
    pub fn filter(&self, keep: &BooleanArray) -> Result<Self> {
        let rows = filter_record_batch(&self.rows, keep)?;
        let kinds = self.kinds.as_ref().map(|kinds| {
            kinds.0.iter().zip(keep.iter()).filter(|(_, k)| *k == Some(true)).map(|(b, _)| *b).collect::<Vec<u8>>()
        });
        Ok(ChangelogBatch { rows, kinds: kinds.map(|k| RowKinds(k.into())) })
    }

    /// The rows at `indices`, in that order.
    pub fn take(&self, indices: &UInt32Array) -> Result<Self> {
        let rows = take_record_batch(&self.rows, indices)?;
        let kinds = self.kinds.as_ref().map(|k| indices.values().iter().map(|i| k.0[*i as usize]).collect::<Vec<u8>>());
        Ok(ChangelogBatch { rows, kinds: kinds.map(|k| RowKinds(k.into())) })
    }

    /// One batch of all rows in order; `batches` must not be empty and share a schema.
    pub fn concat(batches: &[ChangelogBatch]) -> Result<Self> {
        let first = batches.first().ok_or_else(|| Error::internal("nothing to concatenate"))?;
        if batches.len() == 1 {
            return Ok(first.clone());
        }
        let rows = concat_batches(&first.rows.schema(), batches.iter().map(|b| &b.rows))?;
        if batches.iter().all(|b| b.kinds.is_none()) {
            return Ok(ChangelogBatch::inserts(rows));
        }
        let kinds = batches.iter().flat_map(|b| (0..b.len()).map(|row| b.kind(row))).collect();
        Ok(ChangelogBatch::new(rows, kinds))
    }

    /// Bytes of memory held by the rows.
    pub fn memory_bytes(&self) -> usize {
        self.rows.get_array_memory_size()
    }
}
