//! Figures of all jobs in Prometheus' text format. The table of names in `docs/http.md` is this one.

use std::fmt::Write;
use std::time::UNIX_EPOCH;

use eddyline_engine::runtime::{JobHandle, JobState};

/// One line of a family: labels and value.
type Sample = (Vec<(&'static str, String)>, f64);

/// All metrics.
pub fn render(jobs: &[JobHandle]) -> String {
    let mut text = String::new();
    job_metrics(jobs, &mut text);
    operator_metrics(jobs, &mut text);
    split_metrics(jobs, &mut text);
    checkpoint_metrics(jobs, &mut text);
    text
}

fn job_metrics(jobs: &[JobHandle], text: &mut String) {
    let per_job = |value: &dyn Fn(&JobHandle) -> Option<f64>| -> Vec<Sample> {
        jobs.iter().filter_map(|job| Some((labels(job), value(job)?))).collect()
    };
    let up = |job: &JobHandle| Some(f64::from(u8::from(job.status().state == JobState::Running)));
    family(text, "eddyline_job_up", "gauge", "1 while the job runs.", &per_job(&up));
    let counters: &[(&str, &str, fn(&JobHandle) -> u64)] = &[
        ("eddyline_job_restarts_total", "Restarts after failures.", |j| j.status().restarts),
        ("eddyline_job_rows_read_total", "Rows read by all sources.", |j| j.status().rows_read),
        ("eddyline_job_rows_written_total", "Rows given to all sinks.", |j| j.status().rows_written),
        ("eddyline_late_rows_total", "Rows dropped because they were behind the watermark.", |j| j.status().late_rows),
        ("eddyline_skipped_messages_total", "Messages that could not be read.", |j| j.status().skipped_messages),
    ];
    for (name, help, value) in counters {
        family(text, name, "counter", help, &per_job(&|job| Some(value(job) as f64)));
    }
    let watermark = |job: &JobHandle| job.status().watermark.map(|w| w.0.0 as f64 / 1e6);
    let help = "The smallest watermark of all sources, in seconds since 1970.";
    family(text, "eddyline_job_watermark_seconds", "gauge", help, &per_job(&watermark));
}

fn operator_metrics(jobs: &[JobHandle], text: &mut String) {
    let mut rows_in = Vec::new();
    let mut rows_out = Vec::new();
    for job in jobs {
        for (position, node) in job.status().nodes.iter().enumerate() {
            let mut labels = labels(job);
            labels.push(("operator", format!("{position}: {}", node.name)));
            rows_in.push((labels.clone(), node.rows_in as f64));
            rows_out.push((labels, node.rows_out as f64));
        }
    }
    family(text, "eddyline_operator_rows_in_total", "counter", "Rows that came in.", &rows_in);
    family(text, "eddyline_operator_rows_out_total", "counter", "Rows that went out.", &rows_out);
}

fn split_metrics(jobs: &[JobHandle], text: &mut String) {
    let (mut lags, mut watermarks, mut idle) = (Vec::new(), Vec::new(), Vec::new());
    for job in jobs {
        for split in job.splits() {
            let mut labels = labels(job);
            labels.push(("split", split.split.clone()));
            lags.extend(split.lag_rows.map(|lag| (labels.clone(), lag as f64)));
            watermarks.extend(split.watermark.map(|w| (labels.clone(), w.0.0 as f64 / 1e6)));
            idle.push((labels, f64::from(u8::from(split.idle))));
        }
    }
    family(text, "eddyline_split_lag_rows", "gauge", "Rows that wait in the external system.", &lags);
    let help = "The split's own watermark, in seconds since 1970.";
    family(text, "eddyline_split_watermark_seconds", "gauge", help, &watermarks);
    family(text, "eddyline_split_idle", "gauge", "1 when the split no longer holds the watermark back.", &idle);
}

fn checkpoint_metrics(jobs: &[JobHandle], text: &mut String) {
    let (mut completed, mut failed, mut duration, mut bytes, mut age) = (vec![], vec![], vec![], vec![], vec![]);
    for job in jobs {
        let status = job.status();
        completed.push((labels(job), status.completed_checkpoints as f64));
        failed.push((labels(job), status.failed_checkpoints as f64));
        if let Some(last) = &status.last_checkpoint {
            duration.push((labels(job), last.duration.as_secs_f64()));
            bytes.push((labels(job), last.bytes as f64));
            let at = last.completed_at.duration_since(UNIX_EPOCH).unwrap_or_default();
            age.push((labels(job), at.as_secs_f64()));
        }
    }
    family(text, "eddyline_checkpoints_completed_total", "counter", "Checkpoints that are durable.", &completed);
    family(text, "eddyline_checkpoints_failed_total", "counter", "Checkpoints that were given up.", &failed);
    let help = "From the barrier to the durable manifest, of the newest checkpoint.";
    family(text, "eddyline_checkpoint_duration_seconds", "gauge", help, &duration);
    family(text, "eddyline_checkpoint_bytes", "gauge", "Size of the newest checkpoint's files.", &bytes);
    let help = "When the newest checkpoint became durable, in seconds since 1970.";
    family(text, "eddyline_checkpoint_completed_seconds", "gauge", help, &age);
}

fn labels(job: &JobHandle) -> Vec<(&'static str, String)> {
    vec![("job", job.name().to_string()), ("job_id", job.id().to_string())]
}

fn family(text: &mut String, name: &str, kind: &str, help: &str, samples: &[Sample]) {
    if samples.is_empty() {
        return;
    }
    // Writing to a string does not fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    for (labels, value) in samples {
        let labels: Vec<String> =
            labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escape(value))).collect();
        let _ = writeln!(text, "{name}{{{}}} {value}", labels.join(","));
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
        family(&mut text, "eddyline_x", "gauge", "Help.", &[(vec![("job", "a\"b\\c\nd".into())], 1.5)]);
        family(&mut text, "eddyline_y", "gauge", "Help.", &[]);
        assert_eq!(text, "# HELP eddyline_x Help.\n# TYPE eddyline_x gauge\neddyline_x{job=\"a\\\"b\\\\c\\nd\"} 1.5\n");
    }
}
