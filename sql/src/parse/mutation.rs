//! `UPDATE`, `DELETE`, `TRUNCATE TABLE`.

use sqlparser::ast::{Expr, Ident, Query, SelectItem, SetExpr, TableAlias, TableFactor};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use super::cursor::{Cursor, Parsed, is_word};
use super::dialect::FlinkDialect;
use super::failure::refuse;
use crate::statement::{Assigned, Mutation, Statement, TableName};

/// The statement that begins here, if it is one of these.
pub(super) fn mutation(cursor: &mut Cursor<'_>) -> Option<Parsed<Statement>> {
    let parsed = match cursor.take_one(&["UPDATE", "DELETE", "TRUNCATE"])? {
        "UPDATE" => update(cursor),
        "DELETE" => delete(cursor),
        _ => truncate(cursor),
    };
    Some(parsed.map(|mutation| Statement::Mutation(Box::new(mutation))))
}

/// `UPDATE t [[AS] a] SET c = expr, … [WHERE …]`
fn update(cursor: &mut Cursor<'_>) -> Parsed<Mutation> {
    let (table, alias) = (cursor.table_name()?, alias(cursor)?);
    cursor.expect(&["SET"])?;
    let (mut assigned, mut values) = (Vec::<Assigned>::new(), Vec::new());
    loop {
        let position = cursor.position();
        let column = cursor.name()?;
        if assigned.iter().any(|other| other.column == column) {
            return Err(refuse(&format!("Column '{column}' is assigned twice."), "keep one", position));
        }
        assigned.push(Assigned { column, position });
        cursor.expect_sign(&Token::Eq)?;
        values.push(cursor.expr()?);
        if !cursor.sign(&Token::Comma) {
            break;
        }
    }
    let query = query(&table, alias, values, condition(cursor)?)?;
    Ok(Mutation { table, assigned: Some(assigned), query })
}

/// `DELETE FROM t [[AS] a] [WHERE …]`
fn delete(cursor: &mut Cursor<'_>) -> Parsed<Mutation> {
    cursor.expect(&["FROM"])?;
    let (table, alias) = (cursor.table_name()?, alias(cursor)?);
    let query = query(&table, alias, Vec::new(), condition(cursor)?)?;
    Ok(Mutation { table, assigned: None, query })
}

/// `TRUNCATE TABLE t`
fn truncate(cursor: &mut Cursor<'_>) -> Parsed<Mutation> {
    cursor.take(&["TABLE"]);
    let table = cursor.table_name()?;
    let query = query(&table, None, Vec::new(), None)?;
    Ok(Mutation { table, assigned: None, query })
}

fn alias(cursor: &mut Cursor<'_>) -> Parsed<Option<Ident>> {
    let next = cursor.parser.peek_token().token;
    let clause = ["SET", "WHERE"].iter().any(|word| is_word(&next, word));
    if cursor.take(&["AS"]) || (matches!(next, Token::Word(_)) && !clause) {
        return Ok(Some(Ident::with_quote('`', cursor.name()?)));
    }
    Ok(None)
}

fn condition(cursor: &mut Cursor<'_>) -> Parsed<Option<Expr>> {
    if cursor.take(&["WHERE"]) { cursor.expr().map(Some) } else { Ok(None) }
}

/// `SELECT values FROM table AS alias WHERE condition`.
fn query(table: &TableName, alias: Option<Ident>, values: Vec<Expr>, condition: Option<Expr>) -> Parsed<Box<Query>> {
    let misread = || ParserError::ParserError("a plain SELECT is none".to_string());
    let mut query = Parser::new(&FlinkDialect).try_with_sql("SELECT 1 FROM t")?.parse_query()?;
    let SetExpr::Select(select) = query.body.as_mut() else { return Err(misread()) };
    let Some(TableFactor::Table { name, alias: place, .. }) = select.from.first_mut().map(|from| &mut from.relation)
    else {
        return Err(misread());
    };
    *name = vec![Ident::with_quote('`', table.table())].into();
    *place = alias.map(|name| TableAlias { explicit: true, name, columns: Vec::new(), at: None });
    if !values.is_empty() {
        let named = |(place, expr)| SelectItem::ExprWithAlias { expr, alias: new_name(place) };
        select.projection = values.into_iter().enumerate().map(named).collect();
    }
    select.selection = condition;
    Ok(query)
}

/// What the new value of the assigned column at `place` is called in the query.
fn new_name(place: usize) -> Ident {
    Ident::with_quote('`', format!("new value {place}"))
}
