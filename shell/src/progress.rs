//! What a person sees while jobs run: events as lines, and on a terminal one line of figures that is kept up to date.

use std::io::{self, IsTerminal, Write};
use std::time::SystemTime;

use eddyline_engine::runtime::{JobEvent, JobHandle, JobSummary};

use crate::figures::Figures;

/// Shows events and figures of jobs on standard error.
pub struct Progress<'a> {
    jobs: &'a [JobHandle],
    line: bool,
    shown: bool,
    figures: Figures,
}

impl<'a> Progress<'a> {
    /// Events always, figures on a terminal.
    pub fn new(jobs: &'a [JobHandle]) -> Self {
        let line = io::stderr().is_terminal();
        Progress { jobs, line, shown: false, figures: Figures::new() }
    }

    /// Prints what has happened since the last call, and the figures when they are due.
    pub fn show(&mut self) {
        self.show_events();
        if self.line && self.figures.due() {
            // Without wrapping, so that a narrow terminal shows one line, too.
            let statuses: Vec<_> = self.jobs.iter().map(JobHandle::status).collect();
            let text = self.figures.of_jobs(&statuses);
            let _ = write!(io::stderr(), "\r\x1b[K\x1b[?7l{text}\x1b[?7h");
            let _ = io::stderr().flush();
            self.shown = true;
        }
    }

    /// Prints events.
    pub fn show_events(&mut self) {
        for job in self.jobs {
            for event in job.drain_events() {
                if let Some(text) = describe(job.name(), &event) {
                    self.clear();
                    tell!("{text}");
                }
            }
        }
    }

    /// Says what was left out and leaves the terminal in order.
    pub fn finish(&mut self) {
        self.show_events();
        self.clear();
        for job in self.jobs {
            let status = job.status();
            for text in left_out(status.skipped_messages, status.late_rows) {
                tell!("WARNING: {}: {text}", job.name());
            }
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// How a job has ended: a word for it, and what becomes of one that was stopped before its end.
pub fn ending(summary: &JobSummary) -> (String, String) {
    if !summary.stopped {
        return (format!("{:?}", summary.state).to_lowercase(), String::new());
    }
    let kept = summary.last_checkpoint.as_ref().filter(|checkpoint| checkpoint.path.is_some());
    let next = match kept {
        Some(checkpoint) => format!("; next time it goes on from checkpoint {}", checkpoint.epoch.0),
        None => "; next time it begins anew: it keeps no checkpoints".to_string(),
    };
    ("stopped".to_string(), next)
}

/// Input that is not in the result, in words.
pub fn left_out(skipped_messages: u64, late_rows: u64) -> Vec<String> {
    let count = |n: u64, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let skipped =
        (skipped_messages > 0).then(|| format!("skipped {} that cannot be read", count(skipped_messages, "message")));
    let late = (late_rows > 0).then(|| format!("dropped {} behind the watermark", count(late_rows, "late row")));
    skipped.into_iter().chain(late).collect()
}

/// An event in words; None for what need not be said.
pub fn describe(job: &str, event: &JobEvent) -> Option<String> {
    match event {
        JobEvent::CheckpointCompleted(_) | JobEvent::Ended(_) => None,
        JobEvent::Resumed(from) => {
            let age = SystemTime::now().duration_since(from.taken_at).unwrap_or_default().as_secs();
            Some(format!("resuming {job} from checkpoint {}, taken {age} s ago", from.epoch.0))
        }
        JobEvent::SkippedDamaged { text } => Some(format!("WARNING: {job}: skipped a damaged checkpoint: {text}")),
        JobEvent::Guarantee { sink, guarantee: "none" } => Some(format!("{job}: sink {sink} gives no guarantee")),
        JobEvent::Guarantee { sink, guarantee } => Some(format!("{job}: sink {sink} is {guarantee}")),
        JobEvent::CheckpointFailed { epoch, reason } => {
            Some(format!("WARNING: {job}: checkpoint {} failed: {reason}; the job goes on", epoch.0))
        }
        JobEvent::Restarting { error, delay } => {
            Some(format!("WARNING: {job}: {error}; restarting in {:.1} s", delay.as_secs_f64()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guarantee_is_told_whatever_the_sink_is_called() {
        let event = JobEvent::Guarantee { sink: "Sink(table=[collected_orders])".to_string(), guarantee: "none" };
        let told = "job: sink Sink(table=[collected_orders]) gives no guarantee";
        assert_eq!(describe("job", &event).as_deref(), Some(told));
    }
}
