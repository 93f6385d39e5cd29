//! Types of whole relations: VALUES, set operations, join keys.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::{Column, DFSchema, Result, plan_err};
use datafusion_expr::logical_plan::Union;
use datafusion_expr::{Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder, Projection};

use super::coerce_expr;
use super::common::{common_type, comparison_type};
use crate::functions::Functions;
use crate::functions::cast::{CastMode, cast_expr};
use crate::functions::names::type_name;

/// VALUES with each column in the common type of its rows.
pub(super) fn values(plan: LogicalPlan, functions: &Functions) -> Result<LogicalPlan> {
    let LogicalPlan::Values(values) = plan else { return Ok(plan) };
    let empty = DFSchema::empty();
    let names: Vec<String> = values.schema.fields().iter().map(|f| f.name().clone()).collect();
    let mut rows = Vec::with_capacity(values.values.len());
    for row in values.values {
        // DataFusion has cast the rows to its own idea of a common type; ours starts from the values as written.
        let row = row.into_iter().map(|expr| coerce_expr(without_widening(expr), &empty, functions));
        rows.push(row.collect::<Result<Vec<_>>>()?);
    }
    let mode = CastMode { safe: false, zone: functions.environment.zone };
    for column in 0..names.len() {
        let types = rows.iter().map(|row| row[column].get_type(&empty)).collect::<Result<Vec<_>>>()?;
        let Some(common) = common_type(&types) else {
            let given: Vec<String> = types.iter().map(type_name).collect();
            return plan_err!("Values passed to VALUES operator must have compatible types: {}", given.join(", "));
        };
        for (row, from) in rows.iter_mut().zip(&types) {
            row[column] = cast_expr(row[column].clone(), from, &common, mode);
        }
    }
    let plan = LogicalPlanBuilder::values(rows)?;
    let renamed = plan.schema().columns().into_iter().zip(names).map(|(column, name)| {
        if column.name == name { Expr::Column(column) } else { Expr::Column(column).alias(name) }
    });
    let renamed: Vec<Expr> = renamed.collect();
    if renamed.iter().all(|e| matches!(e, Expr::Column(_))) {
        return plan.build();
    }
    plan.project(renamed)?.build()
}

/// A number literal under a cast that DataFusion put there.
fn without_widening(expr: Expr) -> Expr {
    match expr {
        Expr::Cast(cast)
            if cast.field.data_type().is_numeric()
                && matches!(&*cast.expr, Expr::Literal(value, _) if value.data_type().is_numeric()) =>
        {
            *cast.expr
        }
        other => other,
    }
}

/// `plan` with its columns cast to `types`, names kept.
pub(super) fn with_types(plan: LogicalPlan, types: &[DataType], functions: &Functions) -> Result<LogicalPlan> {
    let schema = plan.schema();
    if schema.fields().iter().zip(types).all(|(field, wanted)| field.data_type() == wanted) {
        return Ok(plan);
    }
    let mode = CastMode { safe: false, zone: functions.environment.zone };
    let columns = schema.iter().zip(types).map(|((qualifier, field), wanted)| {
        let column = Expr::Column(Column::from((qualifier, field)));
        if field.data_type() == wanted {
            return column;
        }
        cast_expr(column, field.data_type(), wanted, mode).alias_qualified(qualifier.cloned(), field.name())
    });
    let columns: Vec<Expr> = columns.collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?))
}

/// A set operation with the columns of its inputs in common types.
pub(super) fn union(union: Union, functions: &Functions) -> Result<LogicalPlan> {
    let width = union.schema.fields().len();
    let mut types = Vec::with_capacity(width);
    for column in 0..width {
        let given: Vec<DataType> = union.inputs.iter().map(|i| i.schema().field(column).data_type().clone()).collect();
        let Some(common) = common_type(&given) else {
            return plan_err!(
                "Type mismatch in column {} of set operation: {}",
                column + 1,
                given.iter().map(type_name).collect::<Vec<_>>().join(" and ")
            );
        };
        types.push(common);
    }
    let typed = |input: &Arc<LogicalPlan>| with_types(input.as_ref().clone(), &types, functions).map(Arc::new);
    let inputs = union.inputs.iter().map(typed).collect::<Result<Vec<_>>>()?;
    Ok(LogicalPlan::Union(Union::try_new(inputs)?))
}

/// A join whose key pairs have equal types.
pub(super) fn join(mut join: Join, functions: &Functions) -> Result<LogicalPlan> {
    let mode = CastMode { safe: false, zone: functions.environment.zone };
    for (left, right) in &mut join.on {
        let (a, b) = (left.get_type(join.left.schema())?, right.get_type(join.right.schema())?);
        if a == b {
            continue;
        }
        let Some(common) = comparison_type(&a, &b) else {
            return plan_err!(
                "implicit type conversion between {} and {} is not supported now",
                type_name(&a),
                type_name(&b)
            );
        };
        *left = cast_expr(left.clone(), &a, &common, mode);
        *right = cast_expr(right.clone(), &b, &common, mode);
    }
    LogicalPlan::Join(join).recompute_schema()
}
