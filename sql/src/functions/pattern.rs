//! LIKE, SIMILAR TO and the REGEXP functions.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListBuilder, StringArray, StringBuilder};
use arrow::datatypes::Int32Type;
use datafusion_common::Result;
use regex::Regex;

use super::call::{Call, Column, Function, Kind, data_error};
use super::returns;

/// The functions of this file.
pub(super) fn functions() -> Vec<Function> {
    const TT: &[Kind] = &[Kind::Text, Kind::Text];
    const TTT: &[Kind] = &[Kind::Text, Kind::Text, Kind::Text];
    const TTI: &[Kind] = &[Kind::Text, Kind::Text, Kind::Int];
    vec![
        Function::new("like", TTT, returns::boolean, |call| compare(call, like_regex)).optional(1),
        Function::new("similar_to", TTT, returns::boolean, |call| compare(call, similar_regex)).optional(1),
        Function::new("regexp", TT, returns::boolean, regexp).nullable(),
        Function::new("regexp_like", TT, returns::boolean, regexp).nullable(),
        Function::new("regexp_replace", TTT, returns::text, regexp_replace).nullable(),
        Function::new("regexp_extract", TTI, returns::text, regexp_extract).optional(1).nullable(),
        Function::new("regexp_extract_all", TTI, returns::text_array, regexp_extract_all).optional(1).nullable(),
        Function::new("regexp_count", TT, returns::int, regexp_count).nullable(),
        Function::new("regexp_instr", TT, returns::int, regexp_instr).nullable(),
        Function::new("regexp_substr", TT, returns::text, regexp_substr).nullable(),
    ]
}

/// Compiled patterns by row, compiled again only when the text changes.
struct Regexes<'a> {
    patterns: Column<&'a StringArray>,
    last: Option<(String, Option<Regex>)>,
}

impl<'a> Regexes<'a> {
    fn from_argument(call: &'a Call<'_>, i: usize) -> Result<Self> {
        Ok(Regexes { patterns: call.text(i)?, last: None })
    }

    /// The pattern of `row`: None if it is NULL, `Some(None)` if it is no pattern.
    fn get(&mut self, row: usize) -> Option<Option<&Regex>> {
        let text = self.patterns.get(row)?;
        if self.last.as_ref().is_none_or(|(t, _)| t != text) {
            self.last = Some((text.to_string(), Regex::new(text).ok()));
        }
        self.last.as_ref().map(|(_, regex)| regex.as_ref())
    }
}

/// Whole-string match against a pattern that `translate` makes a regular expression of.
fn compare(call: &Call<'_>, translate: fn(&str, Option<char>) -> Option<String>) -> Result<ArrayRef> {
    let (text, patterns) = (call.text(0)?, call.text(1)?);
    let escapes = if call.len() > 2 { Some(call.text(2)?) } else { None };
    let mut last: Option<(String, Option<char>, Regex)> = None;
    call.booleans(|row| {
        let (Some(text), Some(pattern)) = (text.get(row), patterns.get(row)) else { return Ok(None) };
        let escape = escapes.as_ref().and_then(|e| e.get(row)?.chars().next());
        if last.as_ref().is_none_or(|(p, e, _)| p != pattern || *e != escape) {
            let compiled = translate(pattern, escape).and_then(|p| Regex::new(&p).ok());
            let Some(compiled) = compiled else { return Err(data_error(format!("Invalid pattern '{pattern}'"))) };
            last = Some((pattern.to_string(), escape, compiled));
        }
        Ok(last.as_ref().map(|(_, _, regex)| regex.is_match(text)))
    })
}

/// `%` is any text, `_` any character; there is no escape character unless one is given.
fn like_regex(pattern: &str, escape: Option<char>) -> Option<String> {
    let mut regex = String::from("(?s)^");
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            _ if Some(c) == escape => regex.push_str(&regex::escape(&chars.next()?.to_string())),
            '%' => regex.push_str(".*"),
            '_' => regex.push('.'),
            _ => regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    regex.push('$');
    Some(regex)
}

/// SQL's own regular expressions: `%` and `_` as in LIKE; `| * + ? {} () []` as everywhere.
fn similar_regex(pattern: &str, escape: Option<char>) -> Option<String> {
    let mut regex = String::from("(?s)^(?:");
    let mut chars = pattern.chars();
    let mut inside_class = false;
    while let Some(c) = chars.next() {
        match c {
            _ if Some(c) == escape => regex.push_str(&regex::escape(&chars.next()?.to_string())),
            '%' if !inside_class => regex.push_str(".*"),
            '_' if !inside_class => regex.push('.'),
            '[' | ']' => {
                inside_class = c == '[';
                regex.push(c);
            }
            '.' | '^' | '$' | '\\' if !inside_class => regex.push_str(&regex::escape(&c.to_string())),
            _ => regex.push(c),
        }
    }
    regex.push_str(")$");
    Some(regex)
}

/// Something in the text matches; an invalid pattern is an error of the data.
fn regexp(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.text(0)?;
    let mut regexes = Regexes::from_argument(call, 1)?;
    call.booleans(|row| {
        let (Some(text), Some(regex)) = (text.get(row), regexes.get(row)) else { return Ok(None) };
        Ok(regex.map(|r| r.is_match(text)))
    })
}

/// The replacement stands for itself: `$1` is two characters.
fn regexp_replace(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, replacement) = (call.text(0)?, call.text(2)?);
    let mut regexes = Regexes::from_argument(call, 1)?;
    call.texts(|row| {
        let (Some(text), Some(Some(regex)), Some(to)) = (text.get(row), regexes.get(row), replacement.get(row)) else {
            return Ok(None);
        };
        Ok(Some(regex.replace_all(text, regex::NoExpand(to)).into_owned()))
    })
}

/// Argument 2, the group, where it is given; negative groups are none.
fn group(call: &Call<'_>, default: usize) -> Result<impl Fn(usize) -> Option<usize>> {
    let groups = if call.len() > 2 { Some(call.int(2)?) } else { None };
    Ok(move |row: usize| match &groups {
        Some(groups) => usize::try_from(groups.get(row)?).ok(),
        None => Some(default),
    })
}

fn regexp_extract(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.text(0)?;
    let mut regexes = Regexes::from_argument(call, 1)?;
    let group = group(call, 0)?;
    call.texts(|row| {
        let (Some(text), Some(Some(regex)), Some(group)) = (text.get(row), regexes.get(row), group(row)) else {
            return Ok(None);
        };
        Ok(regex.captures(text).and_then(|c| c.get(group)).map(|m| m.as_str()))
    })
}

fn regexp_extract_all(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.text(0)?;
    let mut regexes = Regexes::from_argument(call, 1)?;
    let group = group(call, 1)?;
    let mut builder = ListBuilder::new(StringBuilder::new());
    for row in 0..call.rows {
        let (Some(text), Some(Some(regex)), Some(group)) = (text.get(row), regexes.get(row), group(row)) else {
            builder.append(false);
            continue;
        };
        if group >= regex.captures_len() {
            builder.append(false);
            continue;
        }
        for captures in regex.captures_iter(text) {
            builder.values().append_option(captures.get(group).map(|m| m.as_str()));
        }
        builder.append(true);
    }
    Ok(Arc::new(builder.finish()))
}

fn int(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn regexp_count(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.text(0)?;
    let mut regexes = Regexes::from_argument(call, 1)?;
    call.numbers::<Int32Type>(|row| {
        let (Some(text), Some(Some(regex))) = (text.get(row), regexes.get(row)) else { return Ok(None) };
        Ok(Some(int(regex.find_iter(text).count())))
    })
}

/// Position of the first match from 1, in UTF-16 units as Java counts; 0 without one.
fn regexp_instr(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.text(0)?;
    let mut regexes = Regexes::from_argument(call, 1)?;
    call.numbers::<Int32Type>(|row| {
        let (Some(text), Some(Some(regex))) = (text.get(row), regexes.get(row)) else { return Ok(None) };
        Ok(Some(regex.find(text).map_or(0, |m| int(text[..m.start()].encode_utf16().count()) + 1)))
    })
}

fn regexp_substr(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.text(0)?;
    let mut regexes = Regexes::from_argument(call, 1)?;
    call.texts(|row| {
        let (Some(text), Some(Some(regex))) = (text.get(row), regexes.get(row)) else { return Ok(None) };
        Ok(regex.find(text).map(|m| m.as_str()))
    })
}
