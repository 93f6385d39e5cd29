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
        if let Some(lag) = statuses.iter().map(|s| s.lag_rows).sum::<Option<u64>>() {
            parts.push(match self.pace.filter(|pace| *pace > 0.0 && lag > 0) {
                Some(pace) => format!(
                    "lag {lag} ({})",
                    duration(Duration::try_from_secs_f64(lag as f64 / pace).unwrap_or(Duration::MAX))
                ),
                None => format!("lag {lag}"),
            });
        }
        parts.extend(statuses.iter().filter_map(|s| s.watermark).min().and_then(watermark));
        if let Some(checkpoint) = statuses.iter().filter_map(|s| s.last_checkpoint.as_ref()).next_back() {
            let age = checkpoint.completed_at.elapsed().unwrap_or_default();
            parts.push(format!("checkpoint {} {} ago", checkpoint.epoch.0, duration(age)));
        }
        parts.join(", ")
    }

    /// The line for a query elsewhere, of which only the rows are known that have come.
    pub fn of_rows(&mut self, rows: u64) -> String {
        let received = format!("{rows} rows received");
        std::iter::once(received).chain(self.pace(rows)).collect::<Vec<_>>().join(", ")
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
        (_, Some(0)) => "resumed from",
        _ => "catching up since",
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
    use eddyline_engine::time::EventTime;

    use super::*;

    #[test]
    fn durations_are_in_the_unit_that_fits() {
        let texts = [1, 119, 120, 7_200, 200_000].map(|s| duration(Duration::from_secs(s)));
        assert_eq!(texts, ["1 s", "119 s", "2 min", "2 h", "2 d"]);
    }

    #[test]
    fn the_end_of_input_is_no_watermark_to_show() {
        assert_eq!(watermark(Watermark::MAX), None);
        let shown = watermark(Watermark(EventTime(1_602_317_700_000_000))).unwrap_or_default();
        assert!(shown.starts_with("watermark 2020-10-10 08:15:00 (") && shown.ends_with(" d behind)"), "{shown}");
    }
}
