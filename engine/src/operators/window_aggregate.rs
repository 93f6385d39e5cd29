//! Window aggregation: one result per key and window, emitted once when the window closes.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, SchemaRef};
use datafusion_physical_expr::PhysicalExpr;

use crate::aggregate::AggregateCall;
use crate::changelog::ChangelogBatch;
use crate::error::{Error, Result};
use crate::operator::{Operator, Output};
use crate::window::WindowSpec;

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

/// `GROUP BY key, window_start, window_end` over a window table function.
pub struct WindowAggregate {
    spec: WindowAggregateSpec,
}

impl WindowAggregate {
    /// An aggregation without windows; an error when an aggregate does not take its arguments.
    pub fn new(spec: WindowAggregateSpec) -> Result<Self> {
        Ok(WindowAggregate { spec })
    }
}

impl Operator for WindowAggregate {
    fn on_batch(&mut self, _port: usize, _batch: ChangelogBatch, _out: &mut Output) -> Result<()> {
        let _ = &self.spec;
        Err(Error::internal("not there yet"))
    }
}
