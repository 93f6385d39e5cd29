//! The decoder of the `json` format: one object, or an array of objects, per message.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use eddyline_engine::changelog::ChangelogBatch;
use eddyline_engine::error::{Error, Result};

use super::JsonOptions;
use super::cursor::Cursor;
use super::row;
use super::value::{Rules, Scratch, holds_decimal};
use crate::format::Decoder;
use crate::format::columns::Row;
use crate::format::fault::{Fault, Parsed, excerpt};

/// Reads objects into the columns of one schema; what JSON and the formats built on it share.
pub(in crate::format) struct JsonRows {
    schema: SchemaRef,
    rules: Rules,
    row: Row,
    rows: usize,
    scratch: Scratch,
}

impl JsonRows {
    /// Without rows yet.
    pub(in crate::format) fn new(schema: SchemaRef, options: &JsonOptions) -> Result<JsonRows> {
        super::check_map_keys(schema.fields())?;
        let rules = Rules {
            fail_on_missing_field: options.fail_on_missing_field,
            ignore_parse_errors: options.ignore_parse_errors,
            timestamps: options.timestamps,
            exact_fractions: schema.fields().iter().any(|f| holds_decimal(f)),
        };
        let row = Row::new(schema.fields())?;
        Ok(JsonRows { schema, rules, row, rows: 0, scratch: Scratch::default() })
    }

    /// Rows gathered.
    pub(in crate::format) fn rows(&self) -> usize {
        self.rows
    }

    /// Appends the object that `message` consists of, or each object of the array that it consists of; nothing for a
    /// blank message. On a fault nothing was appended.
    pub(in crate::format) fn read(&mut self, message: &[u8]) -> Parsed {
        self.row.admit(message.len())?;
        let before = self.rows;
        let read = self.read_message(message);
        if read.is_err() {
            self.truncate(before);
        }
        read
    }

    /// Takes back the rows from `rows` on.
    pub(in crate::format) fn truncate(&mut self, rows: usize) {
        self.row.truncate(rows);
        self.rows = rows;
    }

    /// Hands over the rows.
    pub(in crate::format) fn take(&mut self) -> Result<arrow::array::RecordBatch> {
        let rows = std::mem::take(&mut self.rows);
        self.row.finish_batch(&self.schema, rows)
    }

    fn read_message(&mut self, message: &[u8]) -> Parsed {
        let mut cursor = Cursor::new(message);
        cursor.skip_space();
        match cursor.byte() {
            0 if cursor.at_end() => return Ok(()),
            b'[' => self.read_array(&mut cursor)?,
            _ => self.read_object(&mut cursor, 0)?,
        }
        cursor.skip_space();
        if cursor.at_end() { Ok(()) } else { Err(cursor.unexpected("the end of the message")) }
    }

    fn read_array(&mut self, cursor: &mut Cursor) -> Parsed {
        cursor.expect(b'[', "an array")?;
        if cursor.take(b']') {
            return Ok(());
        }
        loop {
            self.read_object(cursor, 1)?;
            if cursor.end_of_item(b']')? {
                return Ok(());
            }
        }
    }

    fn read_object(&mut self, cursor: &mut Cursor, depth: usize) -> Parsed {
        row::read(cursor, &mut self.row, self.rows, &self.rules, &mut self.scratch, depth)?;
        self.rows += 1;
        Ok(())
    }
}

/// The decoder of the `json` format.
pub(super) struct JsonDecoder {
    rows: JsonRows,
    ignore_parse_errors: bool,
    skipped: u64,
}

impl JsonDecoder {
    /// For rows of `schema`.
    pub(super) fn new(schema: SchemaRef, options: &Arc<JsonOptions>) -> Result<JsonDecoder> {
        let rows = JsonRows::new(schema, options)?;
        Ok(JsonDecoder { rows, ignore_parse_errors: options.ignore_parse_errors, skipped: 0 })
    }
}

impl Decoder for JsonDecoder {
    fn decode(&mut self, message: &[u8]) -> Result<()> {
        match self.rows.read(message) {
            Ok(()) => Ok(()),
            Err(_) if self.ignore_parse_errors => {
                self.skipped += 1;
                Ok(())
            }
            Err(fault) => Err(deserialization_error(message, &fault)),
        }
    }

    fn rows(&self) -> usize {
        self.rows.rows()
    }

    fn take(&mut self) -> Result<ChangelogBatch> {
        Ok(ChangelogBatch::inserts(self.rows.take()?))
    }

    fn skipped(&self) -> u64 {
        self.skipped
    }
}

#[cold]
fn deserialization_error(message: &[u8], fault: &Fault) -> Error {
    let text = format!("Failed to deserialize JSON '{}'. {}", excerpt(message, 200), fault.describe());
    Error::data(text)
        .with_hint("with 'json.ignore-parse-errors' = 'true' bad fields are read as NULL and bad messages skipped")
}
