//! Rows for the wire, as text or binary.
//!
//! Binary forms are those of PostgreSQL's `…send` functions. Time counts from 2000-01-01 in microseconds; what Flink has
//! beyond microseconds is cut off, in text too.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, Time32SecondType, TimeUnit,
};
use bytes::{BufMut, BytesMut};
use eddyline_engine::ChangelogBatch;
use eddyline_sql::SqlError;
use pgwire::api::Type;
use pgwire::messages::data::DataRow;

use super::numeric;
use super::text;
use super::types::{Column, item_of};

/// Days from 1970-01-01 to 2000-01-01.
const EPOCH_DAYS: i32 = 10_957;
/// Microseconds from 1970-01-01 to 2000-01-01.
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * 86_400_000_000;

/// The rows of `batch` as messages; `formats` has 0 for text and 1 for binary, per column.
pub fn encode(batch: &RecordBatch, columns: &[Column], formats: &[i16]) -> Result<Vec<DataRow>, SqlError> {
    rows(batch.columns(), batch.num_rows(), columns, formats, None)
}

/// The changes of `batch`, with what each does to the result in the first column.
pub fn encode_changes(batch: &ChangelogBatch, columns: &[Column], formats: &[i16]) -> Result<Vec<DataRow>, SqlError> {
    rows(batch.rows().columns(), batch.len(), &columns[1..], &formats[1..], Some(batch))
}

fn rows(
    arrays: &[ArrayRef],
    count: usize,
    columns: &[Column],
    formats: &[i16],
    changes: Option<&ChangelogBatch>,
) -> Result<Vec<DataRow>, SqlError> {
    let cast = |(array, column): (&ArrayRef, &Column)| match *array.data_type() == column.arrow {
        true => Ok(ArrayRef::clone(array)),
        false => arrow::compute::cast(array, &column.arrow),
    };
    let arrays: Vec<ArrayRef> = arrays.iter().zip(columns).map(cast).collect::<Result<_, _>>()?;
    let fields = i16::try_from(columns.len() + usize::from(changes.is_some()))
        .map_err(|_| SqlError::internal("a result has too many columns for the protocol"))?;
    let row = |row: usize| {
        let mut data = BytesMut::with_capacity(16 * columns.len());
        if let Some(changes) = changes {
            sized(&mut data, |out| out.put_slice(changes.kind(row).symbol().as_bytes()));
        }
        for ((array, column), format) in arrays.iter().zip(columns).zip(formats) {
            value(array, row, &column.pg_type, *format == 1, &mut data);
        }
        DataRow::new(data, fields)
    };
    Ok((0..count).map(row).collect())
}

/// A value with its length before it.
fn value(array: &dyn Array, row: usize, pg_type: &Type, binary: bool, out: &mut BytesMut) {
    if array.is_null(row) {
        return out.put_i32(-1);
    }
    sized(out, |out| match binary {
        true => binary_value(array, row, pg_type, out),
        false => out.put_slice(text::value(array, row, pg_type).as_bytes()),
    });
}

/// What `write` writes, with its length before it.
fn sized(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
    let at = out.len();
    out.put_i32(0);
    write(out);
    let length = i32::try_from(out.len() - at - 4).unwrap_or(i32::MAX);
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

fn binary_value(array: &dyn Array, row: usize, pg_type: &Type, out: &mut BytesMut) {
    match array.data_type() {
        _ if *pg_type == Type::JSONB => {
            out.put_u8(1);
            out.put_slice(text::value(array, row, pg_type).as_bytes());
        }
        DataType::Boolean => out.put_u8(u8::from(array.as_boolean().value(row))),
        DataType::Int8 => out.put_i16(i16::from(array.as_primitive::<Int8Type>().value(row))),
        DataType::Int16 => out.put_i16(array.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => out.put_i32(array.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => out.put_i64(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => out.put_f32(array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => out.put_f64(array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(_, scale) => {
            numeric::encode(array.as_primitive::<Decimal128Type>().value(row), *scale, out);
        }
        DataType::Utf8 => out.put_slice(array.as_string::<i32>().value(row).as_bytes()),
        DataType::Binary => out.put_slice(array.as_binary::<i32>().value(row)),
        DataType::Date32 => out.put_i32(array.as_primitive::<Date32Type>().value(row).saturating_sub(EPOCH_DAYS)),
        DataType::Time32(TimeUnit::Second) => {
            out.put_i64(i64::from(array.as_primitive::<Time32SecondType>().value(row)) * 1_000_000);
        }
        DataType::Time32(_) => {
            out.put_i64(i64::from(array.as_primitive::<Time32MillisecondType>().value(row)) * 1_000);
        }
        DataType::Timestamp(unit, _) => out.put_i64(text::micros(array, row, *unit).saturating_sub(EPOCH_MICROS)),
        DataType::Interval(_) => {
            let (months, days, micros) = text::interval_parts(array, row);
            out.put_i64(micros);
            out.put_i32(days);
            out.put_i32(months);
        }
        DataType::List(_) => binary_array(&array.as_list::<i32>().value(row), &item_of(pg_type), out),
        _ => out.put_slice(text::value(array, row, pg_type).as_bytes()),
    }
}

/// One dimension from 1, or none when it is empty.
fn binary_array(items: &dyn Array, item: &Type, out: &mut BytesMut) {
    out.put_i32(i32::from(!items.is_empty()));
    out.put_i32(i32::from(items.null_count() > 0));
    out.put_u32(item.oid());
    if items.is_empty() {
        return;
    }
    out.put_i32(i32::try_from(items.len()).unwrap_or(i32::MAX));
    out.put_i32(1);
    for row in 0..items.len() {
        value(items, row, item, true, out);
    }
}
