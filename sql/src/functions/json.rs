//! JSON_VALUE, JSON_QUERY, JSON_EXISTS, IS JSON: reading JSON text. The parser writes their clauses as arguments.
//!
//! ```text
//!   JSON_VALUE(doc, path, 'INT', 'DEFAULT', 0, 'NULL', NULL)     type; on empty; its default; on error; its default
//!   JSON_QUERY(doc, path, 'STRING', 'CONDITIONAL', 'NULL', 'EMPTY ARRAY')      type; wrapper; on empty; on error
//! ```

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::datatypes::DataType;
use datafusion_common::{Result, plan_err};

use super::call::{Call, Column, Function, Inputs, Kind, data_error};
use super::cast::{CastMode, cast};
use super::json_document::{Json, quoted};
use super::json_path::{Found, Mode, Path};
use super::returns;
use super::types::named_type;

/// The functions of this file.
pub(super) fn functions() -> Vec<Function> {
    const TT: &[Kind] = &[Kind::Text, Kind::Text];
    const TTT: &[Kind] = &[Kind::Text, Kind::Text, Kind::Text];
    const VALUE: &[Kind] = &[Kind::Text, Kind::Text, Kind::Text, Kind::Text, Kind::Any, Kind::Text, Kind::Any];
    const QUERY: &[Kind] = &[Kind::Text, Kind::Text, Kind::Text, Kind::Text, Kind::Text, Kind::Text];
    vec![
        Function::new("json_value", VALUE, returning_type, json_value).optional(5).nullable(),
        Function::new("json_query", QUERY, returning_type, json_query).optional(4).nullable(),
        Function::new("json_exists", TTT, returns::boolean, json_exists).optional(1).nullable(),
        Function::new("is_json", TT, returns::boolean, is_json).optional(1).never_null(),
        Function::new("json_unquote", &[Kind::Text], returns::text, json_unquote),
        Function::new("json_quote", &[Kind::Text], returns::text, json_quote),
    ]
}

/// RETURNING, a type name in argument 2; STRING without it.
fn returning_type(inputs: &Inputs<'_>) -> Result<DataType> {
    match inputs.constant_text(2) {
        None => Ok(DataType::Utf8),
        Some(name) => named_type(name),
    }
}

/// Compiled paths by row, compiled again only when the text changes.
struct Paths<'a> {
    texts: Column<&'a StringArray>,
    last: Option<(String, Path)>,
}

impl<'a> Paths<'a> {
    fn from_argument(call: &'a Call<'_>, i: usize) -> Result<Self> {
        Ok(Paths { texts: call.text(i)?, last: None })
    }

    fn get(&mut self, row: usize) -> Result<Option<&Path>> {
        let Some(text) = self.texts.get(row) else { return Ok(None) };
        if self.last.as_ref().is_none_or(|(t, _)| t != text) {
            let Some(path) = Path::compile(text) else {
                return Err(data_error(format!("Illegal jsonpath spec '{text}'")));
            };
            self.last = Some((text.to_string(), path));
        }
        Ok(self.last.as_ref().map(|(_, path)| path))
    }
}

/// A clause argument: its text in the first row, or what holds without it.
fn clause(call: &Call<'_>, i: usize, default: &str) -> Result<String> {
    if call.len() <= i {
        return Ok(default.to_string());
    }
    Ok(call.text(i)?.get(0).unwrap_or(default).to_string())
}

fn json_value(call: &Call<'_>) -> Result<ArrayRef> {
    let documents = call.text(0)?;
    let mut paths = Paths::from_argument(call, 1)?;
    let (on_empty, on_error) = (clause(call, 3, "NULL")?, clause(call, 5, "NULL")?);
    let default = |i: usize| -> Result<StringArray> {
        let mode = CastMode { safe: true, zone: call.zone };
        let values = if call.len() > i { call.spread(i)? } else { Arc::new(StringArray::new_null(call.rows)) };
        Ok(cast(&values, &DataType::Utf8, mode)?.as_string::<i32>().clone())
    };
    let (empty_default, error_default) = (default(4)?, default(6)?);
    let fallback = |mode: &str, defaults: &StringArray, row: usize, what: &str| match mode {
        "ERROR" => Err(data_error(format!("{what} of JSON_VALUE function is not allowed"))),
        "DEFAULT" if arrow::array::Array::is_valid(defaults, row) => Ok(Some(defaults.value(row).to_string())),
        _ => Ok(None),
    };
    let returning = call.result.clone();
    let texts = (0..call.rows).map(|row| {
        let (Some(document), Some(path)) = (documents.get(row), paths.get(row)?) else { return Ok(None) };
        match path.find(document) {
            Found::Nothing => fallback(&on_empty, &empty_default, row, "Empty result"),
            Found::Value(Json::Array(_) | Json::Object(_)) if path.mode == Mode::Lax => {
                fallback(&on_empty, &empty_default, row, "Empty result")
            }
            Found::Value(value) => match value.scalar_text().filter(|_| fits(&value, &returning)) {
                Some(text) => Ok(Some(text)),
                None => fallback(&on_error, &error_default, row, "Error"),
            },
            Found::Error => fallback(&on_error, &error_default, row, "Error"),
        }
    });
    let texts: ArrayRef = Arc::new(texts.collect::<Result<StringArray>>()?);
    cast(&texts, call.result, CastMode { safe: true, zone: call.zone })
}

/// RETURNING a number or BOOLEAN takes only such a value, no text that looks like one.
fn fits(value: &Json, returning: &DataType) -> bool {
    match returning {
        DataType::Boolean => matches!(value, Json::Bool(_)),
        number if number.is_numeric() => matches!(value, Json::Number(_)),
        _ => true,
    }
}

fn json_query(call: &Call<'_>) -> Result<ArrayRef> {
    if !matches!(call.result, DataType::Utf8) {
        return plan_err!("JSON_QUERY can only return STRING");
    }
    let documents = call.text(0)?;
    let mut paths = Paths::from_argument(call, 1)?;
    let wrapper = clause(call, 3, "WITHOUT")?;
    let (on_empty, on_error) = (clause(call, 4, "NULL")?, clause(call, 5, "NULL")?);
    let fallback = |mode: &str, what: &str| match mode {
        "ERROR" => Err(data_error(format!("{what} of JSON_QUERY function is not allowed"))),
        "EMPTY ARRAY" => Ok(Some("[]".to_string())),
        "EMPTY OBJECT" => Ok(Some("{}".to_string())),
        _ => Ok(None),
    };
    call.texts(|row| {
        let (Some(document), Some(path)) = (documents.get(row), paths.get(row)?) else { return Ok(None) };
        let mode = path.mode;
        let value = match path.find(document) {
            Found::Error => return fallback(&on_error, "Error"),
            Found::Nothing => return fallback(&on_empty, "Empty result"),
            Found::Value(value) => value,
        };
        let wrapped = match wrapper.as_str() {
            "UNCONDITIONAL" => Json::Array(vec![value]),
            "CONDITIONAL" if !matches!(value, Json::Array(_)) => Json::Array(vec![value]),
            _ => value,
        };
        match (&wrapped, mode) {
            (Json::Array(_) | Json::Object(_), _) => Ok(Some(wrapped.compact())),
            (_, Mode::Lax) => fallback(&on_empty, "Empty result"),
            (_, Mode::Strict) => fallback(&on_error, "Error"),
        }
    })
}

fn json_exists(call: &Call<'_>) -> Result<ArrayRef> {
    let documents = call.text(0)?;
    let mut paths = Paths::from_argument(call, 1)?;
    let on_error = clause(call, 2, "FALSE")?;
    call.booleans(|row| {
        let (Some(document), Some(path)) = (documents.get(row), paths.get(row)?) else { return Ok(None) };
        match (path.find(document), on_error.as_str()) {
            (Found::Value(_), _) => Ok(Some(true)),
            (Found::Nothing, _) | (Found::Error, "FALSE") => Ok(Some(false)),
            (Found::Error, "TRUE") => Ok(Some(true)),
            (Found::Error, "UNKNOWN") => Ok(None),
            (Found::Error, _) => Err(data_error("Error of JSON_EXISTS function is not allowed")),
        }
    })
}

/// FALSE for NULL.
fn is_json(call: &Call<'_>) -> Result<ArrayRef> {
    let documents = call.text(0)?;
    let kind = clause(call, 1, "VALUE")?;
    call.booleans(|row| {
        let value = documents.get(row).and_then(Json::parse);
        Ok(Some(value.is_some_and(|value| match kind.as_str() {
            "OBJECT" => matches!(value, Json::Object(_)),
            "ARRAY" => matches!(value, Json::Array(_)),
            "SCALAR" => !matches!(value, Json::Object(_) | Json::Array(_)),
            _ => true,
        })))
    })
}

fn json_unquote(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.text(0)?;
    let unquoted = |t: &str| match Json::parse(t) {
        Some(Json::Text(inner)) => inner,
        _ => t.to_string(),
    };
    call.texts(|row| Ok(text.get(row).map(unquoted)))
}

fn json_quote(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.text(0)?;
    call.texts(|row| Ok(text.get(row).map(quoted)))
}
