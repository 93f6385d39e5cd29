//! Group aggregation: keeps one running result per key and emits how it changes, net per batch.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, SchemaRef};
use datafusion_physical_expr::PhysicalExpr;

use crate::aggregate::AggregateCall;
use crate::changelog::ChangelogBatch;
use crate::error::{Error, Result};
use crate::operator::{Operator, Output};

/// What a [`GroupAggregate`] computes.
#[derive(Debug, Clone)]
pub struct GroupAggregateSpec {
    /// Columns of the input.
    pub input: SchemaRef,
    /// Group keys over the input; none is one global group.
    pub keys: Vec<Arc<dyn PhysicalExpr>>,
    /// Name and type of each key, for the state.
    pub key_fields: Vec<FieldRef>,
    /// Aggregates; none is SELECT DISTINCT.
    pub calls: Vec<AggregateCall>,
    /// Output: the keys, then the aggregates.
    pub schema: SchemaRef,
    /// Whether consumers need `-U` rows; an upsert sink on the same key does not.
    pub update_before: bool,
    /// Whether the input may take rows back.
    pub input_retracts: bool,
}

/// `GROUP BY` on a changelog.
pub struct GroupAggregate {
    spec: GroupAggregateSpec,
}

impl GroupAggregate {
    /// An aggregation without groups; an error when an aggregate does not take its arguments.
    pub fn new(spec: GroupAggregateSpec) -> Result<Self> {
        Ok(GroupAggregate { spec })
    }
}

impl Operator for GroupAggregate {
    fn on_batch(&mut self, _port: usize, _batch: ChangelogBatch, _out: &mut Output) -> Result<()> {
        let _ = &self.spec;
        Err(Error::internal("not there yet"))
    }
}
