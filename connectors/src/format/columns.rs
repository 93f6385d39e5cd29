//! Columns under construction that can be taken back to an earlier length, so that a bad message leaves no trace.
//!
//! Arrow's own builders cannot be truncated. These hold plain vectors, one [`Column`] per field and a tree of them for
//! nested types. Decoders push into the vectors directly ([`Values`]) and call [`Column::valid`] for each value, or
//! [`Column::push_null`]. Invariant between values: all vectors of a column have the length [`Column::len`].

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, Date32Array, Decimal128Array, ListArray, MapArray,
    PrimitiveArray, RecordBatch, RecordBatchOptions, StringArray, StructArray, Time32MillisecondArray,
    Time32SecondArray, Time64MicrosecondArray, Time64NanosecondArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Field, FieldRef, Fields, SchemaRef, TimeUnit};
use eddyline_engine::error::{Error, Result};

use super::fault::{Fault, Parsed};
use super::keys::Keys;

/// A column that grows value by value.
pub(super) struct Column {
    field: FieldRef,
    pub(super) values: Values,
    nulls: Nulls,
}

/// The values of a column by type. A NULL takes a place too, with any value.
pub(super) enum Values {
    Boolean(BooleanBufferBuilder),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    /// Unscaled values with precision and scale.
    Decimal(Vec<i128>, u8, i8),
    Utf8(Bytes),
    Binary(Bytes),
    /// Days since the epoch.
    Date(Vec<i32>),
    /// Time of day in this unit.
    Time(Vec<i64>, TimeUnit),
    /// Since the epoch in this unit; true with time zone.
    Timestamp(Vec<i64>, TimeUnit, bool),
    List(Offsets, Box<Column>),
    /// Keys and values of the entries.
    Map(Offsets, Box<Column>, Box<Column>),
    Row(Box<Row>),
}

/// Where the parts of a longer list begin and end: one number more than there are parts, the first one 0.
pub(super) struct Offsets(Vec<i32>);

impl Offsets {
    fn with_capacity(parts: usize) -> Offsets {
        let mut offsets = Vec::with_capacity(parts + 1);
        offsets.push(0);
        Offsets(offsets)
    }

    /// Ends the next part at `end`.
    #[inline]
    pub(super) fn push(&mut self, end: usize) {
        self.0.push(end as i32);
    }

    fn last(&self) -> usize {
        self.0.last().map_or(0, |end| *end as usize)
    }

    fn truncate(&mut self, parts: usize) {
        self.0.truncate(parts + 1);
    }

    fn take(&mut self) -> OffsetBuffer<i32> {
        let next = Offsets::with_capacity(self.0.len() - 1);
        OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(self, next).0))
    }
}

/// Byte strings, one after the other.
pub(super) struct Bytes {
    pub(super) data: Vec<u8>,
    offsets: Offsets,
}

impl Bytes {
    /// Ends the value that was appended to `data`.
    #[inline]
    pub(super) fn finish(&mut self) {
        self.offsets.push(self.data.len());
    }

    /// Appends a whole value.
    #[inline]
    pub(super) fn push(&mut self, value: &[u8]) {
        self.data.extend_from_slice(value);
        self.finish();
    }

    /// Value `index`.
    pub(super) fn get(&self, index: usize) -> &[u8] {
        &self.data[self.offsets.0[index] as usize..self.offsets.0[index + 1] as usize]
    }

    /// Forgets a value that was begun in `data` but not finished, and all values from `len` on.
    fn truncate(&mut self, len: usize) {
        self.offsets.truncate(len);
        self.data.truncate(self.offsets.last());
    }

    fn take(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        (self.offsets.take(), Buffer::from_vec(take(&mut self.data)))
    }
}

impl Default for Bytes {
    fn default() -> Self {
        Bytes { data: Vec::new(), offsets: Offsets::with_capacity(0) }
    }
}

/// Takes the values and leaves room for as many: batches tend to be alike.
fn take<T>(values: &mut Vec<T>) -> Vec<T> {
    let next = Vec::with_capacity(values.len());
    std::mem::replace(values, next)
}

/// Which values are NULL; costs nothing until the first one is.
#[derive(Default)]
struct Nulls {
    len: usize,
    bits: Option<BooleanBufferBuilder>,
}

impl Nulls {
    #[inline]
    fn push_valid(&mut self) {
        self.len += 1;
        if let Some(bits) = &mut self.bits {
            bits.append(true);
        }
    }

    fn push_null(&mut self) {
        let len = self.len;
        let bits = self.bits.get_or_insert_with(|| {
            let mut bits = BooleanBufferBuilder::new(1024.max(len));
            bits.append_n(len, true);
            bits
        });
        bits.append(false);
        self.len += 1;
    }

    fn truncate(&mut self, len: usize) {
        self.len = len;
        if let Some(bits) = &mut self.bits {
            bits.truncate(len);
        }
    }

    fn finish(&mut self) -> Option<NullBuffer> {
        self.len = 0;
        let buffer = NullBuffer::new(self.bits.take()?.finish());
        (buffer.null_count() > 0).then_some(buffer)
    }
}

impl Column {
    /// An empty column; fails for types that formats do not carry.
    pub(super) fn new(field: &FieldRef) -> Result<Column> {
        let values = match field.data_type() {
            DataType::Boolean => Values::Boolean(BooleanBufferBuilder::new(1024)),
            DataType::Int8 => Values::Int8(Vec::new()),
            DataType::Int16 => Values::Int16(Vec::new()),
            DataType::Int32 => Values::Int32(Vec::new()),
            DataType::Int64 => Values::Int64(Vec::new()),
            DataType::Float32 => Values::Float32(Vec::new()),
            DataType::Float64 => Values::Float64(Vec::new()),
            DataType::Decimal128(precision, scale) => Values::Decimal(Vec::new(), *precision, *scale),
            DataType::Utf8 => Values::Utf8(Bytes::default()),
            DataType::Binary => Values::Binary(Bytes::default()),
            DataType::Date32 => Values::Date(Vec::new()),
            DataType::Time32(unit) | DataType::Time64(unit) => Values::Time(Vec::new(), *unit),
            DataType::Timestamp(unit, zone) => Values::Timestamp(Vec::new(), *unit, zone.is_some()),
            DataType::List(item) => Values::List(Offsets::with_capacity(0), Box::new(Column::new(item)?)),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(parts) if parts.len() == 2 => Values::Map(
                    Offsets::with_capacity(0),
                    Box::new(Column::new(&parts[0])?),
                    Box::new(Column::new(&parts[1])?),
                ),
                other => return Err(unsupported(field.name(), other)),
            },
            DataType::Struct(fields) => Values::Row(Box::new(Row::new(fields)?)),
            other => return Err(unsupported(field.name(), other)),
        };
        Ok(Column { field: field.clone(), values, nulls: Nulls::default() })
    }

    /// Name, type and nullability.
    pub(super) fn field(&self) -> &Field {
        &self.field
    }

    /// Number of finished values.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.nulls.len
    }

    /// Marks the value that was just pushed to `values` as valid.
    #[inline]
    pub(super) fn valid(&mut self) {
        self.nulls.push_valid();
    }

    /// Appends a NULL, whether or not the field allows it.
    pub(super) fn push_null(&mut self) {
        self.nulls.push_null();
        match &mut self.values {
            Values::Boolean(v) => v.append(false),
            Values::Int8(v) => v.push(0),
            Values::Int16(v) => v.push(0),
            Values::Int32(v) | Values::Date(v) => v.push(0),
            Values::Int64(v) | Values::Time(v, _) | Values::Timestamp(v, _, _) => v.push(0),
            Values::Float32(v) => v.push(0.0),
            Values::Float64(v) => v.push(0.0),
            Values::Decimal(v, _, _) => v.push(0),
            Values::Utf8(v) | Values::Binary(v) => v.finish(),
            Values::List(ends, _) | Values::Map(ends, _, _) => ends.push(ends.last()),
            Values::Row(row) => row.columns.iter_mut().for_each(Column::push_null),
        }
    }

    /// Takes back all values from `len` on, and any unfinished one.
    pub(super) fn truncate(&mut self, len: usize) {
        self.nulls.truncate(len);
        match &mut self.values {
            Values::Boolean(v) => v.truncate(len),
            Values::Int8(v) => v.truncate(len),
            Values::Int16(v) => v.truncate(len),
            Values::Int32(v) | Values::Date(v) => v.truncate(len),
            Values::Int64(v) | Values::Time(v, _) | Values::Timestamp(v, _, _) => v.truncate(len),
            Values::Float32(v) => v.truncate(len),
            Values::Float64(v) => v.truncate(len),
            Values::Decimal(v, _, _) => v.truncate(len),
            Values::Utf8(v) | Values::Binary(v) => v.truncate(len),
            Values::List(ends, items) => {
                ends.truncate(len);
                items.truncate(ends.last());
            }
            Values::Map(ends, keys, values) => {
                ends.truncate(len);
                let entries = ends.last();
                keys.truncate(entries);
                values.truncate(entries);
            }
            Values::Row(row) => row.truncate(len),
        }
    }

    /// Hands over the values; the column is empty afterwards.
    pub(super) fn finish(&mut self) -> Result<ArrayRef> {
        let len = self.nulls.len;
        let nulls = self.nulls.finish();
        Ok(match &mut self.values {
            Values::Boolean(v) => Arc::new(BooleanArray::new(v.finish(), nulls)),
            Values::Int8(v) => primitive::<arrow::datatypes::Int8Type>(v, nulls),
            Values::Int16(v) => primitive::<arrow::datatypes::Int16Type>(v, nulls),
            Values::Int32(v) => primitive::<arrow::datatypes::Int32Type>(v, nulls),
            Values::Int64(v) => primitive::<arrow::datatypes::Int64Type>(v, nulls),
            Values::Float32(v) => primitive::<arrow::datatypes::Float32Type>(v, nulls),
            Values::Float64(v) => primitive::<arrow::datatypes::Float64Type>(v, nulls),
            Values::Decimal(v, precision, scale) => {
                let array = Decimal128Array::new(take(v).into(), nulls);
                Arc::new(array.with_precision_and_scale(*precision, *scale)?)
            }
            Values::Utf8(v) => {
                let (offsets, data) = v.take();
                Arc::new(StringArray::try_new(offsets, data, nulls)?)
            }
            Values::Binary(v) => {
                let (offsets, data) = v.take();
                Arc::new(BinaryArray::try_new(offsets, data, nulls)?)
            }
            Values::Date(v) => Arc::new(Date32Array::new(take(v).into(), nulls)),
            Values::Time(v, unit) => finish_time(take(v), *unit, nulls),
            Values::Timestamp(v, unit, _) => finish_timestamp(take(v), *unit, nulls, self.field.data_type()),
            Values::List(ends, items) => {
                let DataType::List(item) = self.field.data_type() else { return Err(mismatch(&self.field)) };
                Arc::new(ListArray::try_new(item.clone(), ends.take(), items.finish()?, nulls)?)
            }
            Values::Map(ends, keys, values) => {
                let DataType::Map(entries, sorted) = self.field.data_type() else { return Err(mismatch(&self.field)) };
                let DataType::Struct(parts) = entries.data_type() else { return Err(mismatch(&self.field)) };
                let children = StructArray::try_new(parts.clone(), vec![keys.finish()?, values.finish()?], None)?;
                Arc::new(MapArray::try_new(entries.clone(), ends.take(), children, nulls, *sorted)?)
            }
            Values::Row(row) => {
                let DataType::Struct(fields) = self.field.data_type() else { return Err(mismatch(&self.field)) };
                Arc::new(StructArray::try_new_with_length(fields.clone(), row.finish()?, nulls, len)?)
            }
        })
    }
}

/// The columns of a row, and how its fields are found by name.
pub(super) struct Row {
    pub(super) columns: Vec<Column>,
    pub(super) keys: Keys,
    /// Bytes of the messages read since the last batch.
    bytes: usize,
}

/// Most bytes of messages in one batch, so that text, also when rewritten, stays within Arrow's 32-bit offsets.
const MAX_BATCH_BYTES: usize = i32::MAX as usize / 8;

impl Row {
    /// Empty columns for `fields`.
    pub(super) fn new(fields: &Fields) -> Result<Row> {
        let columns = fields.iter().map(Column::new).collect::<Result<Vec<_>>>()?;
        Ok(Row { columns, keys: Keys::new(fields.iter().map(|f| f.name().as_str())), bytes: 0 })
    }

    /// Counts a message of `bytes` that is about to be read.
    #[inline]
    pub(super) fn admit(&mut self, bytes: usize) -> Parsed {
        self.bytes += bytes;
        if self.bytes > MAX_BATCH_BYTES {
            return Err(Fault::row(format!("the batch would hold more than {} MB", MAX_BATCH_BYTES >> 20)));
        }
        Ok(())
    }

    /// Takes back all rows from `len` on, also half-filled ones.
    pub(super) fn truncate(&mut self, len: usize) {
        self.columns.iter_mut().for_each(|column| column.truncate(len));
    }

    /// Hands over the columns.
    pub(super) fn finish(&mut self) -> Result<Vec<ArrayRef>> {
        self.columns.iter_mut().map(Column::finish).collect()
    }

    /// Hands over the columns as a batch of `len` rows.
    pub(super) fn finish_batch(&mut self, schema: &SchemaRef, len: usize) -> Result<RecordBatch> {
        self.bytes = 0;
        let options = RecordBatchOptions::new().with_row_count(Some(len));
        Ok(RecordBatch::try_new_with_options(schema.clone(), self.finish()?, &options)?)
    }
}

fn primitive<T: ArrowPrimitiveType>(values: &mut Vec<T::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(take(values).into(), nulls))
}

fn finish_time(values: Vec<i64>, unit: TimeUnit, nulls: Option<NullBuffer>) -> ArrayRef {
    let narrow = |values: Vec<i64>| values.into_iter().map(|v| v as i32).collect::<Vec<i32>>();
    match unit {
        TimeUnit::Second => Arc::new(Time32SecondArray::new(narrow(values).into(), nulls)),
        TimeUnit::Millisecond => Arc::new(Time32MillisecondArray::new(narrow(values).into(), nulls)),
        TimeUnit::Microsecond => Arc::new(Time64MicrosecondArray::new(values.into(), nulls)),
        TimeUnit::Nanosecond => Arc::new(Time64NanosecondArray::new(values.into(), nulls)),
    }
}

fn finish_timestamp(values: Vec<i64>, unit: TimeUnit, nulls: Option<NullBuffer>, data_type: &DataType) -> ArrayRef {
    let zone = match data_type {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    match unit {
        TimeUnit::Second => Arc::new(TimestampSecondArray::new(values.into(), nulls).with_timezone_opt(zone)),
        TimeUnit::Millisecond => Arc::new(TimestampMillisecondArray::new(values.into(), nulls).with_timezone_opt(zone)),
        TimeUnit::Microsecond => Arc::new(TimestampMicrosecondArray::new(values.into(), nulls).with_timezone_opt(zone)),
        TimeUnit::Nanosecond => Arc::new(TimestampNanosecondArray::new(values.into(), nulls).with_timezone_opt(zone)),
    }
}

fn mismatch(field: &Field) -> Error {
    Error::internal(format!("column '{}' was made for another type than {}", field.name(), field.data_type()))
}

/// The error for a type that a format cannot carry.
pub(super) fn unsupported(name: &str, data_type: &DataType) -> Error {
    Error::option(format!("Unsupported type: {data_type} of column '{name}'"), None)
}
