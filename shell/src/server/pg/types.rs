//! Flink's types as PostgreSQL knows them.
//!
//! | Flink | PostgreSQL |
//! |---|---|
//! | TINYINT, SMALLINT; INT; BIGINT | int2; int4; int8 |
//! | FLOAT; DOUBLE; DECIMAL(p, s) | float4; float8; numeric(p, s) |
//! | BOOLEAN | bool |
//! | CHAR(n); VARCHAR(n); STRING | bpchar(n); varchar(n); text |
//! | BINARY, VARBINARY, BYTES | bytea |
//! | DATE; TIME; TIMESTAMP; TIMESTAMP_LTZ | date; time; timestamp; timestamptz |
//! | INTERVAL | interval |
//! | ARRAY of one of the above | its array |
//! | other ARRAY, MAP, MULTISET, ROW | jsonb |

use arrow::datatypes::{DataType, Field, Schema};
use eddyline_sql::types::{ColumnType, FlinkType};
use pgwire::api::Type;
use pgwire::messages::data::FieldDescription;

/// Where `datafusion-pg-catalog` notes that a number is an object identifier.
const OID_METADATA: &str = "pg.oid_alias";

/// Where we note PostgreSQL's number of a column's type, when it is another than Arrow's type says.
pub const PG_TYPE_METADATA: &str = "eddyline.pg_type";

/// Name of the column that says what a change does to the result.
pub const OP_COLUMN: &str = "op";

/// One column of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Name.
    pub name: String,
    /// PostgreSQL's type.
    pub pg_type: Type,
    /// PostgreSQL's type modifier; -1 for none.
    pub modifier: i32,
    /// The Arrow type that values are brought to before they are written.
    pub arrow: DataType,
}

/// The columns of a result.
pub fn columns(schema: &Schema) -> Vec<Column> {
    schema.fields().iter().map(|field| column(field)).collect()
}

/// The column that comes first in a result whose rows may be taken back.
pub fn op_column() -> Column {
    Column { name: OP_COLUMN.to_string(), pg_type: Type::TEXT, modifier: -1, arrow: DataType::Utf8 }
}

fn column(field: &Field) -> Column {
    let flink = ColumnType::from_arrow(field).data_type;
    let is_oid = field.metadata().contains_key(OID_METADATA);
    let noted = field.metadata().get(PG_TYPE_METADATA).and_then(|oid| Type::from_oid(oid.parse().ok()?));
    let arrow = if flink == FlinkType::Null { DataType::Utf8 } else { flink.to_arrow() };
    Column {
        name: field.name().clone(),
        pg_type: noted.unwrap_or_else(|| if is_oid { Type::OID } else { pg_type(&flink) }),
        modifier: modifier(&flink),
        arrow,
    }
}

impl Column {
    /// The column as the client is told of it; `format` 0 is text, 1 binary.
    pub fn description(&self, format: i16) -> FieldDescription {
        FieldDescription::new(self.name.clone(), 0, 0, self.pg_type.oid(), size(&self.pg_type), self.modifier, format)
    }
}

/// PostgreSQL's type for one of Flink's.
pub fn pg_type(flink: &FlinkType) -> Type {
    match flink {
        FlinkType::Array(item) => match item.data_type {
            FlinkType::Array(_) => Type::JSONB,
            ref item => array_of(&pg_type(item)).unwrap_or(Type::JSONB),
        },
        FlinkType::TinyInt | FlinkType::SmallInt => Type::INT2,
        FlinkType::Int => Type::INT4,
        FlinkType::BigInt => Type::INT8,
        FlinkType::Float => Type::FLOAT4,
        FlinkType::Double => Type::FLOAT8,
        FlinkType::Decimal { .. } => Type::NUMERIC,
        FlinkType::Boolean => Type::BOOL,
        FlinkType::Char(_) => Type::BPCHAR,
        FlinkType::Varchar(_) => Type::VARCHAR,
        FlinkType::String | FlinkType::Null => Type::TEXT,
        FlinkType::Binary(_) | FlinkType::Varbinary(_) | FlinkType::Bytes => Type::BYTEA,
        FlinkType::Date => Type::DATE,
        FlinkType::Time(_) => Type::TIME,
        FlinkType::Timestamp(_) => Type::TIMESTAMP,
        FlinkType::TimestampLtz(_) => Type::TIMESTAMPTZ,
        FlinkType::IntervalYearMonth | FlinkType::IntervalDayTime => Type::INTERVAL,
        FlinkType::Map(_, _) | FlinkType::Multiset(_) | FlinkType::Row(_) => Type::JSONB,
    }
}

/// Flink's type for one of PostgreSQL's, where a parameter can have it.
pub fn flink_type(oid: u32) -> Option<FlinkType> {
    Some(match Type::from_oid(oid)? {
        Type::INT2 => FlinkType::SmallInt,
        Type::INT4 => FlinkType::Int,
        Type::INT8 | Type::OID => FlinkType::BigInt,
        Type::FLOAT4 => FlinkType::Float,
        Type::FLOAT8 => FlinkType::Double,
        Type::NUMERIC => FlinkType::Decimal { precision: 38, scale: 18 },
        Type::BOOL => FlinkType::Boolean,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::CHAR | Type::NAME => FlinkType::String,
        Type::BYTEA => FlinkType::Bytes,
        Type::DATE => FlinkType::Date,
        Type::TIME => FlinkType::Time(3),
        Type::TIMESTAMP => FlinkType::Timestamp(6),
        Type::TIMESTAMPTZ => FlinkType::TimestampLtz(6),
        Type::OID_ARRAY | Type::INT4_ARRAY | Type::INT8_ARRAY => {
            FlinkType::Array(Box::new(ColumnType::nullable(FlinkType::BigInt)))
        }
        _ => return None,
    })
}

/// Types and the arrays of them.
pub const ARRAYS: [(Type, Type); 16] = [
    (Type::INT2, Type::INT2_ARRAY),
    (Type::INT4, Type::INT4_ARRAY),
    (Type::INT8, Type::INT8_ARRAY),
    (Type::FLOAT4, Type::FLOAT4_ARRAY),
    (Type::FLOAT8, Type::FLOAT8_ARRAY),
    (Type::NUMERIC, Type::NUMERIC_ARRAY),
    (Type::BOOL, Type::BOOL_ARRAY),
    (Type::BPCHAR, Type::BPCHAR_ARRAY),
    (Type::VARCHAR, Type::VARCHAR_ARRAY),
    (Type::TEXT, Type::TEXT_ARRAY),
    (Type::BYTEA, Type::BYTEA_ARRAY),
    (Type::DATE, Type::DATE_ARRAY),
    (Type::TIME, Type::TIME_ARRAY),
    (Type::TIMESTAMP, Type::TIMESTAMP_ARRAY),
    (Type::TIMESTAMPTZ, Type::TIMESTAMPTZ_ARRAY),
    (Type::INTERVAL, Type::INTERVAL_ARRAY),
];

/// The array type whose elements are of `item`.
fn array_of(item: &Type) -> Option<Type> {
    ARRAYS.iter().find(|(one, _)| one == item).map(|(_, array)| array.clone())
}

/// The type of an array's elements.
pub fn item_of(array: &Type) -> Type {
    ARRAYS.iter().find(|(_, many)| many == array).map_or(Type::TEXT, |(item, _)| item.clone())
}

/// Bytes of a value; -1 when they vary.
fn size(pg_type: &Type) -> i16 {
    match *pg_type {
        Type::BOOL => 1,
        Type::INT2 => 2,
        Type::INT4 | Type::FLOAT4 | Type::DATE | Type::OID => 4,
        Type::INT8 | Type::FLOAT8 | Type::TIME | Type::TIMESTAMP | Type::TIMESTAMPTZ => 8,
        Type::INTERVAL => 16,
        _ => -1,
    }
}

/// Precision and length as PostgreSQL packs them.
fn modifier(flink: &FlinkType) -> i32 {
    match flink {
        FlinkType::Decimal { precision, scale } => ((i32::from(*precision) << 16) | i32::from(*scale)) + 4,
        FlinkType::Char(length) | FlinkType::Varchar(length) => {
            i32::try_from(*length).map_or(-1, |n| n.saturating_add(4))
        }
        FlinkType::Time(p) | FlinkType::Timestamp(p) | FlinkType::TimestampLtz(p) => i32::from((*p).min(6)),
        _ => -1,
    }
}
