//! JSON_OBJECT, JSON_ARRAY and JSON_STRING: writing JSON text from values.
//!
//! Members of an object are sorted by name, as Flink writes them. A value that is itself a call of one of these
//! functions (or of JSON) goes in as JSON, not as a quoted string: coercion wraps such an argument in [`RAW`].

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type};
use base64::Engine;
use datafusion_common::{Result, plan_err};

use super::call::{Call, Function, Inputs, Kind};
use super::cast::{CastMode, cast, double_text};
use super::collection::range;
use super::decimal;
use super::json_document::quoted;
use super::returns;

/// Functions whose result is JSON already.
pub(crate) const JSON_RESULTS: [&str; 5] =
    ["json_object", "json_array", "json_object_absent_on_null", "json_array_null_on_null", "json"];

/// Marks an argument as JSON.
pub(crate) const RAW: &str = "json_raw";

/// The functions of this file.
pub(super) fn functions() -> Vec<Function> {
    const A: &[Kind] = &[Kind::Any];
    const AA: &[Kind] = &[Kind::Any, Kind::Any];
    let object = |name, eval| Function::new(name, AA, object_type, eval).optional(2).repeated().never_null();
    let array = |name, eval| Function::new(name, A, returns::text, eval).optional(1).repeated().never_null();
    vec![
        object("json_object", |call| json_object(call, false)),
        object("json_object_absent_on_null", |call| json_object(call, true)),
        array("json_array", |call| json_array(call, true)),
        array("json_array_null_on_null", |call| json_array(call, false)),
        Function::new("json_string", A, returns::text, json_string),
        Function::new("json", &[Kind::Text], returns::text, |call| call.spread(0)),
        Function::new(RAW, &[Kind::Text], raw_type, raw),
    ]
}

fn object_type(inputs: &Inputs<'_>) -> Result<DataType> {
    if inputs.types.len() % 2 == 1 || inputs.types.iter().step_by(2).any(|t| !matches!(t, DataType::Utf8)) {
        return plan_err!("JSON_OBJECT takes pairs of a CHARACTER_STRING key and a value");
    }
    Ok(DataType::Utf8)
}

/// JSON text travels between these functions as Arrow's LargeUtf8, which no SQL type uses.
fn raw_type(_: &Inputs<'_>) -> Result<DataType> {
    Ok(DataType::LargeUtf8)
}

fn raw(call: &Call<'_>) -> Result<ArrayRef> {
    Ok(arrow::compute::cast(&call.spread(0)?, &DataType::LargeUtf8)?)
}

fn json_object(call: &Call<'_>, absent_on_null: bool) -> Result<ArrayRef> {
    let columns = (0..call.len()).map(|i| call.spread(i)).collect::<Result<Vec<_>>>()?;
    call.texts(|row| {
        let mut members: Vec<(String, String)> = Vec::with_capacity(columns.len() / 2);
        for pair in columns.chunks(2) {
            let [key, value] = pair else { continue };
            let key = key.as_string::<i32>();
            if key.is_null(row) {
                return Err(super::call::data_error("Key of JSON object is not allowed to be null"));
            }
            if absent_on_null && value.is_null(row) {
                continue;
            }
            let (name, value) = (key.value(row).to_string(), json_text(value, row, call)?);
            match members.iter_mut().find(|(known, _)| *known == name) {
                Some(member) => member.1 = value,
                None => members.push((name, value)),
            }
        }
        Ok(Some(object(members)))
    })
}

fn object(mut members: Vec<(String, String)>) -> String {
    members.sort();
    let members: Vec<String> = members.iter().map(|(name, value)| format!("{}:{value}", quoted(name))).collect();
    format!("{{{}}}", members.join(","))
}

fn json_array(call: &Call<'_>, absent_on_null: bool) -> Result<ArrayRef> {
    let columns = (0..call.len()).map(|i| call.spread(i)).collect::<Result<Vec<_>>>()?;
    call.texts(|row| {
        let items = columns.iter().filter(|column| !(absent_on_null && column.is_null(row)));
        let items = items.map(|column| json_text(column, row, call)).collect::<Result<Vec<_>>>()?;
        Ok(Some(format!("[{}]", items.join(","))))
    })
}

fn json_string(call: &Call<'_>) -> Result<ArrayRef> {
    let column = call.spread(0)?;
    call.texts(|row| if column.is_null(row) { Ok(None) } else { json_text(&column, row, call).map(Some) })
}

/// The value in `row` as JSON.
fn json_text(column: &ArrayRef, row: usize, call: &Call<'_>) -> Result<String> {
    if column.data_type().is_null() || column.is_null(row) {
        return Ok("null".into());
    }
    Ok(match column.data_type() {
        DataType::LargeUtf8 => column.as_string::<i64>().value(row).to_string(),
        DataType::Utf8 => quoted(column.as_string::<i32>().value(row)),
        DataType::Boolean => column.as_boolean().value(row).to_string(),
        DataType::Float64 => double_text(column.as_primitive::<Float64Type>().value(row)),
        DataType::Float32 => {
            let text = cast(&column.slice(row, 1), &DataType::Utf8, CastMode { safe: true, zone: call.zone })?;
            text.as_string::<i32>().value(0).to_string()
        }
        DataType::Decimal128(_, scale) => decimal::to_text(column.as_primitive::<Decimal128Type>().value(row), *scale),
        DataType::Binary => {
            quoted(&base64::engine::general_purpose::STANDARD.encode(column.as_binary::<i32>().value(row)))
        }
        DataType::List(_) => {
            let list = column.as_list::<i32>();
            let items = range(list.value_offsets(), row).map(|i| json_text(list.values(), i, call));
            format!("[{}]", items.collect::<Result<Vec<_>>>()?.join(","))
        }
        DataType::Struct(fields) => {
            let columns = column.as_struct().columns();
            let member = |(field, column): (&Arc<_>, &ArrayRef)| {
                let field: &arrow::datatypes::Field = field;
                Ok((field.name().clone(), json_text(column, row, call)?))
            };
            object(fields.iter().zip(columns).map(member).collect::<Result<Vec<_>>>()?)
        }
        DataType::Map(_, _) => {
            let map = column.as_map();
            let keys = cast(map.keys(), &DataType::Utf8, CastMode { safe: true, zone: call.zone })?;
            let keys = keys.as_string::<i32>();
            let member = |i: usize| Ok((keys.value(i).to_string(), json_text(map.values(), i, call)?));
            object(range(map.value_offsets(), row).map(member).collect::<Result<Vec<_>>>()?)
        }
        other => {
            let text = cast(&column.slice(row, 1), &DataType::Utf8, CastMode { safe: true, zone: call.zone })?;
            let text = text.as_string::<i32>().value(0);
            match other {
                DataType::Timestamp(_, None) => quoted(&text.replacen(' ', "T", 1)),
                DataType::Timestamp(_, Some(_)) => quoted(&format!("{}Z", text.replacen(' ', "T", 1))),
                number if number.is_numeric() => text.to_string(),
                _ => quoted(text),
            }
        }
    })
}
