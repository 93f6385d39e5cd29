//! A version of a relation: all its rows at one moment, which nothing changes any more.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;

use super::codec::Codec;
use super::shard::{Shard, Slot};
use crate::error::{Error, Result};

/// The rows of a relation at one moment. Clones are cheap and share them.
#[derive(Debug, Clone)]
pub struct Version {
    number: u64,
    codec: Arc<Codec>,
    shards: Arc<[Shard]>,
}

impl Version {
    pub(super) fn new(number: u64, codec: Arc<Codec>, shards: Vec<Shard>) -> Self {
        Version { number, codec, shards: shards.into() }
    }

    /// Its number: the epoch of the view's job, or the sequence number that the table's writer gave.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Columns of the rows.
    pub fn schema(&self) -> &SchemaRef {
        self.codec.schema()
    }

    /// The columns of the key; None when equal rows are counted. An empty key means: one row at most.
    pub fn key(&self) -> Option<&[usize]> {
        self.codec.key()
    }

    /// Number of rows, equal ones counted.
    pub fn rows(&self) -> usize {
        self.shards.iter().map(Shard::rows).sum()
    }

    /// The rows of those keys that are there, in the order of `keys`: its columns are those of the key, in their order and
    /// of their types. A relation without a key is looked up by the whole row.
    pub fn get(&self, keys: &[ArrayRef]) -> Result<RecordBatch> {
        let count = keys.first().map_or(1, |column| column.len());
        let mut found: Vec<&[u8]> = Vec::with_capacity(count);
        match self.key() {
            Some([]) => found.extend(self.find(&[]).map(Slot::row)),
            Some(columns) if columns.len() == keys.len() => {
                let encoded = self.codec.encode_keys(keys)?;
                found.extend(encoded.iter().filter_map(|key| self.find(key.data())).map(Slot::row));
            }
            None if self.schema().fields().len() == keys.len() => {
                let encoded = self.codec.encode(keys)?;
                let slots = (0..count).filter_map(|row| self.find(encoded.row(row).0));
                slots.for_each(|slot| found.extend(std::iter::repeat_n(slot.row(), slot.copies())));
            }
            _ => return Err(Error::internal("a key has other columns than its relation")),
        }
        self.codec.decode(found.into_iter(), None)
    }

    /// All rows in batches of about `batch_rows`, of the columns at `projection` or of all; one batch is in memory at a
    /// time. Without order.
    pub fn batches(&self, projection: Option<Vec<usize>>, batch_rows: usize) -> Batches {
        let batch_rows = batch_rows.max(1);
        Batches { version: self.clone(), projection, batch_rows, shard: 0, bucket: 0, slot: 0, given: 0 }
    }

    pub(super) fn find(&self, key: &[u8]) -> Option<&Slot> {
        self.shards.iter().find_map(|shard| shard.find(key))
    }

    pub(super) fn shards(&self) -> &[Shard] {
        &self.shards
    }

    pub(super) fn codec(&self) -> &Arc<Codec> {
        &self.codec
    }
}

/// The rows of a version, batch by batch.
#[derive(Debug)]
pub struct Batches {
    version: Version,
    projection: Option<Vec<usize>>,
    batch_rows: usize,
    // Where reading goes on.
    shard: usize,
    bucket: usize,
    slot: usize,
    /// Copies of that slot's row that were given already.
    given: usize,
}

impl Batches {
    fn read(&mut self) -> Result<Option<RecordBatch>> {
        let mut gathered: Vec<&[u8]> = Vec::new();
        while gathered.len() < self.batch_rows {
            let Some(shard) = self.version.shards.get(self.shard) else { break };
            let Some(bucket) = shard.buckets().get(self.bucket) else {
                (self.shard, self.bucket) = (self.shard + 1, 0);
                continue;
            };
            let Some(slot) = bucket.get(self.slot) else {
                (self.bucket, self.slot) = (self.bucket + 1, 0);
                continue;
            };
            let copies = (slot.copies() - self.given).min(self.batch_rows - gathered.len());
            gathered.extend(std::iter::repeat_n(slot.row(), copies));
            self.given += copies;
            if self.given == slot.copies() {
                (self.slot, self.given) = (self.slot + 1, 0);
            }
        }
        if gathered.is_empty() {
            return Ok(None);
        }
        self.version.codec.decode(gathered.into_iter(), self.projection.as_deref()).map(Some)
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}
