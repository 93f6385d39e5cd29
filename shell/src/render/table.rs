//! The table that a changelog adds up to; on a terminal it is drawn anew in place while it changes.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use eddyline_engine::ChangelogBatch;

use super::finished::{Finished, Form};
use super::grid;
use super::materialized::Materialized;
use super::{Ending, ResultWriter};

/// Rows kept of a result, unless a setting says otherwise.
pub const MAX_ROWS: usize = 1_000_000;
/// Rows drawn of a table that changes, at most.
const LIVE_ROWS: usize = 20;
/// Lines of a drawing that are not rows: borders, names, total, status, and the one below.
const FRAME_LINES: usize = 8;
/// How often a table is drawn anew.
const REDRAW: Duration = Duration::from_millis(200);

/// What a table should look like.
#[derive(Debug, Clone, Copy)]
pub struct TableStyle {
    /// The form of the finished table.
    pub form: Form,
    /// Width at which values are cut.
    pub max_width: usize,
    /// Most rows that are kept.
    pub max_rows: usize,
}

impl Default for TableStyle {
    fn default() -> Self {
        TableStyle { form: Form::Table, max_width: grid::MAX_WIDTH, max_rows: MAX_ROWS }
    }
}

/// Writes a finished text.
pub type Finish = fn(&[u8], &mut dyn Write) -> io::Result<()>;

/// Keeps the current rows and draws them.
pub struct TableWriter {
    style: TableStyle,
    /// Columns and lines of the terminal, when the table is drawn while it changes.
    live: Option<(usize, usize)>,
    /// Shows the text of the finished table.
    finish: Finish,
    table: Materialized,
    status: String,
    /// Lines of the last drawing, to go back over.
    drawn: usize,
    last: Option<Instant>,
    dirty: bool,
}

impl TableWriter {
    /// An empty table, drawn while it changes on a terminal of `live` columns and lines.
    pub fn new(schema: SchemaRef, style: TableStyle, live: Option<(usize, usize)>) -> Self {
        let table = Materialized::new(schema, style.max_rows);
        let finish = |text: &[u8], out: &mut dyn Write| out.write_all(text);
        TableWriter { style, live, finish, table, status: String::new(), drawn: 0, last: None, dirty: true }
    }

    /// Shows the text of the finished table with `finish`.
    pub fn finished_by(self, finish: Finish) -> Self {
        TableWriter { finish, ..self }
    }

    /// The table as far as it fits on the screen.
    fn draw_live(&mut self, lines: usize, out: &mut dyn Write) -> io::Result<()> {
        let room = lines.saturating_sub(FRAME_LINES).clamp(1, LIVE_ROWS);
        let rows = self.table.newest(room).map_err(io::Error::other)?;
        let mut text = Vec::new();
        grid::draw(self.table.schema(), &rows, self.style.max_width, &mut text)?;
        let hidden = self.table.len() - rows.num_rows();
        let note = if hidden > 0 { format!(" (the newest {} are shown)", rows.num_rows()) } else { String::new() };
        writeln!(text, "{}{note}", grid::total(self.table.len()))?;
        if !self.status.is_empty() {
            writeln!(text, "{}", self.status)?;
        }
        self.erase(out)?;
        // Without wrapping, so that the number of lines is known.
        write!(out, "\x1b[?7l")?;
        out.write_all(&text)?;
        write!(out, "\x1b[?7h")?;
        self.drawn = text.iter().filter(|byte| **byte == b'\n').count();
        Ok(())
    }

    /// Goes back to where the last drawing began; also over what a key has left on the line, such as ^C.
    fn erase(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.live.is_none() {
            return Ok(());
        }
        match std::mem::take(&mut self.drawn) {
            0 => write!(out, "\r\x1b[J"),
            lines => write!(out, "\x1b[{lines}A\r\x1b[J"),
        }
    }

    fn draw_all(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.erase(out)?;
        let rows = self.table.table().map_err(io::Error::other)?;
        let schema = self.table.schema();
        let finished =
            Finished { schema, rows: &rows, form: self.style.form, max_width: self.style.max_width, with_total: true };
        let mut text = Vec::new();
        finished.write(&mut text)?;
        (self.finish)(&text, out)?;
        if self.table.dropped() > 0 {
            tell!("WARNING: only the newest {} rows were kept", self.style.max_rows);
        }
        Ok(())
    }
}

impl ResultWriter for TableWriter {
    fn write(&mut self, batch: &ChangelogBatch, _out: &mut dyn Write) -> io::Result<()> {
        self.dirty |= !batch.is_empty();
        self.table.apply(batch).map_err(io::Error::other)
    }

    fn flush(&mut self, out: &mut dyn Write, ending: Ending) -> io::Result<()> {
        match (self.live, ending) {
            (None, Ending::No) => return Ok(()),
            (Some((_, lines)), Ending::No) => {
                let waits = self.last.is_some_and(|last| last.elapsed() < REDRAW);
                if !self.dirty || waits {
                    return Ok(());
                }
                self.last = Some(Instant::now());
                self.draw_live(lines, out)?;
            }
            // What a cancelled query leaves is what was to be seen.
            (Some((_, lines)), Ending::Cancelled) if self.style.form == Form::Table => {
                self.status.clear();
                self.draw_live(lines, out)?;
                self.drawn = 0;
            }
            _ => self.draw_all(out)?,
        }
        self.dirty = false;
        out.flush()
    }

    fn shows_status(&self) -> bool {
        self.live.is_some()
    }

    fn status(&mut self, line: &str) {
        if self.shows_status() && self.status != line {
            self.status = line.to_string();
            self.dirty = true;
        }
    }

    fn step_aside(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.erase(out)?;
        self.dirty = true;
        self.last = None;
        out.flush()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use arrow::array::{Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    fn counted(rows: i64) -> (SchemaRef, ChangelogBatch) {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        let column = Arc::new(Int64Array::from_iter_values(0..rows));
        let batch = RecordBatch::try_new(Arc::clone(&schema) as SchemaRef, vec![column]).unwrap();
        (schema, ChangelogBatch::inserts(batch))
    }

    fn text(out: &mut Vec<u8>) -> String {
        String::from_utf8(std::mem::take(out)).unwrap()
    }

    #[test]
    fn a_live_table_fits_the_screen_and_is_drawn_over_itself() {
        let (schema, batch) = counted(100);
        let mut writer = TableWriter::new(schema, TableStyle::default(), Some((80, 12)));
        let mut out = Vec::new();
        writer.status("7 rows/s");
        writer.write(&batch, &mut out).unwrap();
        writer.flush(&mut out, Ending::No).unwrap();
        let first = text(&mut out);
        assert!(
            first.contains("| 99 |") && first.contains("100 rows in set (the newest 4 are shown)\n7 rows/s\n"),
            "{first}"
        );
        assert!(first.lines().count() < 12, "{first}");
        writer.last = None;
        writer.status("8 rows/s");
        writer.flush(&mut out, Ending::No).unwrap();
        assert!(text(&mut out).starts_with(&format!("\x1b[{}A\r\x1b[J", first.matches('\n').count())));
        writer.flush(&mut out, Ending::Cancelled).unwrap();
        let last = text(&mut out);
        assert!(last.contains("| 99 |") && !last.contains("rows/s") && !last.contains("| 90 |"), "{last}");
    }

    #[test]
    fn a_finished_table_shows_all_rows() {
        let (schema, batch) = counted(100);
        let mut writer = TableWriter::new(schema, TableStyle::default(), Some((80, 12)));
        let mut out = Vec::new();
        writer.write(&batch, &mut out).unwrap();
        writer.flush(&mut out, Ending::Complete).unwrap();
        let all = text(&mut out);
        assert!(all.contains("|  0 |") && all.ends_with("100 rows in set\n"), "{all}");
    }
}
