//! `ALTER TABLE`, `ALTER VIEW`.

use sqlparser::tokenizer::Token;

use super::create::{self, Element};
use super::cursor::{Cursor, Parsed};
use super::failure::{refuse, unsupported};
use crate::statement::{AlterAction, AlterTable, AlterView, ColumnPosition, Statement};

/// What stands behind `ALTER`.
pub(super) fn alter(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    let at = cursor.position();
    match cursor.expect_one(&["TABLE", "VIEW", "DATABASE", "CATALOG", "FUNCTION", "MATERIALIZED", "MODEL"])? {
        "TABLE" => alter_table(cursor).map(Statement::AlterTable),
        "VIEW" => alter_view(cursor).map(Statement::AlterView),
        other => Err(unsupported(&format!("ALTER {other} is not supported"), "", at)),
    }
}

fn alter_view(cursor: &mut Cursor<'_>) -> Parsed<AlterView> {
    let name = cursor.table_name()?;
    if cursor.take(&["RENAME", "TO"]) {
        return Ok(AlterView::Rename { name, to: cursor.table_name()? });
    }
    cursor.expect(&["AS"])?;
    let start = cursor.position();
    let query = cursor.query()?;
    let query_text = cursor.text_from(start);
    Ok(AlterView::Query { name, query, query_text })
}

fn alter_table(cursor: &mut Cursor<'_>) -> Parsed<AlterTable> {
    let if_exists = cursor.if_exists();
    let name = cursor.table_name()?;
    let at = cursor.position();
    let actions = match cursor.expect_one(&["ADD", "MODIFY", "DROP", "RENAME", "SET", "RESET"])? {
        "ADD" => changes(cursor, true)?,
        "MODIFY" => changes(cursor, false)?,
        "DROP" => drops(cursor)?,
        "RENAME" => vec![rename(cursor)?],
        "SET" => vec![AlterAction::SetOptions(cursor.options()?)],
        _ => vec![AlterAction::ResetOptions(cursor.in_parens(Cursor::string)?)],
    };
    if actions.is_empty() {
        return Err(refuse("ALTER TABLE changes nothing.", "", at));
    }
    Ok(AlterTable { name, if_exists, actions })
}

fn rename(cursor: &mut Cursor<'_>) -> Parsed<AlterAction> {
    if cursor.take(&["TO"]) {
        return cursor.table_name().map(AlterAction::RenameTable);
    }
    let from = cursor.name()?;
    cursor.expect(&["TO"])?;
    Ok(AlterAction::RenameColumn { from, to: cursor.name()? })
}

fn changes(cursor: &mut Cursor<'_>, add: bool) -> Parsed<Vec<AlterAction>> {
    if cursor.parser.peek_token().token == Token::LParen {
        return Ok(cursor.in_parens(|c| change(c, add))?.into_iter().flatten().collect());
    }
    change(cursor, add)
}

/// One column (with what may stand behind it), watermark or key.
fn change(cursor: &mut Cursor<'_>, add: bool) -> Parsed<Vec<AlterAction>> {
    let at = cursor.position();
    let element = create::element(cursor)?;
    if let Element::Column(_, Some(key)) | Element::PrimaryKey(key) = &element {
        create::refuse_enforced(key)?;
    }
    Ok(match element {
        Element::Column(column, key) => {
            let place = column_position(cursor)?;
            let first = match add {
                true => AlterAction::AddColumn(column, place),
                false => AlterAction::ModifyColumn(column, place),
            };
            let key = key.map(if add { AlterAction::AddPrimaryKey } else { AlterAction::ModifyPrimaryKey });
            std::iter::once(first).chain(key).collect()
        }
        Element::Watermark(watermark) if add => vec![AlterAction::AddWatermark(watermark)],
        Element::Watermark(watermark) => vec![AlterAction::ModifyWatermark(watermark)],
        Element::PrimaryKey(key) if add => vec![AlterAction::AddPrimaryKey(key)],
        Element::PrimaryKey(key) => vec![AlterAction::ModifyPrimaryKey(key)],
        Element::Name(name) => return Err(refuse(&format!("Column '{name}' has no type."), "", at)),
    })
}

fn column_position(cursor: &mut Cursor<'_>) -> Parsed<Option<ColumnPosition>> {
    if cursor.take(&["FIRST"]) {
        return Ok(Some(ColumnPosition::First));
    }
    if cursor.take(&["AFTER"]) {
        return Ok(Some(ColumnPosition::After(cursor.name()?)));
    }
    Ok(None)
}

fn drops(cursor: &mut Cursor<'_>) -> Parsed<Vec<AlterAction>> {
    if cursor.take(&["WATERMARK"]) {
        return Ok(vec![AlterAction::DropWatermark]);
    }
    if cursor.take(&["PRIMARY", "KEY"]) {
        return Ok(vec![AlterAction::DropPrimaryKey]);
    }
    if cursor.take(&["CONSTRAINT"]) {
        cursor.name()?;
        return Ok(vec![AlterAction::DropPrimaryKey]);
    }
    if cursor.parser.peek_token().token == Token::LParen {
        return Ok(cursor.names_in_parens()?.into_iter().map(AlterAction::DropColumn).collect());
    }
    Ok(vec![AlterAction::DropColumn(cursor.name()?)])
}
