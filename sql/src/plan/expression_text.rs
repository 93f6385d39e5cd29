//! Bound expressions as SQL that people can read: columns by name, literals as they are written, operators in their
//! places. Plans and uids are made of these texts, so a change here changes what old state is matched to.

use arrow::datatypes::IntervalMonthDayNano;
use datafusion_common::ScalarValue;
use datafusion_physical_expr::ScalarFunctionExpr;
use datafusion_physical_expr::expressions::{
    BinaryExpr, CaseExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, Literal, NotExpr,
};

use super::stream_plan::Expression;

/// The text of an expression.
pub fn text(expression: &Expression) -> String {
    if let Some(column) = expression.downcast_ref::<Column>() {
        return column.name().to_string();
    }
    if let Some(literal) = expression.downcast_ref::<Literal>() {
        return value(literal.value());
    }
    if let Some(binary) = expression.downcast_ref::<BinaryExpr>() {
        return infix(binary.left(), &binary.op().to_string(), binary.right());
    }
    if let Some(call) = expression.downcast_ref::<ScalarFunctionExpr>() {
        return function(call);
    }
    if let Some(case) = expression.downcast_ref::<CaseExpr>() {
        return case_when(case);
    }
    if let Some(not) = expression.downcast_ref::<NotExpr>() {
        return format!("NOT {}", operand(not.arg()));
    }
    if let Some(null) = expression.downcast_ref::<IsNullExpr>() {
        return format!("{} IS NULL", operand(null.arg()));
    }
    if let Some(null) = expression.downcast_ref::<IsNotNullExpr>() {
        return format!("{} IS NOT NULL", operand(null.arg()));
    }
    if let Some(list) = expression.downcast_ref::<InListExpr>() {
        let word = if list.negated() { "NOT IN" } else { "IN" };
        return format!("{} {word} ({})", operand(list.expr()), texts(list.list()));
    }
    without_numbers(&expression.to_string())
}

/// The texts of expressions, with commas.
pub fn texts(expressions: &[Expression]) -> String {
    expressions.iter().map(text).collect::<Vec<_>>().join(", ")
}

fn operand(expression: &Expression) -> String {
    let compound = expression.downcast_ref::<BinaryExpr>().is_some()
        || expression.downcast_ref::<ScalarFunctionExpr>().is_some_and(|call| sign(call.name()).is_some());
    if compound { format!("({})", text(expression)) } else { text(expression) }
}

fn infix(left: &Expression, sign: &str, right: &Expression) -> String {
    format!("{} {sign} {}", operand(left), operand(right))
}

/// The sign of a function that SQL writes between its arguments.
fn sign(function: &str) -> Option<&'static str> {
    match function {
        "plus" => Some("+"),
        "minus" => Some("-"),
        "times" => Some("*"),
        "divide" => Some("/"),
        "mod" => Some("%"),
        _ => None,
    }
}

fn function(call: &ScalarFunctionExpr) -> String {
    match (sign(call.name()), call.args()) {
        (Some(sign), [left, right]) => infix(left, sign, right),
        _ => format!("{}({})", call.name().to_uppercase(), texts(call.args())),
    }
}

fn case_when(case: &CaseExpr) -> String {
    let mut words = vec!["CASE".to_string()];
    words.extend(case.expr().map(text));
    for (when, then) in case.when_then_expr() {
        words.push(format!("WHEN {} THEN {}", text(when), text(then)));
    }
    words.extend(case.else_expr().map(|other| format!("ELSE {}", text(other))));
    words.push("END".to_string());
    words.join(" ")
}

fn value(value: &ScalarValue) -> String {
    match value {
        _ if value.is_null() => "NULL".to_string(),
        ScalarValue::Utf8(Some(text)) => format!("'{}'", text.replace('\'', "''").replace('\n', "\\n")),
        ScalarValue::IntervalMonthDayNano(Some(interval)) => interval_text(interval),
        other => other.to_string(),
    }
}

/// An interval in the units of windows, as plans print them.
fn interval_text(interval: &IntervalMonthDayNano) -> String {
    let time = i64::from(interval.days) * 86_400_000 + interval.nanoseconds / 1_000_000;
    match (interval.months, time) {
        (0, time) => format!("INTERVAL {time} ms"),
        (months, 0) => format!("INTERVAL {months} months"),
        (months, time) => format!("INTERVAL {months} months {time} ms"),
    }
}

/// The text of an expression of another kind, without the column numbers (`word@3` → `word`).
fn without_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        if digits == 0 {
            out.push('@');
        }
        rest = &after[digits..];
    }
    out.push_str(rest);
    out
}
