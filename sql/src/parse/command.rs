//! The short statements: DROP, SHOW, DESCRIBE, SET, RESET, USE, STOP JOB, SUBSCRIBE, FLUSH.

use sqlparser::tokenizer::Token;

use super::cursor::{Cursor, Parsed};
use super::failure::{refuse, unsupported};
use crate::statement::{Drop, ObjectKind, Show, ShowFilter, ShowKind, Statement};

/// `DROP [TEMPORARY] TABLE|[MATERIALIZED] VIEW [IF EXISTS] name [RESTRICT|CASCADE]`; `DROP` is taken already.
pub(super) fn drop(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    let at = cursor.position();
    let temporary = cursor.take(&["TEMPORARY"]);
    let word = cursor.expect_one(&[
        "TABLE",
        "VIEW",
        "DATABASE",
        "CATALOG",
        "FUNCTION",
        "SYSTEM",
        "MODEL",
        "CONNECTION",
        "MATERIALIZED",
    ])?;
    let kind = match word {
        "TABLE" => ObjectKind::Table,
        "VIEW" => ObjectKind::View,
        "MATERIALIZED" if cursor.take(&["VIEW"]) && !temporary => ObjectKind::MaterializedView,
        other => return Err(unsupported(&format!("DROP {other} is not supported"), "", at)),
    };
    let (if_exists, name) = (cursor.if_exists(), cursor.table_name()?);
    let behavior = match kind {
        ObjectKind::MaterializedView | ObjectKind::Table => cursor.take_one(&["RESTRICT", "CASCADE"]),
        ObjectKind::View => None,
    };
    Ok(Statement::Drop(Drop { kind, name, temporary, if_exists, cascade: behavior == Some("CASCADE") }))
}

/// The command that begins here, if one does.
pub(super) fn command(cursor: &mut Cursor<'_>) -> Option<Parsed<Statement>> {
    let word = cursor.take_one(&["SET", "RESET", "SHOW", "DESCRIBE", "DESC", "USE", "STOP", "SUBSCRIBE", "FLUSH"])?;
    Some(match word {
        "SET" => set(cursor),
        "RESET" => reset(cursor),
        "SHOW" => show(cursor),
        "USE" => use_name(cursor),
        "STOP" => stop_job(cursor),
        "SUBSCRIBE" => subscribe(cursor),
        "FLUSH" => Ok(Statement::Flush),
        _ => describe(cursor),
    })
}

fn set(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    let position = cursor.position();
    match cursor.parser.peek_token().token {
        Token::EOF => return Ok(Statement::ShowSettings),
        Token::SingleQuotedString(_) => {}
        _ => return Err(refuse("The key of SET must be quoted.", "write SET 'key' = 'value'", position)),
    }
    let key = cursor.string()?;
    cursor.expect_sign(&Token::Eq)?;
    let value = cursor.string()?;
    Ok(Statement::Set { key, value, position })
}

fn reset(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    let key = if cursor.parser.peek_token().token == Token::EOF { None } else { Some(cursor.string()?) };
    Ok(Statement::Reset { key })
}

fn describe(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    let at = cursor.position();
    let second_is_name = matches!(cursor.parser.peek_nth_token(1).token, Token::Word(_) | Token::SingleQuotedString(_));
    if second_is_name {
        if let Some(what) = cursor.take_one(&["CATALOG", "JOB", "FUNCTION", "DATABASE", "MODEL"]) {
            return Err(unsupported(&format!("DESCRIBE {what} is not supported"), "", at));
        }
        cursor.take(&["EXTENDED"]);
    }
    Ok(Statement::Describe { name: cursor.table_name()? })
}

fn use_name(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    let at = cursor.position();
    if cursor.take(&["MODULES"]) {
        return Err(unsupported("USE MODULES is not supported", "", at));
    }
    if matches!(cursor.parser.peek_nth_token(1).token, Token::Word(_)) {
        cursor.take(&["CATALOG"]);
    }
    Ok(Statement::Use { name: cursor.table_name()? })
}

fn stop_job(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    cursor.expect(&["JOB"])?;
    let id = cursor.string()?;
    let mut with_savepoint = false;
    while cursor.take(&["WITH"]) {
        with_savepoint |= cursor.expect_one(&["SAVEPOINT", "DRAIN"])? == "SAVEPOINT";
    }
    Ok(Statement::StopJob { id, with_savepoint })
}

fn subscribe(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    cursor.expect(&["TO"])?;
    Ok(Statement::Subscribe { name: cursor.table_name()? })
}

fn show(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    let at = cursor.position();
    if cursor.take(&["CREATE"]) {
        let kind = match cursor.expect_one(&["TABLE", "VIEW", "MATERIALIZED"])? {
            "TABLE" => ObjectKind::Table,
            "VIEW" => ObjectKind::View,
            _ => {
                cursor.expect(&["VIEW"])?;
                ObjectKind::MaterializedView
            }
        };
        return Ok(Statement::ShowCreate { kind, name: cursor.table_name()? });
    }
    if cursor.take(&["COLUMNS"]) {
        cursor.expect_one(&["FROM", "IN"])?;
        return Ok(Statement::Describe { name: cursor.table_name()? });
    }
    if cursor.take(&["CURRENT"]) {
        let kind = match cursor.expect_one(&["CATALOG", "DATABASE"])? {
            "CATALOG" => ShowKind::CurrentCatalog,
            _ => ShowKind::CurrentDatabase,
        };
        return Ok(Statement::Show(Show { kind, job: None, filter: None }));
    }
    cursor.take_one(&["USER", "FULL"]);
    let word = cursor.expect_one(&[
        "TABLES",
        "VIEWS",
        "FUNCTIONS",
        "JOBS",
        "LAG",
        "CHECKPOINTS",
        "CATALOGS",
        "DATABASES",
        "MODULES",
        "JARS",
        "PARTITIONS",
        "PROCEDURES",
        "MODELS",
        "CONNECTIONS",
        "MATERIALIZED",
    ])?;
    let kind = match word {
        "TABLES" => ShowKind::Tables,
        "VIEWS" => ShowKind::Views,
        "MATERIALIZED" if cursor.take(&["VIEWS"]) => ShowKind::MaterializedViews,
        "FUNCTIONS" => ShowKind::Functions,
        "JOBS" => ShowKind::Jobs,
        "LAG" => ShowKind::Lag,
        "CHECKPOINTS" => ShowKind::Checkpoints,
        "CATALOGS" => ShowKind::Catalogs,
        "DATABASES" => ShowKind::Databases,
        "MODULES" => ShowKind::Modules,
        other => return Err(unsupported(&format!("SHOW {other} is not supported"), "", at)),
    };
    if matches!(kind, ShowKind::Lag | ShowKind::Checkpoints) {
        let job = if cursor.take(&["FOR", "JOB"]) { Some(cursor.string()?) } else { None };
        return Ok(Statement::Show(Show { kind, job, filter: None }));
    }
    if cursor.take_one(&["FROM", "IN"]).is_some() {
        cursor.table_name()?;
    }
    Ok(Statement::Show(Show { kind, job: None, filter: show_filter(cursor)? }))
}

fn show_filter(cursor: &mut Cursor<'_>) -> Parsed<Option<ShowFilter>> {
    let negated = cursor.take(&["NOT"]);
    let Some(word) = cursor.take_one(&["LIKE", "ILIKE"]) else {
        return if negated { cursor.parser.expected("LIKE", cursor.parser.peek_token()) } else { Ok(None) };
    };
    Ok(Some(ShowFilter { negated, ignore_case: word == "ILIKE", pattern: cursor.string()? }))
}
