//! Rows drawn with borders, as Flink's client and MySQL's draw them.

use std::io::{self, Write};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use unicode_width::UnicodeWidthStr;

use super::text::value_text;

/// Width at which a value is cut unless a setting says otherwise.
pub const MAX_WIDTH: usize = 30;

/// Cells of a terminal that `text` takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// The text without characters that would move the cursor or colour the terminal.
pub fn printable(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    let shown = |c: char| if c.is_control() { c.escape_default().collect::<String>() } else { c.to_string() };
    text.chars().map(shown).collect()
}

/// A value as it stands in a cell.
pub fn cell(batch: &RecordBatch, row: usize, column: usize) -> String {
    printable(value_text(batch.column(column), row))
}

/// The text cut to `limit` cells, with an ellipsis when something is gone.
pub fn cut(text: &str, limit: usize) -> String {
    if width(text) <= limit {
        return text.to_string();
    }
    let mut kept = String::new();
    for c in text.chars() {
        if width(&kept) + width(c.encode_utf8(&mut [0; 4])) + 1 > limit {
            break;
        }
        kept.push(c);
    }
    kept + "…"
}

/// A frame for rows of known column widths.
pub struct Grid {
    widths: Vec<usize>,
}

impl Grid {
    /// A grid with columns of these widths.
    pub fn new(widths: Vec<usize>) -> Self {
        Grid { widths }
    }

    /// The grid that fits the names and values of `batch`, of which none is wider than `limit`.
    pub fn fitting(schema: &SchemaRef, batch: &RecordBatch, limit: usize) -> Self {
        let column = |(index, field): (usize, &std::sync::Arc<arrow::datatypes::Field>)| {
            let name = width(field.name());
            let values = (0..batch.num_rows()).map(|row| width(&cell(batch, row, index)));
            values.max().unwrap_or(0).min(limit).max(name)
        };
        Grid { widths: schema.fields().iter().enumerate().map(column).collect() }
    }

    /// `+---+----+`.
    pub fn border(&self) -> String {
        self.widths.iter().map(|w| format!("+{}", "-".repeat(w + 2))).collect::<String>() + "+"
    }

    /// `| a |  b |`: cells to the right, cut where they do not fit.
    pub fn line(&self, cells: &[String]) -> String {
        let padded = |(cell, limit): (&String, &usize)| {
            let text = cut(cell, *limit);
            format!("| {}{text} ", " ".repeat(limit.saturating_sub(width(&text))))
        };
        cells.iter().zip(&self.widths).map(padded).collect::<String>() + "|"
    }
}

/// The cells of a row.
pub fn cells(batch: &RecordBatch, row: usize) -> Vec<String> {
    (0..batch.num_columns()).map(|column| cell(batch, row, column)).collect()
}

/// Names of the columns.
pub fn names(schema: &SchemaRef) -> Vec<String> {
    schema.fields().iter().map(|field| printable(field.name().clone())).collect()
}

/// Draws all rows.
pub fn draw(schema: &SchemaRef, batch: &RecordBatch, limit: usize, out: &mut dyn Write) -> io::Result<()> {
    if schema.fields().is_empty() {
        return Ok(());
    }
    let grid = Grid::fitting(schema, batch, limit);
    let border = grid.border();
    writeln!(out, "{border}\n{}\n{border}", grid.line(&names(schema)))?;
    for row in 0..batch.num_rows() {
        writeln!(out, "{}", grid.line(&cells(batch, row)))?;
    }
    writeln!(out, "{border}")
}

/// `Empty set`, `1 row in set`, `3 rows in set`.
pub fn total(count: usize) -> String {
    match count {
        0 => "Empty set".to_string(),
        1 => "1 row in set".to_string(),
        n => format!("{n} rows in set"),
    }
}

/// Width of a column whose values are not known yet, from its type, as Flink's client has it; `limit` is for texts and
/// whatever else has no length.
pub fn width_of_type(data_type: &DataType, nullable: bool, limit: usize) -> usize {
    let fraction = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 4,
        TimeUnit::Microsecond => 7,
        TimeUnit::Nanosecond => 10,
    };
    let width = match data_type {
        DataType::Int8 => 4,
        DataType::Int16 => 6,
        DataType::Int32 => 11,
        DataType::Int64 => 20,
        DataType::Decimal128(precision, _) => usize::from(*precision) + 3,
        DataType::Boolean => 5,
        DataType::Date32 => 10,
        DataType::Time32(unit) | DataType::Time64(unit) => 8 + fraction(unit),
        // Ours has a Z at the end when it is one with a zone.
        DataType::Timestamp(unit, zone) => 19 + fraction(unit) + usize::from(zone.is_some()),
        _ => limit,
    };
    if nullable { width.max("<NULL>".len()) } else { width }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_move_the_cursor() {
        assert_eq!(printable("a\nb\x1b[2Jc\t".to_string()), "a\\nb\\u{1b}[2Jc\\t");
        assert_eq!(printable("äöü 漢".to_string()), "äöü 漢");
    }

    #[test]
    fn wide_characters_take_two_cells() {
        let grid = Grid::new(vec![4]);
        assert_eq!(grid.line(&["漢字".to_string()]), "| 漢字 |");
        assert_eq!(grid.line(&["漢字漢".to_string()]), "|  漢… |");
        assert_eq!(grid.line(&["ab".to_string()]), "|   ab |");
        assert_eq!(grid.border(), "+------+");
    }
}
