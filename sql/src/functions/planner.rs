//! Operators and special forms of SQL become calls of our functions while DataFusion reads a query.
//!
//! Comparisons, AND, OR and NOT stay DataFusion's own expressions, so that its rules for filters and joins see them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion_common::{Column, DFSchema, Result, TableReference, plan_err};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr, RawDictionaryExpr, RawFieldAccessExpr};
use datafusion_expr::{Expr, ExprSchemable, GetFieldAccess, ScalarUDF, lit};
use sqlparser::ast::BinaryOperator;

/// Plans expressions with our functions.
#[derive(Debug)]
pub(super) struct FlinkExpressions {
    /// All scalar functions by lower-case name.
    pub functions: HashMap<String, Arc<ScalarUDF>>,
}

impl FlinkExpressions {
    fn call(&self, name: &str, args: Vec<Expr>) -> Result<Expr> {
        match self.functions.get(name) {
            Some(function) => Ok(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(function), args))),
            None => plan_err!("the function {name} is missing"),
        }
    }

    fn planned<T>(&self, name: &str, args: Vec<Expr>) -> Result<PlannerResult<T>> {
        Ok(PlannerResult::Planned(self.call(name, args)?))
    }
}

impl ExprPlanner for FlinkExpressions {
    fn plan_binary_op(&self, expr: RawBinaryExpr, _schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let name = match expr.op {
            BinaryOperator::Plus => "plus",
            BinaryOperator::Minus => "minus",
            BinaryOperator::Multiply => "times",
            BinaryOperator::Divide => "divide",
            BinaryOperator::Modulo => "mod",
            BinaryOperator::StringConcat => "concat",
            _ => return Ok(PlannerResult::Original(expr)),
        };
        self.planned(name, vec![expr.left, expr.right])
    }

    fn plan_field_access(
        &self,
        expr: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        match expr.field_access {
            GetFieldAccess::NamedStructField { name } => {
                let is_row = matches!(expr.expr.get_type(schema)?, DataType::Struct(_));
                let function = if is_row { "row_field" } else { "subscript" };
                self.planned(function, vec![expr.expr, Expr::Literal(name, None)])
            }
            GetFieldAccess::ListIndex { key } => self.planned("subscript", vec![expr.expr, *key]),
            GetFieldAccess::ListRange { .. } => {
                plan_err!("a range of array positions is not supported; use ARRAY_SLICE")
            }
        }
    }

    fn plan_compound_identifier(
        &self,
        field: &Field,
        qualifier: Option<&TableReference>,
        nested_names: &[String],
    ) -> Result<PlannerResult<Vec<Expr>>> {
        let mut expr = Expr::Column(Column::from((qualifier, field)));
        for name in nested_names {
            expr = self.call("row_field", vec![expr, lit(name.as_str())])?;
        }
        Ok(PlannerResult::Planned(expr))
    }

    fn plan_array_literal(&self, exprs: Vec<Expr>, _schema: &DFSchema) -> Result<PlannerResult<Vec<Expr>>> {
        self.planned("array", exprs)
    }

    fn plan_make_map(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        self.planned("map", args)
    }

    fn plan_dictionary_literal(
        &self,
        expr: RawDictionaryExpr,
        _schema: &DFSchema,
    ) -> Result<PlannerResult<RawDictionaryExpr>> {
        let entries = expr.keys.into_iter().zip(expr.values).flat_map(|(k, v)| [k, v]).collect();
        self.planned("map", entries)
    }

    fn plan_struct_literal(&self, args: Vec<Expr>, is_named_struct: bool) -> Result<PlannerResult<Vec<Expr>>> {
        if is_named_struct {
            return Ok(PlannerResult::Original(args));
        }
        self.planned("row", args)
    }

    fn plan_extract(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        self.planned("extract", args)
    }

    fn plan_substring(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        self.planned("substring", args)
    }

    /// DataFusion hands over the text first, then what is looked for.
    fn plan_position(&self, mut args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        args.reverse();
        self.planned("position", args)
    }

    fn plan_overlay(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        self.planned("overlay", args)
    }
}
