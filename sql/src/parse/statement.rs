//! One statement: looks at its first words and hands over to the rule for it. INSERT, statement sets, EXPLAIN here.

use std::collections::BTreeMap;

use sqlparser::tokenizer::Token;

use super::cursor::{Cursor, Parsed, is_word};
use super::failure::{refuse, unknown_statement, unsupported};
use super::hints::read_options;
use super::{alter, command, create, mutation};
use crate::statement::{Explain, Insert, OnConflict, Statement, TableName};

/// Statements of Flink's that we know by name only.
const UNSUPPORTED: &[&str] = &["ANALYZE", "CALL", "COMPILE", "LOAD", "UNLOAD", "ADD", "REMOVE", "REPLACE"];

/// The statement that begins here.
pub(super) fn statement(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    let at = cursor.position();
    let first = cursor.parser.peek_token().token;
    if first == Token::LParen || ["SELECT", "WITH", "VALUES"].iter().any(|word| is_word(&first, word)) {
        return cursor.query().map(Statement::Query);
    }
    if cursor.sees(&["EXECUTE", "INSERT"]) || cursor.sees(&["INSERT"]) {
        cursor.take(&["EXECUTE"]);
        return insert(cursor).map(|insert| Statement::Insert(Box::new(insert)));
    }
    if starts_set(cursor) {
        return statement_set(cursor);
    }
    if cursor.take(&["EXPLAIN"]) {
        return explain(cursor);
    }
    if let Some(word) = cursor.take_one(&["CREATE", "DROP", "ALTER"]) {
        return match word {
            "CREATE" => create::create(cursor),
            "DROP" => command::drop(cursor),
            _ => alter::alter(cursor),
        };
    }
    if let Some(statement) = command::command(cursor).or_else(|| mutation::mutation(cursor)) {
        return statement;
    }
    if let Some(word) = UNSUPPORTED.iter().find(|word| is_word(&first, word)) {
        return Err(unsupported(&format!("{word} is not supported"), "", at));
    }
    Err(unknown_statement(&first, at))
}

fn starts_set(cursor: &Cursor<'_>) -> bool {
    cursor.sees(&["EXECUTE", "STATEMENT", "SET"])
        || cursor.sees(&["STATEMENT", "SET", "BEGIN"])
        || cursor.sees(&["BEGIN", "STATEMENT", "SET"])
}

/// `EXECUTE STATEMENT SET BEGIN INSERT …; INSERT …; END`, or the older `BEGIN STATEMENT SET; …; END`.
fn statement_set(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    if cursor.take(&["BEGIN", "STATEMENT", "SET"]) {
        cursor.expect_sign(&Token::SemiColon)?;
    } else {
        cursor.take(&["EXECUTE"]);
        cursor.expect(&["STATEMENT", "SET", "BEGIN"])?;
    }
    let mut inserts = Vec::new();
    while !cursor.take(&["END"]) {
        if !cursor.sees(&["INSERT"]) {
            return cursor.parser.expected("INSERT or END", cursor.parser.peek_token());
        }
        inserts.push(insert(cursor)?);
        cursor.expect_sign(&Token::SemiColon)?;
    }
    if inserts.is_empty() {
        return Err(refuse("NO statements in statement set.", "put at least one INSERT into it", cursor.position()));
    }
    Ok(Statement::StatementSet(inserts))
}

/// `INSERT INTO|OVERWRITE t [PARTITION (k = v)] [(columns)] query [ON CONFLICT DO …]`
fn insert(cursor: &mut Cursor<'_>) -> Parsed<Insert> {
    let start = cursor.position();
    cursor.expect(&["INSERT"])?;
    let overwrite = cursor.expect_one(&["INTO", "OVERWRITE"])? == "OVERWRITE";
    let (target, target_options) = target(cursor)?;
    let partition = partition(cursor)?;
    let columns = if names_follow(cursor) { cursor.names_in_parens()? } else { Vec::new() };
    let query = cursor.query()?;
    let on_conflict = on_conflict(cursor)?;
    let text = cursor.text_from(start);
    Ok(Insert { target, target_options, columns, partition, query, overwrite, on_conflict, text })
}

/// The table with the options in the hint behind it.
fn target(cursor: &mut Cursor<'_>) -> Parsed<(TableName, BTreeMap<String, String>)> {
    let name = cursor.table_name()?;
    let hints = cursor.hints.take(cursor.last_name);
    let options = read_options(&hints).map_err(|e| refuse(&e.message, "use OPTIONS", name.position))?;
    Ok((name, options))
}

fn partition(cursor: &mut Cursor<'_>) -> Parsed<BTreeMap<String, sqlparser::ast::Expr>> {
    if !cursor.take(&["PARTITION"]) {
        return Ok(BTreeMap::new());
    }
    let entries = cursor.in_parens(|c| {
        let key = c.name()?;
        c.expect_sign(&Token::Eq)?;
        Ok((key, c.expr()?))
    })?;
    Ok(entries.into_iter().collect())
}

/// True before `(a, b)`, false before `(SELECT …)`.
fn names_follow(cursor: &Cursor<'_>) -> bool {
    let second = cursor.parser.peek_nth_token(1).token;
    let query = ["SELECT", "WITH", "VALUES"].iter().any(|word| is_word(&second, word));
    cursor.parser.peek_token().token == Token::LParen && matches!(second, Token::Word(_)) && !query
}

fn on_conflict(cursor: &mut Cursor<'_>) -> Parsed<Option<OnConflict>> {
    if !cursor.take(&["ON", "CONFLICT"]) {
        return Ok(None);
    }
    cursor.expect(&["DO"])?;
    Ok(Some(match cursor.expect_one(&["ERROR", "NOTHING", "DEDUPLICATE"])? {
        "ERROR" => OnConflict::Error,
        "NOTHING" => OnConflict::Nothing,
        _ => OnConflict::Deduplicate,
    }))
}

/// `EXPLAIN [PLAN FOR | detail, …] statement`
fn explain(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    const DETAILS: &[&str] = &["ESTIMATED_COST", "CHANGELOG_MODE", "PLAN_ADVICE", "JSON_EXECUTION_PLAN"];
    let mut details = Vec::new();
    if !cursor.take(&["PLAN", "FOR"]) {
        while let Some(detail) = cursor.take_one(DETAILS) {
            details.push(detail.to_string());
            if !cursor.sign(&Token::Comma) {
                break;
            }
        }
    }
    let at = cursor.position();
    let inner = statement(cursor)?;
    match inner {
        Statement::Query(_)
        | Statement::Insert(_)
        | Statement::StatementSet(_)
        | Statement::Mutation(_)
        | Statement::CreateMaterializedView(_) => {
            Ok(Statement::Explain(Explain { details, statement: Box::new(inner) }))
        }
        _ => Err(refuse("Only queries, INSERT and CREATE MATERIALIZED VIEW can be explained.", "", at)),
    }
}
