//! Checkpoint settings: Flink's `execution.checkpointing.*` keys and their older names, checked and resolved.
//!
//! Three defaults differ from Flink's, all on the side of not losing anything: checkpoints are on (every 10 s), three
//! are retained (so that a damaged newest one has an older one to fall back to) and kept when the job is cancelled,
//! and failed checkpoints never fail the job (a full disk must not stop the stream). Keys of Flink that have no effect
//! here yet are accepted and say so in their documentation.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::connector::{OptionSpec, OptionValue, Options};
use crate::error::{Error, Result};

const INTERVAL: &str = "execution.checkpointing.interval";
const MODE: &str = "execution.checkpointing.mode";
const TIMEOUT: &str = "execution.checkpointing.timeout";
const MIN_PAUSE: &str = "execution.checkpointing.min-pause";
const MAX_CONCURRENT: &str = "execution.checkpointing.max-concurrent-checkpoints";
const TOLERABLE: &str = "execution.checkpointing.tolerable-failed-checkpoints";
const RETENTION: &str = "execution.checkpointing.externalized-checkpoint-retention";
const NUM_RETAINED: &str = "execution.checkpointing.num-retained";
const STORAGE: &str = "execution.checkpointing.storage";
const DIR: &str = "execution.checkpointing.dir";
const SAVEPOINT_DIR: &str = "execution.checkpointing.savepoint-dir";
const UNALIGNED: &str = "execution.checkpointing.unaligned.enabled";
const INCREMENTAL: &str = "execution.checkpointing.incremental";

/// Keys that this program looks at start with one of these.
const PREFIXES: &[&str] = &["execution.checkpointing.", "state."];

/// Older names and what they are called now.
const OLDER_NAMES: &[(&str, &str)] = &[
    ("execution.checkpointing.unaligned", UNALIGNED),
    ("execution.checkpointing.alignment-timeout", "execution.checkpointing.aligned-checkpoint-timeout"),
    ("state.checkpoints.dir", DIR),
    ("state.checkpoints.num-retained", NUM_RETAINED),
    ("state.checkpoints.create-subdir", "execution.checkpointing.create-subdir"),
    ("state.checkpoint-storage", STORAGE),
    ("state.savepoints.dir", SAVEPOINT_DIR),
    ("state.backend", "state.backend.type"),
    ("state.backend.incremental", INCREMENTAL),
    ("state.backend.fs.checkpointdir", DIR),
    ("state.storage.fs.memory-threshold", "execution.checkpointing.data-inline-threshold"),
    ("state.storage.fs.write-buffer-size", "execution.checkpointing.write-buffer-size"),
    ("state.backend.local-recovery", "execution.checkpointing.local-backup.enabled"),
];

/// The options of checkpoints, for the check of keys and for the reference.
pub fn checkpoint_options() -> Vec<OptionSpec> {
    use OptionValue::{Boolean, Duration, Integer, OneOf, Size, Text};
    const MODES: &[&str] = &["EXACTLY_ONCE", "AT_LEAST_ONCE"];
    const KEPT: &[&str] = &["RETAIN_ON_CANCELLATION", "DELETE_ON_CANCELLATION", "NO_EXTERNALIZED_CHECKPOINTS"];
    let mut specs = vec![
        OptionSpec::with_default(INTERVAL, Duration, "10s", "Time from one checkpoint to the next; 0 turns them off."),
        OptionSpec::with_default(MODE, OneOf(MODES), "EXACTLY_ONCE", "Whether barriers are aligned."),
        OptionSpec::with_default(TIMEOUT, Duration, "10min", "A checkpoint that takes longer is given up."),
        OptionSpec::with_default(MIN_PAUSE, Duration, "0s", "Least time from the end of one to the start of the next."),
        OptionSpec::with_default(MAX_CONCURRENT, Integer, "1", "Checkpoints in flight at once; only 1 is supported."),
        OptionSpec::optional(
            TOLERABLE,
            Integer,
            "Failed checkpoints in a row before the job fails. Unlimited by default: a full disk does not stop the job.",
        ),
        OptionSpec::with_default(
            RETENTION,
            OneOf(KEPT),
            "RETAIN_ON_CANCELLATION",
            "What happens to checkpoints of a cancelled job.",
        ),
        OptionSpec::with_default(NUM_RETAINED, Integer, "3", "Newest checkpoints to keep; one damaged leaves others."),
        OptionSpec::with_default(
            STORAGE,
            Text,
            "filesystem",
            "filesystem (or jobmanager, the same here); mysql: besides the files, metadata and source offsets go into the \
             tables `__eddyline_checkpoints` and `__eddyline_offsets` (see `eddyline.checkpointing.mysql.url`).",
        ),
        OptionSpec::optional(DIR, Text, "Folder of checkpoints, as a path or a file:// URL."),
        OptionSpec::optional(SAVEPOINT_DIR, Text, "Folder of savepoints, as a path or a file:// URL."),
    ];
    let not_yet = [
        (UNALIGNED, Boolean),
        ("execution.checkpointing.unaligned.forced", Boolean),
        ("execution.checkpointing.unaligned.interruptible-timers.enabled", Boolean),
        ("execution.checkpointing.unaligned.max-subtasks-per-channel-state-file", Integer),
        ("execution.checkpointing.unaligned.recover-output-on-downstream.enabled", Boolean),
        ("execution.checkpointing.during-recovery.enabled", Boolean),
        ("execution.checkpointing.aligned-checkpoint-timeout", Duration),
        ("execution.checkpointing.interval-during-backlog", Duration),
        ("execution.checkpointing.checkpoints-after-tasks-finish", Boolean),
        (INCREMENTAL, Boolean),
        ("execution.checkpointing.create-subdir", Boolean),
        ("execution.checkpointing.data-inline-threshold", Size),
        ("execution.checkpointing.write-buffer-size", Size),
        ("execution.checkpointing.file-merging.*", Text),
        ("execution.checkpointing.local-backup.*", Text),
        ("execution.checkpointing.snapshot-compression", Boolean),
        ("execution.checkpointing.cleaner.parallel-mode", Boolean),
        ("state.backend.*", Text),
        ("state.changelog.*", Text),
    ];
    let doc = "Accepted for compatibility with Flink; has no effect yet.";
    specs.extend(not_yet.map(|(key, value)| OptionSpec::optional(key, value, doc)));
    specs
}

/// Whether barriers are aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CheckpointMode {
    /// Inputs wait for each other's barriers; restored state has seen every row once.
    ExactlyOnce,
    /// Inputs go on; after a restore some rows may be seen twice.
    AtLeastOnce,
}

/// What happens to the checkpoints of a cancelled job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retention {
    /// They stay.
    Retain,
    /// They are deleted.
    Delete,
}

/// Where checkpoints are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CheckpointStorage {
    /// In files.
    Filesystem,
    /// In files, and noted in tables of a database for operators.
    Mysql,
}

/// Resolved settings of one job.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CheckpointConfig {
    /// Time from one checkpoint to the next; None when only the last one of the job is taken.
    pub interval: Option<Duration>,
    /// A checkpoint whose acknowledgements take longer is given up.
    pub timeout: Duration,
    /// Least time from the end of one to the start of the next.
    pub min_pause: Duration,
    /// Whether barriers are aligned.
    pub mode: CheckpointMode,
    /// Where checkpoints are kept.
    pub storage: CheckpointStorage,
    /// Folder of all jobs' checkpoints; None for the program's default.
    pub dir: Option<PathBuf>,
    /// Folder of savepoints, if one is set.
    pub savepoint_dir: Option<PathBuf>,
    /// Number of newest checkpoints to keep, at least 1.
    pub num_retained: usize,
    /// Failed checkpoints in a row that the job survives; `u32::MAX` for any number.
    pub tolerable_failed: u32,
    /// What happens to checkpoints of a cancelled job.
    pub retention: Retention,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        CheckpointConfig {
            interval: Some(Duration::from_secs(10)),
            timeout: Duration::from_secs(600),
            min_pause: Duration::ZERO,
            mode: CheckpointMode::ExactlyOnce,
            storage: CheckpointStorage::Filesystem,
            dir: None,
            savepoint_dir: None,
            num_retained: 3,
            tolerable_failed: u32::MAX,
            retention: Retention::Retain,
        }
    }
}

impl CheckpointConfig {
    /// Reads the keys about checkpoints among `values`; other keys are not looked at. An unknown key of ours and a bad
    /// value are errors that name the key.
    pub fn from_options(values: &BTreeMap<String, String>) -> Result<Self> {
        let options = Options::check("checkpointing", &current_names(values), checkpoint_options())?;
        let interval = options.duration(INTERVAL)?.filter(|d| !d.is_zero());
        if let Some(short) = interval.filter(|d| *d < Duration::from_millis(10)) {
            return Err(bad(INTERVAL, &format!("{short:?}"), "at least 10 ms, or 0 for no checkpoints"));
        }
        let timeout = options.duration(TIMEOUT)?.unwrap_or_default();
        if timeout < Duration::from_millis(10) {
            return Err(bad(TIMEOUT, &format!("{timeout:?}"), "at least 10 ms"));
        }
        if count(&options, MAX_CONCURRENT, 1)? > Some(1) {
            let message = format!("'{MAX_CONCURRENT}' above 1 is not supported: checkpoints are taken one at a time");
            return Err(Error::option(message, "remove the option, or set it to 1".to_string()));
        }
        let retain = options.text(RETENTION).is_none_or(|t| t.eq_ignore_ascii_case("RETAIN_ON_CANCELLATION"));
        let at_least_once = options.text(MODE).is_some_and(|t| t.eq_ignore_ascii_case("AT_LEAST_ONCE"));
        Ok(CheckpointConfig {
            interval,
            timeout,
            min_pause: options.duration(MIN_PAUSE)?.unwrap_or_default(),
            mode: if at_least_once { CheckpointMode::AtLeastOnce } else { CheckpointMode::ExactlyOnce },
            storage: storage(options.text(STORAGE))?,
            dir: folder(&options, DIR)?,
            savepoint_dir: folder(&options, SAVEPOINT_DIR)?,
            num_retained: count(&options, NUM_RETAINED, 1)?.unwrap_or(3) as usize,
            tolerable_failed: count(&options, TOLERABLE, 0)?.unwrap_or(u32::MAX),
            retention: if retain { Retention::Retain } else { Retention::Delete },
        })
    }
}

/// The keys of ours among `values`, by their current names; a current name wins over an older one.
fn current_names(values: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let ours = |key: &str| PREFIXES.iter().any(|p| key.starts_with(p));
    let mut current = BTreeMap::new();
    for (key, value) in values.iter().filter(|(k, _)| ours(k)) {
        match OLDER_NAMES.iter().find(|(old, _)| old == key) {
            Some((_, new)) if values.contains_key(*new) => {}
            Some((_, new)) => drop(current.insert(new.to_string(), value.clone())),
            None => drop(current.insert(key.clone(), value.clone())),
        }
    }
    current
}

fn bad(key: &str, value: &str, wanted: &str) -> Error {
    Error::option(format!("Invalid value '{value}' for option '{key}': expected {wanted}"), None)
}

fn count(options: &Options, key: &str, least: u32) -> Result<Option<u32>> {
    let Some(value) = options.integer(key)? else { return Ok(None) };
    match u32::try_from(value).ok().filter(|v| *v >= least) {
        Some(value) => Ok(Some(value)),
        None => Err(bad(key, &value.to_string(), &format!("a whole number from {least}"))),
    }
}

fn storage(word: Option<&str>) -> Result<CheckpointStorage> {
    match word.map(str::to_lowercase).as_deref() {
        None | Some("filesystem" | "jobmanager") => Ok(CheckpointStorage::Filesystem),
        Some("mysql") => Ok(CheckpointStorage::Mysql),
        Some(other) => Err(Error::option(
            format!("checkpoint storage '{other}' ('{STORAGE}') is not supported"),
            format!("use 'filesystem' or 'mysql', and set '{DIR}'"),
        )),
    }
}

/// A path or a `file://` URL as a path; other URLs are refused.
fn folder(options: &Options, key: &str) -> Result<Option<PathBuf>> {
    let Some(text) = options.text(key).map(str::trim) else { return Ok(None) };
    let path = match text.split_once("://") {
        Some(("file", path)) if path.starts_with('/') => path,
        Some((scheme, _)) => {
            let message = format!("option '{key}': folders of the kind '{scheme}://' are not supported");
            return Err(Error::option(message, "use a local path or file:///path".to_string()));
        }
        None => text.strip_prefix("file:").unwrap_or(text),
    };
    if path.is_empty() {
        return Err(bad(key, text, "a path or file:///path"));
    }
    Ok(Some(PathBuf::from(path)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<CheckpointConfig> {
        CheckpointConfig::from_options(&pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect())
    }

    #[test]
    fn nothing_given_is_the_default() {
        assert_eq!(read(&[]).unwrap(), CheckpointConfig::default());
        assert_eq!(
            read(&[("pipeline.name", "x"), ("table.exec.state.ttl", "1h")]).unwrap(),
            CheckpointConfig::default()
        );
    }

    #[test]
    fn all_keys_are_read() {
        let config = read(&[
            (INTERVAL, "1 s"),
            (MODE, "at_least_once"),
            (TIMEOUT, "2min"),
            (MIN_PAUSE, "500 ms"),
            (MAX_CONCURRENT, "1"),
            (TOLERABLE, "4"),
            (RETENTION, "DELETE_ON_CANCELLATION"),
            (NUM_RETAINED, "2"),
            (STORAGE, "mysql"),
            (DIR, "file:///var/lib/chk"),
            (SAVEPOINT_DIR, "save"),
            ("execution.checkpointing.unaligned", "true"),
            ("state.backend.type", "rocksdb"),
        ]);
        let expected = CheckpointConfig {
            interval: Some(Duration::from_secs(1)),
            timeout: Duration::from_secs(120),
            min_pause: Duration::from_millis(500),
            mode: CheckpointMode::AtLeastOnce,
            storage: CheckpointStorage::Mysql,
            dir: Some("/var/lib/chk".into()),
            savepoint_dir: Some("save".into()),
            num_retained: 2,
            tolerable_failed: 4,
            retention: Retention::Delete,
        };
        assert_eq!(config.unwrap(), expected);
    }

    #[test]
    fn older_names_count_unless_the_current_one_is_given() {
        let older = read(&[("state.checkpoints.dir", "/a"), ("state.checkpoints.num-retained", "5")]).unwrap();
        assert_eq!((older.dir, older.num_retained), (Some("/a".into()), 5));
        let both = read(&[("state.checkpoints.dir", "/a"), (DIR, "/b")]).unwrap();
        assert_eq!(both.dir, Some("/b".into()));
    }

    #[test]
    fn interval_zero_turns_checkpoints_off() {
        assert_eq!(read(&[(INTERVAL, "0")]).unwrap().interval, None);
    }

    #[test]
    fn bad_values_name_the_key() {
        for (key, value) in [
            (INTERVAL, "often"),
            (INTERVAL, "1 ms"),
            (TIMEOUT, "0"),
            (MODE, "EXACTLY_TWICE"),
            (MAX_CONCURRENT, "2"),
            (MAX_CONCURRENT, "0"),
            (NUM_RETAINED, "0"),
            (TOLERABLE, "-1"),
            (STORAGE, "oracle"),
            (DIR, "s3://bucket/x"),
            (DIR, "file://host/x"),
            (UNALIGNED, "perhaps"),
            ("execution.checkpointing.data-inline-threshold", "tiny"),
        ] {
            let message = read(&[(key, value)]).unwrap_err().to_string();
            assert!(message.contains(key), "{key}={value}: {message}");
        }
    }

    #[test]
    fn unknown_keys_suggest_the_nearest() {
        let error = read(&[("execution.checkpointing.intervall", "1s")]).unwrap_err();
        assert!(error.hint().unwrap().contains("did you mean 'execution.checkpointing.interval'"), "{error:?}");
    }

    #[test]
    fn defaults_in_the_reference_are_the_defaults() {
        let stated: BTreeMap<String, String> = checkpoint_options()
            .iter()
            .filter_map(|spec| spec.default.map(|d| (spec.key.to_string(), d.to_string())))
            .collect();
        assert_eq!(CheckpointConfig::from_options(&stated).unwrap(), CheckpointConfig::default());
    }
}
