//! Window aggregation: one result per key and window, emitted once when the window closes.
//!
//! Rows are aggregated per pane ([`WindowSpec::pane`]). A window closes when the watermark reaches its end less one
//! millisecond (or processing time its end): TUMBLE emits its one pane, HOP adds its panes up, CUMULATE adds each pane to
//! the first of its window and emits that. A pane goes when no open window needs it.
//!
//! A row is late for a window that has closed. As a closed window is never looked at again, a row is dropped, and
//! counted, only when it is late for all its windows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::datatypes::{FieldRef, SchemaRef};
use datafusion_physical_expr::PhysicalExpr;

use super::window_columns::{TICK, WallClock};
use crate::aggregate::{AggregateCall, Grouping, GroupingRows};
use crate::changelog::ChangelogBatch;
use crate::error::Result;
use crate::operator::{Operator, Output};
use crate::state::States;
use crate::state::group_table::GroupTable;
use crate::state::pane_table::PaneTable;
use crate::state::value::Value;
use crate::time::{ProcessingTime, Watermark};
use crate::window::{Window, WindowKind, WindowSpec, Zone};

/// Which time puts rows into windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeAttribute {
    /// The timestamp in this column of the input; watermarks close windows.
    Event {
        /// Index of the column.
        column: usize,
    },
    /// The time at which the row is processed; timers close windows.
    Processing,
}

/// What a [`WindowAggregate`] computes.
#[derive(Debug, Clone)]
pub struct WindowAggregateSpec {
    /// Columns of the input.
    pub input: SchemaRef,
    /// Which windows.
    pub window: WindowSpec,
    /// Which time.
    pub time: TimeAttribute,
    /// Group keys besides the window.
    pub keys: Vec<Arc<dyn PhysicalExpr>>,
    /// Name and type of each key, for the state.
    pub key_fields: Vec<FieldRef>,
    /// Aggregates.
    pub calls: Vec<AggregateCall>,
    /// Output: keys, aggregates, `window_start`, `window_end`, `window_time`.
    pub schema: SchemaRef,
}

/// `GROUP BY key, window_start, window_end` over a window table function. The output is append-only, in order of window
/// end.
pub struct WindowAggregate {
    // Configuration.
    grouping: Arc<Grouping>,
    window: WindowSpec,
    time: TimeAttribute,
    schema: SchemaRef,
    clock: WallClock,
    // State.
    panes: PaneTable,
    /// Windows that end here or earlier have closed.
    closed: Value<i64>,
    late_rows: u64,
    // Scratch.
    row_groups: Vec<usize>,
}

impl WindowAggregate {
    /// An aggregation without windows; an error when an aggregate does not take its arguments or the lengths of the
    /// windows do not fit each other.
    pub fn new(spec: WindowAggregateSpec) -> Result<Self> {
        spec.window.validate()?;
        let grouping = Arc::new(Grouping::new(&spec.input, spec.keys, spec.key_fields, spec.calls)?);
        Ok(WindowAggregate {
            panes: PaneTable::new(grouping.clone())?,
            grouping,
            window: spec.window,
            time: spec.time,
            schema: spec.schema,
            clock: WallClock::default(),
            closed: Value::new(i64::MIN, i64::min),
            late_rows: 0,
            row_groups: Vec::new(),
        })
    }

    /// The same, with windows laid out on the wall clock of `zone`: for TIMESTAMP_LTZ and processing time.
    pub fn in_zone(self, zone: Arc<dyn Zone>) -> Self {
        WindowAggregate { clock: WallClock(Some(zone)), ..self }
    }

    /// The pane in which a row of `time` is kept, or None when all its windows have closed. CUMULATE adds late rows to
    /// the first pane of the window, where the panes that have closed were added.
    fn pane_for(&self, time: i64) -> Option<i64> {
        let pane = self.window.pane(time);
        let next = self.window.next_window(pane, *self.closed.get())?;
        let passed = pane + self.window.pane_size() <= *self.closed.get();
        Some(if passed && matches!(self.window.kind, WindowKind::Cumulate { .. }) { next.start } else { pane })
    }

    fn add(&mut self, pane: i64, rows: &GroupingRows) -> Result<()> {
        let groups = self.panes.entry(pane)?;
        groups.intern(rows.keys(), rows.len(), &mut self.row_groups)?;
        groups.update(rows, &self.row_groups)
    }

    /// The next window to close.
    fn next_window(&self) -> Option<Window> {
        let closed = *self.closed.get();
        self.panes.panes().filter_map(|pane| self.window.next_window(pane, closed)).min_by_key(|window| window.end)
    }

    /// Closes all windows whose last moment, their end less a tick, is at `instant` or earlier.
    fn close(&mut self, instant: i64, out: &mut Output) -> Result<()> {
        while let Some(window) = self.next_window().filter(|window| self.clock.instant(window.end - TICK) <= instant) {
            self.closed.set(window.end);
            self.emit(window, out)?;
        }
        // When the clock is set back, an hour shows twice: its windows stay open until the second time.
        let wall = self.clock.wall(instant);
        if instant == i64::MAX || self.clock.instant(wall) <= instant {
            self.closed.set(wall.saturating_add(TICK).max(*self.closed.get()));
        }
        Ok(())
    }

    fn emit(&mut self, window: Window, out: &mut Output) -> Result<()> {
        match self.window.kind {
            WindowKind::Tumble { .. } => {
                if let Some(mut pane) = self.panes.remove(window.start) {
                    out.emit(results(&mut pane, window, &self.schema, &self.clock)?);
                }
            }
            WindowKind::Hop { .. } => {
                let mut sum = self.panes.merged(window.start, window.end)?;
                out.emit(results(&mut sum, window, &self.schema, &self.clock)?);
                self.panes.remove(window.start);
            }
            WindowKind::Cumulate { step, size } => {
                let last = window.end - step;
                if last != window.start
                    && let Some(mut pane) = self.panes.remove(last)
                {
                    self.panes.entry(window.start)?.merge(&mut pane)?;
                }
                if let Some(sum) = self.panes.get(window.start) {
                    out.emit(results(sum, window, &self.schema, &self.clock)?);
                }
                if window.end - window.start == size {
                    self.panes.remove(window.start);
                }
            }
        }
        Ok(())
    }
}

impl Operator for WindowAggregate {
    fn on_batch(&mut self, _port: usize, batch: ChangelogBatch, out: &mut Output) -> Result<()> {
        let rows = GroupingRows::evaluate(&self.grouping, &batch)?;
        let TimeAttribute::Event { column } = self.time else {
            let now = self.clock.wall(out.now().0).max(*self.closed.get());
            return self.add(self.window.pane(now), &rows);
        };
        let times = self.clock.times(&batch, column)?;
        let mut by_pane: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (row, time) in times.values().iter().enumerate() {
            match self.pane_for(*time) {
                Some(pane) => by_pane.entry(pane).or_default().push(row as u32),
                None => self.late_rows += 1,
            }
        }
        for (pane, own) in by_pane {
            if own.len() == rows.len() {
                self.add(pane, &rows)?;
            } else {
                self.add(pane, &rows.take(&UInt32Array::from(own))?)?;
            }
        }
        Ok(())
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Output) -> Result<()> {
        match self.time {
            TimeAttribute::Event { .. } => self.close(watermark.0.0, out),
            TimeAttribute::Processing if watermark == Watermark::MAX => self.close(i64::MAX, out),
            TimeAttribute::Processing => Ok(()),
        }
    }

    fn on_timer(&mut self, now: ProcessingTime, out: &mut Output) -> Result<()> {
        match self.time {
            TimeAttribute::Event { .. } => Ok(()),
            TimeAttribute::Processing => self.close(now.0 - TICK, out),
        }
    }

    fn next_timer(&self) -> Option<ProcessingTime> {
        match self.time {
            TimeAttribute::Event { .. } => None,
            TimeAttribute::Processing => {
                self.next_window().map(|window| ProcessingTime(self.clock.instant(window.end - TICK) + TICK))
            }
        }
    }

    fn states(&mut self) -> States<'_> {
        States::one("panes", &mut self.panes).and("closed", &mut self.closed)
    }

    fn late_rows(&self) -> u64 {
        self.late_rows
    }
}

/// The groups that have rows, with the columns of their window.
fn results(groups: &mut GroupTable, window: Window, schema: &SchemaRef, clock: &WallClock) -> Result<ChangelogBatch> {
    let live = groups.live_groups();
    if live.is_empty() {
        return Ok(ChangelogBatch::empty(schema.clone()));
    }
    let mut columns = groups.keys(&live)?;
    columns.extend(groups.evaluate(&live)?);
    columns.extend(clock.columns(&vec![window; live.len()], schema)?);
    Ok(ChangelogBatch::inserts(RecordBatch::try_new(schema.clone(), columns)?))
}
