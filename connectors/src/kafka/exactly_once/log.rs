//! The epoch log: messages as bytes, in frames that are compressed and checked one by one.
//!
//! ```text
//! log    = "EKL1" · number of frames u32 · checksum u64 of both · frame …
//! frame  = raw length u32 · stored length u32 · checksum u64 of both and the stored bytes · stored bytes (LZ4 block)
//! raw    = message …
//! message = partition · milliseconds since the epoch (i64) · key · value · number of headers · (name · value) …
//! ```
//! Fixed numbers are little endian. Inside a frame numbers are LEB128; key, value and header values are their length
//! plus one, 0 for null, and their bytes. A checksum is seeded with the number of its frame, so that neither a changed
//! byte nor a lost, doubled or exchanged frame goes unseen. A message never spans two frames: frames are what the
//! marker counts.

use std::hash::Hasher;

use eddyline_engine::connector::EpochLog;
use eddyline_engine::error::{Error, Result};
use twox_hash::XxHash64;

use super::lz4::compress;
use crate::kafka::producer::Outgoing;

/// Raw bytes from which on a frame is closed.
pub(super) const FRAME_BYTES: usize = 1 << 20;
const MAGIC: &[u8; 4] = b"EKL1";
const LOG_HEADER: usize = 16;
const FRAME_HEADER: usize = 16;
/// Seed of the checksum of the log's own header; no frame has this number.
const HEADER_SEED: u64 = u64::MAX;

/// Gathers the messages of the running epoch.
#[derive(Debug, Default)]
pub(in crate::kafka) struct LogWriter {
    /// Messages of the frame that is being filled.
    raw: Vec<u8>,
    /// Closed frames, after room for the header.
    closed: Vec<u8>,
    frames: u32,
}

impl LogWriter {
    /// Appends a message whose partition and timestamp are chosen.
    pub(in crate::kafka) fn append(&mut self, message: &Outgoing<'_>) -> Result<()> {
        let (Some(partition), Some(timestamp)) = (message.partition, message.timestamp_ms) else {
            return Err(Error::internal("a logged message has no partition or no timestamp"));
        };
        put_number(&mut self.raw, partition as u64);
        self.raw.extend_from_slice(&timestamp.to_le_bytes());
        put_bytes(&mut self.raw, message.key);
        put_bytes(&mut self.raw, message.value);
        put_number(&mut self.raw, message.headers.len() as u64);
        for (name, value) in message.headers {
            put_bytes(&mut self.raw, Some(name.as_bytes()));
            put_bytes(&mut self.raw, *value);
        }
        if self.raw.len() >= FRAME_BYTES { self.close_frame() } else { Ok(()) }
    }

    /// Bytes held in memory.
    pub(in crate::kafka) fn bytes(&self) -> usize {
        self.raw.len() + self.closed.len()
    }

    /// The log of everything appended since the last call; empty without messages.
    pub(in crate::kafka) fn finish(&mut self) -> Result<EpochLog> {
        if !self.raw.is_empty() {
            self.close_frame()?;
        }
        if self.frames == 0 {
            return Ok(EpochLog::empty());
        }
        let mut log = std::mem::take(&mut self.closed);
        log[..4].copy_from_slice(MAGIC);
        log[4..8].copy_from_slice(&self.frames.to_le_bytes());
        let sum = checksum(HEADER_SEED, &[&log[..8]]);
        log[8..LOG_HEADER].copy_from_slice(&sum.to_le_bytes());
        self.frames = 0;
        Ok(EpochLog::new(log))
    }

    fn close_frame(&mut self) -> Result<()> {
        if self.closed.is_empty() {
            self.closed.resize(LOG_HEADER, 0);
        }
        let header = self.closed.len();
        self.closed.resize(header + FRAME_HEADER, 0);
        compress(&self.raw, &mut self.closed);
        let (head, stored) = self.closed[header..].split_at_mut(FRAME_HEADER);
        let length = |bytes: &[u8]| {
            u32::try_from(bytes.len())
                .map_err(|_| Error::data("a message of more than 4 GB cannot be written to Kafka"))
        };
        head[..4].copy_from_slice(&length(&self.raw)?.to_le_bytes());
        head[4..8].copy_from_slice(&length(stored)?.to_le_bytes());
        let sum = checksum(u64::from(self.frames), &[&head[..8], stored]);
        head[8..].copy_from_slice(&sum.to_le_bytes());
        self.raw.clear();
        self.frames += 1;
        Ok(())
    }
}

/// One frame of a log, its checksum verified.
#[derive(Debug, Clone, Copy)]
pub(in crate::kafka) struct Frame<'a> {
    raw_length: usize,
    stored: &'a [u8],
}

/// The frames of a log; an error if anything about it is not as it was written.
pub(in crate::kafka) fn frames(log: &[u8]) -> Result<Vec<Frame<'_>>> {
    let (header, mut rest) = log.split_at_checked(LOG_HEADER).ok_or_else(damaged)?;
    if header[..4] != *MAGIC || u64_at(header, 8)? != checksum(HEADER_SEED, &[&header[..8]]) {
        return Err(damaged());
    }
    let count = u32_at(header, 4)?;
    let mut frames = Vec::new();
    for number in 0..count {
        let (header, after) = rest.split_at_checked(FRAME_HEADER).ok_or_else(damaged)?;
        let (raw_length, length) = (u32_at(header, 0)? as usize, u32_at(header, 4)? as usize);
        let (stored, after) = after.split_at_checked(length).ok_or_else(damaged)?;
        if u64_at(header, 8)? != checksum(u64::from(number), &[&header[..8], stored]) {
            return Err(damaged());
        }
        frames.push(Frame { raw_length, stored });
        rest = after;
    }
    if rest.is_empty() { Ok(frames) } else { Err(damaged()) }
}

impl Frame<'_> {
    /// Gives each message to `each`, in order.
    pub(in crate::kafka) fn for_each<E: From<Error>>(
        &self,
        mut each: impl FnMut(&Outgoing<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let raw = lz4_flex::block::decompress(self.stored, self.raw_length).map_err(|_| damaged())?;
        let mut reader = Reader { rest: &raw };
        let mut headers = Vec::new();
        while !reader.rest.is_empty() {
            let partition = i32::try_from(reader.number()?).map_err(|_| damaged())?;
            let timestamp_ms = i64::from_le_bytes(reader.array()?);
            let (key, value) = (reader.bytes()?, reader.bytes()?);
            headers.clear();
            for _ in 0..reader.number()? {
                let name = reader.bytes()?.and_then(|name| std::str::from_utf8(name).ok()).ok_or_else(damaged)?;
                headers.push((name, reader.bytes()?));
            }
            let timestamp_ms = Some(timestamp_ms);
            each(&Outgoing { partition: Some(partition), key, value, timestamp_ms, headers: &headers })?;
        }
        Ok(())
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn number(&mut self) -> Result<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let [byte] = self.array()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(damaged())
    }

    fn bytes(&mut self) -> Result<Option<&'a [u8]>> {
        let Some(length) = self.number()?.checked_sub(1) else { return Ok(None) };
        let length = usize::try_from(length).map_err(|_| damaged())?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or_else(damaged)?;
        self.rest = rest;
        Ok(Some(bytes))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk::<N>().ok_or_else(damaged)?;
        self.rest = rest;
        Ok(*bytes)
    }
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    put_number(out, bytes.map_or(0, |b| b.len() as u64 + 1));
    out.extend_from_slice(bytes.unwrap_or_default());
}

fn checksum(seed: u64, parts: &[&[u8]]) -> u64 {
    let mut hasher = XxHash64::with_seed(seed);
    parts.iter().for_each(|part| hasher.write(part));
    hasher.finish()
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    found.map(|b| u32::from_le_bytes(*b)).ok_or_else(damaged)
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64> {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>());
    found.map(|b| u64::from_le_bytes(*b)).ok_or_else(damaged)
}

fn damaged() -> Error {
    Error::checkpoint("the epoch log of a Kafka sink is damaged")
        .with_hint("restore an older checkpoint with --from; 'eddyline checkpoints verify' tells which are whole")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn message<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>, timestamp: i64) -> Outgoing<'a> {
        Outgoing { partition: Some(3), key, value, timestamp_ms: Some(timestamp), headers: &[] }
    }

    fn texts(log: &EpochLog) -> Vec<String> {
        let mut found = Vec::new();
        for frame in frames(log.bytes()).unwrap() {
            let mut each = |m: &Outgoing<'_>| {
                let text = |bytes: Option<&[u8]>| bytes.map(|b| String::from_utf8_lossy(b).to_string());
                let headers: Vec<_> = m.headers.iter().map(|(n, v)| (n.to_string(), text(*v))).collect();
                found.push(format!(
                    "{:?} {:?} {:?} {:?} {headers:?}",
                    m.partition,
                    m.timestamp_ms,
                    text(m.key),
                    text(m.value)
                ));
                Ok::<_, Error>(())
            };
            frame.for_each(&mut each).unwrap();
        }
        found
    }

    fn three_frames() -> EpochLog {
        let mut writer = LogWriter::default();
        for fill in ["a", "b", "c"] {
            let name = format!("\"{}\",", fill.repeat(60));
            writer.append(&message(Some(b"k"), Some(name.repeat(FRAME_BYTES / 60).as_bytes()), 1)).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn nulls_headers_and_early_times_come_back() {
        let mut writer = LogWriter::default();
        let headers = [("h", Some(b"1".as_slice())), ("none", None)];
        writer.append(&message(None, Some(b""), -5)).unwrap();
        writer.append(&Outgoing { headers: &headers, ..message(Some(b"k"), None, i64::MAX) }).unwrap();
        assert!(writer.bytes() > 0);
        let log = writer.finish().unwrap();
        let second = format!("Some(3) Some({}) Some(\"k\") None [(\"h\", Some(\"1\")), (\"none\", None)]", i64::MAX);
        assert_eq!(texts(&log), ["Some(3) Some(-5) None Some(\"\") []", &second]);
        assert!(writer.finish().unwrap().is_empty() && writer.bytes() == 0, "the next epoch begins empty");
    }

    #[test]
    fn frames_are_closed_at_their_size_and_stay_in_order() {
        let log = three_frames();
        let values: Vec<String> = texts(&log).iter().map(|t| t.chars().nth_back(15).unwrap().to_string()).collect();
        assert_eq!((frames(log.bytes()).unwrap().len(), values.concat().as_str()), (3, "abc"));
        assert!(log.bytes().len() < FRAME_BYTES / 10, "repetition is compressed");
    }

    #[test]
    fn every_damage_is_seen() {
        let log = three_frames();
        let bytes = log.bytes();
        for at in (0..bytes.len()).filter(|at| *at < 100 || at % 97 == 0) {
            let mut changed = bytes.to_vec();
            changed[at] ^= 0x10;
            assert!(frames(&changed).is_err(), "byte {at}");
            assert!(frames(&bytes[..at]).is_err(), "cut at {at}");
        }
        assert!(frames(&[bytes, b"x"].concat()).is_err(), "more than was written");
    }

    #[test]
    fn exchanged_frames_are_seen() {
        let log = three_frames();
        let bytes = log.bytes();
        let length = FRAME_HEADER + u32_at(bytes, LOG_HEADER + 4).unwrap() as usize;
        let (first, second) = (LOG_HEADER..LOG_HEADER + length, LOG_HEADER + length..LOG_HEADER + 2 * length);
        let exchanged = [&bytes[..LOG_HEADER], &bytes[second.clone()], &bytes[first], &bytes[second.end..]].concat();
        assert_eq!(exchanged.len(), bytes.len());
        assert!(frames(&exchanged).is_err());
    }
}
