//! `{"op":"+I","row":[…]}`: the contract that tests use. Values have the forms of the conformance corpus: DECIMAL as text
//! with all its digits, timestamps with all digits of their precision, LTZ in UTC with `Z`, bytes in hexadecimal.

use std::io::{self, Write};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Field, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Schema, SchemaRef, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use eddyline_engine::ChangelogBatch;
use eddyline_sql::types::ColumnType;

use super::text::value_text;
use super::{Ending, ResultWriter};

/// Writes one JSON object per change.
#[derive(Default)]
pub struct JsonWriter {
    line: String,
}

impl ResultWriter for JsonWriter {
    fn write(&mut self, batch: &ChangelogBatch, out: &mut dyn Write) -> io::Result<()> {
        for row in 0..batch.len() {
            self.line.clear();
            self.line.push_str("{\"op\":\"");
            self.line.push_str(batch.kind(row).symbol());
            self.line.push_str("\",\"row\":");
            write_row(batch.rows().columns(), row, &mut self.line);
            self.line.push_str("}\n");
            out.write_all(self.line.as_bytes())?;
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut dyn Write, _ending: Ending) -> io::Result<()> {
        out.flush()
    }
}

/// Appends row `row` of `columns` as a JSON array.
pub fn write_row(columns: &[arrow::array::ArrayRef], row: usize, out: &mut String) {
    out.push('[');
    for (index, column) in columns.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_value(column, row, out);
    }
    out.push(']');
}

/// Row `row` of `batch` as a JSON object.
pub fn object(schema: &SchemaRef, batch: &RecordBatch, row: usize) -> String {
    let mut text = String::from("{");
    for (index, (field, column)) in schema.fields().iter().zip(batch.columns()).enumerate() {
        if index > 0 {
            text.push(',');
        }
        write_text(field.name(), &mut text);
        text.push(':');
        write_value(column, row, &mut text);
    }
    text.push('}');
    text
}

/// `{"schema": [{"name": …, "type": …}, …]}`: the columns of a result, types as Flink prints them.
pub fn schema_json(schema: &Schema) -> String {
    let column =
        |f: &Arc<Field>| serde_json::json!({ "name": f.name(), "type": ColumnType::from_arrow(f).to_string() });
    serde_json::json!({ "schema": schema.fields().iter().map(column).collect::<Vec<_>>() }).to_string()
}

fn write_text(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

fn write_float(value: f64, shortest: String, out: &mut String) {
    if value.is_finite() {
        out.push_str(&shortest);
    } else if value.is_nan() {
        out.push_str("\"NaN\"");
    } else {
        out.push_str(if value > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
    }
}

fn write_items(items: &dyn Array, out: &mut String) {
    out.push('[');
    for index in 0..items.len() {
        if index > 0 {
            out.push(',');
        }
        write_value(items, index, out);
    }
    out.push(']');
}

fn write_value(array: &dyn Array, row: usize, out: &mut String) {
    if array.is_null(row) {
        out.push_str("null");
        return;
    }
    match array.data_type() {
        DataType::Int8 => out.push_str(&array.as_primitive::<Int8Type>().value(row).to_string()),
        DataType::Int16 => out.push_str(&array.as_primitive::<Int16Type>().value(row).to_string()),
        DataType::Int32 => out.push_str(&array.as_primitive::<Int32Type>().value(row).to_string()),
        DataType::Int64 => out.push_str(&array.as_primitive::<Int64Type>().value(row).to_string()),
        DataType::UInt8 => out.push_str(&array.as_primitive::<UInt8Type>().value(row).to_string()),
        DataType::UInt16 => out.push_str(&array.as_primitive::<UInt16Type>().value(row).to_string()),
        DataType::UInt32 => out.push_str(&array.as_primitive::<UInt32Type>().value(row).to_string()),
        DataType::UInt64 => out.push_str(&array.as_primitive::<UInt64Type>().value(row).to_string()),
        DataType::Float32 => {
            let value = array.as_primitive::<Float32Type>().value(row);
            write_float(f64::from(value), format!("{value:?}"), out);
        }
        DataType::Float64 => {
            let value = array.as_primitive::<Float64Type>().value(row);
            write_float(value, format!("{value:?}"), out);
        }
        DataType::Boolean => out.push_str(if array.as_boolean().value(row) { "true" } else { "false" }),
        DataType::List(_) => write_items(&array.as_list::<i32>().value(row), out),
        DataType::Struct(_) => {
            let columns = array.as_struct().columns();
            write_row(columns, row, out);
        }
        DataType::Map(_, _) => write_map(&array.as_map().value(row), out),
        _ => write_text(&value_text(array, row), out),
    }
}

/// A map as an object with its keys as sorted text.
fn write_map(entries: &arrow::array::StructArray, out: &mut String) {
    let (keys, values) = (entries.column(0), entries.column(1));
    let mut sorted: Vec<(String, usize)> = (0..entries.len()).map(|i| (value_text(keys, i), i)).collect();
    sorted.sort();
    out.push('{');
    for (position, (key, index)) in sorted.into_iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        write_text(&key, out);
        out.push(':');
        write_value(values, index, out);
    }
    out.push('}');
}
