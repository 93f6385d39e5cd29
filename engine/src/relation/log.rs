//! The log of a table: what each statement has changed, in one file, in order.
//!
//! ```text
//!  "EDTABLE1"  frame  frame  …            frame = head (32 bytes) + body
//!  head = "EDF" kind │ bytes of the body u32 │ sequence u64 │ XXH64 of the body u64 │ XXH64 of the 24 bytes before u64
//! ```
//! Numbers are little-endian. A body is an Arrow IPC stream: the columns of the table, then one of row kinds. A statement is
//! one or more frames of one sequence number, of which the last has the kind `.`, the others `+`.
//!
//! A statement is answered when its frames are on disk. What stands behind the last whole statement and is cut short, or was
//! never filled with data, is a statement that nobody has an answer to: opening cuts it off. Anything else that does
//! not read as it was written is damage, and an error.
//!
//! When the file has grown to twice what the rows took when it was last written, it is written anew beside the old one, as
//! rows to insert, and put in its place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, UInt8Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt8Type};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use twox_hash::XxHash64;

use crate::changelog::{ChangelogBatch, RowKind};
use crate::error::{Error, Result};

const FILE_HEAD: &[u8; 8] = b"EDTABLE1";
const FRAME_HEAD: usize = 32;
const MORE: u8 = b'+';
const LAST: u8 = b'.';
/// Rows of one frame.
const FRAME_ROWS: usize = 1 << 16;
/// A file below this size is never written anew.
const SHORT_BYTES: u64 = 16 << 20;

/// The log of one table, open for writing.
#[derive(Debug)]
pub(super) struct TableLog {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// Size at which it is written anew.
    long_bytes: u64,
    /// The columns of a body.
    schema: SchemaRef,
    /// Why nothing more can be written.
    broken: Option<String>,
}

impl TableLog {
    /// Opens the log at `path`, which is made if need be, for rows of `schema`; gives each batch of every whole
    /// statement to `apply`, in order, and returns the sequence number of the last one.
    pub(super) fn open(
        path: &Path,
        schema: &SchemaRef,
        mut apply: impl FnMut(&ChangelogBatch) -> Result<()>,
    ) -> Result<(Self, u64)> {
        let schema = body_schema(schema);
        if !path.exists() {
            let (file, bytes) = write_anew(path, &schema, 0, std::iter::empty())?;
            sync_folder(path).map_err(|e| Error::io(format!("{} cannot be made", path.display()), e))?;
            return Ok((TableLog::new(path, file, bytes, schema), 0));
        }
        let mut reader = LogReader::open(path)?;
        let (mut sequence, mut whole, mut statement) = (0, FILE_HEAD.len() as u64, Vec::new());
        while let Some(frame) = reader.next()? {
            statement.push(decode(&frame.body, &schema).map_err(|e| reader.damaged(&e.to_string()))?);
            if frame.kind == LAST {
                statement.drain(..).flatten().try_for_each(|batch| apply(&batch))?;
                (sequence, whole) = (frame.sequence, reader.at);
            }
        }
        let failed = |e| Error::io(format!("{} cannot be opened", path.display()), e);
        let file = OpenOptions::new().append(true).open(path).map_err(failed)?;
        if whole < reader.bytes {
            tracing::warn!(path = %path.display(), bytes = reader.bytes - whole, "an unfinished statement is cut off");
            file.set_len(whole).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        Ok((TableLog::new(path, file, whole, schema), sequence))
    }

    fn new(path: &Path, file: File, bytes: u64, schema: SchemaRef) -> Self {
        let long_bytes = SHORT_BYTES.max(2 * bytes);
        TableLog { path: path.to_path_buf(), file, bytes, long_bytes, schema, broken: None }
    }

    /// Writes what a statement has changed and returns when it is on disk. A failure leaves the log as it was.
    pub(super) fn append(&mut self, sequence: u64, changes: &[ChangelogBatch]) -> Result<()> {
        if let Some(why) = &self.broken {
            let message = format!("{} cannot be written any more: {why}", self.path.display());
            return Err(Error::unavailable(message).with_hint("restart the server when the disk is sound again"));
        }
        let mut frames = Vec::new();
        let mut parts = changes.iter().flat_map(parts).peekable();
        while let Some(part) = parts.next() {
            let kind = if parts.peek().is_some() { MORE } else { LAST };
            frames.extend(frame(kind, sequence, &encode(&part, &self.schema)?)?);
        }
        let written = self.file.write_all(&frames).and_then(|()| self.file.sync_data());
        let Err(error) = written else {
            self.bytes += frames.len() as u64;
            return Ok(());
        };
        let undone = self.file.set_len(self.bytes).and_then(|()| self.file.sync_all());
        if let Err(worse) = undone {
            // What is in the file now, nobody knows: nothing may be written behind it.
            self.broken = Some(worse.to_string());
        }
        Err(Error::io(format!("{} cannot be written", self.path.display()), error))
    }

    /// True when it should be written anew.
    pub(super) fn is_long(&self) -> bool {
        self.bytes >= self.long_bytes
    }

    /// Puts a log in its place that holds nothing but `rows`, as of statement `sequence`. When that fails the one that is
    /// there stays good, unless it is unknown which of the two would be found after a crash.
    pub(super) fn rewrite(&mut self, sequence: u64, rows: impl Iterator<Item = Result<RecordBatch>>) -> Result<()> {
        let before = self.bytes;
        let (file, bytes) = write_anew(&self.path, &self.schema, sequence, rows)?;
        (self.file, self.bytes, self.long_bytes) = (file, bytes, SHORT_BYTES.max(2 * bytes));
        tracing::info!(path = %self.path.display(), before, bytes, "the log of a table was compacted");
        sync_folder(&self.path).map_err(|error| {
            self.broken = Some(error.to_string());
            Error::io(format!("{} was compacted, perhaps not for good", self.path.display()), error)
        })
    }

    /// Deletes the file.
    pub(super) fn delete(self) -> Result<()> {
        let failed = |e| Error::io(format!("{} cannot be deleted", self.path.display()), e);
        fs::remove_file(&self.path).and_then(|()| sync_folder(&self.path)).map_err(failed)
    }
}

/// The columns of a table, then the kinds of its rows.
fn body_schema(schema: &SchemaRef) -> SchemaRef {
    // Whatever a column is called, it is known by its place. Metadata of fields is the catalog's.
    let plain = |(place, field): (usize, &Arc<Field>)| Field::new(place.to_string(), field.data_type().clone(), true);
    let mut fields: Vec<Field> = schema.fields().iter().enumerate().map(plain).collect();
    fields.push(Field::new("kind", DataType::UInt8, false));
    Arc::new(Schema::new(fields))
}

/// Writes a whole log beside the one at `path` and puts it there, which lasts once the folder is synced. Returns the
/// file, open for more, and its size.
fn write_anew(
    path: &Path,
    schema: &SchemaRef,
    sequence: u64,
    rows: impl Iterator<Item = Result<RecordBatch>>,
) -> Result<(File, u64)> {
    let new = path.with_extension("new");
    let failed = |e| Error::io(format!("{} cannot be written", new.display()), e);
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&new).map_err(failed)?;
    // One may be left of an attempt that failed.
    file.set_len(0).and_then(|()| file.write_all(FILE_HEAD)).map_err(failed)?;
    let mut bytes = FILE_HEAD.len() as u64;
    let mut write = |kind: u8, body: &[u8]| -> Result<()> {
        let frame = frame(kind, sequence, body)?;
        bytes += frame.len() as u64;
        file.write_all(&frame).map_err(failed)
    };
    for batch in rows {
        write(MORE, &encode(&ChangelogBatch::inserts(batch?), schema)?)?;
    }
    write(LAST, &[])?;
    file.sync_all().and_then(|()| fs::rename(&new, path)).map_err(failed)?;
    Ok((file, bytes))
}

fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// A batch in pieces that fit a frame.
fn parts(batch: &ChangelogBatch) -> impl Iterator<Item = ChangelogBatch> + '_ {
    let starts = (0..batch.len()).step_by(FRAME_ROWS);
    starts.map(|start| batch.slice(start, FRAME_ROWS.min(batch.len() - start)))
}

fn frame(kind: u8, sequence: u64, body: &[u8]) -> Result<Vec<u8>> {
    let length = u32::try_from(body.len())
        .map_err(|_| Error::data(format!("{FRAME_ROWS} rows of a table take more than 4 GiB")))?;
    let mut frame = Vec::with_capacity(FRAME_HEAD + body.len());
    frame.extend_from_slice(&[b'E', b'D', b'F', kind]);
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&sequence.to_le_bytes());
    frame.extend_from_slice(&XxHash64::oneshot(0, body).to_le_bytes());
    let check = XxHash64::oneshot(0, &frame);
    frame.extend_from_slice(&check.to_le_bytes());
    frame.extend_from_slice(body);
    Ok(frame)
}

fn encode(batch: &ChangelogBatch, schema: &SchemaRef) -> Result<Vec<u8>> {
    let kinds: UInt8Array = (0..batch.len()).map(|row| Some(batch.kind(row) as u8)).collect();
    let mut columns = batch.rows().columns().to_vec();
    columns.push(Arc::new(kinds));
    let rows = RecordBatch::try_new(schema.clone(), columns)?;
    let mut writer = StreamWriter::try_new(Vec::new(), schema)?;
    writer.write(&rows)?;
    Ok(writer.into_inner()?)
}

/// The batches of a body; none of an empty one.
fn decode(body: &[u8], schema: &SchemaRef) -> Result<Vec<ChangelogBatch>> {
    if body.is_empty() {
        return Ok(Vec::new());
    }
    let reader = StreamReader::try_new(body, None)?;
    if reader.schema().fields() != schema.fields() {
        return Err(Error::data("its rows have other columns than the table"));
    }
    let batch = |rows: RecordBatch| {
        let kinds = rows.column(schema.fields().len() - 1).as_primitive::<UInt8Type>();
        let kinds = kinds.values().iter().map(|kind| match kind {
            0 => RowKind::Insert,
            _ => RowKind::Delete,
        });
        let kinds = kinds.collect();
        let columns: Vec<usize> = (0..schema.fields().len() - 1).collect();
        Ok(ChangelogBatch::new(rows.project(&columns)?, kinds))
    };
    reader.map(|rows| batch(rows?)).collect()
}

struct Frame {
    kind: u8,
    sequence: u64,
    body: Vec<u8>,
}

/// Reads frames up to the end or to one that was not finished.
struct LogReader<'a> {
    path: &'a Path,
    file: io::BufReader<File>,
    bytes: u64,
    /// Where the next frame begins.
    at: u64,
}

impl<'a> LogReader<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        let failed = |e| Error::io(format!("{} cannot be read", path.display()), e);
        let file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let mut reader = LogReader { path, file: io::BufReader::new(file), bytes, at: 0 };
        if reader.take(FILE_HEAD.len())? != FILE_HEAD {
            return Err(reader.damaged("it is no log of a table"));
        }
        reader.at = FILE_HEAD.len() as u64;
        Ok(reader)
    }

    fn damaged(&self, what: &str) -> Error {
        Error::unavailable(format!("{} is damaged at byte {}: {what}", self.path.display(), self.at))
            .with_hint("restore it from a backup, or cut it off there to go on without what follows")
    }

    /// The next `count` bytes, fewer at the end.
    fn take(&mut self, count: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(count.min(1 << 20));
        let read = self.file.by_ref().take(count as u64).read_to_end(&mut bytes);
        read.map_err(|e| Error::io(format!("{} cannot be read", self.path.display()), e))?;
        Ok(bytes)
    }

    /// True when nothing but zeros follows: space that was never filled.
    fn is_blank(&mut self) -> Result<bool> {
        loop {
            let bytes = self.take(1 << 16)?;
            if bytes.is_empty() {
                return Ok(true);
            }
            if bytes.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
        }
    }

    /// The next frame; None at the end, and before one that was not finished.
    fn next(&mut self) -> Result<Option<Frame>> {
        let head = self.take(FRAME_HEAD)?;
        if head.len() < FRAME_HEAD {
            return Ok(None);
        }
        let number =
            |at: usize| head[at..at + 8].iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        if XxHash64::oneshot(0, &head[..24]) != number(24) || &head[..3] != b"EDF" {
            return match head.iter().all(|byte| *byte == 0) && self.is_blank()? {
                true => Ok(None),
                false => Err(self.damaged("there is no frame")),
            };
        }
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let body = self.take(length)?;
        if body.len() < length {
            return Ok(None);
        }
        if XxHash64::oneshot(0, &body) != number(16) {
            return Err(self.damaged("the content of a frame is not what was written"));
        }
        self.at += (FRAME_HEAD + length) as u64;
        Ok(Some(Frame { kind: head[3], sequence: number(8), body }))
    }
}
