//! Parameters of prepared statements: `$1`, `$2`, … in queries and INSERTs.
//!
//! A value is put into the parsed statement as a typed literal, so that no text of a client is ever read as SQL. The
//! statement's text, which a journal keeps, gets the same literals in the places of the parameters' tokens.

use std::ops::ControlFlow;

use chrono::{DateTime, Utc};
use sqlparser::ast::{Expr, LimitClause, Query, SelectItem, SetExpr, Value, Visit, VisitMut, Visitor, VisitorMut};
use sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::{Result, SqlError, SqlState};
use crate::parse::{FlinkDialect, parse_expression};
use crate::session::Session;
use crate::statement::{Insert, Mutation, ParsedStatement, Statement};
use crate::types::{ColumnType, FlinkType};

/// Most parameters of a statement, as in PostgreSQL's protocol.
const MAX_PARAMETERS: usize = 65_535;

/// The value of one parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its type.
    pub data_type: FlinkType,
    /// Its value; None for NULL. Bytes are hexadecimal digits, instants microseconds since the epoch, everything else
    /// is written as CAST from a string reads it.
    pub value: Option<String>,
}

impl ParsedStatement {
    /// The largest number behind a `$`; 0 when there is none.
    pub fn parameter_count(&self) -> Result<usize> {
        let mut largest = 0;
        for query in queries(&self.statement) {
            let found = query.visit(&mut Placeholders(|index, _: Option<&Expr>| largest = largest.max(index)));
            if let ControlFlow::Break(error) = found {
                return Err(error);
            }
        }
        if largest > MAX_PARAMETERS {
            return Err(SqlError::new(SqlState::SyntaxError, format!("there is no parameter ${largest}"))
                .with_hint(format!("a statement has at most {MAX_PARAMETERS} parameters")));
        }
        Ok(largest)
    }
}

impl Session {
    /// The types of the statement's parameters, from how they are used; STRING where that does not say.
    pub fn parameter_types(&self, parsed: &ParsedStatement) -> Result<Vec<FlinkType>> {
        let mut types: Vec<Option<FlinkType>> = vec![None; parsed.parameter_count()?];
        for query in queries(&parsed.statement) {
            self.inferred_types(query, &mut types);
            let mut note = |index: usize, cast: Option<&Expr>| {
                if let Some(Expr::Cast { data_type, .. }) = cast {
                    types[index - 1] = ColumnType::from_ast(data_type).ok().map(|t| t.data_type);
                }
            };
            let _ = query.visit(&mut Placeholders(&mut note));
        }
        for insert in inserts(&parsed.statement) {
            self.target_types(insert, &mut types)?;
        }
        if let Statement::Mutation(mutation) = &parsed.statement {
            self.assigned_types(mutation, &mut types)?;
        }
        Ok(types.into_iter().map(|t| t.unwrap_or(FlinkType::String)).collect())
    }

    /// The statement with `parameters` in place of `$1`, `$2`, ….
    pub fn bind(&self, parsed: &ParsedStatement, parameters: &[Parameter]) -> Result<ParsedStatement> {
        let count = parsed.parameter_count()?;
        if count == 0 {
            return Ok(parsed.clone());
        }
        if parameters.len() < count {
            let message = format!("the statement has {count} parameters, and {} values were given", parameters.len());
            return Err(SqlError::new(SqlState::ProtocolViolation, message));
        }
        let texts: Vec<String> = parameters.iter().map(|p| self.literal(p)).collect::<Result<_>>()?;
        let literals = texts.iter().map(|text| parse_expression(text)).collect::<Result<Vec<_>>>()?;
        let mut bound = parsed.clone();
        let mut binder = Binder { literals: &literals, parameters };
        for query in queries_mut(&mut bound.statement) {
            let _ = query.visit(&mut binder);
        }
        bound.text = bound_text(&parsed.text, &texts)?;
        Ok(bound)
    }

    /// What DataFusion infers from comparisons.
    fn inferred_types(&self, query: &Query, types: &mut [Option<FlinkType>]) {
        let plan = self.tables().plan_query(query.clone());
        let Ok(inferred) = plan.and_then(|plan| plan.get_parameter_types()) else { return };
        for (name, data_type) in inferred {
            let slot = index_of(&name).and_then(|index| types.get_mut(index - 1));
            if let (Some(slot), Some(data_type)) = (slot, data_type) {
                *slot = Some(FlinkType::from_arrow(&data_type));
            }
        }
    }

    /// `INSERT INTO t VALUES ($1, …)`: a value has the type of its column.
    fn target_types(&self, insert: &Insert, types: &mut [Option<FlinkType>]) -> Result<()> {
        let SetExpr::Values(values) = insert.query.body.as_ref() else { return Ok(()) };
        let schema = self.columns(insert.target.table())?;
        for row in &values.rows {
            for (position, expr) in row.iter().enumerate() {
                let field = match insert.columns.get(position) {
                    Some(name) => schema.field_with_name(name).ok(),
                    None if insert.columns.is_empty() => schema.fields().get(position).map(|f| f.as_ref()),
                    None => None,
                };
                let slot = placeholder(expr).and_then(|index| types.get_mut(index - 1));
                if let (Some(slot @ None), Some(field)) = (slot, field) {
                    *slot = Some(ColumnType::from_arrow(field).data_type);
                }
            }
        }
        Ok(())
    }

    /// `UPDATE t SET c = $1`: a value has the type of its column.
    fn assigned_types(&self, mutation: &Mutation, types: &mut [Option<FlinkType>]) -> Result<()> {
        let SetExpr::Select(select) = mutation.query.body.as_ref() else { return Ok(()) };
        let schema = self.columns(mutation.table.table())?;
        for (item, assigned) in select.projection.iter().zip(mutation.assigned.iter().flatten()) {
            let SelectItem::ExprWithAlias { expr, .. } = item else { continue };
            let slot = placeholder(expr).and_then(|index| types.get_mut(index - 1));
            if let (Some(slot @ None), Ok(field)) = (slot, schema.field_with_name(&assigned.column)) {
                *slot = Some(ColumnType::from_arrow(field).data_type);
            }
        }
        Ok(())
    }

    /// The literal as SQL text.
    fn literal(&self, parameter: &Parameter) -> Result<String> {
        use FlinkType as T;
        let data_type = &parameter.data_type;
        let Some(value) = &parameter.value else { return Ok(format!("CAST(NULL AS {data_type})")) };
        Ok(match data_type {
            T::Char(_) | T::Varchar(_) | T::String | T::Null => quoted(value),
            T::Binary(_) | T::Varbinary(_) | T::Bytes => format!("X'{}'", digits(value)),
            T::TimestampLtz(_) => {
                let instant = value.parse().ok().and_then(DateTime::<Utc>::from_timestamp_micros);
                let instant = instant
                    .ok_or_else(|| SqlError::new(SqlState::DataException, format!("'{value}' is no point in time")))?;
                let local = instant.with_timezone(&self.time_zone()).naive_local();
                format!("CAST({} AS {data_type})", quoted(&local.format("%Y-%m-%d %H:%M:%S%.6f").to_string()))
            }
            _ => format!("CAST({} AS {data_type})", quoted(value)),
        })
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_hexdigit).collect()
}

fn queries(statement: &Statement) -> Vec<&Query> {
    match statement {
        Statement::Query(query) => vec![query],
        Statement::Explain(explain) => queries(&explain.statement),
        Statement::Mutation(mutation) => vec![&mutation.query],
        Statement::CreateTable(create) => create.query.as_deref().into_iter().collect(),
        other => inserts(other).into_iter().map(|insert| insert.query.as_ref()).collect(),
    }
}

fn inserts(statement: &Statement) -> Vec<&Insert> {
    match statement {
        Statement::Insert(insert) => vec![insert],
        Statement::StatementSet(inserts) => inserts.iter().collect(),
        Statement::Explain(explain) => inserts(&explain.statement),
        _ => Vec::new(),
    }
}

fn queries_mut(statement: &mut Statement) -> Vec<&mut Query> {
    match statement {
        Statement::Query(query) => vec![query],
        Statement::Explain(explain) => queries_mut(&mut explain.statement),
        Statement::Mutation(mutation) => vec![&mut mutation.query],
        Statement::CreateTable(create) => create.query.as_deref_mut().into_iter().collect(),
        Statement::Insert(insert) => vec![&mut insert.query],
        Statement::StatementSet(inserts) => inserts.iter_mut().map(|insert| insert.query.as_mut()).collect(),
        _ => Vec::new(),
    }
}

/// The number of a parameter, from 1.
fn index_of(name: &str) -> Option<usize> {
    name.strip_prefix('$').and_then(|number| number.parse().ok()).filter(|index| *index > 0)
}

fn placeholder(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Placeholder(name) => index_of(name),
            _ => None,
        },
        Expr::Nested(inner) => placeholder(inner),
        _ => None,
    }
}

/// Calls a function with each parameter, and with the CAST directly around it where there is one.
struct Placeholders<F>(F);

impl<F: FnMut(usize, Option<&Expr>)> Visitor for Placeholders<F> {
    type Break = SqlError;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<SqlError> {
        if let Expr::Cast { expr: inner, .. } = expr
            && let Some(index) = placeholder(inner)
        {
            self.0(index, Some(expr));
        }
        if let Expr::Value(value) = expr
            && let Value::Placeholder(name) = &value.value
        {
            match index_of(name) {
                Some(index) => self.0(index, None),
                None => return ControlFlow::Break(SqlError::encountered(name, value.span.start)),
            }
        }
        ControlFlow::Continue(())
    }
}

struct Binder<'a> {
    literals: &'a [Expr],
    parameters: &'a [Parameter],
}

impl Binder<'_> {
    /// A LIMIT takes a bare number only.
    fn bind_count(&self, expr: &mut Expr) {
        let value = placeholder(expr).and_then(|index| self.parameters.get(index - 1)?.value.clone());
        if let Some(value) = value.filter(|v| !v.is_empty() && v.bytes().all(|b| b.is_ascii_digit())) {
            *expr = Expr::value(Value::Number(value, false));
        }
    }
}

impl VisitorMut for Binder<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &mut query.limit_clause {
            limit.iter_mut().for_each(|limit| self.bind_count(limit));
            offset.iter_mut().for_each(|offset| self.bind_count(&mut offset.value));
        }
        if let Some(quantity) = query.fetch.as_mut().and_then(|fetch| fetch.quantity.as_mut()) {
            self.bind_count(quantity);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Value(_) = expr
            && let Some(literal) = placeholder(expr).and_then(|index| self.literals.get(index - 1))
        {
            *expr = literal.clone();
        }
        ControlFlow::Continue(())
    }
}

/// `text` with literals in the places of its parameters' tokens.
fn bound_text(text: &str, literals: &[String]) -> Result<String> {
    let tokens = Tokenizer::new(&FlinkDialect, text)
        .tokenize_with_location()
        .map_err(|e| SqlError::internal(format!("a statement that was parsed cannot be read again: {e}")))?;
    let mut result = String::with_capacity(text.len());
    let mut rest = text.chars();
    let mut at = (1, 1);
    for token in &tokens {
        let literal = match &token.token {
            Token::Placeholder(name) => index_of(name).and_then(|index| literals.get(index - 1)),
            _ => None,
        };
        let Some(literal) = literal else { continue };
        let start = (token.span.start.line, token.span.start.column);
        let end = (token.span.end.line, token.span.end.column);
        take_until(&mut rest, &mut at, start, |c| result.push(c));
        take_until(&mut rest, &mut at, end, |_| {});
        result.push_str(literal);
    }
    result.extend(rest);
    Ok(result)
}

/// Consumes `text`, which is at line and column `at`, up to line and column `end`.
fn take_until(text: &mut std::str::Chars<'_>, at: &mut (u64, u64), end: (u64, u64), mut each: impl FnMut(char)) {
    while *at < end {
        let Some(c) = text.next() else { return };
        each(c);
        *at = if c == '\n' { (at.0 + 1, 1) } else { (at.0, at.1 + 1) };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use eddyline_engine::connector::Registry;

    use super::*;
    use crate::parse::parse_script;

    fn parsed(sql: &str) -> ParsedStatement {
        parse_script(sql).unwrap().remove(0)
    }

    fn session() -> Session {
        let mut session = Session::new(Registry::default());
        let table = "CREATE TABLE t (a BIGINT, b STRING, c TIMESTAMP(3)) WITH ('connector' = 'x')";
        session.execute(&parsed(table)).ok().unwrap();
        session
    }

    #[test]
    fn types_come_from_casts_comparisons_and_target_columns() {
        let check = |sql: &str, types: &[FlinkType]| {
            assert_eq!(session().parameter_types(&parsed(sql)).unwrap(), types, "{sql}");
        };
        check("VALUES (CAST($1 AS INT), $2)", &[FlinkType::Int, FlinkType::String]);
        check("INSERT INTO t VALUES ($1, $2, $3)", &[FlinkType::BigInt, FlinkType::String, FlinkType::Timestamp(3)]);
        check("INSERT INTO t (c, a) VALUES ($2, $1)", &[FlinkType::BigInt, FlinkType::Timestamp(3)]);
        check("VALUES (1)", &[]);
        check(
            "UPDATE t SET c = $1, b = UPPER($3) WHERE a = $2",
            &[FlinkType::Timestamp(3), FlinkType::BigInt, FlinkType::String],
        );
        check("DELETE FROM t WHERE a = $1", &[FlinkType::BigInt]);
    }

    #[test]
    fn values_become_literals_in_the_statement_and_in_its_text() {
        let parameter = |data_type, value: &str| Parameter { data_type, value: Some(value.to_string()) };
        let statement = parsed("INSERT INTO t\nSELECT $2, '$1', $1 FROM x /* $2 */ LIMIT $3");
        let parameters = [
            parameter(FlinkType::String, "it's; DROP TABLE t"),
            Parameter { data_type: FlinkType::Int, value: None },
            parameter(FlinkType::BigInt, "7"),
        ];
        let bound = session().bind(&statement, &parameters).unwrap();
        assert_eq!(
            bound.text,
            "INSERT INTO t\nSELECT CAST(NULL AS INT), '$1', 'it''s; DROP TABLE t' FROM x /* $2 */ LIMIT CAST('7' AS BIGINT)"
        );
        let Statement::Insert(insert) = &bound.statement else { unreachable!() };
        assert_eq!(insert.query.to_string(), "SELECT CAST(NULL AS INT), '$1', 'it''s; DROP TABLE t' FROM x LIMIT 7");
        let error = session().bind(&statement, &parameters[..2]).unwrap_err();
        assert_eq!(error.sqlstate(), "08P01");
    }

    #[test]
    fn instants_are_written_in_the_zone_of_the_session() {
        let mut session = session();
        session.set("table.local-time-zone", "Europe/Oslo").unwrap();
        let parameter =
            Parameter { data_type: FlinkType::TimestampLtz(6), value: Some("1600000000123456".to_string()) };
        let bound = session.bind(&parsed("VALUES ($1)"), &[parameter]).unwrap();
        assert_eq!(bound.text, "VALUES (CAST('2020-09-13 14:26:40.123456' AS TIMESTAMP_LTZ(6)))");
    }
}
