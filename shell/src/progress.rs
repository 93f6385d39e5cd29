//! What a person sees while jobs run: events as lines, and on a terminal one line of figures that is kept up to date.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant, SystemTime};

use eddyline_engine::runtime::{JobEvent, JobHandle};

/// How often the line of figures changes.
const REFRESH: Duration = Duration::from_millis(500);

/// Shows events and figures of jobs on standard error.
pub struct Progress<'a> {
    jobs: &'a [JobHandle],
    line: bool,
    shown: bool,
    last: Instant,
    last_rows: u64,
}

impl<'a> Progress<'a> {
    /// Events always, figures on a terminal.
    pub fn new(jobs: &'a [JobHandle]) -> Self {
        let line = io::stderr().is_terminal();
        Progress { jobs, line, shown: false, last: Instant::now(), last_rows: 0 }
    }

    /// Events only.
    pub fn quiet(jobs: &'a [JobHandle]) -> Self {
        Progress { line: false, ..Progress::new(jobs) }
    }

    /// Prints what has happened since the last call, and the figures when they are due.
    pub fn show(&mut self) {
        self.show_events();
        if self.line && self.last.elapsed() >= REFRESH {
            // Without wrapping, so that a narrow terminal shows one line, too.
            let text = self.figures();
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

    fn figures(&mut self) -> String {
        let statuses: Vec<_> = self.jobs.iter().map(JobHandle::status).collect();
        let rows: u64 = statuses.iter().map(|s| s.rows_read).sum();
        let elapsed = self.last.elapsed().as_secs_f64();
        let rate = rows.saturating_sub(self.last_rows) as f64 / elapsed.max(0.001);
        self.last = Instant::now();
        self.last_rows = rows;
        let mut text = format!("{rows} rows read, {rate:.0} rows/s");
        let lag: Option<u64> = statuses.iter().map(|s| s.lag_rows).sum();
        if let Some(lag) = lag {
            text.push_str(&format!(", lag {lag}"));
        }
        if let Some(checkpoint) = statuses.iter().filter_map(|s| s.last_checkpoint.as_ref()).next_back() {
            let age = checkpoint.completed_at.elapsed().unwrap_or_default().as_secs();
            text.push_str(&format!(", checkpoint {} {age} s ago", checkpoint.epoch.0));
        }
        text
    }
}

/// Input that is not in the result, in words.
fn left_out(skipped_messages: u64, late_rows: u64) -> Vec<String> {
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
        JobEvent::Guarantee { sink, guarantee } => {
            (!sink.contains("collect")).then(|| format!("{job}: sink {sink} is {guarantee}"))
        }
        JobEvent::CheckpointFailed { epoch, reason } => {
            Some(format!("WARNING: {job}: checkpoint {} failed: {reason}; the job goes on", epoch.0))
        }
        JobEvent::Restarting { error, delay } => {
            Some(format!("WARNING: {job}: {error}; restarting in {:.1} s", delay.as_secs_f64()))
        }
    }
}
