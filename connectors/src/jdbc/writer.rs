//! Turns rows into statements and sends them: quickly, or row by row where the database refuses some.
//!
//! Both ways write the deletions first, so that they free unique values for the upserts, in multi-row statements with
//! checked and bound values. The careful way halves a refused statement until it has found each bad row, each statement
//! behind a savepoint; what then happens to the row is up to `sink.on-error`.

use std::sync::Arc;

use arrow::util::display::array_value_to_string;
use eddyline_engine::{ChangelogBatch, Error, Result, crash};

use super::buffer::{Changes, RowRef};
use super::config::Config;
use super::connection::{Arguments, Connection, Failure};
use super::statement::{Dialect, Statements};
use super::target::Rule;
use super::value::{Reader, Value, shortened};

/// Rows of one statement at most; larger ones bring no more speed.
const MAX_STATEMENT_ROWS: usize = 1000;
/// Statements of so few rows are kept prepared besides the full ones: they recur when little flows.
const SMALL_STATEMENT_ROWS: usize = 8;
/// What a packet holds besides the values of one row.
const PACKET_OVERHEAD: usize = 1024;

/// All that is needed to turn rows into statements.
pub(super) struct Writer {
    dialect: Dialect,
    statements: Statements,
    /// Full-size statements, made once.
    full_insert: Arc<str>,
    full_delete: Arc<str>,
    rules: Vec<Rule>,
    /// Indices of the primary key's columns.
    key: Vec<usize>,
    max_rows: usize,
    max_bytes: usize,
}

/// A row that cannot be stored, and why.
pub(super) struct RefusedRow {
    pub(super) row: RowRef,
    pub(super) is_delete: bool,
    pub(super) error: Error,
}

/// Rows of one kind, and the columns that their statements carry.
struct Part<'a> {
    rows: &'a [RowRef],
    is_delete: bool,
    /// By batch, then by column.
    readers: Vec<Vec<Reader<'a>>>,
}

impl Writer {
    /// A writer for a table whose columns follow `rules`; `key` are the indices of the primary key's columns.
    pub(super) fn new(
        config: &Config,
        connection: &Connection,
        max_bytes: usize,
        rules: Vec<Rule>,
        key: Vec<usize>,
    ) -> Self {
        let dialect = connection.dialect();
        let table = dialect.quote_table(config.schema.as_deref(), &config.table);
        let statements = Statements::new(dialect, table, &rules, &key);
        let max_rows = (connection.max_placeholders() / rules.len().max(1)).clamp(1, MAX_STATEMENT_ROWS);
        Writer {
            dialect,
            full_insert: statements.insert(max_rows),
            full_delete: statements.delete(max_rows),
            statements,
            rules,
            key,
            max_rows,
            max_bytes,
        }
    }

    /// Indices of the primary key's columns.
    pub(super) fn key(&self) -> &[usize] {
        &self.key
    }

    /// True when `changes` may take several statements.
    pub(super) fn needs_transaction(&self, changes: &Changes) -> bool {
        let both = !changes.deletes.is_empty() && !changes.writes.is_empty();
        both || changes.deletes.len().max(changes.writes.len()) > self.max_rows
    }

    /// Writes everything, or fails at the first statement that is refused.
    pub(super) async fn write(
        &self,
        connection: &mut Connection,
        changes: &Changes,
        batches: &[ChangelogBatch],
    ) -> Result<(), Failure> {
        for part in self.parts(changes, batches)? {
            let mut rows = part.rows;
            while !rows.is_empty() {
                let fitting = &rows[..rows.len().min(self.max_rows)];
                let (values, count) = self.bind(fitting, &part).map_err(|(_, error)| Failure::Refused(error))?;
                let (sql, is_cached) = self.sql(count, part.is_delete);
                connection.execute(sql, values, is_cached).await?;
                crash::point("jdbc.mid-write")?;
                rows = &rows[count..];
            }
        }
        Ok(())
    }

    /// Writes everything but the rows that cannot be stored, within the transaction that is open. Stops after the first
    /// such row unless `all` are wanted.
    pub(super) async fn write_carefully(
        &self,
        connection: &mut Connection,
        changes: &Changes,
        batches: &[ChangelogBatch],
        all: bool,
    ) -> Result<Vec<RefusedRow>, Failure> {
        let mut refused = Vec::new();
        for part in self.parts(changes, batches)? {
            let is_delete = part.is_delete;
            let mut refuse = |row: RowRef, error: Error| {
                let error = self.locate(error, batches, row);
                refused.push(RefusedRow { row, is_delete, error });
            };
            let mut waiting: Vec<&[RowRef]> = part.rows.chunks(self.max_rows).rev().collect();
            while let Some(rows) = waiting.pop() {
                match self.bind(rows, &part) {
                    Ok((values, count)) => {
                        let (rows, rest) = rows.split_at(count);
                        waiting.extend(Some(rest).filter(|rest| !rest.is_empty()));
                        let Some(error) = self.try_write(connection, values, count, is_delete).await? else { continue };
                        match rows {
                            [row] => refuse(*row, error),
                            several => {
                                let (first, second) = several.split_at(several.len() / 2);
                                waiting.extend([second, first]);
                                continue;
                            }
                        }
                    }
                    Err((at, error)) => {
                        refuse(rows[at], error);
                        let others = [&rows[at + 1..], &rows[..at]];
                        waiting.extend(others.into_iter().filter(|rows| !rows.is_empty()));
                    }
                }
                if !all {
                    return Ok(refused);
                }
            }
        }
        Ok(refused)
    }

    /// One statement behind a savepoint; Some when a row of it is refused. If the refusal has ended the transaction, the
    /// savepoint is gone and that is a failure, so nothing is ever written outside of the transaction.
    async fn try_write(
        &self,
        connection: &mut Connection,
        values: Arguments,
        count: usize,
        is_delete: bool,
    ) -> Result<Option<Error>, Failure> {
        connection.run("SAVEPOINT eddyline").await?;
        let (sql, _) = self.sql(count, is_delete);
        let refused = match connection.execute(sql, values, false).await {
            Ok(_) => None,
            Err(Failure::Refused(error)) => {
                connection.run("ROLLBACK TO SAVEPOINT eddyline").await?;
                Some(in_words(error))
            }
            Err(other) => return Err(other),
        };
        connection.run("RELEASE SAVEPOINT eddyline").await?;
        Ok(refused)
    }

    /// Deletions, then writes, as far as there are any.
    fn parts<'a>(&'a self, changes: &'a Changes, batches: &'a [ChangelogBatch]) -> Result<Vec<Part<'a>>> {
        let all: Vec<usize> = (0..self.rules.len()).collect();
        let kinds = [(&changes.deletes, self.key.as_slice(), true), (&changes.writes, all.as_slice(), false)];
        let mut parts = Vec::with_capacity(2);
        for (rows, columns, is_delete) in kinds.into_iter().filter(|(rows, ..)| !rows.is_empty()) {
            let of_batch = |batch: &'a ChangelogBatch| {
                columns.iter().map(|c| Reader::new(batch.column(*c), &self.rules[*c])).collect::<Result<Vec<_>>>()
            };
            let readers = batches.iter().map(of_batch).collect::<Result<_>>()?;
            parts.push(Part { rows, is_delete, readers });
        }
        Ok(parts)
    }

    /// The statement for `count` rows, and whether it is worth keeping prepared.
    fn sql(&self, count: usize, is_delete: bool) -> (Arc<str>, bool) {
        let sql = match (count == self.max_rows, is_delete) {
            (true, true) => self.full_delete.clone(),
            (true, false) => self.full_insert.clone(),
            (false, true) => self.statements.delete(count),
            (false, false) => self.statements.insert(count),
        };
        (sql, count == self.max_rows || count <= SMALL_STATEMENT_ROWS)
    }

    /// The values of as many of `rows` as one statement may carry, at least one, and their number. The error says which
    /// row cannot be stored.
    fn bind(&self, rows: &[RowRef], part: &Part<'_>) -> Result<(Arguments, usize), (usize, Error)> {
        let columns = part.readers.first().map_or(0, Vec::len);
        let mut arguments = Arguments::new(self.dialect, rows.len() * columns, rows.len() * columns * 16);
        let mut size = 0;
        let mut values = Vec::with_capacity(columns);
        for (count, row) in rows.iter().enumerate() {
            for reader in &part.readers[row.batch as usize] {
                values.push(reader.read(row.row as usize).map_err(|error| (count, error))?);
            }
            let row_size: usize = values.iter().map(Value::size_bytes).sum();
            if row_size > 2 * self.max_bytes - PACKET_OVERHEAD {
                let message = format!("{row_size} bytes are more than the database takes in one packet");
                return Err((count, Error::data(message).with_hint("raise max_allowed_packet on the server")));
            }
            if count > 0 && size + row_size > self.max_bytes {
                return Ok((arguments, count));
            }
            size += row_size;
            values.drain(..).try_for_each(|value| arguments.push(value)).map_err(|error| (count, error))?;
        }
        Ok((arguments, rows.len()))
    }

    /// Adds to a bad value's error which row it is in.
    fn locate(&self, error: Error, batches: &[ChangelogBatch], row: RowRef) -> Error {
        match error {
            Error::Data { message, hint } => {
                Error::Data { message: format!("{message}, row {}", self.describe(batches, row)), hint }
            }
            other => other,
        }
    }

    /// A row by its key, or by its first columns without one: `(word = 'a')`.
    fn describe(&self, batches: &[ChangelogBatch], row: RowRef) -> String {
        let first: Vec<usize> = (0..self.rules.len().min(3)).collect();
        let columns = if self.key.is_empty() { &first } else { &self.key };
        let shown = columns.iter().map(|c| {
            let value = array_value_to_string(batches[row.batch as usize].column(*c), row.row as usize);
            format!("{} = '{}'", self.rules[*c].name, shortened(&value.unwrap_or_default()))
        });
        format!("({})", shown.collect::<Vec<_>>().join(", "))
    }
}

/// A refusal by the database as a sentence about a row.
fn in_words(error: Error) -> Error {
    match error {
        Error::Data { message, hint } => {
            Error::Data { message: format!("the database refused a row: {message}"), hint }
        }
        other => other,
    }
}
