//! Rewrites of one parsed expression, before DataFusion plans it: forms that it does not know become plain calls.
//!
//! ```text
//!   1e0                            CAST('1e0' AS DOUBLE)
//!   CAST(x AS CHAR(6))             char_pad(CAST(x AS STRING), 6)
//!   TIMESTAMP '2024-01-01 00:00'   with the precision that its digits show
//!   INTERVAL '1 02:03:04.5' DAY TO SECOND   an interval in words
//!   FLOOR(ts TO HOUR)              floor(ts, 'HOUR')
//!   TIMESTAMPADD(DAY, 1, ts)       timestampadd('DAY', 1, ts)
//!   a[1].b                         a[1] with the field 'b'
//!   SUBSTRING(s FROM 2 FOR 3)      substring(s, 2, 3)
//!   x SIMILAR TO p                 similar_to(x, p)
//! ```
//! Children come first; ordinals of GROUP BY and ORDER BY are plain numbers and stay so.

use std::ops::ControlFlow;

use datafusion_common::{Result, plan_err};
use sqlparser::ast::{
    AccessExpr, BinaryOperator, CastKind, CeilFloorKind, DataType, DateTimeField, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, Interval, ObjectName, Subscript, UnaryOperator,
    Value, ValueWithSpan, VisitMut, VisitorMut,
};

use crate::types::{ColumnType, FlinkType};

/// Rewrites `expr` itself; its parts have been rewritten already.
pub fn rewrite_expr(expr: &mut Expr) -> Result<()> {
    let replacement = match expr {
        Expr::Value(value) => number(&value.value),
        Expr::TypedString(typed) => {
            if let (DataType::Timestamp(precision @ None, _), Value::SingleQuotedString(text)) =
                (&mut typed.data_type, &typed.value.value)
            {
                *precision = Some(text.split_once('.').map_or(0, |(_, digits)| digits.len() as u64).min(9));
            }
            None
        }
        Expr::Cast { expr: inner, data_type, kind, .. } => sized_text(inner, data_type, kind),
        Expr::Floor { expr, field } => rounded("floor", expr, field),
        Expr::Ceil { expr, field } => rounded("ceil", expr, field),
        Expr::Interval(interval) => {
            normalize_interval(interval)?;
            None
        }
        Expr::CompoundFieldAccess { root, access_chain } => {
            name_fields(root, access_chain);
            None
        }
        Expr::SimilarTo { negated, expr, pattern, escape_char } => {
            let mut args = vec![take(expr), take(pattern)];
            args.extend(escape_char.take().map(Expr::Value));
            Some(negate(call("similar_to", args), *negated))
        }
        Expr::Like { negated, expr, pattern, escape_char, any: false } => {
            let mut args = vec![take(expr), take(pattern)];
            args.extend(escape_char.take().map(Expr::Value));
            Some(negate(call("like", args), *negated))
        }
        Expr::BinaryOp { left, op: BinaryOperator::DuckIntegerDivide, right } => {
            Some(call("div", vec![take(left), take(right)]))
        }
        Expr::Substring { expr, substring_from, substring_for, .. } => {
            let from =
                substring_from.take().map_or_else(|| Expr::Value(Value::Number("1".into(), false).into()), |f| *f);
            let length = substring_for.take().map(|length| *length);
            Some(call("substring", [take(expr), from].into_iter().chain(length).collect()))
        }
        Expr::Function(function) => {
            rewrite_function(function);
            None
        }
        _ => None,
    };
    if let Some(replacement) = replacement {
        *expr = replacement;
    }
    Ok(())
}

fn rewrite_function(function: &mut Function) {
    let name = function.name.0.last().and_then(|part| part.as_ident()).map(|name| name.value.to_ascii_lowercase());
    if matches!(name.as_deref(), Some("timestampadd" | "timestampdiff")) {
        unit_to_text(function);
    }
    if name.is_some_and(|name| super::aggregate_function(&name).is_some()) {
        name_casts(function);
    }
}

/// Gives the casts in the arguments of an aggregate a name of their own: DataFusion names results without them, so that
/// `SUM(i)` and `SUM(CAST(i AS BIGINT))` would be one column.
fn name_casts(function: &mut Function) {
    struct Casts;
    impl VisitorMut for Casts {
        type Break = ();

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::Cast { data_type, .. } = expr {
                let name = text(&data_type.to_string());
                let inner = std::mem::replace(expr, Expr::Value(Value::Null.into()));
                *expr = call("cast_result", vec![inner, name]);
            }
            ControlFlow::Continue(())
        }
    }
    let _ = VisitMut::visit(&mut function.args, &mut Casts);
}

/// The first argument, a bare unit such as `DAY`, as text.
fn unit_to_text(function: &mut Function) {
    let FunctionArguments::List(list) = &mut function.args else { return };
    if let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(unit))) = list.args.first_mut()
        && let Expr::Identifier(name) = unit
    {
        *unit = text(&name.value);
    }
}

/// `1e0` is DOUBLE; other numbers stay, DataFusion reads them exactly.
fn number(value: &Value) -> Option<Expr> {
    let Value::Number(digits, _) = value else { return None };
    if !digits.contains(['e', 'E']) {
        return None;
    }
    Some(cast(text(digits), DataType::DoublePrecision, CastKind::Cast))
}

/// The lengths of `CHAR(n)` and `VARCHAR(n)`, which Arrow's types do not have.
fn sized_text(inner: &mut Box<Expr>, data_type: &DataType, kind: &CastKind) -> Option<Expr> {
    let (function, length) = match ColumnType::from_ast(data_type).ok()?.data_type {
        FlinkType::Char(length) => ("char_pad", length),
        FlinkType::Varchar(length) => ("varchar_cut", length),
        _ => return None,
    };
    let as_text = cast(take(inner), DataType::String(None), kind.clone());
    Some(call(function, vec![as_text, Expr::Value(Value::Number(length.to_string(), false).into())]))
}

fn rounded(function: &str, expr: &mut Box<Expr>, field: &CeilFloorKind) -> Option<Expr> {
    match field {
        CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) | CeilFloorKind::Scale(_) => None,
        CeilFloorKind::DateTimeField(unit) => Some(call(function, vec![take(expr), text(&unit.to_string())])),
    }
}

/// DataFusion takes a field behind a subscript only as text.
fn name_fields(root: &Expr, chain: &mut [AccessExpr]) {
    let mut behind_column = matches!(root, Expr::Identifier(_));
    for access in chain {
        match access {
            AccessExpr::Dot(field) => {
                if let Expr::Identifier(name) = field
                    && !behind_column
                {
                    *field = text(&name.value);
                }
            }
            AccessExpr::Subscript(Subscript::Index { .. } | Subscript::Slice { .. }) => behind_column = false,
        }
    }
}

/// Writes an interval as `14 MONTHS` or `7384500 MILLISECONDS`, whatever its units are.
fn normalize_interval(interval: &mut Interval) -> Result<()> {
    let Some(leading) = interval.leading_field.clone() else { return Ok(()) };
    let (negative, digits) = match interval_text(&interval.value) {
        Some(found) => found,
        None => return Ok(()),
    };
    let last = interval.last_field.clone().unwrap_or_else(|| leading.clone());
    let Some(words) = interval_in_words(&digits, &leading.to_string(), &last.to_string(), negative) else {
        return plan_err!("Illegal interval literal format '{digits}' for INTERVAL {leading} TO {last}");
    };
    *interval.value = text(&words);
    interval.leading_field = None;
    interval.leading_precision = None;
    interval.last_field = None;
    interval.fractional_seconds_precision = None;
    Ok(())
}

fn interval_text(value: &Expr) -> Option<(bool, String)> {
    match value {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(s) | Value::Number(s, _), .. }) => {
            let s = s.trim();
            Some(s.strip_prefix('-').map_or_else(|| (false, s.trim_start_matches('+').into()), |s| (true, s.into())))
        }
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => interval_text(expr).map(|(n, s)| (!n, s)),
        _ => None,
    }
}

fn interval_in_words(digits: &str, first: &str, last: &str, negative: bool) -> Option<String> {
    const UNITS: [(&str, i128); 5] =
        [("WEEK", 604_800_000), ("DAY", 86_400_000), ("HOUR", 3_600_000), ("MINUTE", 60_000), ("SECOND", 1000)];
    let singular = |unit: &str| {
        let unit = unit.to_ascii_uppercase();
        unit.strip_suffix('S').map_or(unit.clone(), str::to_string)
    };
    let (first, last) = (singular(first), singular(last));
    let sign = if negative { "-" } else { "" };
    let whole = |text: &str| text.trim().parse::<i128>().ok();
    let months = match (first.as_str(), last.as_str()) {
        ("YEAR", "MONTH") => {
            let (years, months) = digits.split_once('-')?;
            Some(whole(years)? * 12 + whole(months)?)
        }
        ("YEAR", _) => Some(whole(digits)? * 12),
        ("QUARTER", _) => Some(whole(digits)? * 3),
        ("MONTH", _) => Some(whole(digits)?),
        _ => None,
    };
    if let Some(months) = months {
        return Some(format!("{sign}{months} MONTHS"));
    }
    let position = |unit: &str| UNITS.iter().position(|(name, _)| *name == unit);
    let (from, to) = match (position(&first), position(&last)) {
        (Some(from), Some(to)) => (from, to),
        _ if first == "MILLISECOND" => return Some(format!("{sign}{} MILLISECONDS", whole(digits)?)),
        _ => return None,
    };
    let (digits, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let parts: Vec<&str> = digits.split([' ', ':']).collect();
    if parts.len() != to.checked_sub(from)? + 1 || (!fraction.is_empty() && last != "SECOND") {
        return None;
    }
    let mut millis: i128 = whole(format!("{fraction:0<3}").get(..3)?)?;
    for (part, (_, unit)) in parts.iter().zip(&UNITS[from..=to]) {
        millis += whole(part)? * unit;
    }
    // Whole days stay days: that is how the interval prints and how other parts of the planner read it.
    if millis % 86_400_000 == 0 && millis != 0 {
        return Some(format!("{sign}{} DAYS", millis / 86_400_000));
    }
    Some(format!("{sign}{millis} MILLISECONDS"))
}

/// The expression, leaving NULL in its place.
fn take(expr: &mut Box<Expr>) -> Expr {
    std::mem::replace(expr, Expr::Value(Value::Null.into()))
}

fn negate(expr: Expr, negated: bool) -> Expr {
    if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(expr) } } else { expr }
}

fn cast(expr: Expr, data_type: DataType, kind: CastKind) -> Expr {
    Expr::Cast { kind, expr: Box::new(expr), data_type, array: false, format: None }
}

/// A text literal.
pub(super) fn text(text: &str) -> Expr {
    Expr::Value(Value::SingleQuotedString(text.to_string()).into())
}

/// A call of one of our functions.
pub(crate) fn call(name: &str, args: Vec<Expr>) -> Expr {
    let args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: vec![] }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_written_in_words() {
        let words = |digits, first, last| interval_in_words(digits, first, last, false);
        assert_eq!(words("5", "SECOND", "SECOND").as_deref(), Some("5000 MILLISECONDS"));
        assert_eq!(words("1 02:03:04.500", "DAY", "SECOND").as_deref(), Some("93784500 MILLISECONDS"));
        assert_eq!(words("1-02", "YEAR", "MONTH").as_deref(), Some("14 MONTHS"));
        assert_eq!(words("10", "MINUTES", "MINUTES").as_deref(), Some("600000 MILLISECONDS"));
        assert_eq!(words("2", "DAY", "DAY").as_deref(), Some("2 DAYS"));
        assert_eq!(words("1:2", "DAY", "SECOND"), None);
        assert_eq!(interval_in_words("3", "MONTH", "MONTH", true).as_deref(), Some("-3 MONTHS"));
    }
}
