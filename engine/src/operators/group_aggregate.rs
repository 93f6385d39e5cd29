//! Group aggregation: keeps one running result per key and emits how it changes, net per batch.
//!
//! A group is there while it has rows. What the net change of a batch is, by whether the group was there before and is
//! there after it:
//! ```text
//!   before  after    emitted
//!     no     yes     +I new
//!    yes     yes     -U old, +U new; nothing when they are equal
//!    yes      no     -D old
//!     no      no     nothing
//! ```

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::{concat, take};
use arrow::datatypes::{FieldRef, SchemaRef};
use datafusion_physical_expr::PhysicalExpr;

use crate::aggregate::{AggregateCall, AggregateFunction, Grouping, GroupingRows};
use crate::changelog::{ChangelogBatch, RowKind};
use crate::error::Result;
use crate::operator::{Operator, Output};
use crate::state::States;
use crate::state::group_table::GroupTable;

/// What a [`GroupAggregate`] computes.
#[derive(Debug, Clone)]
pub struct GroupAggregateSpec {
    /// Columns of the input.
    pub input: SchemaRef,
    /// Group keys over the input; none is one global group.
    pub keys: Vec<Arc<dyn PhysicalExpr>>,
    /// Name and type of each key, for the state.
    pub key_fields: Vec<FieldRef>,
    /// Aggregates; none is SELECT DISTINCT.
    pub calls: Vec<AggregateCall>,
    /// Output: the keys, then the aggregates.
    pub schema: SchemaRef,
    /// Whether consumers need `-U` rows; an upsert sink on the same key does not.
    pub update_before: bool,
    /// Whether the input may take rows back.
    pub input_retracts: bool,
}

/// `GROUP BY` on a changelog. Changes come in order of the first touch of their group by the batch.
pub struct GroupAggregate {
    // Configuration.
    grouping: Arc<Grouping>,
    schema: SchemaRef,
    update_before: bool,
    needs_old: bool,
    // State.
    groups: GroupTable,
    // Scratch.
    row_groups: Vec<usize>,
    touched: Touched,
}

impl GroupAggregate {
    /// An aggregation without groups; an error when an aggregate does not take its arguments.
    pub fn new(spec: GroupAggregateSpec) -> Result<Self> {
        let always_changes = !spec.input_retracts && spec.calls.iter().any(counts_every_row);
        let grouping = Arc::new(Grouping::new(&spec.input, spec.keys, spec.key_fields, spec.calls)?);
        Ok(GroupAggregate {
            groups: GroupTable::new(grouping.clone())?,
            grouping,
            schema: spec.schema,
            update_before: spec.update_before,
            needs_old: spec.update_before || !always_changes,
            row_groups: Vec::new(),
            touched: Touched::default(),
        })
    }

    /// The changes of the touched groups as (index into them, kind).
    fn changes(&self, existed: &[bool], old: Option<&[ArrayRef]>, new: &[ArrayRef]) -> Result<Vec<(u32, RowKind)>> {
        let unchanged = match old {
            Some(old) => equal_rows(old, new, existed.len())?,
            None => vec![false; existed.len()],
        };
        let mut changes = Vec::with_capacity(existed.len());
        for (i, group) in self.touched.groups.iter().enumerate() {
            let row = i as u32;
            match (existed[i], self.groups.is_live(*group)) {
                (false, true) => changes.push((row, RowKind::Insert)),
                (true, true) if !unchanged[i] => {
                    if self.update_before {
                        changes.push((row, RowKind::UpdateBefore));
                    }
                    changes.push((row, RowKind::UpdateAfter));
                }
                (true, false) => changes.push((row, RowKind::Delete)),
                _ => {}
            }
        }
        Ok(changes)
    }

    /// The changed rows: keys from the batch that touched them, results from `old` or `new`.
    fn rows(
        &self,
        changes: &[(u32, RowKind)],
        keys: &[ArrayRef],
        old: Option<Vec<ArrayRef>>,
        new: Vec<ArrayRef>,
    ) -> Result<ChangelogBatch> {
        let touched = self.touched.groups.len() as u32;
        let key_rows = changes.iter().map(|(row, _)| self.touched.first_rows[*row as usize]);
        let key_rows: UInt32Array = key_rows.collect::<Vec<u32>>().into();
        let mut columns = keys.iter().map(|key| Ok(take(key, &key_rows, None)?)).collect::<Result<Vec<ArrayRef>>>()?;
        match old {
            None if changes.len() == touched as usize => columns.extend(new),
            old => {
                let is_old = |kind: RowKind| old.is_some() && !kind.is_addition();
                let rows = changes.iter().map(|(row, kind)| if is_old(*kind) { row + touched } else { *row });
                let rows: UInt32Array = rows.collect::<Vec<u32>>().into();
                for (i, new) in new.iter().enumerate() {
                    let both = match &old {
                        Some(old) => &concat(&[new, &old[i]])?,
                        None => new,
                    };
                    columns.push(take(both, &rows, None)?);
                }
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(changes.len()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        Ok(ChangelogBatch::new(rows, changes.iter().map(|(_, kind)| *kind).collect()))
    }
}

impl Operator for GroupAggregate {
    fn on_batch(&mut self, _port: usize, batch: ChangelogBatch, out: &mut Output) -> Result<()> {
        let rows = GroupingRows::evaluate(&self.grouping, &batch)?;
        self.groups.intern(rows.keys(), rows.len(), &mut self.row_groups)?;
        self.touched.find(&self.row_groups, self.groups.len());
        let existed: Vec<bool> = self.touched.groups.iter().map(|group| self.groups.is_live(*group)).collect();
        let old = match self.needs_old && existed.contains(&true) {
            true => Some(self.groups.evaluate(&self.touched.groups)?),
            false => None,
        };
        self.groups.update(&rows, &self.row_groups)?;
        let new = self.groups.evaluate(&self.touched.groups)?;
        let changes = self.changes(&existed, old.as_deref(), &new)?;
        if !changes.is_empty() {
            out.emit(self.rows(&changes, rows.keys(), old, new)?);
        }
        if rows.retractions().is_some() {
            self.groups.bury(&self.touched.groups);
            self.groups.compact()?;
        }
        Ok(())
    }

    fn states(&mut self) -> States<'_> {
        States::one("groups", &mut self.groups)
    }
}

/// The distinct groups of a batch in order of first touch, and the row that touched each first.
#[derive(Default)]
struct Touched {
    groups: Vec<usize>,
    first_rows: Vec<u32>,
    /// Per group: the round in which it was last touched.
    stamps: Vec<u32>,
    round: u32,
}

impl Touched {
    fn find(&mut self, row_groups: &[usize], group_count: usize) {
        self.groups.clear();
        self.first_rows.clear();
        self.round = self.round.wrapping_add(1);
        if self.round == 0 || self.stamps.len() > group_count {
            self.stamps.clear();
            self.round = 1;
        }
        self.stamps.resize(group_count, 0);
        for (row, group) in row_groups.iter().enumerate() {
            if self.stamps[*group] != self.round {
                self.stamps[*group] = self.round;
                self.groups.push(*group);
                self.first_rows.push(row as u32);
            }
        }
    }
}

/// True for `COUNT(*)`, which no added row leaves as it was.
fn counts_every_row(call: &AggregateCall) -> bool {
    call.function == AggregateFunction::Count && call.args.is_empty() && call.filter.is_none()
}

/// Which of `rows` rows are equal in all columns; NULL equals NULL.
fn equal_rows(old: &[ArrayRef], new: &[ArrayRef], rows: usize) -> Result<Vec<bool>> {
    let mut equal = vec![true; rows];
    for (old, new) in old.iter().zip(new) {
        if old.data_type().is_nested() {
            equal.iter_mut().enumerate().for_each(|(row, equal)| *equal &= old.slice(row, 1) == new.slice(row, 1));
        } else {
            let same = not_distinct(old, new)?;
            equal.iter_mut().zip(same.values()).for_each(|(equal, same)| *equal &= same);
        }
    }
    Ok(equal)
}
