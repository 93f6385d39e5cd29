//! `SUBSCRIBE TO v`: the rows of a materialized view or a table of our own, then its changes from version to version, as
//! rows that say what they do.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use eddyline_engine::ChangelogBatch;
use eddyline_engine::connector::{Polled, SourceFactory, SourceReader, SplitId, SplitPosition};
use eddyline_engine::dataflow::Subtask;
use eddyline_engine::error::{Error, Result as EngineResult};
use eddyline_engine::relation::{Batches, Subscription, Version};

use crate::collect::collect;
use crate::error::{Result, SqlError, SqlState};
use crate::jobs::new_id;
use crate::session::{Outcome, Session};
use crate::statement::TableName;

/// How long the first version of a view may take to come.
const PATIENCE: Duration = Duration::from_secs(10);
/// Rows of the first version in one batch.
const BATCH_ROWS: usize = 8192;

impl Session {
    /// Follows a view for as long as somebody reads.
    pub(crate) fn subscribe(&mut self, name: &TableName) -> Result<Outcome> {
        let schema = self.subscribed(name)?;
        let relation = self.engine.relations().get(name.table());
        let relation = relation.ok_or_else(|| SqlError::internal(format!("view '{}' has no rows", name.table())))?;
        let (version, subscription) = relation.subscribe(PATIENCE)?;
        let follower = Follower { schema: schema.clone(), split: "view".into(), first: None, version, subscription };
        let factory: Arc<dyn SourceFactory> = Arc::new(Once(Mutex::new(Some(follower))));
        let config = self.query_config("subscribe")?;
        let (changes, job) = collect("Subscription", &schema, factory, false, config)?;
        let id = new_id();
        self.engine.jobs().add_query(id.clone(), job.clone());
        Ok(Outcome::Changes { schema, changes, id, job, bounded: false, append_only: true })
    }

    /// The columns of a subscription: what each row does, with which version of the view, and the view's own.
    pub(crate) fn subscribed(&self, name: &TableName) -> Result<SchemaRef> {
        let catalog = self.catalog();
        catalog.get(name)?;
        let view = catalog.materialized_view(name.table()).map(|view| Arc::clone(&view.schema));
        let table = || catalog.own_table(name.table()).map(|table| table.stored_schema());
        let Some(schema) = view.or_else(table) else {
            let message = format!("'{}' is neither a materialized view nor a table of our own", name.table());
            return Err(SqlError::new(SqlState::InvalidQuery, message)
                .with_hint("SELECT … FROM it streams the changes of a table")
                .at(name.position));
        };
        let mut fields = vec![
            Arc::new(Field::new("op", DataType::Utf8, false)),
            Arc::new(Field::new("epoch", DataType::Int64, false)),
        ];
        fields.extend(schema.fields().iter().cloned());
        Ok(Arc::new(Schema::new(fields)))
    }
}

/// Gives the follower to the one reader there is.
struct Once(Mutex<Option<Follower>>);

impl SourceFactory for Once {
    fn open(&self, _subtask: Subtask, _restored: Option<&[SplitPosition]>) -> EngineResult<Box<dyn SourceReader>> {
        let follower = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(Box::new(follower.ok_or_else(|| Error::internal("a subscription begins once"))?))
    }
}

/// Reads the first version, then the changes after it.
struct Follower {
    schema: SchemaRef,
    split: SplitId,
    /// What is left of the first version; None before reading begins.
    first: Option<Batches>,
    version: Version,
    subscription: Subscription,
}

impl Follower {
    fn rows(&self, changes: &[ChangelogBatch], version: u64) -> EngineResult<Polled> {
        if changes.is_empty() {
            return Ok(Polled::Nothing);
        }
        let marked = changes.iter().map(|batch| self.marked(batch, version)).collect::<EngineResult<Vec<_>>>()?;
        Ok(Polled::Rows { split: self.split.clone(), batch: ChangelogBatch::concat(&marked)? })
    }

    /// Rows with what they do and their version before them.
    fn marked(&self, batch: &ChangelogBatch, version: u64) -> EngineResult<ChangelogBatch> {
        let ops: StringArray = (0..batch.len()).map(|row| Some(batch.kind(row).symbol())).collect();
        let epoch = i64::try_from(version).map_err(|_| Error::internal("an epoch beyond BIGINT"))?;
        let mut columns: Vec<ArrayRef> = vec![Arc::new(ops), Arc::new(Int64Array::from(vec![epoch; batch.len()]))];
        columns.extend(batch.rows().columns().iter().cloned());
        Ok(ChangelogBatch::inserts(RecordBatch::try_new(self.schema.clone(), columns)?))
    }
}

impl SourceReader for Follower {
    fn poll(&mut self, _max_rows: usize, timeout: Duration) -> EngineResult<Polled> {
        let version = self.version.clone();
        let first = self.first.get_or_insert_with(|| version.batches(None, BATCH_ROWS));
        if let Some(rows) = first.next() {
            return self.rows(&[ChangelogBatch::inserts(rows?)], version.number());
        }
        match self.subscription.next(timeout)? {
            None => Ok(Polled::Nothing),
            Some(changes) => self.rows(&changes.batches, changes.version),
        }
    }

    fn positions(&mut self) -> EngineResult<Vec<SplitPosition>> {
        Ok(Vec::new())
    }

    fn splits(&self) -> Vec<SplitId> {
        vec![self.split.clone()]
    }
}
