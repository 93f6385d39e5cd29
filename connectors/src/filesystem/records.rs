//! Cuts a file into messages, reading it in big chunks.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use eddyline_engine::error::{Error, Result};

use crate::format::Framing;

/// Bytes per read.
const CHUNK_BYTES: usize = 256 * 1024;

/// Longest message: a file that is not text, or an unclosed quote, must not fill the memory.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// The messages of one file, from some byte on.
pub(super) struct Records {
    file: File,
    framing: Framing,
    name: String,
    /// Bytes read and not yet handed out start at `start`.
    buffer: Vec<u8>,
    start: usize,
    at_end: bool,
    /// Where the next message starts.
    offset: u64,
    /// Line number of the next message, from 1.
    line: u64,
}

impl Records {
    /// Opens the file at byte `offset`, which is the start of line `line`.
    pub(super) fn open(path: &Path, framing: Framing, offset: u64, line: u64) -> Result<Records> {
        let name = path.display().to_string();
        let opened = File::open(path).and_then(|mut file| file.seek(SeekFrom::Start(offset)).map(|_| file));
        let file = opened.map_err(|error| Error::io(format!("opening {name}"), error))?;
        Ok(Records { file, framing, name, buffer: Vec::new(), start: 0, at_end: false, offset, line })
    }

    /// Where the next message starts.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Line number of the next message, from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// The next message, with its line end if the format looks at it, and the number of its first line; None behind
    /// the last one.
    pub(super) fn next(&mut self) -> Result<Option<(&[u8], u64)>> {
        let length = loop {
            if let Some(length) = self.framing.first_message(&self.buffer[self.start..]) {
                break length;
            }
            if self.at_end {
                break self.buffer.len() - self.start;
            }
            self.fill()?;
        };
        if length == 0 {
            return Ok(None);
        }
        let (start, line) = (self.start, self.line);
        let message = &self.buffer[start..start + length];
        self.start += length;
        self.offset += length as u64;
        self.line += memchr::memchr_iter(b'\n', message).count() as u64;
        Ok(Some((self.framed(message), line)))
    }

    fn framed<'a>(&self, message: &'a [u8]) -> &'a [u8] {
        if self.framing != Framing::Lines {
            return message;
        }
        let message = message.strip_suffix(b"\n").unwrap_or(message);
        message.strip_suffix(b"\r").unwrap_or(message)
    }

    fn fill(&mut self) -> Result<()> {
        self.buffer.drain(..self.start);
        self.start = 0;
        if self.buffer.len() > MAX_MESSAGE_BYTES {
            let limit = MAX_MESSAGE_BYTES >> 20;
            return Err(Error::data(format!(
                "message longer than {limit} MB in file {}, line {}",
                self.name, self.line
            )));
        }
        // A long message is read in ever bigger chunks, so that looking for its end again stays cheap.
        let wanted = CHUNK_BYTES.max(self.buffer.len()) as u64;
        let read = self.file.by_ref().take(wanted).read_to_end(&mut self.buffer);
        let read = read.map_err(|error| Error::io(format!("reading {}", self.name), error))?;
        self.at_end = (read as u64) < wanted;
        Ok(())
    }
}
