//! Flink's type names in CAST and RETURNING, as Arrow types.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion_common::{DataFusionError, Result};
use datafusion_expr::planner::TypePlanner;

use crate::error::SqlError;
use crate::parse::parse_type;
use crate::types::ColumnType;

/// Plans the targets of CAST.
#[derive(Debug)]
pub(super) struct FlinkTypes;

impl TypePlanner for FlinkTypes {
    fn plan_type_field(&self, sql_type: &sqlparser::ast::DataType) -> Result<Option<FieldRef>> {
        let found = ColumnType::from_ast(sql_type).map_err(refused)?;
        Ok(Some(Arc::new(Field::new("", found.data_type.to_arrow(), true))))
    }
}

fn refused(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// The Arrow type of a type's name, as Flink prints it.
pub(super) fn named_type(name: &str) -> Result<DataType> {
    Ok(parse_type(name).map_err(refused)?.data_type.to_arrow())
}

/// `MAP<key, value>` as Arrow lays it out.
pub(super) fn map_type(key: &DataType, value: &DataType) -> DataType {
    let fields = vec![Field::new("key", key.clone(), false), Field::new("value", value.clone(), true)];
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(Fields::from(fields)), false)), false)
}

/// `ARRAY<item>` as Arrow lays it out.
pub(super) fn array_type(item: &DataType) -> DataType {
    DataType::new_list(item.clone(), true)
}
