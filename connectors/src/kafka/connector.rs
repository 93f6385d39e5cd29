//! What SQL sees of Kafka: its options, its metadata columns, and tables made ready for reading or writing.

use std::sync::Arc;

use eddyline_engine::connector::{
    ConnectorFactory, MetadataColumn, OptionSpec, Options, SinkChanges, SourceChanges, TableDescription, TableSink,
    TableSource,
};
use eddyline_engine::error::{Error, Result};

use rdkafka::ClientConfig;

use super::delivery::Target;
use super::layout::Layout;
use super::options::{Formats, SourceOptions, specs};
use super::sink::{KafkaSinkFactory, Rows};
use super::source::KafkaSourceFactory;
use super::{KAFKA, metadata, properties};

/// `'connector' = 'kafka'`.
#[derive(Debug, Clone, Copy, Default)]
pub struct KafkaConnector;

impl ConnectorFactory for KafkaConnector {
    fn identifier(&self) -> &'static str {
        KAFKA
    }

    fn doc(&self) -> &'static str {
        "Reads and writes the messages of Apache Kafka topics, in any of the message formats."
    }

    fn options(&self) -> Vec<OptionSpec> {
        specs()
    }

    fn metadata(&self) -> Vec<MetadataColumn> {
        metadata::offered().into_iter().chain(crate::format::metadata()).collect()
    }

    fn reads_any_columns(&self, table: &TableDescription) -> bool {
        crate::format::reads_any_columns(&table.options)
    }

    fn source(&self, table: &TableDescription) -> Result<TableSource> {
        let options = Options::check(KAFKA, &table.options, specs())?;
        let parsed = SourceOptions::parse(&options, &table.name)?;
        let formats = Formats::create(&options)?;
        let changes = formats.value.changes();
        refuse_primary_key(table, &options, changes == SourceChanges::Append)?;
        let layout = Layout::of_source(table, &options, &formats)?;
        let client = properties::consumer(&options, &parsed)?;
        table_source(parsed, client, layout, formats, changes)
    }

    fn sink(&self, table: &TableDescription) -> Result<TableSink> {
        let options = Options::check(KAFKA, &table.options, specs())?;
        let target = Target::parse(&options)?;
        let formats = Formats::create(&options)?;
        let changes = formats.value.sink_changes();
        refuse_primary_key(table, &options, changes == SinkChanges::Append)?;
        let layout = Layout::of_sink(table, &options, &formats)?;
        drop(layout.encoders(&formats)?);
        Ok(TableSink { factory: Arc::new(KafkaSinkFactory::new(target, layout, formats, Rows::All)), changes })
    }
}

/// A source that gives `changes`.
pub(super) fn table_source(
    options: SourceOptions,
    client: ClientConfig,
    layout: Layout,
    formats: Formats,
    changes: SourceChanges,
) -> Result<TableSource> {
    // Types that a format cannot read are found now, not when the job runs.
    drop(layout.decoders(&formats)?);
    let (bounded, max_parallelism) = (options.bounded.is_some(), options.parallelism);
    let factory = Arc::new(KafkaSourceFactory::new(options, client, layout, formats));
    Ok(TableSource { factory, changes, bounded, max_parallelism })
}

fn refuse_primary_key(table: &TableDescription, options: &Options, append_only: bool) -> Result<()> {
    if table.primary_key.is_empty() || !append_only {
        return Ok(());
    }
    let format = options.text("value.format").or_else(|| options.text("format")).unwrap_or_default();
    Err(Error::option(
        format!(
            "The Kafka table '{}' with '{format}' format doesn't support defining PRIMARY KEY constraint on the table, \
             because it can't guarantee the semantic of primary key.",
            table.name
        ),
        "remove the PRIMARY KEY, or use a format that carries changes, such as 'debezium-json'".to_string(),
    ))
}
