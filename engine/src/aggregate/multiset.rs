//! Counted values per group, in order of value: what MIN and MAX with retraction, COLLECT and DISTINCT remember.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int32Array, Int64Array, MapArray, StructArray, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};

use super::codec::{Codec, list_array};
use super::min_max::Extreme;
use super::slots::{all_valid, state_column, state_field};
use super::{Aggregate, AggregateInput};
use crate::error::{Error, Result};

/// For each group the distinct tuples of argument values and how often each is there. A count below zero is a value taken
/// back before it came; it counts as absent until it has come.
pub(super) struct Multisets {
    pub(super) codec: Codec,
    groups: Vec<BTreeMap<Box<[u8]>, i64>>,
}

impl Multisets {
    /// No groups yet.
    pub(super) fn new(types: &[DataType]) -> Result<Self> {
        Ok(Multisets { codec: Codec::new(types)?, groups: Vec::new() })
    }

    pub(super) fn resize(&mut self, groups: usize) {
        self.groups.resize(groups, BTreeMap::new());
    }

    /// True when nothing is remembered of `group`.
    pub(super) fn is_empty(&self, group: usize) -> bool {
        self.groups[group].is_empty()
    }

    /// Changes the count of `value` by `change` and returns it as it was and as it is.
    pub(super) fn add(&mut self, group: usize, value: &[u8], change: i64) -> (i64, i64) {
        let values = &mut self.groups[group];
        match values.get_mut(value) {
            None => {
                values.insert(value.into(), change);
                (0, change)
            }
            Some(count) => {
                let before = *count;
                *count += change;
                if *count == 0 {
                    values.remove(value);
                }
                (before, before + change)
            }
        }
    }

    /// The values that are there, in order, with their counts.
    pub(super) fn present(&self, group: usize) -> impl DoubleEndedIterator<Item = (&[u8], i64)> {
        self.groups[group].iter().filter(|(_, count)| **count > 0).map(|(value, count)| (value.as_ref(), *count))
    }

    pub(super) fn state_fields(&self) -> Vec<FieldRef> {
        let counts = DataType::List(Arc::new(Field::new("item", DataType::Int64, true)));
        let mut fields = self.codec.state_fields();
        fields.push(state_field("counts", counts, false));
        fields
    }

    pub(super) fn state(&self, groups: &[usize]) -> Result<Vec<ArrayRef>> {
        let values = |group: &usize| self.groups[*group].keys().map(AsRef::as_ref);
        let mut columns = self.codec.state(groups.iter().map(values))?;
        let counts: Vec<i64> = groups.iter().flat_map(|group| self.groups[*group].values().copied()).collect();
        let lengths: Vec<usize> = groups.iter().map(|group| self.groups[*group].len()).collect();
        columns.push(list_array(Arc::new(Int64Array::from(counts)), &lengths, None)?);
        Ok(columns)
    }

    /// Adds stored multisets; `each(group, position in the stored values, count before, count now)` sees every change.
    /// The stored values are returned as columns.
    pub(super) fn merge(
        &mut self,
        groups: &[usize],
        state: &[ArrayRef],
        mut each: impl FnMut(usize, usize, i64, i64),
    ) -> Result<Vec<ArrayRef>> {
        let Some((counts, values)) = state.split_last() else {
            return Err(Error::checkpoint("a stored multiset lacks its columns"));
        };
        let (rows, lengths) = self.codec.read_state(values)?;
        let counts = counts.as_list_opt::<i32>().ok_or_else(|| Error::checkpoint("stored counts are not lists"))?;
        let first = counts.offsets()[0] as usize;
        let counts = counts.values().as_primitive::<Int64Type>();
        let mut position = 0;
        for (group, length) in groups.iter().zip(lengths) {
            for _ in 0..length {
                let change = counts.value(first + position);
                let (before, now) = self.add(*group, rows.row(position).data(), change);
                each(*group, position, before, now);
                position += 1;
            }
        }
        self.codec.decode((0..position).map(|row| rows.row(row).data()))
    }

    pub(super) fn clear(&mut self, groups: &[usize]) {
        for group in groups {
            self.groups[*group] = BTreeMap::new();
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let held = |values: &BTreeMap<Box<[u8]>, i64>| values.keys().map(|value| value.len() + 32).sum::<usize>();
        self.groups.iter().map(held).sum::<usize>() + self.groups.capacity() * size_of::<BTreeMap<Box<[u8]>, i64>>()
    }
}

/// What is read from the multiset of a group.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reading {
    /// Its first or last value.
    Extreme(Extreme),
    /// All of it, as a map of this type.
    Collect(DataType),
}

/// MIN and MAX of an input that takes rows back, and COLLECT. NULLs are left out.
pub(super) struct Counted {
    reading: Reading,
    values: Multisets,
}

impl Counted {
    /// No groups yet.
    pub(super) fn new(reading: Reading, types: &[DataType]) -> Result<Self> {
        Ok(Counted { reading, values: Multisets::new(types)? })
    }

    fn extremes(&self, extreme: Extreme, groups: &[usize]) -> Result<ArrayRef> {
        let best = groups.iter().map(|group| match extreme {
            Extreme::Min => self.values.present(*group).next(),
            Extreme::Max => self.values.present(*group).next_back(),
        });
        let best: Vec<Option<&[u8]>> = best.map(|found| found.map(|(value, _)| value)).collect();
        let decoded = self.values.codec.decode(best.iter().flatten().copied())?;
        let mut next = 0..;
        let rows: UInt32Array = best.iter().map(|value| value.and_then(|_| next.next())).collect();
        Ok(take(state_column(&decoded, 0)?, &rows, None)?)
    }

    fn maps(&self, data_type: &DataType, groups: &[usize]) -> Result<ArrayRef> {
        let DataType::Map(entries, sorted) = data_type else {
            return Err(Error::internal(format!("COLLECT gives a map, not {data_type}")));
        };
        let DataType::Struct(fields) = entries.data_type() else {
            return Err(Error::internal("a map has entries of key and value"));
        };
        let present = || groups.iter().flat_map(|group| self.values.present(*group));
        let keys = self.values.codec.decode(present().map(|(value, _)| value))?;
        let counts: Int32Array = present().map(|(_, count)| count as i32).collect::<Vec<i32>>().into();
        let columns = vec![state_column(&keys, 0)?.clone(), Arc::new(counts) as ArrayRef];
        let pairs = StructArray::try_new(fields.clone(), columns, None)?;
        let offsets = OffsetBuffer::from_lengths(groups.iter().map(|group| self.values.present(*group).count()));
        Ok(Arc::new(MapArray::try_new(entries.clone(), offsets, pairs, None, *sorted)?))
    }
}

impl Aggregate for Counted {
    fn resize(&mut self, groups: usize) {
        self.values.resize(groups);
    }

    fn update(&mut self, input: AggregateInput<'_>) -> Result<()> {
        let rows = self.values.codec.encode(input.args)?;
        input.for_each(all_valid(input.args).as_ref(), |row, group, taken_back| {
            self.values.add(group, rows.row(row).data(), if taken_back { -1 } else { 1 });
        });
        Ok(())
    }

    fn evaluate(&self, groups: &[usize]) -> Result<ArrayRef> {
        match &self.reading {
            Reading::Extreme(extreme) => self.extremes(*extreme, groups),
            Reading::Collect(data_type) => self.maps(data_type, groups),
        }
    }

    fn state_fields(&self) -> Vec<FieldRef> {
        self.values.state_fields()
    }

    fn state(&self, groups: &[usize]) -> Result<Vec<ArrayRef>> {
        self.values.state(groups)
    }

    fn merge(&mut self, groups: &[usize], state: &[ArrayRef]) -> Result<()> {
        self.values.merge(groups, state, |_, _, _, _| {}).map(|_| ())
    }

    fn clear(&mut self, groups: &[usize]) {
        self.values.clear(groups);
    }

    fn memory_bytes(&self) -> usize {
        self.values.memory_bytes()
    }
}
