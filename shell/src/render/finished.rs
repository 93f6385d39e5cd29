//! A finished result, all rows known, in every form that can be asked for.

use std::io::{self, Write};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::grid::{self, printable};
use super::json::object;
use super::text::{csv_cells, csv_names, value_text};

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// With borders, and the number of rows below.
    Table,
    /// Each row as a record, one column per line.
    Expanded,
    /// Comma-separated values (RFC 4180) with a header.
    Csv,
    /// One JSON object per row.
    Jsonl,
    /// A table of Markdown.
    Markdown,
}

/// Rows and how they are written.
pub struct Finished<'a> {
    /// Columns.
    pub schema: &'a SchemaRef,
    /// Rows.
    pub rows: &'a RecordBatch,
    /// The form.
    pub form: Form,
    /// Width at which values are cut in a table.
    pub max_width: usize,
    /// True for the line with the number of rows.
    pub with_total: bool,
}

impl Finished<'_> {
    /// Writes the rows.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let (schema, rows) = (self.schema, self.rows);
        match self.form {
            Form::Table => {
                if let Some(text) = self.only_text() {
                    return writeln!(out, "{}", text.trim_end());
                }
                // Of nothing, only that is said.
                if rows.num_rows() > 0 || !self.with_total {
                    grid::draw(schema, rows, self.max_width, out)?;
                }
                if self.with_total { writeln!(out, "{}", grid::total(rows.num_rows())) } else { Ok(()) }
            }
            Form::Expanded => (0..rows.num_rows()).try_for_each(|row| record(schema, rows, row, row + 1, None, out)),
            Form::Csv => {
                writeln!(out, "{}", csv_names(schema).join(","))?;
                (0..rows.num_rows()).try_for_each(|row| writeln!(out, "{}", csv_cells(rows, row).join(",")))
            }
            Form::Jsonl => (0..rows.num_rows()).try_for_each(|row| writeln!(out, "{}", object(schema, rows, row))),
            Form::Markdown => {
                markdown_header(schema, None, out)?;
                (0..rows.num_rows()).try_for_each(|row| markdown_row(rows, row, None, out))
            }
        }
    }

    /// The text that is all there is: a plan, or the definition of a table, to be read as it stands.
    fn only_text(&self) -> Option<String> {
        if self.rows.num_rows() != 1 || self.rows.num_columns() != 1 {
            return None;
        }
        Some(value_text(self.rows.column(0), 0)).filter(|text| text.contains('\n'))
    }
}

/// One row as a record; `number` counts from 1.
pub fn record(
    schema: &SchemaRef,
    rows: &RecordBatch,
    row: usize,
    number: usize,
    op: Option<&str>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let names = grid::names(schema);
    let name_width = names.iter().map(|name| grid::width(name)).max().unwrap_or(0);
    let op = op.map(|op| format!(" {op}")).unwrap_or_default();
    writeln!(out, "-[ RECORD {number}{op} ]{}", "-".repeat(name_width.saturating_sub(4)))?;
    for (index, name) in names.iter().enumerate() {
        let blank = " ".repeat(name_width - grid::width(name));
        writeln!(out, "{name}{blank} | {}", grid::cell(rows, row, index))?;
    }
    Ok(())
}

/// The header of a Markdown table; `op` is the name of a first column for operations.
pub fn markdown_header(schema: &SchemaRef, op: Option<&str>, out: &mut dyn Write) -> io::Result<()> {
    let names: Vec<String> = op.map(str::to_string).into_iter().chain(grid::names(schema)).collect();
    let escaped: Vec<String> = names.iter().map(|name| markdown_text(name)).collect();
    writeln!(out, "| {} |", escaped.join(" | "))?;
    writeln!(out, "|{}", "---|".repeat(names.len()))
}

/// One row of a Markdown table.
pub fn markdown_row(rows: &RecordBatch, row: usize, op: Option<&str>, out: &mut dyn Write) -> io::Result<()> {
    let value = |column: usize| match rows.column(column).is_null(row) {
        true => String::new(),
        false => markdown_text(&value_text(rows.column(column), row)),
    };
    let cells: Vec<String> = op.map(str::to_string).into_iter().chain((0..rows.num_columns()).map(value)).collect();
    writeln!(out, "| {} |", cells.join(" | "))
}

fn markdown_text(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('|', "\\|").replace("\r\n", "<br>").replace('\n', "<br>");
    printable(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use arrow::array::{Int32Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    #[track_caller]
    fn check(form: Form, expected: &str) {
        let schema: SchemaRef = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int32, false),
            Field::new("what", DataType::Utf8, true),
        ]));
        let what = StringArray::from(vec![Some("a|b, \"c\"\nd"), None]);
        let rows =
            RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int32Array::from(vec![1, 2])), Arc::new(what)]);
        let finished = Finished { schema: &schema, rows: &rows.unwrap(), form, max_width: 8, with_total: true };
        let mut out = Vec::new();
        finished.write(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn every_form_shows_the_same_rows() {
        check(
            Form::Table,
            "+----+----------+\n| id |     what |\n+----+----------+\n|  1 | a|b, \"c… |\n|  2 |   <NULL> |\n+----+----------+\n2 rows in set\n",
        );
        check(
            Form::Expanded,
            "-[ RECORD 1 ]\nid   | 1\nwhat | a|b, \"c\"\\nd\n-[ RECORD 2 ]\nid   | 2\nwhat | <NULL>\n",
        );
        check(Form::Csv, "id,what\n1,\"a|b, \"\"c\"\"\nd\"\n2,\n");
        check(Form::Jsonl, "{\"id\":1,\"what\":\"a|b, \\\"c\\\"\\nd\"}\n{\"id\":2,\"what\":null}\n");
        check(Form::Markdown, "| id | what |\n|---|---|\n| 1 | a\\|b, \"c\"<br>d |\n| 2 |  |\n");
    }
}
