//! The file-system steps that make a file durable: write, sync the file, rename, sync the folder.
//!
//! Every step that changes the disk goes through [`Files`], so that tests can stop the world after any of them.
//! A file whose sync failed is never synced again (the kernel may have dropped the dirty pages): it is removed.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use twox_hash::XxHash3_128;

use crate::error::{Error, Result};

/// Called before every step with its name and path; an error is what the step answers.
pub(super) type Probe = Arc<dyn Fn(&'static str, &Path) -> io::Result<()> + Send + Sync>;

/// Extension of staged files.
const STAGED: &str = "tmp";

/// The door to the disk.
#[derive(Clone)]
pub(super) struct Files {
    probe: Option<Probe>,
    /// Part of the names of staged files: a process that is being shut out may still write beside us.
    own: Arc<str>,
}

impl Default for Files {
    fn default() -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let own = format!("{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        Files { probe: None, own: own.into() }
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Files({})", if self.probe.is_some() { "probed" } else { "plain" })
    }
}

impl Files {
    /// A door at which `probe` stands.
    #[cfg(test)]
    pub(super) fn probed(probe: Probe) -> Self {
        Files { probe: Some(probe), ..Files::default() }
    }

    /// Makes a folder and those above it, unless it is there.
    pub(super) fn create_dir(&self, path: &Path) -> Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        self.step("create folder", path, || fs::create_dir_all(path))
    }

    /// A new file to be written; `exclusive` makes an existing one an error.
    pub(super) fn create(&self, path: &Path, exclusive: bool) -> Result<DurableFile> {
        let mut options = OpenOptions::new();
        options.write(true);
        if exclusive {
            options.create_new(true)
        } else {
            options.create(true).truncate(true)
        };
        let file = self.step("create", path, || options.open(path))?;
        Ok(DurableFile { files: self.clone(), path: path.to_path_buf(), file, hasher: XxHash3_128::new(), bytes: 0 })
    }

    /// Puts `content` in the place of `path` such that a reader, also one after a crash, sees the old or the new file.
    pub(super) fn replace(&self, path: &Path, content: &[u8]) -> Result<()> {
        self.stage(path, content)?;
        self.publish(path)?;
        self.sync_parent(path)
    }

    /// The first half of [`replace`](Self::replace): the content is durable under another name.
    pub(super) fn stage(&self, path: &Path, content: &[u8]) -> Result<()> {
        let staged = self.staged(path);
        let mut file = self.create(&staged, false)?;
        let written = file.write_all(content).map_err(|e| Error::io(context("write", &staged), e));
        match written.and_then(|()| file.finish()) {
            Ok(_) => Ok(()),
            Err(error) => {
                let _ = self.remove_file(&staged);
                Err(error)
            }
        }
    }

    /// The second half: the rename. Durable only when the folder has been synced.
    pub(super) fn publish(&self, path: &Path) -> Result<()> {
        self.step("rename", path, || fs::rename(self.staged(path), path))
    }

    /// Where the content of `path` is staged.
    fn staged(&self, path: &Path) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}.{STAGED}", self.own));
        PathBuf::from(name)
    }

    /// Removes what was staged in `dir` and never published, by whomever.
    pub(super) fn remove_staged(&self, dir: &Path) -> Result<()> {
        let failed = |e| Error::io(context("list", dir), e);
        for entry in fs::read_dir(dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == STAGED) {
                self.remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Makes the names in a folder durable.
    pub(super) fn sync_dir(&self, path: &Path) -> Result<()> {
        self.step("sync folder", path, || File::open(path)?.sync_all())
    }

    /// Makes the name of `path` in its folder durable.
    pub(super) fn sync_parent(&self, path: &Path) -> Result<()> {
        self.sync_dir(path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")))
    }

    /// Gives a durable file a second name; false when that cannot be. The name is durable when its folder has been synced.
    pub(super) fn link(&self, from: &Path, to: &Path) -> bool {
        self.step("link", to, || fs::hard_link(from, to)).is_ok()
    }

    /// Removes a file; one that is not there is removed already.
    pub(super) fn remove_file(&self, path: &Path) -> Result<()> {
        self.step("remove", path, || missing_is_fine(fs::remove_file(path)))
    }

    /// Removes a folder with all that is in it; one that is not there is removed already.
    pub(super) fn remove_dir(&self, path: &Path) -> Result<()> {
        self.step("remove folder", path, || missing_is_fine(fs::remove_dir_all(path)))
    }

    fn step<T>(&self, name: &'static str, path: &Path, act: impl FnOnce() -> io::Result<T>) -> Result<T> {
        self.allow(name, path).and_then(|()| act()).map_err(|e| Error::io(context(name, path), e))
    }

    fn allow(&self, name: &'static str, path: &Path) -> io::Result<()> {
        self.probe.as_ref().map_or(Ok(()), |probe| probe(name, path))
    }
}

/// A file that is hashed while it is written. Dropped without [`finish`](Self::finish) it stays as it is.
pub(super) struct DurableFile {
    files: Files,
    path: PathBuf,
    file: File,
    hasher: XxHash3_128,
    bytes: u64,
}

impl DurableFile {
    /// Syncs the file; afterwards its content is durable (its name is when the folder has been synced). Returns its
    /// length and hash.
    pub(super) fn finish(self) -> Result<(u64, String)> {
        self.files.step("sync", &self.path, || self.file.sync_all())?;
        Ok((self.bytes, file_hash(&self.hasher)))
    }
}

impl Write for DurableFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.files.allow("write", &self.path)?;
        let written = self.file.write(buffer)?;
        self.hasher.write(&buffer[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The hash of what was written to `hasher`, as [`FileEntry::xxh128`](super::manifest::FileEntry::xxh128).
pub(super) fn file_hash(hasher: &XxHash3_128) -> String {
    format!("{:032x}", hasher.finish_128())
}

/// What was being done to which path, for error messages.
pub(super) fn context(action: &str, path: &Path) -> String {
    format!("{action} '{}'", path.display())
}

fn missing_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
