//! Flink's names of Arrow types, as error messages spell them.

use arrow::datatypes::{DataType, TimeUnit};

/// The name of `data_type` inside a message such as `UPPER(<INTEGER>)`.
pub(crate) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "NULL".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INTEGER".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::Float32 => "FLOAT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Decimal128(p, s) => format!("DECIMAL({p}, {s})"),
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Utf8 => "VARCHAR(2147483647)".into(),
        DataType::Binary => "VARBINARY(2147483647)".into(),
        DataType::Date32 => "DATE".into(),
        DataType::Time32(unit) | DataType::Time64(unit) => format!("TIME({})", digits(unit)),
        DataType::Timestamp(unit, None) => format!("TIMESTAMP({})", digits(unit)),
        DataType::Timestamp(unit, Some(_)) => format!("TIMESTAMP_LTZ({})", digits(unit)),
        DataType::Interval(_) => "INTERVAL".into(),
        DataType::List(item) => format!("{} ARRAY", type_name(item.data_type())),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                format!("({}, {}) MAP", type_name(fields[0].data_type()), type_name(fields[1].data_type()))
            }
            other => other.to_string(),
        },
        DataType::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|f| format!("{} {}", type_name(f.data_type()), f.name())).collect();
            format!("RecordType({})", fields.join(", "))
        }
        other => other.to_string(),
    }
}

/// The name of the family alone, such as `INTEGER` or `CHAR`; text literals are CHAR, other text is VARCHAR.
pub(crate) fn family_name(data_type: &DataType, literal: bool) -> String {
    match data_type {
        DataType::Utf8 if literal => "CHAR".into(),
        DataType::Utf8 => "VARCHAR".into(),
        DataType::Binary if literal => "BINARY".into(),
        DataType::Binary => "VARBINARY".into(),
        DataType::List(_) => "ARRAY".into(),
        DataType::Map(_, _) => "MAP".into(),
        DataType::Struct(_) => "ROW".into(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP_WITH_LOCAL_TIME_ZONE".into(),
        other => type_name(other).split('(').next().unwrap_or_default().to_string(),
    }
}

fn digits(unit: &TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}
