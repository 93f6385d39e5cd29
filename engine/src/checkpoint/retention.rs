//! Deletes checkpoints that are no longer needed.
//!
//! Kept are: the newest `keep` whole ones, every savepoint, and every checkpoint with a sink's log that is not yet
//! recorded as applied. A folder older than the newest checkpoint that has no manifest was given up and goes.
//!
//! Invariant: the manifest goes first, durably, so that a crash never leaves a manifest whose files are gone.

use std::path::Path;

use super::files::Files;
use super::manifest::FILE_NAME;
use super::restore::{self, Unusable};
use super::{CheckpointKind, layout};
use crate::crash;
use crate::error::Result;
use crate::time::Epoch;

/// Deletes what is not kept, looking at epochs up to `newest`, which has just been committed. `applied` is the last
/// epoch recorded as applied.
pub(super) fn collect(files: &Files, job_dir: &Path, keep: usize, newest: Epoch, applied: Option<Epoch>) -> Result<()> {
    let mut kept = 0;
    for (epoch, dir) in layout::checkpoints(job_dir)?.into_iter().rev().filter(|(epoch, _)| *epoch <= newest) {
        let needed = match restore::read_manifest(&dir) {
            Ok(manifest) if manifest.kind == CheckpointKind::Savepoint => true,
            Ok(manifest) => {
                let recent = kept < keep;
                kept += usize::from(recent);
                recent || (manifest.has_logs() && applied.is_none_or(|a| a < epoch))
            }
            Err(Unusable::NoManifest) => false,
            Err(Unusable::Damaged(_)) => kept < keep,
            Err(Unusable::Refused(error)) => return Err(error),
        };
        if !needed {
            delete(files, &dir)?;
        }
    }
    Ok(())
}

/// Deletes one checkpoint, complete or not.
pub(super) fn delete(files: &Files, dir: &Path) -> Result<()> {
    let manifest = dir.join(FILE_NAME);
    if manifest.exists() {
        files.remove_file(&manifest)?;
        files.sync_dir(dir)?;
        crash::point("retention.manifest-removed")?;
    }
    files.remove_dir(dir)?;
    crash::point("retention.files-removed")
}

/// Removes records of epochs before `applied`.
pub(super) fn collect_records(files: &Files, job_dir: &Path, applied: Epoch) -> Result<()> {
    for (epoch, path) in layout::numbered(&job_dir.join(layout::COMMITS), "")? {
        if epoch < applied {
            files.remove_file(&path)?;
        }
    }
    Ok(())
}
