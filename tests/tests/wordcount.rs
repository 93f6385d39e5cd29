//! The main job against real servers: `examples/wordcount.sql` from Kafka to MariaDB, killed at random moments, must end
//! with exactly the counts of a batch run. Also: restart from a named older checkpoint, and at another parallelism.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use eddyline_tests::chance::{pass, random};
use eddyline_tests::checkpoints::{complete, wait_for_newer};
use eddyline_tests::program::{Program, workspace};
use eddyline_tests::services::process::wait_for;
use eddyline_tests::services::{kafka, mariadb};
use rand::Rng;
use rand::rngs::StdRng;
use sqlx::Row;

const PARTITIONS: usize = 4;
const KILLS: usize = 20;
const LINES: usize = 1_000_000;
const LIMIT: Duration = Duration::from_secs(120);

/// One word count with a topic, a table and a checkpoint folder of its own.
struct WordCount {
    folder: tempfile::TempDir,
    topic: String,
    table: String,
    expected: HashMap<String, i64>,
    random: StdRng,
}

impl WordCount {
    fn new(seed: u64) -> Self {
        let table = mariadb::shared().fresh_name("wc");
        mariadb::shared().execute(&format!(
            "CREATE TABLE {table} (word VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY, cnt BIGINT)"
        ));
        WordCount {
            folder: tempfile::tempdir().expect("a temporary folder"),
            topic: kafka::shared().fresh_topic("lines", PARTITIONS as i32),
            table,
            expected: HashMap::new(),
            random: random("word count", seed),
        }
    }

    fn start(&self, parallelism: usize, more: &[&str]) -> Program {
        let mut arguments: Vec<String> = vec!["run".into()];
        let database = mariadb::shared();
        let definitions = [
            ("brokers", kafka::shared().bootstrap()),
            ("topic", self.topic.clone()),
            ("db_host", "127.0.0.1".into()),
            ("db_port", database.port().to_string()),
            ("db_name", mariadb::DATABASE.into()),
            ("db_table", self.table.clone()),
            ("db_user", mariadb::USER.into()),
            ("db_password", mariadb::PASSWORD.replace('\'', "''")),
            ("checkpoints", self.checkpoints().to_string_lossy().into_owned()),
            ("interval", "1s".into()),
            ("parallelism", parallelism.to_string()),
        ];
        arguments.extend(definitions.into_iter().map(|(name, value)| format!("-D{name}={value}")));
        arguments.extend(more.iter().map(|a| (*a).to_string()));
        arguments.push(workspace().join("examples/wordcount.sql").to_string_lossy().into_owned());
        Program::start(self.folder.path(), &arguments)
    }

    fn checkpoints(&self) -> PathBuf {
        self.folder.path().join("checkpoints")
    }

    /// Folder of the job's checkpoints.
    fn job(&self) -> PathBuf {
        self.checkpoints().join("wordcount")
    }

    /// Writes lines of random words and remembers their counts.
    fn produce(&mut self, lines: usize) {
        let batch: Vec<String> = (0..lines)
            .map(|_| {
                let words: Vec<String> = (0..8)
                    .map(|_| {
                        let skewed = self.random.random::<f64>().powi(3);
                        format!("word{}", (skewed * 20_000.0) as u32)
                    })
                    .collect();
                words.join(" ")
            })
            .collect();
        for word in batch.iter().flat_map(|line| line.split(' ')) {
            *self.expected.entry(word.to_string()).or_default() += 1;
        }
        kafka::shared().produce_lines(&self.topic, PARTITIONS, batch);
    }

    fn table(&self) -> HashMap<String, i64> {
        let rows = mariadb::shared().query(&format!("SELECT word, cnt FROM {}", self.table));
        rows.iter().map(|row| (row.get::<String, _>(0), row.get::<i64, _>(1))).collect()
    }

    /// Waits until the table holds exactly the expected counts.
    fn wait_until_counted(&self, program: &mut Program) {
        let total: i64 = self.expected.values().sum();
        let deadline = Instant::now() + LIMIT;
        wait_for("all words to be counted", LIMIT, || {
            program.assert_running();
            let rows = mariadb::shared().query(&format!("SELECT CAST(SUM(cnt) AS SIGNED) FROM {}", self.table));
            let counted: i64 = rows[0].get::<Option<i64>, _>(0).unwrap_or(0);
            assert!(Instant::now() < deadline, "counted {counted} of {total} words:\n{}", program.output());
            (counted == total).then_some(())
        });
        assert_eq!(self.table(), self.expected);
    }
}

fn counts_survive_kills(parallelism: usize, seed: u64) {
    let mut job = WordCount::new(seed);
    let mut program = job.start(parallelism, &[]);
    // The job reads from the latest offsets: they are fixed once a checkpoint holds them.
    wait_for_newer(&job.job(), 0, &mut program);
    for _ in 0..KILLS {
        job.produce(LINES / KILLS);
        pass(&mut job.random, 1500);
        program.assert_running();
        program.kill();
        program = job.start(parallelism, &[]);
    }
    job.wait_until_counted(&mut program);
    assert!(program.stop().success(), "{}", program.output());
    assert_eq!(job.table(), job.expected, "the table after the stop");
}

#[test]
fn wordcount_survives_kills_at_parallelism_1() {
    counts_survive_kills(1, 11);
}

#[test]
fn wordcount_survives_kills_at_parallelism_2() {
    counts_survive_kills(2, 22);
}

#[test]
fn wordcount_survives_kills_at_parallelism_4() {
    counts_survive_kills(4, 44);
}

#[test]
fn counts_go_on_from_a_named_older_checkpoint() {
    let mut job = WordCount::new(7);
    let mut program = job.start(2, &[]);
    wait_for_newer(&job.job(), 0, &mut program);
    job.produce(20_000);
    job.wait_until_counted(&mut program);
    wait_for_newer(&job.job(), 3, &mut program);
    job.produce(20_000);
    job.wait_until_counted(&mut program);
    assert!(program.stop().success(), "{}", program.output());
    let kept = complete(&job.job());
    assert!(kept.len() >= 2, "an older checkpoint must be retained: {kept:?}");
    // What came after the older checkpoint is read again, and what comes now is counted on top.
    let older = kept[0].1.to_string_lossy().into_owned();
    job.produce(20_000);
    let mut program = job.start(2, &["--from", &older]);
    job.wait_until_counted(&mut program);
    assert!(program.stop().success(), "{}", program.output());
}

#[test]
fn state_of_two_subtasks_is_restored_into_three() {
    let mut job = WordCount::new(8);
    let mut program = job.start(2, &[]);
    wait_for_newer(&job.job(), 0, &mut program);
    job.produce(50_000);
    job.wait_until_counted(&mut program);
    assert!(program.stop().success(), "{}", program.output());
    job.produce(50_000);
    let mut program = job.start(3, &[]);
    job.wait_until_counted(&mut program);
    assert!(program.output().contains("resuming"), "{}", program.output());
    assert!(program.stop().success(), "{}", program.output());
}
