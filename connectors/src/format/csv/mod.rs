//! The `csv` format: `fields` splits lines, `decoder` reads fields into columns, `encoder` writes lines.

mod decoder;
mod encoder;
mod fields;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, SchemaRef};
use eddyline_engine::connector::{Options, SinkChanges, SourceChanges};
use eddyline_engine::error::{Error, Result};

use super::fault::type_name;
use super::framing::{Framing, Quoting};
use super::print::DecimalForm;
use super::{Decoder, Encoder, Format};

/// The options of `csv`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CsvOptions {
    pub(super) quoting: Quoting,
    pub(super) ignore_parse_errors: bool,
    pub(super) array_element_delimiter: String,
    pub(super) null_literal: Option<String>,
    pub(super) empty_string_as_null: bool,
    pub(super) fail_on_missing_columns: bool,
    pub(super) allow_trailing_comma: bool,
    pub(super) ignore_trailing_unmappable: bool,
    pub(super) decimals: DecimalForm,
}

impl CsvOptions {
    /// Reads the options `<prefix>…`, such as those under `value.csv.`.
    pub(super) fn new(options: &Options, prefix: &str) -> Result<CsvOptions> {
        let key = |name: &str| format!("{prefix}{name}");
        let flag = |name: &str| options.boolean(&key(name));
        let disabled = flag("disable-quote-character")?;
        if disabled && options.given(&key("quote-character")) {
            let message = "Format cannot define a quote character and disabled quote character at the same time.";
            return Err(Error::option(message, None));
        }
        let delimiter = character(options, &key("field-delimiter"))?.unwrap_or(b',');
        let quote = if disabled { None } else { character(options, &key("quote-character"))? };
        let quoting = Quoting {
            delimiter,
            quote,
            // An escape that is the quote does what a doubled quote does anyway.
            escape: character(options, &key("escape-character"))?.filter(|escape| Some(*escape) != quote),
            comments: flag("allow-comments")?,
            trim: flag("trim-spaces")?,
        };
        let scientific = flag("write-bigdecimal-in-scientific-notation")?;
        let array_element_delimiter = options.text(&key("array-element-delimiter")).unwrap_or(";").to_string();
        if array_element_delimiter.is_empty() {
            let text = format!("Option '{}' must not be empty", key("array-element-delimiter"));
            return Err(Error::option(text, None));
        }
        Ok(CsvOptions {
            quoting,
            ignore_parse_errors: flag("ignore-parse-errors")?,
            array_element_delimiter,
            null_literal: options.text(&key("null-literal")).map(str::to_string),
            empty_string_as_null: flag("empty-string-as-null")?,
            fail_on_missing_columns: flag("fail-on-missing-columns")?,
            allow_trailing_comma: flag("allow-trailing-comma")?,
            ignore_trailing_unmappable: flag("ignore-trailing-unmappable")?,
            decimals: if scientific { DecimalForm::Scientific } else { DecimalForm::Short },
        })
    }
}

/// An option of one ASCII character; `\t` and the like stand for what they do in Java.
fn character(options: &Options, key: &str) -> Result<Option<u8>> {
    let Some(text) = options.text(key) else { return Ok(None) };
    match text.as_bytes() {
        [byte] if byte.is_ascii() => Ok(Some(*byte)),
        [b'\\', b't'] => Ok(Some(b'\t')),
        [b'\\', b'\\'] => Ok(Some(b'\\')),
        [b'\\', b'u', digits @ ..] if digits.len() == 4 => {
            let code = u8::from_str_radix(&String::from_utf8_lossy(digits), 16).ok().filter(u8::is_ascii);
            code.map(Some).ok_or_else(|| not_a_character(key, text))
        }
        _ => Err(not_a_character(key, text)),
    }
}

fn not_a_character(key: &str, text: &str) -> Error {
    let hint = "give one ASCII character, such as ';', or '\\t' for a tab";
    Error::option(format!("Option '{key}' must be a string with single character, but was: {text}"), hint.to_string())
}

/// Comma-separated values.
pub(super) struct Csv {
    options: Arc<CsvOptions>,
}

impl Csv {
    /// Reads the options under `prefix`.
    pub(super) fn new(options: &Options, prefix: &str) -> Result<Csv> {
        Ok(Csv { options: Arc::new(CsvOptions::new(options, prefix)?) })
    }
}

impl Format for Csv {
    fn decoder(&self, schema: SchemaRef) -> Result<Box<dyn Decoder>> {
        schema.fields().iter().try_for_each(|field| check_type(field, 0))?;
        Ok(Box::new(decoder::CsvDecoder::new(schema, &self.options)?))
    }

    fn encoder(&self, schema: SchemaRef) -> Result<Box<dyn Encoder>> {
        schema.fields().iter().try_for_each(|field| check_type(field, 0))?;
        Ok(Box::new(encoder::CsvEncoder::new(&schema, &self.options)?))
    }

    fn changes(&self) -> SourceChanges {
        SourceChanges::Append
    }

    fn sink_changes(&self) -> SinkChanges {
        SinkChanges::Append
    }

    fn framing(&self) -> Framing {
        Framing::Quoted(self.options.quoting)
    }
}

/// Refuses what has no place in a CSV field: maps, and collections inside collections.
fn check_type(field: &Field, level: usize) -> Result<()> {
    let refuse = || {
        let message = format!("Unsupported type {} of column '{}'", type_name(field), field.name());
        Error::option(message, "CSV has ARRAY and ROW of simple types only, and no MAP".to_string())
    };
    match field.data_type() {
        DataType::Map(..) => Err(refuse()),
        DataType::List(_) | DataType::Struct(_) if level > 0 => Err(refuse()),
        DataType::List(item) => check_type(item, level + 1),
        DataType::Struct(parts) => parts.iter().try_for_each(|part| check_type(part, level + 1)),
        _ => Ok(()),
    }
}
