//! A subscription: the changes of a relation from version to version.

use std::sync::Arc;
use std::time::Duration;

use super::published::Relation;
use super::version::Version;
use crate::changelog::ChangelogBatch;
use crate::error::Result;

/// The net changes from one version to a later one.
#[derive(Debug, Clone)]
pub struct Changes {
    /// The version that they start from.
    pub from: u64,
    /// The version that they lead to: the one after, or a later one when the subscriber was slow.
    pub version: u64,
    /// The changes, `-U` and `+U` side by side; none when nothing changed. Rows of the same key come once.
    pub batches: Arc<Vec<ChangelogBatch>>,
}

/// Follows a relation. Holds the version that it has seen, and nothing up.
#[derive(Debug)]
pub struct Subscription {
    relation: Arc<Relation>,
    seen: Version,
}

impl Subscription {
    pub(super) fn new(relation: Arc<Relation>, seen: Version) -> Self {
        Subscription { relation, seen }
    }

    /// Goes on from `seen`, a version of the same relation that the reader knows from elsewhere.
    pub fn from_version(relation: Arc<Relation>, seen: Version) -> Self {
        Subscription::new(relation, seen)
    }

    /// The version that was seen last.
    pub fn seen(&self) -> &Version {
        &self.seen
    }

    /// Waits for a version after the one that was seen, at most `patience`, and gives what leads to it. None when there
    /// is none yet. An error when the relation was dropped.
    pub fn next(&mut self, patience: Duration) -> Result<Option<Changes>> {
        let Some(new) = self.relation.after(Some(self.seen.number()), patience)? else { return Ok(None) };
        let batches = self.relation.difference(&self.seen, &new)?;
        let changes = Changes { from: self.seen.number(), version: new.number(), batches };
        self.seen = new;
        Ok(Some(changes))
    }
}
