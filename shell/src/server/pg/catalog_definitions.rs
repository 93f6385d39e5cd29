//! Functions of PostgreSQL that give a text by the number of an object: definitions and comments.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};
use datafusion::prelude::SessionContext;

use super::catalog_functions::any_arguments;
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
        context.register_udf(ScalarUDF::from(Definition { name, signature: any_arguments(), relations, say }));
    }
}

struct Definition {
    name: &'static str,
    signature: Signature,
    relations: Arc<Relations>,
    say: Say,
}

impl fmt::Debug for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Definition").field("name", &self.name).finish_non_exhaustive()
    }
}

// The name says which function it is.
impl PartialEq for Definition {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Definition {}

impl Hash for Definition {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Definition {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let rows = arguments.number_rows;
        let argument = |place: usize, data_type: &DataType| {
            let argument = arguments.args.get(place).map(|value| value.to_array(rows)).transpose()?;
            argument.map(|array| Ok::<_, DataFusionError>(arrow::compute::cast(&array, data_type)?)).transpose()
        };
        let Some(numbers) = argument(0, &DataType::Int64)? else {
            return Err(DataFusionError::Plan(format!("{} needs the number of an object", self.name)));
        };
        let (numbers, seconds) = (numbers.as_primitive::<Int64Type>(), argument(1, &DataType::Utf8)?);
        let all = self.relations.seen();
        let text = |row: usize| {
            let number = numbers.is_valid(row).then(|| numbers.value(row)).and_then(|n| i32::try_from(n).ok())?;
            let second = seconds.as_ref().filter(|texts| texts.is_valid(row));
            (self.say)(&all, number, second.map(|texts| texts.as_string::<i32>().value(row)))
        };
        let texts: StringArray = (0..rows).map(text).collect();
        Ok(ColumnarValue::Array(Arc::new(texts) as ArrayRef))
    }
}
