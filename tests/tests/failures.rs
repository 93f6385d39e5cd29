//! Checkpoints in trouble: the newest one is damaged, the disk is full, a second process wants the same job.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use eddyline_tests::checkpoints::{complete, damage, newest, wait_for_newer};
use eddyline_tests::program::{Program, run};
use eddyline_tests::services::process::{is_root, wait_for};
use eddyline_tests::services::{kafka, mariadb};
use sqlx::Row;

const LIMIT: Duration = Duration::from_secs(60);

const SCRIPT: &str = "
SET 'pipeline.name' = 'counting';
SET 'execution.checkpointing.dir' = '${checkpoints}';
SET 'execution.checkpointing.interval' = '${interval}';
CREATE TABLE words (word STRING) WITH ('connector' = 'kafka', 'topic' = '${topic}', 'format' = 'raw',
  'properties.bootstrap.servers' = '${brokers}', 'scan.startup.mode' = 'earliest-offset');
CREATE TABLE wc (word STRING, cnt BIGINT, PRIMARY KEY (word) NOT ENFORCED) WITH ('connector' = 'jdbc', 'url' = '${url}',
  'table-name' = '${table}', 'username' = '${user}', 'password' = '${password}');
INSERT INTO wc SELECT word, COUNT(*) FROM words GROUP BY word;
";

/// A job that counts the messages of a topic into a table of MariaDB.
struct Counting {
    folder: tempfile::TempDir,
    checkpoints: PathBuf,
    topic: String,
    table: String,
    expected: HashMap<String, i64>,
}

impl Counting {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("counting.sql"), SCRIPT).expect("a writable folder");
        let table = mariadb::shared().fresh_name("counting");
        mariadb::shared()
            .execute(&format!("CREATE TABLE {table} (word VARCHAR(50) COLLATE utf8mb4_bin PRIMARY KEY, cnt BIGINT)"));
        let checkpoints = folder.path().join("checkpoints");
        let topic = kafka::shared().fresh_topic("words", 2);
        Counting { folder, checkpoints, topic, table, expected: HashMap::new() }
    }

    fn arguments(&self, interval: &str) -> Vec<String> {
        let definitions = [
            ("checkpoints", self.checkpoints.to_string_lossy().into_owned()),
            ("interval", interval.into()),
            ("brokers", kafka::shared().bootstrap()),
            ("topic", self.topic.clone()),
            ("url", mariadb::shared().jdbc_url()),
            ("table", self.table.clone()),
            ("user", mariadb::USER.into()),
            ("password", mariadb::PASSWORD.replace('\'', "''")),
        ];
        let mut arguments = vec!["run".to_string()];
        arguments.extend(definitions.into_iter().map(|(name, value)| format!("-D{name}={value}")));
        arguments.push("counting.sql".into());
        arguments
    }

    fn start(&self, interval: &str) -> Program {
        Program::start(self.folder.path(), &self.arguments(interval))
    }

    /// Folder of the job's checkpoints.
    fn job(&self) -> PathBuf {
        self.checkpoints.join("counting")
    }

    /// Writes messages and remembers their counts.
    fn produce(&mut self, messages: usize) {
        let words: Vec<String> = (0..messages).map(|i| format!("word{}", i % 37)).collect();
        words.iter().for_each(|word| *self.expected.entry(word.clone()).or_default() += 1);
        kafka::shared().produce_lines(&self.topic, 2, words);
    }

    fn counts(&self) -> HashMap<String, i64> {
        let rows = mariadb::shared().query(&format!("SELECT word, cnt FROM {}", self.table));
        rows.iter().map(|row| (row.get::<String, _>(0), row.get::<i64, _>(1))).collect()
    }

    fn wait_until_counted(&self, program: &mut Program) {
        wait_for("the right counts", LIMIT, || {
            program.assert_running();
            (self.counts() == self.expected).then_some(())
        });
    }
}

fn wait_for_output(program: &mut Program, part: &str) {
    wait_for(part, LIMIT, || {
        program.assert_running();
        program.output().contains(part).then_some(())
    });
}

#[test]
fn a_damaged_newest_checkpoint_is_passed_over_for_the_one_before() {
    let mut job = Counting::new();
    // Each run takes one checkpoint, at its end, so that the two differ.
    for _ in 0..2 {
        let mut program = job.start("1h");
        job.produce(500);
        job.wait_until_counted(&mut program);
        assert!(program.stop().success(), "{}", program.output());
    }
    let kept = complete(&job.job());
    let [.., (before, _), (damaged, path)] = kept.as_slice() else { panic!("two checkpoints, not {kept:?}") };
    damage(path);
    // The rows of the damaged checkpoint are read again, new ones come on top.
    job.produce(300);
    let mut program = job.start("1h");
    job.wait_until_counted(&mut program);
    let said = program.output();
    assert!(said.contains(&format!("checkpoint {damaged} is damaged")), "{said}");
    assert!(said.contains(&format!("resuming counting from checkpoint {before},")), "{said}");
    assert!(program.stop().success(), "{}", program.output());
    assert!(newest(&job.job()) > *damaged, "the number of the damaged one is not used again");
    assert_eq!(job.counts(), job.expected);
}

#[test]
fn a_job_with_only_damaged_checkpoints_does_not_start_empty() {
    let mut job = Counting::new();
    job.produce(100);
    let mut program = job.start("1h");
    job.wait_until_counted(&mut program);
    assert!(program.stop().success(), "{}", program.output());
    complete(&job.job()).iter().for_each(|(_, path)| damage(path));
    let arguments = job.arguments("1h");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let finished = run(job.folder.path(), &arguments);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("damaged") && finished.stderr.contains("--fresh"), "{}", finished.stderr);
    assert_eq!(job.counts(), job.expected, "nothing was written");
}

/// A small file system in memory; gone when dropped.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    pub(crate) fn mount(path: &Path) -> Self {
        assert!(is_root(), "mounting a small disk needs root: run the tests as root");
        fs::create_dir_all(path).expect("a folder to mount at");
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(path).status();
        assert!(status.is_ok_and(|s| s.success()), "a tmpfs cannot be mounted here; it needs CAP_SYS_ADMIN");
        SmallDisk(path.to_path_buf())
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    pub(crate) fn fill(&self) {
        let mut file = fs::File::create(self.filler()).expect("a file on the small disk");
        while file.write_all(&[0; 512]).is_ok() {}
    }

    pub(crate) fn free(&self) {
        fs::remove_file(self.filler()).expect("the filler is there");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_job_lives_through_a_full_disk_and_checkpoints_again_when_there_is_room() {
    let mut job = Counting::new();
    let disk = SmallDisk::mount(&job.checkpoints);
    job.produce(500);
    let mut program = job.start("200ms");
    job.wait_until_counted(&mut program);
    wait_for_newer(&job.job(), 0, &mut program);
    disk.fill();
    wait_for_output(&mut program, "the job goes on");
    let said = program.output();
    let warning = said.lines().find(|line| line.contains("the job goes on")).expect("the warning");
    assert!(warning.starts_with("WARNING: counting: checkpoint "), "{said}");
    assert!(warning.contains("No space left on device"), "{said}");
    job.produce(500);
    let last = newest(&job.job());
    disk.free();
    wait_for_newer(&job.job(), last, &mut program);
    job.wait_until_counted(&mut program);
    assert!(!program.output().contains("restarting"), "{}", program.output());
    assert!(program.stop().success(), "{}", program.output());
    // What was saved after the trouble is worth something.
    job.produce(200);
    let mut program = job.start("200ms");
    job.wait_until_counted(&mut program);
    assert!(program.output().contains("resuming counting"), "{}", program.output());
    assert!(program.stop().success(), "{}", program.output());
}

#[test]
fn a_second_process_on_the_same_job_is_refused() {
    let job = Counting::new();
    let mut program = job.start("200ms");
    wait_for_newer(&job.job(), 0, &mut program);
    let arguments = job.arguments("200ms");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let second = run(job.folder.path(), &arguments);
    assert_eq!(second.code, Some(1), "{second:?}");
    let parts = ["checkpoints of job 'counting'", "in use by process", "HINT", "pipeline.name"];
    assert!(parts.iter().all(|part| second.stderr.contains(part)), "{}", second.stderr);
    // The first does not mind.
    let last = newest(&job.job());
    wait_for_newer(&job.job(), last, &mut program);
    assert!(program.stop().success(), "{}", program.output());
}
