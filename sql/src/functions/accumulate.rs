//! The engine's aggregates as accumulators of DataFusion: a finite query computes what a continuous one would.

use std::sync::{Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::compute::prep_null_mask_filter;
use arrow::datatypes::{DataType, FieldRef};
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_expr::{Accumulator, EmitTo, GroupsAccumulator};
use eddyline_engine::aggregate::{Aggregate, AggregateCall, AggregateFunction, AggregateInput, create};

fn failed(error: eddyline_engine::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// What an accumulator is made from.
#[derive(Clone)]
pub(super) struct Recipe {
    call: AggregateCall,
    types: Vec<DataType>,
}

impl Recipe {
    pub(super) fn new(function: AggregateFunction, distinct: bool, field: FieldRef, arguments: &[FieldRef]) -> Self {
        let types = arguments.iter().map(|argument| argument.data_type().clone()).collect();
        Recipe {
            call: AggregateCall { function, args: Vec::new(), filter: None, distinct, retractable: false, field },
            types,
        }
    }

    /// The same for windows, out of which rows fall.
    pub(super) fn sliding(mut self) -> Self {
        self.call.retractable = true;
        self
    }

    fn make(&self) -> Result<Box<dyn Aggregate>> {
        create(&self.call, &self.types).map_err(failed)
    }

    /// Columns of partial results.
    pub(super) fn state_fields(&self) -> Result<Vec<FieldRef>> {
        Ok(self.make()?.state_fields())
    }
}

/// One result per group.
pub(super) struct Groups {
    recipe: Recipe,
    aggregate: Box<dyn Aggregate>,
    groups: usize,
}

impl Groups {
    pub(super) fn new(recipe: Recipe) -> Result<Self> {
        Ok(Groups { aggregate: recipe.make()?, recipe, groups: 0 })
    }

    fn resize(&mut self, groups: usize) {
        self.aggregate.resize(groups);
        self.groups = groups;
    }

    fn apply(&mut self, groups: &[usize], args: &[ArrayRef], filter: Option<&BooleanArray>, back: bool) -> Result<()> {
        let filter = filter.map(|f| if f.null_count() > 0 { prep_null_mask_filter(f) } else { f.clone() });
        let retractions = back.then(|| vec![true; groups.len()]);
        let input = AggregateInput { groups, args, filter: filter.as_ref(), retractions: retractions.as_deref() };
        self.aggregate.update(input).map_err(failed)
    }

    /// Forgets the first groups, whose results have been given; the others move up.
    fn forget(&mut self, given: usize) -> Result<()> {
        let rest: Vec<usize> = (given..self.groups).collect();
        let state = self.aggregate.state(&rest).map_err(failed)?;
        self.aggregate = self.recipe.make()?;
        self.resize(rest.len());
        let groups: Vec<usize> = (0..rest.len()).collect();
        if groups.is_empty() { Ok(()) } else { self.aggregate.merge(&groups, &state).map_err(failed) }
    }

    fn first(&self, emit_to: EmitTo) -> Vec<usize> {
        match emit_to {
            EmitTo::All => (0..self.groups).collect(),
            EmitTo::First(count) => (0..count.min(self.groups)).collect(),
        }
    }
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.resize(total_num_groups);
        self.apply(group_indices, values, opt_filter, false)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = self.first(emit_to);
        let result = self.aggregate.evaluate(&groups).map_err(failed)?;
        self.forget(groups.len())?;
        Ok(result)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = self.first(emit_to);
        let state = self.aggregate.state(&groups).map_err(failed)?;
        self.forget(groups.len())?;
        Ok(state)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.resize(total_num_groups);
        self.aggregate.merge(group_indices, values).map_err(failed)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |column| column.len());
        let groups: Vec<usize> = (0..rows).collect();
        let mut single = Groups::new(self.recipe.clone())?;
        single.resize(rows);
        single.apply(&groups, values, opt_filter, false)?;
        single.aggregate.state(&groups).map_err(failed)
    }

    fn size(&self) -> usize {
        self.aggregate.memory_bytes()
    }
}

/// One result for all rows, or for those in a window.
pub(super) struct Single {
    recipe: Recipe,
    /// Never contended: DataFusion wants accumulators that could be shared, and shares none.
    groups: Mutex<Groups>,
}

impl Single {
    pub(super) fn new(recipe: Recipe) -> Result<Self> {
        let mut groups = Groups::new(recipe.clone())?;
        groups.resize(1);
        Ok(Single { recipe, groups: Mutex::new(groups) })
    }

    fn own(&mut self) -> &mut Groups {
        self.groups.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&mut self, values: &[ArrayRef], back: bool) -> Result<()> {
        let rows = values.first().map_or(0, |column| column.len());
        self.own().apply(&vec![0; rows], values, None, back)
    }
}

impl std::fmt::Debug for Single {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Single({:?})", self.recipe.call.function)
    }
}

impl Accumulator for Single {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.apply(values, false)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.apply(values, true)
    }

    fn supports_retract_batch(&self) -> bool {
        self.recipe.call.retractable
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.own().aggregate.evaluate(&[0]).map_err(failed)?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let columns = self.own().aggregate.state(&[0]).map_err(failed)?;
        columns.iter().map(|column| ScalarValue::try_from_array(column, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let rows = states.first().map_or(0, |column| column.len());
        self.own().aggregate.merge(&vec![0; rows], states).map_err(failed)
    }

    fn size(&self) -> usize {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner).aggregate.memory_bytes()
    }
}
