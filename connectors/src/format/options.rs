//! The options of all formats, declared once and offered under each prefix that a connector uses.

use std::sync::LazyLock;

use eddyline_engine::connector::{OptionSpec, OptionValue, Options, nearest};
use eddyline_engine::error::{Error, Result};

use OptionValue::{Boolean, OneOf, Text};

/// Names of all formats.
pub const FORMATS: [&str; 4] = ["json", "csv", "raw", "debezium-json"];

const PREFIXES: [&str; 3] = ["", "key.", "value."];

const TIMESTAMP_STANDARDS: OptionValue = OneOf(&["SQL", "ISO-8601"]);
const MAP_NULL_KEY_MODES: OptionValue = OneOf(&["FAIL", "DROP", "LITERAL"]);

/// The options without prefix.
const SPECS: &[OptionSpec] = &[
    OptionSpec::optional("format", Text, "Format of the messages: json, csv, raw or debezium-json."),
    OptionSpec::with_default(
        "json.fail-on-missing-field",
        Boolean,
        "false",
        "Fail when a declared field is missing in a message; else it is NULL.",
    ),
    OptionSpec::with_default(
        "json.ignore-parse-errors",
        Boolean,
        "false",
        "Read a field that cannot be parsed as NULL and skip a message that is no JSON; else fail.",
    ),
    OptionSpec::with_default(
        "json.timestamp-format.standard",
        TIMESTAMP_STANDARDS,
        "SQL",
        "Form of timestamps: SQL '2020-12-30 12:13:14.123' or ISO-8601 '2020-12-30T12:13:14.123'.",
    ),
    OptionSpec::with_default(
        "json.map-null-key.mode",
        MAP_NULL_KEY_MODES,
        "FAIL",
        "Accepted for compatibility with Flink; a map has no NULL keys here.",
    ),
    OptionSpec::with_default(
        "json.map-null-key.literal",
        Text,
        "null",
        "Accepted for compatibility with Flink; a map has no NULL keys here.",
    ),
    OptionSpec::with_default(
        "json.encode.decimal-as-plain-number",
        Boolean,
        "false",
        "Write decimals with all their digits (0.000000027) instead of the short scientific form (2.7E-8).",
    ),
    OptionSpec::with_default("json.encode.ignore-null-fields", Boolean, "false", "Leave NULL fields out."),
    OptionSpec::with_default(
        "json.decode.json-parser.enabled",
        Boolean,
        "true",
        "Accepted for compatibility with Flink; there is one parser here.",
    ),
    OptionSpec::with_default("csv.field-delimiter", Text, ",", "Character between fields; '\\t' is a tab."),
    OptionSpec::with_default("csv.disable-quote-character", Boolean, "false", "Treat quotes as text."),
    OptionSpec::with_default("csv.quote-character", Text, "\"", "Character around fields that hold delimiters."),
    OptionSpec::with_default("csv.allow-comments", Boolean, "false", "Skip lines that start with '#'."),
    OptionSpec::with_default(
        "csv.ignore-parse-errors",
        Boolean,
        "false",
        "Read a field that cannot be parsed as NULL and skip a line that cannot; else fail.",
    ),
    OptionSpec::with_default("csv.array-element-delimiter", Text, ";", "Text between the elements of ARRAY and ROW."),
    OptionSpec::optional("csv.escape-character", Text, "Character that takes the meaning from the next one."),
    OptionSpec::optional("csv.null-literal", Text, "Text that stands for NULL."),
    OptionSpec::with_default(
        "csv.write-bigdecimal-in-scientific-notation",
        Boolean,
        "true",
        "Write decimals in the short form without trailing zeros (1E+5) instead of plainly (100000).",
    ),
    OptionSpec::with_default("csv.trim-spaces", Boolean, "false", "Trim blanks around fields that are not quoted."),
    OptionSpec::with_default("csv.empty-string-as-null", Boolean, "false", "Read an empty field of any type as NULL."),
    OptionSpec::with_default("csv.fail-on-missing-columns", Boolean, "false", "Fail when a line has too few fields."),
    OptionSpec::with_default("csv.allow-trailing-comma", Boolean, "true", "Allow one delimiter after the last field."),
    OptionSpec::with_default(
        "csv.ignore-trailing-unmappable",
        Boolean,
        "false",
        "Leave out fields behind the last declared column instead of failing.",
    ),
    OptionSpec::with_default("raw.charset", Text, "UTF-8", "Encoding of text; only UTF-8 is supported."),
    OptionSpec::with_default(
        "raw.endianness",
        OneOf(&["big-endian", "little-endian"]),
        "big-endian",
        "Byte order of numbers.",
    ),
    OptionSpec::with_default(
        "debezium-json.schema-include",
        Boolean,
        "false",
        "The messages carry Kafka Connect's schema beside the payload.",
    ),
    OptionSpec::with_default(
        "debezium-json.ignore-parse-errors",
        Boolean,
        "false",
        "Read a field that cannot be parsed as NULL and skip a message that cannot; else fail.",
    ),
    OptionSpec::with_default(
        "debezium-json.timestamp-format.standard",
        TIMESTAMP_STANDARDS,
        "SQL",
        "Form of timestamps: SQL '2020-12-30 12:13:14.123' or ISO-8601 '2020-12-30T12:13:14.123'.",
    ),
    OptionSpec::with_default(
        "debezium-json.map-null-key.mode",
        MAP_NULL_KEY_MODES,
        "FAIL",
        "Accepted for compatibility with Flink; a map has no NULL keys here.",
    ),
    OptionSpec::with_default(
        "debezium-json.map-null-key.literal",
        Text,
        "null",
        "Accepted for compatibility with Flink; a map has no NULL keys here.",
    ),
    OptionSpec::with_default(
        "debezium-json.encode.decimal-as-plain-number",
        Boolean,
        "false",
        "Write decimals with all their digits (0.000000027) instead of the short scientific form (2.7E-8).",
    ),
];

/// The tables with the keys prefixed. Keys are static by contract, so each prefixed key is leaked once per process.
static PREFIXED: LazyLock<[Vec<OptionSpec>; PREFIXES.len()]> = LazyLock::new(|| {
    PREFIXES.map(|prefix| {
        let key = |spec: &OptionSpec| -> &'static str {
            if prefix.is_empty() { spec.key } else { Box::leak(format!("{prefix}{}", spec.key).into_boxed_str()) }
        };
        SPECS.iter().map(|spec| OptionSpec { key: key(spec), ..spec.clone() }).collect()
    })
});

/// The options of all formats under `prefix` (one of `""`, `"key."`, `"value."`), `<prefix>format` first. Only
/// [`super::create`] knows which of them belong to the chosen format.
pub fn specs(prefix: &str) -> Vec<OptionSpec> {
    let index = PREFIXES.iter().position(|known| *known == prefix);
    assert!(index.is_some(), "formats know the prefixes '', 'key.' and 'value.', not '{prefix}'");
    index.map(|index| PREFIXED[index].clone()).unwrap_or_default()
}

/// Refuses a name that no format has, and options of another format than the one called `name`.
pub(super) fn check_format(options: &Options, prefix: &str, name: &str) -> Result<()> {
    if FORMATS.contains(&name) {
        let others = FORMATS.iter().filter(|other| **other != name).map(|other| format!("{prefix}{other}."));
        let strange = others
            .flat_map(|other| options.with_prefix(&other).map(|(key, _)| format!("{other}{key}")).collect::<Vec<_>>());
        let strange: Vec<String> = strange.collect();
        if strange.is_empty() {
            return Ok(());
        }
        let message =
            format!("Unsupported options found for format '{name}'. Unsupported options: {}", strange.join(", "));
        return Err(Error::option(message, format!("options of this format start with '{prefix}{name}.'")));
    }
    let available = FORMATS.join(", ");
    let hint = match nearest(name, FORMATS) {
        Some(near) => format!("did you mean '{near}'? Available formats: {available}"),
        None => format!("available formats: {available}"),
    };
    Err(Error::option(format!("Could not find any format factory for identifier '{name}'"), hint))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use super::super::create;
    use super::*;

    fn error(prefix: &str, pairs: &[(&str, &str)]) -> Option<Error> {
        let values: BTreeMap<String, String> = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        Options::check("test", &values, specs(prefix)).and_then(|options| create(&options, prefix)).err()
    }

    #[test]
    fn options_are_known_under_every_prefix() {
        for prefix in PREFIXES {
            let specs = specs(prefix);
            assert!(specs.iter().all(|spec| spec.key.starts_with(prefix)));
            for format in FORMATS {
                assert!(specs.iter().any(|spec| spec.key.starts_with(&format!("{prefix}{format}."))));
                assert!(error(prefix, &[(&format!("{prefix}format"), format)]).is_none());
            }
        }
        let lenient = [("value.format", "json"), ("value.json.ignore-parse-errors", "true")];
        assert!(error("value.", &lenient).is_none());
    }

    #[test]
    fn wrong_formats_and_options_are_refused() {
        let unknown = error("", &[("format", "jsn")]).unwrap();
        assert_eq!(unknown.to_string(), "Could not find any format factory for identifier 'jsn'");
        assert!(unknown.hint().unwrap().contains("did you mean 'json'?"));
        let strange = error("", &[("format", "json"), ("csv.field-delimiter", ";")]).unwrap().to_string();
        assert!(strange.contains("Unsupported options: csv.field-delimiter"), "{strange}");
        assert!(error("key.", &[]).unwrap().to_string().contains("'key.format' is missing"));
        assert!(error("", &[("format", "csv"), ("csv.field-delimiter", "ab")]).is_some());
        assert!(error("", &[("format", "raw"), ("raw.charset", "latin1")]).is_some());
        assert!(error("", &[("format", "json"), ("json.timestamp-format.standard", "US")]).is_some());
    }
}
