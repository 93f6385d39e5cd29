//! How results are shown: one writer per form of output, all fed with changelog batches.

mod changes;
mod finished;
mod grid;
mod json;
mod materialized;
mod subscription;
mod table;
mod text;

use std::io::{self, Write};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use clap::ValueEnum;
use eddyline_engine::ChangelogBatch;

pub use changes::{ChangeWriter, TableauWriter};
pub use finished::{Finished, Form};
pub use grid::{MAX_WIDTH, width};
pub use json::schema_json;
pub use subscription::SubscriptionWriter;
pub use table::{MAX_ROWS, TableStyle, TableWriter};
pub use text::ChangelogWriter;
#[cfg(feature = "server")]
pub use text::value_text;

/// The form of results on standard output of `eddyline run`.
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

/// Whether a result goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It does.
    No,
    /// It is all there.
    Complete,
    /// Somebody has stopped it, or it has failed.
    Cancelled,
}

/// Writes the changes of one query.
pub trait ResultWriter {
    /// Takes changes in order.
    fn write(&mut self, batch: &ChangelogBatch, out: &mut dyn Write) -> io::Result<()>;

    /// Called at the end, and from time to time while a continuous query waits for input.
    fn flush(&mut self, out: &mut dyn Write, ending: Ending) -> io::Result<()>;

    /// True when there is a place for figures beside the result.
    fn shows_status(&self) -> bool {
        false
    }

    /// Figures to show beside the result.
    fn status(&mut self, _line: &str) {}

    /// Something else is about to be printed.
    fn step_aside(&mut self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

/// The writer of a form, for results with the columns of `schema`; `live` is the size of the terminal, if it is one.
pub fn writer(form: OutputForm, schema: SchemaRef, live: Option<(usize, usize)>) -> Box<dyn ResultWriter> {
    match form {
        OutputForm::Table => Box::new(TableWriter::new(schema, TableStyle::default(), live)),
        OutputForm::Changelog => Box::new(ChangelogWriter::new(schema, false)),
        OutputForm::Jsonl => Box::new(json::JsonWriter::default()),
        OutputForm::Csv => Box::new(text::CsvWriter::new(schema)),
    }
}

/// Rows of a finished result, drawn with borders.
pub fn print_rows(rows: &RecordBatch, schema: &SchemaRef, out: &mut dyn Write) -> io::Result<()> {
    Finished { schema, rows, form: Form::Table, max_width: MAX_WIDTH, with_total: false }.write(out)
}
