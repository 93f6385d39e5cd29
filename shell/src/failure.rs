//! How a command of the program fails.

use eddyline_sql::SqlError;
use eddyline_sql::statement::ParsedStatement;

use crate::script::Script;

/// Why a command did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// One message for the user, complete.
    Message(String),
    /// A server that cannot be reached or does not let us in; the message is complete, too.
    #[cfg(feature = "server")]
    Unreachable(String),
}

impl Failure {
    /// The message.
    pub fn text(&self) -> &str {
        match self {
            Failure::Message(text) => text,
            #[cfg(feature = "server")]
            Failure::Unreachable(text) => text,
        }
    }

    /// What the program ends with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Message(_) => 1,
            #[cfg(feature = "server")]
            Failure::Unreachable(_) => 3,
        }
    }

    /// An error of a statement, with the place in `text` (the file as the user wrote it).
    pub fn sql(error: &SqlError, file: &str, text: &str) -> Self {
        let place = error.position.map(|at| format!("{file}:{}:{}: ", at.line, at.column)).unwrap_or_default();
        Failure::Message(format!("{place}{}", error.render(text)))
    }

    /// An error of a statement of a file: one that knows no place of its own is at the beginning of the statement.
    pub fn statement(error: &SqlError, script: &Script, statement: &ParsedStatement) -> Self {
        match error.position {
            Some(_) => Failure::sql(error, &script.file, &script.text),
            None => {
                let at = statement.start;
                Failure::Message(format!("{}:{}:{}: {}", script.file, at.line, at.column, error.render("")))
            }
        }
    }
}

impl From<eddyline_engine::Error> for Failure {
    fn from(error: eddyline_engine::Error) -> Self {
        let hint = error.hint().map(|h| format!("\nHINT: {h}")).unwrap_or_default();
        Failure::Message(format!("ERROR: {error}{hint}"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure::Message(format!("ERROR: {error}"))
    }
}
