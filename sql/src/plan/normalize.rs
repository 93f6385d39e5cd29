//! Changelog normalization as a node of DataFusion's plans: an upsert table, as it is read, becomes the exact changelog
//! that every other node expects.
//!
//! The node stands on top of a table's plan (scan, computed columns, watermark), so that what is below it is part of the
//! scan and everything that a query does lies above. Nothing is pushed below it: a filter there would hide that a row
//! has changed. Columns that nobody reads are left out, except those of the key.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion_common::{Column, DFSchemaRef, Result, plan_err};
use datafusion_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};

use super::lower::{as_column, bind_all};
use super::stream_plan::{Expression, StreamPlan};
use crate::error::SqlError;

/// Remembers the last row per key of a table whose changes are upserts, or may come twice.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Normalize {
    /// The table as it is read.
    pub input: LogicalPlan,
    /// The primary key, columns of the input.
    pub key: Vec<Expr>,
}

impl Normalize {
    /// `input` by its columns called `key`.
    pub fn try_new(input: LogicalPlan, key: &[String]) -> Result<Self> {
        let column = |name: &String| match input.schema().index_of_column_by_name(None, name) {
            Some(index) => Ok(Expr::Column(Column::from(input.schema().qualified_field(index)))),
            None => plan_err!("the key column '{name}' is not in the table"),
        };
        let key = key.iter().map(column).collect::<Result<Vec<_>>>()?;
        Ok(Normalize { input, key })
    }

    /// As a plan.
    pub fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }

    /// The streaming plan over `input`, which is this node's input lowered; `schema` is the output.
    pub(super) fn lower(&self, input: StreamPlan, schema: SchemaRef) -> crate::error::Result<StreamPlan> {
        let key = bind_all(&self.key, self.input.schema())?
            .iter()
            .map(|column| as_column(column).ok_or_else(|| SqlError::internal("a primary key consists of columns")))
            .collect::<crate::error::Result<_>>()?;
        Ok(StreamPlan::ChangelogNormalize { input: Box::new(key_only_rows(input)), key, schema })
    }
}

/// `plan`, a table as it is read, with schemas that allow for deletions which hold nothing but the key.
pub(super) fn key_only_rows(plan: StreamPlan) -> StreamPlan {
    match plan {
        StreamPlan::Scan(mut scan) => {
            scan.schema = match &scan.project {
                None => Arc::clone(&scan.read_schema),
                Some(expressions) => relaxed(&scan.schema, expressions, &scan.read_schema),
            };
            StreamPlan::Scan(scan)
        }
        StreamPlan::Project { input, expressions, schema } => {
            let input = key_only_rows(*input);
            let schema = relaxed(&schema, &expressions, &input.schema());
            StreamPlan::Project { input: Box::new(input), expressions, schema }
        }
        other => other,
    }
}

/// `schema` of `expressions`, nullable but for columns that `input` knows not to be.
fn relaxed(schema: &Schema, expressions: &[Expression], input: &Schema) -> SchemaRef {
    let is_nullable = |e: &Expression| as_column(e).is_none_or(|index| input.field(index).is_nullable());
    let fields = schema.fields().iter().zip(expressions);
    Arc::new(Schema::new(fields.map(|(f, e)| f.as_ref().clone().with_nullable(is_nullable(e))).collect::<Vec<Field>>()))
}

impl UserDefinedLogicalNodeCore for Normalize {
    fn name(&self) -> &str {
        "Normalize"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        self.key.clone()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let key: Vec<String> = self.key.iter().map(ToString::to_string).collect();
        write!(f, "Normalize: key=[{}]", key.join(", "))
    }

    fn with_exprs_and_inputs(&self, key: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        match (inputs.pop(), inputs.is_empty()) {
            (Some(input), true) => Ok(Normalize { input, key }),
            _ => plan_err!("a table is normalized by itself"),
        }
    }

    fn necessary_children_exprs(&self, output: &[usize]) -> Option<Vec<Vec<usize>>> {
        // DataFusion adds the columns of the expressions, here the key.
        Some(vec![output.to_vec()])
    }
}

impl PartialOrd for Normalize {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}
