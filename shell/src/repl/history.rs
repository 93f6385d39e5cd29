//! What is kept of the statements that were typed: all but those with secrets in them.

use std::path::PathBuf;

use eddyline_sql::catalog::redact;

use super::lex::{Kind, tokens};

/// Most entries.
pub const ENTRIES: usize = 10_000;

/// Where the history is kept: `$EDDYLINE_HISTORY`, else `~/.eddyline_history`.
pub fn file() -> Option<PathBuf> {
    match std::env::var_os("EDDYLINE_HISTORY") {
        Some(path) if path.is_empty() => None,
        Some(path) => Some(PathBuf::from(path)),
        None => Some(PathBuf::from(std::env::var_os("HOME")?).join(".eddyline_history")),
    }
}

/// True for what may be wanted again and can be kept: not the words that only leave, and nothing with secrets.
pub fn is_worth_keeping(text: &str) -> bool {
    let bare = text.trim().trim_end_matches(';').to_lowercase();
    !["", "\\q", "quit", "exit"].contains(&bare.as_str()) && !has_secret(text)
}

/// True when `text` may hold a password, a token or a key. It rather leaves out too much: a text that is the name of a
/// secret option is enough, as is user information in a URL.
fn has_secret(text: &str) -> bool {
    let sets = first_word(text).is_some_and(|word| word.eq_ignore_ascii_case("set"));
    tokens(text).iter().any(|token| match token.kind {
        Kind::Text | Kind::Name => names_secret(&token.content(text)),
        Kind::Word => sets && names_secret(token.of(text)),
        // What is commented out is remembered as well.
        Kind::Comment => {
            let body = token.of(text).trim_start_matches(['-', '/', '*', '+']);
            has_secret(body)
        }
        _ => false,
    })
}

fn names_secret(content: &str) -> bool {
    const PROBE: &str = "probe";
    redact(content, PROBE) != PROBE || redact("", content) != content
}

fn first_word(text: &str) -> Option<&str> {
    let first = tokens(text).into_iter().find(|t| !t.is_blank())?;
    (first.kind == Kind::Word).then(|| &text[first.start..first.end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_with_secrets_are_left_out() {
        for secret in [
            "CREATE TABLE t (a INT) WITH ('connector' = 'jdbc', 'password' = 'x')",
            "create table t (a int) with ('properties.sasl.jaas.config' = 'x'",
            "SET 'eddyline.checkpointing.mysql.password' = 'x'",
            "SET eddyline.checkpointing.mysql.password = 'x'",
            "CREATE TABLE t (a INT) WITH ('url' = 'jdbc:mysql://me:secret@host/db')",
            "CREATE TABLE t (a INT) WITH ('url' = 'jdbc:mysql://host/db?user=me&password=x')",
            "SELECT * FROM t /*+ OPTIONS('password' = 'x') */",
            "-- ALTER TABLE t SET ('token' = 'x')\nSHOW TABLES",
            "CREATE TABLE t (a INT) WITH ('password' 'no equals sign')",
            "CREATE TABLE t (a INT) WITH ('password' = 'not closed",
        ] {
            assert!(has_secret(secret), "{secret}");
        }
    }

    #[test]
    fn other_statements_are_kept() {
        for plain in [
            "SELECT * FROM t",
            "SELECT password FROM users",
            "CREATE TABLE t (a INT) WITH ('connector' = 'kafka', 'url' = 'jdbc:mysql://host/db')",
            "SET 'sql-client.execution.result-mode' = 'changelog'",
            "CREATE TABLE t (a INT) WITH ('properties.sasl.mechanism' = 'PLAIN')",
            "\\d t",
        ] {
            assert!(is_worth_keeping(plain), "{plain}");
        }
    }

    #[test]
    fn leaving_is_not_worth_keeping() {
        assert!(!is_worth_keeping("\\q") && !is_worth_keeping("QUIT;") && !is_worth_keeping("  "));
    }
}
