//! The keys of a group table in the order of their group numbers, kept in chunks so that a snapshot can share them.
//!
//! Each chunk is a record batch of the key group and the key columns. Full chunks never change again; the keys since the
//! last full one are small pieces that are joined when somebody reads.

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{FieldRef, SchemaRef};
use std::sync::Arc;

use super::key_group;
use crate::error::Result;

/// Rows from which on the open pieces become a full chunk: large enough that few chunks make up a snapshot, small enough
/// that joining the pieces is cheap and text offsets never overflow.
const CHUNK_ROWS: usize = 1 << 16;

/// Keys by group number.
pub(super) struct KeyChunks {
    schema: SchemaRef,
    full: Vec<RecordBatch>,
    open: Vec<RecordBatch>,
    open_rows: usize,
}

impl KeyChunks {
    /// No keys yet.
    pub(super) fn new(fields: &[FieldRef]) -> Self {
        let schema = key_group::keyed_schema(fields.iter().cloned());
        KeyChunks { schema, full: Vec::new(), open: Vec::new(), open_rows: 0 }
    }

    /// Appends the keys of `count` new groups.
    pub(super) fn append(&mut self, keys: Vec<ArrayRef>, count: usize) -> Result<()> {
        let key_groups: ArrayRef = Arc::new(key_group::of_rows(&keys, count)?);
        let columns = std::iter::once(key_groups).chain(keys).collect();
        self.open.push(RecordBatch::try_new(self.schema.clone(), columns)?);
        self.open_rows += count;
        if self.open_rows >= CHUNK_ROWS {
            let full = concat_batches(&self.schema, &self.open)?;
            self.full.push(full);
            self.open.clear();
            self.open_rows = 0;
        }
        Ok(())
    }

    /// All chunks in order of group number.
    pub(super) fn chunks(&mut self) -> Result<impl Iterator<Item = &RecordBatch>> {
        if self.open.len() > 1 {
            self.open = vec![concat_batches(&self.schema, &self.open)?];
        }
        Ok(self.full.iter().chain(&self.open))
    }

    /// The keys of `groups`, in that order.
    pub(super) fn take(&mut self, groups: &[usize]) -> Result<Vec<ArrayRef>> {
        let schema = self.schema.clone();
        let mut chunks: Vec<&RecordBatch> = self.chunks()?.collect();
        let joined = match (chunks.pop(), chunks.is_empty()) {
            (Some(only), true) => only.clone(),
            (last, _) => concat_batches(&schema, chunks.into_iter().chain(last))?,
        };
        let indices: UInt32Array = groups.iter().map(|group| *group as u32).collect::<Vec<u32>>().into();
        Ok(take_record_batch(&joined, &indices)?.columns()[1..].to_vec())
    }

    /// Approximate bytes of memory held.
    pub(super) fn memory_bytes(&self) -> usize {
        self.full.iter().chain(&self.open).map(RecordBatch::get_array_memory_size).sum()
    }
}
