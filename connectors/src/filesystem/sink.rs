//! Writes part files that become visible when their epoch is applied.
//!
//! A file is written under a hidden name, `.part-<uuid>-<subtask>-<n>.inprogress`. `prepare` closes it, makes it
//! durable and names it in the epoch's log; `apply` renames it to `part-<uuid>-<subtask>-<n>`. Readers of the folder
//! leave hidden files out, so they see each row exactly once. A file that never got into a log is removed when the sink
//! is dropped; after a crash it stays, hidden.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use eddyline_engine::changelog::ChangelogBatch;
use eddyline_engine::connector::{Committer, EpochLog, Sink, SinkContext, SinkFactory};
use eddyline_engine::crash;
use eddyline_engine::error::{Error, Result};
use eddyline_engine::time::Epoch;
use serde::{Deserialize, Serialize};

use super::NAME;
use crate::format::{Encoder, Format, Messages};

/// Bytes gathered before a write.
const BUFFER_BYTES: usize = 256 * 1024;

/// Makes the sinks of one table.
pub(super) struct FileSinkFactory {
    pub(super) directory: PathBuf,
    pub(super) format: Arc<dyn Format>,
    pub(super) schema: SchemaRef,
    /// A part is closed when it has this many bytes.
    pub(super) roll_bytes: u64,
}

impl SinkFactory for FileSinkFactory {
    fn open(&self, context: &SinkContext) -> Result<Box<dyn Sink>> {
        if self.directory.is_file() {
            let message = format!("path {} is a file", self.directory.display());
            return Err(Error::refused(NAME, message, "give the folder to write into as 'path'"));
        }
        let creating = |error| Error::io(format!("creating folder {}", self.directory.display()), error);
        fs::create_dir_all(&self.directory).map_err(creating)?;
        Ok(Box::new(FileSink {
            directory: self.directory.clone(),
            stem: format!("part-{}-{}", uuid::Uuid::new_v4(), context.subtask.index),
            roll_bytes: self.roll_bytes,
            encoder: self.format.encoder(self.schema.clone())?,
            messages: Messages::new(),
            parts: 0,
            current: None,
            closed: Vec::new(),
        }))
    }

    fn committer(&self, _context: &SinkContext) -> Result<Option<Box<dyn Committer>>> {
        Ok(Some(Box::new(FileCommitter)))
    }

    fn guarantee(&self) -> &'static str {
        "exactly-once"
    }
}

struct FileSink {
    directory: PathBuf,
    /// Beginning of all names of this sink.
    stem: String,
    roll_bytes: u64,

    encoder: Box<dyn Encoder>,
    messages: Messages,
    parts: u64,
    current: Option<Part>,
    /// Names of the parts that wait for `prepare`.
    closed: Vec<String>,
}

struct Part {
    name: String,
    file: BufWriter<File>,
    bytes: u64,
}

/// The parts of one epoch.
#[derive(Debug, Serialize, Deserialize)]
struct PartLog {
    directory: PathBuf,
    parts: Vec<String>,
}

fn hidden(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!(".{name}.inprogress"))
}

impl FileSink {
    fn write_messages(&mut self) -> Result<()> {
        let (directory, roll_bytes) = (self.directory.clone(), self.roll_bytes);
        for index in 0..self.messages.len() {
            if self.current.is_none() {
                self.current = Some(self.begin_part()?);
            }
            let (Some(part), Some(message)) = (&mut self.current, self.messages.get(index)) else { continue };
            let written = part.file.write_all(message).and_then(|()| part.file.write_all(b"\n"));
            written.map_err(|error| writing(&directory, &part.name, error))?;
            part.bytes += message.len() as u64 + 1;
            if part.bytes >= roll_bytes {
                self.close_part()?;
            }
        }
        Ok(())
    }

    fn begin_part(&mut self) -> Result<Part> {
        let name = format!("{}-{}", self.stem, self.parts);
        self.parts += 1;
        let created = File::create_new(hidden(&self.directory, &name));
        let file = created.map_err(|error| writing(&self.directory, &name, error))?;
        Ok(Part { name, file: BufWriter::with_capacity(BUFFER_BYTES, file), bytes: 0 })
    }

    /// Makes the current part durable.
    fn close_part(&mut self) -> Result<()> {
        let Some(mut part) = self.current.take() else { return Ok(()) };
        let closed = part.file.flush().and_then(|()| part.file.get_ref().sync_all());
        // The name counts as closed even when that failed, so that the file is removed.
        self.closed.push(part.name.clone());
        closed.map_err(|error| writing(&self.directory, &part.name, error))
    }
}

impl Sink for FileSink {
    fn write(&mut self, batch: &ChangelogBatch) -> Result<()> {
        self.messages.clear();
        self.encoder.encode(batch, &mut self.messages)?;
        self.write_messages()
    }

    fn prepare(&mut self, _epoch: Epoch) -> Result<EpochLog> {
        self.close_part()?;
        if self.closed.is_empty() {
            return Ok(EpochLog::empty());
        }
        sync_folder(&self.directory)?;
        crash::point("filesystem.part-synced")?;
        let log = PartLog { directory: self.directory.clone(), parts: self.closed.clone() };
        let bytes = serde_json::to_vec(&log).map_err(|error| Error::internal(error.to_string()))?;
        self.closed.clear();
        Ok(EpochLog::new(bytes))
    }
}

/// Renames the parts of an epoch. It needs no marker: a part that has its name already is left alone.
struct FileCommitter;

impl Committer for FileCommitter {
    /// Names of parts are unique, so an earlier writer is in nobody's way.
    fn fence(&mut self, _generation: u64) -> Result<()> {
        Ok(())
    }

    fn applied_up_to(&mut self) -> Result<Option<Epoch>> {
        Ok(None)
    }

    fn apply(&mut self, epoch: Epoch, logs: &[Arc<EpochLog>]) -> Result<()> {
        logs.iter().try_for_each(|log| publish(epoch, log))
    }
}

fn publish(epoch: Epoch, log: &EpochLog) -> Result<()> {
    let bad = |error| Error::checkpoint(format!("log of the filesystem sink for epoch {}: {error}", epoch.0));
    let PartLog { directory, parts } = serde_json::from_slice(log.bytes()).map_err(bad)?;
    for name in &parts {
        let (from, to) = (hidden(&directory, name), directory.join(name));
        match fs::rename(&from, &to) {
            Ok(()) => crash::point("filesystem.part-renamed")?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                // Applied before. A reader of the folder may have taken the file away since.
                if !to.exists() {
                    tracing::warn!(file = %to.display(), epoch = epoch.0, "part file is gone");
                }
            }
            Err(error) => return Err(Error::io(format!("renaming {} to {name}", from.display()), error)),
        }
    }
    sync_folder(&directory)?;
    crash::point("filesystem.folder-synced")
}

impl Drop for FileSink {
    fn drop(&mut self) {
        let open = self.current.take().map(|part| part.name);
        for name in self.closed.drain(..).chain(open) {
            // Nothing depends on it: hidden files are never read.
            drop(fs::remove_file(hidden(&self.directory, &name)));
        }
    }
}

fn writing(directory: &Path, name: &str, error: std::io::Error) -> Error {
    Error::io(format!("writing {}", hidden(directory, name).display()), error)
}

/// Makes names in the folder durable.
fn sync_folder(directory: &Path) -> Result<()> {
    let synced = File::open(directory).and_then(|folder| folder.sync_all());
    synced.map_err(|error| Error::io(format!("syncing folder {}", directory.display()), error))
}
