//! What happens to rows that the database refuses: the job fails and names the row, or the row is left out, or it goes
//! into the dead-letter table, in the same transaction as the rows that are accepted.

use arrow::util::display::array_value_to_string;
use eddyline_engine::connector::{SinkContext, TableDescription};
use eddyline_engine::{ChangelogBatch, Error, Result};
use serde_json::{Map, Value as Json};

use super::buffer::Changes;
use super::config::{Config, OnError};
use super::connection::{Arguments, Connection, Failure};
use super::statement::Dialect;
use super::value::Value;
use super::writer::{RefusedRow, Writer};

/// Dead letters per statement.
const MAX_LETTERS: usize = 100;
/// Longest reason that is kept.
const MAX_REASON_CHARS: usize = 2000;

/// The rule for refused rows of one sink.
pub(super) struct Refusals {
    on_error: OnError,
    /// The target for messages and letters.
    target: String,
    pipeline: String,
    sink: String,
    /// Names of the columns.
    columns: Vec<String>,
}

impl Refusals {
    /// The rule that `config` states.
    pub(super) fn new(config: &Config, context: &SinkContext, table: &TableDescription) -> Self {
        Refusals {
            on_error: config.on_error.clone(),
            target: config.table_name(),
            pipeline: context.pipeline.clone(),
            sink: context.sink.clone(),
            columns: table.sink_schema().fields().iter().map(|f| f.name().clone()).collect(),
        }
    }

    /// Makes the dead-letter table when there must be one and there is none.
    pub(super) async fn prepare(&self, connection: &mut Connection) -> Result<(), Failure> {
        let OnError::DeadLetter(table) = &self.on_error else { return Ok(()) };
        let (schema, name) = split(connection.dialect(), table);
        if connection.has_table(schema, name).await? {
            return Ok(());
        }
        let quoted = connection.dialect().quote_table(schema, name);
        let columns = match connection.dialect() {
            Dialect::MySql => {
                "id BIGINT AUTO_INCREMENT PRIMARY KEY, pipeline VARCHAR(64) NOT NULL, sink VARCHAR(255) NOT NULL, \
                 target VARCHAR(255) NOT NULL, operation VARCHAR(16) NOT NULL, reason TEXT NOT NULL, \
                 row_json LONGTEXT NOT NULL, created TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3)"
            }
            Dialect::Sqlite => {
                "id INTEGER PRIMARY KEY, pipeline TEXT NOT NULL, sink TEXT NOT NULL, target TEXT NOT NULL, \
                 operation TEXT NOT NULL, reason TEXT NOT NULL, row_json TEXT NOT NULL, \
                 created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP"
            }
        };
        let tail = if connection.dialect() == Dialect::MySql { " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4" } else { "" };
        connection.run(&format!("CREATE TABLE IF NOT EXISTS {quoted} ({columns}){tail}")).await
    }

    /// Writes what can be written within the open transaction, and follows the rule for the rest.
    pub(super) async fn write(
        &self,
        connection: &mut Connection,
        writer: &Writer,
        changes: &Changes,
        batches: &[ChangelogBatch],
    ) -> Result<(), Failure> {
        let all = self.on_error != OnError::Fail;
        let refused = writer.write_carefully(connection, changes, batches, all).await?;
        let Some(first) = refused.first() else { return Ok(()) };
        match &self.on_error {
            OnError::Fail => {
                let failed = refused.into_iter().next().map(|r| self.failed(r.error));
                return failed.map_or(Ok(()), |error| Err(Failure::Fatal(error)));
            }
            OnError::Skip => {
                let (table, reason) = (&self.target, &first.error);
                tracing::warn!(table, rows = refused.len(), %reason, "refused rows left out");
            }
            OnError::DeadLetter(letters) => {
                for some in refused.chunks(MAX_LETTERS) {
                    self.send_letters(connection, letters, some, batches).await?;
                }
                let (table, reason) = (&self.target, &first.error);
                tracing::warn!(table, rows = refused.len(), %reason, "refused rows went to the dead-letter table");
            }
        }
        Ok(())
    }

    fn failed(&self, error: Error) -> Error {
        const CHOICES: &str = "correct the query or the table, or set 'sink.on-error' = 'skip' or 'dead-letter'";
        match error {
            Error::Data { message, hint } => {
                let hint = hint.map_or(CHOICES.to_string(), |hint| format!("{hint}; {CHOICES}"));
                Error::Data { message: format!("jdbc: table '{}': {message}", self.target), hint: Some(hint) }
            }
            other => other,
        }
    }

    async fn send_letters(
        &self,
        connection: &mut Connection,
        table: &str,
        refused: &[RefusedRow],
        batches: &[ChangelogBatch],
    ) -> Result<(), Failure> {
        let dialect = connection.dialect();
        let (schema, name) = split(dialect, table);
        let rows = vec!["(?, ?, ?, ?, ?, ?)"; refused.len()].join(", ");
        let sql = format!(
            "INSERT INTO {} (pipeline, sink, target, operation, reason, row_json) VALUES {rows}",
            dialect.quote_table(schema, name)
        );
        let mut values = Arguments::new(dialect, refused.len() * 6, refused.len() * 200);
        for row in refused {
            let operation = if row.is_delete { "delete" } else { "write" };
            let reason: String = row.error.to_string().chars().take(MAX_REASON_CHARS).collect();
            let json = self.json(row, batches)?;
            let texts = [&*self.pipeline, &*self.sink, &*self.target, operation, &*reason, &*json];
            texts.into_iter().try_for_each(|text| values.push(Value::Text(text.into())))?;
        }
        connection.execute(sql.into(), values, false).await.map(drop).map_err(|failure| match failure {
            // A letter that is refused is a table that is not ours, and no row to bisect.
            Failure::Refused(error) => Failure::Fatal(Error::refused(
                "jdbc",
                format!("dead-letter table '{table}': {error}"),
                "name a table that does not exist yet, and it is made as it must be",
            )),
            other => other,
        })
    }

    /// The row as a JSON object of texts.
    fn json(&self, row: &RefusedRow, batches: &[ChangelogBatch]) -> Result<String> {
        let (batch, index) = (&batches[row.row.batch as usize], row.row.row as usize);
        let mut object = Map::new();
        for (column, name) in self.columns.iter().enumerate() {
            let array = batch.column(column);
            let text = if array.is_null(index) { Json::Null } else { array_value_to_string(array, index)?.into() };
            object.insert(name.clone(), text);
        }
        Ok(Json::Object(object).to_string())
    }
}

/// `database.table` in MySQL; everything else is a table.
fn split(dialect: Dialect, name: &str) -> (Option<&str>, &str) {
    match name.split_once('.').filter(|_| dialect == Dialect::MySql) {
        Some((schema, table)) => (Some(schema), table),
        None => (None, name),
    }
}
