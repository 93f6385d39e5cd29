//! The page in a real browser: it says what REST and SQL say.

use std::time::Duration;

use eddyline_tests::browser;
use eddyline_tests::http::Endpoint;
use eddyline_tests::server::Server;
use eddyline_tests::services::kafka;
use eddyline_tests::services::process::wait_for;
use serde_json::Value;

const PARTITIONS: i32 = 3;
const MESSAGES: u64 = 30_000;
/// A name that would do harm if it were markup.
const NAME: &str = "<script>document.title = 1</script> & co";

/// Counts the numbers of a Kafka topic that somebody has filled, one checkpoint after the other.
fn job(topic: &str) -> String {
    format!(
        "CREATE TABLE `<b>numbers</b>` (line STRING, at TIMESTAMP_LTZ(3) METADATA FROM 'timestamp',
           WATERMARK FOR at AS at - INTERVAL '1' SECOND) WITH ('connector' = 'kafka', 'topic' = '{topic}',
           'properties.bootstrap.servers' = '{}', 'scan.startup.mode' = 'earliest-offset', 'format' = 'raw');
         CREATE TABLE nowhere (line STRING, n BIGINT, PRIMARY KEY (line) NOT ENFORCED) WITH ('connector' = 'blackhole');
         SET 'execution.checkpointing.interval' = '100 ms';
         SET 'pipeline.name' = '{NAME}';
         INSERT INTO nowhere SELECT line, COUNT(*) FROM `<b>numbers</b>` GROUP BY line;",
        kafka::shared().bootstrap()
    )
}

/// The text of an element, without markup and with its entities replaced.
pub fn text(html: &str) -> String {
    let mut text = String::new();
    let mut rest = html;
    while let Some((before, after)) = rest.split_once('<') {
        text.push_str(before);
        rest = after.split_once('>').map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// The row of a table that has this attribute.
#[track_caller]
pub fn row<'a>(document: &'a str, attribute: &str) -> &'a str {
    let start = document.find(attribute).unwrap_or_else(|| panic!("the page has no {attribute}"));
    document[start..].split("</tr>").next().unwrap_or_default()
}

/// What the page shows under a name; thousands without their commas.
#[track_caller]
pub fn figure(html: &str, name: &str) -> String {
    let (_, after) =
        html.split_once(&format!("data-figure=\"{name}\">")).unwrap_or_else(|| panic!("no {name}: {html}"));
    text(after.split("</td>").next().unwrap_or_default()).replace(',', "")
}

/// The rows that psql shows for `sql`, as named columns.
pub fn facts(server: &Server, sql: &str) -> Vec<Vec<String>> {
    server.psql(sql).lines().map(|line| line.split('|').map(str::to_string).collect()).collect()
}

pub fn written(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[test]
fn the_page_says_what_rest_and_sql_say() {
    let topic = kafka::shared().fresh_topic("numbers", PARTITIONS);
    let lines = || (0..MESSAGES / 3).map(|i| (i % 5_000).to_string());
    kafka::shared().produce_lines(&topic, PARTITIONS as usize, lines());
    let server = Server::start_with(&["--http", "127.0.0.1:0"]);
    let endpoint = Endpoint::announced(|| server.output());
    server.psql(&job(&topic));
    let id = endpoint.job(NAME).expect("the job is listed");
    let counts = || endpoint.json(&format!("/jobs/{id}/checkpoints"))["counts"]["completed"].as_u64();
    for _ in 1..3 {
        let before = counts();
        wait_for("a checkpoint", Duration::from_secs(60), || (counts() > before).then_some(()));
        kafka::shared().produce_lines(&topic, PARTITIONS as usize, lines());
    }
    wait_for("all messages to be read", Duration::from_secs(60), || {
        (endpoint.json(&format!("/jobs/{id}"))["eddyline"]["rows-read"] == MESSAGES).then_some(())
    });
    // From here on nothing changes any more.
    server.psql(&format!("STOP JOB '{id}'"));
    endpoint.wait_for_state(&id, "FINISHED");
    let document = browser::document(&format!("http://{}/#{id}", endpoint.address));
    assert!(document.contains("<title>Eddyline</title>"), "names are no markup");
    same_job(&server, &endpoint, &id, &document);
    same_lag(&server, &endpoint, &id, &document);
    same_checkpoints(&server, &endpoint, &id, &document);
}

fn same_job(server: &Server, endpoint: &Endpoint, id: &str, document: &str) {
    let shown = row(document, &format!("data-job=\"{id}\""));
    let rest = endpoint.json(&format!("/jobs/{id}"));
    let sql = &facts(server, "SHOW JOBS")[0];
    assert_eq!((&sql[0], &sql[1], rest["name"].as_str()), (&id.to_string(), &NAME.to_string(), Some(NAME)));
    assert!(shown.contains("&lt;script&gt;") && !shown.contains("<script>"), "{shown}");
    assert_eq!(sql[2], "FINISHED");
    assert!(shown.contains(">FINISHED</td>") && rest["state"] == "FINISHED", "{shown}");
    let read = MESSAGES.to_string();
    assert_eq!((figure(shown, "rows-read"), &sql[4]), (read.clone(), &read));
    let written_rows = figure(shown, "rows-written");
    assert_eq!(written_rows, rest["eddyline"]["rows-written"].to_string());
    assert_eq!(figure(shown, "lag"), "0");
}

fn same_lag(server: &Server, endpoint: &Endpoint, id: &str, document: &str) {
    let rest = endpoint.json(&format!("/jobs/{id}/splits"));
    let rest = rest["splits"].as_array().expect("splits");
    let sql = facts(server, &format!("SHOW LAG FOR JOB '{id}'"));
    assert_eq!((rest.len(), sql.len()), (PARTITIONS as usize, PARTITIONS as usize));
    for (of_rest, of_sql) in rest.iter().zip(&sql) {
        let shown = row(document, &format!("data-partition=\"{}\"", written(&of_rest["partition"])));
        assert!(shown.contains("&lt;b&gt;numbers&lt;/b&gt;"), "{shown}");
        for (name, column) in [("position", 4), ("end", 5), ("lag", 6)] {
            assert_eq!((figure(shown, name), &of_sql[column]), (written(&of_rest[name]), &of_sql[column]), "{name}");
            assert_eq!(figure(shown, name), of_sql[column], "{name}");
        }
        assert_eq!((&of_sql[6], of_sql[8].as_str(), of_sql[9].as_str()), (&"0".to_string(), "FALSE", "ENDED"));
        // `2026-11-21 21:50:01.123` on the page, with a T between in SQL.
        assert_eq!(figure(shown, "watermark").replace(' ', "T"), of_sql[7]);
    }
    let read: u64 = rest.iter().filter_map(|split| split["position"].as_u64()).sum();
    assert_eq!(read, MESSAGES);
}

fn same_checkpoints(server: &Server, endpoint: &Endpoint, id: &str, document: &str) {
    let rest = endpoint.json(&format!("/jobs/{id}/checkpoints"));
    let history = rest["history"].as_array().expect("history");
    let sql = facts(server, &format!("SHOW CHECKPOINTS FOR JOB '{id}'"));
    assert!(history.len() == sql.len() && sql.len() >= 3, "{sql:?}");
    for (of_rest, of_sql) in history.iter().zip(&sql).take(20) {
        let epoch = written(&of_rest["id"]);
        let shown = row(document, &format!("data-epoch=\"{epoch}\""));
        assert_eq!((&epoch, &of_sql[2], written(&of_rest["status"])), (&of_sql[2], &epoch, of_sql[8].clone()));
        assert_eq!(figure(shown, "duration"), format!("{} ms", of_sql[5]));
        assert_eq!(written(&of_rest["end_to_end_duration"]), of_sql[5]);
        assert_eq!((figure(shown, "size"), written(&of_rest["state_size"])), (of_sql[6].clone(), of_sql[6].clone()));
        let growth = figure(shown, "growth").replace('−', "-").replace(['+', '±'], "").replace('–', "");
        assert_eq!((&growth, &written(&of_rest["growth"])), (&of_sql[7], &of_sql[7]));
        assert_eq!(written(&of_rest["external_path"]), of_sql[9]);
    }
    let counted = format!("{} completed, 0 failed, 0 in progress", history.len());
    assert!(document.contains(&counted), "{counted}");
    same_plots(history, document);
}

/// Room for a curve or bar in a plot.
const PLOT_HEIGHT: f64 = 72.0;
/// Where the ground of a plot is, from its top.
const PLOT_GROUND: f64 = 96.0;

/// Points and bars stand for the complete checkpoints, the oldest first, and are as high as their figures say.
fn same_plots(history: &[Value], document: &str) {
    let done: Vec<&Value> = history.iter().rev().filter(|entry| entry["status"] == "COMPLETED").collect();
    assert!(done.len() >= 3, "{history:?}");
    for (plot, member) in [("duration", "end_to_end_duration"), ("size", "state_size")] {
        let values: Vec<f64> = done.iter().map(|entry| entry[member].as_f64().expect("a number")).collect();
        let most = values.iter().copied().fold(1.0, f64::max);
        let drawn = plotted(document, plot);
        let (_, trace) = drawn.split_once("class=\"trace\" d=\"M").expect("a curve");
        let points: Vec<f64> = trace
            .split('"')
            .next()
            .unwrap_or_default()
            .split(" L")
            .map(|point| point.split(' ').nth(1).and_then(|y| y.parse().ok()).expect("a point"))
            .collect();
        assert_alike(plot, &points, &values.iter().map(|v| PLOT_GROUND - v * PLOT_HEIGHT / most).collect::<Vec<_>>());
    }
    let growth: Vec<f64> = done.iter().map(|entry| entry["growth"].as_f64().unwrap_or(0.0)).collect();
    let most = growth.iter().map(|g| g.abs()).fold(1.0, f64::max);
    let room = if growth.iter().any(|g| *g < 0.0) { PLOT_HEIGHT / 2.0 } else { PLOT_HEIGHT };
    let bars: Vec<&str> = plotted(document, "growth of the state").split("<rect ").skip(1).collect();
    let height = |bar: &&str| {
        let (_, after) = bar.split_once(" height=\"").expect("a height");
        let height: f64 = after.split('"').next().and_then(|text| text.parse().ok()).expect("a number");
        if bar.starts_with("class=\"shrank\"") { -height } else { height }
    };
    let heights: Vec<f64> = bars.iter().map(height).collect();
    assert_alike("growth", &heights, &growth.iter().map(|g| g * room / most).collect::<Vec<_>>());
}

/// The plot with this name.
#[track_caller]
fn plotted<'a>(document: &'a str, plot: &str) -> &'a str {
    let (_, after) = document.split_once(&format!("aria-label=\"{plot}: ")).unwrap_or_else(|| panic!("no {plot}"));
    after.split("</svg>").next().unwrap_or_default()
}

/// Equal but for the one digit behind the point that the page keeps.
#[track_caller]
fn assert_alike(what: &str, drawn: &[f64], wanted: &[f64]) {
    let alike = drawn.len() == wanted.len() && drawn.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 0.06);
    assert!(alike, "{what}: {drawn:?} instead of {wanted:?}");
}
