//! The `filesystem` connector: files of a folder as a bounded table, and part files that appear with each checkpoint.
//!
//! - `listing` finds the files of a path; `records` cuts a file into messages; `source` reads the files of a subtask.
//! - `sink` writes part files that stay hidden until their epoch is applied.
//!
//! Local paths only (`/data/in`, `file:///data/in`). Watching a folder for new files and partitioned tables are refused.

mod listing;
mod records;
mod sink;
mod source;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use eddyline_engine::connector::{
    ColumnKind, ConnectorFactory, MetadataColumn, OptionSpec, OptionValue, Options, TableDescription, TableSink,
    TableSource,
};
use eddyline_engine::error::{Error, Result};

use crate::format::{self, Format};

const NAME: &str = "filesystem";

/// Options that Flink has and that are refused here, each with the reason.
const REFUSED: [(&str, &str); 4] = [
    ("source.monitor-interval", "files are read once; leave the option out"),
    ("source.path.regex-pattern", "give a folder or a file as 'path'"),
    ("sink.partition-commit.trigger", "partitioned tables are not supported"),
    ("sink.partition-commit.policy.kind", "partitioned tables are not supported"),
];

/// Files on the local disk.
#[derive(Debug, Default)]
pub struct FilesystemConnector;

impl ConnectorFactory for FilesystemConnector {
    fn identifier(&self) -> &'static str {
        NAME
    }

    fn doc(&self) -> &'static str {
        "Reads the files of a folder once; writes files that become visible with each checkpoint, exactly once."
    }

    fn options(&self) -> Vec<OptionSpec> {
        let mut specs = own_options();
        specs.extend(format::specs(""));
        specs
    }

    fn metadata(&self) -> Vec<MetadataColumn> {
        let column = |key, data_type| MetadataColumn { key, data_type, writable: false };
        let instant = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        vec![
            column("file.path", DataType::Utf8),
            column("file.name", DataType::Utf8),
            column("file.size", DataType::Int64),
            column("file.modification-time", instant),
        ]
    }

    fn reads_any_columns(&self, table: &TableDescription) -> bool {
        crate::format::reads_any_columns(&table.options)
    }

    fn source(&self, table: &TableDescription) -> Result<TableSource> {
        let checked = Checked::new(self, table)?;
        // Unsupported types show here and not only when the job starts.
        checked.format.decoder(table.physical_schema())?;
        let changes = checked.format.changes();
        let factory = source::FileSource::new(checked.path, checked.format, table, &self.metadata())?;
        Ok(TableSource { factory: Arc::new(factory), changes, bounded: true, max_parallelism: None })
    }

    fn sink(&self, table: &TableDescription) -> Result<TableSink> {
        let checked = Checked::new(self, table)?;
        let written = |kind: &ColumnKind| matches!(kind, ColumnKind::Metadata { is_virtual: false, .. });
        if let Some(column) = table.columns.iter().find(|column| written(&column.kind)) {
            let message = format!("metadata column '{}' of '{}' cannot be written", column.field.name(), table.name);
            return Err(Error::option(message, "declare it VIRTUAL".to_string()));
        }
        let schema = table.sink_schema();
        checked.format.encoder(schema.clone())?;
        let roll_bytes = checked.options.size("sink.rolling-policy.file-size")?.unwrap_or(u64::MAX);
        let changes = checked.format.sink_changes();
        let factory = sink::FileSinkFactory { directory: checked.path, format: checked.format, schema, roll_bytes };
        Ok(TableSink { factory: Arc::new(factory), changes })
    }
}

/// The options that reading and writing share.
struct Checked {
    options: Options,
    path: PathBuf,
    format: Arc<dyn Format>,
}

impl Checked {
    fn new(connector: &FilesystemConnector, table: &TableDescription) -> Result<Checked> {
        let options = Options::check(NAME, &table.options, connector.options())?;
        for (key, reason) in REFUSED {
            if options.given(key) {
                return Err(Error::option(format!("option '{key}' is not supported yet"), reason.to_string()));
            }
        }
        if options.boolean("auto-compaction")? {
            return Err(Error::option("'auto-compaction' = 'true' is not supported yet", None));
        }
        if !options.given("format") {
            let message = "One or more required options are missing for 'filesystem': format";
            return Err(Error::option(message, "add 'format' = 'json', 'csv', 'raw' or 'debezium-json'".to_string()));
        }
        let path = local_path(options.required("path")?)?;
        let format = format::create(&options, "")?;
        Ok(Checked { options, path, format })
    }
}

/// The path without the scheme `file:`.
fn local_path(text: &str) -> Result<PathBuf> {
    let refuse = |message: String| Err(Error::option(message, "only local paths are supported".to_string()));
    let path = match text.split_once("://") {
        Some(("file", path)) if path.starts_with('/') => path,
        Some((scheme, _)) => {
            return refuse(format!("Could not find a file system implementation for scheme '{scheme}'"));
        }
        None => text.strip_prefix("file:").unwrap_or(text),
    };
    if path.is_empty() {
        return refuse("option 'path' is empty".to_string());
    }
    Ok(PathBuf::from(path))
}

fn own_options() -> Vec<OptionSpec> {
    use OptionValue::{Boolean, Duration, Integer, Size, Text};
    let mut specs = vec![
        OptionSpec::required("path", Text, "Folder or file; hidden files ('.x', '_x') in a folder are left out."),
        OptionSpec::optional("source.monitor-interval", Duration, "Not supported yet: files are read once."),
        OptionSpec::optional("source.path.regex-pattern", Text, "Not supported yet."),
        OptionSpec::with_default(
            "sink.rolling-policy.file-size",
            Size,
            "128mb",
            "A part file is closed at this size, and at each checkpoint.",
        ),
        OptionSpec::with_default("auto-compaction", Boolean, "false", "Not supported yet."),
        OptionSpec::optional("compaction.file-size", Size, "Accepted; there is no compaction."),
        OptionSpec::optional("sink.parallelism", Integer, "Number of subtasks that write."),
    ];
    let unused = [
        ("sink.rolling-policy.rollover-interval", Duration, "30min"),
        ("sink.rolling-policy.inactivity-interval", Duration, "30min"),
        ("sink.rolling-policy.check-interval", Duration, "1min"),
    ];
    specs.extend(unused.map(|(key, value, default)| {
        OptionSpec::with_default(key, value, default, "Accepted; part files are closed at each checkpoint anyway.")
    }));
    let partitions = [
        ("partition.default-name", Text, "__DEFAULT_PARTITION__"),
        ("sink.partition-commit.delay", Duration, "0s"),
        ("sink.partition-commit.success-file.name", Text, "_SUCCESS"),
        ("sink.partition-commit.watermark-time-zone", Text, "UTC"),
    ];
    specs.extend(partitions.map(|(key, value, default)| {
        OptionSpec::with_default(key, value, default, "Accepted; partitioned tables are not supported yet.")
    }));
    specs.extend(
        ["sink.partition-commit.trigger", "sink.partition-commit.policy.kind"]
            .map(|key| OptionSpec::optional(key, Text, "Not supported yet: partitioned tables.")),
    );
    specs
}
