//! What the versions of a view contain of the relations that its job reads.

use std::collections::BTreeMap;

use crate::time::Epoch;

/// Per relation that is read: which of its versions each complete epoch of the reading job contains.
#[derive(Debug, Default)]
pub(super) struct Progress(BTreeMap<String, Vec<(Epoch, u64)>>);

impl Progress {
    /// Epoch `epoch` contains the rows of `upstream` up to `version`.
    pub(super) fn note(&mut self, upstream: &str, epoch: Epoch, version: u64) {
        let epochs = self.0.entry(upstream.to_string()).or_default();
        epochs.retain(|(known, _)| *known != epoch);
        epochs.push((epoch, version));
    }

    /// The version of `upstream` that the published version `number` contains; None when nothing is known. Forgets what is
    /// older than needed.
    pub(super) fn contained(&mut self, upstream: &str, number: u64) -> Option<u64> {
        let epochs = self.0.get_mut(upstream)?;
        let newest = epochs.iter().filter(|(epoch, _)| epoch.0 <= number).map(|(epoch, _)| *epoch).max()?;
        epochs.retain(|(epoch, _)| *epoch >= newest);
        epochs.iter().find(|(epoch, _)| *epoch == newest).map(|(_, version)| *version)
    }
}
