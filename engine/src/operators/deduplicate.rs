//! First or last row per key: `ROW_NUMBER() OVER (PARTITION BY key ORDER BY time) = 1`.
//!
//! Keeping the last row replaces the one before by `-U`, `+U` whenever a row comes whose time is not earlier; keeping the
//! first in order of arrival only ever inserts.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;

use crate::changelog::{ChangelogBatch, RowKind};
use crate::error::Result;
use crate::operator::{Operator, Output};
use crate::state::States;
use crate::state::multi_row_table::MultiRowTable;
use crate::time::column_micros;

/// Which row of a key stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The one that came first.
    First,
    /// The one that came last, or has the latest time in this column.
    Last {
        /// Time column; None is order of arrival.
        time: Option<usize>,
    },
}

/// Keeps one row per key.
pub struct Deduplicate {
    keys: Vec<usize>,
    keep: Keep,
    schema: SchemaRef,
    rows: MultiRowTable,
}

impl Deduplicate {
    /// An operator over rows of `schema`, by the columns `keys`.
    pub fn new(schema: SchemaRef, keys: Vec<usize>, keep: Keep) -> Result<Self> {
        let rows = MultiRowTable::new(Arc::clone(&schema), keys.clone())?;
        Ok(Deduplicate { keys, keep, schema, rows })
    }

    /// True when a row at `time` takes the place of `stored`.
    fn replaces(&self, stored: &[u8], time: Option<i64>) -> Result<bool> {
        match self.keep {
            Keep::First => Ok(false),
            Keep::Last { time: None } => Ok(true),
            Keep::Last { time: Some(column) } => {
                let old: Vec<ArrayRef> = self.rows.decode([stored])?;
                let old = column_micros(&old[column])?.iter().next().flatten();
                Ok(time >= old)
            }
        }
    }
}

impl Operator for Deduplicate {
    fn on_batch(&mut self, _port: usize, batch: ChangelogBatch, out: &mut Output) -> Result<()> {
        let encoded = self.rows.encode_rows(batch.rows())?;
        let keys = self.rows.encode_keys(batch.rows(), &self.keys)?;
        let times = match self.keep {
            Keep::Last { time: Some(column) } => Some(column_micros(batch.column(column))?),
            _ => None,
        };
        let mut changes: Vec<(RowKind, Box<[u8]>)> = Vec::new();
        for index in 0..batch.len() {
            let (key, row) = (keys.row(index), encoded.row(index));
            let (key, row) = (key.as_ref(), row.as_ref());
            let stored = self.rows.get(key).first().map(|s| s.row.clone());
            match stored {
                None => changes.push((RowKind::Insert, row.into())),
                Some(old) => {
                    let time = times.as_ref().and_then(|t| t.iter().nth(index).flatten());
                    if !self.replaces(&old, time)? {
                        continue;
                    }
                    self.rows.remove(key, &old);
                    changes.push((RowKind::UpdateBefore, old));
                    changes.push((RowKind::UpdateAfter, row.into()));
                }
            }
            self.rows.add(key, row, 0);
        }
        let columns = self.rows.decode(changes.iter().map(|(_, row)| &**row))?;
        if !changes.is_empty() {
            let rows = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
            out.emit(ChangelogBatch::new(rows, changes.iter().map(|c| c.0).collect()));
        }
        Ok(())
    }

    fn states(&mut self) -> States<'_> {
        States::one("rows", &mut self.rows)
    }
}
