//! The encoder of the `json` format: one object per row.
//!
//! The types of a batch are resolved once into [`Writer`]s over its arrays, with the text of each field's name ready;
//! the loop over rows only copies bytes and prints values.

use std::sync::Arc;

use arrow::array::{
    Array, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array,
    Int16Array, Int32Array, Int64Array, ListArray, MapArray, StringArray, StructArray,
};
use arrow::datatypes::{DataType, Fields, Schema, TimeUnit};
use arrow::record_batch::RecordBatch;
use eddyline_engine::changelog::ChangelogBatch;
use eddyline_engine::error::Result;

use super::{JsonOptions, check_map_keys};
use crate::format::columns::unsupported;
use crate::format::print::{self, DecimalForm};
use crate::format::temporal::{self, Instants};
use crate::format::{Encoder, Messages};

/// The encoder of the `json` format.
pub(super) struct JsonEncoder {
    options: Arc<JsonOptions>,
}

impl JsonEncoder {
    /// For rows of `schema`.
    pub(super) fn new(schema: &Schema, options: &Arc<JsonOptions>) -> Result<JsonEncoder> {
        check_map_keys(schema.fields())?;
        // An empty batch resolves all types, so that an unsupported one shows at the start.
        RowWriter::new(&RecordBatch::new_empty(Arc::new(schema.clone())), options)?;
        Ok(JsonEncoder { options: options.clone() })
    }
}

impl Encoder for JsonEncoder {
    fn encode(&mut self, batch: &ChangelogBatch, out: &mut Messages) -> Result<()> {
        let writer = RowWriter::new(batch.rows(), &self.options)?;
        for row in 0..batch.len() {
            writer.write(row, out.buffer());
            out.finish();
        }
        Ok(())
    }
}

/// Writes the rows of one batch as JSON objects.
pub(in crate::format) struct RowWriter<'a> {
    fields: Vec<FieldWriter<'a>>,
    options: &'a JsonOptions,
}

struct FieldWriter<'a> {
    /// The name in quotes, and a colon.
    label: Vec<u8>,
    array: &'a dyn Array,
    writer: Writer<'a>,
}

/// The values of one array, by type.
enum Writer<'a> {
    Boolean(&'a BooleanArray),
    Int8(&'a Int8Array),
    Int16(&'a Int16Array),
    Int32(&'a Int32Array),
    Int64(&'a Int64Array),
    Float32(&'a Float32Array),
    Float64(&'a Float64Array),
    Decimal(&'a Decimal128Array, i8),
    Utf8(&'a StringArray),
    Binary(&'a BinaryArray),
    Date(&'a Date32Array),
    Time(Instants<'a>, TimeUnit),
    Timestamp(Instants<'a>, TimeUnit, bool),
    List(&'a ListArray, &'a dyn Array, Box<Writer<'a>>),
    Map(&'a MapArray, &'a StringArray, &'a dyn Array, Box<Writer<'a>>),
    Row(Vec<FieldWriter<'a>>),
}

impl<'a> RowWriter<'a> {
    /// Resolves the types of `batch`.
    pub(in crate::format) fn new(batch: &'a RecordBatch, options: &'a JsonOptions) -> Result<RowWriter<'a>> {
        let fields = batch.schema_ref().fields();
        let columns = batch.columns().iter().map(|column| column.as_ref());
        Ok(RowWriter { fields: field_writers(fields, columns)?, options })
    }

    /// Appends the object of row `row` to `out`.
    pub(in crate::format) fn write(&self, row: usize, out: &mut Vec<u8>) {
        write_object(&self.fields, row, self.options, out);
    }
}

fn field_writers<'a>(fields: &Fields, arrays: impl Iterator<Item = &'a dyn Array>) -> Result<Vec<FieldWriter<'a>>> {
    let writers = fields.iter().zip(arrays).map(|(field, array)| {
        let mut label = Vec::new();
        print::json_text(field.name().as_bytes(), &mut label);
        label.push(b':');
        Ok(FieldWriter { label, array, writer: Writer::new(field.name(), array)? })
    });
    writers.collect()
}

impl<'a> Writer<'a> {
    fn new(name: &str, array: &'a dyn Array) -> Result<Writer<'a>> {
        Ok(match array.data_type() {
            DataType::Boolean => Writer::Boolean(array.as_boolean()),
            DataType::Int8 => Writer::Int8(array.as_primitive()),
            DataType::Int16 => Writer::Int16(array.as_primitive()),
            DataType::Int32 => Writer::Int32(array.as_primitive()),
            DataType::Int64 => Writer::Int64(array.as_primitive()),
            DataType::Float32 => Writer::Float32(array.as_primitive()),
            DataType::Float64 => Writer::Float64(array.as_primitive()),
            DataType::Decimal128(_, scale) => Writer::Decimal(array.as_primitive(), *scale),
            DataType::Utf8 => Writer::Utf8(array.as_string()),
            DataType::Binary => Writer::Binary(array.as_binary()),
            DataType::Date32 => Writer::Date(array.as_primitive()),
            DataType::Time32(unit) | DataType::Time64(unit) => Writer::Time(temporal::instants(name, array)?, *unit),
            DataType::Timestamp(unit, zone) => {
                Writer::Timestamp(temporal::instants(name, array)?, *unit, zone.is_some())
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                let items = list.values().as_ref();
                Writer::List(list, items, Box::new(Writer::new(name, items)?))
            }
            DataType::Map(..) => {
                let map = array.as_map();
                let values = map.values().as_ref();
                Writer::Map(map, map.keys().as_string(), values, Box::new(Writer::new(name, values)?))
            }
            DataType::Struct(fields) => {
                let parts: &StructArray = array.as_struct();
                Writer::Row(field_writers(fields, parts.columns().iter().map(|part| part.as_ref()))?)
            }
            other => return Err(unsupported(name, other)),
        })
    }

    /// Appends value `row`, which is not NULL.
    #[inline]
    fn write(&self, row: usize, options: &JsonOptions, out: &mut Vec<u8>) {
        match self {
            Writer::Boolean(a) => out.extend_from_slice(if a.value(row) { b"true" } else { b"false" }),
            Writer::Int8(a) => print::integer(a.value(row).into(), out),
            Writer::Int16(a) => print::integer(a.value(row).into(), out),
            Writer::Int32(a) => print::integer(a.value(row).into(), out),
            Writer::Int64(a) => print::integer(a.value(row), out),
            Writer::Float32(a) => print::json_float(a.value(row), out),
            Writer::Float64(a) => print::json_double(a.value(row), out),
            Writer::Decimal(a, scale) => {
                let form = if options.plain_decimals { DecimalForm::Plain } else { DecimalForm::Scientific };
                print::decimal(a.value(row), *scale, form, out);
            }
            Writer::Utf8(a) => print::json_text(a.value(row).as_bytes(), out),
            Writer::Binary(a) => quoted(out, |out| print::base64(a.value(row), out)),
            Writer::Date(a) => quoted(out, |out| print::date(a.value(row).into(), out)),
            Writer::Time(a, unit) => quoted(out, |out| print::time(a.value(row), *unit, out)),
            Writer::Timestamp(a, unit, zoned) => {
                quoted(out, |out| print::timestamp(a.value(row), *unit, options.timestamps, *zoned, out));
            }
            Writer::List(list, items, item) => write_list(list, *items, item, row, options, out),
            Writer::Map(map, keys, values, value) => write_map(map, keys, *values, value, row, options, out),
            Writer::Row(fields) => write_object(fields, row, options, out),
        }
    }
}

#[inline]
fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

fn write_object(fields: &[FieldWriter], row: usize, options: &JsonOptions, out: &mut Vec<u8>) {
    let mut separator = b'{';
    for field in fields {
        let null = field.array.is_null(row);
        if null && options.ignore_null_fields {
            continue;
        }
        out.push(separator);
        separator = b',';
        out.extend_from_slice(&field.label);
        if null {
            out.extend_from_slice(b"null");
        } else {
            field.writer.write(row, options, out);
        }
    }
    if separator == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
}

fn write_list(
    list: &ListArray,
    items: &dyn Array,
    item: &Writer,
    row: usize,
    options: &JsonOptions,
    out: &mut Vec<u8>,
) {
    let offsets = list.value_offsets();
    out.push(b'[');
    let start = offsets[row] as usize;
    for index in start..offsets[row + 1] as usize {
        if index > start {
            out.push(b',');
        }
        write_nullable(items, item, index, options, out);
    }
    out.push(b']');
}

fn write_nullable(array: &dyn Array, writer: &Writer, index: usize, options: &JsonOptions, out: &mut Vec<u8>) {
    if array.is_null(index) {
        return out.extend_from_slice(b"null");
    }
    writer.write(index, options, out);
}

fn write_map(
    map: &MapArray,
    keys: &StringArray,
    values: &dyn Array,
    value: &Writer,
    row: usize,
    options: &JsonOptions,
    out: &mut Vec<u8>,
) {
    let offsets = map.value_offsets();
    let mut separator = b'{';
    for index in offsets[row] as usize..offsets[row + 1] as usize {
        out.push(separator);
        separator = b',';
        print::json_text(keys.value(index).as_bytes(), out);
        out.push(b':');
        write_nullable(values, value, index, options, out);
    }
    if separator == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
}
