//! Brings a parsed query into the shapes that the table in `parse` promises: hints at their tables, one form for table
//! functions.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName, TableFactor, TableFunctionArgs,
    VisitMut, VisitorMut,
};

use super::hints::TableHints;

/// Rewrites everything below `node`.
pub(super) fn normalize(node: &mut impl VisitMut, hints: &mut TableHints) {
    // The visitor never breaks.
    let ControlFlow::Continue(()) = node.visit(&mut Shapes { hints });
}

struct Shapes<'a> {
    hints: &'a mut TableHints,
}

impl VisitorMut for Shapes<'_> {
    type Break = std::convert::Infallible;

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Self::Break> {
        if let TableFactor::Table { name, with_hints, .. } = factor
            && let Some(last) = name.0.last().and_then(|part| part.as_ident())
        {
            with_hints.extend(self.hints.take(last.span.start));
        }
        if let Some(shaped) = reshape(factor) {
            *factor = shaped;
        }
        ControlFlow::Continue(())
    }
}

fn reshape(factor: &TableFactor) -> Option<TableFactor> {
    match factor {
        TableFactor::Table { name, args: Some(args), with_ordinality, alias, .. } if is_named(name, "UNNEST") => {
            let array_exprs = args.args.iter().map(plain_argument).collect::<Option<Vec<_>>>()?;
            Some(TableFactor::UNNEST {
                alias: alias.clone(),
                array_exprs,
                with_offset: false,
                with_offset_alias: None,
                with_ordinality: *with_ordinality,
            })
        }
        TableFactor::TableFunction { expr: Expr::Function(function), alias } => Some(TableFactor::Table {
            name: function.name.clone(),
            alias: alias.clone(),
            args: Some(TableFunctionArgs { args: arguments(function)?, settings: None }),
            with_hints: Vec::new(),
            version: None,
            with_ordinality: false,
            partitions: Vec::new(),
            json_path: None,
            sample: None,
            index_hints: Vec::new(),
        }),
        TableFactor::Function { lateral: true, name, args, with_ordinality, alias } if is_named(name, "TABLE") => {
            let Some(Expr::Function(function)) = args.first().and_then(plain_argument) else { return None };
            Some(TableFactor::Function {
                lateral: true,
                name: function.name.clone(),
                args: arguments(&function)?,
                with_ordinality: *with_ordinality,
                alias: alias.clone(),
            })
        }
        _ => None,
    }
}

fn is_named(name: &ObjectName, word: &str) -> bool {
    match name.0.as_slice() {
        [only] => only.as_ident().is_some_and(|i| i.quote_style.is_none() && i.value.eq_ignore_ascii_case(word)),
        _ => false,
    }
}

fn plain_argument(argument: &FunctionArg) -> Option<Expr> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    }
}

fn arguments(function: &Function) -> Option<Vec<FunctionArg>> {
    match &function.args {
        FunctionArguments::List(list) => Some(list.args.clone()),
        FunctionArguments::None => Some(Vec::new()),
        FunctionArguments::Subquery(_) => None,
    }
}
