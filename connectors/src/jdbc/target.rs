//! The table in the database, and whether the declared columns fit into it without loss.
//!
//! [`fit`] compares the declaration with what the database says and returns one [`Rule`] per column: what must still be
//! checked value by value, because the database itself would silently round or cut it even in its strict mode.

use arrow::datatypes::{DataType, Field, TimeUnit};
use eddyline_engine::connector::nearest;
use eddyline_engine::{Error, Result};

/// What a column of the target can hold.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum TargetType {
    /// Any whole number type; the database refuses what is out of range.
    Integer,
    /// `BIT`.
    Bit,
    Float,
    Double,
    Decimal {
        scale: u32,
    },
    Text {
        max_chars: Option<u64>,
        max_bytes: Option<u64>,
    },
    Bytes {
        max_bytes: Option<u64>,
    },
    Date,
    Time {
        digits: u32,
    },
    DateTime {
        digits: u32,
    },
    /// SQLite's NUMERIC affinity: numbers become INTEGER or REAL, other text stays.
    Numeric,
    /// SQLite's BLOB affinity: takes everything as it is.
    Any,
    /// Types with a text form that the database checks: ENUM, JSON, UUID.
    Checked,
}

/// How the database compares texts of a column.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Collation {
    pub(super) name: String,
    /// True when different texts of equal length can be equal (letter case, accents).
    pub(super) merges: bool,
    /// True when spaces at the end do not count.
    pub(super) pads: bool,
}

/// One column of the table in the database.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TargetColumn {
    pub(super) name: String,
    /// The type as the database spells it.
    pub(super) declared: String,
    pub(super) target: TargetType,
    /// None for columns that are no text.
    pub(super) collation: Option<Collation>,
    /// True when an INSERT must give a value: NOT NULL, no default, not made by the database.
    pub(super) required: bool,
    /// True when the database computes it.
    pub(super) generated: bool,
}

/// The table in the database.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TargetTable {
    /// In the table's order.
    pub(super) columns: Vec<TargetColumn>,
    /// Columns of the primary key and of each unique index over whole columns.
    pub(super) unique_keys: Vec<Vec<String>>,
    /// The storage engine, when it has no transactions.
    pub(super) engine_without_transactions: Option<String>,
}

/// What must be checked in each value of a column before it is sent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    /// Name in the target, for statements and messages.
    pub(super) name: String,
    /// The target's spelling of its type, for messages.
    pub(super) declared: String,
    pub(super) target: TargetType,
    /// True for a text key under which `'a'` equals `'a '`: values that end in a space are refused.
    pub(super) refuse_trailing_space: bool,
}

/// What the table in the database must be fit for.
pub(super) struct Fit<'a> {
    /// Its name, for messages.
    pub(super) table: &'a str,
    /// The declared columns.
    pub(super) fields: &'a [&'a Field],
    pub(super) primary_key: &'a [String],
    /// Accept key collations under which distinct rows are equal.
    pub(super) allow_collation: bool,
    /// True when writes must be all or nothing.
    pub(super) transactional: bool,
}

/// Compares what is wanted with the table in the database; one rule per declared column.
pub(super) fn fit(wanted: &Fit<'_>, target: &TargetTable) -> Result<Vec<Rule>> {
    let Fit { table, fields, primary_key, allow_collation, transactional } = *wanted;
    if let Some(engine) = target.engine_without_transactions.as_ref().filter(|_| transactional) {
        let message = format!("table '{table}' has the storage engine {engine}, which has no transactions");
        let hint =
            "exactly-once needs them: ALTER TABLE … ENGINE = InnoDB, or set 'eddyline.sink.exactly-once' = 'false'";
        return Err(refused(message, hint));
    }
    let mut rules = Vec::with_capacity(fields.len());
    for field in fields {
        let column = find(table, field.name(), target)?;
        if column.generated {
            let hint = format!("leave '{}' out of the table's declaration", field.name());
            return Err(refused(format!("column '{}' of table '{table}' is generated there", field.name()), hint));
        }
        if let Err(hint) = holds(field.data_type(), &column.target) {
            let message = format!(
                "column '{}' of table '{table}' is {} there and cannot hold {} without loss",
                field.name(),
                column.declared,
                type_name(field)
            );
            return Err(refused(message, hint));
        }
        let is_key = primary_key.contains(field.name());
        let mut refuse_trailing_space = false;
        if let Some(collation) = column.collation.as_ref().filter(|_| is_key && !allow_collation) {
            check_collation(table, column, collation)?;
            refuse_trailing_space = collation.pads;
        }
        rules.push(Rule {
            name: column.name.clone(),
            declared: column.declared.clone(),
            target: column.target.clone(),
            refuse_trailing_space,
        });
    }
    check_unwritten(table, fields, target)?;
    if !primary_key.is_empty() {
        check_key(table, primary_key, target)?;
    }
    Ok(rules)
}

fn refused(message: String, hint: impl Into<String>) -> Error {
    Error::refused("jdbc", message, hint)
}

fn find<'a>(table: &str, name: &str, target: &'a TargetTable) -> Result<&'a TargetColumn> {
    let exact = target.columns.iter().find(|c| c.name == name);
    exact.or_else(|| target.columns.iter().find(|c| c.name.eq_ignore_ascii_case(name))).ok_or_else(|| {
        let names: Vec<&str> = target.columns.iter().map(|c| c.name.as_str()).collect();
        let near = nearest(name, names.iter().copied()).map(|n| format!("did you mean '{n}'? "));
        let hint = format!("{}The table has the columns {}", near.unwrap_or_default(), names.join(", "));
        refused(format!("table '{table}' has no column '{name}'"), hint)
    })
}

fn check_unwritten(table: &str, fields: &[&Field], target: &TargetTable) -> Result<()> {
    let written = |c: &TargetColumn| fields.iter().any(|f| f.name().eq_ignore_ascii_case(&c.name));
    match target.columns.iter().find(|c| c.required && !written(c)) {
        None => Ok(()),
        Some(c) => Err(refused(
            format!(
                "column '{}' of table '{table}' is NOT NULL without a default, and nothing is written into it",
                c.name
            ),
            "declare the column in CREATE TABLE, or give it a default in the database",
        )),
    }
}

fn check_key(table: &str, primary_key: &[String], target: &TargetTable) -> Result<()> {
    let same = |key: &Vec<String>| {
        key.len() == primary_key.len() && primary_key.iter().all(|p| key.iter().any(|k| k.eq_ignore_ascii_case(p)))
    };
    if !target.unique_keys.iter().any(same) {
        let list = primary_key.join(", ");
        let there: Vec<String> = target.unique_keys.iter().map(|k| format!("({})", k.join(", "))).collect();
        let there = if there.is_empty() { "none".to_string() } else { there.join(", ") };
        return Err(refused(
            format!("table '{table}' has no primary or unique key on exactly ({list})"),
            format!("its keys: {there}. Declare that key, or add PRIMARY KEY ({list}) to the table in the database"),
        ));
    }
    let foreign = target
        .unique_keys
        .iter()
        .find(|key| !same(key) && !primary_key.iter().all(|p| key.iter().any(|k| k.eq_ignore_ascii_case(p))));
    if let Some(key) = foreign {
        tracing::warn!(
            table,
            key = key.join(", "),
            "another unique key of the table may redirect upserts to other rows"
        );
    }
    Ok(())
}

fn check_collation(table: &str, column: &TargetColumn, collation: &Collation) -> Result<()> {
    if !collation.merges {
        return Ok(());
    }
    Err(refused(
        format!(
            "key column '{}' of table '{table}' has collation {}, under which different texts are equal ('Ab' = 'ab'): \
             rows would be merged",
            column.name, collation.name
        ),
        format!(
            "use a binary collation such as utf8mb4_bin for that column, or set '{}' = 'true'",
            super::config::ALLOW_COLLATION
        ),
    ))
}

/// Whether every value of `source` can be stored in `target`, the rules' checks of single values aside; else a hint.
fn holds(source: &DataType, target: &TargetType) -> std::result::Result<(), &'static str> {
    use DataType as D;
    use TargetType as T;
    let ok = match (source, target) {
        (_, T::Any) => !source.is_nested(),
        (D::Int8 | D::Int16, T::Float) => true,
        (D::Int8 | D::Int16 | D::Int32, T::Double) => true,
        (D::Int8 | D::Int16 | D::Int32 | D::Int64, T::Integer | T::Decimal { .. } | T::Numeric | T::Text { .. }) => {
            true
        }
        (D::Boolean, T::Integer | T::Bit | T::Numeric) => true,
        (D::Float32, T::Float | T::Double | T::Numeric) | (D::Float64, T::Double | T::Numeric) => true,
        (D::Decimal128(_, _), T::Decimal { .. } | T::Text { .. }) => true,
        (D::Decimal128(_, 0), T::Integer) => true,
        (D::Decimal128(precision, _), T::Numeric | T::Double) => *precision <= 15,
        (D::Utf8, T::Text { .. } | T::Checked | T::Bytes { .. }) | (D::Binary, T::Bytes { .. }) => true,
        (D::Date32, T::Date | T::DateTime { .. } | T::Text { .. } | T::Numeric) => true,
        (D::Time32(_), T::Time { .. } | T::Text { .. } | T::Numeric) => true,
        (D::Timestamp(_, _), T::DateTime { .. } | T::Text { .. } | T::Numeric) => true,
        _ => false,
    };
    if ok { Ok(()) } else { Err("change the column's type in the database, or CAST the value in the query") }
}

/// Flink's name of a field's type.
pub(super) fn type_name(field: &Field) -> String {
    if let Some(name) = field.metadata().get("flink.type") {
        return name.clone();
    }
    match field.data_type() {
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::Float32 => "FLOAT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Utf8 => "STRING".into(),
        DataType::Binary => "BYTES".into(),
        DataType::Date32 => "DATE".into(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Time32(unit) => format!("TIME({})", digits(unit)),
        DataType::Timestamp(unit, None) => format!("TIMESTAMP({})", digits(unit)),
        DataType::Timestamp(unit, Some(_)) => format!("TIMESTAMP_LTZ({})", digits(unit)),
        other => other.to_string(),
    }
}

/// Digits after the second of a time unit.
pub(super) fn digits(unit: &TimeUnit) -> u32 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}
