//! The doors into the parser: a script, a query, an expression.

use sqlparser::ast::{Expr, Query};

use super::cursor::{Cursor, Parsed};
use super::failure::explain;
use super::hints::TableHints;
use super::source::{Piece, Source};
use super::{shapes, statement};
use crate::error::{Result, SqlError};
use crate::statement::ParsedStatement;

/// Parses all statements of a script; the first mistake anywhere in it is the error.
pub fn parse_script(sql: &str) -> Result<Vec<ParsedStatement>> {
    let (source, pieces) = Source::read(sql)?;
    pieces
        .into_iter()
        .map(|piece| {
            let (start, end) = (piece.start, piece.end);
            let statement = parse_piece(&source, piece, statement::statement)?;
            Ok(ParsedStatement { statement, text: source.text(start, end).to_string(), start })
        })
        .collect()
}

/// Parses one query, such as the text of a view.
pub fn parse_query(sql: &str) -> Result<Box<Query>> {
    parse_only(sql, |cursor| cursor.query())
}

/// Parses one expression, such as the text of a computed column.
pub fn parse_expression(sql: &str) -> Result<Expr> {
    parse_only(sql, |cursor| cursor.expr())
}

fn parse_only<T>(sql: &str, rule: impl Fn(&mut Cursor<'_>) -> Parsed<T>) -> Result<T> {
    let (source, pieces) = Source::read(sql)?;
    let mut pieces = pieces.into_iter();
    let Some(piece) = pieces.next() else {
        return Err(SqlError::new(crate::SqlState::SyntaxError, "SQL parse failed. The text is empty."));
    };
    if let Some(second) = pieces.next() {
        return Err(SqlError::parse_failed("Only one statement is allowed here.", second.start));
    }
    parse_piece(&source, piece, |cursor| rule(cursor))
}

/// Runs `rule` over all of `piece`.
fn parse_piece<T>(source: &Source<'_>, piece: Piece, rule: impl Fn(&mut Cursor<'_>) -> Parsed<T>) -> Result<T> {
    let hints = TableHints::find(&piece.tokens)?;
    let mut cursor = Cursor::new(source, piece.tokens);
    cursor.hints = hints;
    let parsed = rule(&mut cursor).and_then(|value| cursor.end().map(|()| value));
    let value = parsed.map_err(|e| explain(e, &cursor))?;
    cursor.hints.all_taken()?;
    Ok(value)
}

impl Cursor<'_> {
    /// A query in our shapes.
    pub(super) fn query(&mut self) -> Parsed<Box<Query>> {
        let mut query = self.parser.parse_query()?;
        shapes::normalize(&mut query, &mut self.hints);
        Ok(query)
    }

    /// An expression in our shapes.
    pub(super) fn expr(&mut self) -> Parsed<Expr> {
        let mut expr = self.parser.parse_expr()?;
        shapes::normalize(&mut expr, &mut self.hints);
        Ok(expr)
    }
}
