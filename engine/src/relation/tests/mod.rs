//! Relations against a model: a plain map of rows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod readers;
mod rows;
mod sinks;
mod tables;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};

use super::*;
use crate::changelog::{ChangelogBatch, RowKind};
use crate::state::State;

const NOW: Duration = Duration::ZERO;

/// A row of the test relations: `text`, `id`, `n`.
type Row = (Option<&'static str>, i64, i64);

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("text", DataType::Utf8, true),
        Field::new("id", DataType::Int64, false),
        Field::new("n", DataType::Int64, true),
    ]))
}

fn keyed() -> Arc<Relation> {
    Arc::new(Relation::new(RelationKind::View, "v", schema(), Some(vec![1])).unwrap())
}

fn counted() -> Arc<Relation> {
    Arc::new(Relation::new(RelationKind::View, "v", schema(), None).unwrap())
}

fn batch(rows: &[Row]) -> RecordBatch {
    let text: StringArray = rows.iter().map(|row| row.0).collect();
    let id = Int64Array::from_iter_values(rows.iter().map(|row| row.1));
    let n = Int64Array::from_iter_values(rows.iter().map(|row| row.2));
    RecordBatch::try_new(schema(), vec![Arc::new(text), Arc::new(id), Arc::new(n)]).unwrap()
}

fn changes(changes: &[(RowKind, Row)]) -> ChangelogBatch {
    let rows: Vec<Row> = changes.iter().map(|(_, row)| *row).collect();
    ChangelogBatch::new(batch(&rows), changes.iter().map(|(kind, _)| *kind).collect())
}

fn inserts(rows: &[Row]) -> ChangelogBatch {
    ChangelogBatch::inserts(batch(rows))
}

fn ids(ids: &[i64]) -> Vec<ArrayRef> {
    vec![Arc::new(Int64Array::from(ids.to_vec()))]
}

/// The rows of batches as text, id, n.
fn read(batches: impl IntoIterator<Item = RecordBatch>) -> Vec<(Option<String>, i64, i64)> {
    let mut rows = Vec::new();
    for batch in batches {
        let text = batch.column(0).as_string::<i32>();
        let number = |column: usize, row: usize| batch.column(column).as_primitive::<Int64Type>().value(row);
        for row in 0..batch.num_rows() {
            let text = text.is_valid(row).then(|| text.value(row).to_string());
            rows.push((text, number(1, row), number(2, row)));
        }
    }
    rows
}

/// All rows of a version, sorted.
fn contents(version: &Version) -> Vec<(Option<String>, i64, i64)> {
    let mut rows = read(version.batches(None, 100).map(Result::unwrap));
    rows.sort();
    assert_eq!(rows.len(), version.rows(), "a version knows how many rows it has");
    rows
}

/// What is in `rows`, with how often.
fn counts<T: Ord>(rows: impl IntoIterator<Item = T>) -> BTreeMap<T, i64> {
    let mut counts = BTreeMap::new();
    rows.into_iter().for_each(|row| *counts.entry(row).or_default() += 1);
    counts
}

/// Changes as `+I text id n`, in order.
fn spelled(batches: &[ChangelogBatch]) -> Vec<String> {
    let mut lines = Vec::new();
    for batch in batches {
        for (row, (text, id, n)) in read([batch.rows().clone()]).into_iter().enumerate() {
            let text = text.unwrap_or_else(|| "-".into());
            lines.push(format!("{} {text} {id} {n}", batch.kind(row).symbol()));
        }
    }
    lines
}
