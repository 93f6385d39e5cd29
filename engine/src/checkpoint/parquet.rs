//! Rows of state as Parquet: plain files that DuckDB, pandas and Spark open.
//!
//! Integers, dates and times are delta-encoded, strings are stored with delta-encoded lengths, nothing is compressed:
//! writing is meant to cost about as much as a copy. The Arrow schema is embedded, so that columns come back with the
//! exact type they had; readers that ignore it see TIMESTAMP(0) and TIME(0) as integers (Parquet has no seconds).
//! An INTERVAL column is stored as a struct of months, days and nanoseconds, since Parquet's own interval has only
//! milliseconds.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, IntervalMonthDayNanoArray, PrimitiveArray, RecordBatch, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Field, FieldRef, Fields, Int32Type, Int64Type, IntervalMonthDayNano, IntervalUnit,
    Schema, SchemaRef,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::basic::{Encoding, Type as PhysicalType};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};

use super::files::{DurableFile, context};
use crate::error::{Error, Result};

/// Marks a struct column that stands for an interval.
const STANDS_FOR: &str = "eddyline.type";
const INTERVAL: &str = "interval";

/// Rows per batch when reading.
const BATCH_ROWS: usize = 8192;

/// Writes `batches`, all of one schema, into `file` and returns it with the number of rows.
pub(super) fn write(mut file: DurableFile, path: &Path, batches: &[RecordBatch]) -> Result<(DurableFile, u64)> {
    let original = batches.first().map_or(Arc::new(Schema::empty()), |b| b.schema());
    let schema = stored_schema(&original);
    let failed = |e| error(e, path);
    let mut writer =
        ArrowWriter::try_new(&mut file, schema.clone(), Some(properties(&schema).map_err(failed)?)).map_err(failed)?;
    let mut rows = 0;
    for batch in batches {
        if batch.schema().fields() != original.fields() {
            return Err(Error::internal(format!("batches of different schemas in one state: '{}'", path.display())));
        }
        rows += batch.num_rows() as u64;
        writer.write(&stored_batch(batch, &schema)?).map_err(failed)?;
    }
    writer.close().map_err(failed)?;
    Ok((file, rows))
}

/// Reads all rows of a file.
pub(super) fn read(path: &Path) -> Result<Vec<RecordBatch>> {
    let file = File::open(path).map_err(|e| Error::io(context("open", path), e))?;
    let failed = |e| error(e, path);
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(failed)?;
    let reader = reader.with_batch_size(BATCH_ROWS).build().map_err(failed)?;
    reader.map(|batch| restored_batch(&batch?)).collect()
}

fn properties(schema: &Schema) -> Result<WriterProperties, ParquetError> {
    let mut properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_created_by(concat!("eddyline ", env!("CARGO_PKG_VERSION")).to_string());
    for column in ArrowSchemaConverter::new().convert(schema)?.columns() {
        let encoding = match column.physical_type() {
            PhysicalType::INT32 | PhysicalType::INT64 => Encoding::DELTA_BINARY_PACKED,
            PhysicalType::BYTE_ARRAY => Encoding::DELTA_LENGTH_BYTE_ARRAY,
            _ => Encoding::PLAIN,
        };
        properties = properties.set_column_encoding(column.path().clone(), encoding);
    }
    Ok(properties.build())
}

/// A full disk inside the Parquet writer is a full disk, not a Parquet error.
fn error(error: ParquetError, path: &Path) -> Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(inner) => Error::io(context("write", path), *inner),
            Err(inner) => Error::checkpoint(format!("'{}': {inner}", path.display())),
        },
        other => Error::checkpoint(format!("'{}': {other}", path.display())),
    }
}

fn is_interval(field: &Field) -> bool {
    *field.data_type() == DataType::Interval(IntervalUnit::MonthDayNano)
}

fn interval_fields() -> Fields {
    let field = |name, data_type| Field::new(name, data_type, false);
    [field("months", DataType::Int32), field("days", DataType::Int32), field("nanos", DataType::Int64)]
        .into_iter()
        .collect()
}

fn stored_schema(schema: &SchemaRef) -> SchemaRef {
    let stored = |field: &FieldRef| {
        if !is_interval(field) {
            return field.clone();
        }
        let mut metadata = field.metadata().clone();
        metadata.insert(STANDS_FOR.to_string(), INTERVAL.to_string());
        let stored = Field::new(field.name(), DataType::Struct(interval_fields()), field.is_nullable());
        Arc::new(stored.with_metadata(metadata))
    };
    Arc::new(Schema::new_with_metadata(
        schema.fields().iter().map(stored).collect::<Vec<_>>(),
        schema.metadata().clone(),
    ))
}

fn stored_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns =
        batch.columns().iter().zip(batch.schema_ref().fields()).map(|(column, field)| match is_interval(field) {
            true => interval_to_struct(column.as_primitive()),
            false => Ok(column.clone()),
        });
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns.collect::<Result<_>>()?, &options)?)
}

fn interval_to_struct(intervals: &IntervalMonthDayNanoArray) -> Result<ArrayRef> {
    let values = intervals.values();
    let months = values.iter().map(|v| v.months).collect::<PrimitiveArray<Int32Type>>();
    let days = values.iter().map(|v| v.days).collect::<PrimitiveArray<Int32Type>>();
    let nanos = values.iter().map(|v| v.nanoseconds).collect::<PrimitiveArray<Int64Type>>();
    let columns: Vec<ArrayRef> = vec![Arc::new(months), Arc::new(days), Arc::new(nanos)];
    Ok(Arc::new(StructArray::try_new(interval_fields(), columns, intervals.nulls().cloned())?))
}

fn restored_batch(batch: &RecordBatch) -> Result<RecordBatch> {
    let stands = |field: &Field| field.metadata().get(STANDS_FOR).is_some_and(|v| v == INTERVAL);
    if !batch.schema_ref().fields().iter().any(|f| stands(f)) {
        return Ok(batch.clone());
    }
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if stands(field) {
            let mut metadata = field.metadata().clone();
            metadata.remove(STANDS_FOR);
            let restored = field.as_ref().clone().with_data_type(DataType::Interval(IntervalUnit::MonthDayNano));
            fields.push(Arc::new(restored.with_metadata(metadata)));
            columns.push(struct_to_interval(column)?);
        } else {
            fields.push(field.clone());
            columns.push(column.clone());
        }
    }
    let schema = Schema::new_with_metadata(fields, batch.schema_ref().metadata().clone());
    Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
}

fn struct_to_interval(column: &ArrayRef) -> Result<ArrayRef> {
    fn part<T: ArrowPrimitiveType>(parts: &StructArray, index: usize) -> Result<&PrimitiveArray<T>> {
        let part = parts.columns().get(index).and_then(|c| c.as_primitive_opt::<T>());
        part.ok_or_else(|| Error::checkpoint("an interval column is not stored as months, days, nanos"))
    }
    let parts = column.as_struct_opt().ok_or_else(|| Error::checkpoint("an interval column is not a struct"))?;
    let (months, days) = (part::<Int32Type>(parts, 0)?, part::<Int32Type>(parts, 1)?);
    let nanos = part::<Int64Type>(parts, 2)?;
    let values = (0..parts.len()).map(|i| IntervalMonthDayNano::new(months.value(i), days.value(i), nanos.value(i)));
    let nulls: Option<NullBuffer> = parts.nulls().cloned();
    Ok(Arc::new(IntervalMonthDayNanoArray::try_new(values.collect(), nulls)?))
}
