//! The options of a `jdbc` table: their declaration, and what they resolve to.

use std::time::Duration;

use eddyline_engine::connector::{OptionSpec, OptionValue, Options, TableDescription};
use eddyline_engine::{Error, Result};

use super::url::{self, Location, Secret};

/// Key of the option that accepts text keys whose collation may merge distinct rows.
pub(super) const ALLOW_COLLATION: &str = "eddyline.sink.allow-collation";

/// A sink's settings, checked.
#[derive(Debug, Clone)]
pub(super) struct Config {
    pub(super) location: Location,
    /// Database of the table when `table-name` names one, and the table.
    pub(super) schema: Option<String>,
    pub(super) table: String,
    /// How long a lost connection is sought again.
    pub(super) retry_timeout: Duration,
    /// Flush when so many rows wait; 0 is never.
    pub(super) max_rows: usize,
    /// Flush when the oldest row waits so long; zero is never.
    pub(super) interval: Duration,
    /// How often a flush is redone after a deadlock or lock timeout.
    pub(super) max_retries: u32,
    /// Accept key collations under which distinct rows are equal.
    pub(super) allow_collation: bool,
}

impl Config {
    /// Checks the options of `table` for writing.
    pub(super) fn of(table: &TableDescription) -> Result<Config> {
        let options = Options::check("jdbc", &table.options, specs())?;
        let mut location = url::parse(options.required("url")?)?;
        let (username, password) = (options.text("username"), options.text("password"));
        if username.is_some() != password.is_some() {
            let hint = "give both 'username' and 'password', or neither".to_string();
            return Err(Error::option("the options 'username' and 'password' belong together", hint));
        }
        let mut path = (None, options.required("table-name")?);
        if let Location::MySql(server) = &mut location {
            if let (Some(username), Some(password)) = (username, password) {
                server.username = Some(username.into());
                server.password = Some(Secret::new(password));
            }
            if let Some((schema, name)) = path.1.split_once('.') {
                path = (Some(schema), name);
            }
        }
        Ok(Config {
            location,
            schema: path.0.map(str::to_string),
            table: path.1.to_string(),
            retry_timeout: options.duration("connection.max-retry-timeout")?.unwrap_or_default(),
            max_rows: count(&options, "sink.buffer-flush.max-rows")?,
            interval: options.duration("sink.buffer-flush.interval")?.unwrap_or_default(),
            max_retries: u32::try_from(count(&options, "sink.max-retries")?).unwrap_or(u32::MAX),
            allow_collation: options.boolean(ALLOW_COLLATION)?,
        })
    }

    /// The table for messages: ``database.table`` or ``table``.
    pub(super) fn table_name(&self) -> String {
        self.schema.iter().chain([&self.table]).cloned().collect::<Vec<_>>().join(".")
    }

    /// The server or file for messages; without credentials.
    pub(super) fn place(&self) -> String {
        match &self.location {
            Location::MySql(server) => format!("MySQL at {}:{}", server.host, server.port),
            Location::Sqlite(path) => format!("SQLite file '{}'", path.display()),
        }
    }
}

fn count(options: &Options, key: &str) -> Result<usize> {
    let value = options.integer(key)?.unwrap_or_default();
    usize::try_from(value).map_err(|_| Error::option(format!("option '{key}' must not be negative"), None))
}

/// All options of the connector.
pub(super) fn specs() -> Vec<OptionSpec> {
    use OptionValue::{Boolean, Duration, Integer, OneOf, Secret, Text};
    vec![
        OptionSpec::required("url", Text, "The database: 'jdbc:mysql://host:3306/database' or 'sqlite:file.db'."),
        OptionSpec::required("table-name", Text, "The table in the database."),
        OptionSpec::optional("driver", Text, "Accepted for Flink's sake and ignored: the URL names the database."),
        OptionSpec::optional("username", Text, "User name; together with 'password'."),
        OptionSpec::optional("password", Secret, "Password; together with 'username'."),
        OptionSpec::with_default(
            "connection.max-retry-timeout",
            Duration,
            "60s",
            "How long a lost connection is sought again before the job fails.",
        ),
        OptionSpec::with_default(
            "sink.buffer-flush.max-rows",
            Integer,
            "20000",
            "Rows that wait at most before they are written; changes of one key count once. 0 turns it off. (100 in Flink.)",
        ),
        OptionSpec::with_default(
            "sink.buffer-flush.interval",
            Duration,
            "1s",
            "How long rows wait at most before they are written. 0 turns it off; checkpoints always write.",
        ),
        OptionSpec::with_default(
            "sink.max-retries",
            Integer,
            "3",
            "How often a write is redone after a deadlock or a lock timeout.",
        ),
        OptionSpec::optional("sink.parallelism", Integer, "Number of parallel writers."),
        OptionSpec::with_default(
            ALLOW_COLLATION,
            Boolean,
            "false",
            "Accept a text key whose collation takes different values for equal ('Ab' = 'ab'), so that their rows merge.",
        ),
        OptionSpec::optional("scan.partition.column", Text, "For reading only."),
        OptionSpec::optional("scan.partition.num", Integer, "For reading only."),
        OptionSpec::optional("scan.partition.lower-bound", Integer, "For reading only."),
        OptionSpec::optional("scan.partition.upper-bound", Integer, "For reading only."),
        OptionSpec::with_default("scan.fetch-size", Integer, "0", "For reading only."),
        OptionSpec::with_default("scan.auto-commit", Boolean, "true", "For reading only."),
        OptionSpec::optional("scan.parallelism", Integer, "For reading only."),
        OptionSpec::with_default("lookup.cache", OneOf(&["NONE", "PARTIAL"]), "NONE", "For lookup joins only."),
        OptionSpec::optional("lookup.partial-cache.max-rows", Integer, "For lookup joins only."),
        OptionSpec::optional("lookup.partial-cache.expire-after-write", Duration, "For lookup joins only."),
        OptionSpec::optional("lookup.partial-cache.expire-after-access", Duration, "For lookup joins only."),
        OptionSpec::with_default("lookup.partial-cache.cache-missing-key", Boolean, "true", "For lookup joins only."),
        OptionSpec::with_default("lookup.max-retries", Integer, "3", "For lookup joins only."),
        OptionSpec::with_default(
            "filter.handling.policy",
            OneOf(&["always", "never"]),
            "always",
            "For reading only: whether filters are handed to the database.",
        ),
        OptionSpec::optional("compatible-mode", Text, "Accepted for Flink's sake and ignored."),
    ]
}
