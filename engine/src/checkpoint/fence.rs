//! The fence around a job's folder: who the pipeline is, and proof that no other process writes its checkpoints.
//!
//! Two guards. An operating-system lock on the file `lock`, held as long as the process lives and freed by the kernel
//! when it dies however it dies. And a generation number in `pipeline.json`, raised durably by everyone who takes the
//! fence, together with a token that no two holders share: before each step that others can see the holder looks
//! whether both are still its own. That also covers a folder that was deleted or copied back under it, file systems
//! whose locks do not reach other hosts, and a takeover: it raises the generation although the lock is held, puts a lock
//! file of its own in the place of the other, and the former holder finds out at its next step.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::files::{Files, context};
use super::manifest::FORMAT_VERSION;
use super::{layout, restore};
use crate::crash;
use crate::error::{Error, Result};
use crate::time::{Clock, Epoch, SystemClock};

const LOCK: &str = "lock";
const IDENTITY: &str = "pipeline.json";

/// What `pipeline.json` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    format_version: u32,
    /// UUID made when the folder was created; names transactions and markers in external systems.
    pub(super) pipeline: String,
    /// Name of the job.
    pub(super) job: String,
    /// How often the folder was opened.
    pub(super) generation: u64,
    /// Made by whoever opened it last.
    #[serde(default)]
    token: String,
    /// All epochs up to this one are applied or given up for good.
    #[serde(default)]
    pub(super) settled: u64,
    /// Checkpoints up to this one are not resumed from: the job finished, or was started afresh.
    #[serde(default)]
    pub(super) forgotten: u64,
}

/// What the file `lock` says about its holder.
#[derive(Serialize, Deserialize)]
struct Holder {
    pid: u32,
    host: String,
    since_ms: i64,
}

/// The lock, held.
#[derive(Debug)]
pub(super) struct Fence {
    dir: PathBuf,
    files: Files,
    pipeline: String,
    generation: u64,
    token: String,
    identity: Mutex<Identity>,
    /// Closing it frees the lock.
    _lock: File,
}

impl Fence {
    /// Makes the folder if needed, takes the lock, and raises the generation. With `takeover` also when another process
    /// holds it, which is shut out by that.
    pub(super) fn take(files: &Files, dir: &Path, job: &str, takeover: bool) -> Result<Fence> {
        files.create_dir(dir)?;
        files.sync_parent(dir)?;
        let mut lock = lock(dir, job, takeover)?;
        let mut identity = read_or_make(dir, job)?;
        identity.generation += 1;
        identity.token = uuid::Uuid::new_v4().to_string();
        write(files, dir, &identity)?;
        crash::point("recovery.fence-taken")?;
        let holder = Holder { pid: std::process::id(), host: host(), since_ms: SystemClock.now().0 / 1000 };
        let text = serde_json::to_string(&holder).unwrap_or_default();
        let written = lock.set_len(0).and_then(|()| lock.write_all(text.as_bytes()));
        written.map_err(|e| Error::io(context("write", &dir.join(LOCK)), e))?;
        Ok(Fence {
            dir: dir.to_path_buf(),
            files: files.clone(),
            pipeline: identity.pipeline.clone(),
            generation: identity.generation,
            token: identity.token.clone(),
            identity: Mutex::new(identity),
            _lock: lock,
        })
    }

    pub(super) fn pipeline(&self) -> &str {
        &self.pipeline
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn settled(&self) -> Epoch {
        Epoch(self.identity().settled)
    }

    pub(super) fn forgotten(&self) -> Epoch {
        Epoch(self.identity().forgotten)
    }

    /// Changes the identity durably.
    pub(super) fn update(&self, change: impl FnOnce(&mut Identity)) -> Result<()> {
        self.check()?;
        let mut identity = self.identity();
        let mut changed = identity.clone();
        change(&mut changed);
        if changed != *identity {
            write(&self.files, &self.dir, &changed)?;
            *identity = changed;
        }
        Ok(())
    }

    /// An error when another process has taken over.
    pub(super) fn check(&self) -> Result<()> {
        let lost = |what: String| {
            let text = format!("the fence of '{}' is lost: {what}", self.dir.display());
            Err(Error::checkpoint(text).with_hint("another process runs this job; this one must not commit any more"))
        };
        match fs::read(self.dir.join(IDENTITY)).map(|text| serde_json::from_slice::<Identity>(&text)) {
            Ok(Ok(now)) if now.pipeline == self.pipeline && now.token == self.token => Ok(()),
            Ok(Ok(now)) => lost(format!("generation {} has replaced {}", now.generation, self.generation)),
            Ok(Err(error)) => lost(format!("'{IDENTITY}' cannot be read: {error}")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => lost(format!("'{IDENTITY}' is gone")),
            Err(error) => Err(Error::io(context("read", &self.dir.join(IDENTITY)), error)),
        }
    }

    fn identity(&self) -> MutexGuard<'_, Identity> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock(dir: &Path, job: &str, takeover: bool) -> Result<File> {
    let path = dir.join(LOCK);
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(|e| Error::io(context("open", &path), e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::Error(error)) => Err(Error::io(context("lock", &path), error)),
        Err(TryLockError::WouldBlock) if takeover => {
            fs::remove_file(&path).map_err(|e| Error::io(context("replace", &path), e))?;
            lock(dir, job, false)
        }
        Err(TryLockError::WouldBlock) => {
            let holder = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Holder>(&text).ok());
            let who = holder.map_or("another process".to_string(), |h| {
                let seconds = (SystemClock.now().0 / 1000 - h.since_ms).max(0) / 1000;
                format!("process {} on host '{}' (since {seconds} s ago)", h.pid, h.host)
            });
            let message = format!("the checkpoints of job '{job}' in '{}' are in use by {who}", dir.display());
            Err(Error::checkpoint(message).with_hint(
                "stop that process first, shut it out with --takeover, or give this job another 'pipeline.name' or \
                     checkpoint folder",
            ))
        }
    }
}

/// The identity in the folder; a new one in an empty folder; from the newest manifest where the file was lost.
fn read_or_make(dir: &Path, job: &str) -> Result<Identity> {
    let path = dir.join(IDENTITY);
    let text = match fs::read(&path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(Error::io(context("read", &path), error)),
    };
    let fresh = |pipeline: String| Identity {
        format_version: FORMAT_VERSION,
        pipeline,
        job: job.to_string(),
        generation: 0,
        token: String::new(),
        settled: 0,
        forgotten: 0,
    };
    if let Some(identity) = text.as_deref().and_then(|t| serde_json::from_slice::<Identity>(t).ok()) {
        return match identity.format_version {
            FORMAT_VERSION => Ok(identity),
            other => Err(Error::checkpoint(format!(
                "'{}' has format version {other}, this program reads {FORMAT_VERSION}",
                path.display()
            ))),
        };
    }
    let manifests = layout::checkpoints(dir)?.into_iter().rev();
    if let Some(newest) = manifests.filter_map(|(_, chk)| restore::read_manifest(&chk).ok()).next() {
        tracing::warn!(path = %path.display(), "pipeline identity lost, taken from the newest checkpoint");
        return Ok(Identity { generation: newest.generation, ..fresh(newest.pipeline) });
    }
    match text {
        None => Ok(fresh(uuid::Uuid::new_v4().to_string())),
        Some(_) => Err(Error::checkpoint(format!("'{}' is damaged and no checkpoint is left", path.display()))
            .with_hint("remove the folder to start the job from the beginning")),
    }
}

fn write(files: &Files, dir: &Path, identity: &Identity) -> Result<()> {
    let text = serde_json::to_string_pretty(identity).map_err(|e| Error::internal(format!("{IDENTITY}: {e}")))?;
    files.replace(&dir.join(IDENTITY), text.as_bytes())
}

fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok());
    name.map_or("unknown".to_string(), |n| n.trim().to_string())
}
