//! Scripts for the operators, run straight and with restarts everywhere (see `testing::script`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod group_aggregate;
mod joins;
mod mini_batch;
mod rows;
mod values;
mod windows;
mod zones;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::col;

use crate::aggregate::{AggregateCall, AggregateFunction, return_type};
use crate::error::Result;

/// The test input: `k` text, `n` int, `price` decimal, `x` double, `ts` timestamp, `big` boolean.
fn input() -> SchemaRef {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![
        field("k", DataType::Utf8),
        field("n", DataType::Int32),
        field("price", DataType::Decimal128(10, 2)),
        field("x", DataType::Float64),
        field("ts", DataType::Timestamp(TimeUnit::Millisecond, None)),
        field("big", DataType::Boolean),
    ]))
}

/// The columns of `schema` with these names.
fn only(names: &[&str]) -> SchemaRef {
    let input = input();
    Arc::new(Schema::new(names.iter().map(|name| input.field_with_name(name).unwrap().clone()).collect::<Vec<_>>()))
}

fn columns(schema: &SchemaRef, names: &[&str]) -> Vec<Arc<dyn PhysicalExpr>> {
    names.iter().map(|name| col(name, schema).unwrap()).collect()
}

fn key_fields(schema: &SchemaRef, names: &[&str]) -> Vec<FieldRef> {
    names.iter().map(|name| Arc::new(schema.field_with_name(name).unwrap().clone())).collect()
}

/// A call over columns of `schema`, named after the function and its position.
fn call(schema: &SchemaRef, function: AggregateFunction, args: &[&str], retractable: bool) -> Result<AggregateCall> {
    let args = columns(schema, args);
    let types: Vec<DataType> = args.iter().map(|arg| arg.data_type(schema).unwrap()).collect();
    let data_type = return_type(function, &types)?;
    let field = Arc::new(Field::new(function.name(), data_type, true));
    Ok(AggregateCall { function, args, filter: None, distinct: false, retractable, field })
}

/// Keys and then calls, as one schema.
fn output(keys: &[FieldRef], calls: &[AggregateCall], more: &[&str]) -> SchemaRef {
    let time = |name: &&str| Arc::new(Field::new(*name, DataType::Timestamp(TimeUnit::Millisecond, None), false));
    let fields = keys.iter().cloned().chain(calls.iter().map(|call| call.field.clone())).chain(more.iter().map(time));
    Arc::new(Schema::new(fields.collect::<Vec<FieldRef>>()))
}
