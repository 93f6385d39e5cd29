//! The HTTP endpoint of a running job: page, metrics and Flink's shapes agree with each other, and nobody else's pages
//! are served.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use eddyline_tests::program::Program;
use eddyline_tests::services::process::wait_for;
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(30);

const JOB: &str = "
SET 'pipeline.name' = 'observed';
SET 'execution.checkpointing.interval' = '100ms';
SET 'execution.checkpointing.dir' = 'checkpoints';
CREATE TABLE numbers (id BIGINT) WITH (
  'connector' = 'datagen', 'rows-per-second' = '1000', 'fields.id.kind' = 'sequence', 'fields.id.start' = '1',
  'fields.id.end' = '100000000');
CREATE TABLE nowhere (k BIGINT, n BIGINT, PRIMARY KEY (k) NOT ENFORCED) WITH ('connector' = 'blackhole');
INSERT INTO nowhere SELECT MOD(id, 10), COUNT(*) FROM numbers GROUP BY MOD(id, 10);
";

struct Observed {
    program: Program,
    address: String,
    _folder: tempfile::TempDir,
}

impl Observed {
    fn start() -> Observed {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("job.sql"), JOB).expect("the script can be written");
        let arguments = ["run", "--http", "127.0.0.1:0", "job.sql"].map(String::from);
        let program = Program::start(folder.path(), &arguments);
        let address = wait_for("the address of the endpoint", LIMIT, || {
            let output = program.output();
            let after = output.split("http://").nth(1)?;
            after.split_once('/').map(|(address, _)| address.to_string())
        });
        Observed { program, address, _folder: folder }
    }

    /// Status line and body of a request.
    fn ask(&self, method: &str, path: &str, host: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.address).expect("the endpoint listens");
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("the request is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer in UTF-8");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        (head.lines().next().unwrap_or_default().to_string(), body.to_string())
    }

    fn json(&self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path, &self.address);
        assert!(status.contains("200"), "{path}: {status}");
        serde_json::from_str(&body).expect("JSON")
    }
}

#[test]
fn jobs_are_shown_in_the_shapes_of_flink() {
    let mut job = Observed::start();
    let id = wait_for("the job", LIMIT, || job.json("/jobs")["jobs"][0]["id"].as_str().map(String::from));
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    let of = |path: &str| job.json(&format!("/jobs/{id}{path}"));
    let completed = wait_for("three checkpoints", LIMIT, || {
        let checkpoints = of("/checkpoints");
        (checkpoints["counts"]["completed"].as_u64()? >= 3).then_some(checkpoints)
    });
    let latest = &completed["latest"]["completed"];
    assert!(latest["state_size"].as_u64() > Some(0) && latest["external_path"].is_string(), "{latest}");
    assert_eq!(completed["history"].as_array().map(Vec::is_empty), Some(false));
    let details = of("");
    assert_eq!((&details["name"], &details["state"]), (&"observed".into(), &"RUNNING".into()));
    let nodes = details["plan"]["nodes"].as_array().expect("nodes");
    assert_eq!(nodes.len(), details["vertices"].as_array().expect("vertices").len());
    assert_eq!(nodes.iter().filter(|n| n["inputs"].as_array().is_some_and(Vec::is_empty)).count(), 1);
    assert_eq!(of("/exceptions")["root-exception"], Value::Null);
    let read = details["vertices"][0]["metrics"]["read-records"].as_u64().expect("rows");
    let (_, metrics) = job.ask("GET", "/metrics", &job.address);
    let line = metrics.lines().find(|l| l.starts_with("eddyline_job_rows_read_total{")).expect("the counter");
    let counted: f64 = line.rsplit(' ').next().and_then(|n| n.parse().ok()).expect("a number");
    assert!(counted >= read as f64 && line.contains("job=\"observed\""), "{line}, earlier {read}");
    job.program.assert_running();
    assert!(job.program.stop().success());
}

#[test]
fn the_page_is_served_to_its_own_host_only() {
    let job = Observed::start();
    let (status, page) = job.ask("GET", "/", &job.address);
    assert!(status.contains("200") && page.contains("<title>Eddyline</title>"), "{status}");
    for host in ["evil.example", "evil.example:80", "10.1.2.3"] {
        assert!(job.ask("GET", "/jobs", host).0.contains("403"), "{host}");
    }
    assert!(job.ask("POST", "/jobs", &job.address).0.contains("405"));
    assert!(job.ask("GET", "/nothing", &job.address).0.contains("404"));
    assert!(job.ask("GET", "/jobs/0", &job.address).0.contains("404"));
}

#[test]
fn the_endpoint_does_not_listen_to_the_world() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("job.sql"), JOB).expect("the script can be written");
    let run = eddyline_tests::program::run(folder.path(), &["run", "--http", "0.0.0.0:0", "job.sql"]);
    assert!(!run.success && run.stderr.contains("loopback"), "{}", run.stderr);
}
