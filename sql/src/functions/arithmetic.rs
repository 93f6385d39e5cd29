//! `+ - * / %` over numbers, times and intervals, with Flink's result types.
//!
//! Integers keep the wider type of the two and wrap around; division cuts towards zero. A DECIMAL beside an integer is
//! DECIMAL arithmetic, beside FLOAT or DOUBLE it is DOUBLE. Times plus intervals are in [`super::interval`].

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Datum, Decimal128Array, PrimitiveArray, Scalar};
use arrow::compute::cast;
use arrow::compute::kernels::numeric;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use datafusion_common::{Result, plan_err};

use super::call::{Call, Function, Inputs, Kind, data_error};
use super::decimal::{self, Scales, digits_of};
use super::interval;
use super::names::type_name;

/// The operators as functions; the expression planner calls them by these names.
pub(super) fn functions() -> Vec<Function> {
    const TWO: &[Kind] = &[Kind::Any, Kind::Any];
    vec![
        Function::new("plus", TWO, plus_type, plus),
        Function::new("minus", TWO, minus_type, minus),
        Function::new("times", TWO, times_type, times),
        Function::new("divide", TWO, divide_type, divide),
        Function::new("mod", &[Kind::Number, Kind::Number], modulo_type, modulo),
    ]
}

/// The operation of a numeric operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

impl Op {
    fn symbol(self) -> &'static str {
        match self {
            Op::Add => "+",
            Op::Subtract => "-",
            Op::Multiply => "*",
            Op::Divide => "/",
            Op::Modulo => "%",
        }
    }
}

fn plus_type(inputs: &Inputs<'_>) -> Result<DataType> {
    result_type(Op::Add, inputs)
}

fn minus_type(inputs: &Inputs<'_>) -> Result<DataType> {
    result_type(Op::Subtract, inputs)
}

fn times_type(inputs: &Inputs<'_>) -> Result<DataType> {
    result_type(Op::Multiply, inputs)
}

fn divide_type(inputs: &Inputs<'_>) -> Result<DataType> {
    result_type(Op::Divide, inputs)
}

fn modulo_type(inputs: &Inputs<'_>) -> Result<DataType> {
    result_type(Op::Modulo, inputs)
}

fn result_type(op: Op, inputs: &Inputs<'_>) -> Result<DataType> {
    let [left, right] = inputs.types.as_slice() else {
        return plan_err!("the operator {} takes two operands", op.symbol());
    };
    let (left, right) = match (left.is_null(), right.is_null()) {
        (true, true) => (&DataType::Int32, &DataType::Int32),
        (true, false) => (right, right),
        (false, true) => (left, left),
        (false, false) => (left, right),
    };
    let found = match op {
        _ if left.is_numeric() && right.is_numeric() => numeric_type(op, left, right),
        Op::Add => interval::shifted_type(left, right).or_else(|| interval::shifted_type(right, left)),
        Op::Subtract => interval::shifted_type(left, right),
        Op::Multiply => interval::scaled_type(left, right).or_else(|| interval::scaled_type(right, left)),
        _ => None,
    };
    let sign = op.symbol();
    match found {
        Some(data_type) => Ok(data_type),
        None => plan_err!(
            "Cannot apply '{sign}' to arguments of type '<{}> {sign} <{}>'. Supported form(s): '<NUMERIC> {sign} <NUMERIC>'",
            type_name(left),
            type_name(right)
        ),
    }
}

fn numeric_type(op: Op, left: &DataType, right: &DataType) -> Option<DataType> {
    if left.is_floating() || right.is_floating() {
        let narrow = |t: &DataType| matches!(t, DataType::Float32) || t.is_integer();
        return Some(if narrow(left) && narrow(right) { DataType::Float32 } else { DataType::Float64 });
    }
    if left.is_integer() && right.is_integer() {
        let wider = if left.primitive_width() >= right.primitive_width() { left } else { right };
        return Some(if op == Op::Modulo { right.clone() } else { wider.clone() });
    }
    let (a, b) = (digits_of(left)?, digits_of(right)?);
    let (p, s) = match op {
        Op::Add | Op::Subtract => decimal::sum_digits(a, b),
        Op::Multiply => decimal::product_digits(a, b),
        Op::Divide => decimal::quotient_digits(a, b),
        Op::Modulo => decimal::remainder_digits(a, b),
    };
    Some(DataType::Decimal128(p, s))
}

fn plus(call: &Call<'_>) -> Result<ArrayRef> {
    evaluate(call, Op::Add)
}

fn minus(call: &Call<'_>) -> Result<ArrayRef> {
    evaluate(call, Op::Subtract)
}

fn times(call: &Call<'_>) -> Result<ArrayRef> {
    evaluate(call, Op::Multiply)
}

fn divide(call: &Call<'_>) -> Result<ArrayRef> {
    evaluate(call, Op::Divide)
}

fn modulo(call: &Call<'_>) -> Result<ArrayRef> {
    evaluate(call, Op::Modulo)
}

fn evaluate(call: &Call<'_>, op: Op) -> Result<ArrayRef> {
    match call.result {
        DataType::Decimal128(_, _) => decimals(call, op),
        DataType::Int8 => integers::<Int8Type>(call, op),
        DataType::Int16 => integers::<Int16Type>(call, op),
        DataType::Int32 => integers::<Int32Type>(call, op),
        DataType::Int64 => integers::<Int64Type>(call, op),
        DataType::Float32 => native::<Float32Type>(call, op),
        DataType::Float64 => native::<Float64Type>(call, op),
        DataType::Interval(_) if op == Op::Multiply => interval::scale(call),
        _ => interval::shift(call, op == Op::Subtract),
    }
}

/// Integers: the remainder may be narrower than the dividend, so it is computed in the wider type.
fn integers<T: ArrowPrimitiveType>(call: &Call<'_>, op: Op) -> Result<ArrayRef> {
    if op != Op::Modulo {
        return native::<T>(call, op);
    }
    let (left, right) = (widened(call, 0)?, widened(call, 1)?);
    let result = apply(&left, call.arg(0)?.1, &right, call.arg(1)?.1, op)?;
    Ok(cast(&result, call.result)?)
}

fn widened(call: &Call<'_>, i: usize) -> Result<ArrayRef> {
    Ok(cast(call.arg(i)?.0, &DataType::Int64)?)
}

fn native<T: ArrowPrimitiveType>(call: &Call<'_>, op: Op) -> Result<ArrayRef> {
    let side = |i: usize| -> Result<(ArrayRef, bool)> {
        let (array, constant) = call.arg(i)?;
        let array = if array.data_type() == &T::DATA_TYPE { Arc::clone(array) } else { cast(array, &T::DATA_TYPE)? };
        Ok((array, constant))
    };
    let ((left, left_constant), (right, right_constant)) = (side(0)?, side(1)?);
    apply(&left, left_constant, &right, right_constant, op)
}

fn apply(left: &ArrayRef, left_constant: bool, right: &ArrayRef, right_constant: bool, op: Op) -> Result<ArrayRef> {
    let both = left_constant && right_constant;
    let left_scalar = (left_constant && !both).then(|| Scalar::new(left));
    let right_scalar = (right_constant && !both).then(|| Scalar::new(right));
    let left: &dyn Datum = left_scalar.as_ref().map_or(left, |scalar| scalar);
    let right: &dyn Datum = right_scalar.as_ref().map_or(right, |scalar| scalar);
    let result = match op {
        Op::Add => numeric::add_wrapping(left, right),
        Op::Subtract => numeric::sub_wrapping(left, right),
        Op::Multiply => numeric::mul_wrapping(left, right),
        Op::Divide => divided(left, right),
        Op::Modulo => numeric::rem(left, right),
    };
    result.map_err(|error| match error {
        arrow::error::ArrowError::DivideByZero => data_error("/ by zero"),
        other => other.into(),
    })
}

/// Arrow refuses the one quotient that overflows, `MIN / -1`; Java gives `MIN`.
fn divided(left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef, arrow::error::ArrowError> {
    match numeric::div(left, right) {
        Err(arrow::error::ArrowError::ArithmeticOverflow(_)) => {}
        other => return other,
    }
    let (left, left_constant) = left.get();
    let (right, right_constant) = right.get();
    macro_rules! wrapping {
        ($($t:ty),*) => {
            $(if left.data_type() == &<$t>::DATA_TYPE {
                let (l, r) = (left.as_primitive::<$t>(), right.as_primitive::<$t>());
                let rows = if left_constant { r.len() } else { l.len() };
                let at = |a: &PrimitiveArray<$t>, constant: bool, row: usize| {
                    let row = if constant { 0 } else { row };
                    a.is_valid(row).then(|| a.value(row))
                };
                let values: PrimitiveArray<$t> = (0..rows)
                    .map(|row| Some(at(l, left_constant, row)?.wrapping_div(at(r, right_constant, row)?)))
                    .collect();
                return Ok(Arc::new(values) as ArrayRef);
            })*
        };
    }
    wrapping!(Int8Type, Int16Type, Int32Type, Int64Type);
    Err(arrow::error::ArrowError::ArithmeticOverflow("division".into()))
}

fn decimals(call: &Call<'_>, op: Op) -> Result<ArrayRef> {
    let DataType::Decimal128(precision, scale) = *call.result else {
        return Err(data_error("a decimal operator must return a decimal"));
    };
    let side = |i: usize| -> Result<(Decimal128Array, bool, i8)> {
        let (array, constant) = call.arg(i)?;
        let (p, s) = digits_of(array.data_type()).unwrap_or((38, scale));
        let array = cast(array, &DataType::Decimal128(p, s))?;
        Ok((array.as_primitive::<Decimal128Type>().clone(), constant, s))
    };
    let ((left, left_constant, s1), (right, right_constant, s2)) = (side(0)?, side(1)?);
    let scales = Scales { left: s1, right: s2, result: (precision, scale) };
    call.numbers::<Decimal128Type>(|row| {
        let (l, r) = (if left_constant { 0 } else { row }, if right_constant { 0 } else { row });
        if left.is_null(l) || right.is_null(r) {
            return Ok(None);
        }
        let (a, b) = (left.value(l), right.value(r));
        match op {
            Op::Add => Ok(decimal::add(a, b, scales)),
            Op::Subtract => Ok(decimal::add(a, -b, scales)),
            Op::Multiply => Ok(decimal::multiply(a, b, scales)),
            Op::Divide => decimal::divide(a, b, scales),
            Op::Modulo => decimal::remainder(a, b, scales),
        }
    })
}
