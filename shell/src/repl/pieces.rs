//! Cuts what a user has typed, or a script, into statements and commands of the shell.
//!
//! A statement ends with a semicolon that stands outside of quotes, comments and statement sets. A command begins with a
//! backslash where a statement could begin, and ends with its line.

use std::ops::Range;

use eddyline_sql::parse::SetTracker;

use super::lex::{Kind, Token, tokens};

/// A piece of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// A statement without its semicolon.
    Statement(Range<usize>),
    /// A command with its backslash.
    Command(Range<usize>),
}

/// All pieces of `text`, and whether the last one is complete.
pub fn pieces(text: &str) -> (Vec<Piece>, bool) {
    let tokens = tokens(text);
    let mut found = Vec::new();
    let mut index = 0;
    while let Some(first) = tokens[index..].iter().position(|t| !t.is_blank() && t.kind != Kind::Semicolon) {
        let start = &tokens[index + first];
        if start.of(text) == "\\" {
            let end = text[start.start..].find('\n').map_or(text.len(), |line| start.start + line);
            found.push(Piece::Command(start.start..start.start + text[start.start..end].trim_end().len()));
            index = tokens.iter().position(|t| t.start >= end).unwrap_or(tokens.len());
            continue;
        }
        let statement = statement(text, &tokens[index + first..]);
        found.push(Piece::Statement(start.start..statement.end));
        match statement.behind {
            Some(behind) => index += first + behind,
            None => return (found, is_word_command(text[start.start..].trim())),
        }
    }
    // An open comment may still go on.
    (found, tokens.last().is_none_or(|t| t.closed))
}

/// True when nothing more need be typed before `text` can be executed.
pub fn is_complete(text: &str) -> bool {
    pieces(text).1
}

/// Commands that are words, as in Flink's SQL client, and need no semicolon.
pub fn is_word_command(text: &str) -> bool {
    let text = text.trim_end_matches(';').trim_end();
    ["help", "quit", "exit", "clear"].iter().any(|word| word.eq_ignore_ascii_case(text))
}

struct Statement {
    /// Behind its last byte.
    end: usize,
    /// Tokens up to behind its semicolon; None when there is none.
    behind: Option<usize>,
}

/// The statement that `tokens` begin with.
fn statement(text: &str, tokens: &[Token]) -> Statement {
    let mut set = SetTracker::default();
    let mut end = tokens[0].start;
    for (index, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Semicolon if !set.is_inside() => return Statement { end, behind: Some(index + 1) },
            Kind::Space => continue,
            Kind::Comment if !token.of(text).starts_with("/*+") => continue,
            Kind::Word => set.see(token.of(text)),
            _ => {}
        }
        end = token.end;
    }
    Statement { end, behind: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<&str> {
        let all = pieces(text).0.into_iter();
        all.map(|piece| match piece {
            Piece::Statement(range) | Piece::Command(range) => &text[range],
        })
        .collect()
    }

    #[test]
    fn semicolons_in_quotes_comments_and_sets_cut_nothing() {
        assert_eq!(cut(" ; ;"), Vec::<&str>::new());
        assert_eq!(cut("SELECT ';' -- x;\n, `a;b`; SELECT 2 /* ; */ ;"), ["SELECT ';' -- x;\n, `a;b`", "SELECT 2"]);
        let set =
            "EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT CASE WHEN x THEN 1 END; INSERT INTO b SELECT 2; END";
        assert_eq!(cut(&format!("{set}; SHOW JOBS;")), [set, "SHOW JOBS"]);
    }

    #[test]
    fn commands_end_with_their_line_and_statements_do_not() {
        assert_eq!(cut("\\timing \nSELECT 1,\n 2;\n  \\d t;\n\\q"), ["\\timing", "SELECT 1,\n 2", "\\d t;", "\\q"]);
        assert_eq!(cut("SELECT '\n\\d' ;"), ["SELECT '\n\\d'"]);
    }

    #[test]
    fn input_is_complete_behind_a_semicolon_outside_of_quotes_and_comments() {
        for complete in
            ["", "SELECT 1;", "SELECT 1; -- done", "\\d", "quit", "QUIT;", "help", "-- only a comment", "; ;"]
        {
            assert!(is_complete(complete), "{complete}");
        }
        for open in
            ["SELECT 1", "SELECT ';", "SELECT 1 -- ;", "SELECT 1 /* ;", "SELECT 1; SELECT 2", "/* open", "SELECT 'a\n;"]
        {
            assert!(!is_complete(open), "{open}");
        }
        let set = "EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1;";
        assert!(!is_complete(set) && is_complete(&format!("{set} END;")));
    }
}
