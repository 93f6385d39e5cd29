//! A query that runs for a client: batches come through a small channel, and when the client loses interest it ends.

use arrow::array::RecordBatch;
use crossbeam_channel::Receiver;
use eddyline_engine::ChangelogBatch;
use eddyline_engine::runtime::{JobHandle, StopMode};
use eddyline_sql::{SqlError, SqlState};
use tokio::sync::mpsc;

use crate::render::value_text;

/// Batches between the query and its connection, besides those in the query's own channel.
const WAITING_BATCHES: usize = 2;

/// Most rows of a finished table that is put together from its changes.
const MAX_TABLE_ROWS: usize = 1_000_000;

/// Rows that were taken back and are still kept, at least.
const COMPACT_ROWS: usize = 100_000;

/// A query that runs. Dropping it cancels the query.
pub struct Running {
    batches: mpsc::Receiver<Result<ChangelogBatch, SqlError>>,
    job: JobHandle,
}

impl Running {
    /// Takes the results of `job` over from the thread world.
    pub fn new(changes: Receiver<ChangelogBatch>, job: JobHandle) -> Self {
        let (sender, batches) = mpsc::channel(WAITING_BATCHES);
        let ending = job.clone();
        tokio::task::spawn_blocking(move || {
            for batch in changes {
                if sender.blocking_send(Ok(batch)).is_err() {
                    return;
                }
            }
            if let Err(error) = ending.wait() {
                // When nobody listens any longer, nobody misses it.
                let _ = sender.blocking_send(Err(error.into()));
            }
        });
        Running { batches, job }
    }

    /// The next batch; None at the end.
    pub async fn next(&mut self) -> Result<Option<ChangelogBatch>, SqlError> {
        self.batches.recv().await.transpose()
    }

    /// The next batch when there is one already.
    pub fn try_next(&mut self) -> Option<Result<ChangelogBatch, SqlError>> {
        self.batches.try_recv().ok()
    }

    /// Reads to the end and puts together the table that the changes add up to.
    pub async fn into_table(mut self) -> Result<Vec<RecordBatch>, SqlError> {
        let mut table = Table::default();
        while let Some(batch) = self.next().await? {
            table.apply(&batch)?;
        }
        table.finish()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A query that has ended does not mind.
        self.job.stop(StopMode::Cancel);
    }
}

/// Rows in order of arrival, as places in the batches that brought them.
#[derive(Default)]
struct Table {
    batches: Vec<RecordBatch>,
    rows: Vec<Option<(usize, usize)>>,
    /// Places in `rows` of equal rows, the newest last.
    places: std::collections::HashMap<Vec<String>, Vec<usize>>,
}

impl Table {
    fn apply(&mut self, batch: &ChangelogBatch) -> Result<(), SqlError> {
        let columns = batch.rows().columns();
        for row in 0..batch.len() {
            let key: Vec<String> = columns.iter().map(|column| value_text(column, row)).collect();
            if batch.kind(row).is_addition() {
                self.places.entry(key).or_default().push(self.rows.len());
                self.rows.push(Some((self.batches.len(), row)));
            } else if let Some(places) = self.places.get_mut(&key) {
                if let Some(place) = places.pop() {
                    self.rows[place] = None;
                }
                if places.is_empty() {
                    self.places.remove(&key);
                }
            }
        }
        self.batches.push(batch.rows().clone());
        if self.places.len() > MAX_TABLE_ROWS {
            let message = format!("the result has more than {MAX_TABLE_ROWS} rows, whose changes cannot all be kept");
            return Err(SqlError::new(SqlState::LimitExceeded, message).with_hint("INSERT it into a table"));
        }
        if self.rows.len() > 2 * self.rows.iter().flatten().count() + COMPACT_ROWS { self.compact() } else { Ok(()) }
    }

    /// Forgets the rows that were taken back.
    fn compact(&mut self) -> Result<(), SqlError> {
        let mut left = 0;
        let renumbered: Vec<usize> = self
            .rows
            .iter()
            .map(|row| {
                left += usize::from(row.is_some());
                left
            })
            .collect();
        self.places.values_mut().flatten().for_each(|place| *place = renumbered[*place] - 1);
        let rows: Vec<(usize, usize)> = self.rows.iter().flatten().copied().collect();
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let merged = arrow::compute::interleave_record_batch(&batches, &rows)?;
        self.rows = (0..merged.num_rows()).map(|row| Some((0, row))).collect();
        self.batches = vec![merged];
        Ok(())
    }

    fn finish(self) -> Result<Vec<RecordBatch>, SqlError> {
        let rows: Vec<(usize, usize)> = self.rows.into_iter().flatten().collect();
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        Ok(vec![arrow::compute::interleave_record_batch(&batches, &rows)?])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use eddyline_engine::RowKind;

    use super::*;

    #[test]
    fn changes_add_up_to_a_table_in_order_of_arrival() {
        use RowKind::{Delete, Insert};
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, false)]));
        let batch = |values: &[i64], kinds: &[RowKind]| {
            let rows = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int64Array::from(values.to_vec()))]);
            ChangelogBatch::new(rows.unwrap(), kinds.iter().copied().collect())
        };
        let mut table = Table::default();
        table.apply(&batch(&[1, 2, 2], &[Insert, Insert, Insert])).unwrap();
        table.apply(&batch(&[2, 1, 3], &[Delete, Delete, Insert])).unwrap();
        table.compact().unwrap();
        table.apply(&batch(&[3, 4], &[Delete, Insert])).unwrap();
        let rows = table.finish().unwrap();
        assert_eq!(rows[0].column(0).as_primitive::<Int64Type>().values(), &[2, 4]);
        assert!(Table::default().finish().unwrap().is_empty());
    }
}
