//! Values as plain text, and the line forms made of them: changelog and CSV.

use std::io::{self, Write};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, IntervalMonthDayNanoType, SchemaRef,
    Time32MillisecondType, Time32SecondType, TimeUnit,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use eddyline_engine::ChangelogBatch;
use eddyline_engine::time::civil_from_days;

use super::changes::colour;
use super::grid::{names, printable};
use super::{Ending, ResultWriter};

/// The text of one value, as Flink's client shows it; `<NULL>` for NULL.
pub fn value_text(array: &dyn Array, row: usize) -> String {
    if array.is_null(row) {
        return "<NULL>".to_string();
    }
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row).to_string(),
        DataType::Boolean => (if array.as_boolean().value(row) { "TRUE" } else { "FALSE" }).to_string(),
        DataType::Float32 => format!("{:?}", array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => format!("{:?}", array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(_, _) => array.as_primitive::<Decimal128Type>().value_as_string(row),
        DataType::Binary => array.as_binary::<i32>().value(row).iter().map(|b| format!("{b:02x}")).collect(),
        DataType::Date32 => date_text(array.as_primitive::<Date32Type>().value(row)),
        DataType::Time32(TimeUnit::Second) => {
            clock_text(i64::from(array.as_primitive::<Time32SecondType>().value(row)) * 1_000_000_000, 0)
        }
        DataType::Time32(_) => {
            clock_text(i64::from(array.as_primitive::<Time32MillisecondType>().value(row)) * 1_000_000, 3)
        }
        DataType::Timestamp(unit, zone) => timestamp_text(array, row, *unit, zone.is_some()),
        DataType::Interval(_) => interval_text(array, row),
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            let texts: Vec<String> = (0..items.len()).map(|i| value_text(&items, i)).collect();
            format!("[{}]", texts.join(", "))
        }
        DataType::Struct(_) => {
            let texts: Vec<String> = array.as_struct().columns().iter().map(|c| value_text(c, row)).collect();
            format!("({})", texts.join(", "))
        }
        DataType::Map(_, _) => {
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            let texts: Vec<String> =
                (0..entries.len()).map(|i| format!("{}={}", value_text(keys, i), value_text(values, i))).collect();
            format!("{{{}}}", texts.join(", "))
        }
        _ => ArrayFormatter::try_new(array, &FormatOptions::default())
            .map(|f| f.value(row).to_string())
            .unwrap_or_default(),
    }
}

/// Days since the epoch as `2020-10-10`.
fn date_text(days: i32) -> String {
    let (year, month, day) = civil_from_days(i64::from(days));
    format!("{year:04}-{month:02}-{day:02}")
}

/// Nanoseconds of the day as `08:15:00`, with `digits` of the fraction.
fn clock_text(nanos: i64, digits: usize) -> String {
    let seconds = nanos / 1_000_000_000;
    let mut text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if digits > 0 {
        let fraction = format!("{:09}", nanos % 1_000_000_000);
        text.push('.');
        text.push_str(&fraction[..digits]);
    }
    text
}

fn timestamp_text(array: &dyn Array, row: usize, unit: TimeUnit, zoned: bool) -> String {
    let data = array.to_data();
    let value = data.buffers()[0].typed_data::<i64>()[data.offset() + row];
    let (per_second, digits) = match unit {
        TimeUnit::Second => (1, 0),
        TimeUnit::Millisecond => (1_000, 3),
        TimeUnit::Microsecond => (1_000_000, 6),
        TimeUnit::Nanosecond => (1_000_000_000, 9),
    };
    let seconds = value.div_euclid(per_second);
    let nanos = value.rem_euclid(per_second) * (1_000_000_000 / per_second);
    let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
    let clock = clock_text(seconds.rem_euclid(86_400) * 1_000_000_000 + nanos, digits);
    format!("{year:04}-{month:02}-{day:02} {clock}{}", if zoned { "Z" } else { "" })
}

/// `+1 02:03:04.500` for days and time, `+2-03` for years and months.
fn interval_text(array: &dyn Array, row: usize) -> String {
    let Some(intervals) = array.as_primitive_opt::<IntervalMonthDayNanoType>() else { return String::new() };
    let interval = intervals.value(row);
    if interval.months != 0 {
        let months = interval.months.unsigned_abs();
        let sign = if interval.months < 0 { '-' } else { '+' };
        return format!("{sign}{}-{:02}", months / 12, months % 12);
    }
    let nanos = i128::from(interval.days) * 86_400_000_000_000 + i128::from(interval.nanoseconds);
    let (sign, nanos) = if nanos < 0 { ('-', -nanos) } else { ('+', nanos) };
    let within_day = i64::try_from(nanos % 86_400_000_000_000).unwrap_or_default();
    format!("{sign}{} {}", nanos / 86_400_000_000_000, clock_text(within_day, 3))
}

/// One line per change: kind and values, tab separated.
pub struct ChangelogWriter {
    schema: SchemaRef,
    coloured: bool,
    started: bool,
}

impl ChangelogWriter {
    /// A writer that has not yet written its header; operations may have colours.
    pub fn new(schema: SchemaRef, coloured: bool) -> Self {
        ChangelogWriter { schema, coloured, started: false }
    }
}

impl ResultWriter for ChangelogWriter {
    fn write(&mut self, batch: &ChangelogBatch, out: &mut dyn Write) -> io::Result<()> {
        if !std::mem::replace(&mut self.started, true) {
            writeln!(out, "op\t{}", names(&self.schema).join("\t"))?;
        }
        for row in 0..batch.len() {
            let kind = batch.kind(row);
            match self.coloured {
                true => write!(out, "{}{}\x1b[0m", colour(kind), kind.symbol())?,
                false => write!(out, "{}", kind.symbol())?,
            }
            for column in batch.rows().columns() {
                write!(out, "\t{}", printable(value_text(column, row)))?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut dyn Write, _ending: Ending) -> io::Result<()> {
        out.flush()
    }
}

/// One CSV line per change (RFC 4180), NULL as an empty field.
pub struct CsvWriter {
    schema: SchemaRef,
    started: bool,
}

impl CsvWriter {
    /// A writer that has not yet written its header.
    pub fn new(schema: SchemaRef) -> Self {
        CsvWriter { schema, started: false }
    }
}

fn csv_field(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_string() }
}

/// The names of the columns as fields of CSV.
pub fn csv_names(schema: &SchemaRef) -> Vec<String> {
    schema.fields().iter().map(|field| csv_field(field.name())).collect()
}

/// The values of a row as fields of CSV.
pub fn csv_cells(batch: &RecordBatch, row: usize) -> Vec<String> {
    let field = |column: &ArrayRef| match column.is_null(row) {
        true => String::new(),
        false => csv_field(&value_text(column, row)),
    };
    batch.columns().iter().map(field).collect()
}

impl ResultWriter for CsvWriter {
    fn write(&mut self, batch: &ChangelogBatch, out: &mut dyn Write) -> io::Result<()> {
        if !std::mem::replace(&mut self.started, true) {
            writeln!(out, "op,{}", csv_names(&self.schema).join(","))?;
        }
        for row in 0..batch.len() {
            writeln!(out, "{},{}", batch.kind(row).symbol(), csv_cells(batch.rows(), row).join(","))?;
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut dyn Write, _ending: Ending) -> io::Result<()> {
        out.flush()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use arrow::array::{Date32Array, TimestampMillisecondArray};

    #[test]
    fn dates_before_and_after_the_epoch_are_calendar_dates() {
        let dates = Date32Array::from(vec![0, -1, 18_545, 11_016]);
        let texts: Vec<String> = (0..4).map(|i| value_text(&dates, i)).collect();
        assert_eq!(texts, ["1970-01-01", "1969-12-31", "2020-10-10", "2000-02-29"]);
    }

    #[test]
    fn timestamps_show_all_digits_of_their_precision() {
        let times = TimestampMillisecondArray::from(vec![1_602_317_700_120, -1]).with_timezone("UTC");
        assert_eq!(value_text(&times, 0), "2020-10-10 08:15:00.120Z");
        assert_eq!(value_text(&times, 1), "1969-12-31 23:59:59.999Z");
    }
}
