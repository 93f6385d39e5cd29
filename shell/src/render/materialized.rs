//! The table that a changelog adds up to, in Arrow: rows are places in the batches that brought them.
//!
//! A row that is updated stays where it was. Of more rows than a limit the oldest are forgotten, as Flink's client
//! does; batches of which little is left are merged.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use arrow::array::RecordBatch;
use arrow::compute::interleave_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use eddyline_engine::{ChangelogBatch, RowKind};

use super::text::value_text;

/// Rows that are gone and still kept, at least.
const SLACK: usize = 16_384;

/// A row: which batch, which row of it.
type Place = (usize, usize);

/// The current rows of a result.
pub struct Materialized {
    schema: SchemaRef,
    /// Most rows.
    limit: usize,
    batches: Vec<RecordBatch>,
    /// Rows in order of arrival; None where a row was taken back.
    rows: Vec<Option<Place>>,
    /// Indices in `rows` by the hash of the row, the newest last.
    index: HashMap<u64, Vec<usize>>,
    count: usize,
    /// Rows in all batches.
    held: usize,
    /// Before this index there are no rows.
    first: usize,
    dropped: u64,
}

impl Materialized {
    /// An empty table that keeps at most `limit` rows.
    pub fn new(schema: SchemaRef, limit: usize) -> Self {
        let (batches, rows, index) = (Vec::new(), Vec::new(), HashMap::new());
        Materialized { schema, limit, batches, rows, index, count: 0, held: 0, first: 0, dropped: 0 }
    }

    /// Its columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Rows that were forgotten because there were too many.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes changes in order.
    pub fn apply(&mut self, batch: &ChangelogBatch) -> Result<(), ArrowError> {
        let number = self.batches.len();
        self.batches.push(batch.rows().clone());
        self.held += batch.len();
        // Where the old row of an update was.
        let mut freed = None;
        for row in 0..batch.len() {
            let kind = batch.kind(row);
            let hash = hash(batch.rows(), row);
            if kind.is_addition() {
                let at = freed.take().filter(|_| kind == RowKind::UpdateAfter);
                self.add((number, row), hash, at);
            } else {
                freed = self.remove((number, row), hash).filter(|_| kind == RowKind::UpdateBefore);
            }
        }
        if self.held > 2 * self.count + SLACK { self.compact() } else { Ok(()) }
    }

    fn add(&mut self, place: Place, hash: u64, at: Option<usize>) {
        let index = match at {
            Some(index) => {
                self.rows[index] = Some(place);
                index
            }
            None => {
                self.rows.push(Some(place));
                self.rows.len() - 1
            }
        };
        self.index.entry(hash).or_default().push(index);
        self.count += 1;
        self.first = self.first.min(index);
        while self.count > self.limit {
            self.drop_oldest();
        }
    }

    /// Where the row was; None when there is no such row.
    fn remove(&mut self, place: Place, hash: u64) -> Option<usize> {
        let same =
            self.index.get(&hash)?.iter().rposition(|at| self.rows[*at].is_some_and(|row| self.equal(row, place)));
        let places = self.index.get_mut(&hash)?;
        let at = places.remove(same?);
        if places.is_empty() {
            self.index.remove(&hash);
        }
        self.rows[at] = None;
        self.count -= 1;
        Some(at)
    }

    fn drop_oldest(&mut self) {
        while let Some(row) = self.rows.get(self.first) {
            let at = self.first;
            self.first += 1;
            if let Some(place) = *row {
                let hash = hash(&self.batches[place.0], place.1);
                if let Some(places) = self.index.get_mut(&hash) {
                    places.retain(|index| *index != at);
                    if places.is_empty() {
                        self.index.remove(&hash);
                    }
                }
                self.rows[at] = None;
                self.count -= 1;
                self.dropped += 1;
                return;
            }
        }
    }

    fn equal(&self, a: Place, b: Place) -> bool {
        let columns = self.batches[a.0].columns().iter().zip(self.batches[b.0].columns());
        columns.into_iter().all(|(left, right)| value_text(left, a.1) == value_text(right, b.1))
    }

    /// Merges what is left of the batches.
    fn compact(&mut self) -> Result<(), ArrowError> {
        let merged = self.table()?;
        let mut renumbered = vec![0; self.rows.len()];
        let mut next = 0;
        for (at, row) in self.rows.iter().enumerate() {
            renumbered[at] = next;
            next += usize::from(row.is_some());
        }
        self.index.values_mut().flatten().for_each(|at| *at = renumbered[*at]);
        self.rows = (0..merged.num_rows()).map(|row| Some((0, row))).collect();
        self.held = merged.num_rows();
        self.first = 0;
        self.batches = vec![merged];
        Ok(())
    }

    /// The newest `count` rows.
    pub fn newest(&self, count: usize) -> Result<RecordBatch, ArrowError> {
        let mut places: Vec<Place> = self.rows.iter().rev().flatten().take(count).copied().collect();
        places.reverse();
        self.gather(&places)
    }

    /// All rows.
    pub fn table(&self) -> Result<RecordBatch, ArrowError> {
        let places: Vec<Place> = self.rows.iter().flatten().copied().collect();
        self.gather(&places)
    }

    fn gather(&self, places: &[Place]) -> Result<RecordBatch, ArrowError> {
        if places.is_empty() || self.schema.fields().is_empty() {
            return Ok(RecordBatch::new_empty(self.schema.clone()));
        }
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        interleave_record_batch(&batches, places)
    }
}

fn hash(batch: &RecordBatch, row: usize) -> u64 {
    let mut hasher = DefaultHasher::new();
    batch.columns().iter().for_each(|column| value_text(column, row).hash(&mut hasher));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    use super::*;
    use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, false)]))
    }

    fn batch(changes: &[(RowKind, i64)]) -> ChangelogBatch {
        let values: Vec<i64> = changes.iter().map(|(_, value)| *value).collect();
        let rows = RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from(values))]).unwrap();
        ChangelogBatch::new(rows, changes.iter().map(|(kind, _)| *kind).collect())
    }

    fn values(batch: &RecordBatch) -> Vec<i64> {
        batch.column(0).as_primitive::<Int64Type>().values().to_vec()
    }

    #[test]
    fn an_updated_row_stays_in_its_place_and_others_come_last() {
        let mut table = Materialized::new(schema(), 10);
        table.apply(&batch(&[(Insert, 1), (Insert, 2), (Insert, 3)])).unwrap();
        table.apply(&batch(&[(UpdateBefore, 2), (UpdateAfter, 20), (Delete, 1), (Insert, 4)])).unwrap();
        assert_eq!(values(&table.table().unwrap()), [20, 3, 4]);
        assert_eq!(values(&table.newest(2).unwrap()), [3, 4]);
        table.compact().unwrap();
        table.apply(&batch(&[(Delete, 3), (Insert, 20), (Delete, 20), (Delete, 99)])).unwrap();
        assert_eq!(values(&table.table().unwrap()), [20, 4], "of equal rows the newest goes first");
    }

    #[test]
    fn the_oldest_rows_are_forgotten_and_memory_stays_bounded() {
        let mut table = Materialized::new(schema(), 3);
        for n in 0..20_000 {
            table.apply(&batch(&[(Insert, n)])).unwrap();
        }
        assert_eq!((values(&table.table().unwrap()), table.dropped()), (vec![19_997, 19_998, 19_999], 19_997));
        assert!(table.held <= 2 * 3 + SLACK + 1 && table.rows.len() <= 2 * 3 + SLACK + 1 && table.index.len() == 3);
        for n in 0..100_000 {
            table.apply(&batch(&[(UpdateBefore, 19_999 + n), (UpdateAfter, 20_000 + n)])).unwrap();
        }
        assert_eq!(values(&table.newest(1).unwrap()), [119_999]);
        assert!(table.batches.len() <= SLACK, "{}", table.batches.len());
    }
}
