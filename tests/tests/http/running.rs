//! A job that runs and one that has failed, in states that stay: the page, REST, SQL and the metrics say the same.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use eddyline_tests::browser;
use eddyline_tests::http::Endpoint;
use eddyline_tests::server::Server;
use eddyline_tests::services::kafka::{self, Record};
use eddyline_tests::services::process::wait_for;
use serde_json::Value;

use super::page::{facts, figure, row, text, written};

const LIMIT: Duration = Duration::from_secs(60);
/// Messages in each of the two partitions.
const MESSAGES: u64 = 200;
/// Size of the picture for the documentation.
const PICTURE: (u32, u32) = (1240, 1000);

/// Two jobs over one topic: one reads all of it, the other fails at a number that is none. A third one has no end, and the
/// last one, whose file the system does not let anybody read from its beginning, is started again twice before it fails.
fn jobs(topic: &str) -> String {
    let table = |name: &str, columns: &str| {
        format!(
            "CREATE TABLE {name} ({columns}, at AS TO_TIMESTAMP_LTZ(ms, 3), WATERMARK FOR at AS at) WITH (
               'connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{}',
               'scan.startup.mode' = 'earliest-offset', 'format' = 'csv');",
            kafka::shared().bootstrap()
        )
    };
    format!(
        "{} {}
         CREATE TABLE events (id BIGINT, at AS TO_TIMESTAMP_LTZ(id, 3), WATERMARK FOR at AS at) WITH (
           'connector' = 'datagen', 'rows-per-second' = '20000', 'fields.id.kind' = 'sequence', 'fields.id.start' = '1',
           'fields.id.end' = '100000000');
         CREATE TABLE memory (id BIGINT) WITH ('connector' = 'filesystem', 'path' = '/proc/self/mem', 'format' = 'csv');
         CREATE TABLE per_page (page STRING, n BIGINT, PRIMARY KEY (page) NOT ENFORCED) WITH ('connector' = 'blackhole');
         CREATE TABLE per_id (id BIGINT, n BIGINT, PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'blackhole');
         CREATE TABLE ids (id BIGINT) WITH ('connector' = 'blackhole');
         SET 'table.exec.source.idle-timeout' = '1 h';
         SET 'restart-strategy.type' = 'fixed-delay';
         SET 'restart-strategy.fixed-delay.attempts' = '2';
         SET 'restart-strategy.fixed-delay.delay' = '10 ms';
         SET 'execution.checkpointing.interval' = '500 ms';
         SET 'pipeline.name' = 'count events';
         INSERT INTO per_id SELECT id / 3, COUNT(*) FROM events GROUP BY id / 3;
         SET 'execution.checkpointing.interval' = '1 h';
         SET 'pipeline.name' = 'copy memory';
         INSERT INTO ids SELECT id FROM memory;
         SET 'pipeline.name' = 'count clicks';
         INSERT INTO per_page SELECT page, COUNT(*) FROM clicks WHERE page IS NOT NULL GROUP BY page;
         SET 'pipeline.name' = 'count numbers';
         INSERT INTO per_page SELECT CAST(number AS STRING), COUNT(*) FROM numbers GROUP BY number;",
        table("clicks", "page STRING, ms BIGINT"),
        table("numbers", "number INT, ms BIGINT"),
    )
}

/// Partition 0 stays a million milliseconds behind partition 1. Only the last third of it is no numbers.
fn fill(topic: &str) {
    let record = |partition: i32, i: u64| {
        let page = if partition == 0 && i >= MESSAGES * 2 / 3 { format!("p{}", i % 5) } else { (i % 5).to_string() };
        let line = format!("{page},{}", 1_000_000 * u64::try_from(partition + 1).expect("small") + i);
        Record { partition: Some(partition), value: Some(line.into_bytes()), ..Record::default() }
    };
    kafka::shared().produce(topic, (0..MESSAGES).flat_map(|i| [record(0, i), record(1, i)]));
}

/// What stands under one name in all four places.
struct Job<'a> {
    server: &'a Server,
    endpoint: &'a Endpoint,
    id: String,
    /// The page with this job chosen.
    document: String,
}

impl<'a> Job<'a> {
    fn new(server: &'a Server, endpoint: &'a Endpoint, name: &str) -> Self {
        let id = endpoint.job(name).expect("the job is listed");
        let document = browser::document(&format!("http://{}/#{id}", endpoint.address));
        Job { server, endpoint, id, document }
    }

    fn rest(&self, below: &str) -> Value {
        self.endpoint.json(&format!("/jobs/{}{below}", self.id))
    }

    /// Its row in the page's table of jobs.
    fn line(&self) -> &str {
        row(&self.document, &format!("data-job=\"{}\"", self.id))
    }

    /// Its line of SHOW JOBS.
    fn listed(&self) -> Vec<String> {
        facts(self.server, "SHOW JOBS").into_iter().find(|job| job[0] == self.id).expect("the job is listed")
    }

    /// Its metrics: name and labels besides those of the job, value.
    fn metrics(&self) -> BTreeMap<String, f64> {
        let own = format!("job_id=\"{}\"", self.id);
        let body = self.endpoint.get("/metrics").body;
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            let (name, labels) = series.split_once('{')?;
            let (_, rest) = labels.split_once(&own)?;
            Some((format!("{name}{{{}", rest.trim_start_matches(',')), value.parse().ok()?))
        };
        body.lines().filter_map(sample).collect()
    }

    /// Both lines of SHOW LAG, the page's table, REST and the metrics; returns the lines.
    fn same_lag(&self) -> Vec<Vec<String>> {
        let rest = self.rest("/splits");
        let (rest, metrics) = (rest["splits"].as_array().expect("splits"), self.metrics());
        let sql = facts(self.server, &format!("SHOW LAG FOR JOB '{}'", self.id));
        assert_eq!((rest.len(), sql.len()), (2, 2));
        for (of_rest, of_sql) in rest.iter().zip(&sql) {
            let line = row(&self.document, &format!("data-partition=\"{}\"", of_sql[3]));
            let cell = |name: &str| figure(line, name).replace('–', "");
            let labels =
                format!("table=\"{}\",split=\"{}\",node=\"{}\"}}", of_sql[2], of_sql[3], node(&of_rest["vertex"]));
            let metric = |name: &str| metrics.get(&format!("eddyline_split_{name}{{{labels}")).copied();
            for (name, column, metric) in
                [("position", 4, metric("position")), ("end", 5, metric("end")), ("lag", 6, metric("lag_rows"))]
            {
                assert_eq!((&cell(name), &written(&of_rest[name])), (&of_sql[column], &of_sql[column]), "{name}");
                assert_eq!(metric, of_sql[column].parse().ok(), "{name} of {of_sql:?}");
            }
            let watermark = of_rest["watermark"].as_i64();
            assert_eq!(cell("watermark").replace(' ', "T"), of_sql[7]);
            assert_eq!(metric("watermark_seconds"), watermark.map(|ms| ms as f64 / 1e3));
            let holds = of_rest["holds-watermark"] == true;
            assert_eq!((holds, metric("holds_watermark")), (of_sql[8] == "TRUE", Some(f64::from(u8::from(holds)))));
            let word = if holds {
                "holds the watermark"
            } else if of_sql[9] == "ENDED" {
                "ended"
            } else {
                ""
            };
            assert_eq!((cell("holds-watermark"), &of_rest["status"]), (word.to_string(), &of_sql[9].as_str().into()));
            assert_eq!(metric("idle"), Some(0.0));
        }
        sql
    }

    /// The row of the table of jobs, REST, SHOW JOBS and the metrics.
    fn same_figures(&self, lag: Option<u64>) {
        let (shown, rest, sql, metrics) = (self.line(), self.rest(""), self.listed(), self.metrics());
        let own = &rest["eddyline"];
        assert_eq!((figure(shown, "state"), &sql[2]), (sql[2].clone(), &written(&rest["state"])));
        for (name, metric) in [
            ("rows-read", "rows_read_total"),
            ("rows-written", "rows_written_total"),
            ("lag", "lag_rows"),
            ("restarts", "restarts_total"),
        ] {
            assert_eq!(figure(shown, name).replace('–', ""), written(&own[name]), "{name}: {shown}");
            assert_eq!(metrics.get(&format!("eddyline_job_{metric}{{}}")).copied(), own[name].as_f64(), "{name}");
        }
        assert_eq!((figure(shown, "rows-read"), own["lag"].as_u64()), (sql[4].clone(), lag));
        let seconds = metrics.get("eddyline_job_watermark_seconds{}").copied();
        assert_eq!(seconds, own["watermark"].as_i64().map(|ms| ms as f64 / 1e3));
        let up = f64::from(u8::from(sql[2] == "RUNNING"));
        assert_eq!(metrics.get("eddyline_job_up{}").copied(), Some(up));
        let operators = metrics.iter().filter(|(series, _)| series.starts_with("eddyline_operator_rows_in_total"));
        let vertices = rest["vertices"].as_array().expect("vertices");
        let of_vertices: f64 = vertices.iter().filter_map(|v| v["metrics"]["read-records"].as_f64()).sum();
        assert_eq!(operators.map(|(_, value)| value).sum::<f64>(), of_vertices);
    }

    /// The last error on the page, in REST and in SHOW JOBS.
    fn same_error(&self) -> String {
        let (listed, errors) = (self.listed(), self.rest("/exceptions"));
        let (_, shown) = self.document.split_once("data-figure=\"error\">").expect("the page shows the error");
        let shown = text(shown.split("</pre>").next().unwrap_or_default());
        assert_eq!((shown.as_str(), errors["root-exception"].as_str()), (listed[7].as_str(), Some(listed[7].as_str())));
        shown
    }

    /// Each operator with its rows as a box of the graph, each of its inputs as a line.
    fn same_graph(&self, pace: &str) {
        let rest = self.rest("");
        let nodes = rest["plan"]["nodes"].as_array().expect("nodes");
        let boxes: Vec<&str> = self.document.split("<g class=\"node\">").skip(1).collect();
        assert_eq!(boxes.len(), nodes.len());
        for ((node, vertex), shown) in nodes.iter().zip(rest["vertices"].as_array().expect("vertices")).zip(boxes) {
            let shown = shown.split("</g>").next().unwrap_or_default();
            let said =
                |wanted: &str| shown.contains(&format!(">{}</t", wanted.replace('&', "&amp;").replace('>', "&gt;")));
            let name = written(&node["description"]);
            let short = name.split('(').next().unwrap_or_default();
            let rows = |member: &str| written(&vertex["metrics"][member]);
            for wanted in [
                name.clone(),
                format!("{short} ×{}", node["parallelism"]),
                format!("{} in", rows("read-records")),
                format!("{} out", rows("write-records")),
                pace.to_string(),
            ] {
                assert!(said(&wanted), "{wanted}: {shown}");
            }
        }
        let inputs: usize = nodes.iter().map(|node| node["inputs"].as_array().map_or(0, Vec::len)).sum();
        assert_eq!(self.document.matches("class=\"edge\"").count(), inputs);
    }
}

/// The position of a vertex among the nodes of its job.
fn node(vertex: &Value) -> u64 {
    u64::from_str_radix(&written(vertex), 16).expect("a number")
}

#[test]
fn a_running_and_a_failed_job_are_shown_alike_on_the_page_in_rest_sql_and_metrics() {
    let topic = kafka::shared().fresh_topic("clicks", 2);
    fill(&topic);
    let server = Server::start_with(&["--http", "127.0.0.1:0"]);
    let endpoint = Endpoint::announced(|| server.output());
    server.psql(&jobs(&topic));
    server.wait_for_status("count numbers", "FAILED");
    server.wait_for_status("copy memory", "FAILED");
    let id = endpoint.job("count clicks").expect("the job is listed");
    wait_for("all messages to be read and their watermarks seen", LIMIT, || {
        let splits = endpoint.json(&format!("/jobs/{id}/splits"));
        let splits = splits["splits"].as_array().expect("splits");
        let read = |split: &Value| split["position"] == MESSAGES && split["lag"] == 0 && split["watermark"].is_i64();
        (splits.len() == 2 && splits.iter().all(read)).then_some(())
    });
    the_running_one(&Job::new(&server, &endpoint, "count clicks"), &topic);
    the_failed_one(&Job::new(&server, &endpoint, "count numbers"));
    the_restarted_one(&Job::new(&server, &endpoint, "copy memory"));
    let busy = Job::new(&server, &endpoint, "count events");
    let pace: u64 = figure(busy.line(), "rows-per-second").parse().expect("a number");
    assert!(pace > 0, "{}", busy.line());
    a_picture(&endpoint, &busy.id);
}

fn the_running_one(job: &Job<'_>, topic: &str) {
    assert_eq!(job.listed()[2], "RUNNING");
    job.same_figures(Some(0));
    assert_eq!(figure(job.line(), "rows-per-second"), "0");
    assert_eq!(figure(job.line(), "rows-read"), (2 * MESSAGES).to_string());
    let lag = job.same_lag();
    let holders: Vec<(&str, &str)> = lag.iter().map(|line| (line[3].as_str(), line[8].as_str())).collect();
    let partition = |number: i32| format!("{topic}-{number}");
    assert_eq!(holders, [(partition(0).as_str(), "TRUE"), (partition(1).as_str(), "FALSE")]);
    // The job's watermark is that of the one which holds it.
    let held = row(&job.document, &format!("data-partition=\"{}\"", partition(0)));
    assert_eq!(figure(job.line(), "watermark"), figure(held, "watermark"));
    assert!(figure(held, "watermark").starts_with("1970-01-01 00:16:40"), "{held}");
    job.same_graph("0 rows/s");
    assert!(!job.document.contains("data-figure=\"error\""), "it has no error");
}

fn the_failed_one(job: &Job<'_>) {
    let waiting: u64 = job.same_lag().iter().map(|line| line[6].parse::<u64>().expect("a number")).sum();
    assert!(waiting > 0, "it stands before the message that is no number");
    job.same_figures(Some(waiting));
    assert_eq!((figure(job.line(), "restarts"), figure(job.line(), "rows-per-second")), ("0".into(), "–".into()));
    job.same_graph("");
    assert!(job.same_error().contains("'p"), "the message that is no number");
}

fn the_restarted_one(job: &Job<'_>) {
    job.same_figures(None);
    assert_eq!(figure(job.line(), "restarts"), "2");
    assert_eq!(job.same_error(), "reading /proc/self/mem: Input/output error (os error 5)");
}

/// Makes `docs/http-page.png`, but in the target folder: who wants it in the documentation copies it.
fn a_picture(endpoint: &Endpoint, id: &str) {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("http-page.png");
    let _ = std::fs::remove_file(&file);
    browser::picture(&format!("http://{}/#{id}", endpoint.address), &file, PICTURE);
    let bytes = std::fs::read(&file).expect("the picture");
    let number = |at: usize| bytes.get(at..at + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    assert_eq!(bytes.get(..8), Some(&b"\x89PNG\r\n\x1a\n"[..]));
    assert_eq!((number(16), number(20)), (Some(PICTURE.0), Some(PICTURE.1)));
    assert!(bytes.len() > 20_000, "{} bytes are no picture of the page", bytes.len());
}
