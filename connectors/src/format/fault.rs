//! What is wrong with one message: raised deep inside a value, completed with the field's name on the way out.

use arrow::datatypes::{DataType, Field, TimeUnit};

/// Result of reading a part of a message.
pub(super) type Parsed<T = ()> = std::result::Result<T, Box<Fault>>;

/// Why a message, or a field of it, cannot be read.
#[derive(Debug)]
pub(super) struct Fault {
    /// True when the whole message is bad; false when the fault is confined to one field, which `ignore-parse-errors`
    /// may replace by NULL.
    pub(super) fatal: bool,
    /// Path of the field, outermost name first.
    path: Vec<String>,
    /// What was found and what was expected.
    message: String,
    /// Where in the message.
    position: Option<usize>,
}

impl Fault {
    /// The message is not well-formed at byte `position`.
    #[cold]
    pub(super) fn syntax(position: usize, message: impl Into<String>) -> Box<Fault> {
        Box::new(Fault { fatal: true, path: Vec::new(), message: message.into(), position: Some(position) })
    }

    /// The message is well-formed, but cannot be a row of this table.
    #[cold]
    pub(super) fn row(message: impl Into<String>) -> Box<Fault> {
        Box::new(Fault { fatal: true, path: Vec::new(), message: message.into(), position: None })
    }

    /// The value at byte `position` is none of its column's type.
    #[cold]
    pub(super) fn value(position: usize, field: &Field, found: impl AsRef<[u8]>) -> Box<Fault> {
        let message = format!("expected {}, found {}", type_name(field), excerpt(found.as_ref(), 60));
        Box::new(Fault { fatal: false, path: Vec::new(), message, position: Some(position) })
    }

    /// The same without a position, where positions are not known.
    #[cold]
    pub(super) fn without_position(mut self: Box<Self>) -> Box<Fault> {
        self.position = None;
        self
    }

    /// The value of one field cannot be used, for the reason given.
    #[cold]
    pub(super) fn field(message: impl Into<String>) -> Box<Fault> {
        Box::new(Fault { fatal: false, path: Vec::new(), message: message.into(), position: None })
    }

    /// NULL where the table says NOT NULL.
    #[cold]
    pub(super) fn null_in_not_null(column: &str) -> Box<Fault> {
        Fault::row(format!("Column '{column}' is NOT NULL, however, a null value is in the message"))
    }

    /// Adds the name of the field around.
    #[cold]
    pub(super) fn within(mut self: Box<Self>, name: &str) -> Box<Fault> {
        self.path.insert(0, name.to_string());
        self
    }

    /// The same for a part of a message that starts at byte `start`.
    #[cold]
    pub(super) fn shifted(mut self: Box<Self>, start: usize) -> Box<Fault> {
        self.position = self.position.map(|position| position + start);
        self
    }

    /// The whole story in one line.
    pub(super) fn describe(&self) -> String {
        let mut text = String::new();
        if !self.path.is_empty() {
            text.push_str(&format!("field '{}': ", self.path.join(".")));
        }
        text.push_str(&self.message);
        if let Some(position) = self.position {
            text.push_str(&format!(" at byte {position}"));
        }
        text
    }
}

/// The beginning of `bytes` as text, cut to about `limit` bytes.
pub(super) fn excerpt(bytes: &[u8], limit: usize) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(limit)]);
    if bytes.len() > limit { format!("{text}…") } else { text.into_owned() }
}

/// Flink's name of the field's type.
pub(crate) fn type_name(field: &Field) -> String {
    field.metadata().get("flink.type").cloned().unwrap_or_else(|| arrow_type_name(field.data_type()))
}

fn arrow_type_name(data_type: &DataType) -> String {
    let digits = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    };
    match data_type {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::Float32 => "FLOAT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Utf8 => "STRING".into(),
        DataType::Binary => "BYTES".into(),
        DataType::Date32 => "DATE".into(),
        DataType::Time32(unit) | DataType::Time64(unit) => format!("TIME({})", digits(unit)),
        DataType::Timestamp(unit, None) => format!("TIMESTAMP({})", digits(unit)),
        DataType::Timestamp(unit, Some(_)) => format!("TIMESTAMP_LTZ({})", digits(unit)),
        DataType::List(item) => format!("ARRAY<{}>", type_name(item)),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(parts) if parts.len() == 2 => {
                format!("MAP<{}, {}>", type_name(&parts[0]), type_name(&parts[1]))
            }
            other => other.to_string(),
        },
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields.iter().map(|f| format!("`{}` {}", f.name(), type_name(f))).collect();
            format!("ROW<{}>", fields.join(", "))
        }
        other => other.to_string(),
    }
}
