//! Names of files and folders in the folder of a job.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::files::{Files, context};
use super::manifest::{hex, safe_name};
use crate::crash;
use crate::dataflow::Uid;
use crate::error::{Error, Result};
use crate::time::Epoch;

/// Folder of the records of applied epochs.
pub(super) const COMMITS: &str = "commits";

/// Folder of a job below the root.
pub(super) fn job_dir(root: &Path, job: &str) -> PathBuf {
    root.join(safe_name(job, 100))
}

/// Folder of one checkpoint.
pub(super) fn checkpoint_dir(job_dir: &Path, epoch: Epoch) -> PathBuf {
    job_dir.join(format!("chk-{}", epoch.0))
}

/// Name of the file of one state of one subtask. Names are for people; the hash of the uid keeps them apart.
pub(super) fn state_file(uid: &Uid, state: &str, subtask: usize) -> String {
    format!("{}-{}-{subtask}.parquet", operator(uid), safe_name(state, 40))
}

/// Name of log number `part` of one subtask of a sink.
pub(super) fn log_file(uid: &Uid, subtask: usize, part: usize) -> String {
    match part {
        0 => format!("{}-log-{subtask}.log", operator(uid)),
        _ => format!("{}-log-{subtask}.{part}.log", operator(uid)),
    }
}

fn operator(uid: &Uid) -> String {
    let words: String = uid.0.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(32).collect();
    format!("{words}-{}", &hex(&Sha256::digest(uid.0.as_bytes()))[..12])
}

/// The checkpoint folders of a job, complete or not, oldest first.
pub(super) fn checkpoints(job_dir: &Path) -> Result<Vec<(Epoch, PathBuf)>> {
    numbered(job_dir, "chk-")
}

/// What a file of the folder [`COMMITS`] holds; its name is the epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CommitRecord {
    /// All sinks have applied this epoch and those before it.
    #[serde(skip)]
    pub(super) epoch: Epoch,
    /// Where the markers in the targets of sinks stand, for those that keep one.
    pub(super) markers: BTreeMap<Uid, Epoch>,
}

/// The newest commit record.
pub(super) fn newest_commit(job_dir: &Path) -> Result<Option<CommitRecord>> {
    let Some((epoch, path)) = numbered(&job_dir.join(COMMITS), "")?.pop() else { return Ok(None) };
    let text = fs::read(&path).map_err(|e| Error::io(context("read", &path), e))?;
    let damaged = |e| Error::checkpoint(format!("commit record '{}' is damaged: {e}", path.display()));
    let record: CommitRecord = serde_json::from_slice(&text).map_err(damaged)?;
    Ok(Some(CommitRecord { epoch, ..record }))
}

/// Writes a commit record durably.
pub(super) fn write_commit(files: &Files, job_dir: &Path, record: &CommitRecord) -> Result<()> {
    let text = serde_json::to_string(record).map_err(|e| Error::internal(format!("commit record: {e}")))?;
    let path = job_dir.join(COMMITS).join(record.epoch.0.to_string());
    files.stage(&path, text.as_bytes())?;
    crash::point("commit.record-written")?;
    files.publish(&path)?;
    files.sync_parent(&path)
}

/// Entries of `dir` named `prefix` and a number without leading zeros, by number. A folder that is not there is empty.
pub(super) fn numbered(dir: &Path, prefix: &str) -> Result<Vec<(Epoch, PathBuf)>> {
    let failed = |e| Error::io(format!("list '{}'", dir.display()), e);
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|n| n.strip_prefix(prefix)).and_then(|n| Some((n, n.parse::<u64>().ok()?)));
        if let Some((text, number)) = number
            && text == number.to_string()
        {
            found.push((Epoch(number), entry.path()));
        }
    }
    found.sort_unstable();
    Ok(found)
}
