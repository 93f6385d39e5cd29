//! Result types of aggregate functions, by Flink's rules.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields};

use super::AggregateFunction;
use crate::error::{Error, Result};

/// Digits of the widest DECIMAL.
const MAX_PRECISION: u8 = 38;

/// Fraction digits that a mean of decimals has at least.
const MIN_MEAN_SCALE: i8 = 6;

/// Result type of `function` over arguments of these types, by Flink's rules; an error names the types that do not fit.
pub fn return_type(function: AggregateFunction, args: &[DataType]) -> Result<DataType> {
    use AggregateFunction as F;
    let result = match (function, args) {
        (F::Count, _) => Some(DataType::Int64),
        (F::Sum, [t]) => sum_type(t),
        (F::Avg | F::StddevPop | F::StddevSamp | F::VarPop | F::VarSamp, [t]) => mean_type(t),
        (F::Min | F::Max, [t]) if !t.is_nested() && *t != DataType::Null => Some(t.clone()),
        (F::FirstValue | F::LastValue | F::SingleValue, [t]) => Some(t.clone()),
        (F::ListAgg, [DataType::Utf8] | [DataType::Utf8, DataType::Utf8]) => Some(DataType::Utf8),
        (F::Collect, [t]) => Some(multiset_of(t)),
        (F::ArrayAgg, [t]) => Some(DataType::List(Arc::new(Field::new("item", t.clone(), true)))),
        (F::JsonArrayAgg | F::JsonArrayAggNullOnNull, [_]) => Some(DataType::Utf8),
        (F::JsonObjectAgg | F::JsonObjectAggAbsentOnNull, [DataType::Utf8, _]) => Some(DataType::Utf8),
        _ => None,
    };
    result.ok_or_else(|| refuse(function, args))
}

/// `MULTISET<t>` as Arrow has it.
fn multiset_of(t: &DataType) -> DataType {
    let fields = vec![Field::new("key", t.clone(), false), Field::new("value", DataType::Int32, true)];
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(Fields::from(fields)), false)), false)
}

fn sum_type(t: &DataType) -> Option<DataType> {
    match t {
        DataType::Decimal128(_, scale) => Some(DataType::Decimal128(MAX_PRECISION, *scale)),
        t if is_number(t) => Some(t.clone()),
        _ => None,
    }
}

fn mean_type(t: &DataType) -> Option<DataType> {
    match t {
        DataType::Decimal128(_, scale) => Some(DataType::Decimal128(MAX_PRECISION, MIN_MEAN_SCALE.max(*scale))),
        t if is_number(t) => Some(t.clone()),
        _ => None,
    }
}

fn is_number(t: &DataType) -> bool {
    use DataType::{Float32, Float64, Int8, Int16, Int32, Int64};
    matches!(t, Int8 | Int16 | Int32 | Int64 | Float32 | Float64)
}

fn refuse(function: AggregateFunction, args: &[DataType]) -> Error {
    let name = function.name();
    let types: Vec<String> = args.iter().map(|t| format!("<{}>", sql_name(t))).collect();
    let form = match function {
        AggregateFunction::Min | AggregateFunction::Max => "<COMPARABLE_TYPE>",
        AggregateFunction::ListAgg => "<CHARACTER>[, <CHARACTER>]",
        AggregateFunction::JsonObjectAgg | AggregateFunction::JsonObjectAggAbsentOnNull => {
            "KEY <CHARACTER> VALUE <ANY>"
        }
        AggregateFunction::Sum
        | AggregateFunction::Avg
        | AggregateFunction::StddevPop
        | AggregateFunction::StddevSamp
        | AggregateFunction::VarPop
        | AggregateFunction::VarSamp => "<NUMERIC>",
        _ => "<ANY>",
    };
    Error::data(format!("Cannot apply '{name}' to arguments of type '{name}({})'", types.join(", ")))
        .with_hint(format!("supported form: {name}({form})"))
}

/// The SQL name of a type, as it stands in Flink's messages.
fn sql_name(t: &DataType) -> String {
    match t {
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INTEGER".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::Float32 => "FLOAT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Utf8 => "VARCHAR(2147483647)".into(),
        DataType::Binary => "VARBINARY(2147483647)".into(),
        DataType::Date32 => "DATE".into(),
        DataType::Time32(_) | DataType::Time64(_) => "TIME".into(),
        DataType::Timestamp(_, None) => "TIMESTAMP".into(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP_WITH_LOCAL_TIME_ZONE".into(),
        DataType::List(item) => format!("{} ARRAY", sql_name(item.data_type())),
        DataType::Map(_, _) => "MAP".into(),
        DataType::Struct(_) => "ROW".into(),
        other => other.to_string(),
    }
}

impl AggregateFunction {
    /// The SQL name.
    pub fn name(self) -> &'static str {
        match self {
            AggregateFunction::Count => "COUNT",
            AggregateFunction::Sum => "SUM",
            AggregateFunction::Avg => "AVG",
            AggregateFunction::Min => "MIN",
            AggregateFunction::Max => "MAX",
            AggregateFunction::FirstValue => "FIRST_VALUE",
            AggregateFunction::LastValue => "LAST_VALUE",
            AggregateFunction::ListAgg => "LISTAGG",
            AggregateFunction::Collect => "COLLECT",
            AggregateFunction::ArrayAgg => "ARRAY_AGG",
            AggregateFunction::StddevPop => "STDDEV_POP",
            AggregateFunction::StddevSamp => "STDDEV_SAMP",
            AggregateFunction::VarPop => "VAR_POP",
            AggregateFunction::VarSamp => "VAR_SAMP",
            AggregateFunction::SingleValue => "SINGLE_VALUE",
            AggregateFunction::JsonArrayAgg | AggregateFunction::JsonArrayAggNullOnNull => "JSON_ARRAYAGG",
            AggregateFunction::JsonObjectAgg | AggregateFunction::JsonObjectAggAbsentOnNull => "JSON_OBJECTAGG",
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn result_types_follow_flink() {
        use AggregateFunction as F;
        let decimal = DataType::Decimal128(10, 2);
        assert_eq!(return_type(F::Sum, &[DataType::Int32]).unwrap(), DataType::Int32);
        assert_eq!(return_type(F::Sum, std::slice::from_ref(&decimal)).unwrap(), DataType::Decimal128(38, 2));
        assert_eq!(return_type(F::Avg, std::slice::from_ref(&decimal)).unwrap(), DataType::Decimal128(38, 6));
        assert_eq!(return_type(F::Avg, &[DataType::Decimal128(20, 9)]).unwrap(), DataType::Decimal128(38, 9));
        assert_eq!(return_type(F::StddevPop, &[DataType::Int32]).unwrap(), DataType::Int32);
        assert_eq!(return_type(F::Count, &[DataType::Utf8, decimal]).unwrap(), DataType::Int64);
    }

    #[test]
    fn wrong_types_are_refused_in_flinks_words() {
        let error = return_type(AggregateFunction::Sum, &[DataType::Utf8]).unwrap_err();
        assert_eq!(error.to_string(), "Cannot apply 'SUM' to arguments of type 'SUM(<VARCHAR(2147483647)>)'");
        assert_eq!(error.hint(), Some("supported form: SUM(<NUMERIC>)"));
    }
}
