//! One small value, such as a watermark: stored as JSON, one row per subtask.

use std::sync::{Arc, LazyLock};

use arrow::array::{AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Distribution, State};
use crate::error::{Error, Result};

static SCHEMA: LazyLock<SchemaRef> =
    LazyLock::new(|| Arc::new(Schema::new(vec![Field::new("value", DataType::Utf8, false)])));

/// A value that every subtask keeps for itself. On restore each subtask sees the values of all and combines them.
///
/// ```
/// use eddyline_engine::state::{State, value::Value};
/// let (mut a, mut b, mut restored) = (Value::new(7, i64::min), Value::new(5, i64::min), Value::new(0, i64::min));
/// for rows in a.snapshot()?.iter().chain(&b.snapshot()?) {
///     restored.restore(rows)?;
/// }
/// assert_eq!(*restored.get(), 5);
/// # Ok::<(), eddyline_engine::Error>(())
/// ```
pub struct Value<T> {
    value: T,
    combine: fn(T, T) -> T,
    restored: bool,
}

impl<T: Clone> Value<T> {
    /// Starts as `value`; `combine` makes one of the values of two subtasks and must not care about their order.
    pub fn new(value: T, combine: fn(T, T) -> T) -> Self {
        Value { value, combine, restored: false }
    }

    /// The value.
    pub fn get(&self) -> &T {
        &self.value
    }

    /// Replaces the value.
    pub fn set(&mut self, value: T) {
        self.value = value;
    }
}

impl<T: Clone + Send + Serialize + DeserializeOwned> State for Value<T> {
    fn schema(&self) -> SchemaRef {
        SCHEMA.clone()
    }

    fn distribution(&self) -> Distribution {
        Distribution::Broadcast
    }

    fn snapshot(&mut self) -> Result<Vec<RecordBatch>> {
        let json = serde_json::to_string(&self.value)
            .map_err(|error| Error::checkpoint(format!("a value cannot be stored as JSON: {error}")))?;
        Ok(vec![RecordBatch::try_new(SCHEMA.clone(), vec![Arc::new(StringArray::from(vec![json]))])?])
    }

    fn restore(&mut self, rows: &RecordBatch) -> Result<()> {
        let values = rows.columns().first().and_then(|column| column.as_string_opt::<i32>());
        let values = values.ok_or_else(|| Error::checkpoint("a stored value lacks its 'value' column"))?;
        for json in values.iter().flatten() {
            let value: T = serde_json::from_str(json)
                .map_err(|error| Error::checkpoint(format!("a stored value is not what it should be: {error}")))?;
            self.value = if self.restored { (self.combine)(self.value.clone(), value) } else { value };
            self.restored = true;
        }
        Ok(())
    }
}
