//! Facts about columns that travel with them through DataFusion's plans, as field metadata: whether a column is a time
//! attribute, and whether it is a bound of a window.
//!
//! DataFusion keeps a field's metadata for plain column references, aliases and group keys, and drops it for every
//! computed value, which is exactly when Flink says that a column stops to be a time attribute.

use std::collections::HashMap;

use arrow::datatypes::Field;

const TIME: &str = "flink.time";
const WINDOW: &str = "flink.window";

/// The kind of a time attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeAttribute {
    /// Event time, with watermarks.
    Rowtime,
    /// The machine's time when the row is processed.
    Proctime,
}

/// Which column of a window table function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowColumn {
    /// `window_start`.
    Start,
    /// `window_end`.
    End,
    /// `window_time`.
    Time,
}

/// The time attribute that `field` is, if it is one.
pub fn time_attribute(field: &Field) -> Option<TimeAttribute> {
    match field.metadata().get(TIME)?.as_str() {
        "rowtime" => Some(TimeAttribute::Rowtime),
        "proctime" => Some(TimeAttribute::Proctime),
        _ => None,
    }
}

/// The window column that `field` is, if it is one.
pub fn window_column(field: &Field) -> Option<WindowColumn> {
    match field.metadata().get(WINDOW)?.as_str() {
        "start" => Some(WindowColumn::Start),
        "end" => Some(WindowColumn::End),
        "time" => Some(WindowColumn::Time),
        _ => None,
    }
}

fn with(field: Field, key: &str, value: &str) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.insert(key.to_string(), value.to_string());
    field.with_metadata(metadata)
}

/// `field` as an event-time attribute.
pub fn mark_rowtime(field: &Field) -> Field {
    with(field.clone(), TIME, "rowtime")
}

/// Metadata of a processing-time attribute.
pub fn proctime_metadata() -> HashMap<String, String> {
    HashMap::from([(TIME.to_string(), "proctime".to_string())])
}

/// `field` with the time attribute of `from`, if it has one.
pub fn copy_time(field: Field, from: &Field) -> Field {
    match from.metadata().get(TIME) {
        Some(kind) => with(field, TIME, kind),
        None => field,
    }
}

/// `field` as a window column.
pub fn with_window(field: Field, column: WindowColumn) -> Field {
    let value = match column {
        WindowColumn::Start => "start",
        WindowColumn::End => "end",
        WindowColumn::Time => "time",
    };
    with(field, WINDOW, value)
}

/// `field` without the marks that only planning needs, for the schemas of results.
pub fn unmarked(field: &Field) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.remove(TIME);
    metadata.remove(WINDOW);
    field.clone().with_metadata(metadata)
}
