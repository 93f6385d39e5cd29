//! The `jdbc` connector: upserts into MySQL and MariaDB, and into SQLite, the embedded database for trying out.
//!
//! - `config`: the options, declared and resolved; `url`: where the database is.
//! - `target`: the table in the database, and whether the declared columns fit into it without loss.
//! - `buffer`: rows that wait, last change per key; `value`: Arrow values as the database takes them;
//!   `statement`: SQL texts.
//! - `connection`: one connection with a limit on every wait; `mysql`, `sqlite`: what differs between the databases;
//!   `link`: the connection that is made anew after a failure, and the work that is then done again.
//! - `opening`: the checks before rows flow; `writer`: rows to statements; `refusal`: rows that the database refuses.
//! - `sink`: writes at once (at least once); `log_sink`, `log`, `marker`, `committer`: exactly once, by a log that becomes
//!   part of the checkpoint and is then written in transactions that carry a marker row.
//! - `journal`: checkpoints and source offsets in tables, for operators.
//!
//! With a PRIMARY KEY in the declaration the sink is in upsert mode and takes updates and deletions; without, it appends.
//! Writing at once with a key converges to exactly the right table after a replay; without a key it would repeat rows,
//! so there exactly-once is the default wherever the job keeps checkpoints.

mod buffer;
mod committer;
mod config;
mod connection;
mod halt;
mod journal;
mod link;
mod log;
mod log_sink;
mod marker;
mod mysql;
mod opening;
mod refusal;
mod sink;
mod sqlite;
mod statement;
mod target;
mod url;
mod value;
mod writer;

#[cfg(test)]
mod exactly_once_tests;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use eddyline_engine::connector::{
    ColumnKind, Committer, ConnectorFactory, OptionSpec, Sink, SinkChanges, SinkContext, SinkFactory, TableDescription,
    TableSink, TableSource,
};
use eddyline_engine::{Error, Result};

pub use journal::open_journal;

use committer::JdbcCommitter;
use config::Config;
use halt::Halts;
use log_sink::LogSink;
use sink::JdbcSink;

/// `'connector' = 'jdbc'`.
#[derive(Debug, Clone, Copy, Default)]
pub struct JdbcConnector;

impl ConnectorFactory for JdbcConnector {
    fn identifier(&self) -> &'static str {
        "jdbc"
    }

    fn doc(&self) -> &'static str {
        "Writes into a table of MySQL, MariaDB or SQLite: upserts with a primary key, plain inserts without."
    }

    fn options(&self) -> Vec<OptionSpec> {
        config::specs()
    }

    fn source(&self, table: &TableDescription) -> Result<TableSource> {
        Err(Error::option(
            format!("table '{}' cannot be read: the 'jdbc' connector only writes so far", table.name),
            "use it as the target of INSERT INTO".to_string(),
        ))
    }

    fn sink(&self, table: &TableDescription) -> Result<TableSink> {
        let config = Config::of(table)?;
        if let Some(column) = table.columns.iter().find(|c| c.kind != ColumnKind::Physical) {
            let message =
                format!("the 'jdbc' connector has no metadata, but column '{}' asks for it", column.field.name());
            return Err(Error::option(message, None));
        }
        if let Some(column) = table.columns.iter().find(|c| !value::is_supported(c.field.data_type())) {
            let (name, kind) = (column.field.name(), target::type_name(&column.field));
            let hint = "write it as STRING, for example as JSON text".to_string();
            return Err(Error::option(
                format!("column '{name}' {kind} cannot be written by the 'jdbc' connector"),
                hint,
            ));
        }
        let changes = if table.primary_key.is_empty() { SinkChanges::Append } else { SinkChanges::Upsert };
        let factory = JdbcSinkFactory {
            exactly_once: config.exactly_once.unwrap_or(table.primary_key.is_empty()),
            config,
            table: table.clone(),
            halts: Halts::default(),
        };
        Ok(TableSink { factory: Arc::new(factory), changes })
    }
}

/// Opens the writers of one table.
struct JdbcSinkFactory {
    config: Config,
    table: TableDescription,
    exactly_once: bool,
    halts: Halts,
}

impl SinkFactory for JdbcSinkFactory {
    fn open(&self, context: &SinkContext) -> Result<Box<dyn Sink>> {
        if self.exactly_once {
            return Ok(Box::new(LogSink::new(&self.config, &self.table)?));
        }
        Ok(Box::new(JdbcSink::open(self.config.clone(), &self.table, context, self.halts.add())?))
    }

    fn committer(&self, context: &SinkContext) -> Result<Option<Box<dyn Committer>>> {
        if !self.exactly_once {
            return Ok(None);
        }
        let committer = JdbcCommitter::open(self.config.clone(), &self.table, context, self.halts.add())?;
        Ok(Some(Box::new(committer)))
    }

    fn guarantee(&self) -> &'static str {
        if self.exactly_once { "exactly-once" } else { "at-least-once" }
    }

    fn needs_checkpoints(&self) -> bool {
        self.config.exactly_once == Some(true)
    }

    fn without_checkpoints(&self) -> Option<Arc<dyn SinkFactory>> {
        (self.exactly_once && !self.needs_checkpoints()).then(|| {
            let (config, table) = (self.config.clone(), self.table.clone());
            Arc::new(JdbcSinkFactory { config, table, exactly_once: false, halts: Halts::default() }) as Arc<_>
        })
    }

    fn interrupt(&self) {
        self.halts.ask_all();
    }
}
