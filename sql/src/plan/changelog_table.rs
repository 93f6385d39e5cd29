//! `TO_CHANGELOG` and `FROM_CHANGELOG`: the node of a plan that makes changes rows, or rows changes.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{DFSchema, DFSchemaRef, Result, TableReference, plan_err};
use datafusion_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};

/// Where the operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// It is put before the input's columns: `TO_CHANGELOG`.
    Append,
    /// It is this column of the input, which goes: `FROM_CHANGELOG`.
    Column(usize),
}

/// A table of changes, made or read. Needs all columns of its input, and nothing is pushed below it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ChangelogTable {
    /// The table.
    pub input: LogicalPlan,
    /// Where the operation is.
    pub operation: Operation,
    /// Name of the column with the operation.
    name: String,
    schema: DFSchemaRef,
}

impl ChangelogTable {
    /// Changes of `input` as rows, what they did in a column `name`.
    pub fn to_changelog(input: LogicalPlan, name: &str) -> Result<Self> {
        Self::try_new(input, Operation::Append, name.to_string())
    }

    /// Rows of `input` as changes, by its column `name`.
    pub fn from_changelog(input: LogicalPlan, name: &str) -> Result<Self> {
        let Some(index) = input.schema().index_of_column_by_name(None, name) else {
            return plan_err!("column '{name}' of the descriptor is not in the table");
        };
        if input.schema().field(index).data_type() != &DataType::Utf8 {
            return plan_err!("FROM_CHANGELOG needs a STRING column for the operation, '{name}' is none");
        }
        Self::try_new(input, Operation::Column(index), name.to_string())
    }

    fn try_new(input: LogicalPlan, operation: Operation, name: String) -> Result<Self> {
        let mut fields: Vec<(Option<TableReference>, FieldRef)> =
            input.schema().iter().map(|(_, field)| (None, Arc::new(super::attributes::unmarked(field)))).collect();
        match operation {
            Operation::Append => fields.insert(0, (None, Arc::new(Field::new(&name, DataType::Utf8, true)))),
            Operation::Column(index) => {
                fields.remove(index);
            }
        }
        let schema = Arc::new(DFSchema::new_with_metadata(fields, HashMap::new())?);
        Ok(ChangelogTable { input, operation, name, schema })
    }

    /// As a plan.
    pub fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }
}

impl UserDefinedLogicalNodeCore for ChangelogTable {
    fn name(&self) -> &str {
        "ChangelogTable"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn prevent_predicate_push_down_columns(&self) -> std::collections::HashSet<String> {
        self.schema.fields().iter().map(|field| field.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "ChangelogTable: {}", self.name)
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        match (inputs.pop(), inputs.is_empty()) {
            (Some(input), true) => Self::try_new(input, self.operation, self.name.clone()),
            _ => plan_err!("a changelog function has one input"),
        }
    }
}

impl PartialOrd for ChangelogTable {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}
