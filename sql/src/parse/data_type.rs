//! Types: `DECIMAL(10, 2)`, `ROW<a INT NOT NULL, b ARRAY<STRING>>`, `TIMESTAMP(3) WITH LOCAL TIME ZONE`.

use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token};

use super::cursor::{Cursor, Parsed, is_word};
use super::failure::{explain, refuse, unsupported};
use super::source::Source;
use crate::error::{Result, SqlError};
use crate::types::{ColumnType, FlinkType, RowField};

/// The longest `VARCHAR` and `VARBINARY`, which are `STRING` and `BYTES`.
const LONGEST: u64 = i32::MAX as u64;

/// Reads a type from text, such as Flink prints it: `ARRAY<INT> NOT NULL`.
pub fn parse_type(text: &str) -> Result<ColumnType> {
    let (source, mut pieces) = Source::read(text)?;
    let Some(piece) = pieces.pop() else { return Err(SqlError::internal("a type is missing")) };
    let mut cursor = Cursor::new(&source, piece.tokens);
    let parsed = column_type(&mut cursor.parser).and_then(|t| cursor.end().map(|()| t));
    parsed.map_err(|e| explain(e, &cursor))
}

/// A type with `NULL`, `NOT NULL` and postfix `ARRAY`, `MULTISET`.
pub(super) fn column_type(parser: &mut Parser<'_>) -> Parsed<ColumnType> {
    let mut data_type = flink_type(parser)?;
    loop {
        let nullable = nullability(parser);
        let wrap = if take(parser, "ARRAY") {
            FlinkType::Array
        } else if take(parser, "MULTISET") {
            FlinkType::Multiset
        } else {
            return Ok(ColumnType { data_type, nullable });
        };
        data_type = wrap(Box::new(ColumnType { data_type, nullable }));
    }
}

/// Takes `NOT NULL` or `NULL`; false for `NOT NULL`.
fn nullability(parser: &mut Parser<'_>) -> bool {
    let second = parser.peek_nth_token(1).token;
    if is_word(&parser.peek_token().token, "NOT") && is_word(&second, "NULL") {
        parser.next_token();
        parser.next_token();
        return false;
    }
    take(parser, "NULL");
    true
}

fn flink_type(parser: &mut Parser<'_>) -> Parsed<FlinkType> {
    let token = parser.peek_token();
    let Token::Word(word) = &token.token else { return parser.expected("a type", token) };
    if word.quote_style.is_some() {
        return parser.expected("a type", token);
    }
    let at = token.span.start;
    parser.next_token();
    match word.value.to_ascii_uppercase().as_str() {
        "TINYINT" => Ok(FlinkType::TinyInt),
        "SMALLINT" => Ok(FlinkType::SmallInt),
        "INT" | "INTEGER" => Ok(FlinkType::Int),
        "BIGINT" => Ok(FlinkType::BigInt),
        "FLOAT" | "REAL" => Ok(FlinkType::Float),
        "DOUBLE" => {
            take(parser, "PRECISION");
            Ok(FlinkType::Double)
        }
        "BOOLEAN" => Ok(FlinkType::Boolean),
        "DATE" => Ok(FlinkType::Date),
        "NULL" => Ok(FlinkType::Null),
        "DECIMAL" | "DEC" | "NUMERIC" => decimal(parser, at),
        "TIME" => time(parser, at),
        "TIMESTAMP" => timestamp(parser, at),
        "TIMESTAMP_LTZ" => Ok(FlinkType::TimestampLtz(precision(parser, 6, at)?)),
        "INTERVAL" => interval(parser),
        name => sized_or_nested(parser, name, at),
    }
}

fn sized_or_nested(parser: &mut Parser<'_>, name: &str, at: Location) -> Parsed<FlinkType> {
    match name {
        "STRING" => Ok(FlinkType::String),
        "BYTES" => Ok(FlinkType::Bytes),
        "CHAR" | "CHARACTER" if take(parser, "VARYING") => varchar(parser, at),
        "CHAR" | "CHARACTER" => Ok(FlinkType::Char(length(parser, at)?)),
        "VARCHAR" => varchar(parser, at),
        "BINARY" if take(parser, "VARYING") => varbinary(parser, at),
        "BINARY" => Ok(FlinkType::Binary(length(parser, at)?)),
        "VARBINARY" => varbinary(parser, at),
        "ARRAY" => Ok(FlinkType::Array(Box::new(bracketed(parser)?))),
        "MULTISET" => Ok(FlinkType::Multiset(Box::new(bracketed(parser)?))),
        "MAP" => {
            parser.expect_token(&Token::Lt)?;
            let key = column_type(parser)?;
            parser.expect_token(&Token::Comma)?;
            let value = column_type(parser)?;
            parser.expect_token(&Token::Gt)?;
            Ok(FlinkType::Map(Box::new(key), Box::new(value)))
        }
        "ROW" => row(parser),
        "RAW" | "VARIANT" | "BITMAP" | "STRUCTURED" => {
            Err(unsupported(&format!("type {name} is not supported"), "use STRING or BYTES", at))
        }
        _ => Err(unknown_type(name, at)),
    }
}

fn unknown_type(name: &str, at: Location) -> ParserError {
    const NAMES: &[&str] = &[
        "TINYINT",
        "SMALLINT",
        "INT",
        "INTEGER",
        "BIGINT",
        "FLOAT",
        "DOUBLE",
        "DECIMAL",
        "BOOLEAN",
        "CHAR",
        "VARCHAR",
        "STRING",
        "BINARY",
        "VARBINARY",
        "BYTES",
        "DATE",
        "TIME",
        "TIMESTAMP",
        "TIMESTAMP_LTZ",
        "INTERVAL",
        "ARRAY",
        "MAP",
        "MULTISET",
        "ROW",
    ];
    let hint = match name {
        "TEXT" | "CLOB" => "use STRING".to_string(),
        "DATETIME" => "use TIMESTAMP(3)".to_string(),
        "TIMESTAMPTZ" => "use TIMESTAMP_LTZ(3)".to_string(),
        "BLOB" | "BYTEA" => "use BYTES".to_string(),
        "BOOL" => "use BOOLEAN".to_string(),
        "LONG" | "INT8" => "use BIGINT".to_string(),
        "STRUCT" => "use ROW<name type, …>".to_string(),
        other => match eddyline_engine::connector::nearest(other, NAMES.iter().copied()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("types are {}", NAMES.join(", ")),
        },
    };
    refuse(&format!("Encountered \"{name}\" at line {}, column {}.", at.line, at.column), &hint, at)
}

fn decimal(parser: &mut Parser<'_>, at: Location) -> Parsed<FlinkType> {
    let (mut precision, mut scale) = (10, 0);
    if parser.consume_token(&Token::LParen) {
        precision = parser.parse_literal_uint()?;
        if parser.consume_token(&Token::Comma) {
            scale = parser.parse_literal_uint()?;
        }
        parser.expect_token(&Token::RParen)?;
    }
    if !(1..=38).contains(&precision) {
        return Err(refuse("Decimal precision must be between 1 and 38 (both inclusive).", "", at));
    }
    if scale > precision {
        let message = "Decimal scale must be between 0 and the precision (both inclusive).";
        return Err(refuse(message, "", at));
    }
    Ok(FlinkType::Decimal { precision: precision as u8, scale: scale as u8 })
}

fn precision(parser: &mut Parser<'_>, default: u8, at: Location) -> Parsed<u8> {
    if !parser.consume_token(&Token::LParen) {
        return Ok(default);
    }
    let digits = parser.parse_literal_uint()?;
    parser.expect_token(&Token::RParen)?;
    match u8::try_from(digits) {
        Ok(digits) if digits <= 9 => Ok(digits),
        _ => Err(refuse("The precision of a time must be between 0 and 9 (both inclusive).", "", at)),
    }
}

fn time(parser: &mut Parser<'_>, at: Location) -> Parsed<FlinkType> {
    let precision = precision(parser, 0, at)?;
    if take(parser, "WITHOUT") {
        expect(parser, &["TIME", "ZONE"])?;
    }
    Ok(FlinkType::Time(precision))
}

fn timestamp(parser: &mut Parser<'_>, at: Location) -> Parsed<FlinkType> {
    let precision = precision(parser, 6, at)?;
    if take(parser, "WITHOUT") {
        expect(parser, &["TIME", "ZONE"])?;
    } else if take(parser, "WITH") {
        if !take(parser, "LOCAL") {
            let hint = "use TIMESTAMP_LTZ: an instant, shown in the session's time zone";
            return Err(refuse("TIMESTAMP WITH TIME ZONE is not supported.", hint, at));
        }
        expect(parser, &["TIME", "ZONE"])?;
        return Ok(FlinkType::TimestampLtz(precision));
    }
    Ok(FlinkType::Timestamp(precision))
}

/// Flink's interval types come in two families; the precisions say nothing that we need.
fn interval(parser: &mut Parser<'_>) -> Parsed<FlinkType> {
    let field = |parser: &mut Parser<'_>| -> Parsed<String> {
        let token = parser.next_token();
        let Token::Word(word) = &token.token else { return parser.expected("YEAR, MONTH, DAY or a time unit", token) };
        let name = word.value.to_ascii_uppercase();
        if parser.consume_token(&Token::LParen) {
            parser.parse_literal_uint()?;
            parser.expect_token(&Token::RParen)?;
        }
        Ok(name)
    };
    let first = field(parser)?;
    if take(parser, "TO") {
        field(parser)?;
    }
    let months = matches!(first.as_str(), "YEAR" | "MONTH" | "QUARTER");
    Ok(if months { FlinkType::IntervalYearMonth } else { FlinkType::IntervalDayTime })
}

fn varchar(parser: &mut Parser<'_>, at: Location) -> Parsed<FlinkType> {
    let length = if parser.peek_token().token == Token::LParen { length(parser, at)? } else { i32::MAX as u32 };
    Ok(if u64::from(length) == LONGEST { FlinkType::String } else { FlinkType::Varchar(length) })
}

fn varbinary(parser: &mut Parser<'_>, at: Location) -> Parsed<FlinkType> {
    let length = if parser.peek_token().token == Token::LParen { length(parser, at)? } else { i32::MAX as u32 };
    Ok(if u64::from(length) == LONGEST { FlinkType::Bytes } else { FlinkType::Varbinary(length) })
}

/// `(n)`, or 1 without it (VARCHAR and VARBINARY have no limit then). Zero is the type of an empty literal.
fn length(parser: &mut Parser<'_>, at: Location) -> Parsed<u32> {
    if !parser.consume_token(&Token::LParen) {
        return Ok(1);
    }
    let length = parser.parse_literal_uint()?;
    parser.expect_token(&Token::RParen)?;
    match u32::try_from(length) {
        Ok(n) if length <= LONGEST => Ok(n),
        _ => Err(refuse("The length must be at most 2147483647.", "", at)),
    }
}

fn bracketed(parser: &mut Parser<'_>) -> Parsed<ColumnType> {
    parser.expect_token(&Token::Lt)?;
    let item = column_type(parser)?;
    parser.expect_token(&Token::Gt)?;
    Ok(item)
}

/// `ROW<a INT, b STRING 'comment'>`, also with parentheses.
fn row(parser: &mut Parser<'_>) -> Parsed<FlinkType> {
    let close = if parser.consume_token(&Token::LParen) {
        Token::RParen
    } else {
        parser.expect_token(&Token::Lt)?;
        Token::Gt
    };
    let mut fields = Vec::new();
    loop {
        let name = parser.parse_identifier()?.value;
        let data_type = column_type(parser)?;
        if matches!(parser.peek_token().token, Token::SingleQuotedString(_)) {
            parser.next_token();
        }
        fields.push(RowField { name, data_type });
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    parser.expect_token(&close)?;
    Ok(FlinkType::Row(fields))
}

fn take(parser: &mut Parser<'_>, word: &str) -> bool {
    let found = is_word(&parser.peek_token().token, word);
    if found {
        parser.next_token();
    }
    found
}

fn expect(parser: &mut Parser<'_>, words: &[&str]) -> Parsed<()> {
    for word in words {
        if !take(parser, word) {
            return parser.expected(word, parser.peek_token());
        }
    }
    Ok(())
}
