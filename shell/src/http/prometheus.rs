//! Figures of all jobs in Prometheus' text format. The table of names in `docs/http.md` is this one.
//!
//! Jobs behind a SELECT are only counted: they come and go, and each would leave its series behind.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use eddyline_engine::runtime::JobStatus;
use eddyline_engine::time::Watermark;
use eddyline_sql::facts::{self, Lag, Reading};
use eddyline_sql::jobs::JobEntry;

use crate::server::WireFigures;

/// Labels of one series.
type Labels = Vec<(&'static str, String)>;

/// The samples of a family: labels and value.
type Samples = Vec<(Labels, f64)>;

/// All metrics.
pub fn render(entries: &[JobEntry], wire: Option<&WireFigures>) -> String {
    let mut text = String::new();
    let jobs: Vec<&JobEntry> = entries.iter().filter(|job| !job.query).collect();
    let queries = entries.iter().filter(|job| job.query && !job.is_ended()).count();
    process_metrics(queries, &mut text);
    if let Some(wire) = wire {
        wire_metrics(wire, &mut text);
    }
    job_metrics(&jobs, &mut text);
    operator_metrics(&jobs, &mut text);
    split_metrics(&jobs, &mut text);
    checkpoint_metrics(&jobs, &mut text);
    text
}

fn process_metrics(queries: usize, text: &mut String) {
    let mut plain = |name: &str, kind: &str, help: &str, value: Option<f64>| {
        family(text, name, kind, help, &value.map(|value| (Labels::new(), value)).into_iter().collect());
    };
    plain("eddyline_queries", "gauge", "SELECT statements that run now.", Some(queries as f64));
    let memory = resident_bytes().map(|bytes| bytes as f64);
    plain("process_resident_memory_bytes", "gauge", "Memory of the process.", memory);
    let files = std::fs::read_dir("/proc/self/fd").map(|entries| entries.count() as f64).ok();
    plain("process_open_fds", "gauge", "Open files and sockets.", files);
}

/// Resident memory as Linux tells it.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

fn wire_metrics(wire: &WireFigures, text: &mut String) {
    let figures: [(&str, &str, &str, u64); 5] = [
        ("eddyline_pg_connections", "gauge", "Clients that have logged in.", wire.connections()),
        ("eddyline_pg_connections_max", "gauge", "Most clients at once.", wire.most_connections()),
        ("eddyline_pg_logins_failed_total", "counter", "Logins with a wrong user or password.", wire.failed_logins()),
        ("eddyline_pg_refused_total", "counter", "Sockets closed before a login was complete.", wire.refused()),
        ("eddyline_pg_cancels_total", "counter", "Cancel requests, whether they fit or not.", wire.cancel_requests()),
    ];
    for (name, kind, help, value) in figures {
        family(text, name, kind, help, &vec![(Labels::new(), value as f64)]);
    }
}

fn job_metrics(jobs: &[&JobEntry], text: &mut String) {
    let up = |job: &&JobEntry| (labels(job), f64::from(u8::from(facts::flink_state(job) == "RUNNING")));
    family(text, "eddyline_job_up", "gauge", "1 while the job runs.", &jobs.iter().map(up).collect());
    let figures: [(&str, &str, &str, fn(&JobStatus) -> Option<f64>); 7] = [
        ("eddyline_job_restarts_total", "counter", "Restarts after failures.", |s| Some(s.restarts as f64)),
        ("eddyline_job_rows_read_total", "counter", "Rows read by all sources.", |s| Some(s.rows_read as f64)),
        ("eddyline_job_rows_written_total", "counter", "Rows given to all sinks.", |s| Some(s.rows_written as f64)),
        ("eddyline_job_lag_rows", "gauge", "Rows that wait in the external systems.", |s| s.lag_rows.map(|n| n as f64)),
        ("eddyline_late_rows_total", "counter", "Rows dropped because they were behind the watermark.", |s| {
            Some(s.late_rows as f64)
        }),
        ("eddyline_skipped_messages_total", "counter", "Messages that could not be read.", |s| {
            Some(s.skipped_messages as f64)
        }),
        (
            "eddyline_job_watermark_seconds",
            "gauge",
            "The smallest watermark of all sources, in seconds since 1970.",
            |s| s.watermark.and_then(watermark_seconds),
        ),
    ];
    let statuses: Vec<(&&JobEntry, JobStatus)> = jobs.iter().filter_map(|job| Some((job, job.status()?))).collect();
    for (name, kind, help, value) in figures {
        let samples = statuses.iter().filter_map(|(job, status)| Some((labels(job), value(status)?)));
        family(text, name, kind, help, &samples.collect());
    }
}

/// None for the watermark at the end of all input.
fn watermark_seconds(watermark: Watermark) -> Option<f64> {
    (watermark != Watermark::MAX).then(|| watermark.0.0 as f64 / 1e6)
}

fn operator_metrics(jobs: &[&JobEntry], text: &mut String) {
    let (mut rows_in, mut rows_out) = (Samples::new(), Samples::new());
    for job in jobs {
        for (position, node) in job.status().map(|status| status.nodes).unwrap_or_default().into_iter().enumerate() {
            let mut labels = labels(job);
            labels.push(("operator", format!("{position}: {}", node.name)));
            rows_in.push((labels.clone(), node.rows_in as f64));
            rows_out.push((labels, node.rows_out as f64));
        }
    }
    family(text, "eddyline_operator_rows_in_total", "counter", "Rows that came in.", &rows_in);
    family(text, "eddyline_operator_rows_out_total", "counter", "Rows that went out.", &rows_out);
}

fn split_metrics(jobs: &[&JobEntry], text: &mut String) {
    let truth = |value: bool| Some(f64::from(u8::from(value)));
    let figures: [(&str, &str, &dyn Fn(&Lag) -> Option<f64>); 6] = [
        ("eddyline_split_position", "Where reading goes on.", &|lag| lag.position.map(|n| n as f64)),
        ("eddyline_split_end", "Where the split ends at present.", &|lag| lag.end.map(|n| n as f64)),
        ("eddyline_split_lag_rows", "Rows that wait in the external system.", &|lag| lag.lag_rows.map(|n| n as f64)),
        ("eddyline_split_watermark_seconds", "The split's own watermark, in seconds since 1970.", &|lag| {
            lag.watermark.and_then(watermark_seconds)
        }),
        ("eddyline_split_holds_watermark", "1 when the job's watermark could be later but for this split.", &|lag| {
            truth(lag.holds_watermark)
        }),
        ("eddyline_split_idle", "1 when the split no longer holds the watermark back.", &|lag| {
            truth(lag.reading == Reading::Idle)
        }),
    ];
    let all: Vec<(Labels, Lag)> =
        jobs.iter().flat_map(|job| facts::lags(job).into_iter().map(|lag| (split_labels(job, &lag), lag))).collect();
    for (name, help, value) in figures {
        let samples = all.iter().filter_map(|(labels, lag)| Some((labels.clone(), value(lag)?)));
        family(text, name, "gauge", help, &samples.collect());
    }
}

/// Two sources of a job can read the same table; their nodes tell them apart.
fn split_labels(job: &JobEntry, lag: &Lag) -> Labels {
    let mut labels = labels(job);
    let own = [("table", lag.table.clone()), ("split", lag.partition.clone()), ("node", lag.node.to_string())];
    labels.extend(own);
    labels
}

fn checkpoint_metrics(jobs: &[&JobEntry], text: &mut String) {
    let figures: [(&str, &str, &str, fn(&JobStatus) -> Option<f64>); 5] = [
        ("eddyline_checkpoints_completed_total", "counter", "Checkpoints that are durable.", |s| {
            Some(s.completed_checkpoints as f64)
        }),
        ("eddyline_checkpoints_failed_total", "counter", "Checkpoints that were given up.", |s| {
            Some(s.failed_checkpoints as f64)
        }),
        (
            "eddyline_checkpoint_duration_seconds",
            "gauge",
            "From the barrier to the durable manifest, of the newest checkpoint.",
            |s| s.last_checkpoint.as_ref().map(|last| last.duration.as_secs_f64()),
        ),
        ("eddyline_checkpoint_bytes", "gauge", "Size of the newest checkpoint's files.", |s| {
            s.last_checkpoint.as_ref().map(|last| last.bytes as f64)
        }),
        (
            "eddyline_checkpoint_completed_seconds",
            "gauge",
            "When the newest checkpoint became durable, in seconds since 1970.",
            |s| s.last_checkpoint.as_ref().map(|last| seconds(last.completed_at)),
        ),
    ];
    let statuses: Vec<(Labels, JobStatus)> = jobs.iter().filter_map(|job| Some((labels(job), job.status()?))).collect();
    for (name, kind, help, value) in figures {
        let samples = statuses.iter().filter_map(|(labels, status)| Some((labels.clone(), value(status)?)));
        family(text, name, kind, help, &samples.collect());
    }
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn labels(job: &JobEntry) -> Labels {
    vec![("job", job.name.clone()), ("job_id", job.id.clone())]
}

fn family(text: &mut String, name: &str, kind: &str, help: &str, samples: &Samples) {
    if samples.is_empty() {
        return;
    }
    // Writing to a string does not fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    for (labels, value) in samples {
        let pairs: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escape(value))).collect();
        let pairs = if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) };
        let _ = writeln!(text, "{name}{pairs} {value}");
    }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_empty_families_left_out() {
        let mut text = String::new();
        family(&mut text, "eddyline_x", "gauge", "Help.", &vec![(vec![("job", "a\"b\\c\nd".into())], 1.5)]);
        family(&mut text, "eddyline_y", "gauge", "Help.", &vec![]);
        family(&mut text, "eddyline_z", "gauge", "Help.", &vec![(vec![], 2.0)]);
        let x = "# HELP eddyline_x Help.\n# TYPE eddyline_x gauge\neddyline_x{job=\"a\\\"b\\\\c\\nd\"} 1.5\n";
        assert_eq!(text, format!("{x}# HELP eddyline_z Help.\n# TYPE eddyline_z gauge\neddyline_z 2\n"));
    }

    #[test]
    fn the_process_knows_its_memory() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }
}
