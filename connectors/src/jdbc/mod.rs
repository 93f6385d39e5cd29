//! The `jdbc` connector: upserts into MySQL and MariaDB, and into SQLite, the embedded database for trying out.
//!
//! - `config`: the options, declared and resolved; `url`: where the database is.
//! - `target`: the table in the database, and whether the declared columns fit into it without loss.
//! - `buffer`: rows that wait, last change per key; `value`: Arrow values as the database takes them;
//!   `statement`: SQL texts.
//! - `connection`: one connection with a limit on every wait; `mysql`, `sqlite`: what differs between the databases.
//! - `sink`: the writer of one subtask, with flush and retry.
//!
//! With a PRIMARY KEY in the declaration the sink is in upsert mode and takes updates and deletions; without, it appends.
//! Delivery is at least once, which with a key converges to exactly the right table. Exactly-once in database
//! transactions that carry a marker row fits in through `prepare` (returning the changes as the epoch's log) and `apply`.

mod buffer;
mod config;
mod connection;
mod halt;
mod mysql;
mod sink;
mod sqlite;
mod statement;
mod target;
mod url;
mod value;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use eddyline_engine::connector::{
    ColumnKind, ConnectorFactory, OptionSpec, Sink, SinkChanges, SinkContext, SinkFactory, TableDescription, TableSink,
    TableSource,
};
use eddyline_engine::{Error, Result};

use config::Config;
use halt::Halts;
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
        Ok(TableSink {
            factory: Arc::new(JdbcSinkFactory { config, table: table.clone(), halts: Halts::default() }),
            changes,
        })
    }
}

/// Opens the writers of one table.
struct JdbcSinkFactory {
    config: Config,
    table: TableDescription,
    halts: Halts,
}

impl SinkFactory for JdbcSinkFactory {
    fn open(&self, _context: &SinkContext) -> Result<Box<dyn Sink>> {
        Ok(Box::new(JdbcSink::open(self.config.clone(), &self.table, self.halts.add())?))
    }

    fn interrupt(&self) {
        self.halts.ask_all();
    }
}
