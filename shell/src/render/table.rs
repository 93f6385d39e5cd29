//! The table that a changelog adds up to, drawn with borders; on a terminal it is drawn anew while it changes.

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use eddyline_engine::ChangelogBatch;

use super::ResultWriter;
use super::text::value_text;

/// Rows kept of a continuous result; older ones are no longer shown.
const MAX_ROWS: usize = 1_000_000;
/// Rows drawn of a live table.
const LIVE_ROWS: usize = 20;
/// How often a live table is drawn anew.
const REDRAW: Duration = Duration::from_millis(200);
/// Width at which a value is cut, as `table.display.max-column-width` has it.
const MAX_WIDTH: usize = 30;

/// Keeps the current rows and draws them.
pub struct TableWriter {
    schema: SchemaRef,
    live: bool,
    /// Rows in order of arrival; None where a row was taken back.
    rows: Vec<Option<Vec<String>>>,
    /// Places of equal rows in `rows`, the newest last.
    places: HashMap<Vec<String>, Vec<usize>>,
    /// Number of live rows in `rows`.
    count: usize,
    /// Lines of the last drawing, to go back over.
    drawn: usize,
    /// When that was.
    last: Option<Instant>,
    dirty: bool,
}

impl TableWriter {
    /// An empty table.
    pub fn new(schema: SchemaRef, live: bool) -> Self {
        let (rows, places) = (Vec::new(), HashMap::new());
        TableWriter { schema, live, rows, places, count: 0, drawn: 0, last: None, dirty: true }
    }

    fn add(&mut self, row: Vec<String>) {
        if self.count >= MAX_ROWS {
            return;
        }
        self.places.entry(row.clone()).or_default().push(self.rows.len());
        self.rows.push(Some(row));
        self.count += 1;
    }

    fn remove(&mut self, row: &[String]) {
        let Some(places) = self.places.get_mut(row) else { return };
        if let Some(place) = places.pop() {
            self.rows[place] = None;
            self.count -= 1;
        }
        if places.is_empty() {
            self.places.remove(row);
        }
        if self.rows.len() > 2 * self.count + 1024 {
            self.compact();
        }
    }

    fn compact(&mut self) {
        self.rows.retain(Option::is_some);
        self.places.clear();
        for (place, row) in self.rows.iter().enumerate() {
            if let Some(row) = row {
                self.places.entry(row.clone()).or_default().push(place);
            }
        }
    }
}

impl ResultWriter for TableWriter {
    fn write(&mut self, batch: &ChangelogBatch, _out: &mut dyn Write) -> io::Result<()> {
        for row in 0..batch.len() {
            let values: Vec<String> = batch.rows().columns().iter().map(|c| value_text(c, row)).collect();
            if batch.kind(row).is_addition() { self.add(values) } else { self.remove(&values) }
        }
        self.dirty |= !batch.is_empty();
        Ok(())
    }

    fn flush(&mut self, out: &mut dyn Write, ended: bool) -> io::Result<()> {
        let waits = self.last.is_some_and(|last| last.elapsed() < REDRAW);
        if !ended && (!self.live || !self.dirty || waits) {
            return Ok(());
        }
        self.last = Some(Instant::now());
        let names: Vec<String> = self.schema.fields().iter().map(|f| f.name().clone()).collect();
        let current: Vec<&Vec<String>> = self.rows.iter().flatten().collect();
        let shown = if ended { &current[..] } else { &current[current.len().saturating_sub(LIVE_ROWS)..] };
        let mut text = render_table(&names, shown);
        let total = match self.count {
            0 => "Empty set\n".to_string(),
            1 => "1 row in set\n".to_string(),
            n => format!("{n} rows in set\n"),
        };
        text.push_str(&total);
        if self.drawn > 0 {
            write!(out, "\x1b[{}A", self.drawn)?;
        }
        if self.live {
            // Also over what a key has left on the line, such as ^C.
            write!(out, "\r\x1b[J")?;
        }
        out.write_all(text.as_bytes())?;
        self.drawn = if self.live && !ended { text.lines().count() } else { 0 };
        self.dirty = false;
        out.flush()
    }
}

/// Rows of a finished result, drawn with borders.
pub fn print_rows(batches: &[RecordBatch], schema: &SchemaRef, out: &mut dyn Write) -> io::Result<()> {
    let names: Vec<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
    let rows: Vec<Vec<String>> = batches
        .iter()
        .flat_map(|b| (0..b.num_rows()).map(move |row| b.columns().iter().map(|c| value_text(c, row)).collect()))
        .collect();
    match rows.as_slice() {
        // A plan, or the text of a table: to be read as it stands.
        [row] if matches!(row.as_slice(), [text] if text.contains('\n')) => writeln!(out, "{}", row[0].trim_end()),
        _ => out.write_all(render_table(&names, &rows.iter().collect::<Vec<_>>()).as_bytes()),
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn cut(text: &str, limit: usize) -> String {
    if width(text) <= limit {
        return text.to_string();
    }
    let kept: String = text.chars().take(limit.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// A table with borders; values longer than a column may be are cut.
pub fn render_table(names: &[String], rows: &[&Vec<String>]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let limit = |i: usize| MAX_WIDTH.max(width(&names[i]));
    let widths: Vec<usize> = (0..names.len())
        .map(|i| rows.iter().map(|r| width(&r[i])).chain([width(&names[i])]).max().unwrap_or(0).min(limit(i)))
        .collect();
    let border: String = widths.iter().map(|w| format!("+{}", "-".repeat(w + 2))).collect::<String>() + "+\n";
    let line = |cells: &[String]| {
        let padded = |(cell, w): (&String, &usize)| {
            let text = cut(cell, *w);
            format!("| {}{text} ", " ".repeat(w - width(&text)))
        };
        cells.iter().zip(&widths).map(padded).collect::<String>() + "|\n"
    };
    let mut text = border.clone() + &line(names) + &border;
    rows.iter().for_each(|row| text.push_str(&line(row)));
    text.push_str(&border);
    text
}
