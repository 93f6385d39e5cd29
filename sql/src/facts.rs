//! What is known of jobs, once for everybody who shows it: SQL (`SHOW JOBS`, `SHOW LAG`, `SHOW CHECKPOINTS`), the REST
//! shapes, the metrics and through them the page. They may differ in form only.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use eddyline_engine::checkpoint::CheckpointKind;
use eddyline_engine::runtime::{CheckpointProgress, CheckpointRecord, JobState, SplitStatus};
use eddyline_engine::time::Watermark;

use crate::jobs::{JobEntry, JobPhase};

/// How one partition of a table, as one job reads it, stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Lag {
    /// Position of the source among the nodes of the job.
    pub node: usize,
    /// The table.
    pub table: String,
    /// The partition, file or range: `topic-0`.
    pub partition: String,
    /// Where reading goes on: an offset, a row, a byte.
    pub position: Option<u64>,
    /// Where the partition ends at present.
    pub end: Option<u64>,
    /// Rows that wait.
    pub lag_rows: Option<u64>,
    /// Its own watermark.
    pub watermark: Option<Watermark>,
    /// Whether rows are expected of it.
    pub reading: Reading,
    /// True when the job's watermark could be later but for this one.
    pub holds_watermark: bool,
}

/// Whether rows are expected of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// They are.
    Active,
    /// It has been silent for so long that it no longer holds the watermark back.
    Idle,
    /// It is read to its end, or the job has ended.
    Ended,
}

impl Reading {
    /// In one word.
    pub fn word(self) -> &'static str {
        match self {
            Reading::Active => "ACTIVE",
            Reading::Idle => "IDLE",
            Reading::Ended => "ENDED",
        }
    }
}

/// One checkpoint of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Its number.
    pub epoch: u64,
    /// What it was taken for.
    pub kind: CheckpointKind,
    /// When its barrier was sent.
    pub began_at: SystemTime,
    /// Until it was durable or given up; None while it is under way.
    pub duration: Option<Duration>,
    /// Size of its files, once it is durable.
    pub bytes: Option<u64>,
    /// By how much it is larger than the durable one before it.
    pub growth_bytes: Option<i64>,
    /// How far it has come.
    pub stage: Stage,
    /// Its folder.
    pub path: Option<PathBuf>,
    /// Why it was given up.
    pub failure: Option<String>,
}

/// How far a checkpoint has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Under way.
    InProgress,
    /// Durable.
    Completed,
    /// Given up.
    Failed,
}

impl Stage {
    /// Flink's word.
    pub fn word(self) -> &'static str {
        match self {
            Stage::InProgress => "IN_PROGRESS",
            Stage::Completed => "COMPLETED",
            Stage::Failed => "FAILED",
        }
    }
}

/// Flink's word for the state of a job. What is being stopped still runs.
pub fn flink_state(job: &JobEntry) -> &'static str {
    match &job.phase {
        JobPhase::Starting(None) => "INITIALIZING",
        JobPhase::Starting(Some(_)) => "RESTARTING",
        JobPhase::Refused(_) => "FAILED",
        JobPhase::Running(handle) => match handle.status().state {
            JobState::Running | JobState::Stopping => "RUNNING",
            JobState::Restarting => "RESTARTING",
            JobState::Finished => "FINISHED",
            JobState::Failed => "FAILED",
            JobState::Canceled => "CANCELED",
        },
    }
}

/// All partitions that a job reads, in the order of its graph.
pub fn lags(job: &JobEntry) -> Vec<Lag> {
    let Some(handle) = job.handle() else { return Vec::new() };
    let status = handle.status();
    let ended = status.state.is_terminal();
    let splits = handle.splits();
    let holding = if ended { None } else { holding(&splits) };
    let lag = |(index, split): (usize, SplitStatus)| Lag {
        node: split.node,
        table: status.nodes.get(split.node).map_or_else(String::new, |node| table_of(&node.uid.0)),
        partition: split.split,
        position: split.position,
        end: split.end,
        lag_rows: split.lag_rows,
        watermark: split.watermark,
        reading: match (ended || split.ended, split.idle) {
            (true, _) => Reading::Ended,
            (false, true) => Reading::Idle,
            (false, false) => Reading::Active,
        },
        holds_watermark: holding == Some(index),
    };
    splits.into_iter().enumerate().map(lag).collect()
}

/// Of the splits whose rows make watermarks and are waited for, the one that is behind all others.
fn holding(splits: &[SplitStatus]) -> Option<usize> {
    let waited_for = splits.iter().enumerate().filter(|(_, s)| s.event_time && !s.idle && !s.ended);
    waited_for.min_by_key(|(_, split)| split.watermark).map(|(index, _)| index)
}

/// The table of a source, which is what its uid says: `source:default_catalog.default_database.t#2` is `t`.
fn table_of(uid: &str) -> String {
    let name = uid.strip_prefix("source:").unwrap_or(uid);
    let name = name.split_once('#').map_or(name, |(name, _)| name);
    name.strip_prefix("default_catalog.default_database.").unwrap_or(name).to_string()
}

/// The newest checkpoints of this run of a job, the newest first.
pub fn checkpoints(job: &JobEntry) -> Vec<Checkpoint> {
    let records = job.handle().map(|handle| handle.checkpoints()).unwrap_or_default();
    let mut checkpoints = Vec::with_capacity(records.len());
    let mut before = None;
    for record in records {
        let checkpoint = checkpoint(record, before);
        before = checkpoint.bytes.or(before);
        checkpoints.push(checkpoint);
    }
    checkpoints.reverse();
    checkpoints
}

fn checkpoint(record: CheckpointRecord, before: Option<u64>) -> Checkpoint {
    let CheckpointRecord { epoch, kind, began_at, progress } = record;
    let started = Checkpoint {
        epoch: epoch.0,
        kind,
        began_at,
        duration: None,
        bytes: None,
        growth_bytes: None,
        stage: Stage::InProgress,
        path: None,
        failure: None,
    };
    match progress {
        CheckpointProgress::InProgress => started,
        CheckpointProgress::Completed { duration, bytes, path } => Checkpoint {
            duration: Some(duration),
            bytes: Some(bytes),
            growth_bytes: before.map(|before| bytes.cast_signed().saturating_sub(before.cast_signed())),
            stage: Stage::Completed,
            path,
            ..started
        },
        CheckpointProgress::Failed { reason, duration } => {
            Checkpoint { duration: Some(duration), stage: Stage::Failed, failure: Some(reason), ..started }
        }
    }
}

#[cfg(test)]
mod tests {
    use eddyline_engine::time::{Epoch, EventTime};

    use super::*;

    fn split(watermark: Option<i64>, event_time: bool, idle: bool) -> SplitStatus {
        SplitStatus {
            node: 0,
            split: "t-0".into(),
            position: None,
            end: None,
            lag_rows: None,
            event_time,
            watermark: watermark.map(|micros| Watermark(EventTime(micros))),
            idle,
            ended: false,
        }
    }

    #[test]
    fn the_last_split_that_is_waited_for_holds_the_watermark() {
        let late = split(Some(5), true, false);
        assert_eq!(holding(&[split(Some(9), true, false), late.clone()]), Some(1));
        assert_eq!(holding(&[split(Some(1), true, true), late.clone()]), Some(1), "an idle one does not");
        assert_eq!(holding(&[split(None, false, false), late.clone()]), Some(1), "nor one without event time");
        assert_eq!(holding(&[split(None, true, false), late]), Some(0), "one without a row yet does");
        assert_eq!(holding(&[split(None, false, false)]), None);
    }

    #[test]
    fn tables_have_the_names_that_people_gave_them() {
        assert_eq!(table_of("source:clicks"), "clicks");
        assert_eq!(table_of("source:default_catalog.default_database.clicks#2"), "clicks");
        assert_eq!(table_of("values"), "values");
    }

    #[test]
    fn a_checkpoint_grows_over_the_last_durable_one() {
        let record = |progress| CheckpointRecord {
            epoch: Epoch(3),
            kind: CheckpointKind::Checkpoint,
            began_at: SystemTime::UNIX_EPOCH,
            progress,
        };
        let duration = Duration::from_millis(7);
        let done = checkpoint(record(CheckpointProgress::Completed { duration, bytes: 80, path: None }), Some(100));
        assert_eq!((done.growth_bytes, done.bytes, done.stage), (Some(-20), Some(80), Stage::Completed));
        let failed = checkpoint(record(CheckpointProgress::Failed { reason: "full".into(), duration }), Some(100));
        assert_eq!((failed.growth_bytes, failed.duration, failed.failure), (None, Some(duration), Some("full".into())));
        assert_eq!(checkpoint(record(CheckpointProgress::InProgress), None).duration, None);
    }
}
