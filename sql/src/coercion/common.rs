//! The common type of several: for branches of CASE and COALESCE, set operations, IN lists, and comparisons.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

use crate::functions::decimal::{common_digits, digits_of};

/// The type to which all of `types` widen without loss of meaning; None if there is none. NULL fits everywhere.
pub(crate) fn common_type(types: &[DataType]) -> Option<DataType> {
    types.iter().skip(1).try_fold(types.first()?.clone(), |found, next| common_of_two(&found, next))
}

fn common_of_two(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType as T;
    match (a, b) {
        _ if a == b => Some(a.clone()),
        (T::Null, other) | (other, T::Null) => Some(other.clone()),
        _ if a.is_numeric() && b.is_numeric() => common_number(a, b),
        (T::Timestamp(x, zone_a), T::Timestamp(y, zone_b)) => {
            let zone = zone_a.as_ref().or(zone_b.as_ref()).cloned();
            Some(T::Timestamp(finer(*x, *y), zone))
        }
        (T::Timestamp(unit, zone), T::Date32) | (T::Date32, T::Timestamp(unit, zone)) => {
            Some(T::Timestamp(*unit, zone.clone()))
        }
        (T::Time32(x), T::Time32(y)) => Some(T::Time32(finer(*x, *y))),
        (T::List(x), T::List(y)) => {
            Some(T::new_list(common_of_two(x.data_type(), y.data_type())?, x.is_nullable() || y.is_nullable()))
        }
        (T::Map(x, sorted), T::Map(y, _)) => {
            let entries = common_of_two(x.data_type(), y.data_type())?;
            Some(T::Map(Arc::new(Field::new("entries", entries, false)), *sorted))
        }
        (T::Struct(x), T::Struct(y)) if x.len() == y.len() => {
            let field = |(x, y): (&Arc<Field>, &Arc<Field>)| {
                let data_type = common_of_two(x.data_type(), y.data_type())?;
                Some(Field::new(x.name(), data_type, x.is_nullable() || y.is_nullable()))
            };
            Some(T::Struct(x.iter().zip(y).map(field).collect::<Option<Fields>>()?))
        }
        _ => None,
    }
}

/// FLOAT beside an integer stays FLOAT; beside DECIMAL it is DOUBLE.
fn common_number(a: &DataType, b: &DataType) -> Option<DataType> {
    if a.is_floating() || b.is_floating() {
        let narrow = |t: &DataType| matches!(t, DataType::Float32) || t.is_integer();
        return Some(if narrow(a) && narrow(b) { DataType::Float32 } else { DataType::Float64 });
    }
    if a.is_integer() && b.is_integer() {
        return Some(if a.primitive_width() >= b.primitive_width() { a.clone() } else { b.clone() });
    }
    let (precision, scale) = common_digits(digits_of(a)?, digits_of(b)?);
    Some(DataType::Decimal128(precision, scale))
}

fn finer(a: TimeUnit, b: TimeUnit) -> TimeUnit {
    let rank = |unit: TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 1,
        TimeUnit::Microsecond => 2,
        TimeUnit::Nanosecond => 3,
    };
    if rank(a) >= rank(b) { a } else { b }
}

/// The type in which Flink compares two values; None if it does not. Text beside a time is read as that time.
pub(super) fn comparison_type(a: &DataType, b: &DataType) -> Option<DataType> {
    let is_time = |t: &DataType| matches!(t, DataType::Timestamp(_, _) | DataType::Date32 | DataType::Time32(_));
    match (a, b) {
        (DataType::Utf8, time) | (time, DataType::Utf8) if is_time(time) => Some(match time {
            // Text may show more digits than the column has.
            DataType::Timestamp(TimeUnit::Second, zone) => DataType::Timestamp(TimeUnit::Millisecond, zone.clone()),
            other => other.clone(),
        }),
        _ if a.is_integer() && b.is_floating() || a.is_floating() && b.is_integer() => Some(DataType::Float64),
        _ => common_of_two(a, b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_widen() {
        use DataType::{Decimal128, Float32, Float64, Int32, Int64};
        assert_eq!(common_type(&[Int32, Decimal128(2, 1)]), Some(Decimal128(11, 1)));
        assert_eq!(common_type(&[Decimal128(3, 2), Int32, Int64]), Some(Decimal128(21, 2)));
        assert_eq!(common_type(&[Int32, DataType::Null, Int64]), Some(Int64));
        assert_eq!(common_type(&[Float32, Decimal128(2, 1)]), Some(Float64));
        assert_eq!(common_type(&[Int32, DataType::Utf8]), None);
    }
}
