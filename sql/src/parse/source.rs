//! The text of a script and its tokens: tokenizing, cutting at semicolons, and finding text again by position.

use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer, Whitespace};

use super::dialect::FlinkDialect;
use crate::error::{Result, SqlError};

/// A script with its tokens, brought into the form that the parser wants.
pub(super) struct Source<'a> {
    sql: &'a str,
    line_starts: Vec<usize>,
}

/// The tokens of one statement, closed by an `EOF` token that knows its place.
pub(super) struct Piece {
    /// Tokens with white space, so that hints can still be seen.
    pub tokens: Vec<TokenWithSpan>,
    /// Where the first significant token is.
    pub start: Location,
    /// Where the last significant token ends.
    pub end: Location,
}

impl<'a> Source<'a> {
    /// Tokenizes `sql` and cuts it into statements; empty ones are left out.
    pub fn read(sql: &'a str) -> Result<(Self, Vec<Piece>)> {
        let line_starts = std::iter::once(0).chain(sql.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let source = Source { sql, line_starts };
        let tokens = Tokenizer::new(&FlinkDialect, sql)
            .tokenize_with_location()
            .map_err(|e| SqlError::parse_failed(sentence(&e.message), e.location))?;
        let mut clean = Vec::with_capacity(tokens.len());
        for token in tokens {
            push_clean(token, &mut clean)?;
        }
        let end = source.end();
        Ok((source, cut(clean, end)))
    }

    /// The text from `start` up to `end`, without white space around it.
    pub fn text(&self, start: Location, end: Location) -> &'a str {
        self.sql.get(self.offset(start)..self.offset(end)).unwrap_or("").trim()
    }

    fn offset(&self, at: Location) -> usize {
        let line = (at.line as usize).saturating_sub(1);
        let Some(start) = self.line_starts.get(line) else { return self.sql.len() };
        let rest = &self.sql[*start..];
        let column = (at.column as usize).saturating_sub(1);
        rest.char_indices().nth(column).map_or(self.sql.len(), |(at, _)| start + at)
    }

    fn end(&self) -> Location {
        let last = self.line_starts.last().copied().unwrap_or(0);
        let columns = self.sql[last..].chars().count();
        Location { line: self.line_starts.len() as u64, column: columns as u64 + 1 }
    }
}

/// `Unterminated string literal` as the rest of a sentence.
fn sentence(message: &str) -> String {
    format!("{}.", message.trim_end_matches('.'))
}

/// All strings become single-quoted ones, `>>` becomes two brackets (it only closes nested types), double quotes are
/// refused.
fn push_clean(token: TokenWithSpan, out: &mut Vec<TokenWithSpan>) -> Result<()> {
    let span = token.span;
    match token.token {
        Token::EscapedStringLiteral(text) | Token::UnicodeStringLiteral(text) => {
            out.push(TokenWithSpan { token: Token::SingleQuotedString(text), span });
        }
        Token::DoubleQuotedString(text) => {
            return Err(SqlError::encountered(&format!("\\\"{text}\\\""), span.start)
                .with_hint("names are quoted with back-ticks: `name`; text with single quotes: 'text'"));
        }
        Token::ShiftRight => {
            let middle = Location { line: span.start.line, column: span.start.column + 1 };
            out.push(TokenWithSpan { token: Token::Gt, span: Span { start: span.start, end: middle } });
            out.push(TokenWithSpan { token: Token::Gt, span: Span { start: middle, end: span.end } });
        }
        other => out.push(TokenWithSpan { token: other, span }),
    }
    Ok(())
}

/// Cuts at semicolons, except inside a statement set.
fn cut(tokens: Vec<TokenWithSpan>, end: Location) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut current = Vec::new();
    let mut set = SetTracker::default();
    for token in tokens {
        if token.token == Token::SemiColon && !set.is_inside() {
            pieces.extend(close(std::mem::take(&mut current), token.span.start));
            set = SetTracker::default();
            continue;
        }
        if let Token::Word(word) = &token.token
            && word.quote_style.is_none()
        {
            set.see(&word.value);
        }
        current.push(token);
    }
    pieces.extend(close(current, end));
    pieces
}

fn close(mut tokens: Vec<TokenWithSpan>, end: Location) -> Option<Piece> {
    let significant = |t: &&TokenWithSpan| !matches!(t.token, Token::Whitespace(_));
    let start = tokens.iter().find(significant)?.span.start;
    let last = tokens.iter().rev().find(significant)?.span.end;
    tokens.push(TokenWithSpan { token: Token::EOF, span: Span { start: end, end } });
    Some(Piece { tokens, start, end: last })
}

/// Knows whether the words seen so far stand between `BEGIN` and `END` of a statement set, whose semicolons end no
/// statement. Whoever cuts scripts shows it every unquoted word.
#[derive(Debug, Default)]
pub struct SetTracker {
    /// The last two words.
    last: [String; 2],
    /// Open `CASE`s: their `END` closes no set.
    cases: usize,
    inside: bool,
}

impl SetTracker {
    /// The next word.
    pub fn see(&mut self, word: &str) {
        let word = word.to_ascii_uppercase();
        match word.as_str() {
            "CASE" => self.cases += 1,
            "END" if self.cases > 0 => self.cases -= 1,
            "END" => self.inside = false,
            "BEGIN" if self.last == ["STATEMENT", "SET"] => self.inside = true,
            // The older form: BEGIN STATEMENT SET; … END;
            "SET" if self.last == ["BEGIN", "STATEMENT"] => self.inside = true,
            _ => {}
        }
        self.last.rotate_left(1);
        self.last[1] = word;
    }

    /// True between `BEGIN` and `END`.
    pub fn is_inside(&self) -> bool {
        self.inside
    }
}

/// True for a comment of the form `/*+ … */`.
pub(super) fn hint_text(token: &Token) -> Option<&str> {
    match token {
        Token::Whitespace(Whitespace::MultiLineComment(text)) => text.strip_prefix('+'),
        _ => None,
    }
}
