//! Reads the files of one subtask, one after the other. A split is a file; its position is a byte and a line number.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use eddyline_engine::changelog::ChangelogBatch;
use eddyline_engine::connector::{
    ColumnKind, MetadataColumn, Polled, SourceFactory, SourceReader, SplitId, SplitPosition, SplitProgress,
    TableDescription, nearest,
};
use eddyline_engine::dataflow::Subtask;
use eddyline_engine::error::{Error, Result};
use serde::{Deserialize, Serialize};

use super::listing;
use super::records::Records;
use crate::format::{Decoder, Format};

/// Most bytes of a file read in one poll, so that a poll without rows ends soon.
const MAX_POLL_BYTES: u64 = 4 * 1024 * 1024;

/// What every reader of the table shares.
#[derive(Clone)]
pub(super) struct FileSource {
    path: PathBuf,
    format: Arc<dyn Format>,
    schema: SchemaRef,
    physical: SchemaRef,
    columns: Vec<Column>,
}

/// Where a column of the result comes from.
#[derive(Debug, Clone, PartialEq)]
enum Column {
    /// The decoder's column of this number.
    Decoded(usize),
    /// The file's metadata of this key.
    Metadata(String),
}

impl FileSource {
    /// Checks the metadata columns of `table` against those `offered`.
    pub(super) fn new(
        path: PathBuf,
        format: Arc<dyn Format>,
        table: &TableDescription,
        offered: &[MetadataColumn],
    ) -> Result<FileSource> {
        let mut decoded = 0..;
        let mut columns = Vec::new();
        for column in &table.columns {
            match &column.kind {
                ColumnKind::Physical => columns.extend(decoded.next().map(Column::Decoded)),
                ColumnKind::Metadata { key, .. } if offered.iter().any(|o| o.key == key) => {
                    columns.push(Column::Metadata(key.clone()));
                }
                ColumnKind::Metadata { key, .. } => {
                    let near = nearest(key, offered.iter().map(|o| o.key)).map(|n| format!("did you mean '{n}'?"));
                    let message = format!("Invalid metadata key '{key}' in column '{}'", column.field.name());
                    return Err(Error::option(message, near));
                }
            }
        }
        let (schema, physical) = (table.source_schema(), table.physical_schema());
        Ok(FileSource { path, format, schema, physical, columns })
    }
}

impl SourceFactory for FileSource {
    fn open(&self, subtask: Subtask, restored: Option<&[SplitPosition]>) -> Result<Box<dyn SourceReader>> {
        let positions: HashMap<&str, &SplitPosition> =
            restored.unwrap_or_default().iter().map(|p| (p.split.as_str(), p)).collect();
        let files = listing::files(&self.path)?.into_iter().enumerate();
        let mine = files.filter(|(index, _)| index % subtask.parallelism == subtask.index).map(|(_, path)| path);
        let mut splits = Vec::new();
        for path in mine {
            let split: SplitId = path.to_string_lossy().into();
            let position = match positions.get(&*split) {
                Some(restored) => Position::parse(restored)?,
                None => Position::START,
            };
            splits.push(Split { id: split, path, position });
        }
        let decoder = self.format.decoder(self.physical.clone())?;
        Ok(Box::new(FileReader { source: self.clone(), splits, decoder, current: 0, open: None }))
    }
}

/// How far a file has been read.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Position {
    /// Where the next message starts.
    offset: u64,
    /// Line number of the next message, from 1.
    line: u64,
}

impl Position {
    const START: Position = Position { offset: 0, line: 1 };

    fn parse(restored: &SplitPosition) -> Result<Position> {
        let bad = |error| Error::checkpoint(format!("position of file {}: {error}", restored.split));
        serde_json::from_value(restored.position.clone()).map_err(bad)
    }
}

struct Split {
    id: SplitId,
    path: PathBuf,
    position: Position,
}

struct FileReader {
    source: FileSource,
    splits: Vec<Split>,
    decoder: Box<dyn Decoder>,
    /// The split that is read now; the ones before are done.
    current: usize,
    open: Option<(Records, FileMetadata)>,
}

impl SourceReader for FileReader {
    fn poll(&mut self, max_rows: usize, _timeout: Duration) -> Result<Polled> {
        let Some(split) = self.splits.get_mut(self.current) else { return Ok(Polled::End) };
        let (records, metadata) = match &mut self.open {
            Some(open) => open,
            closed => {
                let (metadata, position) = (FileMetadata::read(split)?, split.position);
                let records = Records::open(&split.path, self.source.format.framing(), position.offset, position.line)?;
                closed.insert((records, metadata))
            }
        };
        let stop = records.offset() + MAX_POLL_BYTES;
        let mut ended = false;
        while self.decoder.rows() < max_rows && records.offset() < stop {
            let Some((message, line)) = records.next()? else {
                ended = true;
                break;
            };
            self.decoder.decode(message).map_err(|error| located(error, &split.id, line))?;
        }
        split.position = Position { offset: records.offset(), line: records.line() };
        if self.decoder.rows() > 0 {
            let decoded = self.decoder.take()?;
            let batch = assemble(&self.source, &decoded, metadata)?;
            return Ok(Polled::Rows { split: split.id.clone(), batch });
        }
        if ended {
            self.open = None;
            self.current += 1;
            return Ok(Polled::SplitEnd(split.id.clone()));
        }
        Ok(Polled::Nothing)
    }

    fn positions(&mut self) -> Result<Vec<SplitPosition>> {
        let position = |split: &Split| {
            let value = serde_json::to_value(split.position).map_err(|error| Error::internal(error.to_string()))?;
            Ok(SplitPosition { split: split.id.to_string(), position: value })
        };
        self.splits.iter().map(position).collect()
    }

    fn progress(&self) -> Vec<SplitProgress> {
        let progress = |split: &Split| {
            let end = fs::metadata(&split.path).map(|metadata| metadata.len()).ok();
            SplitProgress { split: split.id.clone(), position: split.position.offset, end, lag_rows: None }
        };
        self.splits.iter().map(progress).collect()
    }

    fn splits(&self) -> Vec<SplitId> {
        self.splits.iter().skip(self.current).map(|split| split.id.clone()).collect()
    }

    fn skipped_messages(&self) -> u64 {
        self.decoder.skipped()
    }
}

/// The error with file and line.
fn located(error: Error, file: &str, line: u64) -> Error {
    match error {
        Error::Data { message, hint } => Error::Data { message: format!("{message} (file {file}, line {line})"), hint },
        other => other,
    }
}

/// Puts decoded columns and metadata into the declared order.
fn assemble(source: &FileSource, decoded: &ChangelogBatch, metadata: &FileMetadata) -> Result<ChangelogBatch> {
    let rows = decoded.len();
    if source.columns.len() == source.physical.fields().len() {
        return Ok(decoded.clone());
    }
    let arrays = source.columns.iter().zip(source.schema.fields()).map(|(column, field)| match column {
        Column::Decoded(index) => Ok(decoded.column(*index).clone()),
        Column::Metadata(key) => {
            let array = metadata.repeated(key, rows);
            Ok(if array.data_type() == field.data_type() { array } else { cast(&array, field.data_type())? })
        }
    });
    let arrays = arrays.collect::<Result<Vec<ArrayRef>>>()?;
    Ok(decoded.with_rows(RecordBatch::try_new(source.schema.clone(), arrays)?))
}

/// What the metadata columns say about a file.
struct FileMetadata {
    path: String,
    name: String,
    size: i64,
    modified_ms: i64,
}

impl FileMetadata {
    fn read(split: &Split) -> Result<FileMetadata> {
        let metadata =
            fs::metadata(&split.path).map_err(|error| Error::io(format!("looking at {}", split.id), error))?;
        let modified = metadata.modified().unwrap_or(UNIX_EPOCH);
        Ok(FileMetadata {
            path: split.id.to_string(),
            name: split.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
            size: i64::try_from(metadata.len()).unwrap_or(i64::MAX),
            modified_ms: milliseconds(modified),
        })
    }

    /// The value of `key` for each of `rows` rows.
    fn repeated(&self, key: &str, rows: usize) -> ArrayRef {
        match key {
            "file.path" => Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&self.path, rows))),
            "file.name" => Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&self.name, rows))),
            "file.size" => Arc::new(Int64Array::from_value(self.size, rows)),
            _ => Arc::new(TimestampMillisecondArray::from_value(self.modified_ms, rows).with_timezone("UTC")),
        }
    }
}

fn milliseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
