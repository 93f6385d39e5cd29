//! A shard: the rows of a relation that one writer changes, in a hash table whose copies share what they have in common.
//!
//! Rows lie in small buckets behind shared pointers. A copy of the shard copies one pointer; the first change after that
//! copies the list of buckets, and the first change in each bucket that bucket. The table grows by a bucket at a time (linear
//! hashing, Litwin 1980): no insertion ever moves more than one bucket.
//!
//! A shard is a keyed [`State`]: a snapshot holds the key group and the columns of each row, and without a key how often
//! the row is there. It is taken as a frozen copy, which a background thread decodes.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, SchemaRef};

use super::codec::Codec;
use crate::changelog::ChangelogBatch;
use crate::error::{Error, Result};
use crate::state::{Distribution, FrozenRows, State, key_group};

/// Rows per bucket, on average, at which the table grows.
const LOAD: usize = 32;
/// Rows of a snapshot batch.
const SNAPSHOT_ROWS: usize = 1 << 16;
/// Name of the column that counts equal rows.
const COPIES: &str = "copies";

/// One row, or a number of equal rows.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    hash: u32,
    key_bytes: u32,
    row: Arc<[u8]>,
    /// With a key always 1. Without one negative for a moment when a deletion overtakes its insertion; never at a barrier.
    copies: i64,
}

impl Slot {
    /// The encoded key.
    pub(super) fn key(&self) -> &[u8] {
        &self.row[..self.key_bytes as usize]
    }

    /// The encoded row.
    pub(super) fn row(&self) -> &[u8] {
        &self.row
    }

    /// How often the row is there.
    pub(super) fn copies(&self) -> usize {
        usize::try_from(self.copies).unwrap_or(0)
    }

    /// True when `other` is the same row as often.
    pub(super) fn same(&self, other: &Slot) -> bool {
        self.copies == other.copies && (Arc::ptr_eq(&self.row, &other.row) || self.row == other.row)
    }
}

pub(super) type Bucket = Vec<Slot>;

/// Rows that one writer changes; a clone is a frozen copy.
#[derive(Debug, Clone)]
pub struct Shard {
    codec: Arc<Codec>,
    buckets: Arc<Vec<Arc<Bucket>>>,
    slots: usize,
    rows: i64,
    by_row: bool,
}

impl Shard {
    /// Without rows.
    pub(super) fn new(codec: &Arc<Codec>) -> Self {
        Shard { codec: codec.clone(), buckets: Arc::new(vec![Arc::default()]), slots: 0, rows: 0, by_row: false }
    }

    /// Whether a removal by key is for the very row that it names, so that another row of that key stays.
    pub(super) fn by_row(self, by_row: bool) -> Self {
        Shard { by_row, ..self }
    }

    /// Number of rows, equal ones counted.
    pub fn rows(&self) -> usize {
        usize::try_from(self.rows).unwrap_or(0)
    }

    /// Applies changes in their order. With a key an addition replaces the row of its key, and `-U` and `-D` remove it,
    /// whatever their other columns say; without one they add and take away one of the equal rows.
    pub fn write(&mut self, batch: &ChangelogBatch) -> Result<()> {
        let encoded = self.codec.encode(batch.rows().columns())?;
        let keyed = self.codec.key().is_some();
        for row in 0..batch.len() {
            let (bytes, key_bytes) = encoded.row(row);
            match (keyed, batch.kind(row).is_addition()) {
                (true, true) => self.set(bytes, key_bytes, 1),
                (true, false) if self.by_row && self.find(&bytes[..key_bytes]).is_some_and(|s| s.row() != bytes) => {}
                (true, false) => self.set(bytes, key_bytes, 0),
                (false, true) => self.add(bytes, 1),
                (false, false) => self.add(bytes, -1),
            }
        }
        Ok(())
    }

    /// Adds rows by their key. One whose key is there already takes its place if `replace`, else is left out. Says of each
    /// row whether its key was new.
    pub(super) fn insert(&mut self, rows: &RecordBatch, replace: bool) -> Result<Vec<bool>> {
        let encoded = self.codec.encode(rows.columns())?;
        let mut is_new = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            let (bytes, key_bytes) = encoded.row(row);
            let new = self.find(&bytes[..key_bytes]).is_none();
            if new || replace {
                self.set(bytes, key_bytes, 1);
            }
            is_new.push(new);
        }
        Ok(is_new)
    }

    /// The slot of an encoded key.
    pub(super) fn find(&self, key: &[u8]) -> Option<&Slot> {
        let hash = self.codec.hash(key);
        let bucket = &self.buckets[address(hash, self.buckets.len())];
        bucket.iter().find(|slot| slot.hash == hash && slot.key() == key)
    }

    pub(super) fn buckets(&self) -> &[Arc<Bucket>] {
        &self.buckets
    }

    fn add(&mut self, row: &[u8], copies: i64) {
        let before = self.find(row).map_or(0, |slot| slot.copies);
        self.set(row, row.len(), before + copies);
    }

    /// Makes `row` the row of its key, `copies` times; removes it for 0.
    fn set(&mut self, row: &[u8], key_bytes: usize, copies: i64) {
        let key = &row[..key_bytes];
        let hash = self.codec.hash(key);
        let address = address(hash, self.buckets.len());
        let bucket = &self.buckets[address];
        let place = bucket.iter().position(|slot| slot.hash == hash && slot.key() == key);
        let before = place.map_or(0, |place| bucket[place].copies);
        if before == copies && place.is_none_or(|place| bucket[place].row() == row) {
            return;
        }
        let slot = Slot { hash, key_bytes: key_bytes as u32, row: row.into(), copies };
        let bucket = Arc::make_mut(&mut Arc::make_mut(&mut self.buckets)[address]);
        match place {
            Some(place) if copies == 0 => drop(bucket.swap_remove(place)),
            Some(place) => bucket[place] = slot,
            None => bucket.push(slot),
        }
        self.rows += copies.max(0) - before.max(0);
        self.slots = self.slots + usize::from(copies != 0) - usize::from(before != 0);
        if self.slots > self.buckets.len() * LOAD {
            self.grow();
        }
    }

    /// Adds one bucket and gives it its rows from the one that held them.
    fn grow(&mut self) {
        let buckets = Arc::make_mut(&mut self.buckets);
        let new = buckets.len();
        let parent = new - (new + 1).next_power_of_two() / 2;
        let moved = |slot: &mut Slot| address(slot.hash, new + 1) == new;
        let fresh: Bucket = Arc::make_mut(&mut buckets[parent]).extract_if(.., moved).collect();
        buckets.push(Arc::new(fresh));
    }

    /// The rows as snapshot batches.
    fn decode(&self) -> Result<Vec<RecordBatch>> {
        let (schema, counted) = (State::schema(self), self.codec.key().is_none());
        let mut batches = Vec::new();
        let slots: Vec<&Slot> = self.buckets.iter().flat_map(|bucket| bucket.iter()).collect();
        for chunk in slots.chunks(SNAPSHOT_ROWS) {
            let rows = self.codec.decode(chunk.iter().map(|slot| slot.row()), None)?;
            let spread: Vec<ArrayRef> = self.codec.spread_by().iter().map(|c| rows.column(*c).clone()).collect();
            let mut columns: Vec<ArrayRef> = vec![Arc::new(key_group::of_rows(&spread, rows.num_rows())?)];
            columns.extend_from_slice(rows.columns());
            if counted {
                columns.push(Arc::new(Int64Array::from_iter_values(chunk.iter().map(|slot| slot.copies))));
            }
            batches.push(RecordBatch::try_new(schema.clone(), columns)?);
        }
        Ok(batches)
    }
}

/// The bucket of a hash among `buckets`.
fn address(hash: u32, buckets: usize) -> usize {
    let top = buckets.next_power_of_two();
    let address = hash as usize & (top - 1);
    if address < buckets { address } else { address & (top / 2 - 1) }
}

impl State for Shard {
    fn schema(&self) -> SchemaRef {
        let copies = self.codec.key().is_none().then(|| Arc::new(Field::new(COPIES, DataType::Int64, false)));
        key_group::keyed_schema(self.codec.schema().fields().iter().cloned().chain(copies))
    }

    fn distribution(&self) -> Distribution {
        Distribution::Keyed
    }

    fn snapshot(&mut self) -> Result<Vec<RecordBatch>> {
        self.decode()
    }

    fn freeze(&mut self) -> Result<FrozenRows> {
        let copy = self.clone();
        Ok(FrozenRows::Later(Box::new(move || copy.decode())))
    }

    fn restore(&mut self, rows: &RecordBatch) -> Result<()> {
        let columns = self.codec.schema().fields().len();
        if rows.num_columns() != State::schema(self).fields().len() {
            return Err(Error::checkpoint("the stored rows have other columns than this relation"));
        }
        let encoded = self.codec.encode(&rows.columns()[1..=columns])?;
        let copies = rows.columns().get(columns + 1).map(|column| column.as_primitive::<Int64Type>());
        for row in 0..rows.num_rows() {
            let (bytes, key_bytes) = encoded.row(row);
            self.set(bytes, key_bytes, copies.map_or(1, |copies| copies.value(row)));
        }
        Ok(())
    }
}
