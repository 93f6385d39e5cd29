//! Rows of every type that Flink SQL has come back from Parquet exactly as they were written.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    DataType, Field, Fields, Int32Type, IntervalMonthDayNano, Schema, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};

use super::files::Files;
use super::parquet;

/// Writes and reads back.
fn round_trip(batches: &[RecordBatch]) -> (u64, Vec<RecordBatch>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let (file, rows) = parquet::write(Files::default().create(&path, true).unwrap(), &path, batches).unwrap();
    assert_eq!(file.finish().unwrap().0, std::fs::metadata(&path).unwrap().len());
    (rows, parquet::read(&path).unwrap())
}

fn check(columns: Vec<(&str, ArrayRef)>) {
    let fields: Vec<Field> = columns.iter().map(|(n, c)| Field::new(*n, c.data_type().clone(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(schema, columns.into_iter().map(|(_, c)| c).collect()).unwrap();
    let (rows, read) = round_trip(std::slice::from_ref(&batch));
    assert_eq!(rows as usize, batch.num_rows());
    assert_eq!(read, [batch]);
}

fn list_of(values: ArrayRef, lengths: [usize; 4]) -> ArrayRef {
    let item = Arc::new(Field::new("item", values.data_type().clone(), true));
    let nulls = NullBuffer::from(vec![true, false, true, true]);
    Arc::new(ListArray::new(item, OffsetBuffer::from_lengths(lengths), values, Some(nulls)))
}

fn map_of(keys: ArrayRef, values: ArrayRef, lengths: [usize; 4]) -> ArrayRef {
    let fields = Fields::from(vec![
        Field::new("key", keys.data_type().clone(), false),
        Field::new("value", values.data_type().clone(), true),
    ]);
    let entries = StructArray::new(fields, vec![keys, values], None);
    let field = Arc::new(Field::new("entries", entries.data_type().clone(), false));
    let nulls = NullBuffer::from(vec![true, false, true, true]);
    Arc::new(MapArray::new(field, OffsetBuffer::from_lengths(lengths), entries, Some(nulls), false))
}

#[test]
fn numbers_strings_and_bytes() {
    check(vec![
        ("tinyint", Arc::new(Int8Array::from(vec![Some(i8::MIN), None, Some(i8::MAX), Some(0)]))),
        ("smallint", Arc::new(Int16Array::from(vec![Some(i16::MIN), None, Some(i16::MAX), Some(0)]))),
        ("int", Arc::new(Int32Array::from(vec![Some(i32::MIN), None, Some(i32::MAX), Some(0)]))),
        ("bigint", Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(i64::MAX), Some(0)]))),
        ("key_group", Arc::new(UInt8Array::from(vec![Some(0), None, Some(255), Some(127)]))),
        ("unsigned", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None, Some(0), Some(1 << 63)]))),
        ("float", Arc::new(Float32Array::from(vec![Some(f32::INFINITY), None, Some(-0.0), Some(f32::MIN_POSITIVE)]))),
        ("double", Arc::new(Float64Array::from(vec![Some(f64::MIN), None, Some(-0.0), Some(0.1)]))),
        ("boolean", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true)]))),
        ("string", Arc::new(StringArray::from(vec![Some(""), None, Some("wörd\0"), Some(&"x".repeat(5000))]))),
        ("bytes", Arc::new(BinaryArray::from(vec![Some(&b""[..]), None, Some(&[0, 255][..]), Some(b"x")]))),
    ]);
}

#[test]
fn not_a_number_keeps_its_bits() {
    let column: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN, f64::from_bits(0x7ff8_0000_0000_1234)]));
    let (_, read) = round_trip(&[RecordBatch::try_from_iter([("x", column)]).unwrap()]);
    let bits: Vec<u64> = read[0]
        .column(0)
        .as_primitive::<arrow::datatypes::Float64Type>()
        .values()
        .iter()
        .map(|v| v.to_bits())
        .collect();
    assert_eq!(bits, [f64::NAN.to_bits(), 0x7ff8_0000_0000_1234]);
}

#[test]
fn decimals_of_every_width() {
    for (precision, scale) in [(1, 0), (9, 2), (10, 0), (18, 18), (19, 4), (38, 18), (38, 38)] {
        let largest = 10_i128.pow(u32::from(precision)) - 1;
        let values = Decimal128Array::from(vec![Some(largest), None, Some(-largest), Some(0)]);
        check(vec![("decimal", Arc::new(values.with_precision_and_scale(precision, scale).unwrap()))]);
    }
}

#[test]
fn dates_times_timestamps_and_intervals() {
    let values = vec![Some(i64::MIN / 2), None, Some(1_700_000_000_123), Some(-1)];
    let utc = || Some(Arc::<str>::from("UTC"));
    let interval =
        [(1, -2, 3), (0, 0, 0), (-12, 31, i64::MAX), (0, 0, -1)].map(|(m, d, n)| IntervalMonthDayNano::new(m, d, n));
    let interval =
        IntervalMonthDayNanoArray::new(interval.to_vec().into(), Some(NullBuffer::from(vec![true, false, true, true])));
    check(vec![
        ("date", Arc::new(Date32Array::from(vec![Some(i32::MIN), None, Some(19_000), Some(-1)]))),
        ("time_s", Arc::new(Time32SecondArray::from(vec![Some(0), None, Some(86_399), Some(1)]))),
        ("time_ms", Arc::new(Time32MillisecondArray::from(vec![Some(0), None, Some(86_399_999), Some(1)]))),
        ("ts_s", Arc::new(PrimitiveArray::<TimestampSecondType>::from(values.clone()))),
        ("ts_ms", Arc::new(PrimitiveArray::<TimestampMillisecondType>::from(values.clone()))),
        ("ts_us", Arc::new(PrimitiveArray::<TimestampMicrosecondType>::from(values.clone()))),
        ("ts_ns", Arc::new(PrimitiveArray::<TimestampNanosecondType>::from(values.clone()))),
        ("ltz_s", Arc::new(PrimitiveArray::<TimestampSecondType>::from(values.clone()).with_timezone_opt(utc()))),
        ("ltz_ms", Arc::new(PrimitiveArray::<TimestampMillisecondType>::from(values.clone()).with_timezone_opt(utc()))),
        ("ltz_us", Arc::new(PrimitiveArray::<TimestampMicrosecondType>::from(values.clone()).with_timezone_opt(utc()))),
        ("ltz_ns", Arc::new(PrimitiveArray::<TimestampNanosecondType>::from(values).with_timezone_opt(utc()))),
        ("interval", Arc::new(interval)),
    ]);
}

#[test]
fn lists_maps_multisets_and_rows_with_nulls_inside() {
    let strings = || Arc::new(StringArray::from(vec![Some("a"), None, Some("")])) as ArrayRef;
    let keys = || Arc::new(StringArray::from(vec!["a", "b", "c"])) as ArrayRef;
    let counts = Arc::new(Int32Array::from(vec![1, 2, 3])) as ArrayRef;
    let decimals = Decimal128Array::from(vec![Some(1), None, Some(3)]).with_precision_and_scale(20, 2).unwrap();
    let times = TimestampSecondArray::from(vec![Some(1), None, Some(3)]).with_timezone("UTC");
    let fields = Fields::from(vec![
        Field::new("a", DataType::Int32, true),
        Field::new("b", DataType::Timestamp(TimeUnit::Second, None), true),
    ]);
    let a = Arc::new(Int32Array::from(vec![Some(1), None, None, Some(4)])) as ArrayRef;
    let b = Arc::new(TimestampSecondArray::from(vec![None, None, Some(3), Some(4)])) as ArrayRef;
    let row = StructArray::new(fields, vec![a, b], Some(NullBuffer::from(vec![true, false, true, true])));
    let inner = list_of(Arc::new(Int32Array::from_iter_values(0..3)), [1, 0, 2, 0]);
    check(vec![
        ("list", list_of(strings(), [2, 0, 0, 1])),
        ("list_of_decimal", list_of(Arc::new(decimals), [2, 0, 0, 1])),
        ("list_of_list", list_of(inner, [1, 0, 2, 1])),
        ("map", map_of(keys(), strings(), [0, 0, 2, 1])),
        ("map_of_ts", map_of(keys(), Arc::new(times), [3, 0, 0, 0])),
        ("multiset", map_of(keys(), counts, [1, 0, 1, 1])),
        ("row", Arc::new(row)),
    ]);
}

#[test]
fn many_batches_metadata_and_nullability_come_back() {
    let flink = HashMap::from([("flink.type".to_string(), "CHAR(3)".to_string())]);
    let schema = Arc::new(Schema::new(vec![
        Field::new("n", DataType::Int32, false).with_metadata(flink),
        Field::new("odd", DataType::Int32, true),
    ]));
    let batch = |start: i32| {
        let n: Int32Array = (start..start + 5000).collect();
        let odd: PrimitiveArray<Int32Type> = (start..start + 5000).map(|v| (v % 2 == 1).then_some(v)).collect();
        RecordBatch::try_new(schema.clone(), vec![Arc::new(n) as ArrayRef, Arc::new(odd)]).unwrap()
    };
    let written: Vec<RecordBatch> = (0..4).map(|i| batch(i * 5000)).collect();
    let (rows, read) = round_trip(&written);
    assert_eq!(rows, 20_000);
    assert_eq!(read[0].schema(), schema);
    let whole = |batches: &[RecordBatch]| arrow::compute::concat_batches(&schema, batches).unwrap();
    assert_eq!(whole(&read), whole(&written));
}

#[test]
fn no_batches_and_empty_batches_are_no_rows() {
    let none = |batches: &[RecordBatch]| {
        let (rows, read) = round_trip(batches);
        assert_eq!((rows, read.iter().map(RecordBatch::num_rows).sum::<usize>()), (0, 0));
    };
    none(&[]);
    none(&[RecordBatch::new_empty(Arc::new(Schema::new(vec![Field::new("a", DataType::Int32, true)])))]);
}

#[test]
fn batches_of_different_schemas_are_refused() {
    let batch = |name| RecordBatch::try_from_iter([(name, Arc::new(Int32Array::from(vec![1])) as ArrayRef)]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let file = Files::default().create(&path, true).unwrap();
    assert!(parquet::write(file, &path, &[batch("a"), batch("b")]).is_err());
}
