//! How a command of the program fails.

use eddyline_sql::SqlError;

/// Why a command did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// One message for the user, complete.
    Message(String),
}

impl Failure {
    /// An error of a statement, with the place in `text` (the file as the user wrote it).
    pub fn sql(error: &SqlError, file: &str, text: &str) -> Self {
        let place = error.position.map(|at| format!("{file}:{}:{}: ", at.line, at.column)).unwrap_or_default();
        Failure::Message(format!("{place}{}", error.render(text)))
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
