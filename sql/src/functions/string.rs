//! Strings: case, length, trimming, cutting, padding, searching. Positions start at 1 and count characters.

use arrow::array::ArrayRef;
use arrow::datatypes::{Int32Type, Int64Type};
use datafusion_common::Result;

use super::call::{Call, Function, Kind};
use super::returns;

/// The functions of this file.
pub(super) fn functions() -> Vec<Function> {
    const T: &[Kind] = &[Kind::Text];
    const TT: &[Kind] = &[Kind::Text, Kind::Text];
    const TI: &[Kind] = &[Kind::Text, Kind::Int];
    const TTT: &[Kind] = &[Kind::Text, Kind::Text, Kind::Text];
    let length = Function::new("char_length", T, returns::int, char_length);
    let substring = Function::new("substring", &[Kind::Text, Kind::Int, Kind::Int], returns::text, substring);
    let substring = substring.optional(1);
    let trim = Function::new("trim", TT, returns::text, trim_both).optional(1);
    let locate = Function::new("locate", &[Kind::Text, Kind::Text, Kind::Int], returns::int, position).optional(1);
    let pad: &[Kind] = &[Kind::Text, Kind::Int, Kind::Text];
    vec![
        Function::new("upper", T, returns::text, upper),
        Function::new("lower", T, returns::text, lower),
        length.named("character_length"),
        length.named("length"),
        length,
        Function::new("octet_length", T, returns::int, octet_length),
        trim.named("btrim"),
        trim,
        Function::new("ltrim", TT, returns::text, trim_left).optional(1),
        Function::new("rtrim", TT, returns::text, trim_right).optional(1),
        substring.named("substr"),
        substring,
        Function::new("left", TI, returns::text, left),
        Function::new("right", TI, returns::text, right),
        Function::new("position", TT, returns::int, position),
        locate,
        Function::new("instr", TT, returns::int, instr),
        Function::new("replace", TTT, returns::text, replace),
        Function::new("translate", TTT, returns::text, translate),
        Function::new("overlay", &[Kind::Text, Kind::Text, Kind::Int, Kind::Int], returns::text, overlay).optional(1),
        Function::new("lpad", pad, returns::text, left_pad).optional(1).nullable(),
        Function::new("rpad", pad, returns::text, right_pad).optional(1).nullable(),
        Function::new("repeat", TI, returns::text, repeat),
        Function::new("reverse", T, returns::text, reverse),
        Function::new("space", &[Kind::Int], returns::text, space),
        Function::new("initcap", T, returns::text, initcap),
        Function::new("ascii", T, returns::int, ascii),
        Function::new("chr", &[Kind::Int], returns::text, chr),
        Function::new("startswith", TT, returns::boolean, starts_with),
        Function::new("endswith", TT, returns::boolean, ends_with),
        Function::new("char_pad", TI, returns::text, char_pad),
        Function::new("varchar_cut", TI, returns::text, left),
        Function::new("unhex", T, returns::bytes, unhex).nullable(),
        Function::new("levenshtein", TT, |_| Ok(arrow::datatypes::DataType::Int64), levenshtein),
    ]
}

fn map(call: &Call<'_>, f: impl Fn(&str) -> String) -> Result<ArrayRef> {
    let text = call.text(0)?;
    call.texts(|row| Ok(text.get(row).map(&f)))
}

fn upper(call: &Call<'_>) -> Result<ArrayRef> {
    map(call, str::to_uppercase)
}

fn lower(call: &Call<'_>) -> Result<ArrayRef> {
    map(call, str::to_lowercase)
}

fn reverse(call: &Call<'_>) -> Result<ArrayRef> {
    map(call, |t| t.chars().rev().collect())
}

/// A word starts after every character that is no ASCII letter or digit.
fn initcap(call: &Call<'_>) -> Result<ArrayRef> {
    map(call, |t| {
        let mut inside = false;
        t.chars()
            .map(|c| {
                let c = if inside { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() };
                inside = c.is_ascii_alphanumeric();
                c
            })
            .collect()
    })
}

fn int(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

/// A length or count argument; negative counts are zero.
fn count(value: i64) -> usize {
    usize::try_from(value).unwrap_or(0)
}

fn char_length(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.text(0)?;
    call.numbers::<Int32Type>(|row| Ok(text.get(row).map(|t| int(t.chars().count()))))
}

fn octet_length(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.text(0)?;
    call.numbers::<Int32Type>(|row| Ok(text.get(row).map(|t| int(t.len()))))
}

fn trim(call: &Call<'_>, cut: impl for<'a> Fn(&'a str, &dyn Fn(char) -> bool) -> &'a str) -> Result<ArrayRef> {
    let text = call.text(0)?;
    if call.len() == 1 {
        return call.texts(|row| Ok(text.get(row).map(|t| cut(t, &|c| c == ' '))));
    }
    let set = call.text(1)?;
    call.texts(|row| {
        let (Some(text), Some(set)) = (text.get(row), set.get(row)) else { return Ok(None) };
        Ok(Some(cut(text, &|c| set.contains(c))))
    })
}

fn trim_both(call: &Call<'_>) -> Result<ArrayRef> {
    trim(call, |t, set| t.trim_matches(set))
}

fn trim_left(call: &Call<'_>) -> Result<ArrayRef> {
    trim(call, |t, set| t.trim_start_matches(set))
}

fn trim_right(call: &Call<'_>) -> Result<ArrayRef> {
    trim(call, |t, set| t.trim_end_matches(set))
}

/// Characters `start ..` of `text`, at most `length`; `start` counts from 1, negative from the end, 0 means 1.
fn slice(text: &str, start: i64, length: Option<i64>) -> &str {
    if length.is_some_and(|l| l <= 0) {
        return "";
    }
    let characters = if start < 0 { i64::try_from(text.chars().count()).unwrap_or(i64::MAX) } else { 0 };
    let first = if start < 0 { characters + start } else { (start - 1).max(0) };
    if first < 0 {
        return "";
    }
    let mut bounds = text.char_indices().map(|(i, _)| i).chain([text.len()]);
    let Some(from) = bounds.nth(count(first)) else { return "" };
    let to = length.and_then(|l| text[from..].char_indices().nth(count(l)).map(|(i, _)| from + i));
    &text[from..to.unwrap_or(text.len())]
}

fn substring(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, start) = (call.text(0)?, call.int(1)?);
    let length = if call.len() > 2 { Some(call.int(2)?) } else { None };
    call.texts(|row| {
        let (Some(text), Some(start)) = (text.get(row), start.get(row)) else { return Ok(None) };
        match &length {
            None => Ok(Some(slice(text, start, None))),
            Some(length) => Ok(length.get(row).map(|l| slice(text, start, Some(l)))),
        }
    })
}

fn left(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, length) = (call.text(0)?, call.int(1)?);
    call.texts(|row| Ok(text.get(row).zip(length.get(row)).map(|(t, l)| slice(t, 1, Some(l)))))
}

fn right(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, length) = (call.text(0)?, call.int(1)?);
    call.texts(|row| {
        let (Some(text), Some(length)) = (text.get(row), length.get(row)) else { return Ok(None) };
        let skipped = text.chars().count().saturating_sub(count(length));
        Ok(Some(slice(text, i64::try_from(skipped).unwrap_or(0) + 1, None)))
    })
}

/// `CAST(… AS CHAR(n))`: cut or filled up with blanks.
fn char_pad(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, length) = (call.text(0)?, call.int(1)?);
    call.texts(|row| {
        Ok(text.get(row).zip(length.get(row)).map(|(t, l)| format!("{:<1$}", slice(t, 1, Some(l)), count(l))))
    })
}

/// Position of `part` in `text`, from 1; 0 if it is not there. Searching starts at character `from`.
fn find(text: &str, part: &str, from: i64) -> i32 {
    if from < 1 {
        return 0;
    }
    let rest = slice(text, from, None);
    let skipped = text.len() - rest.len();
    if from > 1 && rest.is_empty() && !text.is_empty() {
        return 0;
    }
    rest.find(part).map_or(0, |at| int(text[..skipped + at].chars().count()) + 1)
}

fn position(call: &Call<'_>) -> Result<ArrayRef> {
    let (part, text) = (call.text(0)?, call.text(1)?);
    let from = if call.len() > 2 { Some(call.int(2)?) } else { None };
    call.numbers::<Int32Type>(|row| {
        let (Some(part), Some(text)) = (part.get(row), text.get(row)) else { return Ok(None) };
        match &from {
            None => Ok(Some(find(text, part, 1))),
            Some(from) => Ok(from.get(row).map(|from| find(text, part, from))),
        }
    })
}

fn instr(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, part) = (call.text(0)?, call.text(1)?);
    call.numbers::<Int32Type>(|row| Ok(text.get(row).zip(part.get(row)).map(|(t, p)| find(t, p, 1))))
}

fn replace(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, from, to) = (call.text(0)?, call.text(1)?, call.text(2)?);
    call.texts(|row| {
        let (Some(text), Some(from), Some(to)) = (text.get(row), from.get(row), to.get(row)) else { return Ok(None) };
        Ok(Some(text.replace(from, to)))
    })
}

/// Character by character; what has no counterpart goes away.
fn translate(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, from, to) = (call.text(0)?, call.text(1)?, call.text(2)?);
    call.texts(|row| {
        let (Some(text), Some(from), Some(to)) = (text.get(row), from.get(row), to.get(row)) else { return Ok(None) };
        let changed = |c: char| match from.chars().position(|f| f == c) {
            Some(i) => to.chars().nth(i),
            None => Some(c),
        };
        Ok(Some(text.chars().filter_map(changed).collect::<String>()))
    })
}

fn overlay(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, part, start) = (call.text(0)?, call.text(1)?, call.int(2)?);
    let length = if call.len() > 3 { Some(call.int(3)?) } else { None };
    call.texts(|row| {
        let (Some(text), Some(part), Some(start)) = (text.get(row), part.get(row), start.get(row)) else {
            return Ok(None);
        };
        let length = match &length {
            Some(length) => length.get(row),
            None => i64::try_from(part.chars().count()).ok(),
        };
        let Some(length) = length else { return Ok(None) };
        let characters = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
        if start < 1 || start > characters {
            return Ok(Some(text.to_string()));
        }
        let tail = if length < 0 { "" } else { slice(text, start.saturating_add(length), None) };
        Ok(Some(format!("{}{part}{tail}", slice(text, 1, Some(start - 1)))))
    })
}

fn padded(call: &Call<'_>, at_start: bool) -> Result<ArrayRef> {
    let (text, length) = (call.text(0)?, call.int(1)?);
    let fill = if call.len() > 2 { Some(call.text(2)?) } else { None };
    call.texts(|row| {
        let fill = match &fill {
            Some(fill) => fill.get(row),
            None => Some(" "),
        };
        let (Some(text), Some(length), Some(fill)) = (text.get(row), length.get(row), fill) else { return Ok(None) };
        if length < 0 || fill.is_empty() {
            return Ok(None);
        }
        let missing = count(length).saturating_sub(text.chars().count());
        let kept = slice(text, 1, Some(length));
        let filling: String = fill.chars().cycle().take(missing).collect();
        Ok(Some(if at_start { format!("{filling}{kept}") } else { format!("{kept}{filling}") }))
    })
}

fn left_pad(call: &Call<'_>) -> Result<ArrayRef> {
    padded(call, true)
}

fn right_pad(call: &Call<'_>) -> Result<ArrayRef> {
    padded(call, false)
}

fn repeat(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, times) = (call.text(0)?, call.int(1)?);
    call.texts(|row| Ok(text.get(row).zip(times.get(row)).map(|(t, n)| t.repeat(count(n)))))
}

fn space(call: &Call<'_>) -> Result<ArrayRef> {
    let length = call.int(0)?;
    call.texts(|row| Ok(length.get(row).map(|n| " ".repeat(count(n)))))
}

/// The first byte as Java has it, signed; 0 for the empty string.
fn ascii(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.text(0)?;
    call.numbers::<Int32Type>(|row| {
        Ok(text.get(row).map(|t| t.bytes().next().map_or(0, |b| i32::from(i8::from_ne_bytes([b])))))
    })
}

/// The character with this number modulo 256; nothing for negative numbers.
fn chr(call: &Call<'_>) -> Result<ArrayRef> {
    let number = call.int(0)?;
    call.texts(|row| {
        Ok(number.get(row).map(|n| match u8::try_from(n & 0xff) {
            Ok(byte) if n >= 0 => char::from(byte).to_string(),
            _ => String::new(),
        }))
    })
}

fn starts_with(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, part) = (call.text(0)?, call.text(1)?);
    call.booleans(|row| Ok(text.get(row).zip(part.get(row)).map(|(t, p)| t.starts_with(p))))
}

fn ends_with(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, part) = (call.text(0)?, call.text(1)?);
    call.booleans(|row| Ok(text.get(row).zip(part.get(row)).map(|(t, p)| t.ends_with(p))))
}

fn unhex(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.text(0)?;
    call.byte_strings(|row| {
        Ok(text.get(row).and_then(|t| {
            let padded = if t.len() % 2 == 1 { format!("0{t}") } else { t.to_string() };
            let pair = |i: usize| u8::from_str_radix(padded.get(i..i + 2)?, 16).ok();
            (0..padded.len()).step_by(2).map(pair).collect::<Option<Vec<u8>>>()
        }))
    })
}

fn levenshtein(call: &Call<'_>) -> Result<ArrayRef> {
    let (a, b) = (call.text(0)?, call.text(1)?);
    call.numbers::<Int64Type>(|row| {
        let (Some(a), Some(b)) = (a.get(row), b.get(row)) else { return Ok(None) };
        let b: Vec<char> = b.chars().collect();
        let mut costs: Vec<i64> = (0..).take(b.len() + 1).collect();
        for (i, ca) in (1..).zip(a.chars()) {
            let mut diagonal = std::mem::replace(&mut costs[0], i);
            for (j, cb) in b.iter().enumerate() {
                let cost = (diagonal + i64::from(ca != *cb)).min(costs[j] + 1).min(costs[j + 1] + 1);
                diagonal = std::mem::replace(&mut costs[j + 1], cost);
            }
        }
        Ok(costs.last().copied())
    })
}
