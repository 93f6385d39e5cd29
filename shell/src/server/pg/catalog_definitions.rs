//! Functions of PostgreSQL that give a text by the number of an object: definitions and comments.

use std::sync::Arc;

use arrow::array::{Array, AsArray, StringArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::ColumnarValue;
use datafusion::prelude::SessionContext;

use super::catalog_functions::{argument, function};
use super::catalog_relations::{Numbered, Relations};

/// What a function says of an object's number and its second argument as text.
type Say = fn(&Numbered, i32, Option<&str>) -> Option<String>;

/// The functions by name.
const FUNCTIONS: [(&str, Say); 4] = [
    ("pg_get_viewdef", |all, number, _| all.view_definition(number)),
    ("pg_get_constraintdef", |all, number, _| all.constraint_definition(number)),
    ("pg_get_indexdef", |all, number, place| match place {
        None | Some("0") => all.index_definition(number),
        Some(place) => all.index_column(number, place.parse().ok()?),
    }),
    ("obj_description", |all, number, table| match table {
        None | Some("pg_class") => all.comment(number),
        Some(_) => None,
    }),
];

/// Makes the functions known to `context`; they know the objects that `relations` has seen last.
pub fn register(context: &SessionContext, relations: &Arc<Relations>) {
    for (name, say) in FUNCTIONS {
        let relations = Arc::clone(relations);
        context.register_udf(function(name, DataType::Utf8, move |arguments| {
            let Some(numbers) = argument(arguments, 0, &DataType::Int64)? else {
                return Err(DataFusionError::Plan(format!("{name} needs the number of an object")));
            };
            let (numbers, seconds) = (numbers.as_primitive::<Int64Type>(), argument(arguments, 1, &DataType::Utf8)?);
            let all = relations.seen();
            let text = |row: usize| {
                let number = numbers.is_valid(row).then(|| numbers.value(row)).and_then(|n| i32::try_from(n).ok())?;
                let second = seconds.as_ref().filter(|texts| texts.is_valid(row));
                say(&all, number, second.map(|texts| texts.as_string::<i32>().value(row)))
            };
            let texts: StringArray = (0..arguments.number_rows).map(text).collect();
            Ok(ColumnarValue::Array(Arc::new(texts)))
        }));
    }
}
