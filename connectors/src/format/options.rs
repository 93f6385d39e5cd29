//! The options of all formats, declared once and offered under each prefix that a connector uses.

use std::sync::LazyLock;

use eddyline_engine::connector::{OptionSpec, OptionValue, nearest};
use eddyline_engine::error::{Error, Result};

use OptionValue::{Boolean, OneOf, Text};

/// Names of all formats.
pub(super) const FORMATS: [&str; 4] = ["json", "csv", "raw", "debezium-json"];

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
        "What to write for a NULL key of a map: fail, drop the entry, or write the literal.",
    ),
    OptionSpec::with_default("json.map-null-key.literal", Text, "null", "Key written for a NULL key in mode LITERAL."),
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
        "What to write for a NULL key of a map: fail, drop the entry, or write the literal.",
    ),
    OptionSpec::with_default(
        "debezium-json.map-null-key.literal",
        Text,
        "null",
        "Key written for a NULL key in mode LITERAL.",
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

/// Refuses a name that no format has.
pub(super) fn check_format(name: &str) -> Result<()> {
    if FORMATS.contains(&name) {
        return Ok(());
    }
    let available = FORMATS.join(", ");
    let hint = match nearest(name, FORMATS) {
        Some(near) => format!("did you mean '{near}'? Available formats: {available}"),
        None => format!("available formats: {available}"),
    };
    Err(Error::option(format!("Could not find any format factory for identifier '{name}'"), hint))
}
