//! The checkpoints of one job in one folder.
//!
//! *A checkpoint's life on disk:* tasks write state files and logs into `chk-<n>/` (each synced, hashed while written) →
//! [`CheckpointStore::commit`] looks at the fence, syncs the folders, writes `manifest.json` under another name, syncs
//! it, renames it, syncs the folder: from here the checkpoint exists → what is no longer retained is deleted → when all
//! sinks have applied the epoch, `commits/<n>` records it.
//!
//! Invariants: a number is never used twice; a checkpoint counts only when every file is as its manifest says; a
//! failed commit leaves nothing that could be taken for a checkpoint, or the store refuses to go on.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;

use super::fence::Fence;
use super::files::{DurableFile, Files, context};
use super::layout::CommitRecord;
use super::manifest::{FILE_NAME, FORMAT_VERSION};
use super::restore::{self, Unusable};
use super::{FileEntry, Manifest, Restored, layout, parquet, retention};
use crate::crash;
use crate::dataflow::Uid;
use crate::error::{Error, Result};
use crate::time::Epoch;

/// Numbers left out by a takeover: the process that is shut out may still begin an epoch before it finds out.
const TAKEOVER_GAP: u64 = 16;

/// The checkpoints of one job in one folder, held by this process alone until the store is dropped. Shared by threads.
#[derive(Debug)]
pub struct CheckpointStore {
    job: String,
    dir: PathBuf,
    num_retained: usize,
    files: Files,
    fence: Fence,
    memory: Mutex<Memory>,
}

/// What the store remembers between calls.
#[derive(Debug)]
struct Memory {
    /// Highest epoch that was ever written, committed or recorded.
    newest: Epoch,
    applied: Option<CommitRecord>,
    /// Set when a commit failed such that it may be found after a crash; nothing may follow it.
    undecided: Option<Epoch>,
}

impl CheckpointStore {
    /// Opens or creates the folder of `job` below `root` and takes its fence: the lock that keeps other processes out
    /// (an error says which process holds it since when), and a new generation number. The newest `num_retained`
    /// checkpoints are kept.
    pub fn open(root: &Path, job: &str, num_retained: usize) -> Result<Self> {
        Self::open_with(Files::default(), root, job, num_retained, false)
    }

    /// Like [`CheckpointStore::open`], but shuts out another process that holds the fence.
    pub fn take_over(root: &Path, job: &str, num_retained: usize) -> Result<Self> {
        Self::open_with(Files::default(), root, job, num_retained, true)
    }

    pub(super) fn open_with(files: Files, root: &Path, job: &str, num_retained: usize, takeover: bool) -> Result<Self> {
        let dir = layout::job_dir(root, job);
        let fence = Fence::take(&files, &dir, job, takeover)?;
        files.create_dir(&dir.join(layout::COMMITS))?;
        files.remove_staged(&dir)?;
        files.remove_staged(&dir.join(layout::COMMITS))?;
        files.sync_dir(&dir)?;
        let applied = layout::newest_commit(&dir)?;
        let on_disk = layout::checkpoints(&dir)?.last().map_or(Epoch(0), |(epoch, _)| *epoch);
        let newest = on_disk
            .max(applied.as_ref().map_or(Epoch(0), |record| record.epoch))
            .max(fence.settled())
            .max(fence.forgotten());
        let newest = if takeover { Epoch(newest.0 + TAKEOVER_GAP) } else { newest };
        let memory = Mutex::new(Memory { newest, applied, undecided: None });
        Ok(CheckpointStore { job: job.to_string(), dir, num_retained: num_retained.max(1), files, fence, memory })
    }

    /// Identity of the pipeline, a UUID made when the folder was created.
    pub fn pipeline(&self) -> &str {
        self.fence.pipeline()
    }

    /// How often the folder has been opened, this time included.
    pub fn generation(&self) -> u64 {
        self.fence.generation()
    }

    /// The job's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The newest checkpoint whose files are all as its manifest says, or None when the job never completed one (or
    /// finished, or was started afresh). Damaged ones are passed over and named in [`Restored::skipped`]. An error when
    /// there are some but all are damaged: the job must not start empty unless somebody says so.
    pub fn latest(&self) -> Result<Option<Restored>> {
        let forgotten = self.fence.forgotten();
        let applied = self.applied().filter(|a| *a > forgotten);
        let mut skipped = Vec::new();
        for (epoch, dir) in layout::checkpoints(&self.dir)?.into_iter().rev().filter(|(e, _)| *e > forgotten) {
            match restore::verify(&dir).and_then(|manifest| self.is_ours(epoch, manifest)) {
                Ok(manifest) => return Ok(Some(Restored { manifest, dir, skipped })),
                Err(Unusable::Damaged(what)) => skipped.push(format!("checkpoint {} is damaged: {what}", epoch.0)),
                Err(Unusable::NoManifest) if applied.is_some_and(|a| a >= epoch) => {
                    skipped.push(format!("checkpoint {} is damaged: '{FILE_NAME}' is missing", epoch.0));
                }
                Err(Unusable::NoManifest) => tracing::debug!(epoch = epoch.0, "checkpoint was not completed"),
                Err(Unusable::Refused(error)) => return Err(error),
            }
        }
        if let (true, Some(applied)) = (skipped.is_empty(), applied) {
            skipped.push(format!("checkpoint {} was completed, but its folder is gone", applied.0));
        }
        match skipped.is_empty() {
            true => Ok(None),
            false => {
                let message = format!(
                    "no usable checkpoint of job '{}' in '{}': {}",
                    self.job,
                    self.dir.display(),
                    skipped.join("; ")
                );
                Err(Error::checkpoint(message)
                    .with_hint("restore another checkpoint or savepoint with --from, or start empty with --fresh"))
            }
        }
    }

    fn is_ours(&self, epoch: Epoch, manifest: Manifest) -> Result<Manifest, Unusable> {
        if manifest.epoch != epoch {
            return Err(Unusable::Damaged(format!("the folder holds checkpoint {}", manifest.epoch.0)));
        }
        if manifest.pipeline != self.pipeline() {
            return Err(Unusable::Damaged(format!("it belongs to another pipeline, {}", manifest.pipeline)));
        }
        Ok(manifest)
    }

    /// Ends recovery: every epoch so far is applied or given up for good, so that a later recovery does not apply the
    /// logs of checkpoints that this one went back behind. Returns the first epoch of the new run.
    pub fn settle(&self) -> Result<Epoch> {
        let newest = self.memory().newest;
        self.fence.update(|identity| identity.settled = newest.0)?;
        Ok(newest.next())
    }

    /// The highest epoch that this folder has seen, 0 before the first.
    pub fn newest_epoch(&self) -> Epoch {
        self.memory().newest
    }

    /// Makes the automatic resume forget all checkpoints so far, without deleting them (`--fresh`). They can still be
    /// named until retention deletes them.
    pub fn start_fresh(&self) -> Result<()> {
        let newest = self.memory().newest;
        self.fence.update(|identity| identity.forgotten = newest.0)
    }

    /// Writes the rows of one state of one subtask durably as a Parquet file.
    pub fn write_state(
        &self,
        epoch: Epoch,
        uid: &Uid,
        state: &str,
        subtask: usize,
        batches: &[RecordBatch],
    ) -> Result<FileEntry> {
        let path = self.folder_of(epoch)?.join(layout::state_file(uid, state, subtask));
        self.write(&path, |file| parquet::write(file, &path, batches))
    }

    /// Writes a log of one subtask of a sink durably, in `parts` that follow each other. Each further log of the same
    /// subtask (there is one per epoch that is not yet applied) gets a file of its own.
    pub fn write_log(&self, epoch: Epoch, uid: &Uid, subtask: usize, parts: &[&[u8]]) -> Result<FileEntry> {
        let path = self.free_log_file(epoch, uid, subtask)?;
        self.write(&path, |mut file| {
            let mut write = |part: &&[u8]| file.write_all(part).map_err(|e| Error::io(context("write", &path), e));
            parts.iter().try_for_each(&mut write)?;
            Ok((file, 0))
        })
    }

    /// Makes the log that checkpoint `earlier` holds as `file` part of checkpoint `epoch` too, without writing it again.
    /// None when that cannot be: the earlier checkpoint was deleted, or the file system has no hard links.
    pub fn link_log(
        &self,
        epoch: Epoch,
        uid: &Uid,
        subtask: usize,
        earlier: Epoch,
        file: &FileEntry,
    ) -> Result<Option<FileEntry>> {
        let path = self.free_log_file(epoch, uid, subtask)?;
        let linked = self.files.link(&layout::checkpoint_dir(&self.dir, earlier).join(&file.path), &path);
        Ok(linked.then(|| FileEntry { path: file_name(&path), ..file.clone() }))
    }

    fn free_log_file(&self, epoch: Epoch, uid: &Uid, subtask: usize) -> Result<PathBuf> {
        let dir = self.folder_of(epoch)?;
        let part = (0..).find(|part| !dir.join(layout::log_file(uid, subtask, *part)).exists()).unwrap_or(0);
        Ok(dir.join(layout::log_file(uid, subtask, part)))
    }

    /// Writes one file; if that fails, nothing of it stays.
    fn write(&self, path: &Path, fill: impl FnOnce(DurableFile) -> Result<(DurableFile, u64)>) -> Result<FileEntry> {
        let written = self.files.create(path, true).and_then(fill).and_then(|(file, rows)| {
            let (bytes, xxh128) = file.finish()?;
            Ok(FileEntry { path: file_name(path), bytes, xxh128, rows })
        });
        if written.is_err() {
            let _ = self.files.remove_file(path);
        }
        written
    }

    /// Publishes the checkpoint: afterwards it exists whatever happens. Then deletes what is no longer retained.
    ///
    /// [`Error::Io`] means that this checkpoint does not exist and the next one can be taken. Any other error means that
    /// this process must stop committing: the fence is lost, or the disk failed so badly that a half-published
    /// checkpoint could not be taken back and a restart may find it.
    pub fn commit(&self, manifest: &Manifest) -> Result<()> {
        if let Some(epoch) = self.memory().undecided {
            return Err(undecided(epoch));
        }
        let text = self.check_manifest(manifest)?.to_text()?;
        let dir = self.folder_of(manifest.epoch)?;
        for entry in manifest.files() {
            let path = dir.join(&entry.path);
            let length = std::fs::metadata(&path).map_err(|e| Error::io(context("look at", &path), e))?.len();
            if length != entry.bytes {
                let what = std::io::Error::other(format!("it has {length} bytes instead of {}", entry.bytes));
                return Err(Error::io(context("look at", &path), what));
            }
        }
        let path = dir.join(FILE_NAME);
        self.files.stage(&path, text.as_bytes())?;
        crash::point("checkpoint.manifest-staged")?;
        self.files.sync_dir(&dir)?;
        self.files.sync_dir(&self.dir)?;
        crash::point("checkpoint.folder-synced")?;
        self.fence.check()?;
        let published = self.files.publish(&path).and_then(|()| {
            crash::point("checkpoint.manifest-renamed")?;
            self.files.sync_dir(&dir)
        });
        if let Err(error) = published {
            let taken_back = self.files.remove_file(&path).and_then(|()| self.files.sync_dir(&dir));
            if taken_back.is_err() {
                self.memory().undecided = Some(manifest.epoch);
                tracing::error!(job = self.job, epoch = manifest.epoch.0, %error, "checkpoint of unknown outcome");
                return Err(undecided(manifest.epoch));
            }
            return Err(error);
        }
        crash::point("checkpoint.manifest-durable")?;
        let applied = self.settled_or_applied();
        if let Err(error) = retention::collect(&self.files, &self.dir, self.num_retained, manifest.epoch, applied) {
            tracing::warn!(job = self.job, %error, "old checkpoints could not be deleted");
        }
        Ok(())
    }

    /// The manifest, if it is about this store.
    fn check_manifest<'a>(&self, manifest: &'a Manifest) -> Result<&'a Manifest> {
        let fits = manifest.pipeline == self.pipeline()
            && manifest.generation == self.generation()
            && manifest.format_version == FORMAT_VERSION;
        if !fits {
            return Err(Error::internal(format!("manifest of checkpoint {} is not of this store", manifest.epoch.0)));
        }
        if layout::checkpoint_dir(&self.dir, manifest.epoch).join(FILE_NAME).exists() {
            return Err(Error::internal(format!("checkpoint {} exists already", manifest.epoch.0)));
        }
        Ok(manifest)
    }

    /// Records durably that all sinks have applied `epoch` and all before it, and where the markers in their targets
    /// stand. A sink without an entry in `markers` keeps the one it had.
    pub fn record_applied(&self, epoch: Epoch, markers: BTreeMap<Uid, Epoch>) -> Result<()> {
        let mut record = self.memory().applied.clone();
        let before = record.clone();
        let epoch = epoch.max(before.as_ref().map_or(Epoch(0), |r| r.epoch));
        let changed = record.get_or_insert(CommitRecord { epoch, markers: BTreeMap::new() });
        changed.epoch = epoch;
        changed.markers.extend(markers);
        let is_new = before.map_or(epoch > Epoch(0) || !changed.markers.is_empty(), |before| before != *changed);
        if !is_new {
            return Ok(());
        }
        self.fence.check()?;
        // Whoever takes the job over clears away what we have staged: then the fence says why this failed.
        layout::write_commit(&self.files, &self.dir, changed).or_else(|error| self.fence.check().and(Err(error)))?;
        crash::point("commit.recorded")?;
        let mut memory = self.memory();
        memory.applied = record;
        memory.newest = memory.newest.max(epoch);
        drop(memory);
        if let Err(error) = retention::collect_records(&self.files, &self.dir, epoch) {
            tracing::warn!(job = self.job, %error, "old commit records could not be deleted");
        }
        Ok(())
    }

    /// The last epoch recorded as applied.
    pub fn applied(&self) -> Option<Epoch> {
        self.memory().applied.as_ref().map(|record| record.epoch)
    }

    /// Where the marker in the target of the sink `uid` stood when an epoch was last recorded as applied.
    pub fn recorded_marker(&self, uid: &Uid) -> Option<Epoch> {
        self.memory().applied.as_ref()?.markers.get(uid).copied()
    }

    /// An error when another process has taken this job over.
    pub fn check_fence(&self) -> Result<()> {
        self.fence.check()
    }

    /// Removes the files of an epoch that was given up. Never touches a checkpoint that exists.
    pub fn discard(&self, epoch: Epoch) {
        let dir = layout::checkpoint_dir(&self.dir, epoch);
        if dir.join(FILE_NAME).exists() {
            tracing::error!(job = self.job, epoch = epoch.0, "a complete checkpoint was to be discarded; it stays");
        } else if let Err(error) = self.files.remove_dir(&dir) {
            tracing::warn!(job = self.job, epoch = epoch.0, %error, "a given-up checkpoint could not be deleted");
        }
    }

    /// Deletes all checkpoints of a job that has finished or was cancelled without retention, savepoints excepted. Its
    /// identity and numbering stay. A crash in between never brings an older checkpoint back.
    pub fn clear(&self) -> Result<()> {
        self.start_fresh()?;
        for (_, dir) in layout::checkpoints(&self.dir)? {
            let savepoint = restore::read_manifest(&dir).is_ok_and(|m| m.kind == super::CheckpointKind::Savepoint);
            if !savepoint {
                retention::delete(&self.files, &dir)?;
            }
        }
        Ok(())
    }

    /// Folder of a checkpoint that is being written.
    fn folder_of(&self, epoch: Epoch) -> Result<PathBuf> {
        let mut memory = self.memory();
        memory.newest = memory.newest.max(epoch);
        drop(memory);
        let dir = layout::checkpoint_dir(&self.dir, epoch);
        self.files.create_dir(&dir)?;
        Ok(dir)
    }

    fn settled_or_applied(&self) -> Option<Epoch> {
        self.applied().max(Some(self.fence.settled()).filter(|e| e.0 > 0))
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn undecided(epoch: Epoch) -> Error {
    Error::checkpoint(format!("the disk failed while checkpoint {} was published; it may or may not exist", epoch.0))
        .with_hint("restart the job: it finds out and goes on from what is there")
}
