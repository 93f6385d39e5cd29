//! Strings and collections of strings: CONCAT, SPLIT, SPLIT_INDEX, STR_TO_MAP, ELT, PARSE_URL.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListBuilder, MapBuilder, MapFieldNames, StringBuilder};
use arrow::datatypes::DataType;
use datafusion_common::Result;

use super::call::{Call, Column, Function, Inputs, Kind};
use super::returns;
use super::types::map_type;

/// The functions of this file.
pub(super) fn functions() -> Vec<Function> {
    const TT: &[Kind] = &[Kind::Text, Kind::Text];
    const TTT: &[Kind] = &[Kind::Text, Kind::Text, Kind::Text];
    let concat = Function::new("concat", &[Kind::Text], returns::text, concat).repeated();
    vec![
        concat.named("string_concat"),
        concat,
        Function::new("concat_ws", TT, returns::text, concat_ws).repeated().optional(1).nullable(),
        Function::new("split", TT, returns::text_array, split),
        Function::new("split_index", &[Kind::Text, Kind::Any, Kind::Int], returns::text, split_index).nullable(),
        Function::new("str_to_map", TTT, text_map, str_to_map).optional(2),
        Function::new("elt", &[Kind::Int, Kind::Text], returns::text, elt).repeated().nullable(),
        Function::new("parse_url", TTT, returns::text, parse_url).optional(1).nullable(),
    ]
}

fn text_map(_: &Inputs<'_>) -> Result<DataType> {
    Ok(map_type(&DataType::Utf8, &DataType::Utf8))
}

fn concat(call: &Call<'_>) -> Result<ArrayRef> {
    let parts = (0..call.len()).map(|i| call.text(i)).collect::<Result<Vec<_>>>()?;
    let mut out = String::new();
    call.texts(|row| {
        out.clear();
        for part in &parts {
            match part.get(row) {
                Some(text) => out.push_str(text),
                None => return Ok(None),
            }
        }
        Ok(Some(out.clone()))
    })
}

/// NULL parts are left out, empty ones are not; NULL only for a NULL separator.
fn concat_ws(call: &Call<'_>) -> Result<ArrayRef> {
    let separator = call.text(0)?;
    let parts = (1..call.len()).map(|i| call.text(i)).collect::<Result<Vec<_>>>()?;
    call.texts(|row| {
        let Some(separator) = separator.get(row) else { return Ok(None) };
        let present: Vec<&str> = parts.iter().filter_map(|p| p.get(row)).collect();
        Ok(Some(present.join(separator)))
    })
}

/// The pieces between the delimiters, empty ones kept; an empty text has none, an empty delimiter cuts at every character.
fn split(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, delimiter) = (call.text(0)?, call.text(1)?);
    let mut builder =
        ListBuilder::with_capacity(StringBuilder::with_capacity(call.rows * 8, call.rows * 64), call.rows);
    for row in 0..call.rows {
        let (Some(text), Some(delimiter)) = (text.get(row), delimiter.get(row)) else {
            builder.append(false);
            continue;
        };
        if delimiter.is_empty() {
            text.chars().for_each(|c| builder.values().append_value(c.encode_utf8(&mut [0; 4])));
        } else if !text.is_empty() {
            text.split(delimiter).for_each(|piece| builder.values().append_value(piece));
        }
        builder.append(true);
    }
    Ok(Arc::new(builder.finish()))
}

/// Counts from 0; the separator may be given as a character code.
fn split_index(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, index) = (call.text(0)?, call.int(2)?);
    let separators = super::cast::cast(
        &call.spread(1)?,
        &if call.arg(1)?.0.data_type().is_integer() { DataType::Int64 } else { DataType::Utf8 },
        super::cast::CastMode { safe: true, zone: call.zone },
    )?;
    let codes = separators.data_type().is_integer();
    let separators = if codes { characters(&separators) } else { separators };
    let separators = arrow::array::AsArray::as_string::<i32>(&separators).clone();
    call.texts(|row| {
        let separator = arrow::array::Array::is_valid(&separators, row).then(|| separators.value(row));
        let (Some(text), Some(separator), Some(index)) = (text.get(row), separator, index.get(row)) else {
            return Ok(None);
        };
        let Ok(index) = usize::try_from(index) else { return Ok(None) };
        if separator.is_empty() || text.is_empty() {
            return Ok(None);
        }
        Ok(text.split(separator).nth(index).map(str::to_string))
    })
}

fn characters(codes: &ArrayRef) -> ArrayRef {
    let codes = arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(codes);
    let texts = codes.iter().map(|c| char::from_u32(u32::try_from(c?).ok()?).map(String::from));
    Arc::new(texts.collect::<arrow::array::StringArray>())
}

/// Delimiters are `,` and `=` unless given; a piece without the second has the value NULL.
fn str_to_map(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.text(0)?;
    let optional =
        |i: usize| -> Result<Option<Column<_>>> { if call.len() > i { call.text(i).map(Some) } else { Ok(None) } };
    let (lists, pairs) = (optional(1)?, optional(2)?);
    let names = MapFieldNames { entry: "entries".into(), key: "key".into(), value: "value".into() };
    let mut builder = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    for row in 0..call.rows {
        let list = lists.as_ref().map_or(Some(","), |d| d.get(row));
        let pair = pairs.as_ref().map_or(Some("="), |d| d.get(row));
        let (Some(text), Some(list), Some(pair)) = (text.get(row), list, pair) else {
            builder.append(false)?;
            continue;
        };
        let mut entries: Vec<(&str, Option<&str>)> = Vec::new();
        for piece in text.split(list).filter(|_| !text.is_empty()) {
            let (key, value) = piece.split_once(pair).map_or((piece, None), |(k, v)| (k, Some(v)));
            match entries.iter_mut().find(|(k, _)| *k == key) {
                Some(entry) => entry.1 = value,
                None => entries.push((key, value)),
            }
        }
        for (key, value) in entries {
            builder.keys().append_value(key);
            builder.values().append_option(value);
        }
        builder.append(true)?;
    }
    Ok(Arc::new(builder.finish()))
}

/// The argument with this number, from 1.
fn elt(call: &Call<'_>) -> Result<ArrayRef> {
    let index = call.int(0)?;
    let choices = (1..call.len()).map(|i| call.text(i)).collect::<Result<Vec<_>>>()?;
    call.texts(|row| {
        let at = index.get(row).and_then(|i| usize::try_from(i).ok()?.checked_sub(1));
        Ok(at.and_then(|at| choices.get(at)?.get(row)))
    })
}

/// A part of a URL: HOST, PATH, QUERY (or one of its keys), REF, PROTOCOL, AUTHORITY, FILE, USERINFO.
fn parse_url(call: &Call<'_>) -> Result<ArrayRef> {
    let (url, part) = (call.text(0)?, call.text(1)?);
    let key = if call.len() > 2 { Some(call.text(2)?) } else { None };
    call.texts(|row| {
        let (Some(url), Some(part)) = (url.get(row), part.get(row)) else { return Ok(None) };
        let found = url_part(url, part);
        match &key {
            None => Ok(found.map(str::to_string)),
            Some(key) => {
                let pairs = found.filter(|_| part == "QUERY").map(|q| q.split('&')).into_iter().flatten();
                let wanted = key.get(row);
                let mut values = pairs.filter_map(|p| p.split_once('=')).filter(|(k, _)| Some(*k) == wanted);
                Ok(values.next().map(|(_, v)| v.to_string()))
            }
        }
    })
}

fn url_part<'a>(url: &'a str, part: &str) -> Option<&'a str> {
    let (protocol, rest) = url.split_once("://")?;
    let (rest, reference) = rest.split_once('#').map_or((rest, None), |(r, f)| (r, Some(f)));
    let (authority, file) = rest.find(['/', '?']).map_or((rest, ""), |at| rest.split_at(at));
    let (path, query) = file.split_once('?').map_or((file, None), |(p, q)| (p, Some(q)));
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(u, h)| (Some(u), h));
    match part {
        "PROTOCOL" => Some(protocol),
        "AUTHORITY" => Some(authority),
        "HOST" => Some(host.rsplit_once(':').map_or(host, |(h, _)| h)),
        "USERINFO" => user,
        "PATH" => Some(path),
        "FILE" => Some(file),
        "QUERY" => query,
        "REF" => reference,
        _ => None,
    }
}
