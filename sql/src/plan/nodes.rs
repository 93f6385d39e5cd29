//! The relational nodes that streaming SQL needs and DataFusion does not have, as extensions of its logical plan.
//!
//! All three append columns to their input (or none): [`Unnest`] one row per array element, [`WindowAssign`] the bounds
//! of the row's windows, [`WatermarkAssign`] nothing, it only says how event time advances. Their schemas are derived
//! from the input anew whenever the optimizer narrows it.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{DFSchema, DFSchemaRef, Result, TableReference, plan_err};
use datafusion_expr::{Expr, ExprSchemable, Extension, LogicalPlan, UserDefinedLogicalNodeCore};

use eddyline_engine::window::WindowKind;

use super::attributes;

/// A column that a node adds: its qualifier, and the field.
type Added = (Option<TableReference>, FieldRef);

fn append(input: &LogicalPlan, added: &[Added]) -> Result<DFSchemaRef> {
    let mut fields: Vec<Added> =
        input.schema().iter().map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field))).collect();
    fields.extend(added.iter().cloned());
    Ok(Arc::new(DFSchema::new_with_metadata(fields, HashMap::new())?))
}

fn one<T>(mut items: Vec<T>, what: &str) -> Result<T> {
    match (items.pop(), items.is_empty()) {
        (Some(item), true) => Ok(item),
        _ => plan_err!("a node of this kind has exactly one {what}"),
    }
}

/// Which of the input's columns are needed for `output` of a node that appends columns to `width` input columns.
fn passed_through(output: &[usize], width: usize) -> Option<Vec<Vec<usize>>> {
    Some(vec![output.iter().copied().filter(|i| *i < width).collect()])
}

/// `CROSS JOIN UNNEST(expr) AS t(a, …)`: each input row once per element of an array or map, with the element (fields
/// of a row element one by one) and maybe its ordinal appended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Unnest {
    /// What is unnested into.
    pub input: LogicalPlan,
    /// The array or map, over the input.
    pub collection: Expr,
    /// True for LEFT JOIN: a row without elements stays, with NULLs.
    pub outer: bool,
    /// True WITH ORDINALITY.
    pub ordinality: bool,
    added: Vec<Added>,
    schema: DFSchemaRef,
}

impl Unnest {
    /// A node; `alias` and `names` come from `AS t(a, …)` and may be missing.
    pub fn try_new(
        input: LogicalPlan,
        collection: Expr,
        outer: bool,
        ordinality: bool,
        alias: Option<TableReference>,
        names: &[String],
    ) -> Result<Self> {
        let mut fields = element_fields(&collection.get_type(input.schema())?)?;
        if ordinality {
            fields.push(Field::new("ORDINALITY", DataType::Int32, outer));
        }
        if !names.is_empty() && names.len() != fields.len() {
            return plan_err!("UNNEST gives {} columns, the alias names {}", fields.len(), names.len());
        }
        let added: Vec<Added> = fields
            .into_iter()
            .enumerate()
            .map(|(i, field)| {
                let name = names.get(i).cloned().unwrap_or_else(|| field.name().clone());
                let nullable = field.is_nullable() || outer;
                (alias.clone(), Arc::new(field.with_name(name).with_nullable(nullable)))
            })
            .collect();
        let schema = append(&input, &added)?;
        Ok(Unnest { input, collection, outer, ordinality, added, schema })
    }

    /// As a plan.
    pub fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }
}

fn element_fields(collection: &DataType) -> Result<Vec<Field>> {
    match collection {
        DataType::List(item) => Ok(match item.data_type() {
            DataType::Struct(fields) => {
                fields.iter().map(|f| f.as_ref().clone().with_nullable(f.is_nullable() || item.is_nullable())).collect()
            }
            _ => vec![item.as_ref().clone().with_name("EXPR$0")],
        }),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => Ok(fields.iter().map(|f| f.as_ref().clone()).collect()),
            other => plan_err!("a map without entries: {other}"),
        },
        other => plan_err!("UNNEST needs an ARRAY, MAP or MULTISET, not {other}"),
    }
}

impl UserDefinedLogicalNodeCore for Unnest {
    fn name(&self) -> &str {
        "Unnest"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![self.collection.clone()]
    }

    fn prevent_predicate_push_down_columns(&self) -> std::collections::HashSet<String> {
        self.added.iter().map(|(_, field)| field.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Unnest: {}", self.collection)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let input = one(inputs, "input")?;
        let schema = append(&input, &self.added)?;
        Ok(Unnest { input, collection: one(exprs, "expression")?, schema, ..self.clone() })
    }

    fn necessary_children_exprs(&self, output: &[usize]) -> Option<Vec<Vec<usize>>> {
        passed_through(output, self.input.schema().fields().len())
    }
}

/// A window as EXPLAIN prints it: `TUMBLE(size=[10000 ms])`.
pub fn describe_window(kind: &WindowKind) -> String {
    match kind {
        WindowKind::Tumble { size } => format!("TUMBLE(size=[{} ms])", size / 1000),
        WindowKind::Hop { slide, size } => format!("HOP(slide=[{} ms], size=[{} ms])", slide / 1000, size / 1000),
        WindowKind::Cumulate { step, size } => {
            format!("CUMULATE(step=[{} ms], size=[{} ms])", step / 1000, size / 1000)
        }
    }
}

/// `TUMBLE(TABLE t, DESCRIPTOR(ts), …)`: each row once per window it falls into, with `window_start`, `window_end` and
/// `window_time` appended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WindowAssign {
    /// The table.
    pub input: LogicalPlan,
    /// The time attribute, a column of the input.
    pub time: Expr,
    /// Which windows.
    pub kind: WindowKind,
    /// Shift of all windows, in microseconds.
    pub offset: i64,
    added: Vec<Added>,
    schema: DFSchemaRef,
}

impl WindowAssign {
    /// A node over `input`, whose column `time` must be a time attribute.
    pub fn try_new(input: LogicalPlan, time: Expr, kind: WindowKind, offset: i64) -> Result<Self> {
        let (_, time_field) = time.to_field(input.schema())?;
        let bound = DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, None);
        let field = |name: &str, data_type: &DataType| Field::new(name, data_type.clone(), false);
        let added = vec![
            (None, Arc::new(attributes::with_window(field("window_start", &bound), attributes::WindowColumn::Start))),
            (None, Arc::new(attributes::with_window(field("window_end", &bound), attributes::WindowColumn::End))),
            (
                None,
                Arc::new(attributes::with_window(
                    attributes::copy_time(field("window_time", time_field.data_type()), &time_field),
                    attributes::WindowColumn::Time,
                )),
            ),
        ];
        let schema = append(&input, &added)?;
        Ok(WindowAssign { input, time, kind, offset, added, schema })
    }

    /// As a plan.
    pub fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }
}

impl UserDefinedLogicalNodeCore for WindowAssign {
    fn name(&self) -> &str {
        "WindowAssign"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![self.time.clone()]
    }

    fn prevent_predicate_push_down_columns(&self) -> std::collections::HashSet<String> {
        self.added.iter().map(|(_, field)| field.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "WindowAssign: {} on {}", describe_window(&self.kind), self.time)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let input = one(inputs, "input")?;
        let schema = append(&input, &self.added)?;
        Ok(WindowAssign { input, time: one(exprs, "expression")?, schema, ..self.clone() })
    }

    fn necessary_children_exprs(&self, output: &[usize]) -> Option<Vec<Vec<usize>>> {
        passed_through(output, self.input.schema().fields().len())
    }
}

/// `WATERMARK FOR column AS expression`: marks the time attribute of a table and says how event time advances.
/// Nothing is pushed below it, because every row that is read moves the watermark.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WatermarkAssign {
    /// The table's columns, computed ones included.
    pub input: LogicalPlan,
    /// The time attribute.
    pub column: Expr,
    /// The watermark.
    pub expression: Expr,
    schema: DFSchemaRef,
}

impl WatermarkAssign {
    /// A node over `input`.
    pub fn try_new(input: LogicalPlan, column: Expr, expression: Expr) -> Result<Self> {
        let schema = Self::mark(&input, &column)?;
        Ok(WatermarkAssign { input, column, expression, schema })
    }

    fn mark(input: &LogicalPlan, column: &Expr) -> Result<DFSchemaRef> {
        let Expr::Column(time) = column else { return plan_err!("a time attribute must be a column") };
        let at = input.schema().index_of_column(time)?;
        let fields: Vec<Added> = input
            .schema()
            .iter()
            .enumerate()
            .map(|(i, (qualifier, field))| {
                let field = if i == at { Arc::new(attributes::mark_rowtime(field)) } else { Arc::clone(field) };
                (qualifier.cloned(), field)
            })
            .collect();
        Ok(Arc::new(DFSchema::new_with_metadata(fields, HashMap::new())?))
    }

    /// As a plan.
    pub fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }
}

impl UserDefinedLogicalNodeCore for WatermarkAssign {
    fn name(&self) -> &str {
        "WatermarkAssign"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![self.column.clone(), self.expression.clone()]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "WatermarkAssign: rowtime=[{}], watermark=[{}]", self.column, self.expression)
    }

    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let input = one(inputs, "input")?;
        let (Some(expression), Some(column)) = (exprs.pop(), exprs.pop()) else {
            return plan_err!("a watermark has a column and an expression");
        };
        WatermarkAssign::try_new(input, column, expression)
    }

    fn necessary_children_exprs(&self, output: &[usize]) -> Option<Vec<Vec<usize>>> {
        passed_through(output, self.input.schema().fields().len())
    }
}

/// Orders nodes by kind only: DataFusion asks for an order it never needs.
macro_rules! unordered {
    ($($node:ty),*) => { $(
        impl PartialOrd for $node {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                (self == other).then_some(Ordering::Equal)
            }
        }
    )* };
}
unordered!(Unnest, WindowAssign, WatermarkAssign);
