//! The group table: a dense number per key, and columns of counts and aggregate state indexed by it.
//!
//! ```text
//!   keys "b" "a" "b"  ── index ──→  groups 0 1 0      keys    "b" "a"
//!                                                     rows     2   1     ← a group with no rows is dead
//!                                                     SUM(n)   …   …
//! ```
//! The index is DataFusion's, which gives numbers in order of arrival and cannot forget one. A dead group keeps its
//! number, empty, until more than half are dead and the table is built anew ([`GroupTable::compact`]): group numbers are
//! good only until then. Without keys there is one group, number 0.
//!
//! A snapshot holds a row per group that is not dead: key group, keys, row count, aggregate state.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema, SchemaRef};
use datafusion_physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion_physical_plan::aggregates::order::GroupOrdering;

use super::key_chunks::KeyChunks;
use super::{Distribution, State, key_group};
use crate::aggregate::{Aggregate, Grouping, GroupingRows};
use crate::error::{Error, Result};

/// Name of the column that counts the rows of a group.
const ROW_COUNT: &str = "row_count";

/// Tables with fewer groups are not worth building anew.
const COMPACT_MIN_GROUPS: usize = 1024;

/// Running aggregates per key.
pub struct GroupTable {
    grouping: Arc<Grouping>,
    schema: SchemaRef,
    index: Option<Box<dyn GroupValues>>,
    keys: KeyChunks,
    rows: Vec<i64>,
    aggregates: Vec<Box<dyn Aggregate>>,
    /// Groups that died since the dead were last counted.
    died: usize,
}

impl GroupTable {
    /// A table without groups.
    pub fn new(grouping: Arc<Grouping>) -> Result<Self> {
        let aggregates = grouping.aggregates()?;
        Ok(GroupTable {
            schema: snapshot_schema(&grouping, &aggregates),
            index: new_index(grouping.key_fields())?,
            keys: KeyChunks::new(grouping.key_fields()),
            rows: Vec::new(),
            aggregates,
            died: 0,
            grouping,
        })
    }

    /// Number of group numbers given out, dead groups included.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True before the first group.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// True when `group` has rows.
    pub fn is_live(&self, group: usize) -> bool {
        self.rows[group] > 0
    }

    /// The groups that have rows, in order of number.
    pub fn live_groups(&self) -> Vec<usize> {
        (0..self.len()).filter(|group| self.is_live(*group)).collect()
    }

    /// Puts the group number of each row of `keys` into `groups`; new keys get new numbers and empty aggregates.
    pub fn intern(&mut self, keys: &[ArrayRef], rows: usize, groups: &mut Vec<usize>) -> Result<()> {
        let known = self.len();
        let total = match &mut self.index {
            Some(index) => {
                index.intern(keys, groups)?;
                index.len()
            }
            None => {
                groups.clear();
                groups.resize(rows, 0);
                known.max(usize::from(rows > 0))
            }
        };
        if total > known {
            let mut first_rows = vec![0_u32; total - known];
            for (row, group) in groups.iter().enumerate().rev().filter(|(_, group)| **group >= known) {
                first_rows[group - known] = row as u32;
            }
            let first_rows = UInt32Array::from(first_rows);
            let new_keys = keys.iter().map(|key| Ok(take(key, &first_rows, None)?)).collect::<Result<Vec<_>>>()?;
            self.keys.append(new_keys, total - known)?;
            self.rows.resize(total, 0);
            self.aggregates.iter_mut().for_each(|aggregate| aggregate.resize(total));
        }
        Ok(())
    }

    /// Adds and takes back rows, whose `groups` were given by [`GroupTable::intern`].
    pub fn update(&mut self, rows: &GroupingRows, groups: &[usize]) -> Result<()> {
        match rows.retractions() {
            None => groups.iter().for_each(|group| self.rows[*group] += 1),
            Some(flags) => {
                for (group, taken_back) in groups.iter().zip(flags) {
                    self.rows[*group] += if *taken_back { -1 } else { 1 };
                }
            }
        }
        for (call, aggregate) in self.aggregates.iter_mut().enumerate() {
            aggregate.update(rows.input(call, groups))?;
        }
        Ok(())
    }

    /// The results of `groups`, a column per aggregate.
    pub fn evaluate(&self, groups: &[usize]) -> Result<Vec<ArrayRef>> {
        self.aggregates.iter().map(|aggregate| aggregate.evaluate(groups)).collect()
    }

    /// The keys of `groups`, a column per key.
    pub fn keys(&mut self, groups: &[usize]) -> Result<Vec<ArrayRef>> {
        self.keys.take(groups)
    }

    /// Empties those of `groups` that have no rows left.
    pub fn bury(&mut self, groups: &[usize]) {
        let dead: Vec<usize> = groups.iter().copied().filter(|group| !self.is_live(*group)).collect();
        for group in &dead {
            self.rows[*group] = 0;
        }
        self.aggregates.iter_mut().for_each(|aggregate| aggregate.clear(&dead));
        self.died += dead.len();
    }

    /// Builds the table anew without its dead groups when they are the majority. Group numbers change.
    pub fn compact(&mut self) -> Result<()> {
        if self.index.is_none() || self.len() < COMPACT_MIN_GROUPS || self.died * 2 < self.len() {
            return Ok(());
        }
        self.died = 0;
        let live = self.live_groups();
        if live.len() * 2 < self.len() {
            let mut fresh = GroupTable::new(self.grouping.clone())?;
            fresh.merge_groups(self, &live)?;
            *self = fresh;
        }
        Ok(())
    }

    /// Adds the groups of another table of the same aggregation to this one's.
    pub fn merge(&mut self, other: &mut GroupTable) -> Result<()> {
        let groups: Vec<usize> = (0..other.len()).collect();
        self.merge_groups(other, &groups)
    }

    /// Approximate bytes of memory held.
    pub fn memory_bytes(&self) -> usize {
        self.index.as_ref().map_or(0, |index| index.size())
            + self.keys.memory_bytes()
            + self.rows.capacity() * size_of::<i64>()
            + self.aggregates.iter().map(|aggregate| aggregate.memory_bytes()).sum::<usize>()
    }

    fn merge_groups(&mut self, other: &mut GroupTable, groups: &[usize]) -> Result<()> {
        let rows: Vec<i64> = groups.iter().map(|group| other.rows[*group]).collect();
        let states = other.aggregates.iter().map(|aggregate| aggregate.state(groups)).collect::<Result<Vec<_>>>()?;
        self.merge_columns(&other.keys(groups)?, &rows, &states.concat())
    }

    fn merge_columns(&mut self, keys: &[ArrayRef], rows: &[i64], states: &[ArrayRef]) -> Result<()> {
        let mut groups = Vec::new();
        self.intern(keys, rows.len(), &mut groups)?;
        for (group, rows) in groups.iter().zip(rows) {
            self.rows[*group] += rows;
        }
        let mut states = states;
        for aggregate in &mut self.aggregates {
            let width = aggregate.state_fields().len();
            let Some((own, others)) = states.split_at_checked(width) else {
                return Err(Error::checkpoint("a group table lacks columns of aggregate state"));
            };
            aggregate.merge(&groups, own)?;
            states = others;
        }
        Ok(())
    }
}

impl State for GroupTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn distribution(&self) -> Distribution {
        Distribution::Keyed
    }

    fn snapshot(&mut self) -> Result<Vec<RecordBatch>> {
        let (mut batches, mut start) = (Vec::new(), 0);
        for chunk in self.keys.chunks()? {
            let range = start..start + chunk.num_rows();
            start = range.end;
            let groups: Vec<usize> = range.clone().filter(|group| self.rows[*group] != 0).collect();
            let mut columns = if groups.len() == range.len() {
                chunk.columns().to_vec()
            } else {
                let rows: UInt32Array = groups.iter().map(|group| Some((group - range.start) as u32)).collect();
                chunk.columns().iter().map(|key| take(key, &rows, None)).collect::<std::result::Result<_, _>>()?
            };
            columns.push(Arc::new(groups.iter().map(|group| self.rows[*group]).collect::<Int64Array>()));
            for aggregate in &self.aggregates {
                columns.extend(aggregate.state(&groups)?);
            }
            batches.push(RecordBatch::try_new(self.schema.clone(), columns)?);
        }
        batches.retain(|batch| batch.num_rows() > 0);
        Ok(batches)
    }

    fn restore(&mut self, rows: &RecordBatch) -> Result<()> {
        let keys = self.grouping.key_fields().len();
        let columns = rows.columns();
        if columns.len() != self.schema.fields().len() {
            return Err(Error::checkpoint("the stored groups have other columns than this aggregation"));
        }
        let counts = columns[1 + keys].as_primitive::<Int64Type>();
        self.merge_columns(&columns[1..1 + keys], counts.values(), &columns[2 + keys..])
    }
}

fn new_index(key_fields: &[FieldRef]) -> Result<Option<Box<dyn GroupValues>>> {
    if key_fields.is_empty() {
        return Ok(None);
    }
    let schema = Arc::new(Schema::new(key_fields.to_vec()));
    Ok(Some(new_group_values(schema, &GroupOrdering::None)?))
}

fn snapshot_schema(grouping: &Grouping, aggregates: &[Box<dyn Aggregate>]) -> SchemaRef {
    let count: FieldRef = Arc::new(Field::new(ROW_COUNT, DataType::Int64, false));
    let states = grouping.calls().iter().zip(aggregates).enumerate().flat_map(|(i, (call, aggregate))| {
        let name = move |field: FieldRef| {
            let name = format!("{i}_{}_{}", call.field.name(), field.name());
            Arc::new(field.as_ref().clone().with_name(name)) as FieldRef
        };
        aggregate.state_fields().into_iter().map(name)
    });
    key_group::keyed_schema(grouping.key_fields().iter().cloned().chain([count]).chain(states))
}
