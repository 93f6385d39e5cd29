//! `/jobs/:id/checkpoints` and what is below it in the shape of Flink's REST API. The member `growth` of the history is our own.

use std::time::Duration;

use eddyline_engine::checkpoint::{CheckpointKind, CheckpointMode, Retention};
use eddyline_engine::runtime::RestoredFrom;
use eddyline_sql::facts::{self, Checkpoint, Stage};
use eddyline_sql::jobs::JobEntry;
use serde_json::{Value, json};

use super::flink::{millis, now, subtasks};

/// The answer.
pub fn checkpoints(job: &JobEntry) -> Value {
    let status = job.status();
    let all = facts::checkpoints(job);
    let in_progress = all.iter().filter(|c| c.stage == Stage::InProgress).count() as u64;
    let (completed, failed) = status.as_ref().map_or((0, 0), |s| (s.completed_checkpoints, s.failed_checkpoints));
    let restored = status.as_ref().and_then(|s| s.restored_from.as_ref());
    let tasks = status.as_ref().map_or(0, subtasks);
    let newest = |wanted: &dyn Fn(&Checkpoint) -> bool| all.iter().find(|c| wanted(c)).map(|c| history_entry(c, tasks));
    let is_savepoint = |c: &Checkpoint| c.kind == CheckpointKind::Savepoint;
    json!({
        "counts": {
            "restored": u8::from(restored.is_some()),
            "total": completed + failed + in_progress,
            "in_progress": in_progress,
            "completed": completed,
            "failed": failed,
        },
        "summary": summary(&all),
        "latest": {
            "completed": newest(&|c| c.stage == Stage::Completed && !is_savepoint(c)),
            "savepoint": newest(&|c| c.stage == Stage::Completed && is_savepoint(c)),
            "failed": newest(&|c| c.stage == Stage::Failed),
            "restored": restored.map(restored_entry),
        },
        "history": all.iter().map(|c| history_entry(c, tasks)).collect::<Vec<_>>(),
    })
}

/// `/jobs/:id/checkpoints/details/:epoch`; None when there is none or it is no longer remembered.
pub fn checkpoint(job: &JobEntry, epoch: &str) -> Option<Value> {
    let epoch: u64 = epoch.parse().ok()?;
    let tasks = job.status().as_ref().map_or(0, subtasks);
    facts::checkpoints(job).iter().find(|c| c.epoch == epoch).map(|c| history_entry(c, tasks))
}

/// `/jobs/:id/checkpoints/config`; of a job that does not run yet the defaults.
pub fn config(job: &JobEntry) -> Value {
    let config = job.handle().map(|job| job.checkpoint_config().clone()).unwrap_or_default();
    let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let mode = match config.mode {
        CheckpointMode::ExactlyOnce => "exactly_once",
        CheckpointMode::AtLeastOnce => "at_least_once",
    };
    json!({
        "mode": mode,
        // Flink's number for never.
        "interval": config.interval.map_or(i64::MAX, millis),
        "timeout": millis(config.timeout),
        "min_pause": millis(config.min_pause),
        "max_concurrent": 1,
        "externalization": { "enabled": true, "delete_on_cancellation": config.retention == Retention::Delete },
        "state_backend": "memory",
        "checkpoint_storage": "FileSystemCheckpointStorage",
        "unaligned_checkpoints": false,
        "aligned_checkpoint_timeout": 0,
        "tolerable_failed_checkpoints": config.tolerable_failed.min(i32::MAX as u32),
        "checkpoints_after_tasks_finish": true,
        "state_changelog_enabled": false,
        "changelog_periodic_materialization_interval": 0,
        "changelog_storage": null,
    })
}

fn restored_entry(from: &RestoredFrom) -> Value {
    json!({
        "id": from.epoch.0,
        "restore_timestamp": millis(from.taken_at),
        "is_savepoint": false,
        "external_path": from.path.display().to_string(),
    })
}

fn history_entry(checkpoint: &Checkpoint, subtasks: usize) -> Value {
    let began = millis(checkpoint.began_at);
    let is_savepoint = checkpoint.kind == CheckpointKind::Savepoint;
    let duration = checkpoint.duration.map(|d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
    let done = checkpoint.stage == Stage::Completed;
    let mut entry = json!({
        "className": checkpoint.stage.word().to_lowercase(),
        "id": checkpoint.epoch,
        "status": checkpoint.stage.word(),
        "is_savepoint": is_savepoint,
        "savepointFormat": is_savepoint.then_some("NATIVE"),
        "trigger_timestamp": began,
        "latest_ack_timestamp": if done { began + duration.unwrap_or(0) } else { -1 },
        "checkpointed_size": checkpoint.bytes.unwrap_or(0),
        "state_size": checkpoint.bytes.unwrap_or(0),
        "end_to_end_duration": duration.unwrap_or_else(|| now() - began),
        "alignment_buffered": 0,
        "processed_data": 0,
        "persisted_data": 0,
        "num_subtasks": subtasks,
        "num_acknowledged_subtasks": if done { subtasks } else { 0 },
        "checkpoint_type": if is_savepoint { "SAVEPOINT" } else { "CHECKPOINT" },
        "tasks": {},
        "growth": checkpoint.growth_bytes,
    });
    match checkpoint.stage {
        Stage::InProgress => {}
        Stage::Completed => {
            entry["external_path"] = json!(checkpoint.path.as_ref().map(|path| path.display().to_string()));
            entry["discarded"] = json!(false);
        }
        Stage::Failed => {
            entry["failure_timestamp"] = json!(began + duration.unwrap_or(0));
            entry["failure_message"] = json!(checkpoint.failure);
        }
    }
    entry
}

/// How size and duration are spread over the complete checkpoints that are remembered.
fn summary(all: &[Checkpoint]) -> Value {
    let complete = || all.iter().filter(|c| c.stage == Stage::Completed);
    let sizes = spread(complete().filter_map(|c| c.bytes).collect());
    let millis = |c: &Checkpoint| c.duration.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
    json!({
        "checkpointed_size": sizes,
        "state_size": sizes,
        "end_to_end_duration": spread(complete().filter_map(millis).collect()),
        "alignment_buffered": spread(Vec::new()),
        "processed_data": spread(Vec::new()),
        "persisted_data": spread(Vec::new()),
    })
}

fn spread(mut values: Vec<u64>) -> Value {
    values.sort_unstable();
    let mean = values.iter().sum::<u64>() / values.len().max(1) as u64;
    json!({
        "min": values.first().unwrap_or(&0),
        "max": values.last().unwrap_or(&0),
        "avg": mean,
        "p50": percentile(&values, 0.5),
        "p90": percentile(&values, 0.9),
        "p95": percentile(&values, 0.95),
        "p99": percentile(&values, 0.99),
        "p999": percentile(&values, 0.999),
    })
}

/// A percentile of sorted values as Flink (Apache Commons Math) estimates it: at `part * (n + 1)`, between its neighbours.
fn percentile(sorted: &[u64], part: f64) -> f64 {
    let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else { return 0.0 };
    let place = part * (sorted.len() + 1) as f64;
    if place < 1.0 {
        return *first as f64;
    }
    // The value at `place`, counted from 1, and the one behind it.
    let below = place.floor() as usize - 1;
    match (sorted.get(below), sorted.get(below + 1)) {
        (Some(low), Some(high)) => *low as f64 + place.fract() * (*high as f64 - *low as f64),
        _ => *last as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_lie_between_values() {
        assert_eq!(percentile(&[], 0.5), 0.0);
        assert_eq!(percentile(&[7], 0.999), 7.0);
        assert_eq!(percentile(&[1, 2, 3, 4], 0.5), 2.5);
        assert_eq!(percentile(&[1, 2, 3], 0.5), 2.0);
        assert_eq!(percentile(&(1..=100).collect::<Vec<_>>(), 0.9), 90.9);
        assert_eq!(percentile(&[10, 20], 0.01), 10.0);
    }
}
