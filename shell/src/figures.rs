//! What runs, in one line of figures: rows and their pace, how far behind it is, watermark, checkpoint.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use eddyline_engine::runtime::{JobState, JobStatus};
use eddyline_engine::time::Watermark;

/// How often the pace is worked out.
const REFRESH: Duration = Duration::from_millis(500);

/// Works out the pace from figures that only grow.
pub struct Figures {
    since: Instant,
    rows: u64,
    /// Rows per second; None until there is something to tell it from.
    pace: Option<f64>,
}

impl Figures {
    /// Figures of something that begins now.
    pub fn new() -> Self {
        Figures { since: Instant::now(), rows: 0, pace: None }
    }

    /// True when there is something new to say.
    pub fn due(&self) -> bool {
        self.since.elapsed() >= REFRESH
    }

    /// The line for jobs that run here.
    pub fn of_jobs(&mut self, statuses: &[JobStatus]) -> String {
        let rows = statuses.iter().map(|s| s.rows_read).sum();
        let mut parts = vec![format!("{rows} rows read")];
        parts.extend(self.pace(rows));
        if let Some(restarting) = recovery(statuses) {
            parts.insert(0, restarting);
        }
        parts.extend(statuses.iter().map(|s| s.lag_rows).sum::<Option<u64>>().map(|lag| self.lag(lag)));
        parts.extend(statuses.iter().filter_map(|s| s.watermark).min().and_then(watermark));
        if let Some(checkpoint) = statuses.iter().filter_map(|s| s.last_checkpoint.as_ref()).next_back() {
            let age = checkpoint.completed_at.elapsed().unwrap_or_default();
            parts.push(format!("checkpoint {} {} ago", checkpoint.epoch.0, duration(age)));
        }
        parts.join(", ")
    }

    /// The line for a query elsewhere: the rows that have come, and what is known of those that it reads.
    #[cfg(feature = "server")]
    pub fn of_rows(&mut self, rows: u64, lag_rows: Option<u64>, newest: Option<Watermark>) -> String {
        let mut parts = vec![format!("{rows} rows received")];
        parts.extend(self.pace(rows));
        // The pace of a result says nothing about that of its input.
        parts.extend(lag_rows.map(|lag| format!("lag {lag}")));
        parts.extend(newest.and_then(watermark));
        parts.join(", ")
    }

    fn lag(&self, lag: u64) -> String {
        match self.pace.filter(|pace| *pace > 0.0 && lag > 0) {
            Some(pace) => {
                let wait = Duration::try_from_secs_f64(lag as f64 / pace).unwrap_or(Duration::MAX);
                format!("lag {lag} ({})", duration(wait))
            }
            None => format!("lag {lag}"),
        }
    }

    fn pace(&mut self, rows: u64) -> Option<String> {
        let elapsed = self.since.elapsed();
        if elapsed >= REFRESH {
            self.pace = Some(rows.saturating_sub(self.rows) as f64 / elapsed.as_secs_f64());
            (self.since, self.rows) = (Instant::now(), rows);
        }
        self.pace.map(|pace| format!("{pace:.0} rows/s"))
    }
}

/// What a job does that does not simply run.
fn recovery(statuses: &[JobStatus]) -> Option<String> {
    if statuses.iter().any(|s| s.state == JobState::Restarting) {
        return Some("restarting".to_string());
    }
    if statuses.iter().any(|s| s.state == JobState::Stopping) {
        return Some("stopping".to_string());
    }
    let resumed = statuses.iter().find(|s| s.restored_from.is_some() && s.completed_checkpoints == 0)?;
    let from = resumed.restored_from.as_ref()?;
    let doing = match (resumed.rows_read, resumed.lag_rows) {
        (0, _) => "restoring state of",
        (_, Some(1..)) => "catching up since",
        _ => "resumed from",
    };
    Some(format!("{doing} checkpoint {}", from.epoch.0))
}

/// `watermark 12:00:03 (2 s behind)`; nothing at the end of all input.
fn watermark(watermark: Watermark) -> Option<String> {
    if watermark == Watermark::MAX || watermark == Watermark::MIN {
        return None;
    }
    let micros = watermark.0.0;
    let seconds = micros.div_euclid(1_000_000);
    let of_day = seconds.rem_euclid(86_400);
    let (year, month, day) = eddyline_engine::time::civil_from_days(seconds.div_euclid(86_400));
    let clock = format!("{:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let behind = now.checked_sub(Duration::from_micros(u64::try_from(micros).ok()?));
    let behind = behind.map(|b| format!(" ({} behind)", duration(b))).unwrap_or_default();
    Some(format!("watermark {year:04}-{month:02}-{day:02} {clock}{behind}"))
}

/// `3 s`, `2 min`, `5 h`, `40 d`.
fn duration(duration: Duration) -> String {
    match duration.as_secs() {
        s @ 0..120 => format!("{s} s"),
        s @ 120..7_200 => format!("{} min", s / 60),
        s @ 7_200..172_800 => format!("{} h", s / 3_600),
        s => format!("{} d", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use eddyline_engine::runtime::RestoredFrom;
    use eddyline_engine::time::{Epoch, EventTime};

    use super::*;

    #[test]
    fn durations_are_in_the_unit_that_fits() {
        let texts = [1, 119, 120, 7_200, 200_000].map(|s| duration(Duration::from_secs(s)));
        assert_eq!(texts, ["1 s", "119 s", "2 min", "2 h", "2 d"]);
    }

    #[test]
    fn recovery_is_told_until_the_first_checkpoint() {
        let from = RestoredFrom { epoch: Epoch(7), taken_at: SystemTime::UNIX_EPOCH, path: "chk-7".into() };
        let told = |state, rows_read, lag_rows, completed_checkpoints| {
            let restored_from = Some(from.clone());
            let status = JobStatus { state, rows_read, lag_rows, completed_checkpoints, restored_from, ..fresh() };
            Figures::new().of_jobs(&[fresh(), status]).split(',').next().unwrap_or_default().to_string()
        };
        assert_eq!(told(JobState::Running, 0, None, 0), "restoring state of checkpoint 7");
        assert_eq!(told(JobState::Running, 5, Some(40), 0), "catching up since checkpoint 7");
        assert_eq!(told(JobState::Running, 5, Some(0), 0), "resumed from checkpoint 7");
        assert_eq!(told(JobState::Running, 5, None, 0), "resumed from checkpoint 7");
        assert_eq!(told(JobState::Running, 5, None, 1), "5 rows read");
        assert_eq!(told(JobState::Restarting, 5, None, 0), "restarting");
        assert_eq!(told(JobState::Stopping, 5, None, 1), "stopping");
        assert_eq!(Figures::new().of_jobs(&[fresh()]), "0 rows read");
    }

    /// A job that began without a checkpoint and has done nothing yet.
    fn fresh() -> JobStatus {
        JobStatus {
            state: JobState::Running,
            restarts: 0,
            rows_read: 0,
            rows_written: 0,
            lag_rows: None,
            late_rows: 0,
            skipped_messages: 0,
            watermark: None,
            last_checkpoint: None,
            completed_checkpoints: 0,
            failed_checkpoints: 0,
            last_error: None,
            last_error_at: None,
            restored_from: None,
            nodes: Vec::new(),
        }
    }

    #[test]
    fn the_end_of_input_is_no_watermark_to_show() {
        assert_eq!(watermark(Watermark::MAX), None);
        let shown = watermark(Watermark(EventTime(1_602_317_700_000_000))).unwrap_or_default();
        assert!(shown.starts_with("watermark 2020-10-10 08:15:00 (") && shown.ends_with(" d behind)"), "{shown}");
    }
}
