//! Expressions that sqlparser does not know, or parses into something that cannot be planned.

use sqlparser::ast::{
    BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, Ident, ObjectName, UnaryOperator, Value,
};
use sqlparser::dialect::{Dialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Span, Token, Word};

use super::cursor::{Parsed, is_keyword, is_word};
use super::dialect::FlinkDialect;
use super::{data_type, json};

/// Words that begin no expression; without this list `SELECT a, FROM t` would read `FROM` as a column.
const RESERVED: &[Keyword] = &[
    Keyword::FROM,
    Keyword::WHERE,
    Keyword::GROUP,
    Keyword::HAVING,
    Keyword::ORDER,
    Keyword::ON,
    Keyword::JOIN,
    Keyword::UNION,
    Keyword::INTERSECT,
    Keyword::AS,
    Keyword::SELECT,
    Keyword::USING,
    Keyword::CREATE,
    Keyword::INTO,
    Keyword::THEN,
    Keyword::WHEN,
    Keyword::ELSE,
    Keyword::AND,
    Keyword::OR,
    Keyword::IN,
];

/// Our rule for the expression that begins here, if we have one.
pub(super) fn prefix(parser: &mut Parser<'_>) -> Option<Parsed<Expr>> {
    let token = parser.peek_token();
    let Token::Word(word) = &token.token else { return None };
    if word.quote_style.is_some() {
        return None;
    }
    if RESERVED.contains(&word.keyword) {
        return Some(parser.expected("an expression", token));
    }
    let next = parser.peek_nth_token(1).token;
    let name = word.value.to_ascii_uppercase();
    match (name.as_str(), &next) {
        ("CAST", Token::LParen) => Some(cast(parser, CastKind::Cast)),
        ("TRY_CAST", Token::LParen) => Some(cast(parser, CastKind::TryCast)),
        ("TABLE", Token::Word(_)) => Some(table_argument(parser)),
        ("MAP", Token::LBracket) => Some(map(parser)),
        ("CEIL" | "CEILING" | "FLOOR", Token::LParen) => Some(ceil_or_floor(parser, &name)),
        ("TIMESTAMPADD" | "TIMESTAMPDIFF", Token::LParen) => Some(timestamp_function(parser, &name)),
        (_, Token::LParen) if name.starts_with("JSON_") => json::prefix(parser, &name),
        _ => None,
    }
}

/// Our rule for the operator that stands behind `left`, if we have one.
pub(super) fn infix(parser: &mut Parser<'_>, left: &Expr) -> Option<Parsed<Expr>> {
    let next = |parser: &Parser<'_>, n: usize| parser.peek_nth_token(n).token;
    let first = next(parser, 0);
    if is_keyword(&first, Keyword::IS) {
        let negated = is_keyword(&next(parser, 1), Keyword::NOT);
        let after = 1 + usize::from(negated);
        if is_word(&next(parser, after), "JSON") {
            skip(parser, after + 1);
            return Some(json::is_json(parser, left, negated));
        }
        if is_keyword(&next(parser, after), Keyword::DISTINCT) && is_keyword(&next(parser, after + 1), Keyword::FROM) {
            skip(parser, after + 2);
            return Some(distinct_from(parser, left, negated));
        }
        return None;
    }
    let negated = is_keyword(&first, Keyword::NOT);
    let at = usize::from(negated);
    if is_keyword(&next(parser, at), Keyword::BETWEEN) {
        let symmetric = is_word(&next(parser, at + 1), "SYMMETRIC");
        if symmetric || is_word(&next(parser, at + 1), "ASYMMETRIC") {
            skip(parser, at + 2);
            return Some(between(parser, left, negated, symmetric));
        }
    }
    None
}

/// A call of `name` with plain arguments.
pub(super) fn call(name: &str, span: Span, args: Vec<Expr>) -> Expr {
    Expr::Function(function(name, span, args))
}

/// A call of `name` with plain arguments, to be completed.
pub(super) fn function(name: &str, span: Span, args: Vec<Expr>) -> Function {
    let args = args.into_iter().map(|e| FunctionArg::Unnamed(FunctionArgExpr::Expr(e))).collect();
    Function {
        name: ObjectName::from(vec![Ident::with_span(span, name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    }
}

/// A text literal.
pub(super) fn text(value: impl Into<String>) -> Expr {
    Expr::value(Value::SingleQuotedString(value.into()))
}

fn skip(parser: &mut Parser<'_>, tokens: usize) {
    for _ in 0..tokens {
        parser.next_token();
    }
}

/// The type goes into the AST as Flink's text: sqlparser's types know neither `TIMESTAMP_LTZ` nor `ROW`.
fn cast(parser: &mut Parser<'_>, kind: CastKind) -> Parsed<Expr> {
    skip(parser, 2);
    let expr = Box::new(parser.parse_expr()?);
    parser.expect_keyword(Keyword::AS)?;
    let data_type = type_in_ast(parser)?;
    parser.expect_token(&Token::RParen)?;
    Ok(Expr::Cast { kind, expr, data_type, array: false, format: None })
}

fn type_in_ast(parser: &mut Parser<'_>) -> Parsed<DataType> {
    let text = data_type::column_type(parser)?.to_string();
    Ok(DataType::Custom(ObjectName::from(vec![Ident::new(text)]), Vec::new()))
}

/// `TABLE t [PARTITION BY a, …] [ORDER BY b, …]`
fn table_argument(parser: &mut Parser<'_>) -> Parsed<Expr> {
    let span = parser.next_token().span;
    let mut parts = vec![parser.parse_identifier()?];
    while parser.consume_token(&Token::Period) {
        parts.push(parser.parse_identifier()?);
    }
    let name = match parts.pop() {
        Some(only) if parts.is_empty() => Expr::Identifier(only),
        Some(last) => {
            parts.push(last);
            Expr::CompoundIdentifier(parts)
        }
        None => return parser.expected("a table", parser.peek_token()),
    };
    let mut args = vec![name];
    for (keyword, name) in [(Keyword::PARTITION, "PARTITION_BY"), (Keyword::ORDER, "ORDER_BY")] {
        let span = parser.peek_token().span;
        if parser.parse_keywords(&[keyword, Keyword::BY]) {
            args.push(call(name, span, by_columns(parser)?));
        }
    }
    Ok(call("TABLE", span, args))
}

/// `a, b` or `(a, b)`. A comma that is followed by the next argument of the function ends the list, so without
/// parentheses only plain names count as columns.
fn by_columns(parser: &mut Parser<'_>) -> Parsed<Vec<Expr>> {
    if parser.consume_token(&Token::LParen) {
        let columns = parser.parse_comma_separated(Parser::parse_expr)?;
        parser.expect_token(&Token::RParen)?;
        return Ok(columns);
    }
    let mut columns = vec![Expr::Identifier(parser.parse_identifier()?)];
    loop {
        let is_name = matches!(parser.peek_nth_token(1).token, Token::Word(_));
        let ends = matches!(parser.peek_nth_token(2).token, Token::Comma | Token::RParen);
        if parser.peek_token().token != Token::Comma || !is_name || !ends {
            return Ok(columns);
        }
        parser.next_token();
        columns.push(Expr::Identifier(parser.parse_identifier()?));
    }
}

/// `MAP['a', 1, 'b', 2]`
fn map(parser: &mut Parser<'_>) -> Parsed<Expr> {
    let span = parser.next_token().span;
    parser.expect_token(&Token::LBracket)?;
    let entries = parser.parse_comma_separated0(Parser::parse_expr, Token::RBracket)?;
    parser.expect_token(&Token::RBracket)?;
    Ok(call("MAP", span, entries))
}

/// `CEIL(x)`, `CEIL(x, 2)`, `CEIL(ts TO DAY)`
fn ceil_or_floor(parser: &mut Parser<'_>, name: &str) -> Parsed<Expr> {
    let span = parser.next_token().span;
    let name = if name == "FLOOR" { "FLOOR" } else { "CEIL" };
    parser.expect_token(&Token::LParen)?;
    let mut args = vec![parser.parse_expr()?];
    if parser.parse_keyword(Keyword::TO) {
        args.push(text(time_unit(parser)?));
    } else if parser.consume_token(&Token::Comma) {
        args.push(parser.parse_expr()?);
    }
    parser.expect_token(&Token::RParen)?;
    Ok(call(name, span, args))
}

/// `TIMESTAMPADD(MINUTE, 1, ts)`, `TIMESTAMPDIFF(SQL_TSI_DAY, a, b)`
fn timestamp_function(parser: &mut Parser<'_>, name: &str) -> Parsed<Expr> {
    let span = parser.next_token().span;
    parser.expect_token(&Token::LParen)?;
    let mut args = vec![text(time_unit(parser)?)];
    while parser.consume_token(&Token::Comma) {
        args.push(parser.parse_expr()?);
    }
    parser.expect_token(&Token::RParen)?;
    Ok(call(name, span, args))
}

fn time_unit(parser: &mut Parser<'_>) -> Parsed<String> {
    const UNITS: &[&str] = &[
        "NANOSECOND",
        "MICROSECOND",
        "MILLISECOND",
        "SECOND",
        "MINUTE",
        "HOUR",
        "DAY",
        "WEEK",
        "MONTH",
        "QUARTER",
        "YEAR",
        "DECADE",
        "CENTURY",
        "MILLENNIUM",
    ];
    let token = parser.next_token();
    // As a text it comes from an AST that was printed.
    if let Token::Word(Word { value, .. }) | Token::SingleQuotedString(value) = &token.token {
        let name = value.to_ascii_uppercase();
        let name = name.strip_prefix("SQL_TSI_").unwrap_or(&name);
        if UNITS.contains(&name) {
            return Ok(name.to_string());
        }
    }
    parser.expected("a time unit such as DAY or MINUTE", token)
}

/// sqlparser reads everything behind `IS DISTINCT FROM` as the right side, also `AND …`.
fn distinct_from(parser: &mut Parser<'_>, left: &Expr, negated: bool) -> Parsed<Expr> {
    let left = Box::new(left.clone());
    let right = Box::new(parser.parse_subexpr(FlinkDialect.prec_value(Precedence::Is))?);
    Ok(if negated { Expr::IsNotDistinctFrom(left, right) } else { Expr::IsDistinctFrom(left, right) })
}

fn between(parser: &mut Parser<'_>, left: &Expr, negated: bool, symmetric: bool) -> Parsed<Expr> {
    let precedence = FlinkDialect.prec_value(Precedence::Between);
    let low = Box::new(parser.parse_subexpr(precedence)?);
    parser.expect_keyword(Keyword::AND)?;
    let high = Box::new(parser.parse_subexpr(precedence)?);
    let expr = Box::new(left.clone());
    if !symmetric {
        return Ok(Expr::Between { expr, negated, low, high });
    }
    let forward = Expr::Between { expr: expr.clone(), negated: false, low: low.clone(), high: high.clone() };
    let backward = Expr::Between { expr, negated: false, low: high, high: low };
    let either = Expr::BinaryOp { left: Box::new(forward), op: BinaryOperator::Or, right: Box::new(backward) };
    Ok(negate(Expr::Nested(Box::new(either)), negated))
}

/// `NOT expr` when `negated`.
pub(super) fn negate(expr: Expr, negated: bool) -> Expr {
    if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(expr) } } else { expr }
}
