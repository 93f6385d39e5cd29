//! Errors and notices as PostgreSQL's clients expect them.

use eddyline_sql::SqlError;
use pgwire::error::PgWireError;
use pgwire::messages::response::{ErrorResponse, NoticeResponse};

/// Longest text in a message; libpq takes no more than 30 000 bytes.
const MAX_TEXT: usize = 8_000;

/// Why a statement or a connection cannot go on.
#[derive(Debug)]
pub enum Failure {
    /// The client is told, and the connection goes on.
    Sql(SqlError),
    /// The connection is broken.
    Wire(PgWireError),
}

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Self {
        Failure::Sql(error)
    }
}

impl From<PgWireError> for Failure {
    fn from(error: PgWireError) -> Self {
        Failure::Wire(error)
    }
}

/// The error as a message; `sql` is the text that its position refers to.
pub fn error_response(error: &SqlError, sql: &str) -> ErrorResponse {
    let mut fields = common("ERROR", error.sqlstate(), &error.message);
    fields.extend(error.detail.as_ref().map(|detail| (b'D', cut(detail))));
    fields.extend(error.hint.as_ref().map(|hint| (b'H', cut(hint))));
    let position = error.position.and_then(|at| character(sql, at.line, at.column));
    fields.extend(position.map(|position| (b'P', position.to_string())));
    ErrorResponse::new(fields)
}

/// Something that a client should know.
pub fn notice(severity: &str, message: &str) -> NoticeResponse {
    let code = if severity == "WARNING" { "01000" } else { "00000" };
    NoticeResponse::new(common(severity, code, message))
}

fn common(severity: &str, code: &str, message: &str) -> Vec<(u8, String)> {
    vec![(b'S', severity.to_string()), (b'V', severity.to_string()), (b'C', code.to_string()), (b'M', cut(message))]
}

fn cut(text: &str) -> String {
    let text = text.replace('\0', " ");
    match text.char_indices().find(|(at, _)| *at >= MAX_TEXT) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// The number of the character at a line and column, all from 1.
fn character(sql: &str, line: u64, column: u64) -> Option<usize> {
    let before = usize::try_from(line).ok()?.checked_sub(1)?;
    let lines: usize = sql.split_inclusive('\n').take(before).map(|l| l.chars().count()).sum();
    (before == 0 || sql.matches('\n').count() >= before).then_some(lines + usize::try_from(column).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_from_one() {
        assert_eq!(character("SELECT x", 1, 8), Some(8));
        assert_eq!(character("SELECT\n 'ä', x", 2, 7), Some(14));
        assert_eq!(character("SELECT", 3, 1), None);
    }

    #[test]
    fn long_texts_are_cut() {
        let error = SqlError::internal("ä".repeat(20_000));
        let response = error_response(&error, "");
        assert!(response.fields.iter().all(|(_, text)| text.len() < MAX_TEXT + 10));
    }
}
