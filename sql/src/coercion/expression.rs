//! Types one expression whose parts are typed already.

use arrow::datatypes::DataType;
use datafusion_common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion_expr::expr::{Between, BinaryExpr, Case, Cast, InList, InSubquery, ScalarFunction, TryCast};
use datafusion_expr::{Expr, ExprSchemable, Operator};

use super::common::{common_type, comparison_type};
use super::relation;
use crate::functions::Functions;
use crate::functions::cast::{CastMode, cast_expr};
use crate::functions::json_build::{JSON_RESULTS, RAW};
use crate::functions::names::{family_name, type_name};

/// Types expressions over the columns of `schema`.
pub(super) struct Coercer<'a> {
    pub schema: &'a DFSchema,
    pub functions: &'a Functions,
}

impl Coercer<'_> {
    /// `expr` with Flink's type; its parts have theirs.
    pub fn coerce(&self, expr: Expr) -> Result<Expr> {
        match expr {
            Expr::Literal(value, metadata) => Ok(Expr::Literal(literal(value)?, metadata)),
            Expr::BinaryExpr(binary) => self.binary(binary),
            Expr::Between(between) => self.between(between),
            Expr::InList(list) => self.in_list(list),
            Expr::InSubquery(subquery) => self.in_subquery(subquery),
            Expr::Case(case) => self.case(case),
            Expr::Cast(Cast { expr, field }) => self.cast(*expr, field.data_type(), false),
            Expr::TryCast(TryCast { expr, field }) => self.cast(*expr, field.data_type(), true),
            Expr::ScalarFunction(function) if function.name() == "if" => self.if_else(function),
            Expr::ScalarFunction(function) if JSON_RESULTS.contains(&function.name()) => self.nested_json(function),
            Expr::Not(inner) => Ok(Expr::Not(Box::new(self.condition(*inner, "NOT")?))),
            Expr::IsTrue(inner) => Ok(Expr::IsTrue(Box::new(self.condition(*inner, "IS TRUE")?))),
            Expr::IsFalse(inner) => Ok(Expr::IsFalse(Box::new(self.condition(*inner, "IS FALSE")?))),
            Expr::IsNotTrue(inner) => Ok(Expr::IsNotTrue(Box::new(self.condition(*inner, "IS NOT TRUE")?))),
            Expr::IsNotFalse(inner) => Ok(Expr::IsNotFalse(Box::new(self.condition(*inner, "IS NOT FALSE")?))),
            Expr::IsUnknown(inner) => Ok(Expr::IsUnknown(Box::new(self.condition(*inner, "IS UNKNOWN")?))),
            Expr::IsNotUnknown(inner) => Ok(Expr::IsNotUnknown(Box::new(self.condition(*inner, "IS NOT UNKNOWN")?))),
            other => Ok(other),
        }
    }

    fn mode(&self, safe: bool) -> CastMode {
        CastMode { safe, zone: self.functions.environment.zone }
    }

    fn cast(&self, expr: Expr, target: &DataType, safe: bool) -> Result<Expr> {
        let from = expr.get_type(self.schema)?;
        let cast = cast_expr(expr, &from, target, self.mode(safe));
        // Asking for the type refuses casts that there are not.
        cast.get_type(self.schema)?;
        Ok(cast)
    }

    #[expect(clippy::boxed_local, reason = "DataFusion's expressions hold boxes")]
    fn as_type(&self, expr: Box<Expr>, target: &DataType) -> Result<Box<Expr>> {
        Ok(Box::new(self.cast(*expr, target, false)?))
    }

    /// A NULL literal in the place of a condition is BOOLEAN.
    fn condition(&self, expr: Expr, place: &str) -> Result<Expr> {
        match expr.get_type(self.schema)? {
            DataType::Boolean => Ok(expr),
            DataType::Null => self.cast(expr, &DataType::Boolean, false),
            other => plan_err!(
                "Cannot apply '{place}' to arguments of type '<{}>'. Supported form(s): '<BOOLEAN>'",
                type_name(&other)
            ),
        }
    }

    fn binary(&self, binary: BinaryExpr) -> Result<Expr> {
        let BinaryExpr { left, op, right } = binary;
        let (left, right) = match op {
            Operator::And | Operator::Or => {
                let name = if op == Operator::And { "AND" } else { "OR" };
                (Box::new(self.condition(*left, name)?), Box::new(self.condition(*right, name)?))
            }
            _ if is_comparison(op) => {
                let common = self.comparable(&left, &right)?;
                (self.as_type(left, &common)?, self.as_type(right, &common)?)
            }
            _ => (left, right),
        };
        Ok(Expr::BinaryExpr(BinaryExpr { left, op, right }))
    }

    /// The type in which two expressions are compared.
    fn comparable(&self, left: &Expr, right: &Expr) -> Result<DataType> {
        let (a, b) = (left.get_type(self.schema)?, right.get_type(self.schema)?);
        match comparison_type(&a, &b) {
            Some(common) => Ok(common),
            None => plan_err!(
                "implicit type conversion between {} and {} is not supported now",
                family_name(&a, is_literal(left)),
                family_name(&b, is_literal(right))
            ),
        }
    }

    fn between(&self, between: Between) -> Result<Expr> {
        let Between { expr, negated, low, high } = between;
        let low_type = self.comparable(&expr, &low)?;
        let high_type = self.comparable(&expr, &high)?;
        let Some(common) = common_type(&[low_type, high_type]) else {
            return plan_err!("the bounds of BETWEEN have no common type");
        };
        let (low, high) = (self.as_type(low, &common)?, self.as_type(high, &common)?);
        Ok(Expr::Between(Between { expr: self.as_type(expr, &common)?, negated, low, high }))
    }

    fn in_list(&self, in_list: InList) -> Result<Expr> {
        let InList { expr, list, negated } = in_list;
        let mut types = Vec::with_capacity(list.len());
        for item in &list {
            types.push(self.comparable(&expr, item)?);
        }
        let Some(common) = common_type(&types) else {
            return plan_err!("Values passed to IN operator must have compatible types");
        };
        let list = list.into_iter().map(|item| self.cast(item, &common, false)).collect::<Result<_>>()?;
        Ok(Expr::InList(InList { expr: self.as_type(expr, &common)?, list, negated }))
    }

    fn in_subquery(&self, mut subquery: InSubquery) -> Result<Expr> {
        let left = subquery.expr.get_type(self.schema)?;
        let right = subquery.subquery.subquery.schema().field(0).data_type().clone();
        if left == right {
            return Ok(Expr::InSubquery(subquery));
        }
        let Some(common) = comparison_type(&left, &right) else {
            return plan_err!(
                "Values passed to IN operator must have compatible types: {} and {}",
                type_name(&left),
                type_name(&right)
            );
        };
        let plan = subquery.subquery.subquery.as_ref().clone();
        let typed = relation::with_types(plan, std::slice::from_ref(&common), self.functions)?;
        subquery.subquery = subquery.subquery.with_plan(std::sync::Arc::new(typed));
        subquery.expr = self.as_type(subquery.expr, &common)?;
        Ok(Expr::InSubquery(subquery))
    }

    /// JSON inside JSON goes in as it is, not as a quoted string.
    fn nested_json(&self, mut function: ScalarFunction) -> Result<Expr> {
        let Some(raw) = self.functions.scalar.get(RAW) else { return plan_err!("the function {RAW} is missing") };
        let args = function.args.into_iter().map(|arg| match &arg {
            Expr::ScalarFunction(inner) if JSON_RESULTS.contains(&inner.name()) => {
                Expr::ScalarFunction(ScalarFunction::new_udf(raw.clone(), vec![arg]))
            }
            _ => arg,
        });
        function.args = args.collect();
        Ok(Expr::ScalarFunction(function))
    }

    fn if_else(&self, function: ScalarFunction) -> Result<Expr> {
        let Ok([condition, then, otherwise]) = <[Expr; 3]>::try_from(function.args) else {
            return plan_err!("IF takes a condition and two values");
        };
        let when_then_expr = vec![(Box::new(condition), Box::new(then))];
        self.case(Case { expr: None, when_then_expr, else_expr: Some(Box::new(otherwise)) })
    }

    fn case(&self, case: Case) -> Result<Expr> {
        let Case { expr, when_then_expr, else_expr } = case;
        let (whens, thens): (Vec<Expr>, Vec<Expr>) =
            when_then_expr.into_iter().map(|(when, then)| (*when, *then)).unzip();
        let mut types = thens.iter().map(|then| then.get_type(self.schema)).collect::<Result<Vec<_>>>()?;
        if let Some(otherwise) = &else_expr {
            types.push(otherwise.get_type(self.schema)?);
        }
        let Some(result) = common_type(&types) else {
            let names: Vec<String> = types.iter().map(type_name).collect();
            return plan_err!("Illegal mixing of types in CASE or COALESCE statement: {}", names.join(", "));
        };
        // `CASE x WHEN a` compares x with each value in the type of that comparison, as `CASE WHEN x = a` does.
        let conditions = match expr {
            None => whens.into_iter().map(|when| self.condition(when, "CASE WHEN")).collect::<Result<Vec<_>>>()?,
            Some(operand) => {
                let equals =
                    |when| self.binary(BinaryExpr { left: operand.clone(), op: Operator::Eq, right: Box::new(when) });
                whens.into_iter().map(equals).collect::<Result<Vec<_>>>()?
            }
        };
        let branches = thens.into_iter().map(|then| self.cast(then, &result, false)).collect::<Result<Vec<_>>>()?;
        let when_then_expr = conditions.into_iter().map(Box::new).zip(branches.into_iter().map(Box::new)).collect();
        let else_expr = else_expr.map(|otherwise| self.as_type(otherwise, &result)).transpose()?;
        Ok(Expr::Case(Case { expr: None, when_then_expr, else_expr }))
    }
}

fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn is_literal(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(_, _))
}

/// The SQL type of a number literal: INT if it fits, then BIGINT, then DECIMAL.
fn literal(value: ScalarValue) -> Result<ScalarValue> {
    Ok(match value {
        ScalarValue::Int64(Some(n)) => match i32::try_from(n) {
            Ok(n) => ScalarValue::Int32(Some(n)),
            Err(_) => ScalarValue::Int64(Some(n)),
        },
        ScalarValue::UInt64(Some(n)) => {
            ScalarValue::Decimal128(Some(i128::from(n)), u8::try_from(n.to_string().len()).unwrap_or(20), 0)
        }
        ScalarValue::Decimal256(..) => return plan_err!("Numeric literal out of range: more than 38 digits"),
        other => other,
    })
}
