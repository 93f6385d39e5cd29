//! Key groups: the unit in which keyed state is spread over subtasks.
//!
//! A key's group is `hash(key) % 128`, with a hash that is part of the on-disk format: it depends only on the values,
//! not on the machine, the batch or the library version. Changing anything here makes old checkpoints unreadable.

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt8Array, UInt32Array};
use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef, ToByteSlice};
use arrow::row::{RowConverter, SortField};

use crate::changelog::ChangelogBatch;
use crate::error::{Error, Result};

/// Number of key groups, and so the largest parallelism of a keyed operator.
pub const COUNT: u8 = 128;

/// Name of the key group column in snapshots.
pub const COLUMN: &str = "key_group";

/// The key group column of keyed state.
pub static FIELD: LazyLock<FieldRef> = LazyLock::new(|| Arc::new(Field::new(COLUMN, DataType::UInt8, false)));

/// The key groups that subtask `subtask` of `parallelism` owns.
pub fn owned(subtask: usize, parallelism: usize) -> Range<u8> {
    assert!(subtask < parallelism && parallelism <= COUNT as usize, "subtask {subtask} of {parallelism}");
    let bound = |i: usize| ((i * COUNT as usize).div_ceil(parallelism)) as u8;
    bound(subtask)..bound(subtask + 1)
}

/// The subtask that owns `key_group`.
pub fn owner(key_group: u8, parallelism: usize) -> usize {
    key_group as usize * parallelism / COUNT as usize
}

/// The key group of every row, by the values of `keys`. Without keys, all rows are in group 0.
pub fn of_rows(keys: &[ArrayRef], rows: usize) -> Result<UInt8Array> {
    let mut hashes = vec![0_u64; rows];
    for key in keys {
        combine(key, &mut hashes)?;
    }
    Ok(hashes.into_iter().map(|h| (finish(h) % u64::from(COUNT)) as u8).collect())
}

/// Splits a batch by owner: element `i` holds the rows for subtask `i`, in their order.
pub fn split(batch: &ChangelogBatch, keys: &[usize], parallelism: usize) -> Result<Vec<ChangelogBatch>> {
    if parallelism == 1 {
        return Ok(vec![batch.clone()]);
    }
    let columns: Vec<ArrayRef> = keys.iter().map(|k| batch.column(*k).clone()).collect();
    let groups = of_rows(&columns, batch.len())?;
    let mut rows: Vec<Vec<u32>> = vec![Vec::new(); parallelism];
    for (row, group) in groups.values().iter().enumerate() {
        rows[owner(*group, parallelism)].push(row as u32);
    }
    rows.into_iter().map(|rows| batch.take(&UInt32Array::from(rows))).collect()
}

/// The rows of a keyed snapshot batch that belong to `owned` key groups.
pub fn retain_owned(batch: &RecordBatch, owned: &Range<u8>) -> Result<RecordBatch> {
    let groups = batch
        .column_by_name(COLUMN)
        .and_then(|c| c.as_primitive_opt::<arrow::datatypes::UInt8Type>())
        .ok_or_else(|| Error::checkpoint(format!("keyed state without a '{COLUMN}' column")))?;
    let keep = groups.iter().map(|g| g.map(|g| owned.contains(&g))).collect();
    Ok(arrow::compute::filter_record_batch(batch, &keep)?)
}

/// A keyed snapshot schema: the key group column and then `fields`.
pub fn keyed_schema(fields: impl IntoIterator<Item = FieldRef>) -> SchemaRef {
    let all: Vec<FieldRef> = std::iter::once(FIELD.clone()).chain(fields).collect();
    Arc::new(arrow::datatypes::Schema::new(all))
}

const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
const NULL_HASH: u64 = 0x6A09_E667_F3BC_C909;

/// The 64-bit finalizer of SplitMix64 (Steele, Lea, Flood 2014).
fn finish(mut h: u64) -> u64 {
    h = (h ^ (h >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    h = (h ^ (h >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    h ^ (h >> 31)
}

fn mix(seed: u64, value: u64) -> u64 {
    finish(seed.wrapping_add(SEED) ^ value.wrapping_mul(SEED))
}

fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut h = bytes.len() as u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0_u8; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        h = mix(h, u64::from_le_bytes(word));
    }
    h
}

/// Mixes the values of `column` into `hashes`, one per row. Integers of all widths hash alike, as do strings of all
/// offset widths; other types go through their row encoding.
fn combine(column: &ArrayRef, hashes: &mut [u64]) -> Result<()> {
    let mut add = |row: usize, value: u64| hashes[row] = mix(hashes[row], value);
    macro_rules! each {
        ($array:expr, $hash:expr) => {{
            let array = $array;
            for row in 0..array.len() {
                add(row, if array.is_null(row) { NULL_HASH } else { $hash(array.value(row)) });
            }
        }};
    }
    match column.data_type() {
        DataType::Utf8 => each!(column.as_string::<i32>(), |v: &str| hash_bytes(v.as_bytes())),
        DataType::LargeUtf8 => each!(column.as_string::<i64>(), |v: &str| hash_bytes(v.as_bytes())),
        DataType::Utf8View => each!(column.as_string_view(), |v: &str| hash_bytes(v.as_bytes())),
        DataType::Int32 => each!(column.as_primitive::<arrow::datatypes::Int32Type>(), |v: i32| v as i64 as u64),
        DataType::Int64 => each!(column.as_primitive::<arrow::datatypes::Int64Type>(), |v: i64| v as u64),
        DataType::Int16 => each!(column.as_primitive::<arrow::datatypes::Int16Type>(), |v: i16| v as i64 as u64),
        DataType::Int8 => each!(column.as_primitive::<arrow::datatypes::Int8Type>(), |v: i8| v as i64 as u64),
        DataType::Boolean => each!(column.as_boolean(), u64::from),
        DataType::Decimal128(_, _) => {
            each!(column.as_primitive::<arrow::datatypes::Decimal128Type>(), |v: i128| hash_bytes(v.to_byte_slice()))
        }
        DataType::Date32 => each!(column.as_primitive::<arrow::datatypes::Date32Type>(), |v: i32| v as i64 as u64),
        DataType::Timestamp(_, _) => {
            let micros = crate::time::column_micros(column)?;
            each!(&micros, |v: i64| v as u64)
        }
        _ => {
            let converter = RowConverter::new(vec![SortField::new(column.data_type().clone())])?;
            let rows = converter.convert_columns(std::slice::from_ref(column))?;
            for (row, encoded) in rows.iter().enumerate() {
                add(row, hash_bytes(encoded.as_ref()));
            }
        }
    }
    Ok(())
}
