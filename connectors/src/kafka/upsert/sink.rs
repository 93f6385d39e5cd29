//! Writing upserts: an added row is a message with its key and value, a row that is gone a message with its key alone.
//!
//! The old half of an update (`-U`) is a row that is gone only when no later row of the batch has its key: both halves of
//! an update are in one batch, so that the new half then says it all. Rows of one key stay in order, and the key alone
//! chooses the partition.

use std::collections::HashMap;
use std::time::Instant;

use arrow::array::Array;
use eddyline_engine::changelog::{ChangelogBatch, RowKind};
use eddyline_engine::connector::{EpochLog, Sink};
use eddyline_engine::error::{Error, Result};
use eddyline_engine::time::Epoch;

use super::buffer::{Buffer, FlushRule};
use crate::kafka::delivery::{Delivery, Encoded};
use crate::kafka::encode::RowEncoder;

/// The sink of one subtask.
pub(in crate::kafka) struct UpsertSink {
    /// The primary key columns.
    key: Vec<usize>,
    encoder: RowEncoder,
    buffer: Option<Buffer>,
    delivery: Delivery,
}

impl UpsertSink {
    /// Writes rows keyed by the columns at `key`; without `rule` each of them at once.
    pub(in crate::kafka) fn new(
        key: Vec<usize>,
        encoder: RowEncoder,
        rule: Option<FlushRule>,
        delivery: Delivery,
    ) -> Self {
        UpsertSink { key, encoder, buffer: rule.map(Buffer::new), delivery }
    }

    fn flush(&mut self) -> Result<()> {
        match &mut self.buffer {
            Some(buffer) => buffer.drain(|message| self.delivery.send(message)),
            None => Ok(()),
        }
    }

    fn flush_if_due(&mut self) -> Result<()> {
        let now = Instant::now();
        if self.buffer.as_ref().is_some_and(|buffer| buffer.is_due(now)) { self.flush() } else { Ok(()) }
    }

    /// The rows of `batch` that are not superseded within it.
    fn kept(&self, batch: &ChangelogBatch) -> Vec<usize> {
        let is_old = |row: usize| batch.kind(row) == RowKind::UpdateBefore;
        if !(0..batch.len()).any(is_old) {
            return (0..batch.len()).collect();
        }
        let last: HashMap<Option<&[u8]>, usize> = (0..batch.len()).map(|row| (self.encoder.key(row), row)).collect();
        let kept = |row: &usize| !is_old(*row) || last.get(&self.encoder.key(*row)) == Some(row);
        (0..batch.len()).filter(kept).collect()
    }
}

impl Sink for UpsertSink {
    fn write(&mut self, batch: &ChangelogBatch) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        check_keys(batch, &self.key)?;
        self.encoder.encode(batch)?;
        for row in self.kept(batch) {
            let is_addition = batch.kind(row).is_addition();
            self.encoder.message(row, |message| {
                let Some(key) = message.key else { return Err(no_key()) };
                let message = Encoded { value: message.value.filter(|_| is_addition), ..*message };
                match &mut self.buffer {
                    Some(buffer) => buffer.put(key, &message, Instant::now()),
                    None => self.delivery.send(&message)?,
                }
                Ok(())
            })?;
            if self.buffer.is_some() {
                self.flush_if_due()?;
            }
        }
        self.delivery.check()
    }

    fn tick(&mut self) -> Result<()> {
        self.flush_if_due()?;
        self.delivery.check()
    }

    fn prepare(&mut self, _epoch: Epoch) -> Result<EpochLog> {
        self.flush()?;
        self.delivery.prepare()
    }

    fn log_bytes(&self) -> usize {
        self.delivery.log_bytes()
    }
}

/// Refuses rows with NULL in a key column: no reader could tell which row they are about.
fn check_keys(batch: &ChangelogBatch, key: &[usize]) -> Result<()> {
    let schema = batch.rows().schema();
    match key.iter().find(|column| batch.column(**column).null_count() > 0) {
        Some(column) => Err(Error::data(format!(
            "Column '{}' is part of the PRIMARY KEY, however, a null value is being written into it",
            schema.field(*column).name()
        ))
        .with_hint("filter such rows out, or give the column a value with COALESCE")),
        None => Ok(()),
    }
}

fn no_key() -> Error {
    Error::internal("the key format wrote no key for a row whose key columns are not NULL")
}
