//! The decoder of the `csv` format: one line per message, fields by position.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use eddyline_engine::changelog::ChangelogBatch;
use eddyline_engine::error::{Error, Result};

use super::CsvOptions;
use super::fields::Fields;
use crate::format::Decoder;
use crate::format::columns::{Column, Row, Values};
use crate::format::fault::{Fault, Parsed, excerpt};
use crate::format::text::{self, Decimal, TimestampForm};

/// The decoder of the `csv` format.
pub(super) struct CsvDecoder {
    schema: SchemaRef,
    options: Arc<CsvOptions>,
    row: Row,
    rows: usize,
    skipped: u64,
    fields: Fields,
}

impl CsvDecoder {
    /// For rows of `schema`.
    pub(super) fn new(schema: SchemaRef, options: &Arc<CsvOptions>) -> Result<CsvDecoder> {
        let row = Row::new(schema.fields())?;
        let (options, fields) = (options.clone(), Fields::default());
        Ok(CsvDecoder { schema, options, row, rows: 0, skipped: 0, fields })
    }

    fn read(&mut self, line: &[u8]) -> Parsed {
        self.row.admit(line.len())?;
        self.fields.split(line, &self.options.quoting)?;
        self.check_count()?;
        for (index, column) in self.row.columns.iter_mut().enumerate() {
            let read = match self.fields.get(index) {
                Some(field) => read_field(field, column, &self.options),
                None => null(column),
            };
            read.map_err(|fault| fault.within(column.field().name()))?;
        }
        Ok(())
    }

    fn check_count(&self) -> Parsed {
        let (expected, found) = (self.row.columns.len(), self.fields.len());
        let options = &self.options;
        if found < expected && (options.fail_on_missing_columns || !options.ignore_parse_errors) {
            return Err(Fault::row(format!("Row length mismatch. {expected} fields expected but was {found}")));
        }
        let trailing_comma = found == expected + 1 && self.fields.get(expected) == Some(b"");
        if found > expected && !options.ignore_trailing_unmappable && !(trailing_comma && options.allow_trailing_comma)
        {
            return Err(Fault::row(format!("Too many entries: expected at most {expected}, found {found}")));
        }
        Ok(())
    }
}

impl Decoder for CsvDecoder {
    /// A line end behind the line is left out. Without one, an empty message has no row; with one, it is a line with
    /// one empty field.
    fn decode(&mut self, message: &[u8]) -> Result<()> {
        let line = message.strip_suffix(b"\n").unwrap_or(message);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if message.is_empty() || self.options.quoting.is_comment(line) {
            return Ok(());
        }
        match self.read(line) {
            Ok(()) => {
                self.rows += 1;
                Ok(())
            }
            Err(fault) => {
                self.row.truncate(self.rows);
                if self.options.ignore_parse_errors {
                    self.skipped += 1;
                    return Ok(());
                }
                let shown = excerpt(line, 200);
                Err(Error::data(format!("Failed to deserialize CSV row '{shown}'. {}", fault.describe())).with_hint(
                    "with 'csv.ignore-parse-errors' = 'true' bad fields are read as NULL and bad lines skipped",
                ))
            }
        }
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn take(&mut self) -> Result<ChangelogBatch> {
        let rows = std::mem::take(&mut self.rows);
        Ok(ChangelogBatch::inserts(self.row.finish_batch(&self.schema, rows)?))
    }

    fn skipped(&self) -> u64 {
        self.skipped
    }
}

fn null(column: &mut Column) -> Parsed {
    if !column.field().is_nullable() {
        return Err(Fault::null_in_not_null(column.field().name()));
    }
    column.push_null();
    Ok(())
}

/// Appends `field` to `column`.
fn read_field(field: &[u8], column: &mut Column, options: &CsvOptions) -> Parsed {
    let is_null = options.null_literal.as_deref().is_some_and(|literal| literal.as_bytes() == field)
        || (options.empty_string_as_null && field.is_empty());
    if is_null {
        return null(column);
    }
    let len = column.len();
    match read_strictly(field, column, options) {
        Err(fault) if !fault.fatal && options.ignore_parse_errors => {
            column.truncate(len);
            null(column)
        }
        read => read,
    }
}

fn read_strictly(field: &[u8], column: &mut Column, options: &CsvOptions) -> Parsed {
    match &mut column.values {
        Values::Utf8(values) => {
            if std::str::from_utf8(field).is_err() {
                return Err(Fault::row("invalid UTF-8 in the text"));
            }
            values.push(field);
        }
        Values::List(ends, items) => {
            for element in elements(field, options) {
                read_field(element, items, options)?;
            }
            ends.push(items.len());
        }
        Values::Row(row) => {
            let elements = elements(field, options);
            if elements.is_empty() {
                return null(column);
            }
            let (expected, found) = (row.columns.len(), elements.len());
            if expected != found && !options.ignore_parse_errors {
                return Err(Fault::field(format!("Row length mismatch. {expected} fields expected but was {found}")));
            }
            for (index, part) in row.columns.iter_mut().enumerate() {
                match elements.get(index) {
                    Some(element) => read_field(element, part, options)?,
                    None => null(part)?,
                }
            }
        }
        Values::Decimal(values, precision, scale) => match decimal(field, *precision, *scale) {
            Some(Decimal::Unscaled(value)) => values.push(value),
            Some(Decimal::TooLarge) => return null(column),
            None => return Err(Fault::value(0, column.field(), field).without_position()),
        },
        _ => {
            if push_scalar(field, column).is_none() {
                return Err(Fault::value(0, column.field(), quoted(field)).without_position());
            }
        }
    }
    column.valid();
    Ok(())
}

fn quoted(field: &[u8]) -> String {
    format!("'{}'", String::from_utf8_lossy(field))
}

/// Blanks around a DECIMAL are no part of a number for Java.
fn decimal(field: &[u8], precision: u8, scale: i8) -> Option<Decimal> {
    if text::trim(field).len() == field.len() { text::decimal(field, precision, scale) } else { None }
}

fn push_scalar(field: &[u8], column: &mut Column) -> Option<()> {
    match &mut column.values {
        Values::Boolean(v) => v.append(text::boolean(field)),
        Values::Int8(v) => v.push(i8::try_from(text::integer(field)?).ok()?),
        Values::Int16(v) => v.push(i16::try_from(text::integer(field)?).ok()?),
        Values::Int32(v) => v.push(i32::try_from(text::integer(field)?).ok()?),
        Values::Int64(v) => v.push(text::integer(field)?),
        Values::Float32(v) => v.push(text::float(field)?),
        Values::Float64(v) => v.push(text::double(field)?),
        Values::Binary(v) => text::base64(field, &mut v.data).map(|()| v.finish())?,
        Values::Date(v) => v.push(text::date(field)?),
        Values::Time(v, unit) => v.push(text::time(field, *unit)?),
        Values::Timestamp(v, unit, zoned) => {
            v.push(text::timestamp(text::trim(field), TimestampForm::Sql, *zoned, *unit)?);
        }
        Values::Utf8(_) | Values::Decimal(..) | Values::List(..) | Values::Map(..) | Values::Row(_) => return None,
    }
    Some(())
}

/// The elements of a collection in one field; an empty or blank field has none.
fn elements<'a>(field: &'a [u8], options: &CsvOptions) -> Vec<&'a [u8]> {
    let delimiter = options.array_element_delimiter.as_bytes();
    if field.trim_ascii().is_empty() {
        return Vec::new();
    }
    let mut parts = Vec::new();
    let mut start = 0;
    for at in memchr::memmem::find_iter(field, delimiter) {
        parts.push(&field[start..at]);
        start = at + delimiter.len();
    }
    parts.push(&field[start..]);
    if options.quoting.trim {
        parts.iter_mut().for_each(|part| *part = text::trim(part));
    }
    parts
}
