//! COUNT: one number per group.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, FieldRef, Int64Type};

use super::slots::{all_valid, gather, state_column, state_field};
use super::{Aggregate, AggregateInput};
use crate::error::Result;

/// Number of rows where no argument is NULL.
#[derive(Default)]
pub(super) struct Count {
    counts: Vec<i64>,
}

impl Aggregate for Count {
    fn resize(&mut self, groups: usize) {
        self.counts.resize(groups, 0);
    }

    fn update(&mut self, input: AggregateInput<'_>) -> Result<()> {
        let counts = self.counts.as_mut_slice();
        let valid = all_valid(input.args);
        input.for_each(valid.as_ref(), |_, group, taken_back| counts[group] += if taken_back { -1 } else { 1 });
        Ok(())
    }

    fn evaluate(&self, groups: &[usize]) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from(gather(&self.counts, groups))))
    }

    fn state_fields(&self) -> Vec<FieldRef> {
        vec![state_field("count", DataType::Int64, false)]
    }

    fn state(&self, groups: &[usize]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(groups)?])
    }

    fn merge(&mut self, groups: &[usize], state: &[ArrayRef]) -> Result<()> {
        let counts = state_column(state, 0)?.as_primitive::<Int64Type>();
        for (group, count) in groups.iter().zip(counts.values()) {
            self.counts[*group] += count;
        }
        Ok(())
    }

    fn clear(&mut self, groups: &[usize]) {
        for group in groups {
            self.counts[*group] = 0;
        }
    }

    fn memory_bytes(&self) -> usize {
        self.counts.capacity() * size_of::<i64>()
    }
}
