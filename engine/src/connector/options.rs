//! Checked access to the `WITH` options of a table.
//!
//! A connector declares its options once ([`OptionSpec`]); the reference documentation, completion, the check for
//! unknown keys and the defaults all come from that declaration. Values are read through [`Options`], which turns a
//! bad value into an error that names the key and what it accepts.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{Error, Result};

/// What kind of value an option takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OptionValue {
    /// Any text.
    Text,
    /// Text that must never be printed.
    Secret,
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer,
    /// A duration such as `1s`, `500 ms`, `10 min`.
    Duration,
    /// A size such as `128mb`.
    Size,
    /// One of these words, letter case ignored.
    OneOf(&'static [&'static str]),
}

/// Declaration of one option: everything that the reference page says about it.
#[derive(Debug, Clone, PartialEq)]
pub struct OptionSpec {
    /// The key; one that ends in `.*` stands for all keys with that prefix, and `#` for one part of any text
    /// (`fields.#.kind`).
    pub key: &'static str,
    /// What it takes.
    pub value: OptionValue,
    /// Default as text; None when the option is unset by default.
    pub default: Option<&'static str>,
    /// True when the table cannot be used without it.
    pub required: bool,
    /// One or two sentences for the reference.
    pub doc: &'static str,
}

impl OptionSpec {
    /// An optional option without a default.
    pub const fn optional(key: &'static str, value: OptionValue, doc: &'static str) -> Self {
        OptionSpec { key, value, default: None, required: false, doc }
    }

    /// An option with a default.
    pub const fn with_default(key: &'static str, value: OptionValue, default: &'static str, doc: &'static str) -> Self {
        OptionSpec { key, value, default: Some(default), required: false, doc }
    }

    /// An option that must be given.
    pub const fn required(key: &'static str, value: OptionValue, doc: &'static str) -> Self {
        OptionSpec { key, value, default: None, required: true, doc }
    }

    /// True when this declaration covers `key`.
    pub fn covers(&self, key: &str) -> bool {
        if let Some(prefix) = self.key.strip_suffix('*') {
            return key.len() > prefix.len() && key.starts_with(prefix);
        }
        match self.key.split_once('#') {
            Some((before, after)) => {
                key.len() > before.len() + after.len() && key.starts_with(before) && key.ends_with(after)
            }
            None => self.key == key,
        }
    }
}

/// The options of one table, checked against the declarations of its connector and formats.
#[derive(Debug, Clone, Default)]
pub struct Options {
    values: BTreeMap<String, String>,
    specs: Vec<OptionSpec>,
}

impl Options {
    /// Checks `values` against `specs`: unknown keys, missing required keys and bad values are errors. `owner` is the
    /// connector's name for the message. The key `connector` itself is always known.
    pub fn check(owner: &str, values: &BTreeMap<String, String>, specs: Vec<OptionSpec>) -> Result<Options> {
        let unknown: Vec<&str> = values
            .keys()
            .map(String::as_str)
            .filter(|key| *key != "connector" && !specs.iter().any(|s| s.covers(key)))
            .collect();
        if let Some(first) = unknown.first() {
            let mut known: Vec<&str> = specs.iter().map(|s| s.key).collect();
            known.sort_unstable();
            let hint = match nearest(first, known.iter().copied()) {
                Some(near) => format!("did you mean '{near}'? Supported options: {}", known.join(", ")),
                None => format!("supported options: {}", known.join(", ")),
            };
            let message =
                format!("Unsupported options found for '{owner}'. Unsupported options: {}", unknown.join(", "));
            return Err(Error::option(message, hint));
        }
        if let Some(spec) = specs.iter().find(|s| s.required && !values.contains_key(s.key)) {
            return Err(Error::option(
                format!("One or more required options are missing for '{owner}': {}", spec.key),
                spec.doc.to_string(),
            ));
        }
        let options = Options { values: values.clone(), specs };
        for key in values.keys() {
            options.check_value(key)?;
        }
        Ok(options)
    }

    fn check_value(&self, key: &str) -> Result<()> {
        let Some(spec) = self.specs.iter().find(|s| s.covers(key)) else { return Ok(()) };
        match spec.value {
            OptionValue::Text | OptionValue::Secret => {}
            OptionValue::Boolean => drop(self.boolean(key)?),
            OptionValue::Integer => drop(self.integer(key)?),
            OptionValue::Duration => drop(self.duration(key)?),
            OptionValue::Size => drop(self.size(key)?),
            OptionValue::OneOf(words) => {
                let value = self.text(key).unwrap_or_default();
                if !words.iter().any(|w| w.eq_ignore_ascii_case(value)) {
                    let near = nearest(value, words.iter().copied());
                    let hint = near.map(|n| format!("did you mean '{n}'?"));
                    return Err(self.bad(key, value, &format!("one of {}", words.join(", "))).with_hint_opt(hint));
                }
            }
        }
        Ok(())
    }

    /// The value given, or the declared default.
    pub fn text(&self, key: &str) -> Option<&str> {
        let given = self.values.get(key).map(String::as_str);
        given.or_else(|| self.specs.iter().find(|s| s.covers(key)).and_then(|s| s.default))
    }

    /// A required text.
    pub fn required(&self, key: &str) -> Result<&str> {
        self.text(key).ok_or_else(|| Error::option(format!("option '{key}' is missing"), None))
    }

    /// A boolean; false when neither given nor defaulted.
    pub fn boolean(&self, key: &str) -> Result<bool> {
        match self.text(key) {
            None => Ok(false),
            Some(v) if v.eq_ignore_ascii_case("true") => Ok(true),
            Some(v) if v.eq_ignore_ascii_case("false") => Ok(false),
            Some(v) => Err(self.bad(key, v, "true or false")),
        }
    }

    /// A whole number.
    pub fn integer(&self, key: &str) -> Result<Option<i64>> {
        self.text(key).map(|v| v.trim().parse().map_err(|_| self.bad(key, v, "a whole number"))).transpose()
    }

    /// A duration, see [`parse_duration`].
    pub fn duration(&self, key: &str) -> Result<Option<Duration>> {
        let parse = |v: &str| parse_duration(v).ok_or_else(|| self.bad(key, v, "a duration such as '500 ms' or '10s'"));
        self.text(key).map(parse).transpose()
    }

    /// A size in bytes: `128mb`, `64 kb`, `1000`.
    pub fn size(&self, key: &str) -> Result<Option<u64>> {
        let parse = |v: &str| parse_size(v).ok_or_else(|| self.bad(key, v, "a size such as '128mb'"));
        self.text(key).map(parse).transpose()
    }

    /// All given options whose key starts with `prefix`, with the prefix taken off.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.values.iter().filter_map(move |(k, v)| k.strip_prefix(prefix).map(|k| (k, v.as_str())))
    }

    /// True when the user gave this key.
    pub fn given(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    fn bad(&self, key: &str, value: &str, wanted: &str) -> Error {
        let secret = self.specs.iter().any(|s| s.covers(key) && s.value == OptionValue::Secret);
        let shown = if secret { "***" } else { value };
        Error::option(format!("Invalid value '{shown}' for option '{key}': expected {wanted}"), None)
    }
}

impl Error {
    fn with_hint_opt(self, hint: Option<String>) -> Self {
        match hint {
            Some(text) => self.with_hint(text),
            None => self,
        }
    }
}

/// Reads Flink's duration text: a number and a unit (`ns`, `us`, `ms`, `s`, `min`, `h`, `d` and their long forms); without a
/// unit, milliseconds.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let micros = match unit.trim().to_ascii_lowercase().as_str() {
        "ns" | "nano" | "nanos" | "nanosecond" | "nanoseconds" => return Some(Duration::from_nanos(number)),
        "us" | "µs" | "micro" | "micros" | "microsecond" | "microseconds" => 1,
        "" | "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => 1_000,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000_000,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000_000,
        "h" | "hour" | "hours" => 3_600_000_000,
        "d" | "day" | "days" => 86_400_000_000,
        _ => return None,
    };
    number.checked_mul(micros).map(Duration::from_micros)
}

/// Reads Flink's memory size text: a number and a unit (`b`, `kb`, `mb`, `gb`, `tb` and their long forms), in powers of 1024.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" | "bytes" => 0,
        "k" | "kb" | "kibibytes" => 10,
        "m" | "mb" | "mebibytes" => 20,
        "g" | "gb" | "gibibytes" => 30,
        "t" | "tb" | "tebibytes" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// The known name nearest to `given`, if one is near enough to be a slip of the pen (edit distance at most a third of
/// its length, and at least 1).
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = given.to_lowercase();
    let limit = (given.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| (edit_distance(&given, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}
