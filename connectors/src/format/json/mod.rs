//! The `json` format.
//!
//! - `cursor` finds the tokens of a message; `value` and `row` read them into columns; `compact` keeps arrays and
//!   objects as text; `decoder` isolates bad messages.
//! - `encoder` writes rows.

mod compact;
mod cursor;
mod decoder;
mod encoder;
mod envelope;
mod row;
mod value;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::datatypes::{DataType, Fields, SchemaRef};
use eddyline_engine::connector::{Options, SinkChanges, SourceChanges};
use eddyline_engine::error::{Error, Result};

pub(super) use decoder::JsonRows;
pub(super) use encoder::RowWriter;
pub(super) use envelope::Envelope;

use super::fault::type_name;
use super::text::TimestampForm;
use super::{Decoder, Encoder, Format};

/// The options of `json` and of the formats built on it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct JsonOptions {
    pub(super) fail_on_missing_field: bool,
    pub(super) ignore_parse_errors: bool,
    pub(super) timestamps: TimestampForm,
    pub(super) plain_decimals: bool,
    pub(super) ignore_null_fields: bool,
}

impl JsonOptions {
    /// Reads the options `<prefix>…`, such as those under `value.json.`.
    pub(super) fn new(options: &Options, prefix: &str) -> Result<JsonOptions> {
        let key = |name: &str| format!("{prefix}{name}");
        let standard = options.text(&key("timestamp-format.standard")).unwrap_or_default();
        let iso = standard.eq_ignore_ascii_case("ISO-8601");
        let parsed = JsonOptions {
            fail_on_missing_field: options.boolean(&key("fail-on-missing-field"))?,
            ignore_parse_errors: options.boolean(&key("ignore-parse-errors"))?,
            timestamps: if iso { TimestampForm::Iso8601 } else { TimestampForm::Sql },
            plain_decimals: options.boolean(&key("encode.decimal-as-plain-number"))?,
            ignore_null_fields: options.boolean(&key("encode.ignore-null-fields"))?,
        };
        if parsed.fail_on_missing_field && parsed.ignore_parse_errors {
            return Err(Error::option("fail-on-missing-field and ignore-parse-errors shouldn't both be true.", None));
        }
        Ok(parsed)
    }
}

/// JSON objects.
pub(super) struct Json {
    options: Arc<JsonOptions>,
}

impl Json {
    /// Reads the options under `prefix`.
    pub(super) fn new(options: &Options, prefix: &str) -> Result<Json> {
        Ok(Json { options: Arc::new(JsonOptions::new(options, prefix)?) })
    }
}

impl Format for Json {
    fn decoder(&self, schema: SchemaRef) -> Result<Box<dyn Decoder>> {
        Ok(Box::new(decoder::JsonDecoder::new(schema, &self.options)?))
    }

    fn encoder(&self, schema: SchemaRef) -> Result<Box<dyn Encoder>> {
        Ok(Box::new(encoder::JsonEncoder::new(&schema, &self.options)?))
    }

    fn changes(&self) -> SourceChanges {
        SourceChanges::Append
    }

    fn sink_changes(&self) -> SinkChanges {
        SinkChanges::Append
    }
}

/// Refuses maps whose keys are no text: a JSON object has no others.
fn check_map_keys(fields: &Fields) -> Result<()> {
    for field in fields {
        match field.data_type() {
            DataType::Map(entries, _) => {
                if let DataType::Struct(parts) = entries.data_type() {
                    if parts.first().is_none_or(|key| key.data_type() != &DataType::Utf8) {
                        let message = "JSON format doesn't support non-string as key type of map. The type is: ";
                        return Err(Error::option(format!("{message}{}", type_name(field)), None));
                    }
                    check_map_keys(parts)?;
                }
            }
            DataType::List(item) => check_map_keys(&Fields::from(vec![item.clone()]))?,
            DataType::Struct(parts) => check_map_keys(parts)?,
            _ => {}
        }
    }
    Ok(())
}
