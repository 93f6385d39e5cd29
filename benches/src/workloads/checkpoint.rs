//! Checkpoints of many keys, while rows come in and when all are read, and a restart from the last one.
//!
//! The job counts rows per key. Every key comes once, then all of them three times more: checkpoints are counted from
//! the first one that holds every key. The restart reads one more row and must print an update, not an insert.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use eddyline_tests::services::kafka;

use super::{round_folder, settings};
use crate::Setup;
use crate::child::Measured;
use crate::report::Table;
use crate::topics::{self, PARTITIONS};

const JOB: &str = "keys";
const INTERVAL: &str = "500ms";
/// How often every key comes.
const REPEATS: usize = 4;
const LIMIT: Duration = Duration::from_secs(120);

/// One complete checkpoint.
struct Checkpoint {
    duration: Duration,
    bytes: u64,
    /// Entries of state in it.
    keys: usize,
    /// Messages that were read before it.
    read: usize,
}

/// Measures checkpoints, then restarts.
pub fn run(setup: &Setup) {
    let rows = setup.keys * REPEATS;
    let topic = topics::keys(rows, setup.keys);
    let folder = round_folder();
    let sql = |sink: &str| job(setup, folder.path(), &topic, sink);
    let mut program = Measured::start(&setup.binary, folder.path(), &sql("'connector' = 'blackhole'"));
    let checkpoints = collect(setup, folder.path(), &mut program, rows);
    let usage = program.stop();
    let (idle, busy): (Vec<_>, Vec<_>) =
        checkpoints.into_iter().filter(|c| c.keys >= setup.keys).partition(|c| c.read >= rows);
    print(&format!("checkpoints of {} keys while rows come in", setup.keys), &busy);
    print(&format!("checkpoints of {} keys, all rows read", setup.keys), &idle);
    println!("whole run: CPU {:.1?}, peak RSS {} MB", usage.cpu, usage.peak_rss_bytes / 1_000_000);

    let mut table = Table::new(&format!("restart with {} keys to the first new row", setup.keys), &["first row ms"]);
    for _ in 0..setup.rounds {
        kafka::shared().produce_lines(&topic, PARTITIONS, ["key-0"]);
        let mut program = Measured::start(&setup.binary, folder.path(), &sql("'connector' = 'print'"));
        let (after, row) = program.first_line();
        assert!(row.contains("key-0") && !row.contains("+I"), "an update of key-0, not {row}");
        table.round(vec![after.as_secs_f64() * 1e3]);
    }
    table.finish();
}

fn job(setup: &Setup, folder: &Path, topic: &str, sink: &str) -> String {
    format!(
        "{}CREATE TABLE key_lines (key STRING) WITH ('connector' = 'kafka', 'topic' = '{topic}',
  'properties.bootstrap.servers' = '{}', 'scan.startup.mode' = 'earliest-offset', 'format' = 'raw');
CREATE TABLE counts (key STRING, cnt BIGINT, PRIMARY KEY (key) NOT ENFORCED) WITH ({sink});
INSERT INTO counts SELECT key, COUNT(*) AS cnt FROM key_lines GROUP BY key;
",
        settings(setup, folder, JOB, INTERVAL),
        kafka::shared().bootstrap(),
    )
}

/// Reads along until enough checkpoints were taken after the last row.
fn collect(setup: &Setup, folder: &Path, program: &mut Measured, rows: usize) -> Vec<Checkpoint> {
    let deadline = Instant::now() + LIMIT;
    let mut checkpoints: Vec<Checkpoint> = Vec::new();
    let mut seen = 0;
    while checkpoints.iter().filter(|c| c.read >= rows).count() < setup.rounds {
        assert!(program.sample() && Instant::now() < deadline, "the job got stuck:\n{}", program.log_tail());
        let log = program.log();
        let complete: Vec<&str> = log.lines().filter(|line| line.contains("checkpoint complete")).collect();
        let new = complete[seen..].iter().filter_map(|line| inspect(setup, folder, line));
        checkpoints.extend(new);
        seen = complete.len();
        std::thread::park_timeout(Duration::from_millis(20));
    }
    checkpoints
}

/// From the log's line and what `eddyline checkpoints show` says; None when it is already deleted.
fn inspect(setup: &Setup, folder: &Path, line: &str) -> Option<Checkpoint> {
    let field = |name: &str| line.split_once(name).map(|(_, rest)| rest.split(' ').next().unwrap_or_default());
    let path = folder.join("checkpoints").join(JOB).join(format!("chk-{}", field("epoch=")?));
    let shown = Command::new(&setup.binary).args(["checkpoints", "show"]).arg(path).output().ok()?;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let numbers = |line_start: &str, before: &str| -> usize {
        let of = |line: &str| number_after(line.trim().strip_prefix(line_start)?, before);
        shown.lines().filter_map(of).sum()
    };
    Some(Checkpoint {
        duration: parse_duration(field("duration=")?)?,
        bytes: field("bytes=")?.parse().ok()?,
        keys: numbers("state ", ": "),
        read: numbers("split ", "\"offset\":"),
    })
}

fn number_after(text: &str, before: &str) -> Option<usize> {
    let (_, rest) = text.split_once(before)?;
    rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())].parse().ok()
}

/// As `Duration` prints itself: `1.5s`, `20.1ms`, `7µs`.
fn parse_duration(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| c.is_alphabetic() || c == 'µ')?;
    let (number, unit) = text.split_at(unit);
    let seconds = match unit {
        "s" => 1.0,
        "ms" => 1e-3,
        _ => 1e-6,
    };
    Some(Duration::from_secs_f64(number.parse::<f64>().ok()? * seconds))
}

fn print(title: &str, checkpoints: &[Checkpoint]) {
    if checkpoints.is_empty() {
        println!("\n## {title}: there was none");
        return;
    }
    let mut table = Table::new(title, &["total ms", "state MB", "keys", "rows read"]);
    for c in checkpoints {
        let (milliseconds, megabytes) = (c.duration.as_secs_f64() * 1e3, c.bytes as f64 / 1e6);
        table.round(vec![milliseconds, megabytes, c.keys as f64, c.read as f64]);
    }
    table.finish();
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{number_after, parse_duration};

    #[test]
    fn numbers_are_found_in_what_show_prints() {
        assert_eq!(number_after("count: 1000 rows, 7 bytes", ": "), Some(1000));
        assert_eq!(number_after(r#"keys-0: {"offset":42}"#, "\"offset\":"), Some(42));
        assert_eq!(number_after("keys-0: gone", ": "), None);
    }

    #[test]
    fn durations_are_read_as_they_are_printed() {
        for duration in [Duration::from_micros(7), Duration::from_micros(20_100), Duration::from_millis(1500)] {
            assert_eq!(parse_duration(&format!("{duration:?}")), Some(duration));
        }
    }
}
