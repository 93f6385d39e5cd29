//! What a Debezium envelope says beside the row: when the change was made and read, and in which table of which database.

use arrow::array::{Array, ArrayRef, AsArray, MapArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, TimeUnit};
use std::sync::Arc;

use eddyline_engine::connector::MetadataColumn;
use eddyline_engine::error::{Error, Result};

use crate::format::fault::Parsed;
use crate::format::json::{JsonOptions, JsonRows};

/// One kind of metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Metadata {
    Schema,
    IngestionTimestamp,
    SourceTimestamp,
    SourceDatabase,
    SourceSchema,
    SourceTable,
    SourceProperties,
}

const ALL: [(&str, Metadata); 7] = [
    ("value.schema", Metadata::Schema),
    ("value.ingestion-timestamp", Metadata::IngestionTimestamp),
    ("value.source.timestamp", Metadata::SourceTimestamp),
    ("value.source.database", Metadata::SourceDatabase),
    ("value.source.schema", Metadata::SourceSchema),
    ("value.source.table", Metadata::SourceTable),
    ("value.source.properties", Metadata::SourceProperties),
];

/// All that may be declared.
pub(in crate::format) fn offered() -> Vec<MetadataColumn> {
    ALL.iter().map(|(key, m)| MetadataColumn { key, data_type: m.data_type(), writable: false }).collect()
}

impl Metadata {
    fn data_type(self) -> DataType {
        match self {
            Metadata::IngestionTimestamp | Metadata::SourceTimestamp => {
                DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
            }
            Metadata::SourceProperties => properties_type(),
            _ => DataType::Utf8,
        }
    }

    /// Its name within `source`, if it is a part of that.
    fn property(self) -> Option<&'static str> {
        match self {
            Metadata::SourceTimestamp => Some("ts_ms"),
            Metadata::SourceDatabase => Some("db"),
            Metadata::SourceSchema => Some("schema"),
            Metadata::SourceTable => Some("table"),
            _ => None,
        }
    }
}

fn properties_type() -> DataType {
    let entry = Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entry), false)), false)
}

/// Gathers the metadata columns of one decoder.
pub(super) struct MetadataColumns {
    /// What is wanted, and as which column.
    wanted: Vec<(Metadata, FieldRef)>,
    /// `ts_ms` and `source`.
    payload: JsonRows,
    /// `schema`, which stands beside the payload.
    message: JsonRows,
}

impl MetadataColumns {
    /// The columns `fields`, which are the metadata of these `keys`.
    pub(super) fn new(keys: &[String], fields: &[FieldRef], options: &JsonOptions) -> Result<MetadataColumns> {
        let named = |key: &String| ALL.iter().find(|(name, _)| name == key).map(|(_, metadata)| *metadata);
        let unknown = || Error::internal("metadata was asked for that the format does not offer");
        let kinds = keys.iter().map(|key| named(key).ok_or_else(unknown)).collect::<Result<Vec<_>>>()?;
        let payload = vec![Field::new("ts_ms", DataType::Int64, true), Field::new("source", properties_type(), true)];
        let message = vec![Field::new("schema", DataType::Utf8, true)];
        Ok(MetadataColumns {
            wanted: kinds.into_iter().zip(fields.iter().cloned()).collect(),
            payload: JsonRows::new(Arc::new(Schema::new(payload)), options)?,
            message: JsonRows::new(Arc::new(Schema::new(message)), options)?,
        })
    }

    /// Appends what `message` and the `payload` in it say, once.
    pub(super) fn append(&mut self, message: &[u8], payload: &[u8]) -> Parsed {
        self.payload.read(payload)?;
        if self.wanted.iter().any(|(metadata, _)| *metadata == Metadata::Schema) {
            self.message.read(message)?;
        }
        Ok(())
    }

    /// Takes back the rows from `rows` on.
    pub(super) fn truncate(&mut self, rows: usize) {
        self.payload.truncate(rows);
        if self.message.rows() > rows {
            self.message.truncate(rows);
        }
    }

    /// Hands over the columns, each in its declared type.
    pub(super) fn take(&mut self) -> Result<Vec<ArrayRef>> {
        let (payload, message) = (self.payload.take()?, self.message.take()?);
        let source = payload.column(1);
        let column = |(metadata, field): &(Metadata, FieldRef)| {
            let own: ArrayRef = match (metadata, metadata.property()) {
                (Metadata::Schema, _) => message.column(0).clone(),
                (Metadata::IngestionTimestamp, _) => payload.column(0).clone(),
                (_, Some(name)) => Arc::new(property(source.as_map(), name)),
                _ => source.clone(),
            };
            // Times are numbers of milliseconds, which `source` holds as text.
            let own = match metadata {
                Metadata::SourceTimestamp => cast(&cast(&own, &DataType::Int64)?, &metadata.data_type())?,
                _ => cast(&own, &metadata.data_type())?,
            };
            Ok(cast(&own, field.data_type())?)
        };
        self.wanted.iter().map(column).collect()
    }
}

/// The value of `name` in each row's map.
fn property(maps: &MapArray, name: &str) -> StringArray {
    let (names, values) = (maps.keys().as_string::<i32>(), maps.values().as_string::<i32>());
    let value = |row: usize| {
        let entries = maps.value_offsets()[row] as usize..maps.value_offsets()[row + 1] as usize;
        let found = entries.rev().find(|entry| names.value(*entry) == name)?;
        (maps.is_valid(row) && values.is_valid(found)).then(|| values.value(found))
    };
    (0..maps.len()).map(value).collect()
}
