//! NOT NULL enforcement before a sink: a NULL in such a column stops the job or drops the row. Stateless.

use arrow::array::{Array, BooleanArray};
use arrow::compute::{and, is_not_null};

use crate::changelog::ChangelogBatch;
use crate::error::{Error, Result};
use crate::operator::{Operator, Output};

/// Checks the NOT NULL columns of a sink table (`table.exec.sink.not-null-enforcer`).
pub struct NotNullEnforcer {
    columns: Vec<(usize, String)>,
    drop: bool,
}

impl NotNullEnforcer {
    /// Index and name of each column to check; `drop` leaves bad rows out instead of failing.
    pub fn new(columns: Vec<(usize, String)>, drop: bool) -> Self {
        NotNullEnforcer { columns, drop }
    }
}

impl Operator for NotNullEnforcer {
    fn on_batch(&mut self, _port: usize, batch: ChangelogBatch, out: &mut Output) -> Result<()> {
        let mut keep: Option<BooleanArray> = None;
        for (index, name) in &self.columns {
            let column = batch.column(*index);
            if column.logical_null_count() == 0 {
                continue;
            }
            if !self.drop {
                return Err(Error::data(format!(
                    "Column '{name}' is NOT NULL, however, a null value is being written into it. You can set job \
                     configuration 'table.exec.sink.not-null-enforcer'='DROP' to suppress this exception and drop \
                     such records silently."
                )));
            }
            let present = is_not_null(column)?;
            keep = Some(match keep {
                Some(others) => and(&others, &present)?,
                None => present,
            });
        }
        out.emit(match keep {
            Some(keep) => batch.filter(&keep)?,
            None => batch,
        });
        Ok(())
    }
}
