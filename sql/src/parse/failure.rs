//! What sqlparser says, in Flink's words: `SQL parse failed. Encountered "x" at line n, column m.`
//!
//! sqlparser reports a place only inside its message (` at Line: 1, Column: 2`), so it is read back from there. Our
//! own parsing code reports through the same type with [`refuse`], which also carries a hint.

use eddyline_engine::connector::nearest;
use sqlparser::parser::ParserError;
use sqlparser::tokenizer::{Location, Token};

use super::cursor::Cursor;
use crate::error::SqlError;

/// Stands between message and hint in the text of a `ParserError`.
const HINT_MARK: char = '\u{1f}';
/// Stands in front of a message that is no complaint about syntax.
const UNSUPPORTED_MARK: char = '\u{1e}';

/// An error with our own words at a place, with a hint.
pub(super) fn refuse(message: &str, hint: &str, at: Location) -> ParserError {
    ParserError::ParserError(format!("{message}{HINT_MARK}{hint}{at}"))
}

/// An error for something that Flink has and we do not.
pub(super) fn unsupported(message: &str, hint: &str, at: Location) -> ParserError {
    ParserError::ParserError(format!("{UNSUPPORTED_MARK}{message}{HINT_MARK}{hint}{at}"))
}

/// The error for the user. `cursor` stands where parsing stopped.
pub(super) fn explain(error: ParserError, cursor: &Cursor<'_>) -> SqlError {
    let message = match error {
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => message,
        ParserError::RecursionLimitExceeded => {
            return SqlError::parse_failed("The expression is nested too deeply.", cursor.position())
                .with_hint("split the query with views or WITH");
        }
    };
    let (message, place) = split_place(&message);
    let place = place.unwrap_or_else(|| cursor.position());
    if let Some((_, found)) = message.split_once(", found: ") {
        return encountered(found, place, cursor, message);
    }
    let (message, hint) = message.split_once(HINT_MARK).unwrap_or((message, ""));
    let error = match message.strip_prefix(UNSUPPORTED_MARK) {
        Some(message) => SqlError::unsupported(message).at(place),
        None => SqlError::parse_failed(message, place),
    };
    if hint.is_empty() { error } else { error.with_hint(hint) }
}

/// Takes ` at Line: 1, Column: 2` off the end.
fn split_place(message: &str) -> (&str, Option<Location>) {
    let parse = || {
        let (head, tail) = message.rsplit_once(" at Line: ")?;
        let (line, column) = tail.split_once(", Column: ")?;
        Some((head, Location { line: line.parse().ok()?, column: column.parse().ok()? }))
    };
    match parse() {
        Some((head, place)) => (head, Some(place)),
        None => (message, None),
    }
}

fn encountered(found: &str, place: Location, cursor: &Cursor<'_>, message: &str) -> SqlError {
    let found = if found == "EOF" { "<EOF>" } else { found };
    let error = SqlError::encountered(found, place);
    if let Some(hint) = hint_for(found, place, cursor) {
        return error.with_hint(hint);
    }
    let expected = message.strip_prefix("Expected: ").and_then(|m| m.split_once(", found: ")).map(|(e, _)| e);
    match expected {
        Some("end of statement") | None => error,
        Some(expected) => {
            let upper = found.to_uppercase();
            let near = nearest(&upper, expected.split(" or ").filter(|word| *word != upper));
            let error = error.with_detail(format!("expected {expected}"));
            near.map_or(error.clone(), |near| error.with_hint(format!("did you mean {near}?")))
        }
    }
}

/// Words that begin a clause, for slips of the pen such as `FORM`.
const CLAUSES: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP",
    "HAVING",
    "ORDER",
    "JOIN",
    "UNION",
    "WINDOW",
    "QUALIFY",
    "LIMIT",
    "VALUES",
    "WITH",
    "WATERMARK",
    "PRIMARY",
    "PARTITIONED",
    "DISTRIBUTED",
    "COMMENT",
];

fn hint_for(found: &str, place: Location, cursor: &Cursor<'_>) -> Option<String> {
    if found.eq_ignore_ascii_case("EMIT") || found.eq_ignore_ascii_case("CHANGES") {
        return Some("every query is continuous: leave out EMIT CHANGES".to_string());
    }
    let swapped = |word: &str| CLAUSES.iter().find(|c| **c != word && same_letters(c, word)).copied();
    // A longer word is rather a name (orders) than a slip (ORDER).
    let near = |word: &str| nearest(word, CLAUSES.iter().copied()).filter(|c| *c != word && word.len() <= c.len());
    let words = [cursor.word_before(place).unwrap_or_default().to_uppercase(), found.to_uppercase()];
    let clause = words.iter().find_map(|w| swapped(w)).or_else(|| words.iter().find_map(|w| near(w)));
    clause.map(|clause| format!("did you mean {clause}?"))
}

fn same_letters(a: &str, b: &str) -> bool {
    let sorted = |s: &str| {
        let mut letters: Vec<char> = s.chars().collect();
        letters.sort_unstable();
        letters
    };
    a.len() == b.len() && sorted(a) == sorted(b)
}

/// Statements by their first word, for the hint of an unknown one.
const STATEMENTS: &[&str] = &[
    "SELECT",
    "WITH",
    "VALUES",
    "CREATE",
    "DROP",
    "ALTER",
    "INSERT",
    "EXECUTE",
    "EXPLAIN",
    "SHOW",
    "DESCRIBE",
    "DESC",
    "SET",
    "RESET",
    "USE",
    "STOP",
    "SUBSCRIBE",
    "UPDATE",
    "DELETE",
    "TRUNCATE",
    "FLUSH",
    "BEGIN",
];

/// The error for a text that begins like no statement.
pub(super) fn unknown_statement(token: &Token, at: Location) -> ParserError {
    let word = if *token == Token::EOF { "<EOF>".to_string() } else { token.to_string() };
    let upper = word.to_uppercase();
    let swapped = STATEMENTS.iter().find(|s| same_letters(s, &upper)).copied();
    let hint = match swapped.or_else(|| nearest(&upper, STATEMENTS.iter().copied())) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("statements begin with {}", STATEMENTS.join(", ")),
    };
    refuse(&format!("Encountered \"{word}\" at line {}, column {}.", at.line, at.column), &hint, at)
}
