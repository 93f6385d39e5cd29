//! Formats: how the bytes of one message become rows, and rows become messages.
//!
//! A connector asks [`create`] for the format that a table names (`'format' = 'json'`), then makes one [`Decoder`] per
//! reader and one [`Encoder`] per writer. A decoder gathers rows until [`Decoder::take`] hands them over as one batch,
//! so that messages are decoded straight into columns. Formats know nothing of topics, files or offsets: the connector
//! adds the position to their errors.

mod columns;
mod csv;
mod debezium;
mod fault;
mod framing;
mod json;
mod keys;
mod messages;
mod options;
mod print;
mod raw;
mod temporal;
mod text;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use eddyline_engine::changelog::ChangelogBatch;
use eddyline_engine::connector::{MetadataColumn, Options, SinkChanges, SourceChanges};
use eddyline_engine::error::{Error, Result};

pub(crate) use fault::type_name;
pub use framing::{Framing, Quoting};
pub use messages::Messages;
pub use options::{FORMATS, specs};

/// Turns messages into rows. Bad messages are isolated: whatever `decode` answers, the decoder stays usable and holds
/// exactly the rows of the messages that were accepted.
pub trait Decoder: Send {
    /// Appends the rows of one message: none, one or several. Ok also when the message was skipped because of
    /// `ignore-parse-errors`. On error nothing of the message was appended; the error is an [`Error::Data`] without
    /// position, which the caller adds (topic, partition, offset; file, line).
    fn decode(&mut self, message: &[u8]) -> Result<()>;

    /// Appends what the absence of a message stands for (a Kafka message without key or value): nothing, but for formats
    /// to which it is a value.
    fn decode_missing(&mut self) -> Result<()> {
        Ok(())
    }

    /// Rows gathered since the last [`Decoder::take`].
    fn rows(&self) -> usize;

    /// Hands over the gathered rows, in the schema the decoder was made for, with kinds if the format carries changes.
    /// The decoder starts again empty.
    fn take(&mut self) -> Result<ChangelogBatch>;

    /// Messages skipped since the decoder was made.
    fn skipped(&self) -> u64;
}

/// True when the format of the values finds fields by name, so that columns may be left out of the schema of a decoder.
pub fn reads_any_columns(options: &std::collections::BTreeMap<String, String>) -> bool {
    let value = options.get("format").or_else(|| options.get("value.format"));
    value.is_some_and(|format| format == "json") && !options.contains_key("key.format")
}

/// The metadata columns of all formats.
pub fn metadata() -> Vec<MetadataColumn> {
    debezium::metadata::offered()
}

/// Turns rows into messages.
pub trait Encoder: Send {
    /// Appends one message per row to `out`, in order. The batch has the schema the encoder was made for. Formats that
    /// cannot express a change kind encode the row as if it were an insert; [`Format::sink_changes`] says which kinds
    /// are expected.
    fn encode(&mut self, batch: &ChangelogBatch, out: &mut Messages) -> Result<()>;
}

/// A format with its options resolved.
pub trait Format: Send + Sync {
    /// A decoder that produces rows of `schema`. Fails when the format cannot read one of its types.
    fn decoder(&self, schema: SchemaRef) -> Result<Box<dyn Decoder>>;

    /// Metadata columns that its messages have beside the row, for connectors that offer them.
    fn metadata(&self) -> Vec<MetadataColumn> {
        Vec::new()
    }

    /// A decoder that produces rows of `schema`, whose last columns are the metadata of these `keys`.
    fn decoder_with_metadata(&self, schema: SchemaRef, keys: &[String]) -> Result<Box<dyn Decoder>> {
        match keys {
            [] => self.decoder(schema),
            _ => Err(Error::internal("metadata was asked of a format that offers none")),
        }
    }

    /// An encoder for rows of `schema`. Fails when the format cannot write one of its types.
    fn encoder(&self, schema: SchemaRef) -> Result<Box<dyn Encoder>>;

    /// What changes its messages can carry into a table.
    fn changes(&self) -> SourceChanges;

    /// What changes it can write.
    fn sink_changes(&self) -> SinkChanges;

    /// How its messages follow each other in a file. A writer ends each with a line feed.
    fn framing(&self) -> Framing {
        Framing::Lines
    }
}

/// The format named by `<prefix>format`, configured by the options `<prefix><name>.…`. `prefix` is one of `""`,
/// `"key."`, `"value."`.
pub fn create(options: &Options, prefix: &str) -> Result<Arc<dyn Format>> {
    let name = options.required(&format!("{prefix}format"))?;
    options::check_format(options, prefix, name)?;
    let own = format!("{prefix}{name}.");
    match name {
        "csv" => Ok(Arc::new(csv::Csv::new(options, &own)?)),
        "raw" => Ok(Arc::new(raw::Raw::new(options, &own)?)),
        "debezium-json" => Ok(Arc::new(debezium::Debezium::new(options, &own)?)),
        _ => Ok(Arc::new(json::Json::new(options, &own)?)),
    }
}
