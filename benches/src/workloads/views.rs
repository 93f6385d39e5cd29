//! Look-ups by key in a materialized view that changes all the time.
//!
//! The view counts rows per key: every key comes once, and then 50 000 random ones per second. When all keys are there, a
//! psycopg client asks for random keys with a prepared statement, one after the other, and the count of rows in the view
//! before and after says how many changes became visible meanwhile.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use eddyline_tests::server::python;
use eddyline_tests::services::process::{free_port, wait_for};

use super::round_folder;
use crate::Setup;
use crate::report::Table;

const CHANGES_PER_SECOND: usize = 50_000;
const SECONDS: usize = 10;
const LIMIT: Duration = Duration::from_secs(300);

const CLIENT: &str = "
import os, random, sys, time, psycopg
keys, seconds = int(sys.argv[1]), int(sys.argv[2])
connection = psycopg.connect(host='127.0.0.1', port=os.environ['PORT'], user='bench', autocommit=True)
connection.prepare_threshold = 0
def total():
    return connection.execute('SELECT SUM(cnt), COUNT(*) FROM counts').fetchone()
while (total()[1] or 0) < keys:
    time.sleep(0.2)
before, began = total()[0], time.perf_counter()
took = []
while time.perf_counter() - began < seconds:
    key = random.randint(1, keys)
    start = time.perf_counter()
    row = connection.execute('SELECT cnt FROM counts WHERE k = %s', [key]).fetchone()
    took.append(time.perf_counter() - start)
    assert row[0] >= 1, row
changes = (total()[0] - before) / (time.perf_counter() - began)
took.sort()
at = lambda share: took[min(len(took) - 1, int(len(took) * share))] * 1e3
print(len(took), at(0.5), at(0.99), at(0.999), took[-1] * 1e3, changes)
";

/// Starts a server and measures look-ups, as often as there are rounds.
pub fn run(setup: &Setup) {
    let folder = round_folder();
    let port = free_port().to_string();
    let mut server = Server::start(&setup.binary, folder.path(), &port);
    let sql = statements(setup.keys);
    let created = Command::new("psql")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", &port, "-U", "bench", "-c", &sql])
        .status();
    assert!(created.is_ok_and(|status| status.success()), "the view cannot be made");
    let title = format!("look-ups in a view of {} keys, {CHANGES_PER_SECOND} changes/s", setup.keys);
    let columns = &["look-ups", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "changes/s", "RSS MB"];
    let mut table = Table::new(&title, columns);
    for _ in 0..setup.rounds {
        let arguments = [setup.keys.to_string(), SECONDS.to_string()];
        let output = Command::new(python()).args(["-c", CLIENT]).args(arguments).env("PORT", &port).output();
        let output = output.expect("python can be run");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
        let mut figures: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        figures.push(server.resident_megabytes());
        table.round(figures);
    }
    table.finish();
}

fn statements(keys: usize) -> String {
    format!(
        "CREATE TABLE every_key (k BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '{keys}', 'rows-per-second' = '1000000',
           'fields.k.kind' = 'sequence', 'fields.k.start' = '1', 'fields.k.end' = '{keys}');
         CREATE TABLE changes (k BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '{CHANGES_PER_SECOND}',
           'fields.k.min' = '1', 'fields.k.max' = '{keys}');
         CREATE MATERIALIZED VIEW counts AS SELECT k, COUNT(*) AS cnt
           FROM (SELECT k FROM every_key UNION ALL SELECT k FROM changes) GROUP BY k;"
    )
}

/// `eddyline serve`; killed when dropped.
struct Server(Child);

impl Server {
    fn start(binary: &Path, folder: &Path, port: &str) -> Self {
        let log = folder.join("log.txt");
        let errors = File::create(&log).expect("the folder is writable");
        let mut command = Command::new(binary);
        command.args(["serve", "--data-dir", "data", "--pg", &format!("127.0.0.1:{port}")]).current_dir(folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        let child = command.spawn().unwrap_or_else(|e| panic!("{}: {e}", binary.display()));
        let serves = || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("serves PostgreSQL clients"));
        wait_for("the server", LIMIT, || serves().then_some(()));
        Server(child)
    }

    fn resident_megabytes(&mut self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap_or_default();
        let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        kilobytes.and_then(|v| v.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(0.0) / 1e3
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
