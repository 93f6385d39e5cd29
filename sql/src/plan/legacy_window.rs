//! The old way to group by windows, put into the new one before planning:
//! ```text
//!   SELECT TUMBLE_START(ts, i), COUNT(*) FROM t GROUP BY TUMBLE(ts, i)
//!   SELECT window_start, COUNT(*) FROM TUMBLE(TABLE t, DESCRIPTOR(ts), i) AS t GROUP BY window_start, window_end, window_time
//! ```

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, ObjectName, Query, Select,
    SelectItem, TableAlias, TableFactor, TableFunctionArgs, VisitMut, VisitorMut,
};

use crate::functions::call;

const WINDOWS: [&str; 2] = ["TUMBLE", "HOP"];

/// Rewrites `select` if it groups by an old window function.
pub(super) fn rewrite_legacy_window(select: &mut Select) {
    let GroupByExpr::Expressions(keys, _) = &mut select.group_by else { return };
    let found = keys.iter().enumerate().find_map(|(at, key)| legacy_window(key).map(|window| (at, window)));
    let Some((at, (name, arguments))) = found else { return };
    let [table] = select.from.as_mut_slice() else { return };
    let (true, Some(windowed)) = (table.joins.is_empty(), windowed(&table.relation, &name, arguments)) else { return };
    table.relation = windowed;
    keys.splice(at..=at, ["window_start", "window_end", "window_time"].map(column));
    let mut columns = WindowColumns { window: name };
    for item in &mut select.projection {
        if let SelectItem::ExprWithAlias { expr, .. } | SelectItem::UnnamedExpr(expr) = item {
            let _ = VisitMut::visit(expr, &mut columns);
        }
    }
    if let Some(having) = &mut select.having {
        let _ = VisitMut::visit(having, &mut columns);
    }
}

fn column(name: &str) -> Expr {
    Expr::Identifier(Ident::with_quote('`', name))
}

fn name_of(function: &Function) -> String {
    function.name.to_string().to_uppercase()
}

fn arguments(function: &Function) -> Option<Vec<Expr>> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let expression = |arg: &FunctionArg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    };
    list.args.iter().map(expression).collect()
}

/// The name and arguments of an old window function in a group key.
fn legacy_window(key: &Expr) -> Option<(String, Vec<Expr>)> {
    let Expr::Function(function) = key else { return None };
    let name = name_of(function);
    WINDOWS.contains(&name.as_str()).then(|| Some((name, arguments(function)?)))?
}

/// `NAME(TABLE relation, DESCRIPTOR(time), …) AS relation`.
fn windowed(relation: &TableFactor, name: &str, mut arguments: Vec<Expr>) -> Option<TableFactor> {
    let time = match arguments.first()? {
        Expr::Identifier(name) => name.clone(),
        Expr::CompoundIdentifier(names) => names.last()?.clone(),
        _ => return None,
    };
    let (data, alias) = match relation {
        TableFactor::Table { name, alias, args: None, .. } => {
            let names: Vec<Ident> = name.0.iter().filter_map(|part| part.as_ident().cloned()).collect();
            let own = TableAlias { explicit: true, name: names.last()?.clone(), columns: Vec::new(), at: None };
            (call("TABLE", vec![Expr::CompoundIdentifier(names)]), Some(alias.clone().unwrap_or(own)))
        }
        TableFactor::Derived { subquery, alias, .. } => (Expr::Subquery(Box::<Query>::clone(subquery)), alias.clone()),
        _ => return None,
    };
    arguments[0] = call("DESCRIPTOR", vec![Expr::Identifier(time)]);
    arguments.insert(0, data);
    let args = arguments.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
    Some(TableFactor::Table {
        name: ObjectName::from(vec![Ident::new(name)]),
        alias,
        args: Some(TableFunctionArgs { args, settings: None }),
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    })
}

/// Puts the columns of the window in place of `TUMBLE_START(…)` and its like.
struct WindowColumns {
    window: String,
}

impl VisitorMut for WindowColumns {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr {
            let name = name_of(function);
            let part = name.strip_prefix(&self.window).and_then(|rest| rest.strip_prefix('_'));
            match part {
                Some("START") => *expr = column("window_start"),
                Some("END") => *expr = column("window_end"),
                Some("ROWTIME" | "PROCTIME") => *expr = column("window_time"),
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }
}
