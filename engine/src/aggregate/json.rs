//! JSON text from columns, for JSON_ARRAYAGG and JSON_OBJECTAGG: numbers and booleans bare, everything else as text.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::error::{Error, Result};

/// A JSON array per group, from the next `lengths[i]` values.
pub(super) fn arrays(values: &ArrayRef, lengths: &[usize]) -> Result<ArrayRef> {
    let mut texts = texts(values)?.into_iter();
    let array = |length: &usize| format!("[{}]", texts.by_ref().take(*length).collect::<Vec<String>>().join(","));
    Ok(Arc::new(StringArray::from(lengths.iter().map(array).collect::<Vec<String>>())))
}

/// A JSON object per group, keys sorted, from the next `lengths[i]` pairs. NULL and repeated keys are errors.
pub(super) fn objects(keys: &ArrayRef, values: &ArrayRef, lengths: &[usize]) -> Result<ArrayRef> {
    let (keys, values) = (keys.as_string::<i32>(), texts(values)?);
    let (mut objects, mut row) = (Vec::with_capacity(lengths.len()), 0);
    for length in lengths {
        let mut members = BTreeMap::new();
        for (key, value) in keys.iter().zip(&values).skip(row).take(*length) {
            let Some(key) = key else {
                return Err(Error::data("Null keys are not allowed when calling JSON_OBJECTAGG"));
            };
            if members.insert(key, value).is_some() {
                return Err(Error::data(format!(
                    "Key \"{key}\" is already present. Duplicate keys are not allowed when calling JSON_OBJECTAGG"
                )));
            }
        }
        row += length;
        let members: Vec<String> = members.into_iter().map(|(key, value)| format!("{}:{value}", quote(key))).collect();
        objects.push(format!("{{{}}}", members.join(",")));
    }
    Ok(Arc::new(StringArray::from(objects)))
}

/// Each value as JSON.
fn texts(values: &ArrayRef) -> Result<Vec<String>> {
    let bare = matches!(values.data_type(), DataType::Boolean) || values.data_type().is_numeric();
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(values, &options)?;
    let text = |row: usize| match values.is_null(row) {
        true => "null".to_owned(),
        false if bare => formatter.value(row).to_string(),
        false => quote(&formatter.value(row).to_string()),
    };
    Ok((0..values.len()).map(text).collect())
}

fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
