//! Jobs in the shapes of Flink's REST API (1.20 and 2.x), with Flink's field names, so that what reads them there reads
//! them here. Fields of which there is nothing to say are 0, empty or null as in Flink. Of our own are `/jobs/:id/splits`
//! and the member `eddyline` of `/jobs/:id`.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use eddyline_engine::checkpoint::RestartStrategy;
use eddyline_engine::runtime::{JobStatus, NodeStatus};
use eddyline_engine::time::Watermark;
use eddyline_sql::facts;
use eddyline_sql::jobs::JobEntry;
use serde_json::{Map, Value, json};

/// Key groups, which Flink calls the maximal parallelism.
pub const MAX_PARALLELISM: usize = 128;
/// What a dashboard is told about the Flink that it talks to: the newest one whose shapes these are.
const FLINK_VERSION: &str = "2.0.0";
/// How often a dashboard should ask.
const REFRESH_INTERVAL_MS: u32 = 3_000;
/// States of a job in Flink.
const JOB_STATES: [&str; 11] = [
    "INITIALIZING",
    "CREATED",
    "RUNNING",
    "FAILING",
    "FAILED",
    "CANCELLING",
    "CANCELED",
    "FINISHED",
    "RESTARTING",
    "SUSPENDED",
    "RECONCILING",
];
/// States of a task in Flink; here the tasks of a job share its state.
const TASK_STATES: [&str; 10] = [
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

/// `/config`.
pub fn config() -> Value {
    json!({
        "refresh-interval": REFRESH_INTERVAL_MS,
        "timezone-name": "Coordinated Universal Time",
        "timezone-offset": 0,
        "flink-version": FLINK_VERSION,
        "flink-revision": "",
        "features": { "web-submit": false, "web-cancel": false, "web-rescale": false, "web-history": false },
    })
}

/// `/overview`.
pub fn overview(jobs: &[JobEntry]) -> Value {
    let count = |states: &[&str]| jobs.iter().filter(|job| states.contains(&facts::flink_state(job))).count();
    json!({
        "taskmanagers": 1,
        "slots-total": std::thread::available_parallelism().map_or(1, usize::from),
        "slots-available": 0,
        "jobs-running": count(&["INITIALIZING", "RUNNING", "RESTARTING"]),
        "jobs-finished": count(&["FINISHED"]),
        "jobs-cancelled": count(&["CANCELED"]),
        "jobs-failed": count(&["FAILED"]),
        "flink-version": FLINK_VERSION,
        "flink-commit": "",
        "eddyline-version": env!("CARGO_PKG_VERSION"),
    })
}

/// `/jobs`.
pub fn jobs(jobs: &[JobEntry]) -> Value {
    let entry = |job: &JobEntry| json!({ "id": job.id, "status": facts::flink_state(job) });
    json!({ "jobs": jobs.iter().map(entry).collect::<Vec<_>>() })
}

/// `/jobs/overview`.
pub fn jobs_overview(jobs: &[JobEntry]) -> Value {
    let entry = |job: &JobEntry| {
        let state = facts::flink_state(job);
        let total = job.status().map_or(0, |status| subtasks(&status));
        let mut tasks = task_counts(task_state(state), total, str::to_lowercase);
        tasks.insert("total".into(), total);
        let mut entry = times(job, state);
        entry.insert("jid".into(), json!(job.id));
        entry.insert("name".into(), json!(job.name));
        entry.insert("state".into(), json!(state));
        entry.insert("last-modification".into(), json!(millis(last_change(job))));
        entry.insert("tasks".into(), json!(tasks));
        entry.insert("pending-operators".into(), json!(0));
        Value::Object(entry)
    };
    json!({ "jobs": jobs.iter().map(entry).collect::<Vec<_>>() })
}

/// `/jobs/:id`.
pub fn job(job: &JobEntry) -> Value {
    let (state, status) = (facts::flink_state(job), job.status());
    let nodes = status.as_ref().map_or(&[][..], |status| &status.nodes);
    let vertices: Vec<Value> = nodes.iter().enumerate().map(|(at, node)| vertex(job, state, at, node)).collect();
    let mut answer = times(job, state);
    let members = [
        ("jid", json!(job.id)),
        ("name", json!(job.name)),
        ("isStoppable", json!(false)),
        ("state", json!(state)),
        ("job-type", json!("STREAMING")),
        ("maxParallelism", json!(MAX_PARALLELISM)),
        ("now", json!(now())),
        ("timestamps", timestamps(job, state)),
        ("vertices", json!(vertices)),
        ("status-counts", json!(task_counts(task_state(state), nodes.len(), str::to_string))),
        ("plan", plan(job, nodes)),
        // All operators are there when a job starts; a graph from before there were tasks is kept of none.
        ("stream-graph", Value::Null),
        ("pending-operators", json!(0)),
        ("eddyline", status.as_ref().map_or(Value::Null, figures)),
    ];
    answer.extend(members.map(|(name, value)| (name.to_string(), value)));
    Value::Object(answer)
}

/// `/jobs/:id/status`.
pub fn job_status(job: &JobEntry) -> Value {
    json!({ "status": facts::flink_state(job) })
}

/// `/jobs/:id/config`.
pub fn job_config(job: &JobEntry) -> Value {
    let parallelism = job.status().and_then(|status| status.nodes.iter().map(|node| node.parallelism).max());
    json!({
        "jid": job.id,
        "name": job.name,
        "execution-config": {
            "execution-mode": "PIPELINED",
            "restart-strategy": job.handle().map_or_else(String::new, |job| restarts(job.restart_strategy())),
            "job-parallelism": parallelism.unwrap_or(1),
            "object-reuse-mode": false,
            "user-config": {},
        },
    })
}

fn restarts(strategy: &RestartStrategy) -> String {
    let times = |attempts: u32| if attempts == 1 { "once".to_string() } else { format!("{attempts} times") };
    match strategy {
        RestartStrategy::None => "none".to_string(),
        RestartStrategy::FixedDelay { attempts, delay } => format!("{}, after {delay:?} each", times(*attempts)),
        RestartStrategy::ExponentialDelay { initial, max, multiplier, attempts, .. } => {
            let often = attempts.map_or_else(|| "any number of times".to_string(), times);
            format!("{often}, after {initial:?}, then {multiplier} times as long, at most {max:?}")
        }
    }
}

/// `/jobs/:id/plan`.
pub fn job_plan(job: &JobEntry) -> Value {
    let status = job.status();
    json!({ "plan": plan(job, status.as_ref().map_or(&[], |status| &status.nodes)) })
}

/// The figures of a whole job, which Flink has nowhere.
fn figures(status: &JobStatus) -> Value {
    json!({
        "rows-read": status.rows_read,
        "rows-written": status.rows_written,
        "late-rows": status.late_rows,
        "skipped-messages": status.skipped_messages,
        "lag": status.lag_rows,
        "watermark": status.watermark.and_then(watermark_millis),
        "restarts": status.restarts,
    })
}

fn vertex(job: &JobEntry, state: &str, position: usize, node: &NodeStatus) -> Value {
    let task = task_state(state);
    let mut vertex = times(job, state);
    let members = [
        ("id", json!(vertex_id(position))),
        ("slotSharingGroupId", json!(vertex_id(0))),
        ("name", json!(node.name)),
        ("maxParallelism", json!(MAX_PARALLELISM)),
        ("parallelism", json!(node.parallelism)),
        ("status", json!(task)),
        ("tasks", json!(task_counts(task, node.parallelism, str::to_string))),
        ("metrics", io_metrics(node)),
    ];
    vertex.extend(members.map(|(name, value)| (name.to_string(), value)));
    Value::Object(vertex)
}

/// Rows are counted; bytes and how busy tasks are is not known, which the members ending in `-complete` say.
pub fn io_metrics(node: &NodeStatus) -> Value {
    json!({
        "read-bytes": 0, "read-bytes-complete": false,
        "write-bytes": 0, "write-bytes-complete": false,
        "read-records": node.rows_in, "read-records-complete": true,
        "write-records": node.rows_out, "write-records-complete": true,
        "accumulated-backpressured-time": 0,
        "accumulated-idle-time": 0,
        "accumulated-busy-time": 0.0,
    })
}

fn plan(job: &JobEntry, nodes: &[NodeStatus]) -> Value {
    let node = |(position, node): (usize, &NodeStatus)| {
        let input = |(num, from): (usize, &usize)| {
            let same = nodes.get(*from).is_some_and(|from| from.parallelism == node.parallelism);
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
        "jid": job.id,
        "name": job.name,
        "type": "STREAMING",
        "nodes": nodes.iter().enumerate().map(node).collect::<Vec<_>>(),
    })
}

/// `/jobs/:id/exceptions`.
pub fn exceptions(job: &JobEntry) -> Value {
    let error = job.error();
    let at = error.as_ref().map(|_| {
        let known = job.status().and_then(|status| status.last_error_at);
        millis(known.unwrap_or(job.started_at))
    });
    let all: Vec<Value> = error
        .iter()
        .map(|text| {
            json!({ "exception": text, "task": null, "location": null, "endpoint": null, "timestamp": at, "taskManagerId": null })
        })
        .collect();
    let history: Vec<Value> = error
        .iter()
        .map(|text| {
            json!({
                "exceptionName": text.lines().next(), "stacktrace": text, "timestamp": at, "taskName": null, "location": null,
                "endpoint": null, "taskManagerId": null, "failureLabels": {}, "concurrentExceptions": [],
            })
        })
        .collect();
    json!({
        "root-exception": error,
        "timestamp": at,
        "all-exceptions": all,
        "truncated": false,
        "exceptionHistory": { "entries": history, "truncated": false },
    })
}

/// `/jobs/:id/splits`: how far every partition is read, and which one holds the job's watermark back.
pub fn splits(job: &JobEntry) -> Value {
    let entry = |lag: facts::Lag| {
        json!({
            "vertex": vertex_id(lag.node),
            "table": lag.table,
            "partition": lag.partition,
            "position": lag.position,
            "end": lag.end,
            "lag": lag.lag_rows,
            "watermark": lag.watermark.and_then(watermark_millis),
            "holds-watermark": lag.holds_watermark,
            "status": lag.reading.word(),
        })
    };
    json!({ "splits": facts::lags(job).into_iter().map(entry).collect::<Vec<_>>() })
}

/// Milliseconds since 1970; None for the watermark at the end of all input.
pub fn watermark_millis(watermark: Watermark) -> Option<i64> {
    (watermark != Watermark::MAX).then(|| watermark.0.0.div_euclid(1000))
}

pub fn task_state(state: &str) -> &str {
    match state {
        "RESTARTING" => "CREATED",
        other => other,
    }
}

/// How many tasks are in which state: all of them in `state`.
fn task_counts(state: &str, tasks: usize, name: fn(&str) -> String) -> BTreeMap<String, usize> {
    TASK_STATES.iter().map(|s| (name(s), if *s == state { tasks } else { 0 })).collect()
}

/// Subtasks of all operators together.
pub fn subtasks(status: &JobStatus) -> usize {
    status.nodes.iter().map(|node| node.parallelism).sum()
}

pub fn times(job: &JobEntry, state: &str) -> Map<String, Value> {
    let start = millis(job.started_at);
    let end = job.ended_at().map(millis).or_else(|| (state == "FAILED").then_some(start));
    let times = [
        ("start-time", start),
        ("end-time", end.unwrap_or(-1)),
        ("duration", end.unwrap_or_else(now).max(start) - start),
    ];
    times.map(|(name, value)| (name.to_string(), json!(value))).into_iter().collect()
}

/// When the job came into which state, 0 for those in which it never was.
fn timestamps(job: &JobEntry, state: &str) -> Value {
    let mut times: BTreeMap<&str, i64> = JOB_STATES.map(|state| (state, 0)).into();
    for passed in ["INITIALIZING", "CREATED"] {
        times.insert(passed, millis(job.started_at));
    }
    if let Some(handle) = job.handle() {
        times.insert("RUNNING", millis(handle.started_at()));
    }
    if !["INITIALIZING", "RUNNING"].contains(&state) {
        times.insert(state, millis(last_change(job)));
    }
    json!(times)
}

/// When the job came into its present state, as far as that is known.
fn last_change(job: &JobEntry) -> SystemTime {
    let failed = job.status().and_then(|status| status.last_error_at);
    job.ended_at().or(failed).unwrap_or(job.started_at)
}

/// Ids of vertices have 32 hexadecimal digits in Flink.
pub fn vertex_id(position: usize) -> String {
    format!("{position:032x}")
}

/// Now, in milliseconds since 1970.
pub fn now() -> i64 {
    millis(SystemTime::now())
}

/// Milliseconds since 1970.
pub fn millis(time: SystemTime) -> i64 {
    i64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}
