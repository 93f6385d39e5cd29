//! How results are shown: one writer per form of output, all fed with changelog batches.

mod json;
mod table;
mod text;

use std::io::{self, Write};

use arrow::datatypes::SchemaRef;
use clap::ValueEnum;
use eddyline_engine::ChangelogBatch;

pub use json::schema_json;
pub use table::print_rows;
#[cfg(feature = "server")]
pub use text::value_text;

/// The form of results on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputForm {
    /// The table that the changes add up to: live on a terminal, else once at the end.
    Table,
    /// One line per change, with its kind.
    Changelog,
    /// One JSON object per change: {"op":"+I","row":[…]}.
    Jsonl,
    /// One CSV line per change, the kind first.
    Csv,
}

/// Writes the changes of one query.
pub trait ResultWriter {
    /// Takes changes in order.
    fn write(&mut self, batch: &ChangelogBatch, out: &mut dyn Write) -> io::Result<()>;

    /// Called at the end, or from time to time while a continuous query waits for input.
    fn flush(&mut self, out: &mut dyn Write, ended: bool) -> io::Result<()>;
}

/// The writer of a form, for results with the columns of `schema`.
pub fn writer(form: OutputForm, schema: SchemaRef, live: bool) -> Box<dyn ResultWriter> {
    match form {
        OutputForm::Table => Box::new(table::TableWriter::new(schema, live)),
        OutputForm::Changelog => Box::new(text::ChangelogWriter::new(schema)),
        OutputForm::Jsonl => Box::new(json::JsonWriter::default()),
        OutputForm::Csv => Box::new(text::CsvWriter::new(schema)),
    }
}
