//! Flink's types in Arrow's terms, and back.
//!
//! Arrow is coarser: `CHAR(3)`, `VARCHAR(5)` and `STRING` are all `Utf8`. A field carries Flink's spelling in its
//! metadata under [`TYPE_KEY`] where Arrow's type alone would read back as something else. Fields inside nested types
//! carry no metadata and are nullable (keys of maps are not), because Arrow compares both when it compares types; the
//! spelling on the outermost field says it all.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, Fields, IntervalUnit, TimeUnit};

use super::{ColumnType, FlinkType, RowField};
use crate::parse::parse_type;

/// Metadata key of a field for its Flink type.
pub const TYPE_KEY: &str = "flink.type";

impl ColumnType {
    /// An Arrow field of this type.
    pub fn to_field(&self, name: &str) -> Field {
        let data_type = self.data_type.to_arrow();
        let exact = FlinkType::from_arrow(&data_type) == self.data_type;
        let field = Field::new(name, data_type, self.nullable);
        match exact {
            true => field,
            false => field.with_metadata(HashMap::from([(TYPE_KEY.to_string(), self.data_type.to_string())])),
        }
    }

    /// The type of a field. Metadata that does not fit the field's Arrow type is left over from another column and
    /// is ignored.
    pub fn from_arrow(field: &Field) -> Self {
        let spelt = field.metadata().get(TYPE_KEY).and_then(|text| parse_type(text).ok());
        let fitting = spelt.map(|t| t.data_type).filter(|t| t.to_arrow() == *field.data_type());
        let data_type = fitting.unwrap_or_else(|| FlinkType::from_arrow(field.data_type()));
        ColumnType { data_type, nullable: field.is_nullable() }
    }
}

impl FlinkType {
    /// The Arrow type that carries it.
    pub fn to_arrow(&self) -> DataType {
        match self {
            FlinkType::TinyInt => DataType::Int8,
            FlinkType::SmallInt => DataType::Int16,
            FlinkType::Int => DataType::Int32,
            FlinkType::BigInt => DataType::Int64,
            FlinkType::Float => DataType::Float32,
            FlinkType::Double => DataType::Float64,
            FlinkType::Decimal { precision, scale } => DataType::Decimal128(*precision, *scale as i8),
            FlinkType::Boolean => DataType::Boolean,
            FlinkType::Char(_) | FlinkType::Varchar(_) | FlinkType::String => DataType::Utf8,
            FlinkType::Binary(_) | FlinkType::Varbinary(_) | FlinkType::Bytes => DataType::Binary,
            FlinkType::Date => DataType::Date32,
            FlinkType::Time(0) => DataType::Time32(TimeUnit::Second),
            // Like Flink, we keep no more than milliseconds of a TIME.
            FlinkType::Time(_) => DataType::Time32(TimeUnit::Millisecond),
            FlinkType::Timestamp(precision) => DataType::Timestamp(unit(*precision), None),
            FlinkType::TimestampLtz(precision) => DataType::Timestamp(unit(*precision), Some("UTC".into())),
            FlinkType::IntervalYearMonth | FlinkType::IntervalDayTime => DataType::Interval(IntervalUnit::MonthDayNano),
            FlinkType::Array(item) => DataType::List(Arc::new(Field::new("item", item.data_type.to_arrow(), true))),
            FlinkType::Map(key, value) => map(key.data_type.to_arrow(), value.data_type.to_arrow()),
            FlinkType::Multiset(item) => map(item.data_type.to_arrow(), DataType::Int32),
            FlinkType::Row(fields) => DataType::Struct(row(fields)),
            FlinkType::Null => DataType::Null,
        }
    }

    /// The Flink type that fits an Arrow type best; Arrow types that Flink lacks become the next larger one.
    pub fn from_arrow(data_type: &DataType) -> Self {
        match data_type {
            DataType::Int8 => FlinkType::TinyInt,
            DataType::Int16 | DataType::UInt8 => FlinkType::SmallInt,
            DataType::Int32 | DataType::UInt16 => FlinkType::Int,
            DataType::Int64 | DataType::UInt32 => FlinkType::BigInt,
            DataType::UInt64 => FlinkType::Decimal { precision: 20, scale: 0 },
            DataType::Float16 | DataType::Float32 => FlinkType::Float,
            DataType::Float64 => FlinkType::Double,
            DataType::Decimal32(precision, scale)
            | DataType::Decimal64(precision, scale)
            | DataType::Decimal128(precision, scale)
            | DataType::Decimal256(precision, scale) => FlinkType::Decimal {
                precision: (*precision).min(DECIMAL128_MAX_PRECISION),
                scale: (*scale).max(0) as u8,
            },
            DataType::Boolean => FlinkType::Boolean,
            DataType::Date32 | DataType::Date64 => FlinkType::Date,
            DataType::Time32(unit) | DataType::Time64(unit) => FlinkType::Time(precision(*unit)),
            DataType::Timestamp(unit, None) => FlinkType::Timestamp(precision(*unit)),
            DataType::Timestamp(unit, Some(_)) => FlinkType::TimestampLtz(precision(*unit)),
            DataType::Interval(IntervalUnit::YearMonth) => FlinkType::IntervalYearMonth,
            DataType::Interval(_) | DataType::Duration(_) => FlinkType::IntervalDayTime,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => FlinkType::Bytes,
            DataType::FixedSizeBinary(length) => FlinkType::Binary((*length).max(0) as u32),
            DataType::Null => FlinkType::Null,
            nested => nested_from_arrow(nested),
        }
    }
}

fn nested_from_arrow(data_type: &DataType) -> FlinkType {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            FlinkType::Array(Box::new(inner(item)))
        }
        DataType::Struct(fields) => {
            let field = |f: &Arc<Field>| RowField { name: f.name().clone(), data_type: inner(f) };
            FlinkType::Row(fields.iter().map(field).collect())
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                FlinkType::Map(Box::new(inner(&fields[0])), Box::new(inner(&fields[1])))
            }
            _ => FlinkType::String,
        },
        DataType::Dictionary(_, value) => FlinkType::from_arrow(value),
        _ => FlinkType::String,
    }
}

/// Nullability inside nested types is not Arrow's to say.
fn inner(field: &Field) -> ColumnType {
    ColumnType::nullable(FlinkType::from_arrow(field.data_type()))
}

fn unit(precision: u8) -> TimeUnit {
    match precision {
        0 => TimeUnit::Second,
        1..=3 => TimeUnit::Millisecond,
        4..=6 => TimeUnit::Microsecond,
        _ => TimeUnit::Nanosecond,
    }
}

fn precision(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

fn row(fields: &[RowField]) -> Fields {
    fields.iter().map(|f| Field::new(&f.name, f.data_type.data_type.to_arrow(), true)).collect()
}

fn map(key: DataType, value: DataType) -> DataType {
    let entries = Fields::from(vec![Field::new("key", key, false), Field::new("value", value, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn every_type_survives_a_field() {
        for text in [
            "TINYINT",
            "SMALLINT NOT NULL",
            "INT",
            "BIGINT NOT NULL",
            "FLOAT",
            "DOUBLE",
            "DECIMAL(10, 2)",
            "BOOLEAN",
            "CHAR(3)",
            "VARCHAR(5)",
            "STRING",
            "BINARY(2)",
            "VARBINARY(4)",
            "BYTES",
            "DATE",
            "TIME(0)",
            "TIME(1)",
            "TIME(3)",
            "TIME(6)",
            "TIMESTAMP(0)",
            "TIMESTAMP(1)",
            "TIMESTAMP(3)",
            "TIMESTAMP(6)",
            "TIMESTAMP(9)",
            "TIMESTAMP_LTZ(3)",
            "INTERVAL YEAR TO MONTH",
            "INTERVAL DAY TO SECOND(3)",
            "ARRAY<INT NOT NULL>",
            "MAP<STRING, ARRAY<DOUBLE>>",
            "MULTISET<STRING>",
            "ROW<`a` INT, `b` ROW<`c` CHAR(2) NOT NULL>> NOT NULL",
            "NULL",
        ] {
            let declared = parse_type(text).unwrap();
            let field = declared.to_field("f");
            assert_eq!(ColumnType::from_arrow(&field), declared, "{text}");
            assert_eq!(ColumnType::from_arrow(&field).to_string(), text);
        }
    }

    #[test]
    fn metadata_is_written_only_where_arrow_is_coarser() {
        assert!(parse_type("TIMESTAMP(3)").unwrap().to_field("f").metadata().is_empty());
        assert_eq!(parse_type("CHAR(3)").unwrap().to_field("f").metadata()[TYPE_KEY], "CHAR(3)");
    }

    #[test]
    fn stale_metadata_is_ignored() {
        let field = parse_type("CHAR(3)").unwrap().to_field("f").with_data_type(DataType::Int64);
        assert_eq!(ColumnType::from_arrow(&field).to_string(), "BIGINT");
    }

    #[test]
    fn arrow_types_are_the_agreed_ones() {
        assert_eq!(parse_type("TIMESTAMP_LTZ(3)").unwrap().data_type.to_arrow().to_string(), "Timestamp(ms, \"UTC\")");
        assert_eq!(parse_type("TIME(2)").unwrap().data_type.to_arrow(), DataType::Time32(TimeUnit::Millisecond));
        assert_eq!(parse_type("DECIMAL(38, 10)").unwrap().data_type.to_arrow(), DataType::Decimal128(38, 10));
    }
}
