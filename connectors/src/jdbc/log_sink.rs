//! The writer of one subtask whose rows go into the epoch's log; [`super::committer`] writes them to the database when
//! the checkpoint is complete.

use eddyline_engine::connector::{EpochLog, Sink, TableDescription};
use eddyline_engine::time::Epoch;
use eddyline_engine::{ChangelogBatch, Error, Result};

use super::buffer::Buffer;
use super::config::Config;
use super::log::LogWriter;

/// Rows that wait before they are encoded: changes of one key among them count once.
const MAX_ROWS: usize = 65_536;

/// Collects the rows of one subtask.
pub(super) struct LogSink {
    buffer: Buffer,
    log: LogWriter,
}

impl LogSink {
    /// A sink for rows of `table`.
    pub(super) fn new(config: &Config, table: &TableDescription) -> Result<Self> {
        let schema = table.sink_schema();
        let index = |name: &String| schema.index_of(name).map_err(Error::from);
        let key = table.primary_key.iter().map(index).collect::<Result<Vec<_>>>()?;
        Ok(LogSink { buffer: Buffer::new(&config.table_name(), &schema, &key)?, log: LogWriter::default() })
    }

    fn encode(&mut self) -> Result<()> {
        self.log.push(&self.buffer.changes(), self.buffer.batches())?;
        self.buffer.clear();
        Ok(())
    }
}

impl Sink for LogSink {
    fn write(&mut self, batch: &ChangelogBatch) -> Result<()> {
        self.buffer.add(batch)?;
        if self.buffer.is_full() || self.buffer.len() >= MAX_ROWS { self.encode() } else { Ok(()) }
    }

    fn prepare(&mut self, _epoch: Epoch) -> Result<EpochLog> {
        self.encode()?;
        Ok(self.log.take())
    }

    fn log_bytes(&self) -> usize {
        self.log.len() + self.buffer.bytes()
    }
}
