//! A source that reads a relation: first what is there, then what changes. What views on views are made of.
//!
//! What the reader remembers are the rows that it has given, which while the job runs is nothing but the version that it
//! has seen, shared with the relation. After a restart it compares those rows with the version of then and gives the
//! difference, so that no log of changes is kept for readers, however long they were away.
//!
//! A version's changes are given as a whole between two barriers: no checkpoint, and so no version of a view on
//! top, holds a part of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::difference::difference;
use super::published::Relation;
use super::shard::Shard;
use super::version::Version;
use crate::changelog::ChangelogBatch;
use crate::connector::{Polled, SourceFactory, SourceReader, SplitId, SplitPosition, SplitProgress};
use crate::dataflow::Subtask;
use crate::error::{Error, Result};
use crate::state::{Distribution, FrozenRows, State, States};
use crate::time::Epoch;

/// The only split.
const SPLIT: &str = "relation";

/// Makes the reader of a relation; one subtask reads it. Gives all four kinds of changes and never ends.
#[derive(Debug)]
pub struct RelationSourceFactory {
    relation: Arc<Relation>,
    /// The view that the reading job feeds, which is told how far it has come.
    fed: Option<Arc<Relation>>,
}

impl RelationSourceFactory {
    /// For a job that reads `relation`, and feeds the view `fed` if it is that of one.
    pub fn new(relation: Arc<Relation>, fed: Option<Arc<Relation>>) -> Self {
        RelationSourceFactory { relation, fed }
    }
}

impl SourceFactory for RelationSourceFactory {
    fn open(&self, subtask: Subtask, restored: Option<&[SplitPosition]>) -> Result<Box<dyn SourceReader>> {
        if subtask.parallelism != 1 {
            return Err(Error::internal("a relation is read by one subtask"));
        }
        let position = restored.unwrap_or_default().iter().find(|position| position.split == SPLIT);
        let number = position.and_then(|position| position.position["version"].as_u64());
        if let (Some(fed), Some(number)) = (&self.fed, number) {
            fed.note_progress(self.relation.name(), Epoch(0), number);
        }
        let version = Version::new(number.unwrap_or(0), self.relation.codec().clone(), vec![self.relation.shard()]);
        Ok(Box::new(RelationReader {
            relation: self.relation.clone(),
            fed: self.fed.clone(),
            split: SPLIT.into(),
            seen: Seen { version, started: number.is_some() },
            pending: VecDeque::new(),
        }))
    }
}

struct RelationReader {
    relation: Arc<Relation>,
    fed: Option<Arc<Relation>>,
    split: SplitId,
    seen: Seen,
    /// Changes that lead to the version that was seen and have not been given yet.
    pending: VecDeque<ChangelogBatch>,
}

/// The version whose rows were given.
struct Seen {
    version: Version,
    /// False before the first version.
    started: bool,
}

impl SourceReader for RelationReader {
    fn poll(&mut self, _max_rows: usize, timeout: Duration) -> Result<Polled> {
        if self.pending.is_empty() {
            let seen = self.seen.started.then(|| self.seen.version.number());
            let Some(new) = self.relation.after(seen, timeout)? else { return Ok(Polled::Nothing) };
            self.pending = difference(&self.seen.version, &new)?.into();
            self.seen = Seen { version: new, started: true };
        }
        Ok(match self.pending.pop_front() {
            Some(batch) => Polled::Rows { split: self.split.clone(), batch },
            None => Polled::Nothing,
        })
    }

    fn is_between(&self) -> bool {
        self.pending.is_empty()
    }

    fn positions(&mut self) -> Result<Vec<SplitPosition>> {
        let number = self.seen.started.then(|| self.seen.version.number());
        let position = serde_json::json!({ "version": number });
        Ok(vec![SplitPosition { split: self.split.to_string(), position }])
    }

    fn states(&mut self) -> States<'_> {
        States::one("rows", &mut self.seen)
    }

    fn splits(&self) -> Vec<SplitId> {
        vec![self.split.clone()]
    }

    /// In versions. How many rows lie between two of them is not known before they are compared.
    fn progress(&self) -> Vec<SplitProgress> {
        let position = if self.seen.started { self.seen.version.number() } else { 0 };
        let end = self.relation.current().map(|version| version.number());
        let lag_rows = (self.pending.is_empty() && end == Some(position)).then_some(0);
        vec![SplitProgress { split: self.split.clone(), position, end, lag_rows }]
    }

    fn checkpoint_complete(&mut self, epoch: Epoch, positions: &[SplitPosition]) {
        let number = positions.first().and_then(|position| position.position["version"].as_u64());
        if let (Some(fed), Some(number)) = (&self.fed, number) {
            fed.note_progress(self.relation.name(), epoch, number);
        }
    }
}

impl Seen {
    fn shard(&self) -> Shard {
        Shard::new(self.version.codec())
    }
}

impl State for Seen {
    fn schema(&self) -> SchemaRef {
        State::schema(&self.shard())
    }

    fn distribution(&self) -> Distribution {
        Distribution::Keyed
    }

    fn snapshot(&mut self) -> Result<Vec<RecordBatch>> {
        let shards = self.version.shards().iter().map(|shard| shard.clone().snapshot());
        Ok(shards.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    fn freeze(&mut self) -> Result<FrozenRows> {
        let (version, started) = (self.version.clone(), self.started);
        Ok(FrozenRows::Later(Box::new(move || Seen { version: version.clone(), started }.snapshot())))
    }

    fn restore(&mut self, rows: &RecordBatch) -> Result<()> {
        let mut shard = self.version.shards().first().cloned().unwrap_or_else(|| self.shard());
        let (number, codec) = (self.version.number(), self.version.codec().clone());
        // The old version goes first, so that nothing that is shared with it need be copied.
        self.version = Version::new(number, codec.clone(), Vec::new());
        shard.restore(rows)?;
        self.version = Version::new(number, codec, vec![shard]);
        Ok(())
    }
}
