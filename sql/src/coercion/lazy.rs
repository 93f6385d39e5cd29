//! AND and OR that look at their right side only where the left side has not decided.
//!
//! DataFusion evaluates both sides for every row of a batch, so `q <> 0 AND 100 / q > 5` would stop the job at the
//! first zero. Flink's rows stop at the left side. Where the right side can fail, the operator becomes a CASE, which
//! DataFusion evaluates only for the rows that come to it:
//!
//! ```text
//!   a AND b  →  CASE WHEN a IS NOT FALSE THEN a AND b ELSE FALSE END
//!   a OR b   →  CASE WHEN a IS NOT TRUE  THEN a OR b  ELSE TRUE  END
//! ```

use datafusion_common::Result;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_expr::expr::{BinaryExpr, Case};
use datafusion_expr::{Expr, Operator, lit};

/// Functions that may refuse a row.
const FALLIBLE: [&str; 6] = ["divide", "mod", "cast", "element", "decode", "encode"];

/// `expr` with lazy AND and OR. The last step before an expression becomes physical: DataFusion's simplifier would turn
/// the CASE back.
pub fn lazy(expr: Expr) -> Result<Expr> {
    Ok(expr.transform_up(|e| Ok(Transformed::yes(guarded(e)?)))?.data)
}

fn guarded(expr: Expr) -> Result<Expr> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) if may_fail(&right)? => {
            let undecided = match op {
                Operator::And => Expr::IsNotFalse(left.clone()),
                _ => Expr::IsNotTrue(left.clone()),
            };
            let both = Expr::BinaryExpr(BinaryExpr { left, op, right });
            let when_then_expr = vec![(Box::new(undecided), Box::new(both))];
            Ok(Expr::Case(Case { expr: None, when_then_expr, else_expr: Some(Box::new(lit(op == Operator::Or))) }))
        }
        other => Ok(other),
    }
}

fn may_fail(expr: &Expr) -> Result<bool> {
    expr.exists(|e| Ok(matches!(e, Expr::ScalarFunction(function) if FALLIBLE.contains(&function.name()))))
}
