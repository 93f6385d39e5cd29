//! The examples against a real broker: what they print must add up to what the test computes itself.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use eddyline_tests::changelog::Table;
use eddyline_tests::program::{run, workspace};
use eddyline_tests::services::kafka;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};

const MESSAGES: u64 = 600;

/// Writes `messages` to a new topic of `partitions` and runs an example over it.
fn run_example(name: &str, partitions: i32, messages: Vec<String>, more: &[&str]) -> Table {
    let topic = kafka::shared().fresh_topic("scenario", partitions);
    kafka::shared().produce_lines(&topic, partitions as usize, messages);
    let file = workspace().join("examples").join(name).to_string_lossy().into_owned();
    let (topic, brokers) = (format!("-Dtopic={topic}"), format!("-Dbrokers={}", kafka::shared().bootstrap()));
    let mut arguments = vec!["run", "--output", "jsonl", "-Dbounded=latest-offset", &topic, &brokers];
    arguments.extend_from_slice(more);
    arguments.push(&file);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let finished = run(folder.path(), &arguments);
    assert!(!finished.stderr.contains("WARNING"), "nothing is late or left out:\n{}", finished.stderr);
    Table::of(&finished)
}

#[test]
fn balances_are_the_sums_of_all_transactions() {
    let cents = |i: u64| (i * 7919 % 20_001) as i64 - 10_000;
    let mut balances: BTreeMap<u64, i64> = BTreeMap::new();
    let messages = (0..MESSAGES).map(|i| {
        *balances.entry(i % 7).or_default() += cents(i);
        let amount = cents(i) as f64 / 100.0;
        format!(r#"{{"user_id": "u{}", "amount": {amount:.2}, "ts": "2026-01-01 00:00:{:02}"}}"#, i % 7, i % 60)
    });
    let messages = messages.collect();
    let table = run_example("balance.sql", 3, messages, &[]);
    let decimal = |cents: i64| {
        let sign = if cents < 0 { "-" } else { "" };
        format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100)
    };
    assert_eq!(table, Table::from(balances.iter().map(|(user, sum)| format!(r#"["u{user}","{}"]"#, decimal(*sum)))));
}

#[test]
fn activity_counts_each_kind_of_event_per_user() {
    let events = ["login", "purchase", "logout", "login"];
    let mut counts: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    let messages = (0..MESSAGES).map(|i| {
        let (user, event) = (i * i % 11, events[(i * 31 % 4) as usize]);
        let entry = counts.entry(user).or_default();
        entry.0 += u64::from(event == "login");
        entry.1 += u64::from(event == "purchase");
        format!(r#"{{"user_id": "u{user}", "event": "{event}"}}"#)
    });
    let messages = messages.collect();
    let table = run_example("activity.sql", 4, messages, &[]);
    let expected = counts.iter().map(|(user, (logins, purchases))| format!(r#"["u{user}",{logins},{purchases}]"#));
    assert_eq!(table, Table::from(expected));
}

/// Where window bounds fall depends on the clock; over all windows every reading counts once.
#[test]
fn sensor_windows_hold_every_reading_once() {
    let reading = |i: u64| (i * 37 % 400) as f64 / 4.0;
    let mut totals: HashMap<String, (f64, u64)> = HashMap::new();
    let messages = (0..MESSAGES).map(|i| {
        let entry = totals.entry(format!("s{}", i % 5)).or_default();
        entry.0 += reading(i);
        entry.1 += 1;
        format!(r#"{{"sensor": "s{}", "reading": {}}}"#, i % 5, reading(i))
    });
    let messages = messages.collect();
    let table = run_example("sensors.sql", 2, messages, &["-Dwindow=1"]);
    let mut seen: HashMap<String, (f64, u64)> = HashMap::new();
    for row in table.rows() {
        let (average, count) = (row[1].as_f64().expect("an average"), row[2].as_u64().expect("a number"));
        let entry = seen.entry(row[0].as_str().expect("a name").to_string()).or_default();
        entry.0 += average * count as f64;
        entry.1 += count;
    }
    assert_eq!(seen.len(), totals.len(), "{seen:?}");
    for (sensor, (sum, count)) in &totals {
        let (seen_sum, seen_count) = seen[sensor];
        assert_eq!(seen_count, *count, "readings of {sensor}");
        assert!((seen_sum - sum).abs() < 1e-6, "{sensor}: {seen_sum} instead of {sum}");
    }
}

#[test]
fn sliding_windows_count_every_event_in_each_of_their_four() {
    let millis = |i: u64| i * 130;
    let mut windows: BTreeMap<i64, u64> = BTreeMap::new();
    let messages = (0..MESSAGES).map(|i| {
        let second = (millis(i) / 1000) as i64;
        (second - 3..=second).for_each(|start| *windows.entry(start).or_default() += 1);
        format!(r#"{{"id": {i}, "ts": "2026-03-01 12:{}"}}"#, clock(millis(i) as i64))
    });
    let messages = messages.collect();
    let table = run_example("sliding.sql", 2, messages, &[]);
    let time = |second: i64| {
        let hour = if second < 0 { 11 } else { 12 };
        format!("2026-03-01 {hour}:{}", clock(second.rem_euclid(3600) * 1000))
    };
    let expected = windows.iter().map(|(start, n)| format!(r#"["{}","{}",{n}]"#, time(*start), time(start + 4)));
    assert_eq!(table, Table::from(expected));
}

/// Minutes, seconds and milliseconds of an hour.
fn clock(millis: i64) -> String {
    format!("{:02}:{:02}.{:03}", millis / 60_000, millis / 1000 % 60, millis % 1000)
}

#[test]
fn the_quickstart_ends_by_itself_with_the_right_counts_in_its_database() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = workspace().join("examples/quickstart.sql").to_string_lossy().into_owned();
    let finished = run(folder.path(), &["run", &file]);
    assert!(finished.success, "{finished:?}");
    let lines = [
        "the stream runs and the table stands",
        "on one side the stream",
        "on the other side the table",
        "between them runs the eddy line",
    ];
    let mut expected: HashMap<String, i64> = HashMap::new();
    lines.iter().flat_map(|line| line.split(' ')).for_each(|word| *expected.entry(word.into()).or_default() += 1);
    assert_eq!(read_counts(&folder.path().join("wc.db")), expected);
    // The result is on the screen as well.
    for (word, count) in &expected {
        let is_row = |line: &str| line.split('|').map(str::trim).eq(["", word, &count.to_string(), ""]);
        assert!(finished.stdout.lines().any(is_row), "{word} {count} is missing in:\n{}", finished.stdout);
    }
}

fn read_counts(database: &Path) -> HashMap<String, i64> {
    let url = format!("sqlite:{}", database.display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut connection = SqliteConnection::connect(&url).await.expect("the file is a SQLite database");
        let rows =
            sqlx::query("SELECT word, cnt FROM wc").fetch_all(&mut connection).await.expect("the table is there");
        rows.iter().map(|row| (row.get::<String, _>(0), row.get::<i64, _>(1))).collect()
    })
}
