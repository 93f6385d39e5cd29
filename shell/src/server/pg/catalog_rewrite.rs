//! Brings questions about the catalog into forms that DataFusion can plan, after `datafusion-pg-catalog` has done its part.
//!
//! - Views stand as the queries that they are (`catalog_views`).
//! - `tableoid`, which tells apart what describes relations, functions, …, is 0: nothing is described.
//! - `EXISTS` among the columns of a result is a comparison of a count.
//! - A scalar subquery over tables that have no rows here is NULL.
//! - Any other scalar subquery gives the largest of its at most one values: DataFusion wants to see that it is one.
//! - `LIKE … ESCAPE 'x'` is a LIKE whose pattern has its escapes as backslashes.
//! - The columns of keys are unfolded by a join (`catalog_unfold`).
//! - A query that reads nothing but a table without rows whose arrays are texts here has none.
//! - A query that unfolds anything else of an index (`generate_subscripts`) has no rows: there are no indexes but keys.
//! - Lists of rights and options (`array_to_string(c.relacl, …)`) and lists from subqueries (`ARRAY(SELECT …)`) are NULL.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, GroupByExpr,
    Ident, ObjectName, Query, Select, SelectItem, SetExpr, Statement, TableFactor, Value, ValueWithSpan, VisitMut,
    VisitorMut, visit_expressions, visit_expressions_mut,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use super::catalog_unfold::unfold;
use super::catalog_views::expand;

/// Tables of pg_catalog without a row that could belong to one of our objects.
const EMPTY: &[&str] = &["pg_attrdef", "pg_sequence", "pg_description", "pg_shdescription"];

/// A table without rows whose arrays are texts here, so that conditions on them cannot be planned.
const ARRAYS: &[&str] = &["pg_statistic_ext"];

/// Columns that PostgreSQL 17, whose tables these are, calls otherwise than the version that we say we are.
const RENAMED: &[(&str, &str)] = &[("colliculocale", "colllocale")];

/// Functions that make one value of many.
pub const AGGREGATES: &[&str] =
    &["max", "min", "count", "sum", "avg", "array_agg", "string_agg", "bool_and", "bool_or", "every", "json_agg"];

/// The statement in a form that can be planned.
pub fn rewrite(mut statement: Statement) -> Statement {
    let _ = statement.visit(&mut Expander);
    let unfolds_more = statement.to_string().contains("unnest(pg_catalog.pg_index.indclass)");
    if !unfolds_more {
        unfold(&mut statement);
    }
    if let Statement::Query(query) = &statement
        && (calls(query, &["generate_subscripts"]) || reads_only(query, ARRAYS))
        && let Some(nothing) = nothing_like(query)
    {
        return nothing;
    }
    let _ = statement.visit(&mut Rewriter);
    statement
}

struct Expander;

impl VisitorMut for Expander {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        expand(factor);
        ControlFlow::Continue(())
    }
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let SetExpr::Select(select) = query.body.as_mut() {
            for item in &mut select.projection {
                let _: ControlFlow<()> = visit_expressions_mut(item, |expr| {
                    counted(expr);
                    ControlFlow::Continue(())
                });
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::CompoundIdentifier(parts) if parts.last().is_some_and(|part| part.value == "tableoid") => {
                *expr = Expr::value(Value::Number("0".to_string(), false));
            }
            Expr::CompoundIdentifier(parts) => {
                let renamed = |part: &&mut Ident| RENAMED.iter().find(|(old, _)| *old == part.value);
                if let Some(part) = parts.last_mut()
                    && let Some((_, new)) = renamed(&part)
                {
                    part.value = new.to_string();
                }
            }
            Expr::Function(function) if is_list(function) => *expr = Expr::value(Value::Null),
            Expr::Subquery(query) if reads_only(query, EMPTY) => *expr = Expr::value(Value::Null),
            Expr::Subquery(query) => single(query),
            Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
                if let Some(escape) = escape_text(escape_char.as_ref()).filter(|text| text != "\\") {
                    *escape_char = None;
                    **pattern = with_backslashes(pattern, &escape);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// `ARRAY(SELECT …)`, and `array_to_string` of anything but a list that is written out.
fn is_list(function: &Function) -> bool {
    match (last_part(&function.name).as_deref(), &function.args) {
        (Some("array"), FunctionArguments::Subquery(_)) => true,
        (Some("array_to_string"), FunctionArguments::List(list)) => {
            !matches!(list.args.first(), Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Array(_)))))
        }
        _ => false,
    }
}

/// `EXISTS (SELECT … FROM …)` → `(SELECT count(*) FROM …) > 0`.
fn counted(expr: &mut Expr) {
    let Expr::Exists { subquery, negated } = expr else { return };
    let SetExpr::Select(select) = subquery.body.as_mut() else { return };
    select.projection = vec![SelectItem::UnnamedExpr(call("count", vec![Expr::value(Value::Boolean(true))]))];
    *expr = Expr::BinaryOp {
        left: Box::new(Expr::Subquery(subquery.clone())),
        op: if *negated { BinaryOperator::Eq } else { BinaryOperator::Gt },
        right: Box::new(Expr::value(Value::Number("0".to_string(), false))),
    };
}

fn select_of(query: &Query) -> Option<&Select> {
    match query.body.as_ref() {
        SetExpr::Select(select) => Some(select),
        _ => None,
    }
}

/// True for a query all of whose tables are among these.
fn reads_only(query: &Query, tables: &[&str]) -> bool {
    let is_empty = |factor: &TableFactor| match factor {
        TableFactor::Table { name, .. } => last_part(name).is_some_and(|name| tables.contains(&name.as_str())),
        _ => false,
    };
    select_of(query).is_some_and(|select| {
        !select.from.is_empty() && select.from.iter().all(|table| table.joins.is_empty() && is_empty(&table.relation))
    })
}

/// The last part of a name, in lower case.
pub fn last_part(name: &ObjectName) -> Option<String> {
    name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.to_lowercase())
}

/// `SELECT x FROM …` → `SELECT max(x) FROM …`.
fn single(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    if select.from.is_empty() || grouped || select.distinct.is_some() {
        return;
    }
    let [item] = select.projection.as_mut_slice() else { return };
    let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { return };
    if calls(expr, AGGREGATES) {
        return;
    }
    *expr = call("max", vec![expr.clone()]);
    query.limit_clause = None;
    query.order_by = None;
}

/// True when `node` calls one of these functions, at any depth.
fn calls<V: sqlparser::ast::Visit>(node: &V, names: &[&str]) -> bool {
    visit_expressions(node, |expr| match expr {
        Expr::Function(function) if last_part(&function.name).is_some_and(|name| names.contains(&name.as_str())) => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    })
    .is_break()
}

fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let args = arguments.into_iter().map(|expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))).collect();
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn escape_text(escape: Option<&ValueWithSpan>) -> Option<String> {
    match &escape?.value {
        Value::SingleQuotedString(text) => Some(text.clone()),
        _ => None,
    }
}

fn with_backslashes(pattern: &Expr, escape: &str) -> Expr {
    let text = |text: &str| Expr::value(Value::SingleQuotedString(text.to_string()));
    call("replace", vec![Expr::Nested(Box::new(pattern.clone())), text(escape), text("\\")])
}

/// A query with the columns of `query` and no rows.
fn nothing_like(query: &Query) -> Option<Statement> {
    let select = select_of(query)?;
    let mut columns = Vec::with_capacity(select.projection.len());
    for item in &select.projection {
        let name = match item {
            SelectItem::ExprWithAlias { alias, .. } => alias.value.clone(),
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => name.value.clone(),
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last()?.value.clone(),
            SelectItem::UnnamedExpr(_) => "?column?".to_string(),
            _ => return None,
        };
        columns.push(format!("CAST(NULL AS TEXT) AS \"{}\"", name.replace('"', "\"\"")));
    }
    // The parameters stay, because the client sends their values.
    let mut parameters = Vec::new();
    let _: ControlFlow<()> = visit_expressions(query, |expr| {
        if let Expr::Value(ValueWithSpan { value: Value::Placeholder(name), .. }) = expr {
            parameters.push(format!(" AND CAST({name} AS TEXT) IS NULL"));
        }
        ControlFlow::Continue(())
    });
    let text = format!("SELECT {} WHERE false{}", columns.join(", "), parameters.concat());
    Parser::parse_sql(&PostgreSqlDialect {}, &text).ok()?.pop()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn check(sql: &str, expected: &str) {
        let statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
        assert_eq!(rewrite(statement).to_string(), expected);
    }

    #[test]
    fn questions_are_brought_into_forms_that_can_be_planned() {
        check(
            "SELECT (SELECT json_build_object(1) FROM pg_catalog.pg_sequence WHERE a = b), (SELECT c FROM pg_type WHERE o = t)",
            "SELECT NULL, (SELECT max(c) FROM pg_type WHERE o = t)",
        );
        check(
            "SELECT t.tableoid, EXISTS (SELECT 1 FROM a WHERE a.o = t.o) FROM b AS t WHERE EXISTS (SELECT 1 FROM c)",
            "SELECT 0, (SELECT count(true) FROM a WHERE a.o = t.o) > 0 FROM b AS t WHERE EXISTS (SELECT 1 FROM c)",
        );
        check(
            "SELECT es.stxname AS n, 'd' = ANY(es.stxkind) AS d FROM pg_catalog.pg_statistic_ext es",
            "SELECT CAST(NULL AS TEXT) AS \"n\", CAST(NULL AS TEXT) AS \"d\" WHERE false",
        );
        check(
            "SELECT count(*), max(c.colliculocale) FROM pg_sequence c",
            "SELECT count(*), max(c.colllocale) FROM pg_sequence c",
        );
        check("SELECT (SELECT count(*) FROM pg_type)", "SELECT (SELECT count(*) FROM pg_type)");
        check("SELECT a LIKE $1 || '%' ESCAPE '/'", "SELECT a LIKE replace(($1 || '%'), '/', '\\')");
        check(
            "SELECT array_to_string(c.relacl, ','), array_to_string(ARRAY['a'], ','), ARRAY(SELECT b FROM d)",
            "SELECT NULL, array_to_string(ARRAY['a'], ','), NULL",
        );
        check(
            "SELECT a.b, array_agg(x) AS c FROM (SELECT generate_subscripts(k, $1) FROM pg_index) AS a GROUP BY a.b",
            "SELECT CAST(NULL AS TEXT) AS \"b\", CAST(NULL AS TEXT) AS \"c\" WHERE false AND CAST($1 AS TEXT) IS NULL",
        );
    }
}
