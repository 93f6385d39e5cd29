//! What is checked before rows flow: that the table is there, and that the declared columns and key fit it.

use std::sync::Arc;

use eddyline_engine::connector::{SinkContext, TableDescription, nearest};
use eddyline_engine::{Error, Result};

use super::config::Config;
use super::connection::{Connection, Failure};
use super::halt::Halt;
use super::link::Link;
use super::refusal::Refusals;
use super::statement::{Dialect, create_table};
use super::target::{Fit, fit};
use super::writer::Writer;

/// Connects and checks everything that can be checked; see [`prepare`].
pub(super) fn connect(
    config: &Config,
    table: &TableDescription,
    context: &SinkContext,
    halt: Arc<Halt>,
    transactional: bool,
) -> Result<(Link, Writer, Refusals)> {
    let refusals = Refusals::new(config, context, table);
    let mut link = Link::new(config.clone(), context.guard.clone(), halt)?;
    let opened = link.once(async |connection| {
        let writer = prepare(connection, config, table, transactional).await?;
        refusals.prepare(connection).await?;
        Ok(writer)
    });
    let writer = opened.map_err(|f| link.explain(f))?;
    Ok((link, writer, refusals))
}

/// Checks everything that can be checked, creating a missing table in SQLite. With `transactional`, a table whose storage
/// engine has no transactions is refused.
async fn prepare(
    connection: &mut Connection,
    config: &Config,
    table: &TableDescription,
    transactional: bool,
) -> Result<Writer, Failure> {
    let schema = table.sink_schema();
    let fields: Vec<_> = schema.fields().iter().map(|f| f.as_ref()).collect();
    let quoted = connection.dialect().quote_table(config.schema.as_deref(), &config.table);
    let create = create_table(connection.dialect(), &quoted, &fields, &table.primary_key);
    let mut found = connection.inspect(config).await?;
    if found.is_none() && connection.dialect() == Dialect::Sqlite {
        connection.run(&create.replacen("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1)).await?;
        found = connection.inspect(config).await?;
    }
    let Some(target) = found else {
        return Err(missing(config, connection.tables(config.schema.as_deref()).await?, &create));
    };
    let wanted = Fit {
        table: &config.table_name(),
        fields: &fields,
        primary_key: &table.primary_key,
        allow_collation: config.allow_collation,
        transactional,
    };
    let rules = fit(&wanted, &target)?;
    let index = |name: &String| schema.index_of(name).map_err(Error::from);
    let key = table.primary_key.iter().map(index).collect::<Result<Vec<_>>>()?;
    let max_bytes = connection.max_statement_bytes().await?;
    Ok(Writer::new(config, connection, max_bytes, rules, key))
}

fn missing(config: &Config, tables: Vec<String>, create: &str) -> Failure {
    let near = nearest(&config.table, tables.iter().map(String::as_str)).map(|n| format!("did you mean '{n}'? "));
    let hint = format!("{}Create it with: {create}", near.unwrap_or_default());
    let message = format!("table '{}' does not exist ({})", config.table_name(), config.place());
    Failure::Fatal(Error::refused("jdbc", message, hint))
}
