//! Finds the parts of a Debezium envelope without reading the rows in it.

use super::cursor::Cursor;
use crate::format::fault::{Fault, Parsed};

/// The parts of an envelope; None where missing or null.
#[derive(Default)]
pub(in crate::format) struct Envelope<'a> {
    /// Where the row before the change starts in the message, and its text.
    pub(in crate::format) before: Option<(usize, &'a [u8])>,
    /// The same for the row after the change.
    pub(in crate::format) after: Option<(usize, &'a [u8])>,
    /// The envelope itself.
    pub(in crate::format) payload: &'a [u8],
    /// The kind of change.
    pub(in crate::format) op: Option<&'a [u8]>,
}

impl<'a> Envelope<'a> {
    /// Reads the envelope that `message` is, or that its field `payload` holds when the schema is included.
    pub(in crate::format) fn read(message: &'a [u8], schema_include: bool) -> Parsed<Envelope<'a>> {
        let mut cursor = Cursor::new(message);
        cursor.skip_space();
        let mut envelope = Envelope::default();
        if schema_include {
            let mut found = false;
            each_field(&mut cursor, 0, |name, cursor| match name {
                b"payload" => {
                    found = true;
                    envelope.fill(cursor, 1)
                }
                _ => cursor.skip_value(1),
            })?;
            if !found {
                return Err(Fault::row("The \"payload\" field is missing"));
            }
        } else {
            envelope.fill(&mut cursor, 0)?;
        }
        cursor.skip_space();
        if cursor.at_end() { Ok(envelope) } else { Err(cursor.unexpected("the end of the message")) }
    }

    fn fill(&mut self, cursor: &mut Cursor<'a>, depth: usize) -> Parsed {
        let begin = cursor.position;
        each_field(cursor, depth, |name, cursor| {
            let (start, null) = (cursor.position, cursor.byte() == b'n');
            let text = cursor.byte() == b'"';
            cursor.skip_value(depth + 1)?;
            let value = cursor.since(start);
            match name {
                _ if null => {}
                b"before" => self.before = Some((start, value)),
                b"after" => self.after = Some((start, value)),
                b"op" if text => self.op = value.get(1..value.len() - 1),
                b"op" => self.op = Some(value),
                _ => {}
            }
            Ok(())
        })?;
        self.payload = cursor.since(begin);
        Ok(())
    }
}

/// Calls `visit` with each field's name as written, the cursor at its value; `visit` passes the value.
fn each_field<'a>(
    cursor: &mut Cursor<'a>,
    depth: usize,
    mut visit: impl FnMut(&[u8], &mut Cursor<'a>) -> Parsed,
) -> Parsed {
    cursor.deeper(depth)?;
    cursor.expect(b'{', "an object")?;
    if cursor.take(b'}') {
        return Ok(());
    }
    loop {
        let name = cursor.key()?.raw;
        visit(name, cursor)?;
        if cursor.end_of_item(b'}')? {
            return Ok(());
        }
    }
}
