//! The metadata columns of a message: topic, partition, offset, timestamp and so on, gathered into Arrow columns.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, Int32Array, Int64Array, MapArray, StringArray, StringBuilder, StructArray,
    TimestampMillisecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use eddyline_engine::connector::{MetadataColumn, nearest};
use eddyline_engine::error::{Error, Result};

use super::consumer::Message;

/// One kind of metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Metadata {
    Topic,
    Partition,
    Offset,
    Timestamp,
    TimestampType,
    LeaderEpoch,
    Headers,
}

const ALL: [Metadata; 7] = [
    Metadata::Topic,
    Metadata::Partition,
    Metadata::Headers,
    Metadata::LeaderEpoch,
    Metadata::Offset,
    Metadata::Timestamp,
    Metadata::TimestampType,
];

/// What may be declared, whatever the format.
pub(super) fn offered() -> Vec<MetadataColumn> {
    ALL.iter().map(|m| MetadataColumn { key: m.name(), data_type: m.data_type(), writable: m.writable() }).collect()
}

impl Metadata {
    /// The kind of that name; an error that names the nearest otherwise, of these and of those `of_format`.
    pub(super) fn named(name: &str, of_format: &[MetadataColumn]) -> Result<Metadata> {
        ALL.into_iter().find(|m| m.name() == name).ok_or_else(|| {
            let of_format = of_format.iter().map(|offered| offered.key);
            let known: Vec<&str> = ALL.into_iter().map(Metadata::name).chain(of_format).collect();
            let hint = match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean '{near}'? Supported: {}", known.join(", ")),
                None => format!("supported: {}", known.join(", ")),
            };
            Error::option(format!("Invalid metadata key '{name}' for connector 'kafka'"), hint)
        })
    }

    fn name(self) -> &'static str {
        match self {
            Metadata::Topic => "topic",
            Metadata::Partition => "partition",
            Metadata::Offset => "offset",
            Metadata::Timestamp => "timestamp",
            Metadata::TimestampType => "timestamp-type",
            Metadata::LeaderEpoch => "leader-epoch",
            Metadata::Headers => "headers",
        }
    }

    /// Its own Arrow type; a declared column of another type is cast.
    pub(super) fn data_type(self) -> DataType {
        match self {
            Metadata::Topic | Metadata::TimestampType => DataType::Utf8,
            Metadata::Partition | Metadata::LeaderEpoch => DataType::Int32,
            Metadata::Offset => DataType::Int64,
            Metadata::Timestamp => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            Metadata::Headers => {
                let entry = Fields::from(vec![
                    Field::new("key", DataType::Utf8, false),
                    Field::new("value", DataType::Binary, true),
                ]);
                DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entry), false)), false)
            }
        }
    }

    /// Its type as the user would declare it.
    pub(super) fn sql_type(self) -> &'static str {
        match self {
            Metadata::Topic | Metadata::TimestampType => "STRING",
            Metadata::Partition | Metadata::LeaderEpoch => "INT",
            Metadata::Offset => "BIGINT",
            Metadata::Timestamp => "TIMESTAMP_LTZ(3)",
            Metadata::Headers => "MAP<STRING, BYTES>",
        }
    }

    /// True when a sink can write it.
    pub(super) fn writable(self) -> bool {
        matches!(self, Metadata::Timestamp | Metadata::Headers)
    }
}

/// Gathers one metadata column. Topic and partition are the same for all rows of a batch and cost nothing per row.
pub(super) enum MetadataBuilder {
    Topic,
    Partition,
    Offset(Vec<i64>),
    Timestamp(Vec<Option<i64>>),
    TimestampType(Vec<&'static str>),
    LeaderEpoch(Vec<Option<i32>>),
    Headers(Box<HeadersBuilder>),
}

impl MetadataBuilder {
    pub(super) fn new(metadata: Metadata) -> Self {
        match metadata {
            Metadata::Topic => MetadataBuilder::Topic,
            Metadata::Partition => MetadataBuilder::Partition,
            Metadata::Offset => MetadataBuilder::Offset(Vec::new()),
            Metadata::Timestamp => MetadataBuilder::Timestamp(Vec::new()),
            Metadata::TimestampType => MetadataBuilder::TimestampType(Vec::new()),
            Metadata::LeaderEpoch => MetadataBuilder::LeaderEpoch(Vec::new()),
            Metadata::Headers => MetadataBuilder::Headers(Box::default()),
        }
    }

    /// Adds the value of `message` for each of its `rows` rows.
    pub(super) fn append(&mut self, message: &Message, rows: usize) {
        match self {
            MetadataBuilder::Topic | MetadataBuilder::Partition => {}
            MetadataBuilder::Offset(values) => values.extend(std::iter::repeat_n(message.offset(), rows)),
            MetadataBuilder::Timestamp(values) => values.extend(std::iter::repeat_n(message.timestamp().0, rows)),
            MetadataBuilder::TimestampType(values) => values.extend(std::iter::repeat_n(message.timestamp().1, rows)),
            MetadataBuilder::LeaderEpoch(values) => values.extend(std::iter::repeat_n(message.leader_epoch(), rows)),
            MetadataBuilder::Headers(headers) => (0..rows).for_each(|_| headers.append(message)),
        }
    }

    /// The column in its declared type; the builder starts again empty.
    pub(super) fn finish(&mut self, topic: &str, partition: i32, rows: usize, declared: &DataType) -> Result<ArrayRef> {
        let array: ArrayRef = match self {
            MetadataBuilder::Topic => Arc::new(StringArray::from_iter_values(std::iter::repeat_n(topic, rows))),
            MetadataBuilder::Partition => Arc::new(Int32Array::from_value(partition, rows)),
            MetadataBuilder::Offset(values) => Arc::new(Int64Array::from(std::mem::take(values))),
            MetadataBuilder::Timestamp(values) => {
                Arc::new(TimestampMillisecondArray::from(std::mem::take(values)).with_timezone("UTC"))
            }
            MetadataBuilder::TimestampType(values) => Arc::new(StringArray::from(std::mem::take(values))),
            MetadataBuilder::LeaderEpoch(values) => Arc::new(Int32Array::from(std::mem::take(values))),
            MetadataBuilder::Headers(headers) => return headers.finish(declared),
        };
        if array.data_type() == declared { Ok(array) } else { Ok(cast(&array, declared)?) }
    }
}

/// Gathers headers as a map; of several headers with one name the last one counts, as in Flink.
#[derive(Default)]
pub(super) struct HeadersBuilder {
    keys: StringBuilder,
    values: BinaryBuilder,
    lengths: Vec<usize>,
}

impl HeadersBuilder {
    fn append(&mut self, message: &Message) {
        let headers = message.headers();
        let mut entries = 0;
        for (index, (name, value)) in headers.iter().enumerate() {
            if headers[index + 1..].iter().any(|(later, _)| later == name) {
                continue;
            }
            self.keys.append_value(String::from_utf8_lossy(name));
            self.values.append_option(*value);
            entries += 1;
        }
        self.lengths.push(entries);
    }

    fn finish(&mut self, declared: &DataType) -> Result<ArrayRef> {
        let DataType::Map(entries_field, ordered) = declared else {
            return Err(Error::internal("headers are declared as a map"));
        };
        let DataType::Struct(fields) = entries_field.data_type() else {
            return Err(Error::internal("the entries of a map are a struct"));
        };
        let columns: Vec<ArrayRef> = vec![Arc::new(self.keys.finish()), Arc::new(self.values.finish())];
        let entries = StructArray::try_new(fields.clone(), columns, None::<NullBuffer>)?;
        let offsets = OffsetBuffer::from_lengths(std::mem::take(&mut self.lengths));
        Ok(Arc::new(MapArray::try_new(entries_field.clone(), offsets, entries, None, *ordered)?))
    }
}
