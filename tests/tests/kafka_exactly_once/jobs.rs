//! Jobs of the whole program from Kafka to Kafka, exactly once, and the check that their output is that of a batch run.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use eddyline_tests::committed::Committed;
use eddyline_tests::program::Program;
use eddyline_tests::services::kafka::{Kafka, Record};
use tempfile::TempDir;

use super::results::{Results, Shape, WINDOW, key};

const PARTITIONS: i32 = 4;
const LIMIT: Duration = Duration::from_secs(180);
/// The rows that close all windows come so much later.
const FAR: i64 = 1_000_000_000;

/// A job with topics and a checkpoint folder of its own. All rows of a key are in one partition, so that the output must
/// keep their order.
pub(super) struct Job<'a> {
    pub(super) kafka: &'a Kafka,
    pub(super) shape: Shape,
    output: String,
    folder: TempDir,
    input: String,
    parallelism: usize,
    interval: &'static str,
    transaction_timeout: Duration,
    /// Rows that were written, and whether the last windows were closed after them.
    produced: i64,
    closed: bool,
    reader: Committed,
    results: Results,
}

impl<'a> Job<'a> {
    /// With a checkpoint every second.
    pub(super) fn new(kafka: &'a Kafka, shape: Shape, parallelism: usize) -> Self {
        let output = kafka.fresh_topic("once-out", PARTITIONS);
        Job {
            kafka,
            shape,
            folder: tempfile::tempdir().expect("a temporary folder"),
            input: kafka.fresh_topic("once-in", PARTITIONS),
            parallelism,
            interval: "1s",
            transaction_timeout: Duration::from_secs(60),
            produced: 0,
            closed: false,
            reader: Committed::new(kafka, &output, PARTITIONS),
            results: Results::new(shape),
            output,
        }
    }

    /// With frequent checkpoints and transactions that expire soon.
    pub(super) fn hasty(kafka: &'a Kafka, shape: Shape) -> Self {
        Job { interval: "200ms", ..Job::new(kafka, shape, 1) }.with_transactions_of(Duration::from_secs(2))
    }

    /// With transactions that expire after `timeout`.
    pub(super) fn with_transactions_of(self, timeout: Duration) -> Self {
        Job { transaction_timeout: timeout, ..self }
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
             SET 'table.exec.source.idle-timeout' = '0';
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
            timeout = self.transaction_timeout.as_millis(),
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

    pub(super) fn produced(&self) -> i64 {
        self.produced
    }

    pub(super) fn produce(&mut self, rows: i64) {
        let first = self.produced;
        self.produced += rows;
        self.write(first..self.produced);
    }

    /// Writes the rows that close the last windows.
    pub(super) fn close(&mut self) {
        self.closed = true;
        if self.shape == Shape::Windows {
            self.write(FAR..FAR + i64::from(PARTITIONS));
        }
    }

    fn write(&self, rows: impl Iterator<Item = i64>) {
        let record = |row: i64| Record {
            partition: Some((row % i64::from(PARTITIONS)) as i32),
            value: Some(format!("{row},{}", key(row)).into_bytes()),
            ..Record::default()
        };
        self.kafka.produce(&self.input, rows.map(record));
    }

    /// Waits until everything that must become visible is, and checks it.
    pub(super) fn wait_until_whole(&mut self, program: &mut Program) {
        let (deadline, due) = (Instant::now() + LIMIT, self.due());
        while self.look() < due {
            program.assert_running();
            let (shape, rows) = (self.shape, self.results.rows());
            assert!(Instant::now() < deadline, "{shape:?}: only {rows} of {due} rows show:\n{}", program.output());
        }
        self.results.check(due);
    }

    /// Rows of the input that must show in the output. The last window is open until there are rows after it.
    fn due(&self) -> i64 {
        let open = if self.shape == Shape::Windows && !self.closed { WINDOW } else { 0 };
        (self.produced - open).max(0)
    }

    /// Takes in what has become visible; gives how many rows of the input show in it.
    pub(super) fn look(&mut self) -> i64 {
        let seen = self.reader.take(50_000, Duration::from_millis(200));
        seen.iter().for_each(|message| self.results.take(message));
        self.results.rows()
    }

    /// Nothing becomes visible any more.
    pub(super) fn check_silence(&mut self) {
        let seen = self.reader.take(1, Duration::from_secs(2));
        assert!(seen.is_empty(), "more became visible than should: {seen:?}");
    }

    /// Stops the program once everything is visible: nothing more becomes visible after that, and no transaction is open.
    pub(super) fn end(&mut self, mut program: Program) {
        self.wait_until_whole(&mut program);
        assert!(program.stop().success(), "{}", program.output());
        assert!(!self.is_any_open(), "a transaction was left open");
        self.check_silence();
        self.results.check(self.due());
    }

    pub(super) fn is_any_open(&self) -> bool {
        self.reader.is_any_open(self.kafka)
    }
}
