//! Flink's SQL types: how they are spelt, and which Arrow types carry them.

mod arrow;

use std::fmt;

use crate::error::Result;
use crate::parse::parse_type;

pub use self::arrow::TYPE_KEY;

/// A type with its nullability: the type of a column, an element, a field.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ColumnType {
    /// The type.
    pub data_type: FlinkType,
    /// False for `NOT NULL`.
    pub nullable: bool,
}

/// Every type of Flink SQL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FlinkType {
    /// `TINYINT`.
    TinyInt,
    /// `SMALLINT`.
    SmallInt,
    /// `INT`.
    Int,
    /// `BIGINT`.
    BigInt,
    /// `FLOAT`.
    Float,
    /// `DOUBLE`.
    Double,
    /// `DECIMAL(p, s)`.
    Decimal {
        /// Digits, 1 to 38.
        precision: u8,
        /// Digits behind the point.
        scale: u8,
    },
    /// `BOOLEAN`.
    Boolean,
    /// `CHAR(n)`.
    Char(u32),
    /// `VARCHAR(n)`; the longest is [`FlinkType::String`].
    Varchar(u32),
    /// `STRING`.
    String,
    /// `BINARY(n)`.
    Binary(u32),
    /// `VARBINARY(n)`; the longest is [`FlinkType::Bytes`].
    Varbinary(u32),
    /// `BYTES`.
    Bytes,
    /// `DATE`.
    Date,
    /// `TIME(p)`.
    Time(u8),
    /// `TIMESTAMP(p)`: wall clock without a zone.
    Timestamp(u8),
    /// `TIMESTAMP_LTZ(p)`: an instant.
    TimestampLtz(u8),
    /// `INTERVAL YEAR TO MONTH`.
    IntervalYearMonth,
    /// `INTERVAL DAY TO SECOND`.
    IntervalDayTime,
    /// `ARRAY<t>`.
    Array(Box<ColumnType>),
    /// `MAP<k, v>`.
    Map(Box<ColumnType>, Box<ColumnType>),
    /// `MULTISET<t>`.
    Multiset(Box<ColumnType>),
    /// `ROW<a t, …>`.
    Row(Vec<RowField>),
    /// The type of a bare `NULL`.
    Null,
}

/// One field of a `ROW`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RowField {
    /// Name.
    pub name: String,
    /// Type.
    pub data_type: ColumnType,
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.data_type, if self.nullable { "" } else { " NOT NULL" })
    }
}

impl fmt::Display for FlinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FlinkType::TinyInt => f.write_str("TINYINT"),
            FlinkType::SmallInt => f.write_str("SMALLINT"),
            FlinkType::Int => f.write_str("INT"),
            FlinkType::BigInt => f.write_str("BIGINT"),
            FlinkType::Float => f.write_str("FLOAT"),
            FlinkType::Double => f.write_str("DOUBLE"),
            FlinkType::Decimal { precision, scale } => write!(f, "DECIMAL({precision}, {scale})"),
            FlinkType::Boolean => f.write_str("BOOLEAN"),
            FlinkType::Char(length) => write!(f, "CHAR({length})"),
            FlinkType::Varchar(length) => write!(f, "VARCHAR({length})"),
            FlinkType::String => f.write_str("STRING"),
            FlinkType::Binary(length) => write!(f, "BINARY({length})"),
            FlinkType::Varbinary(length) => write!(f, "VARBINARY({length})"),
            FlinkType::Bytes => f.write_str("BYTES"),
            FlinkType::Date => f.write_str("DATE"),
            FlinkType::Time(precision) => write!(f, "TIME({precision})"),
            FlinkType::Timestamp(precision) => write!(f, "TIMESTAMP({precision})"),
            FlinkType::TimestampLtz(precision) => write!(f, "TIMESTAMP_LTZ({precision})"),
            FlinkType::IntervalYearMonth => f.write_str("INTERVAL YEAR TO MONTH"),
            FlinkType::IntervalDayTime => f.write_str("INTERVAL DAY TO SECOND(3)"),
            FlinkType::Array(item) => write!(f, "ARRAY<{item}>"),
            FlinkType::Map(key, value) => write!(f, "MAP<{key}, {value}>"),
            FlinkType::Multiset(item) => write!(f, "MULTISET<{item}>"),
            FlinkType::Row(fields) => {
                f.write_str("ROW<")?;
                for (i, field) in fields.iter().enumerate() {
                    let comma = if i == 0 { "" } else { ", " };
                    write!(f, "{comma}`{}` {}", field.name.replace('`', "``"), field.data_type)?;
                }
                f.write_str(">")
            }
            FlinkType::Null => f.write_str("NULL"),
        }
    }
}

impl ColumnType {
    /// A nullable type.
    pub fn nullable(data_type: FlinkType) -> Self {
        ColumnType { data_type, nullable: true }
    }

    /// A `NOT NULL` type.
    pub fn not_null(data_type: FlinkType) -> Self {
        ColumnType { data_type, nullable: false }
    }

    /// The type that a piece of AST names: the target of a CAST, the type of a literal such as `DATE '2020-01-01'`.
    pub fn from_ast(data_type: &sqlparser::ast::DataType) -> Result<Self> {
        parse_type(&data_type.to_string())
    }
}
