//! Writing, at least once: rows are sent as they come, and the barrier passes only when all of them have arrived.

use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{Schema, TimestampMillisecondType};
use std::sync::Arc;

use eddyline_engine::changelog::ChangelogBatch;
use eddyline_engine::connector::{EpochLog, Sink, SinkContext, SinkFactory};
use eddyline_engine::error::{Error, Result};
use eddyline_engine::time::Epoch;
use rdkafka::ClientConfig;

use super::client::missing_topic;
use super::embedded;
use super::layout::{Layout, Origin};
use super::metadata::Metadata;
use super::options::{Formats, Guarantee, Partitioner, SinkOptions};
use super::producer::{Outgoing, Producer};
use crate::format::{Encoder, Messages};

/// How long the end of a job waits for messages that nobody has to wait for.
const LAST_FLUSH: Duration = Duration::from_secs(5);

/// Makes sinks of one table.
pub(super) struct KafkaSinkFactory {
    options: SinkOptions,
    config: ClientConfig,
    layout: Layout,
    formats: Formats,
}

impl KafkaSinkFactory {
    pub(super) fn new(options: SinkOptions, config: ClientConfig, layout: Layout, formats: Formats) -> Self {
        KafkaSinkFactory { options, config, layout, formats }
    }
}

impl SinkFactory for KafkaSinkFactory {
    fn open(&self, context: &SinkContext) -> Result<Box<dyn Sink>> {
        let topic = &self.options.topic;
        let mut config = self.config.clone();
        if let Some(partitions) = self.options.embedded {
            config.set("bootstrap.servers", embedded::bootstrap()?);
            embedded::create_topic(topic, partitions)?;
        }
        let producer = Producer::new(&config, topic)?;
        let known = producer.client().topics()?;
        let partitions = known.get(topic).ok_or_else(|| missing_topic(topic, &known))?.len() as i32;
        let (key, value) = self.layout.encoders(&self.formats)?;
        let column = |wanted: Metadata| self.layout.origins.iter().position(|o| *o == Origin::Metadata(wanted));
        let partition = match self.options.partitioner {
            Partitioner::Default => Choice::Client,
            Partitioner::Fixed => Choice::Fixed((context.subtask.index as i32).rem_euclid(partitions)),
            Partitioner::RoundRobin => Choice::Next { next: context.subtask.index as i32 % partitions, partitions },
        };
        Ok(Box::new(KafkaSink {
            guarantee: self.options.guarantee,
            timestamp_column: column(Metadata::Timestamp),
            headers_column: column(Metadata::Headers),
            layout: self.layout.clone(),
            key,
            value,
            partition,
            keys: Messages::new(),
            values: Messages::new(),
            producer,
        }))
    }

    fn guarantee(&self) -> &'static str {
        match self.options.guarantee {
            Guarantee::None => "none",
            Guarantee::AtLeastOnce => "at-least-once",
        }
    }
}

/// The partition of the next message.
enum Choice {
    Client,
    Fixed(i32),
    Next { next: i32, partitions: i32 },
}

impl Choice {
    fn next(&mut self) -> Option<i32> {
        match self {
            Choice::Client => None,
            Choice::Fixed(partition) => Some(*partition),
            Choice::Next { next, partitions } => {
                let chosen = *next;
                *next = (chosen + 1) % *partitions;
                Some(chosen)
            }
        }
    }
}

struct KafkaSink {
    guarantee: Guarantee,
    timestamp_column: Option<usize>,
    headers_column: Option<usize>,
    layout: Layout,
    key: Option<Box<dyn Encoder>>,
    value: Box<dyn Encoder>,

    partition: Choice,
    keys: Messages,
    values: Messages,
    producer: Producer,
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
            self.producer.send(&Outgoing {
                partition: self.partition.next(),
                key: self.keys.get(row),
                value,
                timestamp_ms: timestamps.filter(|t| t.is_valid(row)).map(|t| t.value(row)),
                headers: &headers,
            })?;
        }
        self.producer.check()
    }

    fn tick(&mut self) -> Result<()> {
        self.producer.check()
    }

    fn prepare(&mut self, _epoch: Epoch) -> Result<EpochLog> {
        match self.guarantee {
            Guarantee::None => self.producer.check()?,
            Guarantee::AtLeastOnce => self.producer.flush()?,
        }
        Ok(EpochLog::empty())
    }
}

impl Drop for KafkaSink {
    fn drop(&mut self) {
        if self.guarantee == Guarantee::None {
            self.producer.flush_within(LAST_FLUSH);
        }
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
