//! `CREATE TABLE`, `CREATE VIEW`, `CREATE MATERIALIZED VIEW`, `CREATE DATABASE`.

use std::collections::BTreeMap;

use sqlparser::tokenizer::{Location, Token};

use super::cursor::{Cursor, Parsed, is_word};
use super::data_type::column_type;
use super::failure::{refuse, unsupported};
use crate::statement::{
    ColumnDefinition, ColumnDefinitionKind, CreateMaterializedView, CreateNamespace, CreateTable, CreateView, Like,
    LikeFeature, LikeOption, LikeStrategy, PrimaryKey, Statement, Watermark,
};

/// What stands behind `CREATE`.
pub(super) fn create(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    let at = cursor.position();
    if cursor.sees(&["OR"]) {
        return Err(unsupported("CREATE OR REPLACE is not supported", "drop it first, then create it", at));
    }
    let temporary = cursor.take(&["TEMPORARY"]);
    if cursor.take(&["TABLE"]) {
        return create_table(cursor, temporary).map(|t| Statement::CreateTable(Box::new(t)));
    }
    if cursor.take(&["VIEW"]) {
        return create_view(cursor, temporary).map(Statement::CreateView);
    }
    if let Some(kind) = cursor.take_one(&["DATABASE", "CATALOG"]) {
        return create_namespace(cursor, kind);
    }
    if !temporary && cursor.take(&["MATERIALIZED", "VIEW"]) {
        return create_materialized_view(cursor).map(|v| Statement::CreateMaterializedView(Box::new(v)));
    }
    if let Some(kind) = cursor.take_one(&["FUNCTION", "MATERIALIZED", "MODEL", "CONNECTION", "SYSTEM"]) {
        let (what, hint) = match kind {
            "MATERIALIZED" if temporary => ("TEMPORARY MATERIALIZED VIEW", "leave out TEMPORARY"),
            "MATERIALIZED" => ("MATERIALIZED TABLE", "write CREATE MATERIALIZED VIEW"),
            kind => (kind, ""),
        };
        return Err(unsupported(&format!("CREATE {what} is not supported"), hint, at));
    }
    cursor.parser.expected("TABLE, VIEW or DATABASE", cursor.parser.peek_token())
}

fn create_namespace(cursor: &mut Cursor<'_>, kind: &str) -> Parsed<Statement> {
    let if_not_exists = cursor.if_not_exists();
    let name = cursor.table_name()?;
    cursor.comment()?;
    if cursor.take(&["WITH"]) {
        cursor.options()?;
    }
    Ok(Statement::CreateNamespace(CreateNamespace { kind: kind.to_string(), name, if_not_exists }))
}

fn create_view(cursor: &mut Cursor<'_>, temporary: bool) -> Parsed<CreateView> {
    let if_not_exists = cursor.if_not_exists();
    let name = cursor.table_name()?;
    let mut columns = Vec::new();
    if cursor.parser.peek_token().token == Token::LParen {
        columns = cursor.in_parens(|c| {
            let column = c.name()?;
            c.comment()?;
            Ok(column)
        })?;
    }
    let comment = cursor.comment()?;
    cursor.expect(&["AS"])?;
    let start = cursor.position();
    let query = cursor.query()?;
    let query_text = cursor.text_from(start);
    Ok(CreateView { name, temporary, if_not_exists, columns, comment, query, query_text })
}

/// `[IF NOT EXISTS] v [(columns [, PRIMARY KEY (…) NOT ENFORCED])] [COMMENT …] AS query`
fn create_materialized_view(cursor: &mut Cursor<'_>) -> Parsed<CreateMaterializedView> {
    let if_not_exists = cursor.if_not_exists();
    let name = cursor.table_name()?;
    let at = cursor.position();
    let Elements { columns: typed, order: columns, watermark, primary_key } = elements(cursor)?;
    primary_key.as_ref().map_or(Ok(()), refuse_enforced)?;
    if !typed.is_empty() || watermark.is_some() {
        return Err(refuse(
            "A materialized view has the types of its query.",
            "give names only, and a PRIMARY KEY (…) NOT ENFORCED if the query's own key is not to serve",
            at,
        ));
    }
    let comment = cursor.comment()?;
    if cursor.sees(&["WITH"]) {
        return Err(refuse("A materialized view has no options.", "leave out WITH", cursor.position()));
    }
    cursor.expect(&["AS"])?;
    let start = cursor.position();
    let query = cursor.query()?;
    let query_text = cursor.text_from(start);
    Ok(CreateMaterializedView { name, if_not_exists, columns, primary_key, comment, query, query_text })
}

/// The parts of a table between its parentheses.
#[derive(Default)]
struct Elements {
    columns: Vec<ColumnDefinition>,
    order: Vec<String>,
    watermark: Option<Watermark>,
    primary_key: Option<PrimaryKey>,
}

/// One part of a table between its parentheses.
pub(super) enum Element {
    /// A column, perhaps with `PRIMARY KEY` behind its type.
    Column(ColumnDefinition, Option<PrimaryKey>),
    /// A bare name, to order the columns of `AS SELECT`.
    Name(String),
    /// `WATERMARK FOR …`.
    Watermark(Watermark),
    /// `PRIMARY KEY (…)`.
    PrimaryKey(PrimaryKey),
}

fn create_table(cursor: &mut Cursor<'_>, temporary: bool) -> Parsed<CreateTable> {
    let if_not_exists = cursor.if_not_exists();
    let name = cursor.table_name()?;
    let elements = elements(cursor)?;
    let comment = cursor.comment()?;
    let distribution = distribution(cursor)?;
    let partition_keys = if cursor.take(&["PARTITIONED", "BY"]) { cursor.names_in_parens()? } else { Vec::new() };
    let options = if cursor.take(&["WITH"]) { cursor.options()? } else { BTreeMap::new() };
    let like = if cursor.take(&["LIKE"]) { Some(like(cursor)?) } else { None };
    let at = cursor.position();
    let query = if cursor.take(&["AS"]) { Some(cursor.query()?) } else { None };
    if query.is_some() && temporary {
        return Err(unsupported("CREATE TEMPORARY TABLE AS SELECT is not supported", "leave out TEMPORARY", at));
    }
    if query.is_none() && !elements.order.is_empty() {
        return Err(refuse(
            &format!("Column '{}' has no type.", elements.order[0]),
            "bare column names are only allowed with AS SELECT",
            name.position,
        ));
    }
    let Elements { columns, order: column_order, watermark, primary_key } = elements;
    if temporary || like.is_some() || !options.is_empty() {
        primary_key.as_ref().map_or(Ok(()), refuse_enforced)?;
    }
    Ok(CreateTable {
        name,
        temporary,
        if_not_exists,
        columns,
        column_order,
        watermark,
        primary_key,
        comment,
        partition_keys,
        distribution,
        options,
        like,
        query,
    })
}

fn elements(cursor: &mut Cursor<'_>) -> Parsed<Elements> {
    let mut result = Elements::default();
    if cursor.parser.peek_token().token != Token::LParen {
        return Ok(result);
    }
    if cursor.parser.peek_nth_token(1).token == Token::RParen {
        cursor.expect_sign(&Token::LParen)?;
        cursor.expect_sign(&Token::RParen)?;
        return Ok(result);
    }
    for (at, element) in cursor.in_parens(|c| Ok((c.position(), element(c)?)))? {
        let key = match element {
            Element::Column(column, key) => {
                result.columns.push(column);
                key
            }
            Element::Name(name) => {
                result.order.push(name);
                None
            }
            Element::Watermark(watermark) => {
                if result.watermark.replace(watermark).is_some() {
                    return Err(refuse("Multiple WATERMARK declarations are not supported yet.", "keep one", at));
                }
                None
            }
            Element::PrimaryKey(key) => Some(key),
        };
        if let Some(key) = key
            && result.primary_key.replace(key).is_some()
        {
            return Err(refuse("Duplicate primary key definition.", "keep one", at));
        }
    }
    Ok(result)
}

/// A column, a watermark or a primary key.
pub(super) fn element(cursor: &mut Cursor<'_>) -> Parsed<Element> {
    if cursor.sees(&["WATERMARK", "FOR"]) {
        return watermark(cursor).map(Element::Watermark);
    }
    let key_follows = is_word(&cursor.parser.peek_nth_token(2).token, "PRIMARY");
    if cursor.sees(&["PRIMARY", "KEY"]) || (cursor.sees(&["CONSTRAINT"]) && key_follows) {
        return primary_key(cursor).map(Element::PrimaryKey);
    }
    if cursor.sees(&["UNIQUE"]) && cursor.parser.peek_nth_token(1).token == Token::LParen {
        return Err(refuse(
            "UNIQUE constraint is not supported yet.",
            "use PRIMARY KEY … NOT ENFORCED",
            cursor.position(),
        ));
    }
    let position = cursor.position();
    let name = cursor.name()?;
    if matches!(cursor.parser.peek_token().token, Token::Comma | Token::RParen) {
        return Ok(Element::Name(name));
    }
    if cursor.take(&["AS"]) {
        let expr = Box::new(cursor.expr()?);
        let comment = cursor.comment()?;
        let kind = ColumnDefinitionKind::Computed { expr };
        return Ok(Element::Column(ColumnDefinition { name, kind, comment, position }, None));
    }
    typed_column(cursor, name, position)
}

/// `INT [NOT NULL] [METADATA [FROM 'key'] [VIRTUAL]] [PRIMARY KEY [NOT ENFORCED]] [COMMENT 'text']`
fn typed_column(cursor: &mut Cursor<'_>, name: String, position: Location) -> Parsed<Element> {
    let mut data_type = column_type(&mut cursor.parser)?;
    let mut key = None;
    if cursor.sees(&["PRIMARY", "KEY"]) || cursor.sees(&["CONSTRAINT"]) {
        let at = cursor.position();
        let constraint = if cursor.take(&["CONSTRAINT"]) { Some(cursor.name()?) } else { None };
        cursor.expect(&["PRIMARY", "KEY"])?;
        data_type.nullable = false;
        let enforced = enforced(cursor);
        key = Some(PrimaryKey { name: constraint, columns: vec![name.clone()], enforced, position: at });
    }
    let kind = if cursor.take(&["METADATA"]) {
        let metadata = if cursor.take(&["FROM"]) { cursor.string()? } else { name.clone() };
        ColumnDefinitionKind::Metadata { data_type, key: metadata, is_virtual: cursor.take(&["VIRTUAL"]) }
    } else {
        ColumnDefinitionKind::Physical { data_type }
    };
    let comment = cursor.comment()?;
    Ok(Element::Column(ColumnDefinition { name, kind, comment, position }, key))
}

/// `WATERMARK FOR column AS expr`
pub(super) fn watermark(cursor: &mut Cursor<'_>) -> Parsed<Watermark> {
    cursor.expect(&["WATERMARK", "FOR"])?;
    let position = cursor.position();
    let column = cursor.name()?;
    cursor.expect(&["AS"])?;
    let expr = Box::new(cursor.expr()?);
    Ok(Watermark { column, expr, position })
}

/// `[CONSTRAINT name] PRIMARY KEY (columns) [NOT ENFORCED]`
pub(super) fn primary_key(cursor: &mut Cursor<'_>) -> Parsed<PrimaryKey> {
    let position = cursor.position();
    let name = if cursor.take(&["CONSTRAINT"]) { Some(cursor.name()?) } else { None };
    cursor.expect(&["PRIMARY", "KEY"])?;
    let columns = cursor.names_in_parens()?;
    Ok(PrimaryKey { name, columns, enforced: enforced(cursor), position })
}

fn enforced(cursor: &mut Cursor<'_>) -> bool {
    !cursor.take(&["NOT", "ENFORCED"]) && {
        cursor.take(&["ENFORCED"]);
        true
    }
}

/// Refuses a key that somebody would have to enforce in a system that is not ours.
pub(super) fn refuse_enforced(key: &PrimaryKey) -> Parsed<()> {
    if !key.enforced {
        return Ok(());
    }
    let message = "Flink doesn't support ENFORCED mode for PRIMARY KEY constraint. ENFORCED/NOT ENFORCED controls if \
                   the constraint checks are performed on the incoming/outgoing data. Flink does not own the data \
                   therefore the only supported mode is the NOT ENFORCED mode";
    Err(refuse(message, "write PRIMARY KEY … NOT ENFORCED", key.position))
}

/// `DISTRIBUTED BY [HASH|RANGE] (c) [INTO n BUCKETS]` or `DISTRIBUTED INTO n BUCKETS`, kept as text.
fn distribution(cursor: &mut Cursor<'_>) -> Parsed<Option<String>> {
    let start = cursor.position();
    if !cursor.take(&["DISTRIBUTED"]) {
        return Ok(None);
    }
    if cursor.take(&["BY"]) {
        cursor.take_one(&["HASH", "RANGE"]);
        cursor.names_in_parens()?;
    } else if !cursor.sees(&["INTO"]) {
        return cursor.parser.expected("BY or INTO", cursor.parser.peek_token());
    }
    if cursor.take(&["INTO"]) {
        cursor.parser.parse_literal_uint()?;
        cursor.expect(&["BUCKETS"])?;
    }
    Ok(Some(cursor.text_from(start)))
}

fn like(cursor: &mut Cursor<'_>) -> Parsed<Like> {
    let source = cursor.table_name()?;
    let mut options = Vec::new();
    if cursor.sign(&Token::LParen) {
        while !cursor.sign(&Token::RParen) {
            options.push(like_option(cursor)?);
            cursor.sign(&Token::Comma);
        }
    }
    Ok(Like { source, options })
}

fn like_option(cursor: &mut Cursor<'_>) -> Parsed<LikeOption> {
    let at = cursor.position();
    let strategy = match cursor.expect_one(&["INCLUDING", "EXCLUDING", "OVERWRITING"])? {
        "INCLUDING" => LikeStrategy::Including,
        "EXCLUDING" => LikeStrategy::Excluding,
        _ => LikeStrategy::Overwriting,
    };
    let word = cursor.expect_one(&[
        "ALL",
        "CONSTRAINTS",
        "DISTRIBUTION",
        "GENERATED",
        "METADATA",
        "OPTIONS",
        "PARTITIONS",
        "WATERMARKS",
    ])?;
    let feature = match word {
        "ALL" => LikeFeature::All,
        "CONSTRAINTS" => LikeFeature::Constraints,
        "DISTRIBUTION" => LikeFeature::Distribution,
        "GENERATED" => LikeFeature::Generated,
        "METADATA" => LikeFeature::Metadata,
        "OPTIONS" => LikeFeature::Options,
        "PARTITIONS" => LikeFeature::Partitions,
        _ => LikeFeature::Watermarks,
    };
    use LikeFeature::{All, Constraints, Distribution, Partitions};
    if strategy == LikeStrategy::Overwriting && matches!(feature, All | Constraints | Distribution | Partitions) {
        return Err(refuse(
            &format!("Illegal merging strategy 'OVERWRITING' for '{word}'."),
            "use INCLUDING or EXCLUDING",
            at,
        ));
    }
    Ok(LikeOption { strategy, feature })
}
