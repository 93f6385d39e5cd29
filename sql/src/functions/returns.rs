//! Rules for result types that many functions share.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion_common::Result;

use super::call::Inputs;

pub fn text(_: &Inputs<'_>) -> Result<DataType> {
    Ok(DataType::Utf8)
}

pub fn int(_: &Inputs<'_>) -> Result<DataType> {
    Ok(DataType::Int32)
}

pub fn bigint(_: &Inputs<'_>) -> Result<DataType> {
    Ok(DataType::Int64)
}

pub fn double(_: &Inputs<'_>) -> Result<DataType> {
    Ok(DataType::Float64)
}

pub fn boolean(_: &Inputs<'_>) -> Result<DataType> {
    Ok(DataType::Boolean)
}

pub fn bytes(_: &Inputs<'_>) -> Result<DataType> {
    Ok(DataType::Binary)
}

pub fn date(_: &Inputs<'_>) -> Result<DataType> {
    Ok(DataType::Date32)
}

pub fn timestamp3(_: &Inputs<'_>) -> Result<DataType> {
    Ok(DataType::Timestamp(TimeUnit::Millisecond, None))
}

pub fn timestamp_ltz3(_: &Inputs<'_>) -> Result<DataType> {
    Ok(DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())))
}

pub fn same_as_first(inputs: &Inputs<'_>) -> Result<DataType> {
    Ok(inputs.types.first().cloned().unwrap_or(DataType::Null))
}

pub fn text_array(_: &Inputs<'_>) -> Result<DataType> {
    Ok(DataType::new_list(DataType::Utf8, true))
}
