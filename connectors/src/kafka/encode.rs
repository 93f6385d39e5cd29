//! Rows → messages: keys, values, and the metadata that can be written.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{Field, Schema, TimestampMillisecondType};
use eddyline_engine::changelog::ChangelogBatch;
use eddyline_engine::error::{Error, Result};

use super::delivery::Encoded;
use super::layout::{Layout, Origin};
use super::metadata::Metadata;
use super::options::Formats;
use crate::format::{Encoder, Messages};

/// Encodes batches; holds the messages of the last one.
pub(super) struct RowEncoder {
    // Configuration.
    layout: Layout,
    timestamp_column: Option<usize>,
    headers_column: Option<usize>,
    key: Option<Box<dyn Encoder>>,
    value: Box<dyn Encoder>,
    // The last batch.
    keys: Messages,
    values: Messages,
    timestamps: Option<ArrayRef>,
    headers: Option<ArrayRef>,
}

impl RowEncoder {
    pub(super) fn new(layout: Layout, formats: &Formats) -> Result<RowEncoder> {
        let (key, value) = layout.encoders(formats)?;
        let column = |wanted: Metadata| layout.origins.iter().position(|o| *o == Origin::Metadata(wanted));
        Ok(RowEncoder {
            timestamp_column: column(Metadata::Timestamp),
            headers_column: column(Metadata::Headers),
            layout,
            key,
            value,
            keys: Messages::new(),
            values: Messages::new(),
            timestamps: None,
            headers: None,
        })
    }

    /// Encodes the rows of `batch`.
    pub(super) fn encode(&mut self, batch: &ChangelogBatch) -> Result<()> {
        self.keys.clear();
        self.values.clear();
        let value = project(batch, &self.layout.value, &self.layout.value_schema)?;
        self.value.encode(&value, &mut self.values)?;
        if let Some(key) = &mut self.key {
            // A key has no kind of its own: deletions are told by the value.
            let rows = project(batch, &self.layout.key, &self.layout.key_schema)?.rows().clone();
            key.encode(&ChangelogBatch::inserts(rows), &mut self.keys)?;
        }
        let keys = if self.key.is_some() { self.keys.len() } else { batch.len() };
        if self.values.len() != batch.len() || keys != batch.len() {
            return Err(Error::internal("the format did not write one message per row"));
        }
        let millis = Metadata::Timestamp.data_type();
        self.timestamps = self.timestamp_column.map(|c| cast(batch.column(c), &millis)).transpose()?;
        self.headers = self.headers_column.map(|c| batch.column(c).clone());
        Ok(())
    }

    /// Hands the message of row `row` to `send`.
    pub(super) fn message(&self, row: usize, send: impl FnOnce(&Encoded<'_>) -> Result<()>) -> Result<()> {
        let timestamps = self.timestamps.as_ref().map(|column| column.as_primitive::<TimestampMillisecondType>());
        let headers = self.headers.as_ref().map(|column| headers(column, row)).unwrap_or_default();
        send(&Encoded {
            key: self.key(row),
            value: self.values.present(row),
            timestamp_ms: timestamps.filter(|t| t.is_valid(row)).map(|t| t.value(row)),
            headers: &headers,
        })
    }

    /// The key of row `row`; None for a message without key.
    pub(super) fn key(&self, row: usize) -> Option<&[u8]> {
        self.keys.present(row)
    }
}

/// The columns at `indices` under the names of `schema`, with the kinds of the batch. Whether NULL is allowed has been
/// decided before; deletions may hold it anywhere.
fn project(batch: &ChangelogBatch, indices: &[usize], schema: &Schema) -> Result<ChangelogBatch> {
    let fields: Vec<Field> = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    let columns: Vec<ArrayRef> = indices.iter().map(|i| batch.column(*i).clone()).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.len()));
    let rows = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?;
    Ok(batch.with_rows(rows))
}

/// The entries of row `row` of a MAP<STRING, BYTES>.
fn headers(column: &ArrayRef, row: usize) -> Vec<(&str, Option<&[u8]>)> {
    let map = column.as_map();
    if map.is_null(row) {
        return Vec::new();
    }
    let (names, values) = (map.keys().as_string::<i32>(), map.values().as_binary::<i32>());
    let range = map.value_offsets()[row] as usize..map.value_offsets()[row + 1] as usize;
    range.map(|i| (names.value(i), values.is_valid(i).then(|| values.value(i)))).collect()
}
