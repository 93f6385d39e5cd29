//! Every named crash point, one after the other: the program is killed there, started again, and what it has written must
//! be what one undisturbed run writes.
//!
//! Each point meets a job that was killed before, with a decided epoch that is not yet visible, so that points of the
//! recovery are met with work to do. A point that is never reached fails the test. Those of Kafka's transactions have
//! their turn in `kafka_exactly_once::kills`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use eddyline_engine::crash::POINTS;
use eddyline_tests::program::Program;
use sqlx::{Connection, Row, SqliteConnection};

const ROWS: i64 = 6_000;
const GROUPS: i64 = 10;
const SIGKILL: i32 = 9;

/// One sequence of numbers into a folder of files and into a table, row by row, and into a table of counts.
fn script() -> String {
    format!(
        "SET 'pipeline.name' = 'crash';
         SET 'execution.checkpointing.interval' = '60ms';
         SET 'execution.checkpointing.dir' = 'checkpoints';
         SET 'execution.checkpointing.num-retained' = '1';
         CREATE TABLE numbers (id BIGINT) WITH (
           'connector' = 'datagen', 'rows-per-second' = '10000',
           'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '{ROWS}');
         CREATE TABLE files (id BIGINT) WITH ('connector' = 'filesystem', 'path' = 'files', 'format' = 'csv');
         CREATE TABLE counts (k BIGINT, n BIGINT, s BIGINT, PRIMARY KEY (k) NOT ENFORCED) WITH (
           'connector' = 'jdbc', 'url' = 'sqlite:out.db', 'table-name' = 'counts');
         CREATE TABLE appended (id BIGINT) WITH (
           'connector' = 'jdbc', 'url' = 'sqlite:out.db', 'table-name' = 'appended');
         EXECUTE STATEMENT SET BEGIN
           INSERT INTO files SELECT id FROM numbers;
           INSERT INTO appended SELECT id FROM numbers;
           INSERT INTO counts SELECT MOD(id, {GROUPS}), COUNT(*), SUM(id) FROM numbers GROUP BY MOD(id, {GROUPS});
         END;"
    )
}

struct Job {
    folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
}

impl Job {
    fn new() -> Job {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("crash.sql"), script()).expect("the script can be written");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let job = Job { folder, runtime };
        let create = "CREATE TABLE counts (k BIGINT PRIMARY KEY, n BIGINT, s BIGINT)";
        job.on_database(async |c| sqlx::query(create).execute(c).await.expect("a table"));
        job
    }

    fn on_database<T>(&self, act: impl AsyncFnOnce(&mut SqliteConnection) -> T) -> T {
        self.runtime.block_on(async {
            let url = format!("sqlite:{}?mode=rwc", self.folder.path().join("out.db").display());
            let mut connection = SqliteConnection::connect(&url).await.expect("a database file");
            act(&mut connection).await
        })
    }

    /// Runs to the end, or to the armed crash. True when it was killed there.
    fn run(&self, crash: Option<&str>) -> bool {
        let armed: Vec<(&str, &str)> = crash.map(|c| ("EDDYLINE_CRASH", c)).into_iter().collect();
        let trace = self.folder.path().join("trace");
        let trace = [("EDDYLINE_CRASH_TRACE", trace.to_str().expect("a path in UTF-8"))];
        let arguments = ["run".to_string(), "crash.sql".to_string()];
        let mut program = Program::start_with(self.folder.path(), &arguments, &[&armed[..], &trace[..]].concat());
        let status = program.wait();
        let killed = status.signal() == Some(SIGKILL);
        assert!(killed || status.success(), "at {crash:?} it ended with {status}:\n{}", program.output());
        killed
    }

    /// Points that any run of this job has reached.
    fn reached(&self) -> BTreeSet<String> {
        let trace = fs::read_to_string(self.folder.path().join("trace")).unwrap_or_default();
        trace.lines().map(str::to_string).collect()
    }

    fn assert_whole(&self, point: &str) {
        let mut ids = visible_rows(&self.folder.path().join("files"));
        ids.sort_unstable();
        assert!(ids.iter().copied().eq(1..=ROWS), "after '{point}' the files hold {} rows, not {ROWS}", ids.len());
        let appended: Vec<i64> = self.on_database(async |c| {
            let rows = sqlx::query("SELECT id FROM appended ORDER BY id").fetch_all(c).await.expect("rows");
            rows.iter().map(|row| row.get(0)).collect()
        });
        assert!(appended.into_iter().eq(1..=ROWS), "after '{point}' the table has not each row once");
        let counts: BTreeMap<i64, (i64, i64)> = self.on_database(async |c| {
            let rows = sqlx::query("SELECT k, n, s FROM counts").fetch_all(c).await.expect("rows");
            rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect()
        });
        let mut expected: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
        for id in 1..=ROWS {
            let (count, sum) = expected.entry(id % GROUPS).or_default();
            *count += 1;
            *sum += id;
        }
        assert_eq!(counts, expected, "after '{point}'");
    }
}

fn visible_rows(folder: &Path) -> Vec<i64> {
    let mut rows = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder of files") {
        let path = entry.expect("an entry").path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden {
            let text = fs::read_to_string(&path).expect("a part file");
            rows.extend(text.lines().map(|line| line.parse::<i64>().expect("a number")));
        }
    }
    rows
}

/// Kills a job at `point`, lets it run to its end, and looks at what it has written.
fn survive(point: &str) -> BTreeSet<String> {
    let job = Job::new();
    assert!(job.run(Some("commit.begin:2:kill9")), "the first run ends with a decided epoch");
    let killed = job.run(Some(&format!("{point}:1:kill9")));
    assert!(killed, "'{point}' was never reached; reached were {:?}", job.reached());
    assert!(!job.run(None));
    job.assert_whole(point);
    job.reached()
}

#[test]
fn every_crash_point_is_survived() {
    let hits: Vec<(&str, BTreeSet<String>)> =
        POINTS.iter().filter(|p| !p.starts_with("kafka.")).map(|point| (*point, survive(point))).collect();
    for (point, reached) in &hits {
        println!("{point}: killed, recovered; {} points reached in its runs", reached.len());
    }
}
