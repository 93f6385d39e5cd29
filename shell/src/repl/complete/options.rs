//! Keys and values of options and settings.

use eddyline_engine::connector::{OptionSpec, OptionValue};

use super::Candidate;
use super::context::{Context, List};
use super::known::Known;

/// Options that name a format.
const FORMAT_KEYS: &[&str] = &["format", "key.format", "value.format"];

/// Keys that may be given.
pub fn keys(context: &Context, list: &List, known: &dyn Known) -> Vec<Candidate> {
    let given = |key: &str| context.pairs.iter().any(|(given, _)| given == key);
    let mut found = Vec::new();
    if *list == List::Options && connector(context).is_none() {
        found.push(key(context, "connector"));
    }
    for spec in specs(context, list, known) {
        match (spec.key.split_once('#'), spec.key.strip_suffix('*')) {
            (Some((before, after)), _) => {
                found.extend(context.declared.iter().map(|column| key(context, &format!("{before}{column}{after}"))));
            }
            (_, Some(prefix)) => found.push(open(context, prefix)),
            _ if *list == List::Options && given(spec.key) => {}
            _ => found.push(key(context, spec.key)),
        }
    }
    found
}

/// Values that may be given to `key`.
pub fn values(context: &Context, list: &List, key: &str, known: &dyn Known) -> Vec<Candidate> {
    if *list == List::Options && key == "connector" {
        return known.connectors().iter().map(|name| value(context, name)).collect();
    }
    let specs = specs(context, list, known);
    let Some(spec) = specs.iter().find(|spec| spec.covers(key)) else { return Vec::new() };
    let mut found: Vec<Candidate> = match spec.value {
        OptionValue::Boolean => ["false", "true"].map(|word| value(context, word)).to_vec(),
        OptionValue::OneOf(words) => words.iter().map(|word| value(context, word)).collect(),
        _ if FORMAT_KEYS.contains(&key) => known.formats().iter().map(|format| value(context, format)).collect(),
        _ => Vec::new(),
    };
    if found.is_empty() {
        found.extend(spec.default.filter(|default| !default.is_empty()).map(|default| value(context, default)));
    }
    found
}

/// The connector that the statement names, or that its table has.
fn connector(context: &Context) -> Option<&str> {
    context.pairs.iter().find(|(key, _)| key == "connector").map(|(_, connector)| connector.as_str())
}

fn specs(context: &Context, list: &List, known: &dyn Known) -> Vec<OptionSpec> {
    match list {
        List::Settings => known.settings(),
        List::Options => match connector(context) {
            Some(connector) => known.options(connector),
            // ALTER TABLE t SET (…), FROM t /*+ OPTIONS(…) */: nothing says which connector it is.
            None if context.declared.is_empty() => {
                known.connectors().iter().flat_map(|connector| known.options(connector)).collect()
            }
            None => Vec::new(),
        },
    }
}

/// A key with its quotes and what comes behind it.
fn key(context: &Context, key: &str) -> Candidate {
    let behind = if context.closes { "" } else { "' = '" };
    Candidate { shown: key.to_string(), text: format!("{}{key}{behind}", quote(context)) }
}

/// The beginning of a key.
fn open(context: &Context, prefix: &str) -> Candidate {
    Candidate { shown: format!("{prefix}…"), text: format!("{}{prefix}", quote(context)) }
}

fn value(context: &Context, value: &str) -> Candidate {
    let behind = if context.closes { "" } else { "'" };
    Candidate { shown: value.to_string(), text: format!("{}{}{behind}", quote(context), value.replace('\'', "''")) }
}

/// The quote that must still be typed.
fn quote(context: &Context) -> &'static str {
    if context.quoted { "" } else { "'" }
}
