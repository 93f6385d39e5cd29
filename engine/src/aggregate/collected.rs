//! Aggregates that remember values in order of arrival: FIRST_VALUE, LAST_VALUE, SINGLE_VALUE, LISTAGG, ARRAY_AGG and the
//! JSON aggregates. A retraction removes the earliest equal value.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, FieldRef};

use super::codec::{Codec, list_array};
use super::json;
use super::slots::{all_valid, state_column, validity};
use super::{Aggregate, AggregateFunction, AggregateInput};
use crate::error::{Error, Result};

/// Which values of a group are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    All,
    First,
    Last,
}

/// Values per group as encoded tuples of arguments.
pub(super) struct Collected {
    function: AggregateFunction,
    keep: Keep,
    codec: Codec,
    groups: Vec<Vec<Box<[u8]>>>,
}

impl Collected {
    /// No groups yet. FIRST_VALUE and LAST_VALUE of an input without retractions keep only that value.
    pub(super) fn new(function: AggregateFunction, retractable: bool, types: &[DataType]) -> Result<Self> {
        let keep = match function {
            AggregateFunction::FirstValue if !retractable => Keep::First,
            AggregateFunction::LastValue if !retractable => Keep::Last,
            _ => Keep::All,
        };
        Ok(Collected { function, keep, codec: Codec::new(types)?, groups: Vec::new() })
    }

    /// Rows that count: where the arguments that must not be NULL are not.
    fn counted(&self, args: &[ArrayRef]) -> Option<NullBuffer> {
        use AggregateFunction as F;
        match self.function {
            F::FirstValue | F::LastValue | F::ListAgg | F::JsonArrayAgg => all_valid(args),
            F::JsonObjectAggAbsentOnNull => all_valid(&args[1..]),
            _ => None,
        }
    }

    fn add(&mut self, group: usize, value: &[u8]) {
        let values = &mut self.groups[group];
        match self.keep {
            Keep::First if !values.is_empty() => {}
            Keep::Last if !values.is_empty() => values[0] = value.into(),
            _ => values.push(value.into()),
        }
    }

    fn remove(&mut self, group: usize, value: &[u8]) {
        let values = &mut self.groups[group];
        if let Some(position) = values.iter().position(|held| held.as_ref() == value) {
            values.remove(position);
        }
    }

    /// The value of each group at the position that `pick` chooses from the number of its values.
    fn one_of(&self, columns: &[ArrayRef], lengths: &[usize], pick: fn(usize) -> usize) -> Result<ArrayRef> {
        let mut start = 0;
        let rows = lengths.iter().map(|length| {
            start += length;
            (*length > 0).then(|| (start - length + pick(*length)) as u32)
        });
        Ok(take(state_column(columns, 0)?, &rows.collect::<UInt32Array>(), None)?)
    }

    fn texts(&self, columns: &[ArrayRef], lengths: &[usize]) -> Result<ArrayRef> {
        let values = state_column(columns, 0)?.as_string::<i32>();
        let separators = columns.get(1).map(|column| column.as_string::<i32>());
        let mut row = 0;
        let texts = lengths.iter().map(|length| {
            let mut text = String::new();
            for position in 0..*length {
                if position > 0 {
                    text.push_str(separators.map_or(",", |separators| separators.value(row)));
                }
                text.push_str(values.value(row));
                row += 1;
            }
            (*length > 0).then_some(text)
        });
        Ok(Arc::new(texts.collect::<StringArray>()))
    }

    fn refuse_second(&self) -> Result<()> {
        let single = self.function == AggregateFunction::SingleValue;
        if single && self.groups.iter().any(|values| values.len() > 1) {
            return Err(Error::data("SingleValueAggFunction received more than one element.")
                .with_hint("a scalar subquery must give one row at most"));
        }
        Ok(())
    }
}

impl Aggregate for Collected {
    fn resize(&mut self, groups: usize) {
        self.groups.resize(groups, Vec::new());
    }

    fn update(&mut self, input: AggregateInput<'_>) -> Result<()> {
        let rows = self.codec.encode(input.args)?;
        input.for_each(self.counted(input.args).as_ref(), |row, group, taken_back| {
            let value = rows.row(row).data();
            if taken_back { self.remove(group, value) } else { self.add(group, value) }
        });
        self.refuse_second()
    }

    fn evaluate(&self, groups: &[usize]) -> Result<ArrayRef> {
        use AggregateFunction as F;
        let values = groups.iter().flat_map(|group| self.groups[*group].iter().map(AsRef::as_ref));
        let columns = self.codec.decode(values)?;
        let lengths: Vec<usize> = groups.iter().map(|group| self.groups[*group].len()).collect();
        match self.function {
            F::ListAgg => self.texts(&columns, &lengths),
            F::LastValue => self.one_of(&columns, &lengths, |length| length - 1),
            F::JsonArrayAgg | F::JsonArrayAggNullOnNull => json::arrays(state_column(&columns, 0)?, &lengths),
            F::JsonObjectAgg | F::JsonObjectAggAbsentOnNull => {
                json::objects(state_column(&columns, 0)?, state_column(&columns, 1)?, &lengths)
            }
            F::ArrayAgg => {
                let nulls = validity(lengths.iter().map(|length| *length > 0));
                list_array(state_column(&columns, 0)?.clone(), &lengths, nulls)
            }
            _ => self.one_of(&columns, &lengths, |_| 0),
        }
    }

    fn state_fields(&self) -> Vec<FieldRef> {
        self.codec.state_fields()
    }

    fn state(&self, groups: &[usize]) -> Result<Vec<ArrayRef>> {
        self.codec.state(groups.iter().map(|group| self.groups[*group].iter().map(AsRef::as_ref)))
    }

    fn merge(&mut self, groups: &[usize], state: &[ArrayRef]) -> Result<()> {
        let (rows, lengths) = self.codec.read_state(state)?;
        let mut row = 0;
        for (group, length) in groups.iter().zip(lengths) {
            for _ in 0..length {
                self.add(*group, rows.row(row).data());
                row += 1;
            }
        }
        self.refuse_second()
    }

    fn clear(&mut self, groups: &[usize]) {
        for group in groups {
            self.groups[*group] = Vec::new();
        }
    }

    fn memory_bytes(&self) -> usize {
        let held = |values: &Vec<Box<[u8]>>| values.iter().map(|value| value.len() + 16).sum::<usize>();
        self.groups.iter().map(held).sum::<usize>() + self.groups.capacity() * size_of::<Vec<Box<[u8]>>>()
    }
}
