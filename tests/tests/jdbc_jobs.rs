//! Whole jobs into MariaDB that must be exact: killed twenty times, with the database restarted under load, with the
//! password changed, with rows that it refuses. And what must never be shown.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use eddyline_tests::chance::{pass, random};
use eddyline_tests::checkpoints::{newest, wait_for_newer};
use eddyline_tests::program::{Program, run_sql};
use eddyline_tests::services::process::wait_for;
use eddyline_tests::services::{kafka, mariadb};
use mariadb::MariaDb;
use sqlx::Row;

const LIMIT: Duration = Duration::from_secs(120);
const PARTITIONS: usize = 4;

const SCRIPT: &str = "
SET 'pipeline.name' = 'copying';
SET 'parallelism.default' = '${parallelism}';
SET 'execution.checkpointing.dir' = '${checkpoints}';
SET 'execution.checkpointing.interval' = '500 ms';
SET 'restart-strategy.type' = 'fixed-delay';
SET 'restart-strategy.fixed-delay.attempts' = '100';
SET 'restart-strategy.fixed-delay.delay' = '200 ms';
CREATE TABLE numbers (`line` STRING) WITH ('connector' = 'kafka', 'topic' = '${topic}', 'format' = 'raw',
  'properties.bootstrap.servers' = '${brokers}', 'scan.startup.mode' = 'earliest-offset');
CREATE TABLE copied (id BIGINT, note STRING) WITH ('connector' = 'jdbc', 'url' = '${url}',
  'table-name' = '${table}', 'username' = '${user}', 'password' = '${password}'${options});
INSERT INTO copied SELECT CAST(`line` AS BIGINT), CONCAT('n', `line`) FROM numbers;
";

/// A job that copies numbered messages into a table of a server.
struct Copying<'a> {
    server: &'a MariaDb,
    folder: tempfile::TempDir,
    topic: String,
    table: String,
    user: (String, String),
    parallelism: usize,
    options: String,
    produced: i64,
}

impl<'a> Copying<'a> {
    fn new(server: &'a MariaDb, columns: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("copying.sql"), SCRIPT).expect("a writable folder");
        let table = server.fresh_name("copied");
        server.execute(&format!("CREATE TABLE {table} ({columns})"));
        let topic = kafka::shared().fresh_topic("numbers", PARTITIONS as i32);
        let user = (mariadb::USER.to_string(), mariadb::PASSWORD.to_string());
        Copying { server, folder, topic, table, user, parallelism: 2, options: String::new(), produced: 0 }
    }

    fn start(&self) -> Program {
        self.start_with(&[], &[])
    }

    fn start_with(&self, more: &[&str], environment: &[(&str, &str)]) -> Program {
        let definitions = [
            ("checkpoints", self.checkpoints().to_string_lossy().into_owned()),
            ("parallelism", self.parallelism.to_string()),
            ("brokers", kafka::shared().bootstrap()),
            ("topic", self.topic.clone()),
            ("url", self.server.jdbc_url()),
            ("table", self.table.clone()),
            ("user", self.user.0.clone()),
            ("password", self.user.1.replace('\'', "''")),
            ("options", self.options.clone()),
        ];
        let mut arguments = vec!["run".to_string()];
        arguments.extend(definitions.into_iter().map(|(name, value)| format!("-D{name}={value}")));
        arguments.extend(more.iter().map(|a| (*a).to_string()));
        arguments.push("copying.sql".into());
        Program::start_with(self.folder.path(), &arguments, environment)
    }

    fn checkpoints(&self) -> PathBuf {
        self.folder.path().join("checkpoints")
    }

    fn job(&self) -> PathBuf {
        self.checkpoints().join("copying")
    }

    fn produce(&mut self, messages: i64) {
        let lines = (self.produced..self.produced + messages).map(|n| n.to_string());
        kafka::shared().produce_lines(&self.topic, PARTITIONS, lines);
        self.produced += messages;
    }

    fn count(&self) -> i64 {
        self.server.query(&format!("SELECT COUNT(*) FROM {}", self.table))[0].get(0)
    }

    /// Waits until as many rows are there as were produced, less `missing`.
    fn wait_until_copied(&self, program: &mut Program, missing: i64) {
        let expected = self.produced - missing;
        let deadline = Instant::now() + LIMIT;
        wait_for("all rows", LIMIT, || {
            program.assert_running();
            let count = self.count();
            assert!(Instant::now() < deadline, "{count} of {expected} rows:\n{}", program.output());
            (count >= expected).then_some(())
        });
    }

    /// Panics unless every number is there once.
    fn assert_each_once(&self) {
        let sql =
            format!("SELECT COUNT(*), COUNT(DISTINCT id), CAST(COALESCE(SUM(id), 0) AS SIGNED) FROM {}", self.table);
        let row = &self.server.query(&sql)[0];
        let found: (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
        assert_eq!(found, (self.produced, self.produced, self.produced * (self.produced - 1) / 2), "rows, ids, sum");
    }
}

const APPENDED: &str = "id BIGINT, note VARCHAR(40)";

fn appended_once_despite_kills(parallelism: usize, seed: u64) {
    let mut random = random(&format!("append to MariaDB at parallelism {parallelism}"), seed);
    let mut job = Copying::new(mariadb::shared(), APPENDED);
    job.parallelism = parallelism;
    let mut program = job.start();
    for _ in 0..20 {
        job.produce(25_000);
        pass(&mut random, 1_500);
        program.assert_running();
        program.kill();
        program = job.start();
    }
    job.wait_until_copied(&mut program, 0);
    job.assert_each_once();
    assert!(program.stop().success(), "{}", program.output());
    job.assert_each_once();
    assert!(program.output().contains("exactly-once"), "{}", program.output());
    let epochs = newest(&job.job());
    println!("{} rows, each once, over 20 kills and {epochs} checkpoints", job.produced);
}

#[test]
fn appended_rows_are_there_once_despite_twenty_kills() {
    appended_once_despite_kills(1, 101);
}

#[test]
fn appended_rows_of_two_subtasks_are_there_once_despite_twenty_kills() {
    appended_once_despite_kills(2, 202);
}

#[test]
fn database_restarted_under_load_loses_and_repeats_nothing() {
    let mut server = MariaDb::start();
    let mut job = Copying::new(&server, APPENDED);
    let mut program = job.start();
    job.produce(200_000);
    wait_for_newer(&job.job(), 1, &mut program);
    let Copying { folder, topic, table, user, parallelism, options, produced, .. } = job;
    for _ in 0..3 {
        server.kill();
        std::thread::park_timeout(Duration::from_millis(500));
        server.restart();
    }
    let mut job = Copying { server: &server, folder, topic, table, user, parallelism, options, produced };
    job.produce(50_000);
    job.wait_until_copied(&mut program, 0);
    job.assert_each_once();
    assert!(program.stop().success(), "{}", program.output());
    job.assert_each_once();
}

/// The first process stands still between its last row and COMMIT; the second one takes over.
#[test]
fn process_that_stood_still_in_a_transaction_writes_nothing_more() {
    let mut job = Copying::new(mariadb::shared(), APPENDED);
    let mut program = job.start();
    job.produce(5_000);
    job.wait_until_copied(&mut program, 0);
    program.kill();
    job.produce(5_000);
    let mut stopped = job.start_with(&[], &[("EDDYLINE_CRASH", "jdbc.written:1:pause")]);
    stopped.wait_until_paused();
    job.produce(5_000);
    let mut second = job.start_with(&["--takeover"], &[]);
    job.wait_until_copied(&mut second, 0);
    job.assert_each_once();
    stopped.signal("CONT");
    let status = stopped.wait();
    assert_eq!(status.code(), Some(1), "{}", second.output());
    job.produce(5_000);
    job.wait_until_copied(&mut second, 0);
    assert!(second.stop().success(), "{}", second.output());
    job.assert_each_once();
}

#[test]
fn changed_password_stops_the_job_with_a_clear_error() {
    let server = mariadb::shared();
    let mut job = Copying::new(server, APPENDED);
    let (name, old) = (server.fresh_name("user"), "old-canary-41d9");
    server.execute(&format!(
        "CREATE USER {name}@'%' IDENTIFIED BY '{old}'; GRANT ALL PRIVILEGES ON eddyline.* TO {name}@'%'"
    ));
    job.user = (name.clone(), old.to_string());
    let mut program = job.start();
    job.produce(1_000);
    job.wait_until_copied(&mut program, 0);
    server.execute(&format!("ALTER USER {name}@'%' IDENTIFIED BY 'new-canary-77ab'; KILL USER '{name}'@'%'"));
    job.produce(1_000);
    let status = program.wait();
    let said = program.output();
    assert_eq!(status.code(), Some(1), "{said}");
    for part in ["Access denied", "'username' and 'password'", &format!("'{name}'")] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("canary"), "{said}");
    // With the new password it goes on where it was.
    job.user.1 = "new-canary-77ab".into();
    let mut program = job.start();
    job.wait_until_copied(&mut program, 0);
    assert!(program.stop().success(), "{}", program.output());
    job.assert_each_once();
}

#[test]
fn refused_row_ends_the_job_and_skipping_lets_it_go_on() {
    let mut job = Copying::new(mariadb::shared(), "id BIGINT CHECK (id <> 777), note VARCHAR(40)");
    let mut program = job.start();
    job.produce(1_000);
    let status = program.wait();
    let said = program.output();
    assert_eq!(status.code(), Some(1), "{said}");
    for part in ["4025", "(id = '777', note = 'n777')", "sink.on-error"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // The same epoch, decided but refused, is applied under the new rule.
    let letters = mariadb::shared().fresh_name("letters");
    job.options = format!(", 'sink.on-error' = 'dead-letter', 'sink.dead-letter-table' = '{letters}'");
    let mut program = job.start();
    job.wait_until_copied(&mut program, 1);
    assert!(program.stop().success(), "{}", program.output());
    assert_eq!(job.count(), 999);
    let dead = mariadb::shared().query(&format!("SELECT row_json FROM {letters}"));
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].get::<String, _>(0), r#"{"id":"777","note":"n777"}"#);
}

#[test]
fn exactly_once_without_checkpoints_is_refused_and_appending_falls_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = |options: &str| {
        format!(
            "SET 'execution.checkpointing.interval' = '0';
             CREATE TABLE out (id BIGINT) WITH ('connector' = 'jdbc', 'url' = 'sqlite:out.db', 'table-name' = 'out'{options});
             INSERT INTO out VALUES (1), (2);"
        )
    };
    let asked = run_sql(folder.path(), &script(", 'eddyline.sink.exactly-once' = 'true'"), &[]);
    assert!(!asked.success && asked.stderr.contains("needs checkpoints"), "{}", asked.stderr);
    let fallback = run_sql(folder.path(), &script(""), &[]);
    assert!(fallback.success, "{}", fallback.stderr);
    assert!(fallback.stderr.contains("at-least-once"), "{}", fallback.stderr);
}

/// All files below `folder` that contain `text`.
fn files_with(folder: &Path, text: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder").map(|e| e.expect("an entry").path()) {
        if entry.is_dir() {
            files_with(&entry, text, found);
        } else if fs::read(&entry).is_ok_and(|bytes| bytes.windows(text.len()).any(|w| w == text.as_bytes())) {
            found.push(entry);
        }
    }
}

#[test]
fn canary_password_is_shown_nowhere() {
    const CANARY: &str = "canary-Zq81xK";
    let server = mariadb::shared();
    let mut job = Copying::new(server, APPENDED);
    let name = server.fresh_name("canary");
    server.execute(&format!(
        "CREATE USER {name}@'%' IDENTIFIED BY '{CANARY}'; GRANT ALL PRIVILEGES ON eddyline.* TO {name}@'%'"
    ));
    job.user = (name, CANARY.to_string());
    let script = fs::read_to_string(job.folder.path().join("copying.sql")).expect("the script");
    let script = script
        .replace(
            "SET 'parallelism",
            "SET 'execution.checkpointing.storage' = 'mysql';
             SET 'eddyline.checkpointing.mysql.url' = '${url}';
             SET 'eddyline.checkpointing.mysql.username' = '${user}';
             SET 'eddyline.checkpointing.mysql.password' = '${password}';
             SET 'parallelism",
        )
        .replace("INSERT INTO", "SET; SHOW CREATE TABLE copied; EXPLAIN INSERT INTO copied SELECT 1, 'x'; INSERT INTO");
    fs::write(job.folder.path().join("copying.sql"), script).expect("a writable folder");
    let mut program = job.start();
    job.produce(1_000);
    job.wait_until_copied(&mut program, 0);
    wait_for_newer(&job.job(), newest(&job.job()), &mut program);
    // The tables for operators.
    let noted = "SELECT COUNT(*) FROM __eddyline_checkpoints WHERE job = 'copying' AND status = 'applied' AND kind = \
                 'checkpoint' AND path LIKE '%/chk-%' AND created > UTC_TIMESTAMP() - INTERVAL 1 HOUR";
    let offsets = "SELECT CAST(SUM(CAST(JSON_EXTRACT(position, '$.offset') AS SIGNED)) AS SIGNED) FROM __eddyline_offsets \
                   GROUP BY epoch ORDER BY epoch DESC LIMIT 1";
    let tables = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'eddyline' AND table_name IN \
                  ('__eddyline_checkpoints', '__eddyline_offsets')";
    wait_for("checkpoints and offsets in the database", LIMIT, || {
        program.assert_running();
        if server.query(tables)[0].get::<i64, _>(0) < 2 {
            return None;
        }
        let read = server.query(offsets).first().map_or(0, |row| row.get::<Option<i64>, _>(0).unwrap_or(0));
        (server.query(noted)[0].get::<i64, _>(0) > 1 && read == 1_000).then_some(())
    });
    // Errors too: the table goes away under the job.
    server.execute(&format!("DROP TABLE {}", job.table));
    job.produce(1_000);
    assert_eq!(program.wait().code(), Some(1), "{}", program.output());
    let said = program.output();
    assert!(said.contains("the table has changed") || said.contains("does not exist"), "{said}");
    let mut found = Vec::new();
    files_with(job.folder.path(), CANARY, &mut found);
    assert!(found.is_empty(), "in {found:?}");
}
