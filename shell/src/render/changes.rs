//! Changes as they come: Flink's tableau and changelog modes, and the forms for other programs.

use std::io::{self, Write};

use arrow::datatypes::SchemaRef;
use eddyline_engine::{ChangelogBatch, RowKind};

use super::finished::{Form, markdown_header, markdown_row, record};
use super::grid::{self, Grid, width_of_type};
use super::json::{JsonWriter, object};
use super::text::{csv_cells, csv_names};
use super::{Ending, ResultWriter};

/// Flink's tableau: a table of changes that grows downwards, with column widths from the types.
pub struct TableauWriter {
    schema: SchemaRef,
    grid: Grid,
    received: u64,
}

impl TableauWriter {
    /// A tableau in which texts are cut at `max_width`.
    pub fn new(schema: SchemaRef, max_width: usize) -> Self {
        let width = |f: &std::sync::Arc<arrow::datatypes::Field>| {
            width_of_type(f.data_type(), f.is_nullable(), max_width).max(grid::width(f.name()))
        };
        let widths = std::iter::once(2).chain(schema.fields().iter().map(width)).collect();
        TableauWriter { grid: Grid::new(widths), schema, received: 0 }
    }

    fn line(&self, op: &str, cells: Vec<String>) -> String {
        self.grid.line(&std::iter::once(op.to_string()).chain(cells).collect::<Vec<_>>())
    }
}

impl ResultWriter for TableauWriter {
    fn write(&mut self, batch: &ChangelogBatch, out: &mut dyn Write) -> io::Result<()> {
        if self.received == 0 && !batch.is_empty() {
            let border = self.grid.border();
            writeln!(out, "{border}\n{}\n{border}", self.line("op", grid::names(&self.schema)))?;
        }
        for row in 0..batch.len() {
            writeln!(out, "{}", self.line(batch.kind(row).symbol(), grid::cells(batch.rows(), row)))?;
        }
        self.received += batch.len() as u64;
        Ok(())
    }

    fn flush(&mut self, out: &mut dyn Write, ending: Ending) -> io::Result<()> {
        let rows = if self.received == 1 { "row" } else { "rows" };
        match ending {
            Ending::No => {}
            Ending::Cancelled => {
                writeln!(out, "Query terminated, received a total of {} {rows}", self.received)?;
            }
            Ending::Complete if self.received == 0 => writeln!(out, "Empty set")?,
            Ending::Complete => {
                writeln!(out, "{}\nReceived a total of {} {rows}", self.grid.border(), self.received)?;
            }
        }
        out.flush()
    }
}

/// Changes in a form for other programs, or as records. An operation is only shown where rows may be taken back.
pub struct ChangeWriter {
    schema: SchemaRef,
    form: Form,
    with_op: bool,
    json: JsonWriter,
    written: usize,
}

impl ChangeWriter {
    /// A writer that has not yet written its header.
    pub fn new(schema: SchemaRef, form: Form, with_op: bool) -> Self {
        ChangeWriter { schema, form, with_op, json: JsonWriter::default(), written: 0 }
    }

    fn header(&self, out: &mut dyn Write) -> io::Result<()> {
        let op = self.with_op.then_some("op");
        match self.form {
            Form::Csv => {
                let names = op.map(str::to_string).into_iter().chain(csv_names(&self.schema));
                writeln!(out, "{}", names.collect::<Vec<_>>().join(","))
            }
            Form::Markdown => markdown_header(&self.schema, op, out),
            _ => Ok(()),
        }
    }

    fn row(&mut self, batch: &ChangelogBatch, row: usize, out: &mut dyn Write) -> io::Result<()> {
        let op = self.with_op.then(|| batch.kind(row).symbol());
        match self.form {
            Form::Csv => {
                let cells = op.map(str::to_string).into_iter().chain(csv_cells(batch.rows(), row));
                writeln!(out, "{}", cells.collect::<Vec<_>>().join(","))
            }
            Form::Markdown => markdown_row(batch.rows(), row, op, out),
            Form::Jsonl => writeln!(out, "{}", object(&self.schema, batch.rows(), row)),
            Form::Table | Form::Expanded => record(&self.schema, batch.rows(), row, self.written + 1, op, out),
        }
    }
}

impl ResultWriter for ChangeWriter {
    fn write(&mut self, batch: &ChangelogBatch, out: &mut dyn Write) -> io::Result<()> {
        if self.form == Form::Jsonl && self.with_op {
            return self.json.write(batch, out);
        }
        for row in 0..batch.len() {
            if self.written == 0 {
                self.header(out)?;
            }
            self.row(batch, row, out)?;
            self.written += 1;
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut dyn Write, ending: Ending) -> io::Result<()> {
        if ending != Ending::No && self.written == 0 {
            self.header(out)?;
        }
        out.flush()
    }
}

/// The colour of an operation on a terminal.
pub fn colour(kind: RowKind) -> &'static str {
    match kind {
        RowKind::Insert => "\x1b[32m",
        RowKind::UpdateAfter => "\x1b[36m",
        RowKind::UpdateBefore => "\x1b[90m",
        RowKind::Delete => "\x1b[31m",
    }
}
