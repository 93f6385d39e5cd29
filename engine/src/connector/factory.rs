//! How SQL finds and describes connectors, without knowing any of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use super::options::OptionSpec;
use super::{SinkFactory, SourceFactory};
use crate::error::Result;

/// Where the value of a declared column comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnKind {
    /// From the message, through the format.
    Physical,
    /// From the connector (`METADATA [FROM 'key'] [VIRTUAL]`); a virtual one is not written by sinks.
    Metadata {
        /// The connector's name for it, such as `offset`.
        key: String,
        /// True when sinks do not write it.
        is_virtual: bool,
    },
}

/// One declared column that the connector reads or writes. (Computed columns are the planner's.)
#[derive(Debug, Clone, PartialEq)]
pub struct TableColumn {
    /// Name, type and nullability; the type in Arrow's terms, with Flink's spelling in the metadata key `flink.type`
    /// where Arrow's is coarser.
    pub field: FieldRef,
    /// Where it comes from.
    pub kind: ColumnKind,
}

/// A table as declared, with all that a connector needs to make a source or a sink.
#[derive(Debug, Clone, PartialEq)]
pub struct TableDescription {
    /// Name for messages and defaults.
    pub name: String,
    /// Columns in declared order, computed ones left out.
    pub columns: Vec<TableColumn>,
    /// Names of the primary key columns; empty without one.
    pub primary_key: Vec<String>,
    /// `WITH` options, including `connector`.
    pub options: BTreeMap<String, String>,
}

impl TableDescription {
    /// All columns that a source must produce, in order: physical and metadata.
    pub fn source_schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.columns.iter().map(|c| c.field.clone()).collect::<Vec<_>>()))
    }

    /// The columns of [`TableDescription::source_schema`] as a source of upserts gives them: a deletion may hold nothing
    /// but the primary key, so that every other column may be NULL there.
    pub fn upsert_schema(&self) -> SchemaRef {
        let is_key = |field: &FieldRef| self.primary_key.iter().any(|key| key == field.name());
        let relaxed = |field: &FieldRef| match is_key(field) {
            true => Arc::clone(field),
            false => Arc::new(field.as_ref().clone().with_nullable(true)),
        };
        Arc::new(Schema::new(self.columns.iter().map(|c| relaxed(&c.field)).collect::<Vec<_>>()))
    }

    /// All columns that a sink is given, in order: physical and writable metadata.
    pub fn sink_schema(&self) -> SchemaRef {
        let writable = |c: &&TableColumn| !matches!(c.kind, ColumnKind::Metadata { is_virtual: true, .. });
        Arc::new(Schema::new(self.columns.iter().filter(writable).map(|c| c.field.clone()).collect::<Vec<_>>()))
    }

    /// The columns that pass through the format.
    pub fn physical_schema(&self) -> SchemaRef {
        let physical = self.columns.iter().filter(|c| c.kind == ColumnKind::Physical);
        Arc::new(Schema::new(physical.map(|c| c.field.clone()).collect::<Vec<_>>()))
    }
}

/// What changes a source produces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceChanges {
    /// Only `+I`.
    Append,
    /// Additions and key-only deletions by primary key, without `-U`; must be normalized before use.
    Upsert,
    /// All four kinds.
    Retract,
}

/// What changes a sink takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkChanges {
    /// Only `+I`.
    Append,
    /// Additions and deletions by primary key; `-U` is not needed.
    Upsert,
    /// All four kinds.
    Retract,
}

/// A table ready to be read.
#[derive(Clone)]
pub struct TableSource {
    /// Makes the readers.
    pub factory: Arc<dyn SourceFactory>,
    /// What they produce.
    pub changes: SourceChanges,
    /// True when reading ends by itself.
    pub bounded: bool,
    /// Largest useful number of subtasks (number of splits where it is fixed); None without a limit.
    pub max_parallelism: Option<usize>,
}

/// A table ready to be written.
#[derive(Clone)]
pub struct TableSink {
    /// Makes the writers.
    pub factory: Arc<dyn SinkFactory>,
    /// What they take.
    pub changes: SinkChanges,
}

/// A metadata column that a connector offers.
#[derive(Debug, Clone, PartialEq)]
pub struct MetadataColumn {
    /// Its key, such as `timestamp`.
    pub key: &'static str,
    /// Its own type; a declared column of another type is cast.
    pub data_type: DataType,
    /// True when sinks can write it.
    pub writable: bool,
}

impl MetadataColumn {
    /// The column as a nullable field named after its key.
    pub fn field(&self) -> Field {
        Field::new(self.key, self.data_type.clone(), true)
    }
}

/// A kind of table: `'connector' = 'kafka'`.
pub trait ConnectorFactory: Send + Sync {
    /// The word after `'connector' =`.
    fn identifier(&self) -> &'static str;

    /// One sentence for the reference.
    fn doc(&self) -> &'static str;

    /// All options, including those of the formats it can use, for documentation and completion.
    fn options(&self) -> Vec<OptionSpec>;

    /// Metadata columns that may be declared.
    fn metadata(&self) -> Vec<MetadataColumn> {
        Vec::new()
    }

    /// True when `source` may be given a table with some of its columns left out (formats that find fields by name).
    fn reads_any_columns(&self, _table: &TableDescription) -> bool {
        false
    }

    /// Checks the options for reading and prepares a source; contacts nothing.
    fn source(&self, table: &TableDescription) -> Result<TableSource>;

    /// Checks the options for writing and prepares a sink; contacts nothing.
    fn sink(&self, table: &TableDescription) -> Result<TableSink>;
}

/// All connectors of this program, by identifier.
#[derive(Clone, Default)]
pub struct Registry(BTreeMap<&'static str, Arc<dyn ConnectorFactory>>);

impl Registry {
    /// Adds a connector.
    pub fn with(mut self, connector: Arc<dyn ConnectorFactory>) -> Self {
        self.0.insert(connector.identifier(), connector);
        self
    }

    /// The connector of that name.
    pub fn get(&self, identifier: &str) -> Option<&Arc<dyn ConnectorFactory>> {
        self.0.get(identifier)
    }

    /// All connectors in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn ConnectorFactory>> {
        self.0.values()
    }
}
