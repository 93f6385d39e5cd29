//! STDDEV and VAR in their population and sample forms, from the number, the sum and the sum of squares of the values.
//!
//! Flink expands them into `(SUM(x * x) - SUM(x) * SUM(x) / COUNT(x)) / COUNT(x)` in the type of the argument, so that
//! over integers every step is integer arithmetic, wrap-around and cut included. Decimals are computed as DOUBLE.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, Int64Array, PrimitiveArray};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, FieldRef, Float64Type, Int64Type};

use super::slots::{gather, state_column, state_field};
use super::{Aggregate, AggregateFunction, AggregateInput};
use crate::error::Result;

/// The arithmetic of one argument type.
pub(super) trait Moments: ArrowPrimitiveType {
    /// Variance from the number of values, their sum and the sum of their squares; `divisor` is not zero. `cut` gives an
    /// intermediate result the width of the argument type.
    fn variance(count: i64, sum: Self::Native, squares: Self::Native, divisor: i64, cut: &DataType) -> f64;
}

impl Moments for Float64Type {
    fn variance(count: i64, sum: f64, squares: f64, divisor: i64, _cut: &DataType) -> f64 {
        (squares - sum * sum / count as f64) / divisor as f64
    }
}

impl Moments for Int64Type {
    fn variance(count: i64, sum: i64, squares: i64, divisor: i64, cut: &DataType) -> f64 {
        let wrap = |value: i64| match cut {
            DataType::Int8 => i64::from(value as i8),
            DataType::Int16 => i64::from(value as i16),
            DataType::Int32 => i64::from(value as i32),
            _ => value,
        };
        let square_of_sum = wrap(wrap(sum).wrapping_mul(wrap(sum)));
        wrap(squares).wrapping_sub(square_of_sum.wrapping_div(count)).wrapping_div(divisor) as f64
    }
}

#[derive(Debug, Clone, Copy)]
struct Slot<N> {
    count: i64,
    sum: N,
    squares: N,
}

/// Variance or standard deviation per group.
pub(super) struct Variance<T: Moments> {
    sample: bool,
    root: bool,
    sum_type: DataType,
    data_type: DataType,
    slots: Vec<Slot<T::Native>>,
}

impl<T: Moments> Variance<T> {
    const EMPTY: Slot<T::Native> = Slot { count: 0, sum: T::Native::ZERO, squares: T::Native::ZERO };

    /// One of the four functions; `data_type` is the result's.
    pub(super) fn new(function: AggregateFunction, data_type: DataType) -> Self {
        use AggregateFunction::{StddevPop, StddevSamp, VarSamp};
        Variance {
            sample: matches!(function, StddevSamp | VarSamp),
            root: matches!(function, StddevPop | StddevSamp),
            sum_type: T::DATA_TYPE,
            data_type,
            slots: Vec::new(),
        }
    }

    fn result(&self, slot: &Slot<T::Native>) -> Option<f64> {
        let divisor = slot.count - i64::from(self.sample);
        if slot.count <= 0 || divisor == 0 {
            return None;
        }
        let variance = T::variance(slot.count, slot.sum, slot.squares, divisor, &self.data_type);
        Some(if self.root { variance.sqrt() } else { variance })
    }
}

impl<T: Moments> Aggregate for Variance<T> {
    fn resize(&mut self, groups: usize) {
        self.slots.resize(groups, Self::EMPTY);
    }

    fn update(&mut self, input: AggregateInput<'_>) -> Result<()> {
        let values = cast(input.arg(0)?, &self.sum_type)?;
        let values = values.as_primitive::<T>();
        let slots = self.slots.as_mut_slice();
        input.for_each(values.nulls(), |row, group, taken_back| {
            let (slot, value) = (&mut slots[group], values.value(row));
            let square = value.mul_wrapping(value);
            if taken_back {
                slot.count -= 1;
                slot.sum = slot.sum.sub_wrapping(value);
                slot.squares = slot.squares.sub_wrapping(square);
            } else {
                slot.count += 1;
                slot.sum = slot.sum.add_wrapping(value);
                slot.squares = slot.squares.add_wrapping(square);
            }
        });
        Ok(())
    }

    fn evaluate(&self, groups: &[usize]) -> Result<ArrayRef> {
        let results = groups.iter().map(|group| self.result(&self.slots[*group]));
        let results: ArrayRef = Arc::new(results.collect::<PrimitiveArray<Float64Type>>());
        Ok(cast_with_options(&results, &self.data_type, &CastOptions { safe: true, ..Default::default() })?)
    }

    fn state_fields(&self) -> Vec<FieldRef> {
        vec![
            state_field("count", DataType::Int64, false),
            state_field("sum", self.sum_type.clone(), false),
            state_field("squares", self.sum_type.clone(), false),
        ]
    }

    fn state(&self, groups: &[usize]) -> Result<Vec<ArrayRef>> {
        let slots = gather(&self.slots, groups);
        let counts: Vec<i64> = slots.iter().map(|slot| slot.count).collect();
        let sums: Vec<T::Native> = slots.iter().map(|slot| slot.sum).collect();
        let squares: Vec<T::Native> = slots.iter().map(|slot| slot.squares).collect();
        Ok(vec![
            Arc::new(Int64Array::from(counts)),
            Arc::new(PrimitiveArray::<T>::new(sums.into(), None)),
            Arc::new(PrimitiveArray::<T>::new(squares.into(), None)),
        ])
    }

    fn merge(&mut self, groups: &[usize], state: &[ArrayRef]) -> Result<()> {
        let counts = state_column(state, 0)?.as_primitive::<Int64Type>();
        let sums = state_column(state, 1)?.as_primitive::<T>();
        let squares = state_column(state, 2)?.as_primitive::<T>();
        for (row, group) in groups.iter().enumerate() {
            let slot = &mut self.slots[*group];
            slot.count += counts.value(row);
            slot.sum = slot.sum.add_wrapping(sums.value(row));
            slot.squares = slot.squares.add_wrapping(squares.value(row));
        }
        Ok(())
    }

    fn clear(&mut self, groups: &[usize]) {
        for group in groups {
            self.slots[*group] = Self::EMPTY;
        }
    }

    fn memory_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot<T::Native>>()
    }
}
