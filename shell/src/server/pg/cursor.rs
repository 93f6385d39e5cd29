//! Cursors, transactions and settings: the statements that only matter on the wire.
//!
//! Transactions change nothing: every statement is in effect when its answer comes. They are accepted because drivers send
//! them, they hold cursors, and after an error they refuse statements until their end, as clients expect.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use eddyline_sql::{SqlError, SqlState};
use futures::SinkExt;
use pgwire::error::PgWireError;
use pgwire::messages::PgWireBackendMessage as Back;
use pgwire::messages::response::TransactionStatus;
use pgwire::messages::startup::ParameterStatus;

use super::answer::{Answer, Formats, Rows};
use super::cancel::Cancel;
use super::command::{Command, SETTINGS};
use super::connection::Connection;
use super::failure::Failure;

/// Most cursors of a connection: each may be a query that runs.
const MAX_CURSORS: usize = 100;

/// Settings that say how we write, whatever a client would like.
const FIXED: &[&str] = &["timezone", "datestyle", "intervalstyle", "client_encoding", "bytea_output"];

/// A query that is read in parts.
pub struct Cursor {
    /// What is left of it.
    pub rows: Rows,
    /// True when it outlives its transaction.
    hold: bool,
}

impl Connection {
    /// Executes a statement that only matters on the wire.
    pub(super) async fn command(&mut self, command: Command) -> Result<Answer, Failure> {
        let tag = match command {
            Command::Begin => self.begin().await?,
            Command::Commit => self.end_transaction("COMMIT").await?,
            Command::Rollback => self.end_transaction("ROLLBACK").await?,
            Command::Nothing(tag) => {
                // ROLLBACK TO makes a transaction that has failed usable again.
                if self.transaction == TransactionStatus::Error {
                    self.transaction = TransactionStatus::Transaction;
                }
                tag
            }
            Command::Set { name, value } => self.set(name, value).await?,
            Command::Reset(name) => {
                match name.as_str() {
                    "all" => self.settings.clear(),
                    name => drop(self.settings.remove(name)),
                }
                "RESET"
            }
            Command::Show(name) => return Ok(Answer::Rows(self.show(&name)?)),
            Command::Discard => {
                self.statements.clear();
                self.cursors.clear();
                self.settings.clear();
                "DISCARD ALL"
            }
            Command::Deallocate(name) => {
                match name {
                    Some(name) => drop(self.statements.remove(&name)),
                    None => self.statements.clear(),
                }
                "DEALLOCATE"
            }
            Command::Declare { .. } => return Err(SqlError::internal("DECLARE without its query").into()),
            Command::Fetch { name, count, discard } => return Ok(Answer::Fetch { name, count, discard }),
            Command::Close(None) => {
                self.cursors.clear();
                "CLOSE CURSOR ALL"
            }
            Command::Close(Some(name)) => {
                self.cursors.remove(&name).ok_or_else(|| unknown(&name))?;
                "CLOSE CURSOR"
            }
        };
        Ok(Answer::Tag(tag.to_string()))
    }

    async fn begin(&mut self) -> Result<&'static str, PgWireError> {
        match self.transaction {
            TransactionStatus::Idle => {
                self.transaction = TransactionStatus::Transaction;
                self.lasting = false;
            }
            _ => self.notify("WARNING", "there is already a transaction in progress").await?,
        }
        Ok("BEGIN")
    }

    async fn end_transaction(&mut self, tag: &'static str) -> Result<&'static str, PgWireError> {
        let failed = self.transaction == TransactionStatus::Error;
        if self.transaction == TransactionStatus::Idle {
            self.notify("WARNING", "there is no transaction in progress").await?;
        }
        let undone = failed || tag == "ROLLBACK";
        if undone && self.lasting {
            self.notify("WARNING", "what the statements of this transaction have done is not undone").await?;
        }
        self.transaction = TransactionStatus::Idle;
        self.lasting = false;
        self.portals.clear();
        self.cursors.retain(|_, cursor| cursor.hold);
        Ok(if undone { "ROLLBACK" } else { tag })
    }

    /// Names with a dot are settings of the session, all others PostgreSQL's.
    async fn set(&mut self, name: String, value: String) -> Result<&'static str, Failure> {
        if name.contains('.') {
            self.session()?.set(&name, &value)?;
            return Ok("SET");
        }
        let refused = |message: String, hint: &str| {
            Err(SqlError::new(SqlState::InvalidParameter, message).with_hint(hint).into())
        };
        match name.as_str() {
            "client_encoding" => {
                let encoding = value.to_ascii_lowercase().replace(['-', '_'], "");
                if !["utf8", "unicode", "default"].contains(&encoding.as_str()) {
                    return refused(format!("the encoding '{value}' is not supported"), "use UTF8");
                }
            }
            "statement_timeout" if duration(&value).is_none() => {
                let message = format!("invalid value for parameter \"statement_timeout\": \"{value}\"");
                return refused(message, "write 500, '500ms', '5s' or '1min'");
            }
            fixed if FIXED.contains(&fixed) => {
                let ours = default_of(fixed).unwrap_or_default();
                if !is_start(&value, ours) && !is_start(&value, "default") {
                    self.notify("WARNING", &format!("{name} stays {ours}: answers are written in no other way"))
                        .await?;
                }
            }
            _ => {}
        }
        if name == "application_name" {
            let status = ParameterStatus::new(name.clone(), value.clone());
            self.stream().feed(Back::ParameterStatus(status)).await?;
        }
        self.settings.insert(name, value);
        Ok("SET")
    }

    fn show(&self, name: &str) -> Result<Rows, SqlError> {
        let given = match name {
            "session_authorization" => self.client.parameters.get("user"),
            "application_name" => self.settings.get(name).or_else(|| self.client.parameters.get(name)),
            name if FIXED.contains(&name) => None,
            name => self.settings.get(name),
        };
        let default = default_of(name).map(str::to_string);
        let value: ArrayRef = Arc::new(StringArray::from(vec![given.cloned().or(default)]));
        let batch = RecordBatch::try_from_iter([(name, value)])?;
        Ok(Rows::ready(&batch.schema(), vec![batch], "SHOW"))
    }

    /// How long a statement may take; None for as long as it likes.
    pub(super) fn statement_timeout(&self) -> Option<Duration> {
        self.settings.get("statement_timeout").and_then(|value| duration(value)).filter(|timeout| !timeout.is_zero())
    }

    /// An error when there cannot be a cursor of this name.
    pub(super) fn check_cursor(&self, name: &str) -> Result<(), SqlError> {
        if self.cursors.contains_key(name) {
            let message = format!("cursor \"{name}\" already exists");
            return Err(SqlError::new(SqlState::DuplicateCursor, message));
        }
        if self.cursors.len() >= MAX_CURSORS {
            let message = format!("a connection has at most {MAX_CURSORS} cursors");
            return Err(SqlError::new(SqlState::LimitExceeded, message).with_hint("CLOSE some"));
        }
        Ok(())
    }

    /// Makes a cursor of the answer to its query.
    pub(super) fn declare(&mut self, name: String, hold: bool, answer: Answer) -> Result<Answer, Failure> {
        let Answer::Rows(rows) = answer else { return Err(SqlError::unsupported("a cursor is for a query").into()) };
        let hold = hold || self.transaction == TransactionStatus::Idle;
        self.cursors.insert(name, Cursor { rows, hold });
        Ok(Answer::Tag("DECLARE CURSOR".to_string()))
    }

    /// Sends the next rows of a cursor.
    pub(super) async fn fetch(
        &mut self,
        name: &str,
        count: Option<usize>,
        formats: &Formats,
        describe: bool,
        cancel: &mut Cancel,
    ) -> Result<(), Failure> {
        let mut cursor = self.cursors.remove(name).ok_or_else(|| unknown(name))?;
        if describe {
            self.stream().feed(Back::RowDescription(cursor.rows.header.description(formats))).await?;
        }
        let before = cursor.rows.sent();
        let sent = self.send_rows(&mut cursor.rows, count, formats, cancel).await;
        let fetched = cursor.rows.sent() - before;
        self.cursors.insert(name.to_string(), cursor);
        sent?;
        self.complete(format!("FETCH {fetched}")).await?;
        Ok(())
    }

    /// Passes over the next rows of a cursor.
    pub(super) async fn pass_over(
        &mut self,
        name: &str,
        count: Option<usize>,
        cancel: &mut Cancel,
    ) -> Result<(), Failure> {
        let mut cursor = self.cursors.remove(name).ok_or_else(|| unknown(name))?;
        let passed = self.discard(&mut cursor.rows, count, cancel).await;
        self.cursors.insert(name.to_string(), cursor);
        self.complete(format!("MOVE {}", passed?)).await?;
        Ok(())
    }

    async fn discard(&mut self, rows: &mut Rows, count: Option<usize>, cancel: &mut Cancel) -> Result<usize, Failure> {
        let (most, formats) = (count.unwrap_or(usize::MAX), Formats::default());
        let mut passed = 0;
        while passed < most {
            let Some(batch) = self.next_rows(rows, most - passed, &formats, cancel).await? else { break };
            passed += batch.len();
            // As with FETCH: of endless rows those that are there.
            if rows.is_continuous() && count.is_some() && !rows.has_more_now() {
                break;
            }
        }
        Ok(passed)
    }
}

fn default_of(name: &str) -> Option<&'static str> {
    SETTINGS.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

/// True for `ISO` and `ISO, MDY`.
fn is_start(given: &str, whole: &str) -> bool {
    whole.get(..given.len()).is_some_and(|start| start.eq_ignore_ascii_case(given))
}

/// A duration as PostgreSQL's settings have it: milliseconds, or a number and its unit.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = (text[..unit].parse::<u64>().ok()?, text[unit..].trim());
    let milliseconds = match unit {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return (text == "default").then_some(Duration::ZERO),
    };
    number.checked_mul(milliseconds).map(Duration::from_millis)
}

/// There is no such cursor.
pub fn unknown(name: &str) -> SqlError {
    SqlError::new(SqlState::UndefinedCursor, format!("cursor \"{name}\" does not exist"))
}
