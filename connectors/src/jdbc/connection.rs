//! One connection to the database, with a limit on every wait and every failure sorted by what can be done about it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use eddyline_engine::Error;
use sqlx::mysql::{MySqlArguments, MySqlConnection, MySqlDatabaseError};
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteError};
use sqlx::{Arguments as _, AssertSqlSafe, Row};

use super::config::Config;
use super::statement::Dialect;
use super::target::TargetTable;
use super::url::Location;
use super::value::Value;
use super::{mysql, sqlite};

/// Longest wait for a connection: half of it for the network, half for the log-in.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(9);
/// Longest wait for one statement. Lock waits end before it (`innodb_lock_wait_timeout`, SQLite's busy timeout).
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a call failed, by what to do next. The connection must not be used again in any case.
#[derive(Debug)]
pub(super) enum Failure {
    /// The database went away or never answered: connect again.
    Lost(String),
    /// The same work may succeed at once: deadlock, lock timeout.
    Transient(String),
    /// One of the rows cannot be stored: refused by the database, or not to be kept without loss.
    Refused(Error),
    /// Nothing to retry: wrong password, missing table.
    Fatal(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Fatal(error)
    }
}

/// An open connection.
pub(super) enum Connection {
    MySql(MySqlConnection),
    Sqlite(SqliteConnection),
}

/// The values of one statement, already in the driver's form.
pub(super) enum Arguments {
    MySql(MySqlArguments),
    Sqlite(SqliteArguments),
}

impl Arguments {
    /// Room for `count` values.
    pub(super) fn new(dialect: Dialect, count: usize, size_bytes: usize) -> Self {
        match dialect {
            Dialect::MySql => {
                let mut arguments = MySqlArguments::default();
                arguments.reserve(count, size_bytes);
                Arguments::MySql(arguments)
            }
            Dialect::Sqlite => {
                let mut arguments = SqliteArguments::default();
                arguments.reserve(count, size_bytes);
                Arguments::Sqlite(arguments)
            }
        }
    }

    /// Appends one value.
    pub(super) fn push(&mut self, value: Value<'_>) -> Result<(), Error> {
        let added = match self {
            Arguments::MySql(a) => match value {
                Value::Null => a.add(None::<String>),
                Value::Bool(v) => a.add(v),
                Value::Int(v) => a.add(v),
                Value::UInt(v) => a.add(v),
                Value::Float(v) => a.add(v),
                Value::Double(v) => a.add(v),
                Value::Text(v) => a.add(v.as_ref()),
                Value::Bytes(v) => a.add(v),
            },
            Arguments::Sqlite(a) => match value {
                Value::Null => a.add(None::<String>),
                Value::Bool(v) => a.add(v),
                Value::Int(v) => a.add(v),
                Value::UInt(v) => return Err(Error::data(format!("{v} is out of range of SQLite's INTEGER"))),
                Value::Float(v) => a.add(v),
                Value::Double(v) => a.add(v),
                Value::Text(v) => a.add(v.into_owned()),
                Value::Bytes(v) => a.add(v),
            },
        };
        added.map_err(|e| Error::internal(format!("a value could not be bound: {e}")))
    }
}

impl Connection {
    /// Connects and makes the session's settings ours.
    pub(super) async fn open(config: &Config) -> Result<Connection, Failure> {
        match &config.location {
            Location::MySql(server) => Ok(Connection::MySql(mysql::connect(server).await?)),
            Location::Sqlite(path) => Ok(Connection::Sqlite(sqlite::connect(path).await?)),
        }
    }

    /// The table as the database has it; None when there is no such table.
    pub(super) async fn inspect(&mut self, config: &Config) -> Result<Option<TargetTable>, Failure> {
        match self {
            Connection::MySql(c) => mysql::inspect(c, config.schema.as_deref(), &config.table).await,
            Connection::Sqlite(c) => sqlite::inspect(c, &config.table).await,
        }
    }

    /// Names of all tables, for suggestions.
    pub(super) async fn tables(&mut self, schema: Option<&str>) -> Result<Vec<String>, Failure> {
        match self {
            Connection::MySql(c) => mysql::tables(c, schema).await,
            Connection::Sqlite(c) => sqlite::tables(c).await,
        }
    }

    /// True when there is a table of that name.
    pub(super) async fn has_table(&mut self, schema: Option<&str>, name: &str) -> Result<bool, Failure> {
        Ok(self.tables(schema).await?.iter().any(|table| table == name))
    }

    /// Most bytes that one statement should have.
    pub(super) async fn max_statement_bytes(&mut self) -> Result<usize, Failure> {
        match self {
            Connection::MySql(c) => mysql::max_statement_bytes(c).await,
            Connection::Sqlite(_) => Ok(sqlite::MAX_STATEMENT_BYTES),
        }
    }

    /// Most placeholders that one statement can have.
    pub(super) fn max_placeholders(&self) -> usize {
        match self {
            Connection::MySql(_) => 65_535,
            Connection::Sqlite(_) => 32_766,
        }
    }

    /// Which SQL it speaks.
    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Connection::MySql(_) => Dialect::MySql,
            Connection::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// Runs one statement and gives the number of rows that it matched; `cached` keeps it prepared for the next time.
    pub(super) async fn execute(&mut self, sql: Arc<str>, values: Arguments, cached: bool) -> Result<u64, Failure> {
        let sql = AssertSqlSafe(sql);
        match (self, values) {
            (Connection::MySql(c), Arguments::MySql(values)) => {
                let done = within(sqlx::query_with(sql, values).persistent(cached).execute(c)).await?;
                Ok(done.rows_affected())
            }
            (Connection::Sqlite(c), Arguments::Sqlite(values)) => {
                let done = within(sqlx::query_with(sql, values).persistent(cached).execute(c)).await?;
                Ok(done.rows_affected())
            }
            _ => Err(mixed_up()),
        }
    }

    /// The first row of a query whose columns are whole numbers, none of them NULL.
    pub(super) async fn numbers(&mut self, sql: &str, values: Arguments) -> Result<Option<Vec<i64>>, Failure> {
        let sql = AssertSqlSafe(sql.to_string());
        match (self, values) {
            (Connection::MySql(c), Arguments::MySql(values)) => {
                let row = within(sqlx::query_with(sql, values).fetch_optional(c)).await?;
                row.map(|r| (0..r.len()).map(|i| r.try_get(i)).collect()).transpose().map_err(|e| sort(&e))
            }
            (Connection::Sqlite(c), Arguments::Sqlite(values)) => {
                let row = within(sqlx::query_with(sql, values).fetch_optional(c)).await?;
                row.map(|r| (0..r.len()).map(|i| r.try_get(i)).collect()).transpose().map_err(|e| sort(&e))
            }
            _ => Err(mixed_up()),
        }
    }

    /// Runs a statement without values.
    pub(super) async fn run(&mut self, sql: &str) -> Result<(), Failure> {
        match self {
            Connection::MySql(c) => within(sqlx::raw_sql(AssertSqlSafe(sql)).execute(c)).await.map(drop),
            Connection::Sqlite(c) => within(sqlx::raw_sql(AssertSqlSafe(sql)).execute(c)).await.map(drop),
        }
    }

    /// Starts a transaction that writes.
    pub(super) async fn begin(&mut self) -> Result<(), Failure> {
        let sql = if self.dialect() == Dialect::Sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" };
        self.run(sql).await
    }
}

fn mixed_up() -> Failure {
    Error::internal("values of one database were given to another").into()
}

/// Waits for one call of the driver, with a limit, and sorts its failure.
pub(super) async fn within<T>(call: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Failure> {
    match tokio::time::timeout(STATEMENT_TIMEOUT, call).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(sort(&error)),
        Err(_) => Err(Failure::Lost(format!("no answer within {} s", STATEMENT_TIMEOUT.as_secs()))),
    }
}

/// Sorts a driver's error.
pub(super) fn sort(error: &sqlx::Error) -> Failure {
    let Some(refusal) = error.as_database_error() else {
        return Failure::Lost(match error {
            sqlx::Error::Io(io) => io.to_string(),
            other => other.to_string(),
        });
    };
    if let Some(e) = refusal.try_downcast_ref::<MySqlDatabaseError>() {
        return mysql::sort(e.number(), e.code().unwrap_or_default(), e.message());
    }
    if refusal.try_downcast_ref::<SqliteError>().is_some() {
        let code = refusal.code().and_then(|c| c.parse::<i32>().ok()).unwrap_or(1);
        return sqlite::sort(code, refusal.message());
    }
    Failure::Fatal(Error::connector("jdbc", refusal.message()))
}
