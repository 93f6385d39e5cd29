//! Statements that only matter on the wire: transactions, the settings that drivers send, cursors.

use eddyline_sql::error::Location;
use eddyline_sql::{Result, SqlError};

/// Names of PostgreSQL's settings that SHOW answers, with their values where a session has not set them.
pub const SETTINGS: &[(&str, &str)] = &[
    ("application_name", ""),
    ("bytea_output", "hex"),
    ("client_encoding", "UTF8"),
    ("client_min_messages", "notice"),
    ("datestyle", "ISO, MDY"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("extra_float_digits", "1"),
    ("in_hot_standby", "off"),
    ("integer_datetimes", "on"),
    ("intervalstyle", "postgres"),
    ("is_superuser", "off"),
    ("lc_collate", "C"),
    ("lc_ctype", "C"),
    ("lock_timeout", "0"),
    ("max_identifier_length", "63"),
    ("search_path", "public"),
    ("server_encoding", "UTF8"),
    ("server_version", super::SERVER_VERSION),
    ("server_version_num", "160006"),
    ("session_authorization", ""),
    ("standard_conforming_strings", "on"),
    ("statement_timeout", "0"),
    ("timezone", "UTC"),
    ("transaction_isolation", "read committed"),
    ("transaction_read_only", "off"),
];

/// What a client asks of its connection.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// `BEGIN`, `START TRANSACTION`.
    Begin,
    /// `COMMIT`, `END`.
    Commit,
    /// `ROLLBACK`, `ABORT`.
    Rollback,
    /// `SAVEPOINT`, `RELEASE`, `ROLLBACK TO`, `LISTEN`, …: accepted without effect; the text is the answer.
    Nothing(&'static str),
    /// `SET name = value`.
    Set {
        /// Name in lower case.
        name: String,
        /// Value without quotes.
        value: String,
    },
    /// `RESET name`, `RESET ALL`.
    Reset(String),
    /// `SHOW name`.
    Show(String),
    /// `DISCARD ALL`.
    Discard,
    /// `DEALLOCATE name`; None for all.
    Deallocate(Option<String>),
    /// `DECLARE name CURSOR FOR query`.
    Declare {
        /// The cursor.
        name: String,
        /// True when it outlives its transaction.
        hold: bool,
        /// Where its query begins in the text that was given to the parser.
        query: usize,
    },
    /// `FETCH count FROM name`, `MOVE count FROM name`.
    Fetch {
        /// The cursor.
        name: String,
        /// Most rows; None for all.
        count: Option<usize>,
        /// True for MOVE, which passes over the rows.
        discard: bool,
    },
    /// `CLOSE name`; None for all.
    Close(Option<String>),
}

/// First words of commands.
const FIRST: &[&str] = &[
    "begin",
    "start",
    "commit",
    "end",
    "rollback",
    "abort",
    "savepoint",
    "release",
    "listen",
    "unlisten",
    "set",
    "reset",
    "show",
    "discard",
    "deallocate",
    "declare",
    "fetch",
    "move",
    "close",
];

/// The command in `text`, if it is one. `before` is what stands before it in the text that positions refer to.
pub fn parse(before: &str, text: &str) -> Result<Option<Command>> {
    // Most texts are none, and may be long.
    let first = text.split(|c: char| !c.is_alphabetic()).find(|word| !word.is_empty()).unwrap_or_default();
    if !FIRST.iter().any(|word| word.eq_ignore_ascii_case(first)) {
        return Ok(None);
    }
    let words = Words::of(text);
    let at = |index: usize| words.word(index);
    let command = match (at(0), at(1)) {
        ("begin", "statement") => return Ok(None),
        ("begin", _) | ("start", "transaction") => Command::Begin,
        ("commit" | "end", _) => Command::Commit,
        ("rollback", _) if words.contains("to") => Command::Nothing("ROLLBACK"),
        ("rollback" | "abort", _) => Command::Rollback,
        ("savepoint", _) => Command::Nothing("SAVEPOINT"),
        ("release", _) => Command::Nothing("RELEASE"),
        ("listen", _) => Command::Nothing("LISTEN"),
        ("unlisten", _) => Command::Nothing("UNLISTEN"),
        ("set", _) => return Ok(set(text, &words)),
        ("reset", "all") => Command::Reset("all".to_string()),
        ("reset", name) if SETTINGS.iter().any(|(known, _)| *known == name) => Command::Reset(name.to_string()),
        ("show", _) => return Ok(show(&words)),
        ("discard", _) => Command::Discard,
        ("deallocate", _) => Command::Deallocate(named(words.last())),
        ("declare", _) => declare(before, &words)?,
        ("fetch" | "move", _) => fetch(before, text, &words)?,
        ("close", _) => Command::Close(named(words.last())),
        _ => return Ok(None),
    };
    Ok(Some(command))
}

fn refuse(message: &str, hint: &str, before: &str) -> SqlError {
    SqlError::unsupported(message).with_hint(hint).at(end_of(before))
}

/// The place behind the last character of `text`.
pub(super) fn end_of(text: &str) -> Location {
    let line = text.matches('\n').count() as u64 + 1;
    let column = text.rsplit('\n').next().map_or(0, |line| line.chars().count()) as u64 + 1;
    Location { line, column }
}

fn named(name: &str) -> Option<String> {
    (name != "all").then(|| name.to_string())
}

/// `SET [SESSION|LOCAL] name {=|TO} value`; `SET 'key' = 'value'` is not ours.
fn set(text: &str, words: &Words) -> Option<Command> {
    let first = if matches!(words.word(1), "session" | "local") { 2 } else { 1 };
    let name = words.word(first);
    if name.is_empty() || name.starts_with('\'') {
        return None;
    }
    match name {
        "transaction" | "characteristics" | "constraints" => return Some(Command::Nothing("SET")),
        "time" => {
            let value = unquoted(words.word(first + 2)).to_string();
            return Some(Command::Set { name: "timezone".to_string(), value });
        }
        "names" => {
            let value = unquoted(words.word(first + 1)).to_string();
            return Some(Command::Set { name: "client_encoding".to_string(), value });
        }
        _ => {}
    }
    // The value as it is written, so that its case and its spaces stay.
    let behind = text.get(words.end(first)..)?.trim_start();
    let value = match behind.strip_prefix('=') {
        Some(value) => value,
        None => behind.get(2..).filter(|_| behind.get(..2).is_some_and(|to| to.eq_ignore_ascii_case("to")))?,
    };
    Some(Command::Set { name: name.to_string(), value: unquoted(value.trim()).to_string() })
}

fn show(words: &Words) -> Option<Command> {
    let name = match (words.word(1), words.word(2), words.word(3)) {
        ("transaction", "isolation", "level") => "transaction_isolation",
        ("time", "zone", _) => "timezone",
        (name, _, _) => name,
    };
    SETTINGS.iter().any(|(known, _)| *known == name).then(|| Command::Show(name.to_string()))
}

/// `DECLARE name [BINARY] [[NO] SCROLL] CURSOR [WITH|WITHOUT HOLD] FOR query`.
fn declare(before: &str, words: &Words) -> Result<Command> {
    let Some(at) = words.position("for") else {
        return Err(refuse("DECLARE without FOR", "write DECLARE name CURSOR FOR query", before));
    };
    let options: Vec<&str> = (2..at).map(|i| words.word(i)).collect();
    if options.contains(&"scroll") && !options.windows(2).any(|pair| pair == ["no", "scroll"]) {
        return Err(refuse("a cursor cannot scroll: a stream is read once", "write NO SCROLL", before));
    }
    let hold = options.windows(2).any(|pair| pair == ["with", "hold"]);
    Ok(Command::Declare { name: words.word(1).to_string(), hold, query: words.end(at) })
}

/// `FETCH|MOVE [NEXT | count | ALL | FORWARD [count | ALL]] [FROM | IN] name`.
fn fetch(before: &str, text: &str, words: &Words) -> Result<Command> {
    let name = words.last().to_string();
    let directions = 1..words.len().saturating_sub(1);
    let direction: Vec<&str> = directions.map(|i| words.word(i)).filter(|w| !matches!(*w, "from" | "in")).collect();
    let count = match direction.as_slice() {
        [] | ["next"] | ["forward"] => Some(1),
        ["all"] | ["forward", "all"] => None,
        [count] | ["forward", count] => match count.parse() {
            Ok(count) => Some(count),
            Err(_) => return Err(refuse(&format!("'{text}' is not supported"), "cursors only go forward", before)),
        },
        _ => return Err(refuse(&format!("'{text}' is not supported"), "cursors only go forward", before)),
    };
    Ok(Command::Fetch { name, count, discard: words.word(0) == "move" })
}

fn unquoted(text: &str) -> &str {
    let inner = |quote: char| text.strip_prefix(quote).and_then(|t| t.strip_suffix(quote));
    inner('\'').or_else(|| inner('"')).unwrap_or(text)
}

/// The words of a statement in lower case; quoted ones keep their case, and strings their quotes.
struct Words(Vec<(String, usize)>);

impl Words {
    fn of(text: &str) -> Self {
        let mut words = Vec::new();
        let mut at = 0;
        while let Some(c) = text[at..].chars().next() {
            let rest = &text[at..];
            let length = match c {
                '"' | '\'' => super::script::quoted_length(rest, c),
                c if c.is_alphanumeric() || c == '_' => {
                    rest.find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '.' | '-')).unwrap_or(rest.len())
                }
                c => {
                    at += c.len_utf8();
                    continue;
                }
            };
            let word = match c {
                '"' => unquoted(&rest[..length]).to_string(),
                '\'' => rest[..length].to_string(),
                _ => rest[..length].to_lowercase(),
            };
            at += length;
            words.push((word, at));
        }
        Words(words)
    }

    /// The word at `index`; empty behind the last.
    fn word(&self, index: usize) -> &str {
        self.0.get(index).map_or("", |(word, _)| word)
    }

    /// Where the word at `index` ends.
    fn end(&self, index: usize) -> usize {
        self.0.get(index).map_or(0, |(_, end)| *end)
    }

    fn last(&self) -> &str {
        self.0.last().map_or("", |(word, _)| word)
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn position(&self, word: &str) -> Option<usize> {
        self.0.iter().position(|(w, _)| w == word)
    }

    fn contains(&self, word: &str) -> bool {
        self.position(word).is_some()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn command(text: &str) -> Option<Command> {
        parse("", text).unwrap()
    }

    fn set(name: &str, value: &str) -> Option<Command> {
        Some(Command::Set { name: name.to_string(), value: value.to_string() })
    }

    #[test]
    fn settings_of_drivers_are_commands_and_settings_of_flink_are_not() {
        assert_eq!(command("SET extra_float_digits = 3"), set("extra_float_digits", "3"));
        assert_eq!(command("set application_name to 'PG JDBC  Driver'"), set("application_name", "PG JDBC  Driver"));
        assert_eq!(command("SET pipeline.name = 'a'"), set("pipeline.name", "a"));
        assert_eq!(command("SET TIME ZONE 'UTC'"), set("timezone", "UTC"));
        assert_eq!(command("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"), Some(Command::Nothing("SET")));
        assert_eq!(command("SET 'pipeline.name' = 'a'"), None);
        assert_eq!(command("SET"), None);
        assert_eq!(command("SHOW TRANSACTION ISOLATION LEVEL"), Some(Command::Show("transaction_isolation".into())));
        assert_eq!(command("SHOW TABLES"), None);
        assert_eq!(command("RESET"), None);
    }

    #[test]
    fn cursors_are_read_with_their_options() {
        let text = "DECLARE \"My Cur\" NO SCROLL CURSOR WITH HOLD FOR\nSELECT 1";
        let Some(Command::Declare { name, hold, query }) = command(text) else { unreachable!() };
        assert_eq!((name.as_str(), hold, &text[query..]), ("My Cur", true, "\nSELECT 1"));
        let fetch = |count| Some(Command::Fetch { name: "c".to_string(), count, discard: false });
        assert_eq!(command("FETCH 5 FROM c"), fetch(Some(5)));
        assert_eq!(command("fetch forward 100 from \"c\""), fetch(Some(100)));
        assert_eq!(command("FETCH ALL IN c"), fetch(None));
        assert_eq!(command("FETCH c"), fetch(Some(1)));
        assert_eq!(command("MOVE 3 IN c"), Some(Command::Fetch { name: "c".into(), count: Some(3), discard: true }));
        assert!(parse("", "FETCH BACKWARD 1 FROM c").is_err());
        assert_eq!(command("CLOSE ALL"), Some(Command::Close(None)));
    }

    #[test]
    fn transactions_are_known_in_all_their_spellings() {
        assert_eq!(command("BEGIN ISOLATION LEVEL READ COMMITTED"), Some(Command::Begin));
        assert_eq!(command("START TRANSACTION READ ONLY"), Some(Command::Begin));
        assert_eq!(command("END"), Some(Command::Commit));
        assert_eq!(command("ROLLBACK TO SAVEPOINT a"), Some(Command::Nothing("ROLLBACK")));
        assert_eq!(command("BEGIN STATEMENT SET"), None);
    }
}
