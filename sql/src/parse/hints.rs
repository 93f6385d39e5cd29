//! Hints: `/*+ OPTIONS('k' = 'v') */` behind a table, `/*+ STATE_TTL('t' = '1d') */` behind SELECT.
//!
//! sqlparser sees comments. Those behind SELECT it keeps itself; those behind a table are taken out of the tokens
//! here before parsing, by the place of the word before them, and put into the AST afterwards. A hint that finds no
//! table is an error.

use std::collections::BTreeMap;

use sqlparser::ast::{
    BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, OptimizerHintStyle, Select,
};
use sqlparser::ast::{TableFactor, Value};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use super::cursor::{Cursor, is_word};
use super::failure::explain;
use super::source::{Source, hint_text};
use crate::error::{Result, SqlError};

/// One hint, such as `STATE_TTL('orders' = '1d')`.
#[derive(Debug, Clone, PartialEq)]
pub struct Hint {
    /// Its name, upper case.
    pub name: String,
    /// Its entries in order: key (None for a bare value) and value.
    pub entries: Vec<(Option<String>, String)>,
}

/// The hints behind SELECT.
pub fn query_hints(select: &Select) -> Result<Vec<Hint>> {
    let mut hints = Vec::new();
    for hint in &select.optimizer_hints {
        if hint.style == OptimizerHintStyle::MultiLine && hint.prefix.is_empty() {
            hints.extend(parse_hints(&hint.text)?.iter().filter_map(read_hint));
        }
    }
    Ok(hints)
}

/// What `/*+ OPTIONS(…) */` behind a table says; the last value of a key wins.
pub fn table_options(table: &TableFactor) -> Result<BTreeMap<String, String>> {
    let TableFactor::Table { with_hints, .. } = table else { return Ok(BTreeMap::new()) };
    read_options(with_hints)
}

/// The options in hints that stand behind a table.
pub(super) fn read_options(hints: &[Expr]) -> Result<BTreeMap<String, String>> {
    let mut options = BTreeMap::new();
    for hint in hints.iter().filter_map(read_hint) {
        if hint.name != "OPTIONS" {
            return Err(SqlError::unsupported(format!("hint {} behind a table is not supported", hint.name)));
        }
        options.extend(hint.entries.into_iter().filter_map(|(key, value)| Some((key?, value))));
    }
    Ok(options)
}

/// The hints behind tables of one statement, by the place of the word before them.
#[derive(Debug, Default)]
pub(super) struct TableHints(BTreeMap<Location, (Vec<Expr>, Location)>);

impl TableHints {
    /// Finds them among the tokens.
    pub fn find(tokens: &[TokenWithSpan]) -> Result<Self> {
        let mut hints = TableHints::default();
        let mut before: Option<&TokenWithSpan> = None;
        for token in tokens {
            match (hint_text(&token.token), before) {
                (Some(text), Some(word)) if !is_word(&word.token, "SELECT") => {
                    let parsed = parse_hints(text).map_err(|e| SqlError { position: Some(token.span.start), ..e })?;
                    hints.0.insert(word.span.start, (parsed, token.span.start));
                }
                _ if matches!(token.token, Token::Whitespace(_)) => {}
                _ => before = Some(token),
            }
        }
        Ok(hints)
    }

    /// Takes the hints behind the word at `place`.
    pub fn take(&mut self, place: Location) -> Vec<Expr> {
        self.0.remove(&place).map(|(hints, _)| hints).unwrap_or_default()
    }

    /// An error if a hint is left over.
    pub fn all_taken(&self) -> Result<()> {
        match self.0.values().next() {
            Some((_, at)) => {
                Err(SqlError::encountered("/*+", *at).with_hint("hints stand behind SELECT or a table's name"))
            }
            None => Ok(()),
        }
    }
}

/// Parses `A('k' = 'v'), B(x)` into calls.
fn parse_hints(text: &str) -> Result<Vec<Expr>> {
    let (source, mut pieces) = Source::read(text)?;
    let Some(piece) = pieces.pop() else { return Ok(Vec::new()) };
    let mut cursor = Cursor::new(&source, piece.tokens);
    let mut hints = Vec::new();
    while cursor.parser.peek_token().token != Token::EOF {
        hints.push(cursor.parser.parse_expr().map_err(|e| explain(e, &cursor))?);
        cursor.sign(&Token::Comma);
    }
    Ok(hints)
}

fn read_hint(hint: &Expr) -> Option<Hint> {
    match hint {
        Expr::Function(function) => {
            let FunctionArguments::List(list) = &function.args else { return None };
            let entries = list.args.iter().filter_map(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(entry)) => read_entry(entry),
                _ => None,
            });
            Some(Hint { name: function.name.to_string().to_uppercase(), entries: entries.collect() })
        }
        Expr::Identifier(name) => Some(Hint { name: name.value.to_uppercase(), entries: Vec::new() }),
        _ => None,
    }
}

fn read_entry(entry: &Expr) -> Option<(Option<String>, String)> {
    match entry {
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => Some((Some(read_word(left)?), read_word(right)?)),
        word => Some((None, read_word(word)?)),
    }
}

fn read_word(word: &Expr) -> Option<String> {
    match word {
        Expr::Identifier(name) => Some(name.value.clone()),
        Expr::CompoundIdentifier(parts) => Some(parts.iter().map(|p| p.value.as_str()).collect::<Vec<_>>().join(".")),
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            other => Some(other.to_string()),
        },
        _ => None,
    }
}
