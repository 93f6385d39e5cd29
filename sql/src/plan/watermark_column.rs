//! `CURRENT_WATERMARK(ts)` in a plan: an operator that sees watermarks appends a column, and the call becomes that column.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_physical_expr::ScalarFunctionExpr;

use super::lower::column;
use super::stream_plan::{Expression, StreamPlan};
use crate::error::Result;

/// Gives `input` a column for the current watermark if `expressions` ask for it.
pub(super) fn with_watermark(input: StreamPlan, expressions: Vec<Expression>) -> Result<(StreamPlan, Vec<Expression>)> {
    let below = input.schema();
    let mut data_type = None;
    for expression in &expressions {
        expression.apply(|node| {
            if is_watermark(node) {
                data_type = Some(node.data_type(&below)?);
            }
            Ok(datafusion_common::tree_node::TreeNodeRecursion::Continue)
        })?;
    }
    let Some(data_type) = data_type else { return Ok((input, expressions)) };
    let mut fields: Vec<_> = below.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("$watermark", data_type, true)));
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let watermark = column(&schema, below.fields().len());
    let replaced = expressions.into_iter().map(|expression| {
        let replaced = expression.transform_up(|node| {
            Ok(if is_watermark(&node) { Transformed::yes(Arc::clone(&watermark)) } else { Transformed::no(node) })
        })?;
        Ok(replaced.data)
    });
    let expressions = replaced.collect::<Result<Vec<_>>>()?;
    Ok((StreamPlan::CurrentWatermark { input: Box::new(input), schema }, expressions))
}

fn is_watermark(expression: &Expression) -> bool {
    expression.downcast_ref::<ScalarFunctionExpr>().is_some_and(|call| call.name() == "current_watermark")
}
