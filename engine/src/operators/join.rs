//! Regular join of two changelogs on equal keys: both inputs are remembered for ever, and results are taken back when
//! their rows are.
//!
//! Each remembered row of a side that may stay alone (outer, semi, anti) counts its partners; the row appears or
//! disappears without a partner when that count leaves or reaches zero. The kinds of the emitted rows follow Flink: an
//! outer join adds with `+I` and takes back with `-D`, an inner join passes the kind of the row that caused it.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion_physical_expr::PhysicalExpr;

use crate::changelog::{ChangelogBatch, RowKind};
use crate::error::Result;
use crate::operator::{Operator, Output};
use crate::state::States;
use crate::state::multi_row_table::{MultiRowTable, StoredRow, null_keys};

/// Which rows a join gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinType {
    /// Pairs; and rows of an outer side without a partner.
    Pairs {
        /// Left rows without a partner, too.
        left_outer: bool,
        /// Right rows without a partner, too.
        right_outer: bool,
    },
    /// Left rows with a partner.
    Semi,
    /// Left rows without a partner.
    Anti,
}

/// What a [`Join`] computes.
#[derive(Debug, Clone)]
pub struct JoinSpec {
    /// Columns of the left and of the right input.
    pub inputs: [SchemaRef; 2],
    /// Key columns of each, in the same order and of the same types.
    pub keys: [Vec<usize>; 2],
    /// Which rows.
    pub join_type: JoinType,
    /// True when NULL keys are equal to each other.
    pub null_equals_null: bool,
    /// Further condition over left columns followed by right columns.
    pub condition: Option<Arc<dyn PhysicalExpr>>,
    /// Left columns then right columns; left columns only for semi and anti joins.
    pub schema: SchemaRef,
}

/// A joined row before it is decoded; None stands for a side of NULLs.
type Joined = (RowKind, Option<Box<[u8]>>, Option<Box<[u8]>>);

/// The join.
pub struct Join {
    spec: JoinSpec,
    pair_schema: SchemaRef,
    tables: [MultiRowTable; 2],
}

impl Join {
    /// A join that remembers nothing yet.
    pub fn new(spec: JoinSpec) -> Result<Self> {
        let [left, right] = &spec.inputs;
        let tables = [
            MultiRowTable::new(Arc::clone(left), spec.keys[0].clone())?,
            MultiRowTable::new(Arc::clone(right), spec.keys[1].clone())?,
        ];
        let nullable = |f: &Arc<arrow::datatypes::Field>| f.as_ref().clone().with_nullable(true);
        let pair_schema =
            Arc::new(Schema::new(left.fields().iter().chain(right.fields()).map(nullable).collect::<Vec<_>>()));
        Ok(Join { spec, pair_schema, tables })
    }

    fn is_outer(&self, side: usize) -> bool {
        match self.spec.join_type {
            JoinType::Pairs { left_outer, right_outer } => [left_outer, right_outer][side],
            JoinType::Semi | JoinType::Anti => side == 0,
        }
    }

    /// Which of the candidates on the other side are partners of `row`.
    fn partners(&self, side: usize, key: &[u8], row: &[u8]) -> Result<Vec<usize>> {
        let candidates = self.tables[1 - side].get(key);
        let Some(condition) = &self.spec.condition else { return Ok((0..candidates.len()).collect()) };
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        let own = self.tables[side].decode(std::iter::repeat_n(row, candidates.len()))?;
        let other = self.tables[1 - side].decode(candidates.iter().map(|c| &*c.row))?;
        let columns: Vec<ArrayRef> =
            if side == 0 { own.into_iter().chain(other).collect() } else { other.into_iter().chain(own).collect() };
        let pairs = RecordBatch::try_new(Arc::clone(&self.pair_schema), columns)?;
        let holds = condition.evaluate(&pairs)?.into_array(candidates.len())?;
        let holds = holds.as_boolean().iter().enumerate();
        Ok(holds.filter(|(_, h)| *h == Some(true)).map(|(i, _)| i).collect())
    }

    fn on_row(
        &mut self,
        side: usize,
        kind: RowKind,
        key: &[u8],
        row: &[u8],
        alone: bool,
        out: &mut Vec<Joined>,
    ) -> Result<()> {
        if !kind.is_addition() {
            self.tables[side].remove(key, row);
        }
        let partners = if alone { Vec::new() } else { self.partners(side, key, row)? };
        match self.spec.join_type {
            JoinType::Pairs { .. } => self.emit_pairs(side, kind, key, row, &partners, out),
            JoinType::Semi | JoinType::Anti => self.emit_left(side, kind, key, row, &partners, out),
        }
        if kind.is_addition() {
            self.tables[side].add(key, row, partners.len() as u32);
        }
        Ok(())
    }

    fn emit_pairs(
        &mut self,
        side: usize,
        kind: RowKind,
        key: &[u8],
        row: &[u8],
        partners: &[usize],
        out: &mut Vec<Joined>,
    ) {
        let any_outer = self.is_outer(0) || self.is_outer(1);
        let (own_outer, other_outer) = (self.is_outer(side), self.is_outer(1 - side));
        let emitted = match (any_outer, kind.is_addition()) {
            (false, _) => kind,
            (true, true) => RowKind::Insert,
            (true, false) => RowKind::Delete,
        };
        if partners.is_empty() && own_outer {
            out.push(pair(side, emitted, Some(row), None));
        }
        let others = self.tables[1 - side].get_mut(key);
        for partner in partners {
            let other = &mut others[*partner];
            if kind.is_addition() {
                if other_outer && other.number == 0 {
                    out.push(pair(side, RowKind::Delete, None, Some(&other.row)));
                }
                other.number += 1;
                out.push(pair(side, emitted, Some(row), Some(&other.row)));
            } else {
                out.push(pair(side, emitted, Some(row), Some(&other.row)));
                other.number = other.number.saturating_sub(1);
                if other_outer && other.number == 0 {
                    out.push(pair(side, RowKind::Insert, None, Some(&other.row)));
                }
            }
        }
    }

    fn emit_left(
        &mut self,
        side: usize,
        kind: RowKind,
        key: &[u8],
        row: &[u8],
        partners: &[usize],
        out: &mut Vec<Joined>,
    ) {
        let semi = self.spec.join_type == JoinType::Semi;
        if side == 0 {
            if partners.is_empty() != semi {
                out.push((kind, Some(row.into()), None));
            }
            return;
        }
        let lefts: &mut [StoredRow] = self.tables[0].get_mut(key);
        for partner in partners {
            let left = &mut lefts[*partner];
            let changes = if kind.is_addition() { left.number == 0 } else { left.number == 1 };
            left.number = if kind.is_addition() { left.number + 1 } else { left.number.saturating_sub(1) };
            if changes {
                out.push((if semi { kind } else { kind.inverse() }, Some(left.row.clone()), None));
            }
        }
    }

    fn decode_side(&self, side: usize, rows: &[Joined]) -> Result<Vec<ArrayRef>> {
        let pick = |joined: &Joined| if side == 0 { joined.1.clone() } else { joined.2.clone() };
        let present: Vec<Option<Box<[u8]>>> = rows.iter().map(pick).collect();
        let columns = self.tables[side].decode(present.iter().flatten().map(|row| &**row))?;
        if present.iter().all(Option::is_some) {
            return Ok(columns);
        }
        let mut next = 0_u32;
        let indices: arrow::array::UInt32Array = present
            .iter()
            .map(|row| {
                row.as_ref().map(|_| {
                    next += 1;
                    next - 1
                })
            })
            .collect();
        let gather = |(column, field): (&ArrayRef, &Arc<arrow::datatypes::Field>)| match column.len() {
            0 => Ok(new_null_array(field.data_type(), rows.len())),
            _ => Ok(arrow::compute::take(column, &indices, None)?),
        };
        columns.iter().zip(self.spec.inputs[side].fields()).map(gather).collect()
    }
}

/// A pair as seen from the side of the arriving row.
fn pair(side: usize, kind: RowKind, own: Option<&[u8]>, other: Option<&[u8]>) -> Joined {
    let (own, other) = (own.map(Box::from), other.map(Box::from));
    if side == 0 { (kind, own, other) } else { (kind, other, own) }
}

impl Operator for Join {
    fn on_batch(&mut self, port: usize, batch: ChangelogBatch, out: &mut Output) -> Result<()> {
        let rows = self.tables[port].encode_rows(batch.rows())?;
        let keys = self.tables[port].encode_keys(batch.rows(), &self.spec.keys[port])?;
        let alone = if self.spec.null_equals_null {
            vec![false; batch.len()]
        } else {
            null_keys(batch.rows(), &self.spec.keys[port])
        };
        let mut joined = Vec::new();
        for (row, alone) in alone.into_iter().enumerate() {
            let (key, encoded) = (keys.row(row), rows.row(row));
            self.on_row(port, batch.kind(row), key.as_ref(), encoded.as_ref(), alone, &mut joined)?;
        }
        let mut columns = self.decode_side(0, &joined)?;
        if matches!(self.spec.join_type, JoinType::Pairs { .. }) {
            columns.extend(self.decode_side(1, &joined)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(joined.len()));
        let result = RecordBatch::try_new_with_options(Arc::clone(&self.spec.schema), columns, &options)?;
        out.emit(ChangelogBatch::new(result, joined.iter().map(|j| j.0).collect()));
        Ok(())
    }

    fn states(&mut self) -> States<'_> {
        let [left, right] = &mut self.tables;
        States::one("left", left).and("right", right)
    }
}
