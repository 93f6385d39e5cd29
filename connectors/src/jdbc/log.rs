//! The epoch log: the changes of one subtask and epoch in the order in which they must be applied, in *pieces*.
//!
//! A piece is rows that are all written or all deleted, as an Arrow stream of its own with LZ4-compressed columns. Pieces
//! are what the marker in the database counts: their borders are fixed when the log is written, so a half-applied epoch
//! is resumed at the right row even by another version of the program.
//!
//! ```text
//! "EJL1" { operation: u8, rows: u32, length: u32, Arrow stream of that length }*      integers little endian
//! ```
//!
//! The log needs no checksum of its own: the checkpoint keeps the length and SHA-256 of each log file and verifies them
//! before a log is read.

use std::io::Cursor;

use arrow::array::RecordBatch;
use arrow::compute::interleave_record_batch;
use arrow_ipc::CompressionType;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use eddyline_engine::connector::EpochLog;
use eddyline_engine::{ChangelogBatch, Error, Result};

use super::buffer::{Changes, RowRef};

const MAGIC: &[u8; 4] = b"EJL1";
/// Rows of one piece at most.
const PIECE_ROWS: usize = 10_000;

/// What a piece asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Operation {
    /// Insert or upsert.
    Write,
    /// Delete by key.
    Delete,
}

/// The log of the running epoch.
#[derive(Default)]
pub(super) struct LogWriter {
    bytes: Vec<u8>,
}

impl LogWriter {
    /// Appends what a flush would do.
    pub(super) fn push(&mut self, changes: &Changes, batches: &[ChangelogBatch]) -> Result<()> {
        self.push_rows(Operation::Delete, &changes.deletes, batches)?;
        self.push_rows(Operation::Write, &changes.writes, batches)
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The finished log; the next one begins.
    pub(super) fn take(&mut self) -> EpochLog {
        EpochLog::new(std::mem::take(&mut self.bytes))
    }

    fn push_rows(&mut self, operation: Operation, rows: &[RowRef], batches: &[ChangelogBatch]) -> Result<()> {
        let batches: Vec<&RecordBatch> = batches.iter().map(ChangelogBatch::rows).collect();
        for piece in rows.chunks(PIECE_ROWS) {
            let indices: Vec<(usize, usize)> = piece.iter().map(|r| (r.batch as usize, r.row as usize)).collect();
            self.push_piece(operation, &interleave_record_batch(&batches, &indices)?)?;
        }
        Ok(())
    }

    fn push_piece(&mut self, operation: Operation, rows: &RecordBatch) -> Result<()> {
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(MAGIC);
        }
        self.bytes.push(if operation == Operation::Delete { 1 } else { 0 });
        self.bytes.extend_from_slice(&size(rows.num_rows())?);
        let length_at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME))?;
        let mut stream = StreamWriter::try_new_with_options(&mut self.bytes, &rows.schema(), options)?;
        stream.write(rows)?;
        stream.finish()?;
        drop(stream);
        let length = size(self.bytes.len() - length_at - 4)?;
        self.bytes[length_at..length_at + 4].copy_from_slice(&length);
        Ok(())
    }
}

fn size(number: usize) -> Result<[u8; 4]> {
    let number = u32::try_from(number);
    number.map(u32::to_le_bytes).map_err(|_| Error::data("rows of more than 4 GB do not fit into an epoch log"))
}

/// One piece of a log, not decoded yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) operation: Operation,
    /// Number of rows.
    pub(super) rows: usize,
    stream: &'a [u8],
}

impl<'a> Piece<'a> {
    /// The pieces of a log.
    pub(super) fn all(log: &'a EpochLog) -> Result<Vec<Piece<'a>>> {
        if log.is_empty() {
            return Ok(Vec::new());
        }
        let bad = || Error::checkpoint("the log of a jdbc sink is damaged, or another version has written it");
        let mut rest = log.bytes().strip_prefix(MAGIC).ok_or_else(bad)?;
        let mut pieces = Vec::new();
        while let Some((operation, after)) = rest.split_first() {
            let operation = match operation {
                0 => Operation::Write,
                1 => Operation::Delete,
                _ => return Err(bad()),
            };
            let (rows, after) = after.split_first_chunk::<4>().ok_or_else(bad)?;
            let (length, after) = after.split_first_chunk::<4>().ok_or_else(bad)?;
            let (stream, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(bad)?;
            pieces.push(Piece { operation, rows: u32::from_le_bytes(*rows) as usize, stream });
            rest = after;
        }
        Ok(pieces)
    }

    /// Compressed length.
    pub(super) fn bytes(&self) -> usize {
        self.stream.len()
    }

    /// The rows, and what to do with them.
    pub(super) fn decode(&self) -> Result<(Changes, Vec<ChangelogBatch>)> {
        let mut batches = Vec::new();
        for batch in StreamReader::try_new(Cursor::new(self.stream), None)? {
            batches.push(ChangelogBatch::inserts(batch?));
        }
        let mut rows = Vec::with_capacity(self.rows);
        for (number, batch) in (0_u32..).zip(&batches) {
            let count = u32::try_from(batch.len()).unwrap_or(u32::MAX);
            rows.extend((0..count).map(|row| RowRef { batch: number, row }));
        }
        let changes = match self.operation {
            Operation::Write => Changes { deletes: Vec::new(), writes: rows },
            Operation::Delete => Changes { deletes: rows, writes: Vec::new() },
        };
        Ok((changes, batches))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    use super::*;

    fn batch(values: std::ops::Range<i64>) -> ChangelogBatch {
        let schema = Schema::new(vec![Field::new("v", DataType::Int64, false)]);
        let values = Arc::new(Int64Array::from_iter_values(values));
        ChangelogBatch::inserts(RecordBatch::try_new(Arc::new(schema), vec![values]).unwrap())
    }

    fn at(batch: u32, row: u32) -> RowRef {
        RowRef { batch, row }
    }

    #[test]
    fn rows_come_back_in_order_and_in_pieces() {
        let mut writer = LogWriter::default();
        let batches = [batch(0..10), batch(10..20_010)];
        let writes = (0..20_000).rev().map(|row| at(1, row)).collect();
        writer.push(&Changes { deletes: vec![at(0, 7), at(0, 3)], writes }, &batches).unwrap();
        let log = writer.take();
        let pieces = Piece::all(&log).unwrap();
        let shape: Vec<_> = pieces.iter().map(|p| (p.operation, p.rows)).collect();
        assert_eq!(shape, [(Operation::Delete, 2), (Operation::Write, 10_000), (Operation::Write, 10_000)]);
        let values = |piece: &Piece<'_>| {
            let (changes, batches) = piece.decode().unwrap();
            let rows = if piece.operation == Operation::Delete { changes.deletes } else { changes.writes };
            let value =
                |r: &RowRef| batches[r.batch as usize].column(0).as_primitive::<Int64Type>().value(r.row as usize);
            rows.iter().map(value).collect::<Vec<i64>>()
        };
        assert_eq!(values(&pieces[0]), [7, 3]);
        let written: Vec<i64> = pieces[1..].iter().flat_map(values).collect();
        assert_eq!(written, (10..20_010).rev().collect::<Vec<i64>>());
        assert!(writer.take().is_empty() && Piece::all(&EpochLog::empty()).unwrap().is_empty());
    }

    #[test]
    fn a_log_that_breaks_off_is_an_error() {
        let mut writer = LogWriter::default();
        writer.push(&Changes { deletes: Vec::new(), writes: vec![at(0, 0)] }, &[batch(0..1)]).unwrap();
        let bytes = writer.take().bytes().to_vec();
        for length in 1..bytes.len() {
            let cut = EpochLog::new(bytes[..length].to_vec());
            assert!(length == MAGIC.len() || Piece::all(&cut).is_err(), "cut to {length} bytes");
        }
        assert!(Piece::all(&EpochLog::new(b"EJL2".to_vec())).is_err());
    }
}
