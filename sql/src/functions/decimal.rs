//! DECIMAL arithmetic by Flink's rules: exact up to 38 digits, then rounded half up, NULL when it does not fit.
//!
//! ```text
//!   +, -   (10,2) + (12,4) → (13,4)      integer digits: the larger, and one more; scale: the larger
//!   *      (10,2) × (10,2) → (21,4)      digits add up, and one more
//!   /      (10,2) ÷ (10,2) → (23,13)     scale at least 6
//! ```
//! A precision above 38 is cut back to 38; the scale gives way, but not below 6.

use arrow::datatypes::{DataType, i256};
use datafusion_common::Result;

use super::call::data_error;

/// Precision and scale.
pub(crate) type Digits = (u8, i8);

const MAX_PRECISION: i32 = 38;
const MIN_SCALE: i32 = 6;

/// A number type as a decimal: INT is DECIMAL(10, 0); None for FLOAT, DOUBLE and what is no number.
pub(crate) fn digits_of(data_type: &DataType) -> Option<Digits> {
    match data_type {
        DataType::Int8 => Some((3, 0)),
        DataType::Int16 => Some((5, 0)),
        DataType::Int32 => Some((10, 0)),
        DataType::Int64 => Some((19, 0)),
        DataType::UInt64 => Some((20, 0)),
        DataType::Decimal128(p, s) => Some((*p, *s)),
        _ => None,
    }
}

fn limited(precision: i32, scale: i32) -> Digits {
    if precision <= MAX_PRECISION {
        return (u8::try_from(precision.max(1)).unwrap_or(1), i8::try_from(scale).unwrap_or(0));
    }
    let scale = (MAX_PRECISION - (precision - scale)).max(scale.min(MIN_SCALE));
    (38, i8::try_from(scale).unwrap_or(6))
}

fn wide(digits: Digits) -> (i32, i32) {
    (i32::from(digits.0), i32::from(digits.1))
}

/// Type of a sum or difference.
pub(crate) fn sum_digits(a: Digits, b: Digits) -> Digits {
    let ((p1, s1), (p2, s2)) = (wide(a), wide(b));
    let scale = s1.max(s2);
    limited((p1 - s1).max(p2 - s2) + scale + 1, scale)
}

/// Type of a product.
pub(crate) fn product_digits(a: Digits, b: Digits) -> Digits {
    let ((p1, s1), (p2, s2)) = (wide(a), wide(b));
    limited(p1 + p2 + 1, s1 + s2)
}

/// Type of a quotient.
pub(crate) fn quotient_digits(a: Digits, b: Digits) -> Digits {
    let ((p1, s1), (p2, s2)) = (wide(a), wide(b));
    let scale = MIN_SCALE.max(s1 + p2 + 1);
    limited(p1 - s1 + s2 + scale, scale)
}

/// Type of a remainder.
pub(crate) fn remainder_digits(a: Digits, b: Digits) -> Digits {
    let ((p1, s1), (p2, s2)) = (wide(a), wide(b));
    let scale = s1.max(s2);
    limited((p1 - s1).min(p2 - s2) + scale, scale)
}

/// The type that holds the values of both: for CASE, COALESCE, UNION and comparisons.
pub(crate) fn common_digits(a: Digits, b: Digits) -> Digits {
    let ((p1, s1), (p2, s2)) = (wide(a), wide(b));
    let scale = s1.max(s2);
    limited((p1 - s1).max(p2 - s2) + scale, scale)
}

/// `10^exponent`; None above what 256 bits hold.
fn power256(exponent: i32) -> Option<i256> {
    i256::from_i128(10).checked_pow(u32::try_from(exponent).ok()?)
}

/// `10^exponent` as 128 bits; None above 38.
pub(crate) fn power(exponent: i32) -> Option<i128> {
    10_i128.checked_pow(u32::try_from(exponent).ok()?)
}

/// `value / divisor`, rounded half away from zero.
fn divide_half_up(value: i256, divisor: i256) -> Option<i256> {
    let quotient = value.checked_div(divisor)?;
    let rest = value.checked_rem(divisor)?;
    let twice = rest.checked_abs()?.checked_mul(i256::from_i128(2))?;
    if twice < divisor.checked_abs()? {
        return Some(quotient);
    }
    let away = if (value < i256::ZERO) == (divisor < i256::ZERO) { i256::ONE } else { i256::MINUS_ONE };
    quotient.checked_add(away)
}

/// `value` with scale `from` brought to scale and precision of `to`, rounded half up; None if it does not fit.
fn fit(value: i256, from: i32, to: Digits) -> Option<i128> {
    let (precision, scale) = wide(to);
    let value = match scale - from {
        0 => value,
        up if up > 0 => value.checked_mul(power256(up)?)?,
        down => divide_half_up(value, power256(-down)?)?,
    };
    let value = value.to_i128()?;
    (value.checked_abs()? < power(precision)?).then_some(value)
}

/// `value` with scale `from` as a decimal of `to`, rounded half up; None if it does not fit.
pub(crate) fn rescale(value: i128, from: i8, to: Digits) -> Option<i128> {
    if from == to.1 {
        return (value.checked_abs()? < power(i32::from(to.0))?).then_some(value);
    }
    fit(i256::from_i128(value), i32::from(from), to)
}

/// Unscaled values with their scales, and the type of the result.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scales {
    pub left: i8,
    pub right: i8,
    pub result: Digits,
}

/// Sum (or difference, with the right side negated by the caller).
pub(crate) fn add(a: i128, b: i128, scales: Scales) -> Option<i128> {
    let (s1, s2) = (i32::from(scales.left), i32::from(scales.right));
    let scale = s1.max(s2);
    if scales.result.0 < 38 {
        return Some(a * power(scale - s1)? + b * power(scale - s2)?);
    }
    let a = i256::from_i128(a).checked_mul(power256(scale - s1)?)?;
    let b = i256::from_i128(b).checked_mul(power256(scale - s2)?)?;
    fit(a.checked_add(b)?, scale, scales.result)
}

/// Product.
pub(crate) fn multiply(a: i128, b: i128, scales: Scales) -> Option<i128> {
    if scales.result.0 < 38 {
        return Some(a * b);
    }
    let product = i256::from_i128(a).checked_mul(i256::from_i128(b))?;
    fit(product, i32::from(scales.left) + i32::from(scales.right), scales.result)
}

/// Quotient; an error for a zero divisor.
pub(crate) fn divide(a: i128, b: i128, scales: Scales) -> Result<Option<i128>> {
    if b == 0 {
        return Err(data_error("Division by zero"));
    }
    Ok(quotient(a, b, scales))
}

fn quotient(a: i128, b: i128, scales: Scales) -> Option<i128> {
    let shift = i32::from(scales.result.1) + i32::from(scales.right) - i32::from(scales.left);
    let (mut a, mut b) = (i256::from_i128(a), i256::from_i128(b));
    if shift >= 0 {
        a = a.checked_mul(power256(shift)?)?;
    } else {
        b = b.checked_mul(power256(-shift)?)?;
    }
    fit(divide_half_up(a, b)?, i32::from(scales.result.1), scales.result)
}

/// Remainder with the sign of the dividend; an error for a zero divisor.
pub(crate) fn remainder(a: i128, b: i128, scales: Scales) -> Result<Option<i128>> {
    if b == 0 {
        return Err(data_error("Division by zero"));
    }
    let scale = i32::from(scales.left.max(scales.right));
    let exact = || {
        let a = i256::from_i128(a).checked_mul(power256(scale - i32::from(scales.left))?)?;
        let b = i256::from_i128(b).checked_mul(power256(scale - i32::from(scales.right))?)?;
        fit(a.checked_rem(b)?, scale, scales.result)
    };
    Ok(exact())
}

/// The plain digits of an unscaled value, with exactly `scale` behind the point.
pub(crate) fn to_text(value: i128, scale: i8) -> String {
    let Ok(scale) = usize::try_from(scale) else {
        return value.to_string();
    };
    if scale == 0 {
        return value.to_string();
    }
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    format!("{}{whole}.{fraction}", if value < 0 { "-" } else { "" })
}

/// Reads `12`, `-1.5`, `+.5`, `1.5E3` as a decimal of `to`, rounded half up; None if it is no number or does not fit.
pub(crate) fn from_text(text: &str, to: Digits) -> Option<i128> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, unsigned) = match mantissa.as_bytes().first()? {
        b'-' => (true, &mantissa[1..]),
        b'+' => (false, &mantissa[1..]),
        _ => (false, mantissa),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits: String = [whole, fraction].concat();
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value = i256::from_string(digits.trim_start_matches('0'));
    let value = if digits.bytes().all(|b| b == b'0') { i256::ZERO } else { value? };
    let value = if negative { value.checked_neg()? } else { value };
    fit(value, i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?, to)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn result_types_follow_flink() {
        assert_eq!(sum_digits((10, 2), (12, 4)), (13, 4));
        assert_eq!(product_digits((10, 2), (10, 2)), (21, 4));
        assert_eq!(quotient_digits((10, 2), (10, 2)), (23, 13));
        assert_eq!(quotient_digits((10, 0), (2, 1)), (17, 6));
        assert_eq!(product_digits((38, 10), (38, 10)), (38, 6));
        assert_eq!(quotient_digits((38, 10), (38, 10)), (38, 6));
        assert_eq!(remainder_digits((10, 3), (10, 0)), (10, 3));
        assert_eq!(sum_digits((38, 0), (38, 0)), (38, 0));
    }

    #[test]
    fn values_round_half_up_and_overflow_to_none() {
        assert_eq!(rescale(12345, 3, (5, 2)), Some(1235));
        assert_eq!(rescale(-12345, 3, (5, 2)), Some(-1235));
        assert_eq!(rescale(99999, 0, (4, 0)), None);
        let scales = Scales { left: 3, right: 0, result: (21, 14) };
        assert_eq!(divide(12345, 3, scales).unwrap(), Some(411_500_000_000_000));
        assert!(divide(1, 0, scales).is_err());
        let top = 10_i128.pow(38) - 1;
        assert_eq!(add(top, top, Scales { left: 0, right: 0, result: (38, 0) }), None);
    }

    #[test]
    fn text_round_trips() {
        assert_eq!(to_text(-5, 3), "-0.005");
        assert_eq!(to_text(12345, 2), "123.45");
        assert_eq!(from_text("-1.999", (6, 2)), Some(-200));
        assert_eq!(from_text("12345.678", (6, 2)), None);
        assert_eq!(from_text("1.5e2", (6, 2)), Some(15000));
        assert_eq!(from_text("0", (6, 2)), Some(0));
        assert_eq!(from_text("abc", (6, 2)), None);
        assert_eq!(from_text("", (6, 2)), None);
    }
}
