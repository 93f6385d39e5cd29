//! The pane table: a group table per pane of time. Windows are put together from panes, and a pane that no open window
//! needs is dropped whole.
//!
//! A snapshot is that of the group tables with a `pane` column (the start of the pane, microseconds) before the keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::compute::kernels::cmp::eq;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};

use super::group_table::GroupTable;
use super::{Distribution, State};
use crate::aggregate::Grouping;
use crate::error::{Error, Result};

/// Position of the pane column: after the key group.
const PANE: usize = 1;

/// Running aggregates per pane and key.
pub struct PaneTable {
    grouping: Arc<Grouping>,
    schema: SchemaRef,
    panes: BTreeMap<i64, GroupTable>,
}

impl PaneTable {
    /// A table without panes.
    pub fn new(grouping: Arc<Grouping>) -> Result<Self> {
        let mut fields = GroupTable::new(grouping.clone())?.schema().fields().to_vec();
        fields.insert(PANE, Arc::new(Field::new("pane", DataType::Int64, false)));
        Ok(PaneTable { grouping, schema: Arc::new(Schema::new(fields)), panes: BTreeMap::new() })
    }

    /// The groups of `pane`, which is made when it is not there.
    pub fn entry(&mut self, pane: i64) -> Result<&mut GroupTable> {
        use std::collections::btree_map::Entry;
        Ok(match self.panes.entry(pane) {
            Entry::Occupied(held) => held.into_mut(),
            Entry::Vacant(free) => free.insert(GroupTable::new(self.grouping.clone())?),
        })
    }

    /// The groups of `pane`, if it is there.
    pub fn get(&mut self, pane: i64) -> Option<&mut GroupTable> {
        self.panes.get_mut(&pane)
    }

    /// Takes `pane` out.
    pub fn remove(&mut self, pane: i64) -> Option<GroupTable> {
        self.panes.remove(&pane)
    }

    /// The panes there are, in order of time.
    pub fn panes(&self) -> impl Iterator<Item = i64> + '_ {
        self.panes.keys().copied()
    }

    /// A new table with the groups of the panes that start in `start .. end` added up.
    pub fn merged(&mut self, start: i64, end: i64) -> Result<GroupTable> {
        let mut sum = GroupTable::new(self.grouping.clone())?;
        for (_, pane) in self.panes.range_mut(start..end) {
            sum.merge(pane)?;
        }
        Ok(sum)
    }
}

impl State for PaneTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn distribution(&self) -> Distribution {
        Distribution::Keyed
    }

    fn snapshot(&mut self) -> Result<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        for (pane, groups) in &mut self.panes {
            for batch in groups.snapshot()? {
                let mut columns = batch.columns().to_vec();
                let starts: ArrayRef = Arc::new(Int64Array::from_value(*pane, batch.num_rows()));
                columns.insert(PANE, starts);
                batches.push(RecordBatch::try_new(self.schema.clone(), columns)?);
            }
        }
        Ok(batches)
    }

    fn restore(&mut self, rows: &RecordBatch) -> Result<()> {
        let mut groups = rows.clone();
        let starts = rows.columns().get(PANE).and_then(|column| column.as_primitive_opt::<Int64Type>()).cloned();
        let Some(starts) = starts else {
            return Err(Error::checkpoint("stored panes lack their 'pane' column"));
        };
        groups.remove_column(PANE);
        let panes: std::collections::BTreeSet<i64> = starts.values().iter().copied().collect();
        for pane in panes {
            let own = eq(&starts, &Int64Array::new_scalar(pane))?;
            self.entry(pane)?.restore(&filter_record_batch(&groups, &own)?)?;
        }
        Ok(())
    }
}
