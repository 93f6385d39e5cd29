//! Functions of PostgreSQL that clients call in questions about the catalog and that `datafusion-pg-catalog` lacks.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
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
