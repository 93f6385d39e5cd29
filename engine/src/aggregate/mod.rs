//! Aggregate functions over groups, column by column, with retraction and without being consumed by reading.
//!
//! ```text
//!   rows:    word   | n          groups (dense numbers from the key index)     state of SUM(n), one slot per group
//!            "a"    | 3    →     [0, 1, 0]                               →     slot 0: 5   slot 1: 7
//!            "b"    | 7
//!            "a"    | 2
//! ```
//! DataFusion's accumulators are emptied when read; a running aggregate is read after every batch and frozen at every
//! barrier, so these are our own. Result types and overflow follow Flink 2.3: `SUM(INT)` is INT and wraps, `AVG` of
//! integers is an integer, `SUM(DECIMAL(p, s))` is DECIMAL(38, s), `AVG` of it DECIMAL(38, max(s, 6)).

mod avg;
mod codec;
mod collected;
mod count;
mod create;
mod distinct;
mod grouping;
mod json;
mod min_max;
mod multiset;
mod slots;
mod sum;
mod types;
mod variance;

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::FieldRef;
use datafusion_physical_expr::PhysicalExpr;

use crate::error::Result;

pub use create::create;
pub use grouping::{Grouping, GroupingRows};
pub use types::return_type;

/// The functions there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AggregateFunction {
    /// `COUNT(*)` without an argument, `COUNT(a, …)` of rows where no argument is NULL.
    Count,
    /// Sum of the non-NULL values; NULL when there is none.
    Sum,
    /// Mean of the non-NULL values.
    Avg,
    /// Smallest non-NULL value.
    Min,
    /// Largest non-NULL value.
    Max,
    /// First non-NULL value in arrival order.
    FirstValue,
    /// Last non-NULL value in arrival order.
    LastValue,
    /// Non-NULL texts joined by a separator (second argument, constant; default `,`).
    ListAgg,
    /// Multiset of the non-NULL values: a map from value to count.
    Collect,
    /// Array of the values in arrival order, NULLs kept.
    ArrayAgg,
    /// Population standard deviation.
    StddevPop,
    /// Sample standard deviation; NULL for one row.
    StddevSamp,
    /// Population variance.
    VarPop,
    /// Sample variance; NULL for one row.
    VarSamp,
    /// The only value; an error when there are two (scalar subqueries).
    SingleValue,
    /// JSON array of the values; NULLs left out.
    JsonArrayAgg,
    /// JSON array of the values; NULLs kept.
    JsonArrayAggNullOnNull,
    /// JSON object of key and value; NULL values kept.
    JsonObjectAgg,
    /// JSON object of key and value; NULL values left out.
    JsonObjectAggAbsentOnNull,
}

/// One aggregate of a query, bound to its input.
#[derive(Debug, Clone)]
pub struct AggregateCall {
    /// Which function.
    pub function: AggregateFunction,
    /// Arguments over the input of the aggregation.
    pub args: Vec<Arc<dyn PhysicalExpr>>,
    /// Only rows where this is true take part (`FILTER (WHERE …)`).
    pub filter: Option<Arc<dyn PhysicalExpr>>,
    /// Only the first of equal values takes part.
    pub distinct: bool,
    /// True when the input may take rows back; MIN and MAX then remember all values.
    pub retractable: bool,
    /// Name and type of the result.
    pub field: FieldRef,
}

/// The rows of one batch as an aggregate sees them.
#[derive(Debug, Clone, Copy)]
pub struct AggregateInput<'a> {
    /// Group of each row, below the size last given to `resize`.
    pub groups: &'a [usize],
    /// Argument columns, evaluated; as many rows as `groups`.
    pub args: &'a [ArrayRef],
    /// Rows that take part; None means all. Without NULLs.
    pub filter: Option<&'a BooleanArray>,
    /// Rows that are taken back; None means that none is.
    pub retractions: Option<&'a [bool]>,
}

/// The state of one aggregate for all groups, in columns.
pub trait Aggregate: Send {
    /// Makes room for groups `0 .. groups`; new ones are empty.
    fn resize(&mut self, groups: usize);

    /// Adds and takes back rows.
    fn update(&mut self, input: AggregateInput<'_>) -> Result<()>;

    /// The results of `groups`, in that order. Reading changes nothing.
    fn evaluate(&self, groups: &[usize]) -> Result<ArrayRef>;

    /// Columns of a snapshot, one or more, named within this aggregate.
    fn state_fields(&self) -> Vec<FieldRef>;

    /// The state of `groups`, in that order: as many columns as `state_fields`.
    fn state(&self, groups: &[usize]) -> Result<Vec<ArrayRef>>;

    /// Adds stored or partial state: row i belongs to group `groups[i]`. Merging into an empty group restores it;
    /// merging panes of a window adds them up.
    fn merge(&mut self, groups: &[usize], state: &[ArrayRef]) -> Result<()>;

    /// Empties `groups`, so that their slots can be used again.
    fn clear(&mut self, groups: &[usize]);

    /// Approximate bytes of memory held.
    fn memory_bytes(&self) -> usize;
}
