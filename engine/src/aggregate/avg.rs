//! AVG: a sum divided when it is read. Integers give an integer, cut towards zero; decimals round half up.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, FieldRef, Float64Type, Int64Type, i256};

use super::slots::state_column;
use super::{Aggregate, AggregateInput};
use crate::error::{Error, Result};

/// Mean of the non-NULL values per group.
pub(super) struct Avg {
    /// Type in which values are added: BIGINT, DOUBLE or DECIMAL(38, s).
    sum_type: DataType,
    data_type: DataType,
    sums: Box<dyn Aggregate>,
}

impl Avg {
    /// `sums` adds up values of type `sum_type`; `data_type` is the result's.
    pub(super) fn new(sums: Box<dyn Aggregate>, sum_type: DataType, data_type: DataType) -> Self {
        Avg { sum_type, data_type, sums }
    }
}

impl Aggregate for Avg {
    fn resize(&mut self, groups: usize) {
        self.sums.resize(groups);
    }

    fn update(&mut self, input: AggregateInput<'_>) -> Result<()> {
        let values = [cast(input.arg(0)?, &self.sum_type)?];
        self.sums.update(AggregateInput { args: &values, ..input })
    }

    fn evaluate(&self, groups: &[usize]) -> Result<ArrayRef> {
        let state = self.sums.state(groups)?;
        let (sums, counts) = (state_column(&state, 0)?, state_column(&state, 1)?.as_primitive::<Int64Type>());
        let means: ArrayRef = match (&self.sum_type, &self.data_type) {
            (DataType::Int64, _) => {
                let sums = sums.as_primitive::<Int64Type>().values().iter();
                let mean = |(sum, count): (&i64, &i64)| (*count != 0).then(|| sum.wrapping_div(*count));
                Arc::new(sums.zip(counts.values()).map(mean).collect::<Int64Array>())
            }
            (DataType::Float64, _) => {
                let sums = sums.as_primitive::<Float64Type>().values().iter();
                let mean = |(sum, count): (&f64, &i64)| (*count != 0).then(|| sum / *count as f64);
                Arc::new(sums.zip(counts.values()).map(mean).collect::<Float64Array>())
            }
            (DataType::Decimal128(_, from), DataType::Decimal128(precision, to)) => {
                let sums = sums.as_primitive::<Decimal128Type>().iter();
                let means = sums.zip(counts.values()).map(|(sum, count)| decimal_mean(sum?, *count, to - from));
                Arc::new(means.collect::<Decimal128Array>().with_precision_and_scale(*precision, *to)?)
            }
            (sum, result) => return Err(Error::internal(format!("no mean of {sum} as {result}"))),
        };
        Ok(cast(&means, &self.data_type)?)
    }

    fn state_fields(&self) -> Vec<FieldRef> {
        self.sums.state_fields()
    }

    fn state(&self, groups: &[usize]) -> Result<Vec<ArrayRef>> {
        self.sums.state(groups)
    }

    fn merge(&mut self, groups: &[usize], state: &[ArrayRef]) -> Result<()> {
        self.sums.merge(groups, state)
    }

    fn clear(&mut self, groups: &[usize]) {
        self.sums.clear(groups);
    }

    fn memory_bytes(&self) -> usize {
        self.sums.memory_bytes()
    }
}

/// `sum / count` with `digits` more fraction digits than `sum`, half away from zero; None without values or when the
/// result has more than 38 digits.
fn decimal_mean(sum: i128, count: i64, digits: i8) -> Option<i128> {
    if count == 0 {
        return None;
    }
    let scaled = i256::from_i128(sum).wrapping_mul(i256::from_i128(10_i128.pow(u32::try_from(digits).ok()?)));
    let count = i256::from_i128(i128::from(count));
    let (quotient, rest) = (scaled.wrapping_div(count), scaled.wrapping_rem(count));
    let rounded = if rest.wrapping_abs().wrapping_mul(i256::from_i128(2)) >= count.wrapping_abs() {
        quotient.wrapping_add(i256::from_i128(if sum < 0 { -1 } else { 1 }))
    } else {
        quotient
    };
    rounded.to_i128().filter(|mean| mean.unsigned_abs() < 10_u128.pow(38))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_means_round_half_away_from_zero() {
        assert_eq!(decimal_mean(1519, 3, 4), Some(5_063_333));
        assert_eq!(decimal_mean(-5, 2, 0), Some(-3));
        assert_eq!(decimal_mean(5, 2, 0), Some(3));
        assert_eq!(decimal_mean(1, 0, 4), None);
        assert_eq!(decimal_mean(10_i128.pow(37), 1, 4), None);
    }
}
