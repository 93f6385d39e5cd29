//! Rewrites of a parsed query before DataFusion plans it.
//!
//! - Unnamed result columns get Flink's names, `EXPR$0` and so on by position.
//! - A join with `UNNEST`, which looks at columns of what stands before it, becomes a nested join of everything before
//!   it and the `UNNEST`; `relation` plans such a pair as one node.
//! - `GROUP BY` and `ORDER BY` ordinals become the expressions they stand for.
//! - Every expression goes through `functions::rewrite_expr`, which gives literals Flink's types and turns special
//!   forms into function calls.

use std::ops::ControlFlow;

use datafusion_common::DataFusionError;
use sqlparser::ast::{
    Expr, GroupByExpr, Ident, Join, JoinOperator, OrderByKind, Query, Select, SelectItem, SetExpr, TableFactor,
    TableWithJoins, Value, VisitMut, VisitorMut,
};

use super::legacy_window::rewrite_legacy_window;
use crate::error::{Result, SqlError};

/// Applies all rewrites to `query` and everything inside it.
pub fn prepare(query: &mut Query) -> Result<()> {
    let mut rewriter = Rewriter;
    match query.visit(&mut rewriter) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// Applies the rewrites of expressions to one that stands alone: a computed column, a watermark.
pub fn prepare_expr(expr: &mut Expr) -> Result<()> {
    match expr.visit(&mut Rewriter) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        let order = query.order_by.as_mut().map(|o| &mut o.kind);
        if let (Some(OrderByKind::Expressions(keys)), SetExpr::Select(select)) = (order, query.body.as_ref()) {
            keys.iter_mut().for_each(|key| resolve_ordinal(&mut key.expr, &select.projection));
        }
        prepare_set(&mut query.body);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        match crate::functions::rewrite_expr(expr) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error.into()),
        }
    }
}

fn prepare_set(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => prepare_select(select),
        SetExpr::SetOperation { left, right, .. } => {
            prepare_set(left);
            prepare_set(right);
        }
        _ => {}
    }
}

fn prepare_select(select: &mut Select) {
    if let GroupByExpr::Expressions(keys, _) = &mut select.group_by {
        keys.iter_mut().for_each(|key| resolve_ordinal(key, &select.projection));
    }
    for (position, item) in select.projection.iter_mut().enumerate() {
        if let SelectItem::UnnamedExpr(expr) = item
            && !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
        {
            let alias = Ident::with_quote('`', format!("EXPR${position}"));
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
    }
    rewrite_legacy_window(select);
    let tables = std::mem::take(&mut select.from);
    for table in tables {
        let lateral = is_lateral(&table.relation);
        match (select.from.pop(), lateral) {
            // `FROM t, UNNEST(t.a)` is a cross join of the two.
            (Some(mut before), true) => {
                let operator = JoinOperator::CrossJoin(sqlparser::ast::JoinConstraint::None);
                before.joins.push(Join { relation: table.relation, global: false, join_operator: operator });
                before.joins.extend(table.joins);
                select.from.push(nest_lateral(before));
            }
            (before, _) => {
                select.from.extend(before);
                select.from.push(nest_lateral(table));
            }
        }
    }
}

fn is_lateral(factor: &TableFactor) -> bool {
    matches!(factor, TableFactor::UNNEST { .. } | TableFactor::Function { lateral: true, .. })
}

/// `a JOIN b CROSS JOIN UNNEST(e) JOIN c` → `((a JOIN b) CROSS JOIN UNNEST(e)) JOIN c`, the inner parts nested.
fn nest_lateral(table: TableWithJoins) -> TableWithJoins {
    let mut result = TableWithJoins { relation: table.relation, joins: Vec::new() };
    for join in table.joins {
        let lateral = is_lateral(&join.relation);
        result.joins.push(join);
        if lateral {
            let nested = TableFactor::NestedJoin { table_with_joins: Box::new(result), alias: None };
            result = TableWithJoins { relation: nested, joins: Vec::new() };
        }
    }
    result
}

fn resolve_ordinal(key: &mut Expr, projection: &[SelectItem]) {
    let Expr::Value(value) = &*key else { return };
    let Value::Number(number, _) = &value.value else { return };
    let item = number.parse::<usize>().ok().and_then(|n| projection.get(n.checked_sub(1)?));
    if let Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item {
        *key = expr.clone();
    }
}

impl From<SqlError> for DataFusionError {
    fn from(error: SqlError) -> Self {
        DataFusionError::External(Box::new(error))
    }
}
