//! Loops shared by the columnar aggregates: over the rows that take part, and over the slots of groups.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, FieldRef};

use super::AggregateInput;
use crate::error::{Error, Result};

impl AggregateInput<'_> {
    /// Calls `each(row, group, taken_back)` for every row that takes part and is valid in `valid`.
    #[inline]
    pub(super) fn for_each(&self, valid: Option<&NullBuffer>, mut each: impl FnMut(usize, usize, bool)) {
        let valid = valid.filter(|nulls| nulls.null_count() > 0);
        if valid.is_none() && self.filter.is_none() && self.retractions.is_none() {
            for (row, group) in self.groups.iter().enumerate() {
                each(row, *group, false);
            }
            return;
        }
        for (row, group) in self.groups.iter().enumerate() {
            if valid.is_some_and(|nulls| nulls.is_null(row)) || self.filter.is_some_and(|keep| !keep.value(row)) {
                continue;
            }
            each(row, *group, self.retractions.is_some_and(|flags| flags[row]));
        }
    }

    /// Argument `index`.
    pub(super) fn arg(&self, index: usize) -> Result<&ArrayRef> {
        self.args.get(index).ok_or_else(|| Error::internal(format!("an aggregate lacks its argument {index}")))
    }
}

/// The slots of `groups`, in that order.
pub(super) fn gather<T: Copy>(slots: &[T], groups: &[usize]) -> Vec<T> {
    match groups.first() {
        Some(first) if groups.iter().enumerate().all(|(i, group)| *group == first + i) => {
            slots[*first..first + groups.len()].to_vec()
        }
        _ => groups.iter().map(|group| slots[*group]).collect(),
    }
}

/// A column of aggregate state.
pub(super) fn state_field(name: &str, data_type: DataType, nullable: bool) -> FieldRef {
    Arc::new(Field::new(name, data_type, nullable))
}

/// Column `index` of stored state.
pub(super) fn state_column(state: &[ArrayRef], index: usize) -> Result<&ArrayRef> {
    state.get(index).ok_or_else(|| Error::checkpoint(format!("aggregate state lacks its column {index}")))
}

/// A validity buffer from flags, or None when all are valid.
pub(super) fn validity(flags: impl Iterator<Item = bool>) -> Option<NullBuffer> {
    let nulls: NullBuffer = flags.collect();
    (nulls.null_count() > 0).then_some(nulls)
}

/// Rows where no argument is NULL; None means all.
pub(super) fn all_valid(args: &[ArrayRef]) -> Option<NullBuffer> {
    args.iter().fold(None, |nulls, arg| NullBuffer::union(nulls.as_ref(), arg.logical_nulls().as_ref()))
}
