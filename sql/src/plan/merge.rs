//! Projections that lie on each other become one, and those that change nothing go.
//!
//! The lower one must only choose columns: expressions are computed where they stand, so that none is computed twice.

use std::sync::Arc;

use super::lower::{as_column, map_columns};
use super::stream_plan::{Expression, StreamPlan};
use crate::error::Result;

/// `plan` with as few projections as its expressions need.
pub fn merge_projections(mut plan: StreamPlan) -> Result<StreamPlan> {
    for input in plan.inputs_mut() {
        let own = std::mem::replace(input, StreamPlan::Union { inputs: Vec::new(), schema: input.schema() });
        *input = merge_projections(own)?;
    }
    let StreamPlan::Project { input, expressions, schema } = plan else { return Ok(plan) };
    let (input, expressions) = match *input {
        StreamPlan::Project { input, expressions: below, .. } if below.iter().all(|e| as_column(e).is_some()) => {
            let through = |e: &Expression| map_columns(e, &|i| below.get(i).cloned());
            (input, expressions.iter().map(through).collect::<Result<_>>()?)
        }
        other => (Box::new(other), expressions),
    };
    let same_columns = expressions.iter().map(as_column).eq((0..input.schema().fields().len()).map(Some));
    let own = input.schema();
    let same_names = own.fields().iter().zip(schema.fields()).all(|(a, b)| a.name() == b.name());
    if same_columns && same_names {
        return Ok(*input);
    }
    Ok(StreamPlan::Project { input, expressions, schema: Arc::clone(&schema) })
}
