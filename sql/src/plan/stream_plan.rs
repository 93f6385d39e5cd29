//! The streaming plan: what the dataflow will do, with expressions bound to column numbers, before it is decided how it
//! is spread over subtasks and which rows of an update each edge carries.
//!
//! A plan is a tree that owns its inputs; every node knows its output schema. `Display` is what EXPLAIN prints.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, SchemaRef};
use datafusion_physical_expr::PhysicalExpr;
use eddyline_engine::aggregate::AggregateCall;
use eddyline_engine::connector::{SourceChanges, TableSource};

use eddyline_engine::window::WindowKind;

use super::nodes::describe_window;

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
    /// Name and options; scans of one identity and the same columns can share a reader.
    pub identity: String,
    /// Names of the primary key columns, as declared.
    pub primary_key: Vec<String>,
    /// The connector, ready.
    pub source: TableSource,
    /// Columns that the connector gives.
    pub read_schema: SchemaRef,
    /// Computed columns: the output in terms of the read columns; None when they are the same.
    pub project: Option<Vec<Expression>>,
    /// Watermarks, if declared.
    pub watermark: Option<Watermark>,
    /// Output columns.
    pub schema: SchemaRef,
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

    fn names(&self, columns: &[usize]) -> String {
        let schema = self.schema();
        columns.iter().map(|c| schema.field(*c).name().as_str()).collect::<Vec<_>>().join(", ")
    }

    fn select(fields: &SchemaRef, expressions: &[Expression]) -> String {
        let item = |(e, f): (&Expression, &FieldRef)| {
            let text = e.to_string();
            let bare = text.split('@').next().unwrap_or_default().to_string();
            if bare == *f.name() { bare } else { format!("{} AS {}", plain(&text), f.name()) }
        };
        expressions.iter().zip(fields.fields()).map(item).collect::<Vec<_>>().join(", ")
    }

    /// The node in Flink's words: `GroupAggregate(groupBy=[word], select=[word, COUNT(*) AS cnt])`.
    pub fn describe(&self) -> String {
        match self {
            StreamPlan::Scan(scan) => describe_scan(scan),
            StreamPlan::Values { rows } => format!("Values(rows=[{}])", rows.num_rows()),
            StreamPlan::Project { expressions, schema, .. } => {
                format!("Calc(select=[{}])", StreamPlan::select(schema, expressions))
            }
            StreamPlan::Filter { predicate, .. } => format!("Calc(where=[{}])", plain(&predicate.to_string())),
            StreamPlan::Unnest { collection, outer, .. } => {
                let kind = if *outer { "LEFT" } else { "INNER" };
                format!("Unnest(collection=[{}], joinType=[{kind}])", plain(&collection.to_string()))
            }
            StreamPlan::Expand { projections, .. } => format!("Expand(sets=[{}])", projections.len()),
            StreamPlan::WindowAssign { kind, .. } => format!("WindowTableFunction(window=[{}])", describe_window(kind)),
            StreamPlan::ChangelogNormalize { input, key, .. } => {
                format!("ChangelogNormalize(key=[{}])", input.names(key))
            }
            StreamPlan::CurrentWatermark { .. } => "Calc(select=[*, CURRENT_WATERMARK])".to_string(),
            StreamPlan::ToChangelog { .. } => "ToChangelog".to_string(),
            StreamPlan::FromChangelog { .. } => "FromChangelog".to_string(),
            StreamPlan::GroupAggregate(a) => {
                let keys = a.input.names(&a.keys);
                if a.window_end.is_some() {
                    let select = select_aggregates(&keys, &a.calls);
                    return format!("WindowAggregate(groupBy=[{keys}], window=[attached], select=[{select}])");
                }
                format!("GroupAggregate(groupBy=[{keys}], select=[{}])", select_aggregates(&keys, &a.calls))
            }
            StreamPlan::WindowAggregate(a) => {
                let keys = a.input.names(&a.keys);
                let select = select_aggregates(&keys, &a.calls);
                format!("WindowAggregate(groupBy=[{keys}], window=[{}], select=[{select}])", describe_window(&a.kind))
            }
            StreamPlan::Join(join) => describe_join(join),
            StreamPlan::Deduplicate { input, keys, keep_last, order } => format!(
                "Deduplicate(keep=[{}Row], key=[{}], order=[{}])",
                if *keep_last { "Last" } else { "First" },
                input.names(keys),
                if order.is_some() { "ROWTIME" } else { "PROCTIME" }
            ),
            StreamPlan::Union { inputs, .. } => format!("Union(all=[true], inputs=[{}])", inputs.len()),
        }
    }

    fn write_tree(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        if depth == 0 {
            writeln!(f, "{}", self.describe())?;
        } else {
            writeln!(f, "{}+- {}", "   ".repeat(depth - 1), self.describe())?;
        }
        self.inputs().iter().try_for_each(|input| input.write_tree(f, depth + 1))
    }
}

fn describe_scan(scan: &Scan) -> String {
    let fields: Vec<&str> = scan.read_schema.fields().iter().map(|f| f.name().as_str()).collect();
    let mut text = format!("TableSourceScan(table=[[{}]], fields=[{}]", scan.table, fields.join(", "));
    if let Some(watermark) = &scan.watermark {
        let column = scan.schema.field(watermark.column).name();
        text.push_str(&format!(", rowtime=[{column}], watermark=[{}]", plain(&watermark.expression.to_string())));
    }
    text.push_str(match scan.source.changes {
        SourceChanges::Append => "",
        SourceChanges::Upsert => ", changelogMode=[UA,D]",
        SourceChanges::Retract => ", changelogMode=[I,UB,UA,D]",
    });
    text.push(')');
    text
}

fn describe_join(join: &Join) -> String {
    let (left, right) = (join.left.schema(), join.right.schema());
    let on: Vec<String> =
        join.on.iter().map(|(l, r)| format!("{} = {}", left.field(*l).name(), right.field(*r).name())).collect();
    let kind = format!("{:?}Join", join.kind);
    format!("Join(joinType=[{kind}], where=[{}])", on.join(" AND "))
}

fn select_aggregates(keys: &str, calls: &[AggregateCall]) -> String {
    let call = |c: &AggregateCall| {
        let args = match c.args.as_slice() {
            [] => "*".to_string(),
            some => some.iter().map(|a| plain(&a.to_string())).collect::<Vec<_>>().join(", "),
        };
        let name = format!("{:?}", c.function).to_uppercase();
        let distinct = if c.distinct { "DISTINCT " } else { "" };
        let filter = c.filter.as_ref().map(|f| format!(" FILTER {}", plain(&f.to_string()))).unwrap_or_default();
        format!("{name}({distinct}{args}){filter} AS {}", c.field.name())
    };
    let keys = (!keys.is_empty()).then(|| keys.to_string());
    keys.into_iter().chain(calls.iter().map(call)).collect::<Vec<_>>().join(", ")
}

/// A bound expression without the column numbers (`word@3` → `word`).
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        if digits == 0 {
            out.push('@');
        }
        rest = &after[digits..];
    }
    out.push_str(rest);
    out
}

impl fmt::Display for StreamPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_tree(f, 0)
    }
}
