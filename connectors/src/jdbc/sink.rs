//! The writer of one subtask: collects changes, and writes them in a few large statements.
//!
//! *Life of a flush:* the last change of each key, sorted → checked values, bound to multi-row statements (deletions
//! first, so that they free unique values for the upserts) → one transaction when there are several statements → the
//! buffer is emptied. On any failure the connection is dropped, never reused, and the whole flush is done again on a new
//! one: upserts and deletions by key may be repeated. Lost connections are sought again for
//! `connection.max-retry-timeout`; deadlocks and lock timeouts are retried `sink.max-retries` times; what the database
//! refuses fails the job.
//!
//! The guarantee is at least once: `prepare` writes everything before the checkpoint counts. Without a primary key a
//! replay after a failure inserts rows again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::util::display::array_value_to_string;
use eddyline_engine::connector::{EpochLog, Sink, TableDescription, nearest};
use eddyline_engine::time::Epoch;
use eddyline_engine::{ChangelogBatch, Error, Result};
use tokio::runtime::Runtime;

use super::buffer::{Buffer, Changes, RowRef};
use super::config::Config;
use super::connection::{Arguments, Connection, Failure};
use super::halt::Halt;
use super::statement::{Dialect, Statements, create_table};
use super::target::{Rule, TargetTable, fit};
use super::value::{Reader, Value, shortened};

/// Rows of one statement at most; larger ones bring no more speed.
const MAX_STATEMENT_ROWS: usize = 1000;
/// Statements of so few rows are kept prepared besides the full ones: they recur when little flows.
const SMALL_STATEMENT_ROWS: usize = 8;
/// What a packet holds besides the values of one row.
const PACKET_OVERHEAD: usize = 1024;
/// First pause before a retry; doubles each time up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// Writes the rows of one subtask.
pub(super) struct JdbcSink {
    config: Config,
    runtime: Runtime,
    writer: Writer,
    buffer: Buffer,
    /// None after a failure, until the next attempt.
    connection: Option<Connection>,
    /// When the oldest waiting row came.
    waiting_since: Option<Instant>,
    /// Cuts pauses short when the attempt ends.
    halt: Arc<Halt>,
}

/// All that is needed to turn rows into statements.
struct Writer {
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

/// One statement ready to be sent, and the rows it carries.
struct Statement {
    sql: Arc<str>,
    values: Arguments,
    rows: Vec<RowRef>,
    is_cached: bool,
}

impl JdbcSink {
    /// Connects, creates a missing table in SQLite, and checks that the declared columns fit.
    pub(super) fn open(config: Config, table: &TableDescription, halt: Arc<Halt>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::io("start of the jdbc sink's runtime", e))?;
        let (connection, writer) = runtime.block_on(prepare(&config, table)).map_err(|f| explain(f, &config))?;
        let buffer = Buffer::new(&config.table_name(), &table.sink_schema(), &writer.key)?;
        Ok(JdbcSink { config, runtime, writer, buffer, connection: Some(connection), waiting_since: None, halt })
    }

    fn flush(&mut self) -> Result<()> {
        self.waiting_since = None;
        if self.buffer.is_empty() {
            return Ok(());
        }
        let changes = self.buffer.changes();
        let started = Instant::now();
        let (mut pause, mut retries) = (FIRST_PAUSE, 0);
        loop {
            let failure = match self.attempt(&changes) {
                Ok(()) => break,
                Err(failure) => failure,
            };
            self.connection = None;
            let give_up = match &failure {
                Failure::Lost(_) => started.elapsed() >= self.config.retry_timeout,
                Failure::Transient(_) => {
                    retries += 1;
                    retries > self.config.max_retries
                }
                Failure::Refused { .. } | Failure::Fatal(_) => true,
            };
            if give_up {
                return Err(explain(failure, &self.config));
            }
            tracing::warn!(table = self.config.table, ?failure, ?pause, "write failed, trying again");
            if self.halt.wait(pause) {
                return Err(explain(failure, &self.config));
            }
            pause = (pause * 2).min(MAX_PAUSE);
        }
        self.buffer.clear();
        Ok(())
    }

    /// Writes `changes` once, on the connection there is or a new one.
    fn attempt(&mut self, changes: &Changes) -> std::result::Result<(), Failure> {
        let statements = self.writer.statements(changes, self.buffer.batches())?;
        let in_transaction = statements.len() > 1;
        let (connection, config) = (&mut self.connection, &self.config);
        let sent = self.runtime.block_on(async {
            let connection = match connection {
                Some(connection) => connection,
                None => connection.insert(Connection::open(config).await.map_err(|f| (f, Vec::new()))?),
            };
            if in_transaction {
                connection.begin().await.map_err(|f| (f, Vec::new()))?;
            }
            for statement in statements {
                let sent = connection.execute(statement.sql, statement.values, statement.is_cached).await;
                sent.map_err(|f| (f, statement.rows))?;
            }
            if in_transaction {
                connection.run("COMMIT").await.map_err(|f| (f, Vec::new()))?;
            }
            Ok(())
        });
        sent.map_err(|(failure, rows)| match failure {
            Failure::Refused { message, row } => {
                let row = if rows.len() == 1 { rows.first() } else { row.and_then(|r| rows.get(r)) };
                let place =
                    row.map_or(String::new(), |r| format!(" {}", self.writer.describe(self.buffer.batches(), *r)));
                Failure::Refused { message: format!("the database refused a row{place}: {message}"), row: None }
            }
            other => other,
        })
    }

    fn interval_is_over(&self) -> bool {
        let interval = self.config.interval;
        !interval.is_zero() && self.waiting_since.is_some_and(|since| since.elapsed() >= interval)
    }
}

impl Sink for JdbcSink {
    fn write(&mut self, batch: &ChangelogBatch) -> Result<()> {
        self.buffer.add(batch)?;
        if !self.buffer.is_empty() {
            self.waiting_since.get_or_insert_with(Instant::now);
        }
        let max_rows = self.config.max_rows;
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

impl Writer {
    fn new(config: &Config, connection: &Connection, max_bytes: usize, rules: Vec<Rule>, key: Vec<usize>) -> Self {
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

    /// All statements of a flush, deletions first.
    fn statements(&self, changes: &Changes, batches: &[ChangelogBatch]) -> Result<Vec<Statement>> {
        let mut statements = Vec::new();
        let all: Vec<usize> = (0..self.rules.len()).collect();
        self.fill(&mut statements, &changes.deletes, batches, &self.key, true)?;
        self.fill(&mut statements, &changes.writes, batches, &all, false)?;
        Ok(statements)
    }

    /// Cuts `rows` into statements of at most `max_rows` rows and `max_bytes` bytes that carry `columns`.
    fn fill(
        &self,
        statements: &mut Vec<Statement>,
        rows: &[RowRef],
        batches: &[ChangelogBatch],
        columns: &[usize],
        is_delete: bool,
    ) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let readers: Vec<Vec<Reader<'_>>> = batches
            .iter()
            .map(|batch| columns.iter().map(|c| Reader::new(batch.column(*c), &self.rules[*c])).collect())
            .collect::<Result<_>>()?;
        let mut start = 0;
        while start < rows.len() {
            let expected = (rows.len() - start).min(self.max_rows);
            let (values, count) = self.bind(&rows[start..start + expected], batches, &readers)?;
            let sql = match (count == self.max_rows, is_delete) {
                (true, true) => self.full_delete.clone(),
                (true, false) => self.full_insert.clone(),
                (false, true) => self.statements.delete(count),
                (false, false) => self.statements.insert(count),
            };
            let is_cached = count == self.max_rows || count <= SMALL_STATEMENT_ROWS;
            statements.push(Statement { sql, values, rows: rows[start..start + count].to_vec(), is_cached });
            start += count;
        }
        Ok(())
    }

    /// The values of as many of `rows` as one statement may carry, at least one, and their number.
    fn bind(
        &self,
        rows: &[RowRef],
        batches: &[ChangelogBatch],
        readers: &[Vec<Reader<'_>>],
    ) -> Result<(Arguments, usize)> {
        let columns = readers.first().map_or(0, Vec::len);
        let mut arguments = Arguments::new(self.dialect, rows.len() * columns, rows.len() * columns * 16);
        let mut size = 0;
        let mut values = Vec::with_capacity(columns);
        for (count, row) in rows.iter().enumerate() {
            for reader in &readers[row.batch as usize] {
                values.push(reader.read(row.row as usize).map_err(|e| self.locate(e, batches, *row))?);
            }
            let row_size: usize = values.iter().map(Value::size_bytes).sum();
            if row_size > 2 * self.max_bytes - PACKET_OVERHEAD {
                let message = format!("{row_size} bytes are more than the database takes in one packet");
                let hint = "raise max_allowed_packet on the server";
                return Err(self.locate(Error::data(message).with_hint(hint), batches, *row));
            }
            if count > 0 && size + row_size > self.max_bytes {
                return Ok((arguments, count));
            }
            size += row_size;
            values.drain(..).try_for_each(|value| arguments.push(value))?;
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

/// Connects and checks everything that can be checked before rows flow.
async fn prepare(config: &Config, table: &TableDescription) -> std::result::Result<(Connection, Writer), Failure> {
    let mut connection = Connection::open(config).await?;
    let schema = table.sink_schema();
    let fields: Vec<_> = schema.fields().iter().map(|f| f.as_ref()).collect();
    let quoted = connection.dialect().quote_table(config.schema.as_deref(), &config.table);
    let create = create_table(connection.dialect(), &quoted, &fields, &table.primary_key);
    let mut found = connection.inspect(config).await?;
    if found.is_none() && connection.dialect() == Dialect::Sqlite {
        connection.run(&create.replacen("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1)).await?;
        found = connection.inspect(config).await?;
    }
    let Some(target) = found else { return Err(missing(config, connection.tables(config).await?, &create)) };
    let rules = check(config, table, &target)?;
    let index = |name: &String| schema.index_of(name).map_err(Error::from);
    let key = table.primary_key.iter().map(index).collect::<Result<Vec<_>>>()?;
    let max_bytes = connection.max_statement_bytes().await?;
    let writer = Writer::new(config, &connection, max_bytes, rules, key);
    Ok((connection, writer))
}

fn check(config: &Config, table: &TableDescription, target: &TargetTable) -> Result<Vec<Rule>> {
    let schema = table.sink_schema();
    let fields: Vec<_> = schema.fields().iter().map(|f| f.as_ref()).collect();
    fit(&config.table_name(), &fields, &table.primary_key, target, config.allow_collation)
}

fn missing(config: &Config, tables: Vec<String>, create: &str) -> Failure {
    let near = nearest(&config.table, tables.iter().map(String::as_str)).map(|n| format!("did you mean '{n}'? "));
    let hint = format!("{}Create it with: {create}", near.unwrap_or_default());
    let message = format!("table '{}' does not exist ({})", config.table_name(), config.place());
    Failure::Fatal(Error::refused("jdbc", message, hint))
}

/// The failure in words for the user.
fn explain(failure: Failure, config: &Config) -> Error {
    let place = config.place();
    match failure {
        Failure::Fatal(error) => error,
        Failure::Lost(message) => Error::connector("jdbc", format!("no connection to {place}: {message}"))
            .with_hint("check that the database runs and that the option 'url' is right"),
        Failure::Transient(message) => {
            Error::connector("jdbc", format!("{place}, table '{}': {message}", config.table_name()))
        }
        Failure::Refused { message, .. } => Error::data(format!("jdbc: table '{}': {message}", config.table_name())),
    }
}
