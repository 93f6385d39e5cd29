//! The relation itself: its published version, and those who wait for the next one.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;

use super::codec::Codec;
use super::difference::difference;
use super::progress::Progress;
use super::shard::Shard;
use super::subscription::Subscription;
use super::version::Version;
use crate::changelog::ChangelogBatch;
use crate::error::{Error, Result};
use crate::time::Epoch;

/// Batches of changes that are kept for others who may ask for the same step.
const SHARED_BATCHES: usize = 16;

/// What a relation is to its users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelationKind {
    /// Fed by a job.
    View,
    /// Fed by statements.
    Table,
}

/// A named set of rows with versions. Shared by its writer and its readers.
///
/// A view is fed by the sink that [`super::RelationSinkFactory`] makes, a table by [`super::Table`].
#[derive(Debug)]
pub struct Relation {
    // Configuration.
    kind: RelationKind,
    name: String,
    codec: Arc<Codec>,
    // State.
    published: Mutex<Published>,
    changed: Condvar,
    /// The changes between two versions that somebody asked for last.
    step: Mutex<Option<Step>>,
}

#[derive(Debug, Default)]
struct Published {
    version: Option<Version>,
    progress: Progress,
    /// Why there will be no further version.
    closed: Option<String>,
}

#[derive(Debug)]
struct Step {
    from: u64,
    to: u64,
    changes: Arc<Vec<ChangelogBatch>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Relation {
    /// A relation that has no version yet. Rows are unique by the columns at `key`; without a key equal rows are counted;
    /// an empty key means one row at most.
    pub fn new(kind: RelationKind, name: &str, schema: SchemaRef, key: Option<Vec<usize>>) -> Result<Self> {
        let codec = Arc::new(Codec::new(schema, key)?);
        Ok(Relation {
            kind,
            name: name.to_string(),
            published: Mutex::default(),
            changed: Condvar::new(),
            step: Mutex::default(),
            codec,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is.
    pub fn kind(&self) -> RelationKind {
        self.kind
    }

    /// Columns of the rows.
    pub fn schema(&self) -> &SchemaRef {
        self.codec.schema()
    }

    /// The columns of the key; None when equal rows are counted.
    pub fn key(&self) -> Option<&[usize]> {
        self.codec.key()
    }

    /// The columns by which rows must be spread over several shards: the key, or all.
    pub fn spread_by(&self) -> Vec<usize> {
        self.codec.spread_by()
    }

    pub(super) fn codec(&self) -> &Arc<Codec> {
        &self.codec
    }

    /// An empty shard, for a writer of its own.
    pub fn shard(&self) -> Shard {
        Shard::new(&self.codec)
    }

    /// Makes `shards`, frozen copies that are the whole relation together, visible as version `number`, or as the
    /// next one when there is one of that number or above.
    pub fn publish(&self, number: u64, shards: Vec<Shard>) {
        let mut published = lock(&self.published);
        let number = published.version.as_ref().map_or(number, |version| number.max(version.number() + 1));
        published.version = Some(Version::new(number, self.codec.clone(), shards));
        self.changed.notify_all();
    }

    /// Makes the rows of a restored checkpoint visible, unless readers see that version or a later one already.
    pub(super) fn publish_restored(&self, number: u64, shards: Vec<Shard>) {
        let mut published = lock(&self.published);
        if published.version.as_ref().is_none_or(|version| version.number() < number) {
            published.version = Some(Version::new(number, self.codec.clone(), shards));
            self.changed.notify_all();
        }
    }

    /// Applies changes to the newest version and makes the result visible as version `sequence`.
    #[cfg(test)]
    pub(crate) fn apply(&self, changes: &[ChangelogBatch], sequence: u64) -> Result<()> {
        let newest = self.current().and_then(|version| version.shards().first().cloned());
        let mut next = newest.unwrap_or_else(|| self.shard());
        changes.iter().try_for_each(|batch| next.write(batch))?;
        self.publish(sequence, vec![next]);
        Ok(())
    }

    /// No version will follow: the relation was dropped. Readers and subscribers learn it as an error.
    pub fn close(&self, why: &str) {
        lock(&self.published).closed = Some(why.to_string());
        self.changed.notify_all();
    }

    /// The current version; waits at most `patience` for the first one.
    pub fn snapshot(&self, patience: Duration) -> Result<Version> {
        let reached = self.wait(patience, |published| published.version.clone())?;
        reached.ok_or_else(|| Error::unavailable(format!("{} is recovering", self.title())).with_hint("try again soon"))
    }

    /// The current version, if there is one.
    pub fn current(&self) -> Option<Version> {
        lock(&self.published).version.clone()
    }

    /// The current version if it is later than number `seen`, or any when none was; waits for one at most `patience`.
    pub fn after(&self, seen: Option<u64>, patience: Duration) -> Result<Option<Version>> {
        let later = |version: &Version| seen.is_none_or(|seen| version.number() > seen);
        self.wait(patience, |published| published.version.clone().filter(later))
    }

    /// The current version, and the changes that follow it. Waits at most `patience` for the first version.
    pub fn subscribe(self: &Arc<Self>, patience: Duration) -> Result<(Version, Subscription)> {
        let version = self.snapshot(patience)?;
        Ok((version.clone(), Subscription::new(self.clone(), version)))
    }

    /// The job that feeds this view has read `upstream` up to `version` when epoch `epoch` was taken; known once that
    /// epoch is durable.
    pub fn note_progress(&self, upstream: &str, epoch: Epoch, version: u64) {
        lock(&self.published).progress.note(upstream, epoch, version);
        self.changed.notify_all();
    }

    /// Waits at most `patience` until the current version contains version `version` of `upstream`; false when it does
    /// not by then.
    pub fn wait_until_contains(&self, upstream: &str, version: u64, patience: Duration) -> Result<bool> {
        let contained = |published: &mut Published| {
            let number = published.version.as_ref()?.number();
            published.progress.contained(upstream, number).filter(|contained| *contained >= version)
        };
        Ok(self.wait(patience, contained)?.is_some())
    }

    /// What leads from `old` to `new`, both versions of this relation. Those who ask for the same step share the answer.
    pub(super) fn difference(&self, old: &Version, new: &Version) -> Result<Arc<Vec<ChangelogBatch>>> {
        let mut step = lock(&self.step);
        if let Some(known) = step.as_ref().filter(|step| (step.from, step.to) == (old.number(), new.number())) {
            return Ok(known.changes.clone());
        }
        let changes = Arc::new(difference(old, new)?);
        if changes.len() > SHARED_BATCHES {
            return Ok(changes);
        }
        *step = Some(Step { from: old.number(), to: new.number(), changes: changes.clone() });
        Ok(changes)
    }

    /// What it is called in messages: `view 'v'`.
    pub fn title(&self) -> String {
        let kind = match self.kind {
            RelationKind::View => "view",
            RelationKind::Table => "table",
        };
        format!("{kind} '{}'", self.name)
    }

    /// Waits until `look` finds what it looks for, at most `patience`.
    fn wait<T>(&self, patience: Duration, look: impl Fn(&mut Published) -> Option<T>) -> Result<Option<T>> {
        let deadline = Instant::now() + patience;
        let mut published = lock(&self.published);
        loop {
            if let Some(why) = &published.closed {
                return Err(Error::unavailable(format!("{} {why}", self.title())));
            }
            if let Some(found) = look(&mut published) {
                return Ok(Some(found));
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                return Ok(None);
            };
            published = self.changed.wait_timeout(published, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
