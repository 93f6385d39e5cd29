//! Rewrites a JSON array or object as the shortest JSON text, the way Jackson prints a tree: no blanks, only the
//! necessary escapes, fractions in Java's form.

use super::cursor::Cursor;
use crate::format::fault::Parsed;
use crate::format::print;

/// Appends the value here to `out`. With `exact`, fractions keep all their digits, else they are rounded to DOUBLE.
pub(super) fn append(cursor: &mut Cursor, out: &mut Vec<u8>, exact: bool, depth: usize) -> Parsed {
    match cursor.byte() {
        b'"' => append_text(cursor, out),
        b'{' => append_nested(cursor, out, exact, depth, b'}'),
        b'[' => append_nested(cursor, out, exact, depth, b']'),
        b'-' | b'0'..=b'9' => append_number(cursor, out, exact),
        _ => {
            let start = cursor.position;
            cursor.skip_value(depth)?;
            out.extend_from_slice(cursor.since(start));
            Ok(())
        }
    }
}

fn append_text(cursor: &mut Cursor, out: &mut Vec<u8>) -> Parsed {
    let position = cursor.position;
    let text = cursor.string()?;
    requote(text, position, out)
}

fn requote(text: super::cursor::Text, position: usize, out: &mut Vec<u8>) -> Parsed {
    let start = out.len();
    text.append_to(position, out)?;
    let plain = out.split_off(start);
    print::json_text(&plain, out);
    Ok(())
}

fn append_number(cursor: &mut Cursor, out: &mut Vec<u8>, exact: bool) -> Parsed {
    let number = cursor.number()?;
    match (number.float, exact) {
        (false, _) => out.extend_from_slice(number.text),
        (true, true) => print::decimal_text(number.text, out),
        (true, false) => {
            let value = crate::format::text::double(number.text).unwrap_or(f64::NAN);
            print::json_double(value, out);
        }
    }
    Ok(())
}

fn append_nested(cursor: &mut Cursor, out: &mut Vec<u8>, exact: bool, depth: usize, close: u8) -> Parsed {
    let depth = cursor.deeper(depth)?;
    out.push(cursor.byte());
    cursor.position += 1;
    cursor.skip_space();
    if cursor.take(close) {
        out.push(close);
        return Ok(());
    }
    loop {
        if close == b'}' {
            let position = cursor.position;
            let key = cursor.key()?;
            requote(key, position, out)?;
            out.push(b':');
        }
        append(cursor, out, exact, depth)?;
        if cursor.end_of_item(close)? {
            out.push(close);
            return Ok(());
        }
        out.push(b',');
    }
}
