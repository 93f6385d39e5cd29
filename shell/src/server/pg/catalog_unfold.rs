//! The ways in which clients take the columns of a key out of `pg_index.indkey`, none of which DataFusion can plan, as a
//! join with our table of key columns.
//!
//! | what clients write | what it becomes |
//! |---|---|
//! | `unnest(i.indkey)`, `(information_schema._pg_expandarray(i.indkey)).x` | the number of the column |
//! | `generate_subscripts(i.indkey, 1)`, `(information_schema._pg_expandarray(i.indkey)).n` | its place in the key |
//! | `information_schema._pg_expandarray(i.indkey) AS keys`, later `(keys).x` | the number of the column |
//! | `i.indoption[n]` | 0 |

use std::ops::ControlFlow;

use sqlparser::ast::{
    AccessExpr, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Select, SetExpr, Statement, Value,
    VisitMut, VisitorMut, visit_expressions_mut,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use super::catalog_keys::COLUMNS;
use super::catalog_rewrite::last_part;

/// Name of the joined table within a SELECT.
const JOINED: &str = "eddyline_key";

/// The statement with its keys unfolded by joins.
pub fn unfold(statement: &mut Statement) {
    let _ = statement.visit(&mut Unfolder);
}

struct Unfolder;

impl VisitorMut for Unfolder {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut sqlparser::ast::Query) -> ControlFlow<()> {
        if let SetExpr::Select(select) = query.body.as_mut() {
            join_keys(select);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(other) = without_access(expr) {
            *expr = other;
        }
        ControlFlow::Continue(())
    }
}

/// Joins the columns of keys to a SELECT whose own columns unfold them.
fn join_keys(select: &mut Select) {
    let mut index = None;
    for item in &mut select.projection {
        // From the inside out: the call has been replaced when its part is looked at.
        let _: ControlFlow<()> = visit_expressions_mut(item, |expr| {
            if let Some((alias, column)) = unfolded(expr) {
                *expr = parsed(&column);
                index = Some(alias);
            } else if let Some(place) = place_of(expr) {
                *expr = place;
            }
            ControlFlow::Continue(())
        });
    }
    let (Some(alias), Some(from)) = (index, select.from.last_mut()) else { return };
    let join =
        format!("SELECT 1 FROM a JOIN pg_catalog.{COLUMNS} {JOINED} ON {JOINED}.indexrelid = {alias}.indexrelid");
    let Some(mut query) = query(&join) else { return };
    if let SetExpr::Select(joined) = query.body.as_mut()
        && let Some(table) = joined.from.pop()
    {
        from.joins.extend(table.joins);
    }
}

/// For an expression that unfolds a key: how the index is called, and what to put in its place.
fn unfolded(expr: &Expr) -> Option<(String, String)> {
    let Expr::Function(function) = expr else { return None };
    if let Some(index) = indkey_of(function, "_pg_expandarray").or_else(|| indkey_of(function, "unnest")) {
        return Some((index, format!("{JOINED}.attnum")));
    }
    let index = indkey_of(function, "generate_subscripts")?;
    // The client sends the value of a parameter, which must not get lost.
    let dimension = arguments(function).get(1).map_or_else(|| "1".to_string(), ToString::to_string);
    Some((index, format!("CASE WHEN {dimension} IS NULL THEN NULL ELSE {JOINED}.ord END")))
}

/// The place in the key for `(eddyline_key.attnum).n`, which has become of `(_pg_expandarray(i.indkey)).n`.
fn place_of(expr: &Expr) -> Option<Expr> {
    let Expr::CompoundFieldAccess { root, access_chain } = expr else { return None };
    let [AccessExpr::Dot(Expr::Identifier(part))] = access_chain.as_slice() else { return None };
    let ours = root.to_string() == format!("({JOINED}.attnum)") && part.value.eq_ignore_ascii_case("n");
    ours.then(|| parsed(&format!("{JOINED}.ord")))
}

/// `i` for `name(i.indkey, …)`.
fn indkey_of(function: &Function, name: &str) -> Option<String> {
    if last_part(&function.name)? != name {
        return None;
    }
    let Expr::CompoundIdentifier(parts) = arguments(function).into_iter().next()? else { return None };
    let (column, table) = parts.split_last()?;
    let table: Vec<String> = table.iter().map(ToString::to_string).collect();
    (column.value == "indkey").then(|| table.join("."))
}

fn arguments(function: &Function) -> Vec<Expr> {
    let FunctionArguments::List(list) = &function.args else { return Vec::new() };
    let expr = |argument: &FunctionArg| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    };
    list.args.iter().filter_map(expr).collect()
}

/// `(keys).x` is `keys` since that is the number of a column, and `i.indoption[n]` is 0.
fn without_access(expr: &Expr) -> Option<Expr> {
    let Expr::CompoundFieldAccess { root, access_chain } = expr else { return None };
    match access_chain.as_slice() {
        [AccessExpr::Dot(Expr::Identifier(part))] if part.value == "x" => match root.as_ref() {
            Expr::Nested(inner) => Some(inner.as_ref().clone()),
            _ => None,
        },
        [between @ .., AccessExpr::Subscript(_)] => {
            let array = match between.last() {
                Some(AccessExpr::Dot(name)) => name,
                _ => root.as_ref(),
            };
            let name = match array {
                Expr::Identifier(name) => &name.value,
                Expr::CompoundIdentifier(parts) => &parts.last()?.value,
                _ => return None,
            };
            name.to_lowercase().ends_with("indoption").then(|| Expr::value(Value::Number("0".to_string(), false)))
        }
        _ => None,
    }
}

/// An expression from text of our own.
fn parsed(text: &str) -> Expr {
    let parser = Parser::new(&PostgreSqlDialect {}).try_with_sql(text);
    parser.and_then(|mut parser| parser.parse_expr()).unwrap_or_else(|_| Expr::value(Value::Null))
}

fn query(text: &str) -> Option<sqlparser::ast::Query> {
    match Parser::parse_sql(&PostgreSqlDialect {}, text).ok()?.pop()? {
        Statement::Query(query) => Some(*query),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn check(sql: &str, expected: &str) {
        let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
        unfold(&mut statement);
        assert_eq!(statement.to_string(), expected);
    }

    #[test]
    fn keys_are_unfolded_by_a_join() {
        let join = "JOIN pg_catalog.eddyline_key_columns eddyline_key ON eddyline_key.indexrelid = i.indexrelid";
        check(
            "SELECT unnest(i.indkey) AS a, generate_subscripts(i.indkey, $1) AS o FROM pg_index AS i",
            &format!(
                "SELECT eddyline_key.attnum AS a, CASE WHEN $1 IS NULL THEN NULL ELSE eddyline_key.ord END AS o \
                 FROM pg_index AS i {join}"
            ),
        );
        check(
            "SELECT r.seq FROM (SELECT (information_schema._pg_expandarray(i.indkey)).n AS seq, \
             information_schema._pg_expandarray(i.indkey) AS keys FROM pg_index AS i) AS r WHERE r.num = (r.keys).x",
            &format!(
                "SELECT r.seq FROM (SELECT eddyline_key.ord AS seq, eddyline_key.attnum AS keys FROM pg_index AS i {join}) \
                 AS r WHERE r.num = r.keys"
            ),
        );
    }

    #[test]
    fn options_of_a_key_are_zero() {
        check("SELECT i.indoption[1], t.I_INDOPTION[t.n - 1] & 1", "SELECT 0, 0 & 1");
    }
}
