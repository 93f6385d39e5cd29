//! A table of our own: a relation whose writer are statements, with a log that makes each of them last.
//!
//! A statement is worked out against the newest version while no other may write, written to the log, and then made
//! visible as the next version. What nobody could see has not happened, and what somebody has seen is in the log.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::util::display::array_value_to_string;

use super::log::TableLog;
use super::published::{Relation, RelationKind};
use super::shard::Shard;
use super::version::Version;
use crate::changelog::{ChangelogBatch, RowKind};
use crate::error::{Error, Result};

/// Rows per batch when the whole table is written anew.
const COMPACTED_ROWS: usize = 8192;

/// What a statement does to a table.
#[derive(Debug, Default)]
pub struct Edit {
    /// Rows that go, as they are in the table.
    pub removed: Vec<RecordBatch>,
    /// Rows that come, after the others have gone.
    pub added: Vec<RecordBatch>,
    /// What happens to a row that comes with a key that is there already.
    pub on_duplicate: OnDuplicate,
}

/// What happens to a row whose key is there already.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum OnDuplicate {
    /// The statement fails and changes nothing.
    #[default]
    Refuse,
    /// The row that is there stays.
    Keep,
    /// The row that comes takes its place.
    Replace,
}

/// How many rows a statement has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edited {
    /// Rows that went.
    pub removed: usize,
    /// Rows that came, those that took another's place included.
    pub added: usize,
}

/// A relation that statements write, one at a time.
///
/// ```
/// # use std::sync::Arc; use std::time::Duration;
/// # use arrow::array::{Int64Array, RecordBatch}; use arrow::datatypes::{DataType, Field, Schema};
/// # use eddyline_engine::{Error, relation::{Edit, Table}};
/// let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]));
/// let table = Table::in_memory("t", schema.clone(), Some(vec![0]))?;
/// let row = RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![7]))])?;
/// let insert = || Ok::<_, Error>(Edit { added: vec![row.clone()], ..Edit::default() });
/// assert_eq!(table.edit(|_| insert())?.added, 1);
/// assert!(table.edit(|_| insert()).is_err(), "the key is there already");
/// assert_eq!(table.relation().snapshot(Duration::ZERO)?.rows(), 1);
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct Table {
    relation: Arc<Relation>,
    writer: Mutex<Writer>,
}

#[derive(Debug)]
struct Writer {
    /// Number of the newest version.
    sequence: u64,
    /// None for a table that lives as long as the process.
    log: Option<TableLog>,
    dropped: bool,
}

impl Table {
    /// An empty table that lives as long as the process.
    pub fn in_memory(name: &str, schema: SchemaRef, key: Option<Vec<usize>>) -> Result<Self> {
        let relation = Arc::new(Relation::new(RelationKind::Table, name, schema, key)?);
        relation.publish(0, vec![relation.shard()]);
        Ok(Table { relation, writer: Mutex::new(Writer { sequence: 0, log: None, dropped: false }) })
    }

    /// The table whose log is the file at `path`, which is made if need be, with the rows of every statement that was
    /// answered. A log that is damaged is an error that names the file and the place.
    pub fn open(name: &str, schema: SchemaRef, key: Option<Vec<usize>>, path: &Path) -> Result<Self> {
        let relation = Arc::new(Relation::new(RelationKind::Table, name, schema, key)?);
        let mut rows = relation.shard();
        let (log, sequence) = TableLog::open(path, relation.schema(), |batch| rows.write(batch))?;
        relation.publish(sequence, vec![rows]);
        Ok(Table { relation, writer: Mutex::new(Writer { sequence, log: Some(log), dropped: false }) })
    }

    /// What its readers read.
    pub fn relation(&self) -> &Arc<Relation> {
        &self.relation
    }

    /// Lets `work_out` say what to change, given the newest version, which nobody else changes meanwhile; then makes the
    /// change durable and visible. A failure of any of these changes nothing.
    pub fn edit<E: From<Error>>(&self, work_out: impl FnOnce(&Version) -> Result<Edit, E>) -> Result<Edited, E> {
        let mut writer = self.lock();
        if writer.dropped {
            return Err(Error::unavailable(format!("{} was dropped", self.relation.title())).into());
        }
        let version = self.relation.snapshot(Duration::ZERO)?;
        let edit = work_out(&version)?;
        let rows = version.shards().first().cloned().unwrap_or_else(|| self.relation.shard());
        Ok(self.perform(&mut writer, rows, edit)?)
    }

    /// Changes `rows`, those of the newest version.
    fn perform(&self, writer: &mut Writer, mut rows: Shard, edit: Edit) -> Result<Edited> {
        let mut changes = Vec::new();
        for batch in edit.removed.into_iter().filter(|batch| batch.num_rows() > 0) {
            let kinds = std::iter::repeat_n(RowKind::Delete, batch.num_rows()).collect();
            let batch = ChangelogBatch::new(batch, kinds);
            rows.write(&batch)?;
            changes.push(batch);
        }
        let removed = changes.iter().map(ChangelogBatch::len).sum();
        let mut added = 0;
        for batch in edit.added {
            let batch = match self.relation.key() {
                Some(_) => self.resolve(&mut rows, &batch, edit.on_duplicate)?,
                None => {
                    rows.write(&ChangelogBatch::inserts(batch.clone()))?;
                    batch
                }
            };
            added += batch.num_rows();
            changes.extend(Some(ChangelogBatch::inserts(batch)).filter(|batch| !batch.is_empty()));
        }
        if changes.is_empty() {
            return Ok(Edited { removed, added });
        }
        let sequence = writer.sequence + 1;
        if let Some(log) = &mut writer.log {
            log.append(sequence, &changes)?;
        }
        writer.sequence = sequence;
        self.relation.publish(sequence, vec![rows]);
        self.compact(writer);
        Ok(Edited { removed, added })
    }

    /// Adds rows by key and returns those that were added.
    fn resolve(&self, rows: &mut Shard, batch: &RecordBatch, on_duplicate: OnDuplicate) -> Result<RecordBatch> {
        let replace = on_duplicate == OnDuplicate::Replace;
        let is_new = rows.insert(batch, replace)?;
        let duplicate = is_new.iter().position(|new| !new);
        match (duplicate, on_duplicate) {
            (None, _) | (_, OnDuplicate::Replace) => Ok(batch.clone()),
            (Some(row), OnDuplicate::Refuse) => Err(self.duplicate(batch, row)?),
            (Some(_), OnDuplicate::Keep) => Ok(filter_record_batch(batch, &BooleanArray::from(is_new))?),
        }
    }

    fn duplicate(&self, batch: &RecordBatch, row: usize) -> Result<Error> {
        let key = self.relation.key().unwrap_or_default();
        let name = |column: &usize| batch.schema().field(*column).name().clone();
        let value = |column: &usize| array_value_to_string(batch.column(*column), row);
        let names: Vec<String> = key.iter().map(name).collect();
        let values = key.iter().map(value).collect::<Result<Vec<_>, _>>()?;
        let (table, key) = (self.relation.name().to_string(), (names.join(", "), values.join(", ")));
        Ok(Error::DuplicateKey { table, columns: key.0, values: key.1 })
    }

    /// Writes the log anew when it has grown long. That it fails does no harm: the old one is still good.
    fn compact(&self, writer: &mut Writer) {
        let Writer { log: Some(log), sequence, .. } = writer else { return };
        if !log.is_long() {
            return;
        }
        let Some(version) = self.relation.current() else { return };
        if let Err(error) = log.rewrite(*sequence, version.batches(None, COMPACTED_ROWS)) {
            tracing::warn!(table = self.relation.name(), %error, "the log of a table could not be compacted");
        }
    }

    /// The table goes: what is being written comes to its end, readers learn it, and the log is deleted.
    pub fn remove(&self) -> Result<()> {
        self.end(&mut self.lock())
    }

    /// The same if it has no rows; else nothing happens, and the answer is false.
    pub fn remove_empty(&self) -> Result<bool> {
        let mut writer = self.lock();
        if self.relation.current().is_some_and(|version| version.rows() > 0) {
            return Ok(false);
        }
        self.end(&mut writer).map(|()| true)
    }

    fn end(&self, writer: &mut Writer) -> Result<()> {
        writer.dropped = true;
        self.relation.close("was dropped");
        writer.log.take().map_or(Ok(()), TableLog::delete)
    }

    fn lock(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
