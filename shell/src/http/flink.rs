//! Jobs and checkpoints in the shapes of Flink's REST API, with Flink's field names, so that what reads them there reads
//! them here. Fields of which there is nothing to say are 0 or null as in Flink; `splits` is our own.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use eddyline_engine::checkpoint::CheckpointKind;
use eddyline_engine::runtime::{
    CheckpointProgress, CheckpointRecord, JobHandle, JobState, JobStatus, NodeStatus, RestoredFrom,
};
use serde_json::{Value, json};

/// Key groups, which Flink calls the maximal parallelism.
const MAX_PARALLELISM: usize = 128;
/// States of a task in Flink; here the tasks of a job share its state.
const TASK_STATES: &[&str] = &[
    "CREATED",
    "SCHEDULED",
    "DEPLOYING",
    "RUNNING",
    "FINISHED",
    "CANCELING",
    "CANCELED",
    "FAILED",
    "RECONCILING",
    "INITIALIZING",
];

/// `/overview`.
pub fn overview(jobs: &[JobHandle]) -> Value {
    let count = |wanted: &[JobState]| jobs.iter().filter(|job| wanted.contains(&job.status().state)).count();
    json!({
        "taskmanagers": 1,
        "slots-total": std::thread::available_parallelism().map_or(1, usize::from),
        "slots-available": 0,
        "jobs-running": count(&[JobState::Running, JobState::Restarting, JobState::Stopping]),
        "jobs-finished": count(&[JobState::Finished]),
        "jobs-cancelled": count(&[JobState::Canceled]),
        "jobs-failed": count(&[JobState::Failed]),
        "flink-version": "",
        "eddyline-version": env!("CARGO_PKG_VERSION"),
    })
}

/// `/jobs`.
pub fn jobs(jobs: &[JobHandle]) -> Value {
    let entry = |job: &JobHandle| json!({ "id": job.id(), "status": state_name(job.status().state) });
    json!({ "jobs": jobs.iter().map(entry).collect::<Vec<_>>() })
}

/// `/jobs/overview`.
pub fn jobs_overview(jobs: &[JobHandle]) -> Value {
    let entry = |job: &JobHandle| {
        let status = job.status();
        let total: usize = status.nodes.iter().map(|n| n.parallelism).sum();
        let mut tasks = task_counts(task_state(status.state), total, str::to_lowercase);
        tasks.insert("total".into(), total);
        let mut entry = times(job, status.state);
        entry["jid"] = json!(job.id());
        entry["name"] = json!(job.name());
        entry["state"] = json!(state_name(status.state));
        entry["last-modification"] = json!(now());
        entry["tasks"] = json!(tasks);
        entry
    };
    json!({ "jobs": jobs.iter().map(entry).collect::<Vec<_>>() })
}

/// `/jobs/:id`.
pub fn job(job: &JobHandle) -> Value {
    let status = job.status();
    let vertices: Vec<Value> =
        status.nodes.iter().enumerate().map(|(position, node)| vertex(job, &status, position, node)).collect();
    let mut answer = times(job, status.state);
    let counts = task_counts(task_state(status.state), status.nodes.len(), str::to_string);
    answer["jid"] = json!(job.id());
    answer["name"] = json!(job.name());
    answer["isStoppable"] = json!(false);
    answer["state"] = json!(state_name(status.state));
    answer["job-type"] = json!("STREAMING");
    answer["maxParallelism"] = json!(MAX_PARALLELISM);
    answer["now"] = json!(now());
    answer["timestamps"] = json!({ "CREATED": millis(job.started_at()), "RUNNING": millis(job.started_at()) });
    answer["vertices"] = json!(vertices);
    answer["status-counts"] = json!(counts);
    answer["plan"] = plan(job, &status);
    answer
}

fn vertex(job: &JobHandle, status: &JobStatus, position: usize, node: &NodeStatus) -> Value {
    let state = task_state(status.state);
    let mut vertex = times(job, status.state);
    vertex["id"] = json!(vertex_id(position));
    vertex["name"] = json!(node.name);
    vertex["maxParallelism"] = json!(MAX_PARALLELISM);
    vertex["parallelism"] = json!(node.parallelism);
    vertex["status"] = json!(state);
    vertex["tasks"] = json!(task_counts(state, node.parallelism, str::to_string));
    vertex["metrics"] = json!({
        "read-bytes": 0, "read-bytes-complete": false,
        "write-bytes": 0, "write-bytes-complete": false,
        "read-records": node.rows_in, "read-records-complete": true,
        "write-records": node.rows_out, "write-records-complete": true,
    });
    vertex
}

fn plan(job: &JobHandle, status: &JobStatus) -> Value {
    let node = |(position, node): (usize, &NodeStatus)| {
        let input = |(num, from): (usize, &usize)| {
            let same = status.nodes[*from].parallelism == node.parallelism;
            let strategy = if same { "FORWARD" } else { "REBALANCE" };
            json!({ "num": num, "id": vertex_id(*from), "ship_strategy": strategy, "exchange": "pipelined_bounded" })
        };
        json!({
            "id": vertex_id(position),
            "parallelism": node.parallelism,
            "operator": "",
            "operator_strategy": "",
            "description": node.name,
            "inputs": node.inputs.iter().enumerate().map(input).collect::<Vec<_>>(),
            "optimizer_properties": {},
        })
    };
    json!({
        "jid": job.id(),
        "name": job.name(),
        "type": "STREAMING",
        "nodes": status.nodes.iter().enumerate().map(node).collect::<Vec<_>>(),
    })
}

/// `/jobs/:id/checkpoints`.
pub fn checkpoints(job: &JobHandle) -> Value {
    let status = job.status();
    let records = job.checkpoints();
    let in_progress = records.iter().filter(|r| r.progress == CheckpointProgress::InProgress).count() as u64;
    let restored = status.restored_from.as_ref();
    let subtasks: usize = status.nodes.iter().map(|n| n.parallelism).sum();
    let newest = |wanted: &dyn Fn(&CheckpointRecord) -> bool| {
        records.iter().rev().find(|r| wanted(r)).map(|r| history_entry(r, subtasks))
    };
    json!({
        "counts": {
            "restored": u8::from(restored.is_some()),
            "total": status.completed_checkpoints + status.failed_checkpoints + in_progress,
            "in_progress": in_progress,
            "completed": status.completed_checkpoints,
            "failed": status.failed_checkpoints,
        },
        "summary": summary(&records),
        "latest": {
            "completed": newest(&|r| is_complete(r) && r.kind != CheckpointKind::Savepoint),
            "savepoint": newest(&|r| is_complete(r) && r.kind == CheckpointKind::Savepoint),
            "failed": newest(&|r| matches!(r.progress, CheckpointProgress::Failed { .. })),
            "restored": restored.map(restored_entry),
        },
        "history": records.iter().rev().map(|r| history_entry(r, subtasks)).collect::<Vec<_>>(),
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

fn history_entry(record: &CheckpointRecord, subtasks: usize) -> Value {
    let began = millis(record.began_at);
    let is_savepoint = record.kind == CheckpointKind::Savepoint;
    let mut entry = json!({
        "id": record.epoch.0,
        "is_savepoint": is_savepoint,
        "trigger_timestamp": began,
        "latest_ack_timestamp": began,
        "checkpointed_size": 0,
        "state_size": 0,
        "end_to_end_duration": 0,
        "alignment_buffered": 0,
        "processed_data": 0,
        "persisted_data": 0,
        "num_subtasks": subtasks,
        "num_acknowledged_subtasks": 0,
        "checkpoint_type": if is_savepoint { "SAVEPOINT" } else { "CHECKPOINT" },
        "tasks": {},
    });
    match &record.progress {
        CheckpointProgress::InProgress => {
            entry["className"] = json!("in_progress");
            entry["status"] = json!("IN_PROGRESS");
            entry["end_to_end_duration"] = json!(now() - began);
        }
        CheckpointProgress::Completed { duration, bytes, path } => {
            let duration = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
            entry["className"] = json!("completed");
            entry["status"] = json!("COMPLETED");
            entry["latest_ack_timestamp"] = json!(began + duration);
            entry["checkpointed_size"] = json!(bytes);
            entry["state_size"] = json!(bytes);
            entry["end_to_end_duration"] = json!(duration);
            entry["num_acknowledged_subtasks"] = json!(subtasks);
            entry["external_path"] = json!(path.as_ref().map(|p| p.display().to_string()));
            entry["discarded"] = json!(false);
        }
        CheckpointProgress::Failed { reason } => {
            entry["className"] = json!("failed");
            entry["status"] = json!("FAILED");
            entry["failure_timestamp"] = json!(began);
            entry["failure_message"] = json!(reason);
        }
    }
    entry
}

/// Least, most and mean of size and duration over the complete checkpoints that are remembered.
fn summary(records: &[CheckpointRecord]) -> Value {
    let complete = |pick: &dyn Fn(u64, u64) -> u64| -> Vec<u64> {
        let figures = records.iter().filter_map(|r| match &r.progress {
            CheckpointProgress::Completed { duration, bytes, .. } => {
                Some(pick(*bytes, u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
            }
            _ => None,
        });
        figures.collect()
    };
    let spread = |values: Vec<u64>| {
        let count = values.len().max(1) as u64;
        json!({
            "min": values.iter().min().unwrap_or(&0),
            "max": values.iter().max().unwrap_or(&0),
            "avg": values.iter().sum::<u64>() / count,
        })
    };
    let sizes = spread(complete(&|bytes, _| bytes));
    json!({
        "checkpointed_size": sizes,
        "state_size": sizes,
        "end_to_end_duration": spread(complete(&|_, millis| millis)),
        "alignment_buffered": spread(Vec::new()),
        "processed_data": spread(Vec::new()),
        "persisted_data": spread(Vec::new()),
    })
}

/// `/jobs/:id/exceptions`.
pub fn exceptions(job: &JobHandle) -> Value {
    let status = job.status();
    let error = status.last_error.as_deref();
    let entries: Vec<Value> = error
        .map(|text| json!({ "exceptionName": "error", "stacktrace": text, "timestamp": now(), "taskName": null }))
        .into_iter()
        .collect();
    json!({
        "root-exception": error,
        "timestamp": error.map(|_| now()),
        "all-exceptions": entries,
        "truncated": false,
        "exceptionHistory": { "entries": entries, "truncated": false },
    })
}

/// `/jobs/:id/splits`: lag and watermark of every split, and which one holds the job's watermark back.
pub fn splits(job: &JobHandle) -> Value {
    let splits = job.splits();
    let waiting = splits.iter().filter(|s| !s.idle && !s.ended);
    let holding = waiting.min_by_key(|s| s.watermark).map(|s| (s.node, s.split.clone()));
    let has_watermarks = splits.iter().any(|s| s.watermark.is_some());
    let entry = |split: &eddyline_engine::runtime::SplitStatus| {
        json!({
            "source": vertex_id(split.node),
            "split": split.split,
            "lag": split.lag_rows,
            "watermark": split.watermark.map(|w| w.0.0.div_euclid(1000)),
            "idle": split.idle,
            "ended": split.ended,
            "holds-watermark": has_watermarks && holding.as_ref() == Some(&(split.node, split.split.clone())),
        })
    };
    json!({ "splits": splits.iter().map(entry).collect::<Vec<_>>() })
}

/// Flink's name of a job's state.
fn state_name(state: JobState) -> &'static str {
    match state {
        JobState::Running | JobState::Stopping => "RUNNING",
        JobState::Restarting => "RESTARTING",
        JobState::Finished => "FINISHED",
        JobState::Failed => "FAILED",
        JobState::Canceled => "CANCELED",
    }
}

fn task_state(state: JobState) -> &'static str {
    match state {
        JobState::Restarting => "CREATED",
        other => state_name(other),
    }
}

/// How many tasks are in which state: all of them in `state`.
fn task_counts(state: &str, tasks: usize, name: fn(&str) -> String) -> BTreeMap<String, usize> {
    TASK_STATES.iter().map(|s| (name(s), if *s == state { tasks } else { 0 })).collect()
}

fn times(job: &JobHandle, state: JobState) -> Value {
    let start = millis(job.started_at());
    let ended = job.ended_after().map(|elapsed| start + i64::try_from(elapsed.as_millis()).unwrap_or(0));
    let end = ended.filter(|_| state.is_terminal());
    json!({ "start-time": start, "end-time": end.unwrap_or(-1), "duration": end.unwrap_or_else(now) - start })
}

/// Ids of vertices have 32 hexadecimal digits in Flink.
fn vertex_id(position: usize) -> String {
    format!("{position:032x}")
}

fn is_complete(record: &CheckpointRecord) -> bool {
    matches!(record.progress, CheckpointProgress::Completed { .. })
}

fn now() -> i64 {
    millis(SystemTime::now())
}

/// Milliseconds since 1970.
fn millis(time: SystemTime) -> i64 {
    i64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}
