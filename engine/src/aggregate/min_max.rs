//! MIN and MAX of an input that only grows: the extreme value per group, and nothing else.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, PrimitiveArray,
    StringArray,
};
use arrow::datatypes::{DataType, FieldRef};

use super::slots::{gather, state_column, state_field};
use super::{Aggregate, AggregateInput};
use crate::error::{Error, Result};

/// Which end of the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extreme {
    Min,
    Max,
}

impl Extreme {
    /// What a value must be, compared with the best so far, to replace it.
    fn better(self) -> Ordering {
        match self {
            Extreme::Min => Ordering::Less,
            Extreme::Max => Ordering::Greater,
        }
    }
}

fn refuse_retraction(input: &AggregateInput<'_>) -> Result<()> {
    match input.retractions {
        Some(_) => Err(Error::internal("MIN and MAX planned for an append-only input got a retraction")),
        None => Ok(()),
    }
}

/// Extremes of fixed-width values: numbers, decimals, dates and times. Floats are in total order, NaN last.
pub(super) struct PrimitiveExtreme<T: ArrowPrimitiveType> {
    extreme: Extreme,
    data_type: DataType,
    best: Vec<Option<T::Native>>,
}

impl<T: ArrowPrimitiveType> PrimitiveExtreme<T> {
    /// No groups yet.
    pub(super) fn new(extreme: Extreme, data_type: DataType) -> Self {
        PrimitiveExtreme { extreme, data_type, best: Vec::new() }
    }
}

impl<T: ArrowPrimitiveType> Aggregate for PrimitiveExtreme<T> {
    fn resize(&mut self, groups: usize) {
        self.best.resize(groups, None);
    }

    fn update(&mut self, input: AggregateInput<'_>) -> Result<()> {
        refuse_retraction(&input)?;
        let column = input.arg(0)?.as_primitive::<T>();
        let (values, better, best) = (column.values(), self.extreme.better(), self.best.as_mut_slice());
        input.for_each(column.nulls(), |row, group, _| {
            let slot = &mut best[group];
            if slot.is_none_or(|held| values[row].compare(held) == better) {
                *slot = Some(values[row]);
            }
        });
        Ok(())
    }

    fn evaluate(&self, groups: &[usize]) -> Result<ArrayRef> {
        let best: PrimitiveArray<T> = gather(&self.best, groups).into_iter().collect();
        Ok(Arc::new(best.with_data_type(self.data_type.clone())))
    }

    fn state_fields(&self) -> Vec<FieldRef> {
        vec![state_field("value", self.data_type.clone(), true)]
    }

    fn state(&self, groups: &[usize]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(groups)?])
    }

    fn merge(&mut self, groups: &[usize], state: &[ArrayRef]) -> Result<()> {
        let values = [state_column(state, 0)?.clone()];
        self.update(AggregateInput { groups, args: &values, filter: None, retractions: None })
    }

    fn clear(&mut self, groups: &[usize]) {
        for group in groups {
            self.best[*group] = None;
        }
    }

    fn memory_bytes(&self) -> usize {
        self.best.capacity() * size_of::<Option<T::Native>>()
    }
}

/// Extremes of text, bytes and booleans, held as bytes: UTF-8 and 0 < 1 sort as their values do.
pub(super) struct BytesExtreme {
    extreme: Extreme,
    data_type: DataType,
    best: Vec<Option<Box<[u8]>>>,
}

impl BytesExtreme {
    /// No groups yet; `data_type` is Utf8, Binary or Boolean.
    pub(super) fn new(extreme: Extreme, data_type: DataType) -> Self {
        BytesExtreme { extreme, data_type, best: Vec::new() }
    }

    fn offer(&mut self, group: usize, value: &[u8]) {
        let slot = &mut self.best[group];
        if slot.as_deref().is_none_or(|held| value.cmp(held) == self.extreme.better()) {
            *slot = Some(value.into());
        }
    }
}

impl Aggregate for BytesExtreme {
    fn resize(&mut self, groups: usize) {
        self.best.resize(groups, None);
    }

    fn update(&mut self, input: AggregateInput<'_>) -> Result<()> {
        refuse_retraction(&input)?;
        let column = input.arg(0)?;
        let valid = column.nulls();
        match column.data_type() {
            DataType::Utf8 => {
                let values = column.as_string::<i32>();
                input.for_each(valid, |row, group, _| self.offer(group, values.value(row).as_bytes()));
            }
            DataType::Binary => {
                let values = column.as_binary::<i32>();
                input.for_each(valid, |row, group, _| self.offer(group, values.value(row)));
            }
            DataType::Boolean => {
                let values = column.as_boolean();
                input.for_each(valid, |row, group, _| self.offer(group, &[u8::from(values.value(row))]));
            }
            other => return Err(Error::internal(format!("no order of {other}"))),
        }
        Ok(())
    }

    fn evaluate(&self, groups: &[usize]) -> Result<ArrayRef> {
        let best = groups.iter().map(|group| self.best[*group].as_deref());
        Ok(match self.data_type {
            DataType::Utf8 => {
                let texts = best.map(|value| value.map(std::str::from_utf8).transpose());
                let texts = texts.collect::<std::result::Result<StringArray, _>>();
                Arc::new(texts.map_err(|error| Error::internal(format!("a text is not UTF-8: {error}")))?)
            }
            DataType::Binary => Arc::new(best.collect::<BinaryArray>()),
            _ => Arc::new(best.map(|value| value.map(|bytes| bytes == [1])).collect::<BooleanArray>()),
        })
    }

    fn state_fields(&self) -> Vec<FieldRef> {
        vec![state_field("value", self.data_type.clone(), true)]
    }

    fn state(&self, groups: &[usize]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(groups)?])
    }

    fn merge(&mut self, groups: &[usize], state: &[ArrayRef]) -> Result<()> {
        let values = [state_column(state, 0)?.clone()];
        self.update(AggregateInput { groups, args: &values, filter: None, retractions: None })
    }

    fn clear(&mut self, groups: &[usize]) {
        for group in groups {
            self.best[*group] = None;
        }
    }

    fn memory_bytes(&self) -> usize {
        let held: usize = self.best.iter().flatten().map(|value| value.len()).sum();
        held + self.best.capacity() * size_of::<Option<Box<[u8]>>>()
    }
}
