//! `/metrics` is what Prometheus' own parser reads, and what the documentation lists.

use std::collections::BTreeSet;
use std::time::Duration;

use eddyline_tests::http::Endpoint;
use eddyline_tests::program::workspace;
use eddyline_tests::server::Server;
use eddyline_tests::services::process::wait_for;

use super::JOB;

/// Reads `metrics.txt` with Prometheus' parser: each family with its help and its kind once, no series twice, counters
/// named as counters. Prints name, kind and labels of each.
const PARSE: &str = r#"
import os
from prometheus_client.parser import text_string_to_metric_families as parse
text = open(os.path.join(os.environ['FOLDER'], 'metrics.txt')).read()
assert text.endswith('\n')
seen, series = set(), set()
for family in parse(text):
    assert family.type in ('counter', 'gauge') and family.documentation.endswith('.'), family
    assert family.name not in seen and family.samples, family
    seen.add(family.name)
    name = family.name + ('_total' if family.type == 'counter' else '')
    labels = set()
    for sample in family.samples:
        assert sample.name == name, (sample, name)
        key = (sample.name, *sorted(sample.labels.items()))
        assert key not in series, key
        series.add(key)
        assert sample.value >= 0 or family.type == 'gauge', sample
        labels |= set(sample.labels)
    print(name, family.type, ' '.join(sorted(labels - {'job', 'job_id'})), sep='|')
for line in text.splitlines():
    assert line.startswith(('# HELP ', '# TYPE ')) or line.split('{')[0].split(' ')[0] in {s[0] for s in series}, line
"#;

/// The table of `docs/http.md` in the form that [`PARSE`] prints.
fn documented() -> BTreeSet<String> {
    let text = std::fs::read_to_string(workspace().join("docs/http.md")).expect("the documentation");
    let row = |line: &str| {
        let cells: Vec<String> = line.trim_matches('|').split('|').map(|c| c.trim().replace(['`', ','], "")).collect();
        let [name, kind, labels, _] = cells.as_slice() else { return None };
        let mut labels: Vec<&str> = labels.split_whitespace().collect();
        labels.sort_unstable();
        ["counter", "gauge"].contains(&kind.as_str()).then(|| format!("{name}|{kind}|{}", labels.join(" ")))
    };
    text.lines().filter_map(row).collect()
}

#[test]
fn metrics_are_what_prometheus_reads_and_the_documentation_lists() {
    let server = Server::start_with(&["--http", "127.0.0.1:0"]);
    let endpoint = Endpoint::announced(|| server.output());
    server.psql(&JOB.replace("'observed'", "'a \"quoted\" \\ name\nof two lines'"));
    let metrics = wait_for("what a job does not have from its beginning", Duration::from_secs(30), || {
        let metrics = endpoint.get("/metrics");
        assert!(metrics.head.contains("content-type: text/plain; version=0.0.4"), "{}", metrics.head);
        let later =
            ["checkpoint_bytes", "split_watermark_seconds", "split_lag_rows", "job_lag_rows", "job_watermark_seconds"];
        later.iter().all(|name| metrics.body.contains(&format!("eddyline_{name}{{"))).then_some(metrics.body)
    });
    assert!(metrics.contains(r#"job="a \"quoted\" \\ name\nof two lines""#), "{metrics}");
    std::fs::write(server.folder().join("metrics.txt"), metrics).expect("a file");
    let served: BTreeSet<String> = server.python(PARSE).lines().map(str::to_string).collect();
    let missing: Vec<String> = documented().difference(&served).cloned().collect();
    let undocumented: Vec<&String> = served.iter().filter(|line| !documented().contains(*line)).collect();
    assert!(missing.is_empty() && undocumented.is_empty(), "not served: {missing:?}; not documented: {undocumented:?}");
}
