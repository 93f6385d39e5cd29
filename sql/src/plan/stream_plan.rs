//! The streaming plan: what the dataflow will do, with expressions bound to column numbers, before it is decided how it
//! is spread over subtasks and which rows of an update each edge carries.
//!
//! A plan is a tree that owns its inputs; every node knows its output schema. `describe` and `explain` print it.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion_physical_expr::PhysicalExpr;
use eddyline_engine::aggregate::AggregateCall;
use eddyline_engine::connector::TableSource;

use eddyline_engine::window::WindowKind;

use super::expression_text::text;
use super::source::TableRelation;

/// A bound expression.
pub type Expression = Arc<dyn PhysicalExpr>;

/// How event time advances in a scan.
#[derive(Clone)]
pub struct Watermark {
    /// Time attribute, a column of the scan's output.
    pub column: usize,
    /// Watermark over the scan's output.
    pub expression: Expression,
}

/// Reads a table.
#[derive(Clone)]
pub struct Scan {
    /// Qualified name.
    pub table: String,
    /// The table itself; scans of equal tables are made one.
    pub relation: TableRelation,
    /// The connector, ready.
    pub source: TableSource,
    /// Which columns of the table the connector gives.
    pub read_columns: Vec<usize>,
    /// The columns that the connector gives.
    pub read_schema: SchemaRef,
    /// Computed columns: the output in terms of the read columns; None when they are the same.
    pub project: Option<Vec<Expression>>,
    /// Watermarks, if declared.
    pub watermark: Option<Watermark>,
    /// Output columns.
    pub schema: SchemaRef,
}

impl Scan {
    /// True when one reader can serve both: the same table, options and watermarks; the columns may differ.
    pub fn reads_same(&self, other: &Scan) -> bool {
        let watermark = |scan: &Scan| scan.watermark.as_ref().map(|watermark| text(&watermark.expression));
        self.relation.is_same(&other.relation) && watermark(self) == watermark(other)
    }
}

/// Groups rows and keeps a running result per group.
#[derive(Clone)]
pub struct GroupAggregate {
    /// Input.
    pub input: Box<StreamPlan>,
    /// Key columns of the input.
    pub keys: Vec<usize>,
    /// Aggregates over the input.
    pub calls: Vec<AggregateCall>,
    /// Which of the keys is the end of a window that the rows bring along: then there is one result per group, when
    /// the window closes.
    pub window_end: Option<usize>,
    /// Keys, then results.
    pub schema: SchemaRef,
}

/// Which time a window aggregate follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowTime {
    /// Event time in this column of the input.
    Event(usize),
    /// The machine's time.
    Processing,
}

/// Groups rows per window and gives one result when the window closes.
#[derive(Clone)]
pub struct WindowAggregate {
    /// Input, without window columns.
    pub input: Box<StreamPlan>,
    /// Key columns of the input.
    pub keys: Vec<usize>,
    /// Aggregates over the input.
    pub calls: Vec<AggregateCall>,
    /// The time.
    pub time: WindowTime,
    /// The windows.
    pub kind: WindowKind,
    /// Their shift, in microseconds.
    pub offset: i64,
    /// Keys, results, `window_start`, `window_end`, `window_time`.
    pub schema: SchemaRef,
}

/// How two inputs are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    /// Pairs only.
    Inner,
    /// Pairs, and left rows without a partner.
    Left,
    /// Pairs, and right rows without a partner.
    Right,
    /// Pairs, and all rows without a partner.
    Full,
    /// Left rows with a partner.
    Semi,
    /// Left rows without a partner.
    Anti,
}

/// Joins two changelogs on equal keys.
#[derive(Clone)]
pub struct Join {
    /// Left input.
    pub left: Box<StreamPlan>,
    /// Right input.
    pub right: Box<StreamPlan>,
    /// Which rows.
    pub kind: JoinKind,
    /// Pairs of key columns, left and right.
    pub on: Vec<(usize, usize)>,
    /// True when NULL keys are equal to each other (`IS NOT DISTINCT FROM`).
    pub null_equals_null: bool,
    /// Further condition over left columns followed by right columns.
    pub condition: Option<Expression>,
    /// Left columns and right columns; left columns only for semi and anti joins.
    pub schema: SchemaRef,
}

/// One step of a streaming plan.
#[derive(Clone)]
pub enum StreamPlan {
    /// Reads a table.
    Scan(Box<Scan>),
    /// A fixed set of rows.
    Values {
        /// The rows.
        rows: RecordBatch,
    },
    /// Computes columns.
    Project {
        /// Input.
        input: Box<StreamPlan>,
        /// One expression per output column.
        expressions: Vec<Expression>,
        /// Output columns.
        schema: SchemaRef,
    },
    /// Keeps rows.
    Filter {
        /// Input.
        input: Box<StreamPlan>,
        /// Which rows stay.
        predicate: Expression,
    },
    /// One row per element.
    Unnest {
        /// Input.
        input: Box<StreamPlan>,
        /// The array or map.
        collection: Expression,
        /// Keep rows without elements.
        outer: bool,
        /// Append the ordinal.
        ordinality: bool,
        /// Input columns, element columns.
        schema: SchemaRef,
    },
    /// One row per grouping set, with a number that tells them apart.
    Expand {
        /// Input.
        input: Box<StreamPlan>,
        /// One projection per grouping set, each with as many expressions as output columns.
        projections: Vec<Vec<Expression>>,
        /// Output columns.
        schema: SchemaRef,
    },
    /// Makes an exact changelog of an upsert stream.
    ChangelogNormalize {
        /// Input, whose deletions may hold nothing but the key.
        input: Box<StreamPlan>,
        /// Key columns.
        key: Vec<usize>,
        /// Input columns, as whole rows have them.
        schema: SchemaRef,
    },
    /// Appends the current watermark.
    CurrentWatermark {
        /// Input.
        input: Box<StreamPlan>,
        /// Input columns, the watermark.
        schema: SchemaRef,
    },
    /// Makes every change a row.
    ToChangelog {
        /// Input.
        input: Box<StreamPlan>,
        /// The operation, input columns.
        schema: SchemaRef,
    },
    /// Makes every row the change that it names.
    FromChangelog {
        /// Input.
        input: Box<StreamPlan>,
        /// Input column with the operation.
        operation: usize,
        /// The other input columns.
        schema: SchemaRef,
    },
    /// The window table function itself.
    WindowAssign {
        /// Input.
        input: Box<StreamPlan>,
        /// The time.
        time: WindowTime,
        /// The windows.
        kind: WindowKind,
        /// Their shift, in microseconds.
        offset: i64,
        /// Input columns, `window_start`, `window_end`, `window_time`.
        schema: SchemaRef,
    },
    /// Running groups.
    GroupAggregate(GroupAggregate),
    /// Windowed groups.
    WindowAggregate(WindowAggregate),
    /// Two inputs on equal keys.
    Join(Join),
    /// First or last row per key.
    Deduplicate {
        /// Input.
        input: Box<StreamPlan>,
        /// Key columns.
        keys: Vec<usize>,
        /// Event-time column to order by; None is order of arrival.
        order: Option<usize>,
        /// True keeps the last row, false the first.
        keep_last: bool,
    },
    /// All rows of all inputs.
    Union {
        /// Inputs.
        inputs: Vec<StreamPlan>,
        /// Output columns.
        schema: SchemaRef,
    },
}

impl StreamPlan {
    /// Output columns.
    pub fn schema(&self) -> SchemaRef {
        match self {
            StreamPlan::Scan(scan) => Arc::clone(&scan.schema),
            StreamPlan::Values { rows } => rows.schema(),
            StreamPlan::Filter { input, .. } | StreamPlan::Deduplicate { input, .. } => input.schema(),
            StreamPlan::Project { schema, .. }
            | StreamPlan::Unnest { schema, .. }
            | StreamPlan::Expand { schema, .. }
            | StreamPlan::ChangelogNormalize { schema, .. }
            | StreamPlan::CurrentWatermark { schema, .. }
            | StreamPlan::ToChangelog { schema, .. }
            | StreamPlan::FromChangelog { schema, .. }
            | StreamPlan::WindowAssign { schema, .. }
            | StreamPlan::GroupAggregate(GroupAggregate { schema, .. })
            | StreamPlan::WindowAggregate(WindowAggregate { schema, .. })
            | StreamPlan::Join(Join { schema, .. })
            | StreamPlan::Union { schema, .. } => Arc::clone(schema),
        }
    }

    /// Inputs, from left to right.
    pub fn inputs(&self) -> Vec<&StreamPlan> {
        match self {
            StreamPlan::Scan(_) | StreamPlan::Values { .. } => Vec::new(),
            StreamPlan::Project { input, .. }
            | StreamPlan::Filter { input, .. }
            | StreamPlan::Unnest { input, .. }
            | StreamPlan::Expand { input, .. }
            | StreamPlan::ChangelogNormalize { input, .. }
            | StreamPlan::CurrentWatermark { input, .. }
            | StreamPlan::ToChangelog { input, .. }
            | StreamPlan::FromChangelog { input, .. }
            | StreamPlan::WindowAssign { input, .. }
            | StreamPlan::Deduplicate { input, .. }
            | StreamPlan::GroupAggregate(GroupAggregate { input, .. })
            | StreamPlan::WindowAggregate(WindowAggregate { input, .. }) => vec![input],
            StreamPlan::Join(join) => vec![&join.left, &join.right],
            StreamPlan::Union { inputs, .. } => inputs.iter().collect(),
        }
    }

    /// Inputs, from left to right, to be changed.
    pub fn inputs_mut(&mut self) -> Vec<&mut StreamPlan> {
        match self {
            StreamPlan::Scan(_) | StreamPlan::Values { .. } => Vec::new(),
            StreamPlan::Project { input, .. }
            | StreamPlan::Filter { input, .. }
            | StreamPlan::Unnest { input, .. }
            | StreamPlan::Expand { input, .. }
            | StreamPlan::ChangelogNormalize { input, .. }
            | StreamPlan::CurrentWatermark { input, .. }
            | StreamPlan::ToChangelog { input, .. }
            | StreamPlan::FromChangelog { input, .. }
            | StreamPlan::WindowAssign { input, .. }
            | StreamPlan::Deduplicate { input, .. }
            | StreamPlan::GroupAggregate(GroupAggregate { input, .. })
            | StreamPlan::WindowAggregate(WindowAggregate { input, .. }) => vec![input],
            StreamPlan::Join(join) => vec![&mut join.left, &mut join.right],
            StreamPlan::Union { inputs, .. } => inputs.iter_mut().collect(),
        }
    }

    /// True when reading ends by itself.
    pub fn is_bounded(&self) -> bool {
        match self {
            StreamPlan::Scan(scan) => scan.source.bounded,
            other => other.inputs().iter().all(|i| i.is_bounded()),
        }
    }

    /// Names of all tables read, in order of appearance.
    pub fn tables(&self) -> Vec<String> {
        match self {
            StreamPlan::Scan(scan) => vec![scan.table.clone()],
            other => other.inputs().iter().flat_map(|i| i.tables()).collect(),
        }
    }
}
