//! Functions of PostgreSQL that clients call in questions about the catalog and that `datafusion-pg-catalog` lacks.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use datafusion::prelude::SessionContext;

use super::command::SETTINGS;

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
        "obj_description",
        "col_description",
        "shobj_description",
        "pg_get_viewdef",
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

/// Makes the functions known to `context`.
pub fn register(context: &SessionContext) {
    for (name, value) in constants() {
        context.register_udf(ScalarUDF::from(Constant { name, signature: any_arguments(), value }));
    }
    context.register_udf(ScalarUDF::from(Setting { name: "current_setting", signature: any_arguments() }));
    context.register_udf(ScalarUDF::from(Setting { name: "set_config", signature: any_arguments() }));
    context.register_udf(ScalarUDF::from(Format { signature: Signature::variadic_any(Volatility::Stable) }));
}

fn any_arguments() -> Signature {
    let some = [TypeSignature::Nullary, TypeSignature::Any(1), TypeSignature::Any(2), TypeSignature::Any(3)];
    Signature::one_of(some.to_vec(), Volatility::Stable)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Constant {
    name: &'static str,
    signature: Signature,
    value: ScalarValue,
}

impl ScalarUDFImpl for Constant {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(self.value.data_type())
    }

    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        Ok(ColumnarValue::Scalar(self.value.clone()))
    }
}

/// `current_setting(name)` and `set_config(name, value, local)`; the latter says the value and keeps nothing.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Setting {
    name: &'static str,
    signature: Signature,
}

impl ScalarUDFImpl for Setting {
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
        let wanted = usize::from(self.name == "set_config");
        let Some(argument) = arguments.args.get(wanted) else {
            return Err(DataFusionError::Plan(format!("{} needs more arguments", self.name)));
        };
        let texts = arrow::compute::cast(&argument.to_array(arguments.number_rows)?, &DataType::Utf8)?;
        if wanted == 1 {
            return Ok(ColumnarValue::Array(texts));
        }
        let value =
            |name: &str| SETTINGS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
        let values: StringArray = texts.as_string::<i32>().iter().map(|name| name.and_then(value)).collect();
        Ok(ColumnarValue::Array(Arc::new(values) as ArrayRef))
    }
}

/// `format(pattern, …)` with `%s`, `%I`, `%L` and `%%`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Format {
    signature: Signature,
}

impl ScalarUDFImpl for Format {
    fn name(&self) -> &str {
        "format"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let rows = arguments.number_rows;
        let text = |value: &ColumnarValue| Ok(arrow::compute::cast(&value.to_array(rows)?, &DataType::Utf8)?);
        let columns: Vec<ArrayRef> = arguments.args.iter().map(text).collect::<Result<_, DataFusionError>>()?;
        let columns: Vec<&StringArray> = columns.iter().map(|column| column.as_string::<i32>()).collect();
        let Some((patterns, values)) = columns.split_first() else {
            return Err(DataFusionError::Plan("format needs a pattern".to_string()));
        };
        let row = |row: usize| {
            let values = values.iter().map(|column| column.is_valid(row).then(|| column.value(row)));
            patterns.is_valid(row).then(|| formatted(patterns.value(row), values))
        };
        let texts: StringArray = (0..rows).map(row).collect();
        Ok(ColumnarValue::Array(Arc::new(texts) as ArrayRef))
    }
}

fn formatted<'a>(pattern: &str, mut values: impl Iterator<Item = Option<&'a str>>) -> String {
    let (mut text, mut signs) = (String::new(), pattern.chars());
    while let Some(sign) = signs.next() {
        let kind = if sign == '%' { signs.next() } else { None };
        match kind {
            Some('s') => text.push_str(values.next().flatten().unwrap_or("")),
            Some('I') => text.push_str(&quoted_name(values.next().flatten().unwrap_or(""))),
            Some('L') => match values.next().flatten() {
                Some(value) => text.extend(["'", &value.replace('\'', "''"), "'"]),
                None => text.push_str("NULL"),
            },
            Some(other) => text.push(other),
            None => text.push(sign),
        }
    }
    text
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
            assert_eq!(formatted(pattern, values.iter().copied()), wanted);
        };
        check("%s of %I.%I, %L%%", &[Some("a b"), Some("a b"), Some("c"), Some("it's")], "a b of \"a b\".c, 'it''s'%");
        check("%s|%L|%I", &[None, None, Some("1x")], "|NULL|\"1x\"");
    }
}
