//! asyncpg asks about the types that it does not know, arrays among them, with a recursive query that DataFusion cannot
//! plan. All arrays that we send are known here, so the answer is made by hand.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, ListArray, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use eddyline_sql::{Parameter, SqlError};
use pgwire::api::Type;

use super::types::{ARRAYS, PG_TYPE_METADATA};

/// True for asyncpg's question.
pub fn is_question(sql: &str) -> bool {
    sql.contains("typeinfo_tree(")
}

/// The types of its parameters: the numbers of types.
pub fn parameter_types() -> Vec<Type> {
    vec![Type::OID_ARRAY]
}

/// The columns of the answer.
pub fn columns() -> SchemaRef {
    let names = [
        ("oid", Type::OID),
        ("ns", Type::NAME),
        ("name", Type::NAME),
        ("kind", Type::CHAR),
        ("basetype", Type::OID),
        ("elemtype", Type::OID),
        ("elemdelim", Type::CHAR),
        ("range_subtype", Type::OID),
        ("attrtypoids", Type::OID_ARRAY),
        ("attrnames", Type::TEXT_ARRAY),
        ("depth", Type::INT4),
        ("basetype_name", Type::TEXT),
        ("elemtype_name", Type::TEXT),
        ("range_subtype_name", Type::TEXT),
    ];
    let list = |item| DataType::List(Arc::new(Field::new("item", item, true)));
    let field = |(name, pg_type): (&str, Type)| {
        let data_type = match pg_type {
            Type::OID | Type::INT4 => DataType::Int32,
            Type::OID_ARRAY => list(DataType::Int32),
            Type::TEXT_ARRAY => list(DataType::Utf8),
            _ => DataType::Utf8,
        };
        let metadata = [(PG_TYPE_METADATA.to_string(), pg_type.oid().to_string())];
        Field::new(name, data_type, true).with_metadata(metadata.into())
    };
    Arc::new(Schema::new(names.map(field).to_vec()))
}

/// What there is to say about the types in `parameters`.
pub fn answer(parameters: &[Parameter]) -> Result<RecordBatch, SqlError> {
    let asked = parameters.first().and_then(|p| p.value.as_deref()).unwrap_or_default();
    let asked: Vec<u32> = asked.trim_matches(['{', '}']).split(',').filter_map(|oid| oid.parse().ok()).collect();
    let known: Vec<&(Type, Type)> = ARRAYS.iter().filter(|(_, array)| asked.contains(&array.oid())).collect();
    let schema = columns();
    let number = |oid: u32| i32::try_from(oid).unwrap_or_default();
    let same = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; known.len()])) };
    let names = |of: fn(&(Type, Type)) -> &str| -> ArrayRef {
        Arc::new(known.iter().map(|pair| Some(of(pair))).collect::<StringArray>())
    };
    let numbers = |of: fn(&(Type, Type)) -> u32| -> ArrayRef {
        Arc::new(known.iter().map(|pair| Some(number(of(pair)))).collect::<Int32Array>())
    };
    let column = |field: &Arc<Field>| match field.name().as_str() {
        "oid" => numbers(|(_, array)| array.oid()),
        "ns" => same("pg_catalog"),
        "name" => names(|(_, array)| array.name()),
        "kind" => same("b"),
        "elemtype" => numbers(|(item, _)| item.oid()),
        "elemdelim" => same(","),
        "depth" => Arc::new(Int32Array::from(vec![0; known.len()])),
        "elemtype_name" => names(|(item, _)| item.name()),
        _ => match field.data_type() {
            DataType::List(item) => Arc::new(ListArray::new_null(Arc::clone(item), known.len())) as ArrayRef,
            other => new_null_array(other, known.len()),
        },
    };
    let columns = schema.fields().iter().map(column).collect();
    Ok(RecordBatch::try_new(schema, columns)?)
}
