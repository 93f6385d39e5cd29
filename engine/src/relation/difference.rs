//! The net changes from one version of a relation to another, by comparison.
//!
//! Buckets that both versions share are passed over unread, so that few changes in a large relation cost little; and it
//! does not matter how either version came about: by another number of writers, before or after a restart.

use std::sync::Arc;

use super::codec::Codec;
use super::shard::{Bucket, Slot};
use super::version::Version;
use crate::changelog::{ChangelogBatch, RowKind, RowKinds};
use crate::error::Result;

/// Rows per batch of changes; one more when both halves of an update would be parted.
const BATCH_ROWS: usize = 8192;

/// What leads from `old` to `new`: with a key `+I`, `-U` and `+U` side by side, `-D`; without one `+I` and `-D`.
pub(super) fn difference(old: &Version, new: &Version) -> Result<Vec<ChangelogBatch>> {
    let mut changes = Pending { codec: new.codec(), rows: Vec::new(), kinds: Vec::new(), batches: Vec::new() };
    for slot in changed(new, old) {
        let before = old.find(slot.key());
        match before {
            Some(before) if before.same(slot) => {}
            Some(before) if new.key().is_some() => changes.update(before, slot)?,
            _ => {
                let (was, is) = (before.map_or(0, Slot::copies), slot.copies());
                changes.push(RowKind::Insert, slot, is.saturating_sub(was))?;
                changes.push(RowKind::Delete, slot, was.saturating_sub(is))?;
            }
        }
    }
    for slot in changed(old, new) {
        if new.find(slot.key()).is_none() {
            changes.push(RowKind::Delete, slot, slot.copies())?;
        }
    }
    changes.finish()
}

/// The rows of `of` outside the buckets that it shares with `with`.
fn changed<'a>(of: &'a Version, with: &'a Version) -> impl Iterator<Item = &'a Slot> {
    of.shards().iter().enumerate().flat_map(move |(number, shard)| {
        let others: &[Arc<Bucket>] = with.shards().get(number).map_or(&[], |other| other.buckets());
        let shared = move |place: usize, own: &Arc<Bucket>| others.get(place).is_some_and(|o| Arc::ptr_eq(own, o));
        let buckets = shard.buckets().iter().enumerate().filter(move |(place, own)| !shared(*place, own));
        buckets.flat_map(|(_, bucket)| bucket.iter())
    })
}

struct Pending<'a> {
    codec: &'a Codec,
    rows: Vec<&'a [u8]>,
    kinds: Vec<RowKind>,
    batches: Vec<ChangelogBatch>,
}

impl<'a> Pending<'a> {
    fn update(&mut self, before: &'a Slot, after: &'a Slot) -> Result<()> {
        self.rows.extend([before.row(), after.row()]);
        self.kinds.extend([RowKind::UpdateBefore, RowKind::UpdateAfter]);
        self.flush_from(BATCH_ROWS)
    }

    fn push(&mut self, kind: RowKind, slot: &'a Slot, copies: usize) -> Result<()> {
        (0..copies).try_for_each(|_| {
            self.rows.push(slot.row());
            self.kinds.push(kind);
            self.flush_from(BATCH_ROWS)
        })
    }

    fn flush_from(&mut self, rows: usize) -> Result<()> {
        if self.rows.len() >= rows {
            let decoded = self.codec.decode(self.rows.drain(..), None)?;
            let kinds: RowKinds = self.kinds.drain(..).collect();
            self.batches.push(ChangelogBatch::new(decoded, kinds));
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<ChangelogBatch>> {
        self.flush_from(1)?;
        Ok(self.batches)
    }
}
