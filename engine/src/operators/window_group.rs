//! Aggregation by window columns that the rows bring along: one result per key when the row's own window closes.
//!
//! For rows whose windows were assigned elsewhere: by a window function below a join or a deduplication, by another
//! window aggregation, or under grouping sets. The window's start and end are ordinary keys; groups are kept per window
//! end. A row whose window has closed is late: dropped and counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::datatypes::SchemaRef;

use super::group_aggregate::GroupAggregateSpec;
use super::window_columns::{TICK, WallClock};
use crate::aggregate::{Grouping, GroupingRows};
use crate::changelog::ChangelogBatch;
use crate::error::Result;
use crate::operator::{Operator, Output};
use crate::state::States;
use crate::state::pane_table::PaneTable;
use crate::state::value::Value;
use crate::time::{Watermark, column_micros};
use crate::window::Zone;

/// `GROUP BY window_start, window_end, …` where the window columns are columns of the input. The output is append-only,
/// in order of window end.
pub struct WindowGroup {
    // Configuration.
    grouping: Arc<Grouping>,
    window_end: usize,
    schema: SchemaRef,
    clock: WallClock,
    // State: groups by the end of their window, and the last watermark.
    panes: PaneTable,
    watermark: Value<i64>,
    late_rows: u64,
    // Scratch.
    row_groups: Vec<usize>,
}

impl WindowGroup {
    /// An aggregation whose key number `window_end` is the end of the window; an error when an aggregate does not take
    /// its arguments. `update_before` and `input_retracts` say nothing here: the output is append-only.
    pub fn new(spec: GroupAggregateSpec, window_end: usize) -> Result<Self> {
        let grouping = Arc::new(Grouping::new(&spec.input, spec.keys, spec.key_fields, spec.calls)?);
        Ok(WindowGroup {
            panes: PaneTable::new(grouping.clone())?,
            grouping,
            window_end,
            schema: spec.schema,
            clock: WallClock::default(),
            watermark: Value::new(i64::MIN, i64::min),
            late_rows: 0,
            row_groups: Vec::new(),
        })
    }

    /// The same, with windows laid out on the wall clock of `zone`: for TIMESTAMP_LTZ.
    pub fn in_zone(self, zone: Arc<dyn Zone>) -> Self {
        WindowGroup { clock: WallClock(Some(zone)), ..self }
    }

    fn is_closed(&self, end: i64) -> bool {
        self.clock.instant(end - TICK) <= *self.watermark.get()
    }

    fn add(&mut self, end: i64, rows: &GroupingRows) -> Result<()> {
        let groups = self.panes.entry(end)?;
        groups.intern(rows.keys(), rows.len(), &mut self.row_groups)?;
        groups.update(rows, &self.row_groups)
    }
}

impl Operator for WindowGroup {
    fn on_batch(&mut self, _port: usize, batch: ChangelogBatch, _out: &mut Output) -> Result<()> {
        let rows = GroupingRows::evaluate(&self.grouping, &batch)?;
        let ends = column_micros(&rows.keys()[self.window_end])?;
        let mut by_end: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (row, end) in ends.iter().enumerate() {
            match end.filter(|end| !self.is_closed(*end)) {
                Some(end) => by_end.entry(end).or_default().push(row as u32),
                None => self.late_rows += 1,
            }
        }
        for (end, own) in by_end {
            if own.len() == ends.len() {
                self.add(end, &rows)?;
            } else {
                self.add(end, &rows.take(&UInt32Array::from(own))?)?;
            }
        }
        Ok(())
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Output) -> Result<()> {
        self.watermark.set(watermark.0.0);
        let closed: Vec<i64> = self.panes.panes().filter(|end| self.is_closed(*end)).collect();
        for end in closed {
            let Some(mut groups) = self.panes.remove(end) else { continue };
            let live = groups.live_groups();
            if live.is_empty() {
                continue;
            }
            let mut columns = groups.keys(&live)?;
            columns.extend(groups.evaluate(&live)?);
            out.emit(ChangelogBatch::inserts(RecordBatch::try_new(self.schema.clone(), columns)?));
        }
        Ok(())
    }

    fn states(&mut self) -> States<'_> {
        States::one("groups", &mut self.panes).and("watermark", &mut self.watermark)
    }

    fn late_rows(&self) -> u64 {
        self.late_rows
    }
}
