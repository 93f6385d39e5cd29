//! Every member that Flink's REST API documents for the paths that we answer is there, with its type.

use std::time::Duration;

use eddyline_tests::http::Endpoint;
use eddyline_tests::services::process::wait_for;
use serde_json::Value;

use super::Observed;

const LIMIT: Duration = Duration::from_secs(30);

/// The source of the job.
const FIRST_VERTEX: &str = "00000000000000000000000000000000";

/// Path, place in the answer, and the members there: `s` a string, `i` an integer, `n` a number, `b` a boolean, `o` an
/// object, `a` an array. A question mark allows null. After `flink-runtime-web`'s snapshot of the API.
const SHAPES: [(&str, &str, &str); 34] = [
    ("/config", "", "refresh-interval:i timezone-name:s timezone-offset:i flink-version:s flink-revision:s features:o"),
    ("/config", "/features", "web-submit:b web-cancel:b web-history:b"),
    (
        "/overview",
        "",
        "taskmanagers:i slots-total:i slots-available:i jobs-running:i jobs-finished:i jobs-cancelled:i \
         jobs-failed:i flink-version:s flink-commit:s",
    ),
    ("/jobs", "/jobs/0", "id:s status:s"),
    (
        "/jobs/overview",
        "/jobs/0",
        "jid:s name:s start-time:i end-time:i duration:i state:s last-modification:i tasks:o \
         pending-operators:i",
    ),
    (
        "/jobs/overview",
        "/jobs/0/tasks",
        "total:i created:i scheduled:i deploying:i running:i finished:i canceling:i canceled:i failed:i \
         reconciling:i initializing:i",
    ),
    (
        "/jobs/:id",
        "",
        "jid:s name:s isStoppable:b state:s start-time:i end-time:i duration:i maxParallelism:i now:i timestamps:o \
         vertices:a status-counts:o plan:o stream-graph:o? pending-operators:i",
    ),
    (
        "/jobs/:id",
        "/timestamps",
        "INITIALIZING:i CREATED:i RUNNING:i FAILING:i FAILED:i CANCELLING:i CANCELED:i FINISHED:i RESTARTING:i \
         SUSPENDED:i RECONCILING:i",
    ),
    (
        "/jobs/:id",
        "/vertices/0",
        "id:s name:s maxParallelism:i parallelism:i status:s start-time:i end-time:i duration:i tasks:o metrics:o",
    ),
    (
        "/jobs/:id",
        "/vertices/0/tasks",
        "CREATED:i SCHEDULED:i DEPLOYING:i RUNNING:i FINISHED:i CANCELING:i CANCELED:i FAILED:i RECONCILING:i \
         INITIALIZING:i",
    ),
    (
        "/jobs/:id",
        "/vertices/0/metrics",
        "read-bytes:i read-bytes-complete:b write-bytes:i write-bytes-complete:b read-records:i \
         read-records-complete:b write-records:i write-records-complete:b accumulated-backpressured-time:i \
         accumulated-idle-time:i accumulated-busy-time:n",
    ),
    ("/jobs/:id", "/plan", "jid:s name:s type:s nodes:a"),
    (
        "/jobs/:id",
        "/plan/nodes/1",
        "id:s parallelism:i operator:s operator_strategy:s description:s inputs:a optimizer_properties:o",
    ),
    ("/jobs/:id", "/plan/nodes/1/inputs/0", "num:i id:s ship_strategy:s exchange:s"),
    ("/jobs/:id/plan", "", "plan:o"),
    ("/jobs/:id/checkpoints", "", "counts:o summary:o latest:o history:a"),
    ("/jobs/:id/checkpoints", "/counts", "restored:i total:i in_progress:i completed:i failed:i"),
    (
        "/jobs/:id/checkpoints",
        "/summary",
        "checkpointed_size:o state_size:o end_to_end_duration:o alignment_buffered:o processed_data:o persisted_data:o",
    ),
    ("/jobs/:id/checkpoints", "/summary/state_size", "min:i max:i avg:i p50:n p90:n p95:n p99:n p999:n"),
    ("/jobs/:id/checkpoints", "/latest", "completed:o savepoint:o? failed:o? restored:o?"),
    (
        "/jobs/:id/checkpoints",
        "/latest/completed",
        "className:s id:i status:s is_savepoint:b savepointFormat:s? trigger_timestamp:i latest_ack_timestamp:i \
         checkpointed_size:i state_size:i end_to_end_duration:i alignment_buffered:i processed_data:i persisted_data:i \
         num_subtasks:i num_acknowledged_subtasks:i checkpoint_type:s tasks:o external_path:s discarded:b",
    ),
    (
        "/jobs/:id/checkpoints/details/:epoch",
        "",
        "id:i status:s is_savepoint:b trigger_timestamp:i state_size:i tasks:o",
    ),
    (
        "/jobs/:id/checkpoints/config",
        "",
        "mode:s interval:i timeout:i min_pause:i max_concurrent:i externalization:o state_backend:s \
         checkpoint_storage:s unaligned_checkpoints:b tolerable_failed_checkpoints:i aligned_checkpoint_timeout:i \
         checkpoints_after_tasks_finish:b state_changelog_enabled:b changelog_periodic_materialization_interval:i \
         changelog_storage:s?",
    ),
    ("/jobs/:id/checkpoints/config", "/externalization", "enabled:b delete_on_cancellation:b"),
    ("/jobs/:id/status", "", "status:s"),
    ("/jobs/:id/config", "", "jid:s name:s execution-config:o"),
    (
        "/jobs/:id/config",
        "/execution-config",
        "execution-mode:s restart-strategy:s job-parallelism:i object-reuse-mode:b user-config:o",
    ),
    ("/jobs/:id/vertices/:vertex", "", "id:s name:s parallelism:i maxParallelism:i now:i subtasks:a aggregated:o"),
    (
        "/jobs/:id/vertices/:vertex",
        "/subtasks/0",
        "subtask:i status:s attempt:i endpoint:s start-time:i end-time:i duration:i metrics:o taskmanager-id:s \
         status-duration:o other-concurrent-attempts:a start_time:i",
    ),
    (
        "/jobs/:id/vertices/:vertex",
        "/subtasks/0/metrics",
        "read-bytes:i read-bytes-complete:b write-bytes:i write-bytes-complete:b read-records:i \
         read-records-complete:b write-records:i write-records-complete:b accumulated-backpressured-time:i \
         accumulated-idle-time:i accumulated-busy-time:n",
    ),
    (
        "/jobs/:id/vertices/:vertex",
        "/aggregated/metrics/read-records",
        "min:i max:i avg:i sum:i median:i p25:i p75:i p95:i",
    ),
    ("/jobs/:id/vertices/:vertex", "/aggregated/status-duration/RUNNING", "min:i max:i avg:i sum:i"),
    ("/jobs/:id/exceptions", "", "root-exception:s? timestamp:i? all-exceptions:a truncated:b exceptionHistory:o"),
    ("/jobs/:id/exceptions", "/exceptionHistory", "entries:a truncated:b"),
];

fn fits(value: &Value, kind: &str) -> bool {
    let (kind, optional) = (kind.trim_end_matches('?'), kind.ends_with('?'));
    match (kind, value) {
        (_, Value::Null) => optional,
        ("s", Value::String(_)) | ("b", Value::Bool(_)) | ("o", Value::Object(_)) | ("a", Value::Array(_)) => true,
        ("i", Value::Number(number)) => number.is_i64() || number.is_u64(),
        ("n", Value::Number(_)) => true,
        _ => false,
    }
}

/// The members that are missing or of another type.
fn offences(endpoint: &Endpoint, id: &str, (path, place, members): (&str, &str, &str)) -> Vec<String> {
    let answer = endpoint.json(&path.replace(":id", id).replace(":vertex", FIRST_VERTEX).replace(":epoch", "1"));
    let object = answer.pointer(place).unwrap_or(&Value::Null);
    let wrong = |member: &&str| {
        let (name, kind) = member.split_once(':').expect("name and kind");
        !object.get(name).is_some_and(|value| fits(value, kind))
    };
    members.split_whitespace().filter(wrong).map(|member| format!("{path} {place}/{member}: {object}")).collect()
}

#[test]
fn jobs_are_shown_in_the_shapes_of_flink() {
    let mut job = Observed::start();
    let id = wait_for("the job", LIMIT, || job.endpoint.job("observed"));
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    let of = |path: &str| job.endpoint.json(&format!("/jobs/{id}{path}"));
    let checkpoints = wait_for("three checkpoints", LIMIT, || {
        let checkpoints = of("/checkpoints");
        (checkpoints["counts"]["completed"].as_u64()? >= 3).then_some(checkpoints)
    });
    let wrong: Vec<String> = SHAPES.into_iter().flat_map(|shape| offences(&job.endpoint, &id, shape)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let latest = &checkpoints["latest"]["completed"];
    assert!(latest["state_size"].as_u64() > Some(0), "{latest}");
    let details = of("");
    assert_eq!((&details["name"], &details["state"]), (&"observed".into(), &"RUNNING".into()));
    let nodes = details["plan"]["nodes"].as_array().expect("nodes");
    assert_eq!(nodes.len(), details["vertices"].as_array().expect("vertices").len());
    assert_eq!(nodes[0]["id"], FIRST_VERTEX);
    assert_eq!(nodes.iter().filter(|n| n["inputs"].as_array().is_some_and(Vec::is_empty)).count(), 1);
    assert_eq!(of("/exceptions")["root-exception"], Value::Null);
    let split = wait_for("a split that has been read from", LIMIT, || {
        let split = of("/splits")["splits"][0].clone();
        (split["position"].as_u64() > Some(0)).then_some(split)
    });
    assert_eq!((&split["table"], &split["holds-watermark"]), (&"numbers".into(), &true.into()), "{split}");
    assert!(split["end"] == 100_000_000 && split["watermark"].as_u64() > Some(0), "{split}");
    same_parts(&of);
    let versioned = job.endpoint.json("/v1/jobs");
    assert_eq!(versioned["jobs"][0]["id"], id.as_str(), "Flink's paths may begin with its version");
    for path in ["/jobs/0", "/jobs/0/vertices/0", &format!("/jobs/{id}/vertices/0")] {
        assert_eq!(job.endpoint.get(path).status, 404, "{path}");
    }
    for epoch in ["0", "1000000", "one"] {
        assert_eq!(job.endpoint.get(&format!("/jobs/{id}/checkpoints/details/{epoch}")).status, 404, "{epoch}");
    }
    job.program.assert_running();
    assert!(job.program.stop().success());
}

/// What stands below a job says what the job says.
fn same_parts(of: &dyn Fn(&str) -> Value) {
    let history = of("/checkpoints")["history"].clone();
    let done =
        history.as_array().and_then(|all| all.iter().find(|c| c["status"] == "COMPLETED")).expect("a checkpoint");
    assert_eq!(of(&format!("/checkpoints/details/{}", done["id"])), *done);
    let config = of("/checkpoints/config");
    assert_eq!((&config["interval"], &config["mode"]), (&100.into(), &"exactly_once".into()), "{config}");
    assert_eq!(of("/status")["status"], "RUNNING");
    let restarts = of("/config")["execution-config"]["restart-strategy"].clone();
    assert!(restarts.as_str().is_some_and(|text| text.contains("after 1s")), "{restarts}");
    for known in of("")["vertices"].as_array().expect("vertices") {
        let vertex = of(&format!("/vertices/{}", known["id"].as_str().expect("an id")));
        assert_eq!((&vertex["name"], &vertex["parallelism"]), (&known["name"], &known["parallelism"]));
        let subtasks = vertex["subtasks"].as_array().expect("subtasks");
        assert_eq!(subtasks.len() as u64, known["parallelism"].as_u64().expect("a number"));
        let sum = |name: &str| vertex["aggregated"]["metrics"][name]["sum"].as_u64();
        assert!(sum("read-records") >= known["metrics"]["read-records"].as_u64(), "{vertex}");
        if subtasks.len() == 1 {
            assert_eq!(subtasks[0]["metrics"]["read-records"].as_u64(), sum("read-records"));
        }
    }
}
