//! The JSON functions of the SQL standard, whose clauses become plain arguments or part of the function's name.

use sqlparser::ast::{Expr, Value};
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Span, Token};

use super::cursor::{Parsed, is_word};
use super::data_type;
use super::expression::{call, function, negate, text};

/// The rule for the JSON function `name` that begins here, if it has clauses of its own.
pub(super) fn prefix(parser: &mut Parser<'_>, name: &str) -> Option<Parsed<Expr>> {
    let rule = match name {
        "JSON_EXISTS" => json_exists,
        "JSON_VALUE" => json_value,
        "JSON_QUERY" => json_query,
        "JSON_OBJECT" | "JSON_OBJECTAGG" => json_object,
        "JSON_ARRAY" | "JSON_ARRAYAGG" => json_array,
        _ => return None,
    };
    let span = parser.next_token().span;
    Some(parser.expect_token(&Token::LParen).and_then(|_| rule(parser, name, span)))
}

/// What stands behind `x IS [NOT] JSON`.
pub(super) fn is_json(parser: &mut Parser<'_>, left: &Expr, negated: bool) -> Parsed<Expr> {
    let span = parser.peek_token().span;
    let kind = ["VALUE", "SCALAR", "ARRAY", "OBJECT"].into_iter().find(|kind| take(parser, &[kind]));
    Ok(negate(call("IS_JSON", span, vec![left.clone(), text(kind.unwrap_or("VALUE"))]), negated))
}

/// `(document, path [TRUE|FALSE|UNKNOWN|ERROR ON ERROR])`
fn json_exists(parser: &mut Parser<'_>, name: &str, span: Span) -> Parsed<Expr> {
    let mut args = document_and_path(parser)?;
    if plain_rest(parser, &mut args)? {
        return Ok(call(name, span, args));
    }
    let mode = ["TRUE", "FALSE", "UNKNOWN", "ERROR"].into_iter().find(|mode| take(parser, &[mode, "ON", "ERROR"]));
    args.extend(mode.map(text));
    parser.expect_token(&Token::RParen)?;
    Ok(call(name, span, args))
}

/// `(document, path [RETURNING type] [NULL|ERROR|DEFAULT e ON EMPTY] [NULL|ERROR|DEFAULT e ON ERROR])`
fn json_value(parser: &mut Parser<'_>, name: &str, span: Span) -> Parsed<Expr> {
    let mut args = document_and_path(parser)?;
    if plain_rest(parser, &mut args)? || parser.consume_token(&Token::RParen) {
        return Ok(call(name, span, args));
    }
    let null = || Expr::value(Value::Null);
    let returning = returning(parser)?;
    let mut on_empty = ("NULL", null());
    let mut on_error = ("NULL", null());
    while !parser.consume_token(&Token::RParen) {
        let mode = if take(parser, &["NULL"]) {
            ("NULL", null())
        } else if take(parser, &["ERROR"]) {
            ("ERROR", null())
        } else if take(parser, &["DEFAULT"]) {
            ("DEFAULT", parser.parse_expr()?)
        } else {
            return parser.expected("NULL, ERROR or DEFAULT", parser.peek_token());
        };
        if on_what(parser)? == "EMPTY" {
            on_empty = mode;
        } else {
            on_error = mode;
        }
    }
    args.extend([text(returning), text(on_empty.0), on_empty.1, text(on_error.0), on_error.1]);
    Ok(call(name, span, args))
}

/// `(document, path [RETURNING type] [WITH|WITHOUT … WRAPPER] [NULL|EMPTY ARRAY|EMPTY OBJECT|ERROR ON EMPTY|ERROR]…)`
fn json_query(parser: &mut Parser<'_>, name: &str, span: Span) -> Parsed<Expr> {
    let mut args = document_and_path(parser)?;
    if plain_rest(parser, &mut args)? || parser.consume_token(&Token::RParen) {
        return Ok(call(name, span, args));
    }
    let returning = returning(parser)?;
    let wrapper = wrapper(parser)?;
    let (mut on_empty, mut on_error) = ("NULL", "NULL");
    while !parser.consume_token(&Token::RParen) {
        let mode = if take(parser, &["NULL"]) {
            "NULL"
        } else if take(parser, &["ERROR"]) {
            "ERROR"
        } else if take(parser, &["EMPTY", "OBJECT"]) {
            "EMPTY OBJECT"
        } else if take(parser, &["EMPTY", "ARRAY"]) {
            "EMPTY ARRAY"
        } else {
            return parser.expected("NULL, ERROR, EMPTY ARRAY or EMPTY OBJECT", parser.peek_token());
        };
        if on_what(parser)? == "EMPTY" {
            on_empty = mode;
        } else {
            on_error = mode;
        }
    }
    args.extend([text(returning), text(wrapper), text(on_empty), text(on_error)]);
    Ok(call(name, span, args))
}

/// `(KEY k VALUE v, … [NULL|ABSENT ON NULL])`
fn json_object(parser: &mut Parser<'_>, name: &str, span: Span) -> Parsed<Expr> {
    let mut args = Vec::new();
    while !sees_null_clause(parser) && parser.peek_token().token != Token::RParen {
        if !args.is_empty() {
            parser.expect_token(&Token::Comma)?;
        }
        let marked = is_word(&parser.peek_token().token, "KEY") && !is_word(&parser.peek_nth_token(1).token, "VALUE");
        if marked {
            parser.next_token();
        }
        args.push(parser.parse_expr()?);
        if !take(parser, &["VALUE"]) && !parser.consume_token(&Token::Comma) {
            return parser.expected("VALUE", parser.peek_token());
        }
        args.push(parser.parse_expr()?);
    }
    finish(parser, name, "ABSENT", span, args)
}

/// `(a, b, … [NULL|ABSENT ON NULL])`
fn json_array(parser: &mut Parser<'_>, name: &str, span: Span) -> Parsed<Expr> {
    let mut args = Vec::new();
    while !sees_null_clause(parser) && parser.peek_token().token != Token::RParen {
        if !args.is_empty() {
            parser.expect_token(&Token::Comma)?;
        }
        args.push(parser.parse_expr()?);
    }
    finish(parser, name, "NULL", span, args)
}

/// Takes the null clause and what may follow an aggregate. `other` is the clause that is not the default: it becomes
/// part of the name.
fn finish(parser: &mut Parser<'_>, name: &str, other: &str, span: Span, args: Vec<Expr>) -> Parsed<Expr> {
    let clause = ["NULL", "ABSENT"].into_iter().find(|mode| take(parser, &[mode, "ON", "NULL"]));
    parser.expect_token(&Token::RParen)?;
    let name = if clause == Some(other) { format!("{name}_{other}_ON_NULL") } else { name.to_string() };
    let mut call = function(&name, span, args);
    if name.contains("AGG") && parser.parse_keyword(Keyword::FILTER) {
        parser.expect_token(&Token::LParen)?;
        parser.expect_keyword(Keyword::WHERE)?;
        call.filter = Some(Box::new(parser.parse_expr()?));
        parser.expect_token(&Token::RParen)?;
    }
    Ok(Expr::Function(call))
}

fn sees_null_clause(parser: &Parser<'_>) -> bool {
    let mode = parser.peek_token().token;
    (is_word(&mode, "NULL") || is_word(&mode, "ABSENT")) && is_word(&parser.peek_nth_token(1).token, "ON")
}

fn document_and_path(parser: &mut Parser<'_>) -> Parsed<Vec<Expr>> {
    let document = parser.parse_expr()?;
    parser.expect_token(&Token::Comma)?;
    Ok(vec![document, parser.parse_expr()?])
}

/// Takes further plain arguments up to the closing parenthesis: the shape that a call has after parsing parses too, so
/// that the text of a table can be made from its AST.
fn plain_rest(parser: &mut Parser<'_>, args: &mut Vec<Expr>) -> Parsed<bool> {
    if !parser.consume_token(&Token::Comma) {
        return Ok(false);
    }
    args.extend(parser.parse_comma_separated(Parser::parse_expr)?);
    parser.expect_token(&Token::RParen)?;
    Ok(true)
}

fn returning(parser: &mut Parser<'_>) -> Parsed<String> {
    if take(parser, &["RETURNING"]) {
        return Ok(data_type::column_type(parser)?.to_string());
    }
    Ok("STRING".to_string())
}

fn wrapper(parser: &mut Parser<'_>) -> Parsed<&'static str> {
    let kind = if take(parser, &["WITHOUT"]) {
        "WITHOUT"
    } else if take(parser, &["WITH", "CONDITIONAL"]) {
        "CONDITIONAL"
    } else if take(parser, &["WITH", "UNCONDITIONAL"]) || take(parser, &["WITH"]) {
        "UNCONDITIONAL"
    } else {
        return Ok("WITHOUT");
    };
    take(parser, &["ARRAY"]);
    if take(parser, &["WRAPPER"]) { Ok(kind) } else { parser.expected("WRAPPER", parser.peek_token()) }
}

fn on_what(parser: &mut Parser<'_>) -> Parsed<&'static str> {
    match ["EMPTY", "ERROR"].into_iter().find(|what| take(parser, &["ON", what])) {
        Some(what) => Ok(what),
        None => parser.expected("ON EMPTY or ON ERROR", parser.peek_token()),
    }
}

fn take(parser: &mut Parser<'_>, words: &[&str]) -> bool {
    let found = words.iter().enumerate().all(|(i, word)| is_word(&parser.peek_nth_token(i).token, word));
    if found {
        words.iter().for_each(|_| drop(parser.next_token()));
    }
    found
}
