//! The writer of one subtask that writes at once: collects changes, and writes them in a few large statements.
//!
//! *Life of a flush:* the last change of each key, sorted → multi-row statements, deletions first → one transaction when
//! there are several statements → the buffer is emptied. After any failure the whole flush is done again: upserts and
//! deletions by key may be repeated. When the database refuses a row, the flush is done again carefully, so that the row
//! is found and `sink.on-error` followed.
//!
//! The guarantee is at least once: `prepare` writes everything before the checkpoint counts. Without a primary key a
//! replay after a failure inserts rows again.

use std::sync::Arc;
use std::time::Instant;

use eddyline_engine::connector::{EpochLog, Sink, SinkContext, TableDescription};
use eddyline_engine::time::Epoch;
use eddyline_engine::{ChangelogBatch, Result};

use super::buffer::Buffer;
use super::config::Config;
use super::connection::Failure;
use super::halt::Halt;
use super::link::Link;
use super::opening::connect;
use super::refusal::Refusals;
use super::writer::Writer;

/// Writes the rows of one subtask.
pub(super) struct JdbcSink {
    link: Link,
    writer: Writer,
    refusals: Refusals,
    buffer: Buffer,
    /// When the oldest waiting row came.
    waiting_since: Option<Instant>,
}

impl JdbcSink {
    /// Connects, creates a missing table in SQLite, and checks that the declared columns fit.
    pub(super) fn open(
        config: Config,
        table: &TableDescription,
        context: &SinkContext,
        halt: Arc<Halt>,
    ) -> Result<Self> {
        let (link, writer, refusals) = connect(&config, table, context, halt, false)?;
        let buffer = Buffer::new(&config.table_name(), &table.sink_schema(), writer.key())?;
        Ok(JdbcSink { link, writer, refusals, buffer, waiting_since: None })
    }

    fn flush(&mut self) -> Result<()> {
        self.waiting_since = None;
        if self.buffer.is_empty() {
            return Ok(());
        }
        let (writer, refusals) = (&self.writer, &self.refusals);
        let (changes, batches) = (self.buffer.changes(), self.buffer.batches());
        let in_transaction = writer.needs_transaction(&changes);
        let mut written = self.link.run(async |connection| {
            if in_transaction {
                connection.begin().await?;
            }
            writer.write(connection, &changes, batches).await?;
            if in_transaction {
                connection.run("COMMIT").await?;
            }
            Ok(())
        });
        if let Err(Failure::Refused(_)) = written {
            written = self.link.run(async |connection| {
                connection.begin().await?;
                refusals.write(connection, writer, &changes, batches).await?;
                connection.run("COMMIT").await
            });
        }
        written.map_err(|f| self.link.explain(f))?;
        self.buffer.clear();
        Ok(())
    }

    fn interval_is_over(&self) -> bool {
        let interval = self.link.config().interval;
        !interval.is_zero() && self.waiting_since.is_some_and(|since| since.elapsed() >= interval)
    }
}

impl Sink for JdbcSink {
    fn write(&mut self, batch: &ChangelogBatch) -> Result<()> {
        self.buffer.add(batch)?;
        if !self.buffer.is_empty() {
            self.waiting_since.get_or_insert_with(Instant::now);
        }
        let max_rows = self.link.config().max_rows;
        let is_due = max_rows > 0 && self.buffer.len() >= max_rows;
        if is_due || self.buffer.is_full() || self.interval_is_over() { self.flush() } else { Ok(()) }
    }

    fn tick(&mut self) -> Result<()> {
        if self.interval_is_over() { self.flush() } else { Ok(()) }
    }

    fn prepare(&mut self, _epoch: Epoch) -> Result<EpochLog> {
        self.flush()?;
        Ok(EpochLog::empty())
    }
}
