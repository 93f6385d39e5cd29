//! Functions that only the planner calls: how often a set operation gives a row, and casts with a name.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use datafusion_common::Result;

use super::call::{Call, Function, Inputs, Kind};
use super::returns;

/// The functions of this file.
pub(super) fn functions() -> Vec<Function> {
    const II: &[Kind] = &[Kind::Int, Kind::Int];
    vec![
        Function::new("copies_except", II, int_array, |call| copies(call, |left, right| left - right)).never_null(),
        Function::new("copies_intersect", II, int_array, |call| copies(call, i64::min)).never_null(),
        Function::new("cast_result", &[Kind::Any, Kind::Text], returns::same_as_first, |call| call.spread(0)),
    ]
}

fn int_array(_: &Inputs<'_>) -> Result<DataType> {
    Ok(DataType::new_list(DataType::Int32, true))
}

/// An array with as many elements as `count` says of the two arguments; none when it is negative.
fn copies(call: &Call<'_>, count: fn(i64, i64) -> i64) -> Result<ArrayRef> {
    let (left, right) = (call.int(0)?, call.int(1)?);
    let length = |row| count(left.get(row).unwrap_or(0), right.get(row).unwrap_or(0)).max(0) as usize;
    let lengths: Vec<usize> = (0..call.rows).map(length).collect();
    let items = Int32Array::from(vec![1; lengths.iter().sum()]);
    let field = Arc::new(Field::new("item", DataType::Int32, true));
    Ok(Arc::new(ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), Arc::new(items), None)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::super::testing::check;

    #[test]
    fn a_row_is_repeated_as_often_as_the_operation_says() {
        check("CARDINALITY(COPIES_EXCEPT(3, 1))", "2");
        check("CARDINALITY(COPIES_EXCEPT(1, 3))", "0");
        check("CARDINALITY(COPIES_INTERSECT(1, 3))", "1");
    }
}
