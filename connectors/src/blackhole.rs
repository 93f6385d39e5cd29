//! The `blackhole` connector: a sink that swallows everything, for measuring what comes before it.

use std::sync::Arc;

use eddyline_engine::connector::{
    ConnectorFactory, EpochLog, OptionSpec, OptionValue, Options, Sink, SinkChanges, SinkContext, SinkFactory,
    TableDescription, TableSink, TableSource,
};
use eddyline_engine::time::Epoch;
use eddyline_engine::{ChangelogBatch, Error, Result};

/// `'connector' = 'blackhole'`.
#[derive(Debug, Clone, Copy, Default)]
pub struct BlackholeConnector;

impl ConnectorFactory for BlackholeConnector {
    fn identifier(&self) -> &'static str {
        "blackhole"
    }

    fn doc(&self) -> &'static str {
        "Takes all changes and keeps none, for measuring."
    }

    fn options(&self) -> Vec<OptionSpec> {
        vec![OptionSpec::optional("property-version", OptionValue::Integer, "Accepted for Flink's sake and ignored.")]
    }

    fn source(&self, table: &TableDescription) -> Result<TableSource> {
        Err(Error::option(format!("table '{}' cannot be read: 'blackhole' is only a sink", table.name), None))
    }

    fn sink(&self, table: &TableDescription) -> Result<TableSink> {
        Options::check("blackhole", &table.options, self.options())?;
        Ok(TableSink { factory: Arc::new(BlackholeConnector), changes: SinkChanges::Retract })
    }
}

impl SinkFactory for BlackholeConnector {
    fn open(&self, _context: &SinkContext) -> Result<Box<dyn Sink>> {
        Ok(Box::new(BlackholeConnector))
    }

    fn guarantee(&self) -> &'static str {
        "none"
    }
}

impl Sink for BlackholeConnector {
    fn write(&mut self, _batch: &ChangelogBatch) -> Result<()> {
        Ok(())
    }

    fn prepare(&mut self, _epoch: Epoch) -> Result<EpochLog> {
        Ok(EpochLog::empty())
    }
}
