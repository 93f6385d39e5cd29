//! Which implementation serves which call.

use arrow::array::downcast_primitive;
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};

use super::avg::Avg;
use super::collected::Collected;
use super::count::Count;
use super::distinct::Distinct;
use super::min_max::{BytesExtreme, Extreme, PrimitiveExtreme};
use super::multiset::{Counted, Reading};
use super::sum::Sum;
use super::types::return_type;
use super::variance::Variance;
use super::{Aggregate, AggregateCall, AggregateFunction};
use crate::error::{Error, Result};

/// An empty aggregate for `call` over arguments of `arg_types`.
pub fn create(call: &AggregateCall, arg_types: &[DataType]) -> Result<Box<dyn Aggregate>> {
    use AggregateFunction as F;
    let result = return_type(call.function, arg_types)?;
    let aggregate: Box<dyn Aggregate> = match call.function {
        F::Count => Box::new(Count::default()),
        F::Sum => sum(&result)?,
        F::Avg => avg(arg_types, result)?,
        F::Min => extreme(Extreme::Min, call.retractable, &result)?,
        F::Max => extreme(Extreme::Max, call.retractable, &result)?,
        F::StddevPop | F::StddevSamp | F::VarPop | F::VarSamp if result.is_integer() => {
            Box::new(Variance::<Int64Type>::new(call.function, result))
        }
        F::StddevPop | F::StddevSamp | F::VarPop | F::VarSamp => {
            Box::new(Variance::<Float64Type>::new(call.function, result))
        }
        // The planner's field says how the map's entries are named.
        F::Collect => Box::new(Counted::new(Reading::Collect(call.field.data_type().clone()), arg_types)?),
        F::FirstValue
        | F::LastValue
        | F::SingleValue
        | F::ListAgg
        | F::ArrayAgg
        | F::JsonArrayAgg
        | F::JsonArrayAggNullOnNull
        | F::JsonObjectAgg
        | F::JsonObjectAggAbsentOnNull => Box::new(Collected::new(call.function, call.retractable, arg_types)?),
    };
    Ok(match call.distinct && !matches!(call.function, F::Min | F::Max) {
        true => Box::new(Distinct::new(arg_types, aggregate)?),
        false => aggregate,
    })
}

fn sum(result: &DataType) -> Result<Box<dyn Aggregate>> {
    let data_type = result.clone();
    Ok(match result {
        DataType::Int8 => Box::new(Sum::<Int8Type>::new(data_type)),
        DataType::Int16 => Box::new(Sum::<Int16Type>::new(data_type)),
        DataType::Int32 => Box::new(Sum::<Int32Type>::new(data_type)),
        DataType::Int64 => Box::new(Sum::<Int64Type>::new(data_type)),
        DataType::Float32 => Box::new(Sum::<Float32Type>::new(data_type)),
        DataType::Float64 => Box::new(Sum::<Float64Type>::new(data_type)),
        DataType::Decimal128(_, _) => Box::new(Sum::<Decimal128Type>::new(data_type)),
        other => return Err(Error::internal(format!("no sum of {other}"))),
    })
}

fn avg(arg_types: &[DataType], result: DataType) -> Result<Box<dyn Aggregate>> {
    let sum_type = match arg_types {
        [DataType::Decimal128(_, scale)] => DataType::Decimal128(38, *scale),
        [DataType::Float32 | DataType::Float64] => DataType::Float64,
        _ => DataType::Int64,
    };
    Ok(Box::new(Avg::new(sum(&sum_type)?, sum_type, result)))
}

fn extreme(extreme: Extreme, retractable: bool, result: &DataType) -> Result<Box<dyn Aggregate>> {
    if retractable {
        return Ok(Box::new(Counted::new(Reading::Extreme(extreme), std::slice::from_ref(result))?));
    }
    macro_rules! primitive {
        ($t:ty) => {
            Box::new(PrimitiveExtreme::<$t>::new(extreme, result.clone())) as Box<dyn Aggregate>
        };
    }
    Ok(downcast_primitive! {
        result => (primitive),
        DataType::Utf8 | DataType::Binary | DataType::Boolean => Box::new(BytesExtreme::new(extreme, result.clone())),
        other => return Err(Error::internal(format!("no order of {other}")))
    })
}
