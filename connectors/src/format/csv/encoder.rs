//! The encoder of the `csv` format: one line per row, without line end.
//!
//! Fields are quoted as Jackson quotes them for Flink: when a text is longer than 24 characters, or holds a character
//! that is not greater than delimiter and quote (so also blanks), or the escape character.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Schema,
};
use eddyline_engine::changelog::ChangelogBatch;
use eddyline_engine::error::Result;

use super::CsvOptions;
use crate::format::columns::unsupported;
use crate::format::print;
use crate::format::temporal;
use crate::format::text::TimestampForm;
use crate::format::{Encoder, Messages};

/// Longer texts are quoted unseen.
const MAX_QUOTE_CHECK: usize = 24;

/// The encoder of the `csv` format.
pub(super) struct CsvEncoder {
    options: Arc<CsvOptions>,
}

/// Appends the text of one value, which is not NULL.
type Writer<'a> = Box<dyn Fn(usize, &mut Vec<u8>) + 'a>;

struct Column<'a> {
    array: &'a dyn Array,
    writer: Writer<'a>,
    /// True when the text may need quotes.
    text: bool,
}

impl CsvEncoder {
    /// For rows of `schema`.
    pub(super) fn new(schema: &Schema, options: &Arc<CsvOptions>) -> Result<CsvEncoder> {
        // An empty batch resolves all types, so that an unsupported one shows at the start.
        columns(&RecordBatch::new_empty(Arc::new(schema.clone())), options)?;
        Ok(CsvEncoder { options: options.clone() })
    }

    fn write_text(&self, text: &[u8], out: &mut Vec<u8>) {
        let quoting = &self.options.quoting;
        let Some(quote) = quoting.quote.filter(|quote| self.needs_quotes(text, *quote)) else {
            return out.extend_from_slice(text);
        };
        out.push(quote);
        for byte in text {
            if *byte == quote || Some(*byte) == quoting.escape {
                out.push(*byte);
            }
            out.push(*byte);
        }
        out.push(quote);
    }

    fn needs_quotes(&self, text: &[u8], quote: u8) -> bool {
        let largest = self.options.quoting.delimiter.max(quote).max(b'\r');
        let special = |byte: &u8| *byte <= largest || Some(*byte) == self.options.quoting.escape;
        text.iter().any(special) || (text.len() > MAX_QUOTE_CHECK && utf16_length(text) > MAX_QUOTE_CHECK)
    }
}

/// Length of UTF-8 text in Java's characters.
fn utf16_length(text: &[u8]) -> usize {
    text.iter().map(|byte| usize::from(byte & 0xC0 != 0x80) + usize::from(*byte >= 0xF0)).sum()
}

impl Encoder for CsvEncoder {
    fn encode(&mut self, batch: &ChangelogBatch, out: &mut Messages) -> Result<()> {
        let null = self.options.null_literal.as_deref().unwrap_or_default().as_bytes();
        let columns = columns(batch.rows(), &self.options)?;
        let mut text = Vec::new();
        for row in 0..batch.len() {
            for (index, column) in columns.iter().enumerate() {
                if index > 0 {
                    out.buffer().push(self.options.quoting.delimiter);
                }
                if column.array.is_null(row) {
                    out.buffer().extend_from_slice(null);
                } else if column.text {
                    text.clear();
                    (column.writer)(row, &mut text);
                    self.write_text(&text, out.buffer());
                } else {
                    (column.writer)(row, out.buffer());
                }
            }
            out.finish();
        }
        Ok(())
    }
}

fn columns<'a>(batch: &'a RecordBatch, options: &'a CsvOptions) -> Result<Vec<Column<'a>>> {
    let columns = batch.schema_ref().fields().iter().zip(batch.columns()).map(|(field, array)| {
        let array = array.as_ref();
        let plain = array.data_type().is_integer()
            || matches!(array.data_type(), DataType::Boolean | DataType::Float32 | DataType::Float64);
        Ok(Column { array, writer: writer(field.name(), array, options)?, text: !plain })
    });
    columns.collect()
}

fn writer<'a>(name: &str, array: &'a dyn Array, options: &'a CsvOptions) -> Result<Writer<'a>> {
    macro_rules! print {
        ($array:expr, |$value:ident, $out:ident| $body:expr) => {{
            let array = $array;
            Box::new(move |row, $out: &mut Vec<u8>| {
                let $value = array.value(row);
                $body
            })
        }};
    }
    Ok(match array.data_type() {
        DataType::Boolean => {
            print!(array.as_boolean(), |v, out| out.extend_from_slice(if v { b"true" } else { b"false" }))
        }
        DataType::Int8 => print!(array.as_primitive::<Int8Type>(), |v, out| print::integer(v.into(), out)),
        DataType::Int16 => print!(array.as_primitive::<Int16Type>(), |v, out| print::integer(v.into(), out)),
        DataType::Int32 => print!(array.as_primitive::<Int32Type>(), |v, out| print::integer(v.into(), out)),
        DataType::Int64 => print!(array.as_primitive::<Int64Type>(), |v, out| print::integer(v, out)),
        DataType::Float32 => print!(array.as_primitive::<Float32Type>(), |v, out| print::float(v, out)),
        DataType::Float64 => print!(array.as_primitive::<Float64Type>(), |v, out| print::double(v, out)),
        DataType::Decimal128(_, scale) => {
            let scale = *scale;
            print!(array.as_primitive::<Decimal128Type>(), |v, out| print::decimal(v, scale, options.decimals, out))
        }
        DataType::Utf8 => print!(array.as_string::<i32>(), |v, out| out.extend_from_slice(v.as_bytes())),
        DataType::Binary => print!(array.as_binary::<i32>(), |v, out| print::base64(v, out)),
        DataType::Date32 => print!(array.as_primitive::<Date32Type>(), |v, out| print::date(v.into(), out)),
        DataType::Time32(unit) | DataType::Time64(unit) => {
            let unit = *unit;
            print!(temporal::instants(name, array)?, |v, out| print::time(v, unit, out))
        }
        DataType::Timestamp(unit, zone) => {
            let (unit, zoned) = (*unit, zone.is_some());
            let form = TimestampForm::Sql;
            print!(temporal::instants(name, array)?, |v, out| print::timestamp(v, unit, form, zoned, out))
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let items = list.values().as_ref();
            let item = writer(name, items, options)?;
            Box::new(move |row, out: &mut Vec<u8>| {
                let offsets = list.value_offsets();
                let range = offsets[row] as usize..offsets[row + 1] as usize;
                write_elements(range.map(|index| (items, &item, index)), options, out);
            })
        }
        DataType::Struct(fields) => {
            let parts = array.as_struct().columns().iter().zip(fields);
            let parts = parts.map(|(part, field)| Ok((part.as_ref(), writer(field.name(), part.as_ref(), options)?)));
            let parts = parts.collect::<Result<Vec<(&dyn Array, Writer)>>>()?;
            Box::new(move |row, out: &mut Vec<u8>| {
                write_elements(parts.iter().map(|(part, writer)| (*part, writer, row)), options, out);
            })
        }
        other => return Err(unsupported(name, other)),
    })
}

/// Writes the elements of a collection, which are given as array, writer and index.
fn write_elements<'b, 'a: 'b>(
    elements: impl Iterator<Item = (&'b dyn Array, &'b Writer<'a>, usize)>,
    options: &CsvOptions,
    out: &mut Vec<u8>,
) {
    for (position, (array, writer, index)) in elements.enumerate() {
        if position > 0 {
            out.extend_from_slice(options.array_element_delimiter.as_bytes());
        }
        if array.is_null(index) {
            out.extend_from_slice(options.null_literal.as_deref().unwrap_or_default().as_bytes());
        } else {
            writer(index, out);
        }
    }
}
