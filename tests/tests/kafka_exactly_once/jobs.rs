//! Jobs of the whole program from Kafka to Kafka, exactly once, and the check that their output is that of a batch run.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use eddyline_tests::committed::Committed;
use eddyline_tests::program::Program;
use eddyline_tests::services::kafka::{Kafka, Record};
use rdkafka::Message;
use rdkafka::message::OwnedMessage;
use tempfile::TempDir;

const PARTITIONS: i32 = 4;
const LIMIT: Duration = Duration::from_secs(180);
/// Milliseconds of a window; row number n happens at millisecond n.
const WINDOW: i64 = 1000;
/// The row that closes all windows comes so much later.
const FAR: i64 = 1_000_000_000;

/// What a job computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Every row as it is.
    PassThrough,
    /// Rows per key and window.
    Windows,
    /// Rows per key, as a changelog.
    Counts,
    /// Rows per key, as upserts.
    Upserts,
}

/// A job with topics and a checkpoint folder of its own. Row n has the key n modulo the number of keys, and all rows of
/// a key are in one partition, so that the output must keep their order.
pub(super) struct Job<'a> {
    pub(super) kafka: &'a Kafka,
    pub(super) shape: Shape,
    output: String,
    folder: TempDir,
    input: String,
    keys: i64,
    parallelism: usize,
    interval: &'static str,
    transaction_timeout_ms: u32,
    produced: i64,
    reader: Committed,
    seen: Vec<OwnedMessage>,
}

impl<'a> Job<'a> {
    pub(super) fn new(kafka: &'a Kafka, shape: Shape, parallelism: usize) -> Self {
        let output = kafka.fresh_topic("once-out", PARTITIONS);
        Job {
            kafka,
            shape,
            folder: tempfile::tempdir().expect("a temporary folder"),
            input: kafka.fresh_topic("once-in", PARTITIONS),
            keys: 400,
            parallelism,
            interval: "1s",
            transaction_timeout_ms: 60_000,
            produced: 0,
            reader: Committed::new(kafka, &output, PARTITIONS),
            output,
            seen: Vec::new(),
        }
    }

    /// With frequent checkpoints and transactions that expire soon.
    pub(super) fn hasty(kafka: &'a Kafka, shape: Shape) -> Self {
        Job { interval: "200ms", transaction_timeout_ms: 2_000, ..Job::new(kafka, shape, 1) }
    }

    fn script(&self) -> String {
        let counts = "SELECT k, COUNT(*) FROM numbers GROUP BY k";
        let (columns, query) = match self.shape {
            Shape::PassThrough => ("id BIGINT, k BIGINT", "SELECT id, k FROM numbers".to_string()),
            Shape::Windows => (
                "w BIGINT, k BIGINT, n BIGINT",
                format!(
                    "SELECT MIN(id) / {WINDOW}, k, COUNT(*) FROM TABLE(TUMBLE(TABLE numbers, DESCRIPTOR(ts), \
                     INTERVAL '{}' SECOND)) GROUP BY window_start, window_end, k",
                    WINDOW / 1000
                ),
            ),
            Shape::Counts => ("k BIGINT, n BIGINT", counts.to_string()),
            Shape::Upserts => ("k BIGINT, n BIGINT, PRIMARY KEY (k) NOT ENFORCED", counts.to_string()),
        };
        let sink = match self.shape {
            Shape::Upserts => "'connector' = 'upsert-kafka', 'value.format' = 'csv'",
            Shape::Counts => "'connector' = 'kafka', 'key.fields' = 'k', 'value.format' = 'debezium-json'",
            _ => "'connector' = 'kafka', 'key.fields' = 'k', 'value.format' = 'csv'",
        };
        let brokers = self.kafka.bootstrap();
        format!(
            "SET 'pipeline.name' = 'once';
             SET 'parallelism.default' = '{parallelism}';
             SET 'execution.checkpointing.interval' = '{interval}';
             SET 'execution.checkpointing.dir' = 'checkpoints';
             CREATE TABLE numbers (id BIGINT, k BIGINT, ts AS TO_TIMESTAMP_LTZ(id, 3), WATERMARK FOR ts AS ts) WITH (
               'connector' = 'kafka', 'topic' = '{input}', 'properties.bootstrap.servers' = '{brokers}',
               'scan.startup.mode' = 'earliest-offset', 'format' = 'csv');
             CREATE TABLE result ({columns}) WITH (
               {sink}, 'key.format' = 'csv', 'topic' = '{output}', 'properties.bootstrap.servers' = '{brokers}',
               'properties.transaction.timeout.ms' = '{timeout}', 'sink.delivery-guarantee' = 'exactly-once');
             INSERT INTO result {query};",
            parallelism = self.parallelism,
            interval = self.interval,
            input = self.input,
            output = self.output,
            timeout = self.transaction_timeout_ms,
        )
    }

    pub(super) fn start(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Program {
        let file = self.folder.path().join("once.sql");
        std::fs::write(&file, self.script()).expect("the script can be written");
        let mut all = vec!["run".to_string()];
        all.extend(arguments.iter().map(|a| (*a).to_string()));
        all.push(file.to_string_lossy().into_owned());
        Program::start_with(self.folder.path(), &all, environment)
    }

    /// Folder of its checkpoints.
    pub(super) fn checkpoints(&self) -> PathBuf {
        self.folder.path().join("checkpoints/once")
    }

    pub(super) fn produce(&mut self, rows: i64) {
        let numbers = self.produced..self.produced + rows;
        self.write(numbers.map(|n| (n, n % self.keys)));
        self.produced += rows;
    }

    /// Writes the rows that close the last windows.
    pub(super) fn close(&mut self) {
        if self.shape == Shape::Windows {
            self.write((0..i64::from(PARTITIONS)).map(|partition| (FAR, partition)));
        }
    }

    fn write(&self, rows: impl Iterator<Item = (i64, i64)>) {
        let record = |(id, k): (i64, i64)| Record {
            partition: Some((k % i64::from(PARTITIONS)) as i32),
            value: Some(format!("{id},{k}").into_bytes()),
            ..Record::default()
        };
        self.kafka.produce(&self.input, rows.map(record));
    }

    /// Waits until everything that must become visible is, and checks it.
    pub(super) fn wait_until_whole(&mut self, program: &mut Program) {
        let deadline = Instant::now() + LIMIT;
        let mut seen = 0;
        while self.look() == seen || !self.is_complete() {
            seen = self.seen.len();
            program.assert_running();
            let shape = self.shape;
            assert!(Instant::now() < deadline, "{shape:?}: only {seen} messages are visible:\n{}", program.output());
        }
        self.check();
    }

    /// Takes in what has become visible.
    pub(super) fn look(&mut self) -> usize {
        self.seen.extend(self.reader.take(50_000, Duration::from_millis(200)));
        self.seen.len()
    }

    /// After the program has ended: nothing more has become visible, and no transaction is open.
    pub(super) fn check_end(&mut self) {
        assert!(!self.is_any_open(), "a transaction was left open");
        self.seen.extend(self.reader.take(1, Duration::from_secs(2)));
        self.check();
    }

    pub(super) fn is_any_open(&self) -> bool {
        self.reader.is_any_open(self.kafka)
    }

    fn is_complete(&self) -> bool {
        match self.shape {
            Shape::PassThrough => self.seen.len() as i64 >= self.produced,
            Shape::Windows => self.seen.len() >= self.windows().len(),
            Shape::Counts => self.counts() == self.expected_counts(),
            Shape::Upserts => self.upserts() == self.expected_counts(),
        }
    }

    /// The output must be that of a batch run.
    fn check(&self) {
        match self.shape {
            Shape::PassThrough => self.check_rows(),
            Shape::Windows => {
                let mut found: Vec<(i64, i64, i64)> = self.values().map(|v| (v[0], v[1], v[2])).collect();
                let count = found.len();
                found.sort_unstable();
                found.dedup();
                assert_eq!(found.len(), count, "windows came twice");
                let expected: Vec<(i64, i64, i64)> = self.windows().into_iter().map(|((w, k), n)| (w, k, n)).collect();
                assert!(found == expected, "{} windows with other counts than expected", found.len());
            }
            Shape::Counts => assert_eq!(self.counts(), self.expected_counts()),
            Shape::Upserts => assert_eq!(self.upserts(), self.expected_counts()),
        }
    }

    fn check_rows(&self) {
        let mut last: HashMap<i64, i64> = HashMap::new();
        let mut doubled_or_late = 0;
        for value in self.values() {
            let before = last.insert(value[1], value[0]);
            doubled_or_late += usize::from(before.is_some_and(|before| before >= value[0]));
        }
        assert_eq!(doubled_or_late, 0, "rows came twice, or before rows of their key that are older");
        assert_eq!(self.seen.len() as i64, self.produced, "rows were lost");
    }

    /// The numbers in the messages, in order.
    fn values(&self) -> impl Iterator<Item = Vec<i64>> {
        let text = |m: &OwnedMessage| String::from_utf8_lossy(m.payload().unwrap_or_default()).trim().to_string();
        let numbers = |text: String| text.split(',').map(|n| n.parse().expect("a number")).collect();
        self.seen.iter().map(text).map(numbers)
    }

    fn windows(&self) -> BTreeMap<(i64, i64), i64> {
        let mut windows = BTreeMap::new();
        (0..self.produced).for_each(|n| *windows.entry((n / WINDOW, n % self.keys)).or_default() += 1);
        windows
    }

    fn expected_counts(&self) -> BTreeMap<i64, i64> {
        let mut counts = BTreeMap::new();
        (0..self.produced).for_each(|n| *counts.entry(n % self.keys).or_default() += 1);
        counts
    }

    /// The table that the changes amount to. Each change must fit the ones before it.
    fn counts(&self) -> BTreeMap<i64, i64> {
        let mut counts = BTreeMap::new();
        for message in &self.seen {
            let change: serde_json::Value =
                serde_json::from_slice(message.payload().unwrap_or_default()).expect("JSON");
            let row = |side: &str| Some((change[side]["k"].as_i64()?, change[side]["n"].as_i64()?));
            if let Some((k, n)) = row("before") {
                assert_eq!(counts.remove(&k), Some(n), "a retraction of what is not there: {change}");
            }
            if let Some((k, n)) = row("after") {
                assert_eq!(counts.insert(k, n), None, "an insertion over what is there: {change}");
            }
        }
        counts
    }

    /// The newest count of each key. Counts of a key only grow: one that does not was written twice, or out of order.
    fn upserts(&self) -> BTreeMap<i64, i64> {
        let mut counts = BTreeMap::new();
        for value in self.values() {
            let before = counts.insert(value[0], value[1]);
            assert!(before < Some(value[1]), "the count of {} goes from {before:?} to {}", value[0], value[1]);
        }
        counts
    }
}
