//! The options of a `jdbc` table: their declaration, and what they resolve to.

use std::time::Duration;

use eddyline_engine::connector::{OptionSpec, OptionValue, Options, TableDescription};
use eddyline_engine::{Error, Result};

use super::url::{self, Location, Secret};

/// Key of the option that asks for transactions with a marker.
const EXACTLY_ONCE: &str = "eddyline.sink.exactly-once";
const ON_ERROR: &str = "sink.on-error";
const DEAD_LETTER_TABLE: &str = "sink.dead-letter-table";
/// Key of the option that accepts text keys whose collation may merge distinct rows.
pub(super) const ALLOW_COLLATION: &str = "eddyline.sink.allow-collation";

/// What happens to a row that the database refuses.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum OnError {
    /// The job ends with an error that names the row.
    Fail,
    /// The row is left out, with a warning.
    Skip,
    /// The row goes into this table instead.
    DeadLetter(String),
}

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
    /// Whether epochs are written in transactions with a marker; None when the user has not said.
    pub(super) exactly_once: Option<bool>,
    pub(super) on_error: OnError,
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
            exactly_once: options.given(EXACTLY_ONCE).then(|| options.boolean(EXACTLY_ONCE)).transpose()?,
            on_error: on_error(&options)?,
        })
    }

    /// The settings of a journal of checkpoints in `table`. It is written once or not at all.
    pub(super) fn of_journal(url: &str, username: Option<&str>, password: Option<&str>, table: &str) -> Result<Config> {
        let mut location = url::parse(url)?;
        if let Location::MySql(server) = &mut location {
            server.username = username.map(str::to_string).or(server.username.take());
            server.password = password.map(Secret::new).or(server.password.take());
        }
        Ok(Config {
            location,
            schema: None,
            table: table.to_string(),
            retry_timeout: Duration::ZERO,
            max_rows: 0,
            interval: Duration::ZERO,
            max_retries: 1,
            allow_collation: false,
            exactly_once: None,
            on_error: OnError::Fail,
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

fn on_error(options: &Options) -> Result<OnError> {
    let word = options.text(ON_ERROR).unwrap_or_default().to_ascii_lowercase();
    match (word.as_str(), options.text(DEAD_LETTER_TABLE)) {
        ("dead-letter", Some(table)) => Ok(OnError::DeadLetter(table.to_string())),
        ("dead-letter", None) => {
            let hint = format!("name the table: '{DEAD_LETTER_TABLE}' = '…'; it is created when it does not exist");
            Err(Error::option(format!("'{ON_ERROR}' = 'dead-letter' needs the option '{DEAD_LETTER_TABLE}'"), hint))
        }
        (_, Some(_)) => {
            let message = format!("the option '{DEAD_LETTER_TABLE}' has no effect with '{ON_ERROR}' = '{word}'");
            Err(Error::option(message, format!("set '{ON_ERROR}' = 'dead-letter', or leave the table out")))
        }
        ("skip", None) => Ok(OnError::Skip),
        _ => Ok(OnError::Fail),
    }
}

/// All options of the connector.
pub(super) fn specs() -> Vec<OptionSpec> {
    use OptionValue::{Boolean, Duration, Integer, OneOf, Secret, Text};
    let mut specs = vec![
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
            "Rows that wait at most before they are written; changes of one key count once. 0 turns it off. (100 in Flink.) No \
             effect with exactly-once, which writes at checkpoints.",
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
        OptionSpec::optional(
            EXACTLY_ONCE,
            Boolean,
            "Write each epoch in transactions that carry a marker row (table `__eddyline_commits`), when its checkpoint is \
             complete. On by default without a primary key in jobs that keep checkpoints; off with one.",
        ),
        OptionSpec::with_default(
            ON_ERROR,
            OneOf(&["fail", "skip", "dead-letter"]),
            "fail",
            "What happens to a row that the database refuses or could not keep without loss: the job fails and names it, \
             it is left out with a warning, or it goes into the dead-letter table.",
        ),
        OptionSpec::optional(
            DEAD_LETTER_TABLE,
            Text,
            "Table in the same database for refused rows, with the reason and the row as JSON; made when it is missing.",
        ),
        OptionSpec::with_default(
            ALLOW_COLLATION,
            Boolean,
            "false",
            "Accept a text key whose collation takes different values for equal ('Ab' = 'ab'), so that their rows merge.",
        ),
    ];
    specs.extend(specs_of_reading());
    specs
}

/// Options that have a meaning only for reading, which the connector does not do yet.
fn specs_of_reading() -> Vec<OptionSpec> {
    use OptionValue::{Boolean, Duration, Integer, OneOf, Text};
    vec![
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
