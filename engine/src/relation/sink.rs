//! The sink of a view: rows become a shard per subtask, and all shards a version when their checkpoint is durable.
//!
//! What a sink remembers are its rows, so a restored job has them before its first new row. Shards hold everything, not only
//! what an epoch brought: an epoch that is given up needs nothing of its own, because the next one contains it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::published::Relation;
use super::shard::Shard;
use crate::changelog::ChangelogBatch;
use crate::connector::{Committer, EpochLog, Sink, SinkContext, SinkFactory};
use crate::error::Result;
use crate::state::States;
use crate::time::Epoch;

/// Frozen shards by epoch and subtask, which wait until their epoch is durable.
#[derive(Debug, Default)]
struct Staging(Mutex<BTreeMap<Epoch, BTreeMap<usize, Shard>>>);

impl Staging {
    fn stage(&self, epoch: Epoch, subtask: usize, shard: Shard) -> usize {
        let mut epochs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let shards = epochs.entry(epoch).or_default();
        shards.insert(subtask, shard);
        shards.len()
    }

    /// The shards of `epoch`; those of earlier epochs are forgotten.
    fn take(&self, epoch: Epoch) -> Option<Vec<Shard>> {
        let mut epochs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let later = epochs.split_off(&epoch.next());
        let taken = std::mem::replace(&mut *epochs, later).remove(&epoch)?;
        Some(taken.into_values().collect())
    }
}

/// Makes the sinks that feed a view. Rows must reach them spread by [`Relation::spread_by`].
#[derive(Debug)]
pub struct RelationSinkFactory {
    relation: Arc<Relation>,
    by_row: bool,
    /// Of the present attempt of the job.
    staging: Mutex<Arc<Staging>>,
}

impl RelationSinkFactory {
    /// For the job that feeds `relation`.
    pub fn new(relation: Arc<Relation>) -> Self {
        RelationSinkFactory { relation, by_row: false, staging: Mutex::default() }
    }

    /// The same for changes whose `-U` and `-D` name whole rows and may come after the row that replaces them: a row of
    /// the same key that is another one by now stays.
    pub fn removing_equal_rows(self) -> Self {
        RelationSinkFactory { by_row: true, ..self }
    }
}

impl SinkFactory for RelationSinkFactory {
    fn open(&self, context: &SinkContext) -> Result<Box<dyn Sink>> {
        let staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (relation, shard) = (self.relation.clone(), self.relation.shard().by_row(self.by_row));
        let (subtask, parallelism) = (context.subtask.index, context.subtask.parallelism);
        Ok(Box::new(RelationSink { relation, staging, subtask, parallelism, shard }))
    }

    fn committer(&self, _context: &SinkContext) -> Result<Option<Box<dyn Committer>>> {
        // The committer is made first in every attempt: what an earlier one has staged is gone with it.
        let mut staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        *staging = Arc::default();
        Ok(Some(Box::new(RelationCommitter { relation: self.relation.clone(), staging: staging.clone() })))
    }

    fn guarantee(&self) -> &'static str {
        "exactly-once"
    }

    fn is_outside(&self) -> bool {
        false
    }
}

struct RelationSink {
    relation: Arc<Relation>,
    staging: Arc<Staging>,
    subtask: usize,
    parallelism: usize,
    shard: Shard,
}

impl Sink for RelationSink {
    fn write(&mut self, batch: &ChangelogBatch) -> Result<()> {
        self.shard.write(batch)
    }

    fn prepare(&mut self, epoch: Epoch) -> Result<EpochLog> {
        self.staging.stage(epoch, self.subtask, self.shard.clone());
        Ok(EpochLog::empty())
    }

    fn states(&mut self) -> States<'_> {
        States::one("rows", &mut self.shard)
    }

    fn restored(&mut self, epoch: Option<Epoch>) -> Result<()> {
        let epoch = epoch.unwrap_or_default();
        if self.staging.stage(epoch, self.subtask, self.shard.clone()) == self.parallelism
            && let Some(shards) = self.staging.take(epoch)
        {
            self.relation.publish_restored(epoch.0, shards);
        }
        Ok(())
    }
}

struct RelationCommitter {
    relation: Arc<Relation>,
    staging: Arc<Staging>,
}

impl Committer for RelationCommitter {
    fn fence(&mut self, _generation: u64) -> Result<()> {
        Ok(())
    }

    fn applied_up_to(&mut self) -> Result<Option<Epoch>> {
        // The relation is memory of this process: there is nothing to compare with, and nothing to apply twice.
        Ok(None)
    }

    fn apply(&mut self, epoch: Epoch, _logs: &[Arc<EpochLog>]) -> Result<()> {
        if let Some(shards) = self.staging.take(epoch) {
            self.relation.publish(epoch.0, shards);
        }
        Ok(())
    }
}
