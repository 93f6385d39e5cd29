//! Reads one JSON object into the columns of a row.

use super::cursor::Cursor;
use super::value::{self, Rules, Scratch};
use crate::format::columns::Row;
use crate::format::fault::{Fault, Parsed};

/// Reads the object here as row number `index`. On a fault some columns may hold a value too many; the caller truncates.
pub(super) fn read(
    cursor: &mut Cursor,
    row: &mut Row,
    index: usize,
    rules: &Rules,
    scratch: &mut Scratch,
    depth: usize,
) -> Parsed {
    let depth = cursor.deeper(depth)?;
    cursor.expect(b'{', "an object")?;
    let mut filled = 0;
    if !cursor.take(b'}') {
        for number in 0.. {
            match find_column(cursor, row, number, scratch)? {
                None => cursor.skip_value(depth)?,
                Some(column) => {
                    let column = &mut row.columns[column];
                    if column.len() > index {
                        // The key was there before: its last value counts.
                        column.truncate(index);
                        filled -= 1;
                    }
                    if let Err(fault) = value::read(cursor, column, rules, scratch, depth) {
                        return Err(fault.within(column.field().name()));
                    }
                    filled += 1;
                }
            }
            if cursor.end_of_item(b'}')? {
                break;
            }
        }
    }
    if filled == row.columns.len() { Ok(()) } else { fill_missing(row, index, rules) }
}

/// Passes the key here and the colon behind it; answers the key's column.
#[inline]
fn find_column(cursor: &mut Cursor, row: &mut Row, number: usize, scratch: &mut Scratch) -> Parsed<Option<usize>> {
    if let Some((length, column)) = row.keys.guess(number, cursor.rest()) {
        cursor.position += length;
        cursor.expect(b':', "a colon behind the field name")?;
        return Ok(column);
    }
    let start = cursor.position;
    if cursor.byte() != b'"' {
        return Err(cursor.unexpected("a field name in double quotes"));
    }
    let key = cursor.string()?;
    let raw = cursor.since(start);
    cursor.expect(b':', "a colon behind the field name")?;
    if !key.escaped {
        return Ok(row.keys.look_up(number, raw, key.raw));
    }
    scratch.text.clear();
    key.append_to(start, &mut scratch.text)?;
    Ok(row.keys.look_up(number, raw, &scratch.text))
}

fn fill_missing(row: &mut Row, index: usize, rules: &Rules) -> Parsed {
    for column in row.columns.iter_mut().filter(|column| column.len() == index) {
        if rules.fail_on_missing_field {
            return Err(Fault::field(format!("Could not find field with name '{}'", column.field().name())));
        }
        value::null(column)?;
    }
    Ok(())
}
