//! COALESCE, IFNULL, NULLIF, IF, GREATEST, LEAST and the tests of what a text consists of.

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::compute::kernels::{cmp, zip::zip};
use arrow::compute::{is_not_null, is_null, or};
use arrow::datatypes::DataType;
use datafusion_common::{Result, plan_err};

use super::call::{Call, Function, Inputs, Kind};
use super::cast::{CastMode, cast};
use super::names::type_name;
use super::returns;
use crate::coercion::common_type;

/// The functions of this file.
pub(super) fn functions() -> Vec<Function> {
    const A: &[Kind] = &[Kind::Any];
    const T: &[Kind] = &[Kind::Text];
    vec![
        Function::new("coalesce", A, widest, coalesce).repeated().null_if_all_null(),
        Function::new("ifnull", &[Kind::Any, Kind::Any], widest, coalesce).null_if_all_null(),
        Function::new("nullif", &[Kind::Any, Kind::Any], returns::same_as_first, nullif).nullable(),
        Function::new("if", &[Kind::Boolean, Kind::Any, Kind::Any], branch_type, if_else).nullable(),
        Function::new("greatest", A, widest, greatest).repeated(),
        Function::new("least", A, widest, least).repeated(),
        Function::new("is_alpha", T, returns::boolean, |call| consists_of(call, char::is_alphabetic)).never_null(),
        Function::new("is_digit", T, returns::boolean, |call| consists_of(call, |c| c.is_ascii_digit())).never_null(),
        Function::new("is_decimal", T, returns::boolean, is_decimal).never_null(),
    ]
}

/// The type that holds the values of all arguments.
pub(super) fn widest(inputs: &Inputs<'_>) -> Result<DataType> {
    match common_type(&inputs.types) {
        Some(found) => Ok(found),
        None => {
            let names: Vec<String> = inputs.types.iter().map(type_name).collect();
            plan_err!("the arguments have no common type: {}", names.join(", "))
        }
    }
}

fn branch_type(inputs: &Inputs<'_>) -> Result<DataType> {
    widest(&Inputs { types: inputs.types.iter().skip(1).cloned().collect(), constants: &[] })
}

/// Argument `i` with all rows, in the result type.
pub(super) fn as_result(call: &Call<'_>, i: usize) -> Result<ArrayRef> {
    cast(&call.spread(i)?, call.result, CastMode { safe: true, zone: call.zone })
}

fn coalesce(call: &Call<'_>) -> Result<ArrayRef> {
    let mut found = as_result(call, 0)?;
    for i in 1..call.len() {
        if found.null_count() == 0 {
            break;
        }
        found = zip(&is_not_null(&found)?, &found, &as_result(call, i)?)?;
    }
    Ok(found)
}

fn nullif(call: &Call<'_>) -> Result<ArrayRef> {
    let (left, right) = (call.spread(0)?, call.spread(1)?);
    let types = [left.data_type().clone(), right.data_type().clone()];
    let Some(common) = common_type(&types) else {
        return plan_err!("NULLIF of {} and {} is not possible", type_name(&types[0]), type_name(&types[1]));
    };
    let mode = CastMode { safe: true, zone: call.zone };
    let equal = cmp::eq(&cast(&left, &common, mode)?, &cast(&right, &common, mode)?)?;
    Ok(arrow::compute::nullif(&left, &equal)?)
}

/// The planner turns this into CASE, which evaluates only the branch that counts.
fn if_else(call: &Call<'_>) -> Result<ArrayRef> {
    let condition = call.spread(0)?;
    let condition = arrow::array::AsArray::as_boolean(&condition);
    let taken: BooleanArray = condition.iter().map(|c| Some(c.unwrap_or(false))).collect();
    Ok(zip(&taken, &as_result(call, 1)?, &as_result(call, 2)?)?)
}

fn greatest(call: &Call<'_>) -> Result<ArrayRef> {
    extreme(call, |a, b| cmp::gt_eq(&a, &b))
}

fn least(call: &Call<'_>) -> Result<ArrayRef> {
    extreme(call, |a, b| cmp::lt_eq(&a, &b))
}

/// NULL if any argument is.
fn extreme(
    call: &Call<'_>,
    keeps: fn(ArrayRef, ArrayRef) -> Result<BooleanArray, arrow::error::ArrowError>,
) -> Result<ArrayRef> {
    let mut found = as_result(call, 0)?;
    for i in 1..call.len() {
        let next = as_result(call, i)?;
        let keep = or(&keeps(found.clone(), next.clone())?, &is_null(&found)?)?;
        let keep: BooleanArray =
            (0..call.rows).map(|row| Some(found.is_null(row) || keep.is_valid(row) && keep.value(row))).collect();
        found = zip(&keep, &found, &next)?;
    }
    Ok(found)
}

fn consists_of(call: &Call<'_>, fits: impl Fn(char) -> bool) -> Result<ArrayRef> {
    let text = call.text(0)?;
    call.booleans(|row| Ok(Some(text.get(row).is_some_and(|t| !t.is_empty() && t.chars().all(&fits)))))
}

fn is_decimal(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.text(0)?;
    let fits = |t: &str| super::decimal::from_text(t, (38, 18)).is_some() || t.parse::<f64>().is_ok();
    call.booleans(|row| Ok(Some(text.get(row).is_some_and(fits))))
}
