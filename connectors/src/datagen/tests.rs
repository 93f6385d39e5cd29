//! Tables of generated rows: types, ends, rates, and positions over restarts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type, TimeUnit};
use arrow::util::display::array_value_to_string;
use eddyline_engine::connector::TableColumn;

use super::*;

fn table(fields: Vec<Field>, options: &[(&str, &str)]) -> TableDescription {
    let column = |f: Field| TableColumn { field: Arc::new(f), kind: ColumnKind::Physical };
    let options: BTreeMap<String, String> = options.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    TableDescription {
        name: "gen".into(),
        columns: fields.into_iter().map(column).collect(),
        primary_key: vec![],
        options,
    }
}

fn numbers() -> Vec<Field> {
    vec![Field::new("id", DataType::Int64, false), Field::new("v", DataType::Int64, true)]
}

fn sequence(end: &'static str) -> Vec<(&'static str, &'static str)> {
    let fast = ("rows-per-second", "100000000");
    vec![fast, ("fields.id.kind", "sequence"), ("fields.id.start", "1"), ("fields.id.end", end)]
}

fn readers(source: &TableSource, parallelism: usize, at: Option<&[SplitPosition]>) -> Vec<Box<dyn SourceReader>> {
    (0..parallelism).map(|index| source.factory.open(Subtask { index, parallelism }, at).unwrap()).collect()
}

fn next(reader: &mut dyn SourceReader, max_rows: usize) -> Option<RecordBatch> {
    loop {
        match reader.poll(max_rows, Duration::from_millis(100)).unwrap() {
            Polled::Rows { batch, .. } => return Some(batch.rows().clone()),
            Polled::End => return None,
            Polled::Nothing | Polled::SplitEnd(_) => {}
        }
    }
}

fn ids(batch: &RecordBatch) -> Vec<(i64, i64)> {
    let (ids, values): (&Int64Array, &Int64Array) =
        (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_primitive::<Int64Type>());
    ids.values().iter().copied().zip(values.values().iter().copied()).collect()
}

fn drain(readers: &mut [Box<dyn SourceReader>]) -> Vec<(i64, i64)> {
    let mut all = Vec::new();
    for reader in readers {
        while let Some(batch) = next(reader.as_mut(), 7) {
            all.extend(ids(&batch));
        }
    }
    all.sort_unstable();
    all
}

#[test]
fn sequence_ends_the_table_and_rows_do_not_depend_on_parallelism() {
    let source = DatagenConnector.source(&table(numbers(), &sequence("100"))).unwrap();
    assert!(source.bounded);
    let one = drain(&mut readers(&source, 1, None));
    assert_eq!(one.iter().map(|r| r.0).collect::<Vec<_>>(), (1..=100).collect::<Vec<_>>());
    assert_eq!(drain(&mut readers(&source, 3, None)), one);
    let mut options = sequence("100");
    options.push(("eddyline.seed", "1"));
    let other = DatagenConnector.source(&table(numbers(), &options)).unwrap();
    assert_ne!(drain(&mut readers(&other, 1, None)), one, "another seed makes other values");
}

#[test]
fn restored_positions_continue_at_any_parallelism() {
    let source = DatagenConnector.source(&table(numbers(), &sequence("100"))).unwrap();
    let all = drain(&mut readers(&source, 1, None));
    for parallelism in [1, 2, 3, 5] {
        let mut first = readers(&source, 2, None);
        let mut rows = ids(&next(first[0].as_mut(), 13).unwrap());
        rows.extend(ids(&next(first[1].as_mut(), 4).unwrap()));
        let positions: Vec<SplitPosition> = first.iter_mut().flat_map(|r| r.positions().unwrap()).collect();
        rows.extend(drain(&mut readers(&source, parallelism, Some(&positions))));
        rows.sort_unstable();
        assert_eq!(rows, all, "parallelism {parallelism}");
    }
}

#[test]
fn number_of_rows_and_rate_are_kept() {
    let options = [("rows-per-second", "100"), ("number-of-rows", "11")];
    let source = DatagenConnector.source(&table(numbers(), &options)).unwrap();
    let started = Instant::now();
    let mut rows = 0;
    let mut reader = source.factory.open(Subtask { index: 0, parallelism: 1 }, None).unwrap();
    while let Some(batch) = next(reader.as_mut(), 100) {
        rows += batch.num_rows();
    }
    assert_eq!(rows, 11);
    assert!(started.elapsed() >= Duration::from_millis(95), "ten rows after the first take 100 ms");
}

#[test]
fn poll_never_waits_longer_than_its_timeout() {
    let source = DatagenConnector.source(&table(numbers(), &[("rows-per-second", "1")])).unwrap();
    assert!(!source.bounded);
    let mut reader = source.factory.open(Subtask { index: 0, parallelism: 1 }, None).unwrap();
    assert!(matches!(reader.poll(10, Duration::ZERO).unwrap(), Polled::Rows { .. }), "the first row comes at once");
    let started = Instant::now();
    assert!(matches!(reader.poll(10, Duration::from_millis(5)).unwrap(), Polled::Nothing));
    assert!(started.elapsed() < Duration::from_millis(500));
}

#[test]
fn every_type_can_be_made() {
    let millis = DataType::Timestamp(TimeUnit::Millisecond, None);
    let types = [
        ("a", DataType::Int8),
        ("b", DataType::Float32),
        ("c", DataType::Decimal128(6, 2)),
        ("d", DataType::Boolean),
        ("e", DataType::Utf8),
        ("f", DataType::Binary),
        ("g", DataType::Date32),
        ("h", DataType::Time32(TimeUnit::Second)),
        ("i", millis),
        ("j", DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))),
    ];
    let fields = types.iter().map(|(n, t)| Field::new(*n, t.clone(), true)).collect();
    let options = [
        ("number-of-rows", "500"),
        ("rows-per-second", "100000000"),
        ("fields.a.min", "-3"),
        ("fields.a.max", "3"),
        ("fields.b.min", "1.5"),
        ("fields.b.max", "2.5"),
        ("fields.c.min", "-0.05"),
        ("fields.c.max", "0.05"),
        ("fields.e.length", "5"),
        ("fields.e.var-len", "true"),
        ("fields.e.null-rate", "0.5"),
        ("fields.i.max-past", "1 min"),
    ];
    let source = DatagenConnector.source(&table(fields, &options)).unwrap();
    let mut reader = source.factory.open(Subtask { index: 0, parallelism: 1 }, None).unwrap();
    let mut batches = Vec::new();
    while let Some(batch) = next(reader.as_mut(), 1000) {
        batches.push(batch);
    }
    let batch = arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();
    let column = |i: usize| -> Vec<String> {
        (0..batch.num_rows()).map(|row| array_value_to_string(batch.column(i), row).unwrap()).collect()
    };
    let smalls: std::collections::BTreeSet<i64> = column(0).iter().map(|v| v.parse().unwrap()).collect();
    assert_eq!(smalls, (-3..=3).collect());
    assert!(column(1).iter().all(|v| (1.5..=2.5).contains(&v.parse::<f64>().unwrap())));
    let cents: std::collections::BTreeSet<String> = column(2).into_iter().collect();
    assert_eq!(cents.len(), 11, "{cents:?}");
    let nulls = batch.column(4).null_count();
    assert!((150..350).contains(&nulls), "about half are NULL: {nulls}");
    let lengths: std::collections::BTreeSet<usize> = column(4).iter().map(String::len).collect();
    assert_eq!(lengths, (0..=5).collect(), "NULLs show as empty");
    assert!(column(8).iter().all(|t| t.as_str() > "2020-"), "times are near now");
}

#[test]
fn the_rows_that_are_left_wait_when_there_is_an_end() {
    let progress = |options: &[(&str, &str)]| {
        let source = DatagenConnector.source(&table(numbers(), options)).unwrap();
        let mut reader = readers(&source, 1, None).remove(0);
        next(reader.as_mut(), 4);
        let progress = reader.progress().remove(0);
        (progress.position, progress.end, progress.lag_rows)
    };
    assert_eq!(progress(&sequence("10")), (4, Some(10), Some(6)));
    assert_eq!(progress(&[("rows-per-second", "100000000")]), (4, None, None));
}

#[test]
fn bad_options_are_refused() {
    let refuse = |options: &[(&str, &str)], part: &str| {
        let error = DatagenConnector.source(&table(numbers(), options)).err().expect("refused");
        assert!(error.to_string().contains(part), "{error}");
    };
    refuse(&[("fields.idd.min", "1")], "names no column");
    refuse(&[("fields.id.kind", "sequence"), ("fields.id.start", "1")], "'fields.id.end' is required");
    refuse(&[("fields.id.start", "1")], "does not belong to a field of kind 'random'");
    refuse(&[("fields.v.min", "5"), ("fields.v.max", "4")], "no value between");
    refuse(&[("fields.id.null-rate", "0.1")], "NOT NULL");
    refuse(&[("rows-per-second", "0")], "at least 1");
    refuse(&[("rows-per-sec", "1")], "Unsupported options");
}
