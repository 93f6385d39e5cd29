//! Changelog batches as short text, for tests: rows separated by `;`, values by spaces, `NULL`, `[a,b]` for arrays,
//! timestamps as `12s` or `1500ms` since the epoch.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, ListArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::changelog::{ChangelogBatch, RowKind};
use crate::error::{Error, Result};
use crate::time::{column_micros, micros_column};

/// A batch from text such as `+I a 1; -D b NULL`.
pub fn parse(schema: &SchemaRef, text: &str) -> Result<ChangelogBatch> {
    let mut kinds = Vec::new();
    let mut cells: Vec<Vec<Option<String>>> = vec![Vec::new(); schema.fields().len()];
    for row in text.split(';').map(str::trim).filter(|row| !row.is_empty()) {
        let (kind, values) = row.split_at_checked(2).ok_or_else(|| bad(row))?;
        kinds.push(parse_kind(kind).ok_or_else(|| bad(row))?);
        let values: Vec<&str> = values.split_whitespace().collect();
        if values.len() != cells.len() {
            return Err(bad(row));
        }
        for (column, value) in cells.iter_mut().zip(values) {
            column.push((value != "NULL").then(|| value.to_owned()));
        }
    }
    let fields = schema.fields().iter();
    let columns = fields.zip(&cells).map(|(f, c)| column(f.data_type(), c)).collect::<Result<Vec<ArrayRef>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(kinds.len()));
    let rows = RecordBatch::try_new_with_options(schema.clone(), columns, &options)?;
    Ok(ChangelogBatch::new(rows, kinds.into_iter().collect()))
}

/// The rows of a batch as text, each as [`parse`] reads it.
pub fn render(batch: &ChangelogBatch) -> Result<Vec<String>> {
    let options = FormatOptions::default().with_null("NULL");
    let mut lines: Vec<String> = (0..batch.len()).map(|row| batch.kind(row).symbol().to_owned()).collect();
    for column in batch.rows().columns() {
        let shown = match column.data_type() {
            DataType::Timestamp(_, _) => durations(column)?,
            _ => column.clone(),
        };
        let formatter = ArrayFormatter::try_new(&shown, &options)?;
        for (row, line) in lines.iter_mut().enumerate() {
            line.push(' ');
            line.push_str(&formatter.value(row).to_string());
        }
    }
    Ok(lines)
}

/// Microseconds of `12s`, `1500ms`, `7us` or `max`.
pub fn parse_micros(text: &str) -> Result<i64> {
    let units = [("us", 1), ("ms", 1_000), ("s", 1_000_000)];
    if text == "max" {
        return Ok(i64::MAX);
    }
    let number = |unit: &str, factor: i64| Some(text.strip_suffix(unit)?.parse::<i64>().ok()? * factor);
    units.into_iter().find_map(|(unit, factor)| number(unit, factor)).ok_or_else(|| bad(text))
}

fn durations(column: &ArrayRef) -> Result<ArrayRef> {
    let texts = column_micros(column)?;
    let text = |micros: i64| match micros {
        whole if whole % 1_000_000 == 0 => format!("{}s", whole / 1_000_000),
        whole if whole % 1_000 == 0 => format!("{}ms", whole / 1_000),
        micros => format!("{micros}us"),
    };
    Ok(Arc::new(texts.iter().map(|micros| micros.map(text)).collect::<StringArray>()))
}

fn column(data_type: &DataType, cells: &[Option<String>]) -> Result<ArrayRef> {
    match data_type {
        DataType::Timestamp(_, _) => {
            let micros = cells.iter().map(|cell| cell.as_deref().map(parse_micros).transpose());
            let micros = micros.collect::<Result<Vec<Option<i64>>>>()?;
            micros_column(Int64Array::from(micros), data_type)
        }
        DataType::List(item) => {
            let lists: Vec<Option<Vec<Option<String>>>> =
                cells.iter().map(|cell| cell.as_deref().map(split_list)).collect();
            let items: Vec<Option<String>> = lists.iter().flatten().flatten().cloned().collect();
            let offsets = OffsetBuffer::from_lengths(lists.iter().map(|list| list.as_ref().map_or(0, Vec::len)));
            let nulls: NullBuffer = lists.iter().map(Option::is_some).collect();
            let values = column(item.data_type(), &items)?;
            Ok(Arc::new(ListArray::try_new(item.clone(), offsets, values, Some(nulls))?))
        }
        other => {
            let texts: ArrayRef = Arc::new(cells.iter().map(Option::as_deref).collect::<StringArray>());
            let options = CastOptions { safe: false, ..Default::default() };
            match other {
                DataType::Utf8 => Ok(texts),
                other => Ok(cast_with_options(&texts, other, &options)?),
            }
        }
    }
}

fn split_list(text: &str) -> Vec<Option<String>> {
    let inner = text.trim_start_matches('[').trim_end_matches(']');
    let items = inner.split(',').filter(|item| !item.is_empty());
    items.map(|item| (item != "NULL").then(|| item.to_owned())).collect()
}

fn parse_kind(symbol: &str) -> Option<RowKind> {
    [RowKind::Insert, RowKind::UpdateBefore, RowKind::UpdateAfter, RowKind::Delete]
        .into_iter()
        .find(|kind| kind.symbol() == symbol)
}

fn bad(text: &str) -> Error {
    Error::internal(format!("the script has no such row or value: '{text}'"))
}
