//! Brings questions about the catalog into forms that DataFusion can plan, after `datafusion-pg-catalog` has done its part.
//!
//! - Views stand as the queries that they are (`catalog_views`).
//! - `tableoid`, which tells apart what describes relations, functions, …, is 0: nothing is described.
//! - `EXISTS` among the columns of a result is a comparison of a count, unless it groups or limits.
//! - A scalar subquery over tables that have no rows here is NULL.
//! - Any other scalar subquery gives the largest of its at most one values: DataFusion wants to see that it is one.
//! - `LIKE … ESCAPE 'x'` is a LIKE whose pattern has its escapes as backslashes.
//! - The columns of keys are unfolded by a join (`catalog_unfold`).
//! - A query that reads nothing but a table without rows whose arrays are texts here has none.
//! - A query that unfolds anything else of an index (`generate_subscripts`) has no rows: there are no indexes but keys.
//! - Lists of rights and options (`array_to_string(c.relacl, …)`) and lists from subqueries (`ARRAY(SELECT …)`) are NULL.
//! - Columns of type `regproc` hold names here: casts of them (`t.tmplinit::regproc`) fall away, and a join of one with
//!   `pg_proc.oid` goes by name.
//!
//! Whatever falls away leaves its parameters, because the client sends their values.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments,
    GroupByExpr, Ident, ObjectName, Query, Select, SelectItem, SetExpr, Statement, TableFactor, Value, ValueWithSpan,
    Visit, VisitMut, VisitorMut, With, visit_expressions, visit_expressions_mut,
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

/// Columns that are compared with the numbers of functions and hold their names.
const FUNCTION_NAMES: &[&str] = &["amproc"];

/// Functions that make one value of many.
const AGGREGATES: &[&str] =
    &["max", "min", "count", "sum", "avg", "array_agg", "string_agg", "bool_and", "bool_or", "every", "json_agg"];

/// The statement in a form that can be planned.
pub fn rewrite(mut statement: Statement) -> Statement {
    let _ = VisitMut::visit(&mut statement, &mut Expander::default());
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
    let _ = VisitMut::visit(&mut statement, &mut Rewriter);
    statement
}

/// Puts views where their names stand, unless a name is that of a WITH.
#[derive(Default)]
struct Expander {
    /// The names of WITH that can be seen at present.
    names: Vec<String>,
    /// The WITH of each query around, and how many names can be seen outside of it.
    around: Vec<(Option<With>, usize)>,
}

impl Expander {
    /// True for the name of a WITH. The parser has put `pg_catalog` before names that it knows, whatever they stand for.
    fn is_with(&self, name: &ObjectName) -> bool {
        let before = match name.0.as_slice() {
            [_] => true,
            [schema, _] => schema.as_ident().is_some_and(|schema| schema.value == "pg_catalog"),
            _ => false,
        };
        before && last_part(name).is_some_and(|name| self.names.contains(&name))
    }
}

impl VisitorMut for Expander {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let outside = self.names.len();
        // Each query of a WITH sees those before it, and itself when it is recursive.
        let mut with = query.with.take();
        if let Some(with) = &mut with {
            for table in &mut with.cte_tables {
                let name = table.alias.name.value.to_lowercase();
                if with.recursive {
                    self.names.push(name.clone());
                }
                let _ = VisitMut::visit(&mut table.query, self);
                self.names.push(name);
            }
        }
        self.around.push((with, outside));
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let Some((with, outside)) = self.around.pop() {
            query.with = with;
            self.names.truncate(outside);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { name, .. } if self.is_with(name) => {
                name.0.drain(..name.0.len() - 1);
            }
            _ => expand(factor),
        }
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
            Expr::Function(function) if is_list(function) => *expr = null_like(function),
            Expr::Subquery(query) if reads_only(query, EMPTY) => *expr = null_like(query),
            Expr::Subquery(query) => single(query),
            Expr::Cast { expr: inner, data_type, .. }
                if is_function_type(data_type) && column_name(inner).is_some() =>
            {
                *expr = inner.as_ref().clone();
            }
            Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => by_name(left, right),
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

/// The name of a column, without its table.
fn column_name(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Identifier(name) => Some(&name.value),
        Expr::CompoundIdentifier(parts) => parts.last().map(|part| part.value.as_str()),
        _ => None,
    }
}

fn is_function_type(data_type: &DataType) -> bool {
    let DataType::Custom(name, _) = data_type else { return false };
    last_part(name).is_some_and(|name| ["regproc", "regprocedure"].contains(&name.as_str()))
}

/// `a.amproc = p.oid` → `a.amproc = p.proname`.
fn by_name(left: &Expr, right: &mut Expr) {
    if column_name(left).is_some_and(|name| FUNCTION_NAMES.contains(&name))
        && let Expr::CompoundIdentifier(parts) = right
        && let Some(part) = parts.last_mut().filter(|part| part.value == "oid")
    {
        part.value = "proname".to_string();
    }
}

/// `EXISTS (SELECT … FROM …)` → `(SELECT count(*) FROM …) > 0`, where that says the same.
fn counted(expr: &mut Expr) {
    let Expr::Exists { subquery, negated } = expr else { return };
    // One row is as good as all.
    let limit = subquery.limit_clause.as_ref().map(|limit| limit.to_string().trim() != "LIMIT 1");
    let limited = limit.unwrap_or(false) || subquery.fetch.is_some();
    let SetExpr::Select(select) = subquery.body.as_mut() else { return };
    if limited || is_grouped(select) || select.having.is_some() || calls(&select.projection, AGGREGATES) {
        return;
    }
    (subquery.order_by, subquery.limit_clause) = (None, None);
    select.projection = vec![SelectItem::UnnamedExpr(call("count", vec![Expr::value(Value::Boolean(true))]))];
    *expr = Expr::BinaryOp {
        left: Box::new(Expr::Subquery(subquery.clone())),
        op: if *negated { BinaryOperator::Eq } else { BinaryOperator::Gt },
        right: Box::new(Expr::value(Value::Number("0".to_string(), false))),
    };
}

fn is_grouped(select: &Select) -> bool {
    !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty())
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
    if select.from.is_empty() || is_grouped(select) || select.distinct.is_some() {
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
fn calls<V: Visit>(node: &V, names: &[&str]) -> bool {
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
    let text = format!("SELECT {} WHERE false{}", columns.join(", "), parameters(query));
    Parser::parse_sql(&PostgreSqlDialect {}, &text).ok()?.pop()
}

/// A condition on each parameter within `node`, for a place where all is false already.
pub fn parameters<V: Visit>(node: &V) -> String {
    let mut parameters = String::new();
    let _: ControlFlow<()> = visit_expressions(node, |expr| {
        if let Expr::Value(ValueWithSpan { value: Value::Placeholder(name), .. }) = expr {
            parameters.push_str(&format!(" AND CAST({name} AS TEXT) IS NULL"));
        }
        ControlFlow::Continue(())
    });
    parameters
}

/// NULL, with the parameters of what it stands for.
fn null_like<V: Visit>(node: &V) -> Expr {
    let parameters = parameters(node);
    if parameters.is_empty() {
        return Expr::value(Value::Null);
    }
    let text = format!("CASE WHEN false{parameters} THEN CAST(NULL AS TEXT) END");
    let parser = Parser::new(&PostgreSqlDialect {}).try_with_sql(&text);
    parser.and_then(|mut parser| parser.parse_expr()).unwrap_or_else(|_| Expr::value(Value::Null))
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
        check(
            "SELECT EXISTS (SELECT 1 FROM a GROUP BY x), EXISTS (SELECT max(x) FROM a), EXISTS (SELECT 1 FROM a LIMIT 0)",
            "SELECT EXISTS (SELECT 1 FROM a GROUP BY x), EXISTS (SELECT max(x) FROM a), EXISTS (SELECT 1 FROM a LIMIT 0)",
        );
        check(
            "SELECT (SELECT description FROM pg_description WHERE objoid = $1), array_to_string(c.relacl, $2)",
            "SELECT CASE WHEN false AND CAST($1 AS TEXT) IS NULL THEN CAST(NULL AS TEXT) END, \
             CASE WHEN false AND CAST($2 AS TEXT) IS NULL THEN CAST(NULL AS TEXT) END",
        );
        check(
            "SELECT t.tmplinit::pg_catalog.regproc, 1::regproc FROM pg_amproc AS ap JOIN pg_proc AS p ON ap.amproc = p.oid",
            "SELECT t.tmplinit, 1::regproc FROM pg_amproc AS ap JOIN pg_proc AS p ON ap.amproc = p.proname",
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

    #[test]
    fn names_of_a_with_are_no_views() {
        check(
            "WITH pg_views AS (SELECT 1 AS a) SELECT a FROM pg_catalog.pg_views",
            "WITH pg_views AS (SELECT 1 AS a) SELECT a FROM pg_views",
        );
        let rules = "(SELECT CAST(NULL AS TEXT) AS schemaname, CAST(NULL AS TEXT) AS tablename, \
                     CAST(NULL AS TEXT) AS rulename, CAST(NULL AS TEXT) AS definition WHERE false) AS pg_rules";
        check(
            "WITH pg_rules AS (SELECT * FROM pg_rules) SELECT * FROM pg_rules",
            &format!("WITH pg_rules AS (SELECT * FROM {rules}) SELECT * FROM pg_rules"),
        );
        let tables = "WITH tables AS (SELECT 1) SELECT * FROM information_schema.tables";
        let statement = Parser::parse_sql(&PostgreSqlDialect {}, tables).unwrap().remove(0);
        assert!(rewrite(statement).to_string().contains("default_catalog.pg_catalog.pg_class"));
        check(
            "SELECT * FROM pg_rules, (WITH pg_rules AS (SELECT 1) SELECT * FROM pg_rules) AS x",
            &format!("SELECT * FROM {rules}, (WITH pg_rules AS (SELECT 1) SELECT * FROM pg_rules) AS x"),
        );
    }
}
