//! What an aggregation computes, bound to its input, and what it takes from one batch.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, UInt32Array};
use arrow::compute::{prep_null_mask_filter, take};
use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion_common::cast::as_boolean_array;
use datafusion_physical_expr::PhysicalExpr;

use super::{Aggregate, AggregateCall, AggregateInput, create};
use crate::changelog::ChangelogBatch;
use crate::error::Result;

/// The keys and aggregates of an aggregation, with the types of their arguments.
#[derive(Debug, Clone)]
pub struct Grouping {
    keys: Vec<Arc<dyn PhysicalExpr>>,
    key_fields: Vec<FieldRef>,
    calls: Vec<AggregateCall>,
    arg_types: Vec<Vec<DataType>>,
}

impl Grouping {
    /// Binds keys (named and typed by `key_fields`) and calls to `input`; an error when an aggregate does not take its
    /// arguments.
    pub fn new(
        input: &Schema,
        keys: Vec<Arc<dyn PhysicalExpr>>,
        key_fields: Vec<FieldRef>,
        calls: Vec<AggregateCall>,
    ) -> Result<Self> {
        assert_eq!(keys.len(), key_fields.len(), "every key has a name and a type");
        let types = |call: &AggregateCall| call.args.iter().map(|arg| arg.data_type(input)).collect();
        let arg_types = calls.iter().map(types).collect::<datafusion_common::Result<Vec<Vec<DataType>>>>()?;
        let grouping = Grouping { keys, key_fields, calls, arg_types };
        grouping.aggregates()?;
        Ok(grouping)
    }

    /// Name and type of each key.
    pub fn key_fields(&self) -> &[FieldRef] {
        &self.key_fields
    }

    /// The aggregates.
    pub fn calls(&self) -> &[AggregateCall] {
        &self.calls
    }

    /// Empty state for each aggregate.
    pub fn aggregates(&self) -> Result<Vec<Box<dyn Aggregate>>> {
        self.calls.iter().zip(&self.arg_types).map(|(call, types)| create(call, types)).collect()
    }
}

/// The rows of one batch as an aggregation sees them: keys, arguments and filters, each evaluated once.
pub struct GroupingRows {
    rows: usize,
    keys: Vec<ArrayRef>,
    args: Vec<Vec<ArrayRef>>,
    filters: Vec<Option<BooleanArray>>,
    retractions: Option<Vec<bool>>,
}

impl GroupingRows {
    /// Evaluates the expressions of `grouping` over `batch`.
    pub fn evaluate(grouping: &Grouping, batch: &ChangelogBatch) -> Result<Self> {
        let evaluate = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(batch.rows())?.into_array(batch.len());
        let columns = |exprs: &[Arc<dyn PhysicalExpr>]| {
            exprs.iter().map(evaluate).collect::<datafusion_common::Result<Vec<ArrayRef>>>()
        };
        let mut rows = GroupingRows {
            rows: batch.len(),
            keys: columns(&grouping.keys)?,
            args: Vec::with_capacity(grouping.calls.len()),
            filters: Vec::with_capacity(grouping.calls.len()),
            retractions: batch.retractions(),
        };
        for call in &grouping.calls {
            rows.args.push(columns(&call.args)?);
            rows.filters.push(match &call.filter {
                Some(filter) => Some(without_nulls(as_boolean_array(&evaluate(filter)?)?)),
                None => None,
            });
        }
        Ok(rows)
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The key columns.
    pub fn keys(&self) -> &[ArrayRef] {
        &self.keys
    }

    /// Which rows are taken back; None when none is.
    pub fn retractions(&self) -> Option<&[bool]> {
        self.retractions.as_deref()
    }

    /// What aggregate `call` sees of the rows, which belong to `groups`.
    pub fn input<'a>(&'a self, call: usize, groups: &'a [usize]) -> AggregateInput<'a> {
        AggregateInput {
            groups,
            args: &self.args[call],
            filter: self.filters[call].as_ref(),
            retractions: self.retractions(),
        }
    }

    /// The rows at `indices`, in that order.
    pub fn take(&self, indices: &UInt32Array) -> Result<Self> {
        let columns = |columns: &[ArrayRef]| -> Result<Vec<ArrayRef>> {
            columns.iter().map(|column| Ok(take(column, indices, None)?)).collect()
        };
        let filter = |filter: &Option<BooleanArray>| -> Result<Option<BooleanArray>> {
            Ok(match filter {
                Some(filter) => Some(as_boolean_array(&take(filter, indices, None)?)?.clone()),
                None => None,
            })
        };
        let flags = |flags: &Vec<bool>| indices.values().iter().map(|row| flags[*row as usize]).collect();
        Ok(GroupingRows {
            rows: indices.len(),
            keys: columns(&self.keys)?,
            args: self.args.iter().map(|args| columns(args)).collect::<Result<_>>()?,
            filters: self.filters.iter().map(filter).collect::<Result<_>>()?,
            retractions: self.retractions.as_ref().map(flags),
        })
    }
}

fn without_nulls(filter: &BooleanArray) -> BooleanArray {
    use arrow::array::Array;
    if filter.null_count() > 0 { prep_null_mask_filter(filter) } else { filter.clone() }
}
