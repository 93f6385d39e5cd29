//! Writing: rows become messages, and [`Delivery`] brings them to the topic.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{Schema, TimestampMillisecondType};
use std::sync::Arc;

use eddyline_engine::changelog::ChangelogBatch;
use eddyline_engine::connector::{EpochLog, Sink, SinkContext, SinkFactory};
use eddyline_engine::error::{Error, Result};
use eddyline_engine::time::Epoch;

use super::delivery::{Delivery, Encoded, Target};
use super::layout::{Layout, Origin};
use super::metadata::Metadata;
use super::options::Formats;
use crate::format::{Encoder, Messages};

/// Makes sinks of one table.
pub(super) struct KafkaSinkFactory {
    target: Target,
    layout: Layout,
    formats: Formats,
}

impl KafkaSinkFactory {
    pub(super) fn new(target: Target, layout: Layout, formats: Formats) -> Self {
        KafkaSinkFactory { target, layout, formats }
    }
}

impl SinkFactory for KafkaSinkFactory {
    fn open(&self, context: &SinkContext) -> Result<Box<dyn Sink>> {
        let (key, value) = self.layout.encoders(&self.formats)?;
        let column = |wanted: Metadata| self.layout.origins.iter().position(|o| *o == Origin::Metadata(wanted));
        Ok(Box::new(KafkaSink {
            timestamp_column: column(Metadata::Timestamp),
            headers_column: column(Metadata::Headers),
            layout: self.layout.clone(),
            key,
            value,
            keys: Messages::new(),
            values: Messages::new(),
            delivery: self.target.open(context)?,
        }))
    }

    fn guarantee(&self) -> &'static str {
        self.target.guarantee()
    }

    fn needs_checkpoints(&self) -> bool {
        self.target.needs_checkpoints()
    }
}

struct KafkaSink {
    timestamp_column: Option<usize>,
    headers_column: Option<usize>,
    layout: Layout,
    key: Option<Box<dyn Encoder>>,
    value: Box<dyn Encoder>,

    keys: Messages,
    values: Messages,
    delivery: Delivery,
}

impl KafkaSink {
    fn encode(&mut self, batch: &ChangelogBatch) -> Result<()> {
        self.keys.clear();
        self.values.clear();
        self.value.encode(&project(batch, &self.layout.value)?, &mut self.values)?;
        if let Some(key) = &mut self.key {
            // A key has no kind of its own: deletions are told by the value.
            let rows = project(batch, &self.layout.key)?.rows().clone();
            key.encode(&ChangelogBatch::inserts(rows), &mut self.keys)?;
        }
        let keys = if self.key.is_some() { self.keys.len() } else { batch.len() };
        if self.values.len() != batch.len() || keys != batch.len() {
            return Err(Error::internal("the format did not write one message per row"));
        }
        Ok(())
    }
}

impl Sink for KafkaSink {
    fn write(&mut self, batch: &ChangelogBatch) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        self.encode(batch)?;
        let millis = Metadata::Timestamp.data_type();
        let timestamps = self.timestamp_column.map(|c| cast(batch.column(c), &millis)).transpose()?;
        let timestamps = timestamps.as_ref().map(|column| column.as_primitive::<TimestampMillisecondType>());
        for (row, value) in self.values.iter().enumerate() {
            let headers = self.headers_column.map(|c| headers(batch.column(c), row)).unwrap_or_default();
            self.delivery.send(&Encoded {
                key: self.keys.get(row),
                value: Some(value),
                timestamp_ms: timestamps.filter(|t| t.is_valid(row)).map(|t| t.value(row)),
                headers: &headers,
            })?;
        }
        self.delivery.check()
    }

    fn tick(&mut self) -> Result<()> {
        self.delivery.check()
    }

    fn prepare(&mut self, _epoch: Epoch) -> Result<EpochLog> {
        self.delivery.prepare()
    }

    fn log_bytes(&self) -> usize {
        self.delivery.log_bytes()
    }
}

/// The columns at `indices`, with the kinds of the batch.
fn project(batch: &ChangelogBatch, indices: &[usize]) -> Result<ChangelogBatch> {
    let schema = batch.rows().schema();
    let fields: Vec<_> = indices.iter().map(|i| schema.fields()[*i].clone()).collect();
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
