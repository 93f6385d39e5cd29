//! DISTINCT: passes a value on to another aggregate when it first comes, and takes it back when it last goes.

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, FieldRef};
use std::sync::Arc;

use super::multiset::Multisets;
use super::{Aggregate, AggregateInput};
use crate::error::Result;

/// Any aggregate over distinct argument values. Its state is the counted values and the state of the inner aggregate.
pub(super) struct Distinct {
    values: Multisets,
    inner: Box<dyn Aggregate>,
}

/// Values that became present or absent: where they are in their columns, their groups, and whether they went.
#[derive(Default)]
struct Transitions {
    rows: Vec<u32>,
    groups: Vec<usize>,
    gone: Vec<bool>,
}

impl Transitions {
    fn note(&mut self, row: usize, group: usize, before: i64, now: i64) {
        if (before > 0) != (now > 0) {
            self.rows.push(row as u32);
            self.groups.push(group);
            self.gone.push(now <= 0);
        }
    }

    fn pass_on(self, columns: &[ArrayRef], inner: &mut dyn Aggregate) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = UInt32Array::from(self.rows);
        let args = columns.iter().map(|column| Ok(take(column, &rows, None)?)).collect::<Result<Vec<ArrayRef>>>()?;
        let retractions = self.gone.contains(&true).then_some(self.gone.as_slice());
        inner.update(AggregateInput { groups: &self.groups, args: &args, filter: None, retractions })
    }
}

impl Distinct {
    /// Distinct values of these types for `inner`.
    pub(super) fn new(types: &[DataType], inner: Box<dyn Aggregate>) -> Result<Self> {
        Ok(Distinct { values: Multisets::new(types)?, inner })
    }
}

impl Aggregate for Distinct {
    fn resize(&mut self, groups: usize) {
        self.values.resize(groups);
        self.inner.resize(groups);
    }

    fn update(&mut self, input: AggregateInput<'_>) -> Result<()> {
        let rows = self.values.codec.encode(input.args)?;
        let mut transitions = Transitions::default();
        input.for_each(None, |row, group, taken_back| {
            let change = if taken_back { -1 } else { 1 };
            let (before, now) = self.values.add(group, rows.row(row).data(), change);
            transitions.note(row, group, before, now);
        });
        transitions.pass_on(input.args, self.inner.as_mut())
    }

    fn evaluate(&self, groups: &[usize]) -> Result<ArrayRef> {
        self.inner.evaluate(groups)
    }

    fn state_fields(&self) -> Vec<FieldRef> {
        let inner = self.inner.state_fields().into_iter();
        let named = |field: FieldRef| -> FieldRef {
            Arc::new(field.as_ref().clone().with_name(format!("distinct_{}", field.name())))
        };
        self.values.state_fields().into_iter().chain(inner.map(named)).collect()
    }

    fn state(&self, groups: &[usize]) -> Result<Vec<ArrayRef>> {
        let mut columns = self.values.state(groups)?;
        columns.extend(self.inner.state(groups)?);
        Ok(columns)
    }

    /// Into empty groups the inner state goes as it is, so that the order of arrival is kept; into others only the values
    /// that are new there.
    fn merge(&mut self, groups: &[usize], state: &[ArrayRef]) -> Result<()> {
        let (values, inner) = state.split_at(self.values.state_fields().len().min(state.len()));
        let whole: Vec<bool> = groups.iter().map(|group| self.values.is_empty(*group)).collect();
        let all_whole = !whole.contains(&false);
        let fresh: std::collections::HashSet<usize> =
            groups.iter().zip(&whole).filter(|(_, whole)| **whole).map(|(group, _)| *group).collect();
        let mut transitions = Transitions::default();
        let columns = self.values.merge(groups, values, |group, position, before, now| {
            if !fresh.contains(&group) {
                transitions.note(position, group, before, now);
            }
        })?;
        if all_whole {
            return self.inner.merge(groups, inner);
        }
        let rows: UInt32Array =
            (0..groups.len() as u32).filter(|row| whole[*row as usize]).collect::<Vec<u32>>().into();
        let own: Vec<usize> = rows.values().iter().map(|row| groups[*row as usize]).collect();
        let inner = inner.iter().map(|column| Ok(take(column, &rows, None)?)).collect::<Result<Vec<ArrayRef>>>()?;
        self.inner.merge(&own, &inner)?;
        transitions.pass_on(&columns, self.inner.as_mut())
    }

    fn clear(&mut self, groups: &[usize]) {
        self.values.clear(groups);
        self.inner.clear(groups);
    }

    fn memory_bytes(&self) -> usize {
        self.values.memory_bytes() + self.inner.memory_bytes()
    }
}
