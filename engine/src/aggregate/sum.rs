//! SUM: of integers it wraps, of floats it rounds, of decimals it becomes NULL when it needs more than 38 digits.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, Int64Array, PrimitiveArray};
use arrow::datatypes::{DataType, Decimal128Type, DecimalType, FieldRef, Int64Type};

use super::slots::{gather, state_column, state_field, validity};
use super::{Aggregate, AggregateInput};
use crate::error::Result;

/// How values of one type are added up.
pub(super) trait Addition: ArrowPrimitiveType {
    /// The sum, or None when the type cannot hold it.
    fn plus(a: Self::Native, b: Self::Native) -> Option<Self::Native> {
        Some(a.add_wrapping(b))
    }

    /// The difference, or None when the type cannot hold it.
    fn minus(a: Self::Native, b: Self::Native) -> Option<Self::Native> {
        Some(a.sub_wrapping(b))
    }
}

impl Addition for arrow::datatypes::Int8Type {}
impl Addition for arrow::datatypes::Int16Type {}
impl Addition for arrow::datatypes::Int32Type {}
impl Addition for Int64Type {}
impl Addition for arrow::datatypes::Float32Type {}
impl Addition for arrow::datatypes::Float64Type {}
impl Addition for Decimal128Type {
    fn plus(a: i128, b: i128) -> Option<i128> {
        a.checked_add(b).filter(|sum| Decimal128Type::is_valid_decimal_precision(*sum, 38))
    }

    fn minus(a: i128, b: i128) -> Option<i128> {
        a.checked_sub(b).filter(|sum| Decimal128Type::is_valid_decimal_precision(*sum, 38))
    }
}

/// Sum and number of the values of one group, side by side for the cache's sake.
#[derive(Debug, Clone, Copy)]
struct Slot<N> {
    sum: N,
    count: i64,
    overflow: bool,
}

/// Sum of the non-NULL values per group. Its state is the sum (NULL after an overflow) and the number of values.
pub(super) struct Sum<T: Addition> {
    data_type: DataType,
    slots: Vec<Slot<T::Native>>,
}

impl<T: Addition> Sum<T> {
    /// No groups yet; `data_type` is the result's.
    pub(super) fn new(data_type: DataType) -> Self {
        Sum { data_type, slots: Vec::new() }
    }
}

impl<T: Addition> Sum<T> {
    const EMPTY: Slot<T::Native> = Slot { sum: T::Native::ZERO, count: 0, overflow: false };

    fn column(&self, slots: &[Slot<T::Native>], valid: impl Fn(&Slot<T::Native>) -> bool) -> ArrayRef {
        let sums: Vec<T::Native> = slots.iter().map(|slot| slot.sum).collect();
        let nulls = validity(slots.iter().map(valid));
        Arc::new(PrimitiveArray::<T>::new(sums.into(), nulls).with_data_type(self.data_type.clone()))
    }
}

impl<T: Addition> Aggregate for Sum<T> {
    fn resize(&mut self, groups: usize) {
        self.slots.resize(groups, Self::EMPTY);
    }

    fn update(&mut self, input: AggregateInput<'_>) -> Result<()> {
        let column = input.arg(0)?.as_primitive::<T>();
        let (values, slots) = (column.values(), self.slots.as_mut_slice());
        input.for_each(column.nulls(), |row, group, taken_back| {
            let slot = &mut slots[group];
            let sum = if taken_back { T::minus(slot.sum, values[row]) } else { T::plus(slot.sum, values[row]) };
            slot.count += if taken_back { -1 } else { 1 };
            match sum {
                Some(sum) => slot.sum = sum,
                None => slot.overflow = true,
            }
        });
        Ok(())
    }

    fn evaluate(&self, groups: &[usize]) -> Result<ArrayRef> {
        Ok(self.column(&gather(&self.slots, groups), |slot| slot.count != 0 && !slot.overflow))
    }

    fn state_fields(&self) -> Vec<FieldRef> {
        vec![state_field("sum", self.data_type.clone(), true), state_field("count", DataType::Int64, false)]
    }

    fn state(&self, groups: &[usize]) -> Result<Vec<ArrayRef>> {
        let slots = gather(&self.slots, groups);
        let counts: Int64Array = slots.iter().map(|slot| slot.count).collect::<Vec<i64>>().into();
        Ok(vec![self.column(&slots, |slot| !slot.overflow), Arc::new(counts)])
    }

    fn merge(&mut self, groups: &[usize], state: &[ArrayRef]) -> Result<()> {
        let sums = state_column(state, 0)?.as_primitive::<T>();
        let counts = state_column(state, 1)?.as_primitive::<Int64Type>();
        for (row, group) in groups.iter().enumerate() {
            let slot = &mut self.slots[*group];
            slot.count += counts.value(row);
            match sums.is_valid(row).then(|| T::plus(slot.sum, sums.value(row))).flatten() {
                Some(sum) => slot.sum = sum,
                None => slot.overflow = true,
            }
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
