//! Functions of PostgreSQL that clients call in questions about the catalog and that `datafusion-pg-catalog` lacks.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use datafusion::prelude::SessionContext;

use super::command::SETTINGS;

/// Widest place in a pattern of `format`.
const MAX_WIDTH: usize = 1_000;

/// Functions that answer the same to whatever they are asked.
fn constants() -> Vec<(&'static str, ScalarValue)> {
    let text = |text: &str| ScalarValue::Utf8(Some(text.to_string()));
    let nothing = ScalarValue::Utf8(None);
    let version = format!("PostgreSQL {} (Eddyline {})", super::SERVER_VERSION, env!("CARGO_PKG_VERSION"));
    let mut constants = vec![
        ("version", text(&version)),
        ("pg_is_in_recovery", ScalarValue::Boolean(Some(false))),
        ("pg_advisory_unlock_all", nothing.clone()),
        ("pg_my_temp_schema", ScalarValue::Int32(Some(0))),
        ("txid_current", ScalarValue::Int64(Some(1))),
        ("to_regtype", ScalarValue::Int32(None)),
        ("to_regnamespace", ScalarValue::Int32(None)),
        ("inet_server_addr", nothing.clone()),
        ("inet_server_port", ScalarValue::Int32(None)),
        ("pg_char_to_encoding", ScalarValue::Int32(Some(6))),
        ("getdatabaseencoding", text("UTF8")),
        ("pg_tablespace_size", ScalarValue::Int64(None)),
        ("pg_table_size", ScalarValue::Int64(None)),
        ("pg_total_relation_size", ScalarValue::Int64(None)),
        ("pg_database_size", ScalarValue::Int64(None)),
    ];
    let unknown = [
        "col_description",
        "shobj_description",
        "pg_get_ruledef",
        "pg_get_triggerdef",
        "pg_get_functiondef",
        "pg_get_function_arguments",
        "pg_get_function_identity_arguments",
        "pg_get_function_result",
        "pg_get_serial_sequence",
        "pg_tablespace_location",
        "pg_describe_object",
        "pg_get_function_sqlbody",
        "pg_get_statisticsobjdef_columns",
        "pg_size_pretty",
    ];
    constants.extend(unknown.map(|name| (name, nothing.clone())));
    let visible = [
        "pg_function_is_visible",
        "pg_type_is_visible",
        "pg_operator_is_visible",
        "pg_opclass_is_visible",
        "pg_opfamily_is_visible",
        "pg_collation_is_visible",
        "pg_conversion_is_visible",
        "pg_statistics_obj_is_visible",
        "pg_ts_config_is_visible",
        "pg_ts_dict_is_visible",
        "pg_ts_parser_is_visible",
        "pg_ts_template_is_visible",
        "has_column_privilege",
        "has_function_privilege",
        "has_sequence_privilege",
        "has_type_privilege",
        "pg_has_role",
    ];
    constants.extend(visible.map(|name| (name, ScalarValue::Boolean(Some(true)))));
    constants
}

/// What a function gives for its arguments.
type Invoke = Arc<dyn Fn(&ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> + Send + Sync>;

/// A function of the catalog, known by its name.
struct Function {
    name: &'static str,
    signature: Signature,
    returns: DataType,
    invoke: Invoke,
}

/// A function of up to three arguments of any types.
pub fn function(
    name: &'static str,
    returns: DataType,
    invoke: impl Fn(&ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> + Send + Sync + 'static,
) -> ScalarUDF {
    let some = [TypeSignature::Nullary, TypeSignature::Any(1), TypeSignature::Any(2), TypeSignature::Any(3)];
    let signature = Signature::one_of(some.to_vec(), Volatility::Stable);
    ScalarUDF::from(Function { name, signature, returns, invoke: Arc::new(invoke) })
}

/// A function that gives the same whatever it is asked.
fn constant(name: &'static str, value: ScalarValue) -> ScalarUDF {
    function(name, value.data_type(), move |_| Ok(ColumnarValue::Scalar(value.clone())))
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function").field("name", &self.name).finish_non_exhaustive()
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(self.returns.clone())
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        (self.invoke)(&arguments)
    }
}

/// Makes the functions known to `context`.
pub fn register(context: &SessionContext) {
    for (name, value) in constants() {
        context.register_udf(constant(name, value));
    }
    context.register_udf(function("current_setting", DataType::Utf8, current_setting));
    context.register_udf(function("set_config", DataType::Utf8, set_config));
    let (name, signature) = ("format", Signature::variadic_any(Volatility::Stable));
    context.register_udf(ScalarUDF::from(Function {
        name,
        signature,
        returns: DataType::Utf8,
        invoke: Arc::new(format_rows),
    }));
}

/// `pg_backend_pid()` as the connection with this number calls it.
pub fn backend_pid(connection: i32) -> ScalarUDF {
    constant("pg_backend_pid", ScalarValue::Int32(Some(connection)))
}

/// An argument as a column of another type; None when there are fewer.
pub fn argument(
    arguments: &ScalarFunctionArgs,
    place: usize,
    data_type: &DataType,
) -> Result<Option<ArrayRef>, DataFusionError> {
    let Some(value) = arguments.args.get(place) else { return Ok(None) };
    Ok(Some(arrow::compute::cast(&value.to_array(arguments.number_rows)?, data_type)?))
}

fn too_few(name: &str) -> DataFusionError {
    DataFusionError::Plan(format!("{name} needs more arguments"))
}

/// `current_setting(name)`
fn current_setting(arguments: &ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
    let names = argument(arguments, 0, &DataType::Utf8)?.ok_or_else(|| too_few("current_setting"))?;
    let value =
        |name: &str| SETTINGS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
    let values: StringArray = names.as_string::<i32>().iter().map(|name| name.and_then(value)).collect();
    Ok(ColumnarValue::Array(Arc::new(values)))
}

/// `set_config(name, value, local)`: says the value and keeps nothing.
fn set_config(arguments: &ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
    let values = argument(arguments, 1, &DataType::Utf8)?.ok_or_else(|| too_few("set_config"))?;
    Ok(ColumnarValue::Array(values))
}

/// `format(pattern, …)`; see [`formatted`].
fn format_rows(arguments: &ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
    let columns = (0..arguments.args.len()).filter_map(|place| argument(arguments, place, &DataType::Utf8).transpose());
    let columns: Vec<ArrayRef> = columns.collect::<Result<_, _>>()?;
    let columns: Vec<&StringArray> = columns.iter().map(|column| column.as_string::<i32>()).collect();
    let Some((patterns, values)) = columns.split_first() else {
        return Err(DataFusionError::Plan("format needs a pattern".to_string()));
    };
    let row = |row: usize| {
        let values = values.iter().map(|column| column.is_valid(row).then(|| column.value(row)));
        patterns.is_valid(row).then(|| formatted(patterns.value(row), &values.collect::<Vec<_>>())).transpose()
    };
    let texts: StringArray = (0..arguments.number_rows).map(row).collect::<Result<_, _>>()?;
    Ok(ColumnarValue::Array(Arc::new(texts)))
}

/// `pattern` with values in the places of `%[position$][-][width]` and `s`, `I` or `L`; `%%` is a `%`.
fn formatted(pattern: &str, values: &[Option<&str>]) -> Result<String, DataFusionError> {
    let (mut text, mut rest, mut next) = (String::new(), pattern, 0);
    while let Some((before, after)) = rest.split_once('%') {
        text.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            (text, rest) = (text + "%", after);
            continue;
        }
        let (position, after) = match number(after) {
            (Some(position), after) if after.starts_with('$') => (position, &after[1..]),
            _ => (next + 1, after),
        };
        let (left, (width, after)) = match after.strip_prefix('-') {
            Some(after) => (true, number(after)),
            None => (false, number(after)),
        };
        let few = || DataFusionError::Plan("too few arguments for format()".to_string());
        let value = *position.checked_sub(1).and_then(|place| values.get(place)).ok_or_else(few)?;
        let (written, width) = (written(after, value)?, width.unwrap_or(0).min(MAX_WIDTH));
        text.push_str(&if left { format!("{written:<width$}") } else { format!("{written:>width$}") });
        (next, rest) = (position, &after[1..]);
    }
    Ok(text + rest)
}

/// The number at the beginning of `text`, and what follows.
fn number(text: &str) -> (Option<usize>, &str) {
    let end = text.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(text.len());
    (text[..end].parse().ok(), &text[end..])
}

/// A value in the form that the letter at the beginning of `kind` says.
fn written(kind: &str, value: Option<&str>) -> Result<String, DataFusionError> {
    match (kind.chars().next(), value) {
        (Some('s'), value) => Ok(value.unwrap_or("").to_string()),
        (Some('I'), Some(name)) => Ok(quoted_name(name)),
        (Some('I'), None) => Err(DataFusionError::Plan("null values cannot be formatted as an SQL identifier".into())),
        (Some('L'), Some(value)) => Ok(format!("'{}'", value.replace('\'', "''"))),
        (Some('L'), None) => Ok("NULL".to_string()),
        (other, _) => {
            let other = other.map(String::from).unwrap_or_default();
            Err(DataFusionError::Plan(format!("unrecognized format() type specifier \"{other}\"")))
        }
    }
}

/// A name as SQL text, in quotes where it needs them.
pub fn quoted_name(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    match name.bytes().all(plain) && !name.starts_with(|first: char| first.is_ascii_digit()) && !name.is_empty() {
        true => name.to_string(),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_put_into_a_pattern() {
        let check = |pattern: &str, values: &[Option<&str>], wanted: &str| {
            assert_eq!(formatted(pattern, values).map_err(|e| e.strip_backtrace()), Ok(wanted.to_string()));
        };
        check("%s of %I.%I, %L%%", &[Some("a b"), Some("a b"), Some("c"), Some("it's")], "a b of \"a b\".c, 'it''s'%");
        check("%s|%L|%I", &[None, None, Some("1x")], "|NULL|\"1x\"");
        check("%2$s %s %1$s %s", &[Some("a"), Some("b"), Some("c")], "b c a b");
        check("|%5s|%-5s|%2$-3L|", &[Some("ab"), Some("c")], "|   ab|c    |'c'|");
    }

    #[test]
    fn patterns_that_postgres_refuses_are_refused() {
        let refused =
            |pattern: &str, values: &[Option<&str>]| formatted(pattern, values).err().map(|e| e.strip_backtrace());
        let few = Some("Error during planning: too few arguments for format()".to_string());
        assert_eq!(refused("%s %s", &[Some("a")]), few);
        assert_eq!(refused("%3$s", &[Some("a")]), few);
        assert_eq!(refused("%0$s", &[Some("a")]), few);
        let kind = |text: &str| Some(format!("Error during planning: unrecognized format() type specifier \"{text}\""));
        assert_eq!(refused("%d", &[Some("a")]), kind("d"));
        assert_eq!(refused("100 %", &[Some("a")]), kind(""));
        assert_eq!(refused("%1$", &[Some("a")]), kind(""));
        assert!(refused("%I", &[None]).is_some());
    }
}
