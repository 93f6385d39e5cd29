//! The manifest: what a checkpoint consists of, as a value and as human-readable JSON that carries its own checksum.
//!
//! The file looks like this; the checksum covers every byte after its line, so that a flipped digit in an offset is
//! found although the JSON still parses:
//!
//! ```text
//! {
//! "sha256": "<64 hex digits>",
//! "manifest": { … }
//! }
//! ```
//!
//! Invariant: every path is relative to the checkpoint's folder and names a file directly in it, so that a folder can
//! be copied or moved as a whole.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::connector::SplitPosition;
use crate::dataflow::Uid;
use crate::error::{Error, Result};
use crate::state::Distribution;
use crate::time::Epoch;

/// Version of the manifest and of the folder layout that this program writes. It reads this version only.
pub const FORMAT_VERSION: u32 = 1;

/// Name of the manifest in a checkpoint's folder.
pub(super) const FILE_NAME: &str = "manifest.json";

/// Why a checkpoint is taken; travels with the barrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckpointKind {
    /// On schedule, to recover from failures.
    Checkpoint,
    /// Asked for by a user; kept until the user deletes it.
    Savepoint,
    /// The last one of a job that stops: sources send nothing after this barrier.
    Stop,
}

/// One file of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Name within the checkpoint's folder.
    pub path: String,
    /// Length.
    pub bytes: u64,
    /// XXH3-128 of the content, 32 lower-case hex digits, as `xxhsum -H128` prints it.
    pub xxh128: String,
    /// Rows of state; 0 for a log.
    pub rows: u64,
}

/// One named state of an operator, with the files of all subtasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateEntry {
    /// Name that the operator gave it.
    pub name: String,
    /// Who gets which rows on restore.
    pub distribution: Distribution,
    /// Parquet files in order of subtasks; a subtask without rows may have none.
    pub files: Vec<FileEntry>,
}

/// What one subtask of a sink has prepared but not yet applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Which subtask.
    pub subtask: usize,
    /// The log; several of one subtask are applied in the order of their entries.
    pub file: FileEntry,
}

/// Everything that one operator (source, operator or sink) must remember.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperatorEntry {
    /// What it means; restore matches by it.
    pub uid: Uid,
    /// What people call it.
    pub name: String,
    /// Number of subtasks that wrote this.
    pub parallelism: usize,
    /// Declared states.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<StateEntry>,
    /// Positions of all splits of a source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub splits: Vec<SplitPosition>,
    /// Logs of a sink.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<LogEntry>,
}

impl OperatorEntry {
    /// An operator that remembers nothing yet.
    pub fn new(uid: Uid, name: impl Into<String>, parallelism: usize) -> Self {
        OperatorEntry { uid, name: name.into(), parallelism, states: vec![], splits: vec![], logs: vec![] }
    }

    /// All files of states and logs.
    pub fn files(&self) -> impl Iterator<Item = &FileEntry> {
        self.states.iter().flat_map(|s| &s.files).chain(self.logs.iter().map(|l| &l.file))
    }
}

/// One complete checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT_VERSION`] of the writer.
    pub format_version: u32,
    /// Name of the job.
    pub job: String,
    /// Identity of the pipeline, a UUID made when the job was first created.
    pub pipeline: String,
    /// How often the job's folder had been opened when this was written.
    pub generation: u64,
    /// Number of the checkpoint.
    pub epoch: Epoch,
    /// Why it was taken.
    pub kind: CheckpointKind,
    /// When it was begun, in milliseconds since 1970.
    pub created_ms: i64,
    /// True when all sources had ended, so that a job restored from it has nothing left to do.
    #[serde(default)]
    pub finished: bool,
    /// One entry per operator that has something to remember.
    pub operators: Vec<OperatorEntry>,
}

impl Manifest {
    /// All files that belong to the checkpoint.
    pub fn files(&self) -> impl Iterator<Item = &FileEntry> {
        self.operators.iter().flat_map(OperatorEntry::files)
    }

    /// Length of all files together.
    pub fn bytes(&self) -> u64 {
        self.files().map(|f| f.bytes).sum()
    }

    /// True when a sink has something to apply after this checkpoint.
    pub fn has_logs(&self) -> bool {
        self.operators.iter().any(|o| o.logs.iter().any(|l| l.file.bytes > 0))
    }

    /// The text of the manifest file.
    pub(super) fn to_text(&self) -> Result<String> {
        self.check()?;
        let manifest = serde_json::to_string_pretty(self)
            .map_err(|e| Error::internal(format!("manifest of checkpoint {}: {e}", self.epoch.0)))?;
        let rest = format!("\"manifest\": {manifest}\n}}\n");
        Ok(format!("{{\n\"sha256\": \"{}\",\n{rest}", hex(&Sha256::digest(rest.as_bytes()))))
    }

    /// Reads the text of a manifest file; the error says in words what is wrong with it.
    pub(super) fn from_text(text: &[u8]) -> Result<Manifest, String> {
        #[derive(Deserialize)]
        struct Version {
            format_version: u32,
        }
        #[derive(Deserialize)]
        struct Envelope<T> {
            manifest: T,
        }
        let text = std::str::from_utf8(text).map_err(|_| "manifest.json is not UTF-8 text".to_string())?;
        let (sum, rest) = text
            .strip_prefix("{\n\"sha256\": \"")
            .and_then(|t| t.split_once("\",\n"))
            .ok_or("manifest.json has no checksum line")?;
        if hex(&Sha256::digest(rest.as_bytes())) != sum {
            return Err("manifest.json does not match its own checksum (truncated, damaged or edited)".to_string());
        }
        let version: Envelope<Version> =
            serde_json::from_str(text).map_err(|e| format!("manifest.json has no format version: {e}"))?;
        let version = version.manifest.format_version;
        if version != FORMAT_VERSION {
            return Err(format!("manifest.json has format version {version}, this program reads {FORMAT_VERSION}"));
        }
        let envelope: Envelope<Manifest> =
            serde_json::from_str(text).map_err(|e| format!("manifest.json cannot be understood: {e}"))?;
        envelope.manifest.check().map_err(|e| e.to_string())?;
        Ok(envelope.manifest)
    }

    /// Checks that files lie in the folder itself and that no operator or file appears twice.
    fn check(&self) -> Result<()> {
        let mut seen = std::collections::HashSet::new();
        for file in self.files() {
            if file.path.is_empty() || file.path.contains(['/', '\\']) || file.path.starts_with('.') {
                return Err(Error::checkpoint(format!("'{}' is not a file name within a checkpoint", file.path)));
            }
            if !seen.insert(&file.path) {
                return Err(Error::checkpoint(format!("checkpoint {} names '{}' twice", self.epoch.0, file.path)));
            }
        }
        let mut uids = std::collections::HashSet::new();
        match self.operators.iter().find(|o| !uids.insert(&o.uid)) {
            Some(twice) => {
                Err(Error::checkpoint(format!("checkpoint {} has operator '{}' twice", self.epoch.0, twice.name)))
            }
            None => Ok(()),
        }
    }
}

/// Lower-case hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A file or folder name made from any text: letters, digits, `.`, `_` and `-` stay, everything else becomes `_`. Names
/// that had to be changed or cut get a hash of the original, so that different texts never share a name.
pub(super) fn safe_name(text: &str, max: usize) -> String {
    let kept = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let clean: String = text.chars().map(|c| if kept(c) { c } else { '_' }).take(max).collect();
    if clean == text && !clean.is_empty() && !clean.starts_with('.') {
        return clean;
    }
    format!("{}-{}", clean.trim_start_matches('.'), &hex(&Sha256::digest(text.as_bytes()))[..8])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn manifest() -> Manifest {
        let mut source = OperatorEntry::new(Uid("source".into()), "Source(words)", 2);
        source.splits = vec![SplitPosition { split: "words-0".into(), position: serde_json::json!({"offset": 42}) }];
        let mut sink = OperatorEntry::new(Uid("sink".into()), "Sink(out)", 1);
        let file = FileEntry { path: "sink-log-0.log".into(), bytes: 3, xxh128: "00".into(), rows: 0 };
        sink.logs = vec![LogEntry { subtask: 0, file }];
        Manifest {
            format_version: FORMAT_VERSION,
            job: "wörd\ncount".into(),
            pipeline: "p".into(),
            generation: 3,
            epoch: Epoch(7),
            kind: CheckpointKind::Stop,
            created_ms: 1_700_000_000_000,
            finished: true,
            operators: vec![source, sink],
        }
    }

    #[test]
    fn text_reads_back_equal_and_is_plain_json() {
        let text = manifest().to_text().unwrap();
        assert_eq!(Manifest::from_text(text.as_bytes()).unwrap(), manifest());
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["manifest"]["operators"][0]["splits"][0]["position"]["offset"], 42);
        assert_eq!(json["manifest"]["kind"], "stop");
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_found() {
        let text = manifest().to_text().unwrap().into_bytes();
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut damaged = text.clone();
                damaged[at] ^= 1 << bit;
                assert!(Manifest::from_text(&damaged).is_err(), "bit {bit} of byte {at}");
            }
            assert!(Manifest::from_text(&text[..at]).is_err(), "cut to {at} bytes");
        }
    }

    #[test]
    fn newer_format_is_refused_with_both_versions() {
        let newer = Manifest { format_version: 2, ..manifest() }.to_text().unwrap();
        let message = Manifest::from_text(newer.as_bytes()).unwrap_err();
        assert!(message.contains("version 2") && message.contains("reads 1"), "{message}");
    }

    #[test]
    fn paths_out_of_the_folder_and_doubled_entries_are_refused() {
        for path in ["../x", "/etc/passwd", "a/b", "", ".."] {
            let mut bad = manifest();
            bad.operators[1].logs[0].file.path = path.into();
            assert!(bad.to_text().is_err(), "{path}");
        }
        let mut twice = manifest();
        let log = twice.operators[1].logs[0].clone();
        twice.operators[1].logs.push(log);
        assert!(twice.to_text().is_err());
        let mut twice = manifest();
        twice.operators[1].uid = Uid("source".into());
        assert!(twice.to_text().is_err());
    }

    #[test]
    fn names_are_safe_and_distinct() {
        assert_eq!(safe_name("word-count_1.2", 100), "word-count_1.2");
        for odd in ["", ".", "..", "a/b", "a b", "../../etc", "ü", &"x".repeat(300)] {
            let name = safe_name(odd, 100);
            assert!(!name.contains('/') && !name.starts_with('.') && name.len() <= 110 && !name.is_empty(), "{name}");
        }
        assert_ne!(safe_name("a/b", 100), safe_name("a b", 100));
    }
}
