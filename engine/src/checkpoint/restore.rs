//! Reading a checkpoint back, and proof that it is whole: every file has the length and hash that the manifest says
//! before any of it is decoded.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use twox_hash::XxHash3_128;

use super::files::{Files, context, file_hash};
use super::manifest::FILE_NAME;
use super::{FileEntry, Manifest, OperatorEntry, layout, parquet};
use crate::connector::EpochLog;
use crate::dataflow::Uid;
use crate::error::{Error, Result};

/// Why a checkpoint cannot be used.
#[derive(Debug)]
pub(super) enum Unusable {
    /// There is no manifest: it was never completed, or somebody deleted the file.
    NoManifest,
    /// Its content is not what was written; says which file, and how.
    Damaged(String),
    /// The file system refused to answer; trying again may help.
    Refused(Error),
}

impl Unusable {
    /// As an error about the checkpoint in `dir`.
    pub(super) fn into_error(self, dir: &Path) -> Error {
        match self {
            Unusable::Refused(error) => error,
            Unusable::NoManifest => Error::checkpoint(format!("no '{FILE_NAME}' in '{}'", dir.display())),
            Unusable::Damaged(what) => Error::checkpoint(format!("'{}' is damaged: {what}", dir.display())),
        }
    }
}

/// A checkpoint whose files were all found to be as its manifest says.
#[derive(Debug, Clone, PartialEq)]
pub struct Restored {
    /// What it consists of.
    pub manifest: Manifest,
    /// Its folder.
    pub dir: PathBuf,
    /// Newer checkpoints that were passed over because they are damaged, one line each.
    pub skipped: Vec<String>,
}

impl Restored {
    /// Reads and verifies a named checkpoint: its folder, or the manifest in it.
    pub fn read(path: &Path) -> Result<Restored> {
        let is_manifest = path.file_name().is_some_and(|name| name == FILE_NAME);
        let dir = if is_manifest { path.parent().unwrap_or(Path::new(".")) } else { path };
        if !dir.is_dir() {
            return Err(Error::checkpoint(format!("'{}' is not a folder", dir.display()))
                .with_hint("name the folder of one checkpoint, such as …/chk-7, or the manifest.json in it"));
        }
        match verify(dir) {
            Ok(manifest) => Ok(Restored { manifest, dir: dir.to_path_buf(), skipped: Vec::new() }),
            Err(unusable) => {
                let error = unusable.into_error(dir);
                Err(match layout::checkpoints(dir)?.pop() {
                    Some((_, newest)) => error.with_hint(format!("did you mean '{}'?", newest.display())),
                    None => error,
                })
            }
        }
    }

    /// What an operator remembered; None when the checkpoint does not know it.
    pub fn operator(&self, uid: &Uid) -> Option<&OperatorEntry> {
        self.manifest.operators.iter().find(|o| o.uid == *uid)
    }

    /// All rows of a state of all subtasks; empty when the checkpoint does not know the operator or the state.
    pub fn read_state(&self, uid: &Uid, state: &str) -> Result<Vec<RecordBatch>> {
        let states = self.operator(uid).map_or(&[][..], |o| &o.states);
        let mut batches = Vec::new();
        for file in states.iter().filter(|s| s.name == state).flat_map(|s| &s.files) {
            batches.extend(parquet::read(&self.dir.join(&file.path))?);
        }
        Ok(batches)
    }

    /// The logs of a sink, by subtask; several of one subtask are in the order in which they must be applied.
    pub fn read_logs(&self, uid: &Uid) -> Result<Vec<(usize, EpochLog)>> {
        let logs = self.operator(uid).map_or(&[][..], |o| &o.logs);
        let read = |entry: &super::LogEntry| {
            let path = self.dir.join(&entry.file.path);
            let bytes = fs::read(&path).map_err(|e| Error::io(context("read", &path), e))?;
            Ok((entry.subtask, EpochLog::new(bytes)))
        };
        logs.iter().map(read).collect()
    }

    /// Copies the checkpoint to the new folder `target`, durably, the manifest last: a savepoint at a place of the
    /// user's choice.
    pub fn copy_to(&self, target: &Path) -> Result<()> {
        let files = Files::default();
        if target.join(FILE_NAME).exists() {
            return Err(Error::checkpoint(format!("'{}' already holds a checkpoint", target.display())));
        }
        files.create_dir(target)?;
        files.sync_parent(target)?;
        for entry in self.manifest.files() {
            let (from, to) = (self.dir.join(&entry.path), target.join(&entry.path));
            let bytes = fs::read(&from).map_err(|e| Error::io(context("read", &from), e))?;
            let mut file = files.create(&to, false)?;
            file.write_all(&bytes).map_err(|e| Error::io(context("write", &to), e))?;
            if file.finish()?.1 != entry.xxh128 {
                return Err(Error::checkpoint(format!("'{}' changed while it was copied", from.display())));
            }
        }
        files.replace(&target.join(FILE_NAME), self.manifest.to_text()?.as_bytes())
    }
}

/// The manifest in `dir`, its own checksum verified but not the files that it names.
pub(super) fn read_manifest(dir: &Path) -> Result<Manifest, Unusable> {
    let path = dir.join(FILE_NAME);
    match fs::read(&path) {
        Ok(text) => Manifest::from_text(&text).map_err(Unusable::Damaged),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Unusable::NoManifest),
        Err(error) => Err(unreadable(&path, error)),
    }
}

/// The manifest in `dir`, if it and every file that it names are as they were written.
pub(super) fn verify(dir: &Path) -> Result<Manifest, Unusable> {
    let manifest = read_manifest(dir)?;
    for entry in manifest.files() {
        verify_file(dir, entry)?;
    }
    Ok(manifest)
}

fn verify_file(dir: &Path, entry: &FileEntry) -> Result<(), Unusable> {
    let path = dir.join(&entry.path);
    let damaged = |what: String| Err(Unusable::Damaged(format!("'{}' {what}", entry.path)));
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return damaged("is missing".to_string()),
        Err(error) => return Err(unreadable(&path, error)),
    };
    let length = file.metadata().map_err(|e| unreadable(&path, e))?.len();
    if length != entry.bytes {
        return damaged(format!("has {length} bytes instead of {}", entry.bytes));
    }
    let mut hasher = XxHash3_128::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer).map_err(|e| unreadable(&path, e))? {
            0 => break,
            read => hasher.write(&buffer[..read]),
        }
    }
    if file_hash(&hasher) != entry.xxh128 {
        return damaged("does not have the content that was written (its XXH3 hash differs)".to_string());
    }
    Ok(())
}

/// A disk that cannot read a sector has damaged the file; anything else (permissions, too many open files) may pass.
fn unreadable(path: &Path, error: io::Error) -> Unusable {
    const EIO: i32 = 5;
    match error.raw_os_error() {
        Some(EIO) => Unusable::Damaged(format!("'{}' cannot be read from the disk", path.display())),
        _ => Unusable::Refused(Error::io(context("read", path), error)),
    }
}
