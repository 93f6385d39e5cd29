//! `/jobs/:id/vertices/:vertex` in the shape of Flink's REST API: one operator and its subtasks.
//!
//! Figures are kept per operator. Those of a subtask are known when it is the only one; else they are 0 and the members
//! ending in `-complete` say so.

use std::collections::BTreeMap;

use eddyline_engine::runtime::NodeStatus;
use eddyline_sql::facts;
use eddyline_sql::jobs::JobEntry;
use serde_json::{Map, Value, json};

use super::flink::{MAX_PARALLELISM, io_metrics, now, task_state, times, vertex_id};

/// The answer; None when the job has no such vertex.
pub fn vertex(job: &JobEntry, id: &str) -> Option<Value> {
    let nodes = job.status()?.nodes;
    let (_, node) = nodes.iter().enumerate().find(|(position, _)| vertex_id(*position) == id)?;
    let subtasks: Vec<Value> = (0..node.parallelism).map(|subtask| self::subtask(job, node, subtask)).collect();
    Some(json!({
        "id": id,
        "name": node.name,
        "parallelism": node.parallelism,
        "maxParallelism": MAX_PARALLELISM,
        "now": now(),
        "aggregated": aggregated(node, &subtasks),
        "subtasks": subtasks,
    }))
}

fn subtask(job: &JobEntry, node: &NodeStatus, subtask: usize) -> Value {
    let state = facts::flink_state(job);
    let status = task_state(state);
    let times = times(job, state);
    let mut metrics = io_metrics(node);
    if node.parallelism > 1 {
        for direction in ["read", "write"] {
            metrics[format!("{direction}-records")] = json!(0);
            metrics[format!("{direction}-records-complete")] = json!(false);
        }
    }
    let members = [
        ("subtask", json!(subtask)),
        ("status", json!(status)),
        ("attempt", json!(job.status().map_or(0, |status| status.restarts))),
        ("endpoint", json!("localhost")),
        ("start_time", times["start-time"].clone()),
        ("metrics", metrics),
        ("taskmanager-id", json!("localhost")),
        ("status-duration", json!({ status: times["duration"] })),
        ("other-concurrent-attempts", json!([])),
    ];
    let mut answer: Map<String, Value> = times;
    answer.extend(members.map(|(name, value)| (name.to_string(), value)));
    Value::Object(answer)
}

/// How whole numbers are spread over the subtasks; the sum of rows is that of the operator, which is always known.
fn aggregated(node: &NodeStatus, subtasks: &[Value]) -> Value {
    let spread = |values: Vec<u64>, sum: Option<u64>| {
        let mut sorted = values;
        sorted.sort_unstable();
        let at =
            |part: usize| *sorted.get((sorted.len() * part / 100).min(sorted.len().saturating_sub(1))).unwrap_or(&0);
        let total: u64 = sum.unwrap_or_else(|| sorted.iter().sum());
        json!({
            "min": at(0), "max": at(100), "avg": total / sorted.len().max(1) as u64, "sum": total, "median": at(50),
            "p25": at(25), "p75": at(75), "p95": at(95),
        })
    };
    let values = |group: &str, name: &str| -> Vec<u64> {
        subtasks.iter().map(|subtask| subtask[group][name].as_u64().unwrap_or(0)).collect()
    };
    let metrics: BTreeMap<&str, Value> = [
        ("read-bytes", None),
        ("write-bytes", None),
        ("read-records", Some(node.rows_in)),
        ("write-records", Some(node.rows_out)),
        ("accumulated-backpressured-time", None),
        ("accumulated-idle-time", None),
        ("accumulated-busy-time", None),
    ]
    .map(|(name, sum)| (name, spread(values("metrics", name), sum)))
    .into();
    let durations: Map<String, Value> = subtasks
        .first()
        .and_then(|subtask| subtask["status-duration"].as_object())
        .into_iter()
        .flatten()
        .map(|(name, _)| (name.clone(), spread(values("status-duration", name), None)))
        .collect();
    json!({ "metrics": metrics, "status-duration": durations })
}
