//! The `upsert-kafka` connector: a topic as a table with a primary key.
//!
//! The key of a message is the primary key of the row that the message is about, its value is the new row, and a message
//! without value (a tombstone) deletes the row. Everything else is the connector `kafka`: this one says which of its
//! options there are, and sets those that follow from the primary key. `sink` writes; `buffer` gathers for it.

mod buffer;
mod sink;

use std::sync::Arc;

use eddyline_engine::connector::{
    ConnectorFactory, MetadataColumn, OptionSpec, OptionValue, Options, SinkChanges, SourceChanges, TableDescription,
    TableSink, TableSource,
};
use eddyline_engine::error::{Error, Result};

pub(super) use buffer::FlushRule;
pub(super) use sink::UpsertSink;

use super::delivery::Target;
use super::layout::Layout;
use super::options::{Formats, SourceOptions, specs};
use super::sink::{KafkaSinkFactory, Rows};
use super::{UPSERT_KAFKA, connector, properties};

const MAX_ROWS: &str = "sink.buffer-flush.max-rows";
const INTERVAL: &str = "sink.buffer-flush.interval";

const OWN: [OptionSpec; 2] = [
    OptionSpec::with_default(
        MAX_ROWS,
        OptionValue::Integer,
        "0",
        "Gather the last change of each key until so many keys have changed; 0 sends each change at once. Goes with \
         sink.buffer-flush.interval.",
    ),
    OptionSpec::with_default(
        INTERVAL,
        OptionValue::Duration,
        "0",
        "How long changes are gathered at most; 0 sends each at once. Goes with sink.buffer-flush.max-rows.",
    ),
];

/// Options of `kafka` that have no meaning here: the primary key is the message key, reading begins with the oldest
/// message, and the key alone chooses the partition.
const NOT_HERE: [&str; 7] = [
    "format",
    "key.fields",
    "scan.startup.mode",
    "scan.startup.specific-offsets",
    "scan.startup.timestamp-millis",
    "scan.topic-partition-discovery.interval",
    "sink.partitioner",
];

/// `'connector' = 'upsert-kafka'`.
#[derive(Debug, Clone, Copy, Default)]
pub struct UpsertKafkaConnector;

impl ConnectorFactory for UpsertKafkaConnector {
    fn identifier(&self) -> &'static str {
        UPSERT_KAFKA
    }

    fn doc(&self) -> &'static str {
        "Reads and writes Apache Kafka topics as tables with a primary key: the message key says which row, the value is \
         the new row, and a message without value deletes it."
    }

    fn options(&self) -> Vec<OptionSpec> {
        let is_format = |key: &str| specs().iter().any(|s| s.key == format!("value.{key}"));
        let here = |spec: &OptionSpec| !NOT_HERE.contains(&spec.key) && !is_format(spec.key);
        let required = |spec: OptionSpec| OptionSpec {
            required: spec.required || matches!(spec.key, "key.format" | "value.format"),
            ..spec
        };
        specs().into_iter().filter(here).map(required).chain(OWN).collect()
    }

    fn metadata(&self) -> Vec<MetadataColumn> {
        super::metadata::offered()
    }

    fn source(&self, table: &TableDescription) -> Result<TableSource> {
        let (options, formats) = self.checked(table)?;
        let parsed = SourceOptions::parse(&options, &table.name)?;
        let layout = Layout::of_source(table, &options, &formats)?.upserts(table);
        let client = properties::consumer(&options, &parsed)?;
        connector::table_source(parsed, client, layout, formats, SourceChanges::Upsert)
    }

    fn sink(&self, table: &TableDescription) -> Result<TableSink> {
        let (options, formats) = self.checked(table)?;
        let rule = flush_rule(&options)?;
        let target = Target::parse(&options)?;
        let layout = Layout::of_sink(table, &options, &formats)?;
        drop(layout.encoders(&formats)?);
        let factory = KafkaSinkFactory::new(target, layout, formats, Rows::Upserts(rule));
        Ok(TableSink { factory: Arc::new(factory), changes: SinkChanges::Upsert })
    }
}

/// When the sink sends what it gathers; None when it gathers nothing.
fn flush_rule(options: &Options) -> Result<Option<FlushRule>> {
    let max_rows = usize::try_from(options.integer(MAX_ROWS)?.unwrap_or(0)).unwrap_or(0);
    let interval = options.duration(INTERVAL)?.unwrap_or_default();
    match (max_rows > 0, !interval.is_zero()) {
        (true, true) => Ok(Some(FlushRule { max_rows, interval })),
        (false, false) => Ok(None),
        _ => Err(Error::option(
            format!(
                "'{MAX_ROWS}' and '{INTERVAL}' must be set to be greater than zero together to enable sink buffer flushing."
            ),
            None,
        )),
    }
}

impl UpsertKafkaConnector {
    /// The options in the terms of `kafka`.
    fn checked(&self, table: &TableDescription) -> Result<(Options, Formats)> {
        Options::check(UPSERT_KAFKA, &table.options, self.options())?;
        let mut values = table.options.clone();
        values.insert("key.fields".to_string(), table.primary_key.join(";"));
        values.insert("scan.startup.mode".to_string(), "earliest-offset".to_string());
        let options = Options::check(UPSERT_KAFKA, &values, specs().into_iter().chain(OWN).collect())?;
        let formats = Formats::create(&options)?;
        let key = formats.key.as_ref();
        for (part, carries_changes) in [
            ("key", key.is_some_and(|format| format.changes() != SourceChanges::Append)),
            ("value", formats.value.changes() != SourceChanges::Append),
        ] {
            if carries_changes {
                let name = options.text(&format!("{part}.format")).unwrap_or_default();
                return Err(Error::option(
                    format!(
                        "'upsert-kafka' connector doesn't support '{name}' as {part} format, because '{name}' is not in \
                         insert-only mode."
                    ),
                    "the connector 'kafka' reads and writes formats that carry changes".to_string(),
                ));
            }
        }
        if table.primary_key.is_empty() {
            return Err(Error::option(
                "'upsert-kafka' tables require to define a PRIMARY KEY constraint. The PRIMARY KEY specifies which \
                 columns should be read from or write to the Kafka message key. The PRIMARY KEY also defines records in \
                 the 'upsert-kafka' table should update or delete on which keys.",
                "add PRIMARY KEY (…) NOT ENFORCED to the columns".to_string(),
            ));
        }
        Ok((options, formats))
    }
}
