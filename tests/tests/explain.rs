//! EXPLAIN of the files in `explain/`: each holds SQL, a line of dashes, and the plan that it must give.
//!
//! The plans name the uids of all operators, so that a change that would lose the state of running jobs shows here.
//! `EDDYLINE_BLESS=1` rewrites the files; read the difference before you commit it.

use std::fs;
use std::path::{Path, PathBuf};

use eddyline_tests::program::{run_with_input, workspace};

/// Between SQL and plan.
const RULE: &str = "----\n";

/// Lines shown around a difference.
const CONTEXT: usize = 2;

fn cases() -> Vec<PathBuf> {
    let folder = workspace().join("tests/tests/explain");
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).expect("the folder of cases").map(|entry| entry.expect("readable").path()).collect();
    files.sort();
    files
}

fn explain(sql: &str) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let finished = run_with_input(folder.path(), &["explain", "-"], sql);
    format!("{}{}", finished.stdout, finished.stderr)
}

/// Where two texts differ: their common lines at both ends left out.
fn difference(expected: &str, actual: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), actual.lines().collect());
    let same_at_start = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - same_at_start;
    let same_at_end = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let mut text = String::new();
    let mut lines = |sign: &str, lines: &[&str]| lines.iter().for_each(|l| text.push_str(&format!("{sign} {l}\n")));
    lines(" ", &old[same_at_start.saturating_sub(CONTEXT)..same_at_start]);
    lines("-", &old[same_at_start..old.len() - same_at_end]);
    lines("+", &new[same_at_start..new.len() - same_at_end]);
    lines(" ", &old[old.len() - same_at_end..][..same_at_end.min(CONTEXT)]);
    text
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[test]
fn plans_are_as_written_down() {
    let bless = std::env::var_os("EDDYLINE_BLESS").is_some();
    let mut failures = Vec::new();
    let cases = cases();
    assert!(cases.len() >= 20, "the cases must be found");
    for path in &cases {
        let text = fs::read_to_string(path).expect("a readable case");
        let (sql, expected) = text.split_once(RULE).unwrap_or((&text, ""));
        let actual = explain(sql);
        if bless {
            fs::write(path, format!("{sql}{RULE}{actual}")).expect("the case can be written");
        } else if actual != expected {
            failures.push(format!("{}\n{}", name(path), difference(expected, &actual)));
        }
    }
    assert!(failures.is_empty(), "plans have changed; EDDYLINE_BLESS=1 accepts them\n\n{}", failures.join("\n"));
}

#[test]
fn no_plan_shows_a_secret() {
    let secrets = ["sesame", "jaas-secret"];
    let sql = r#"
        CREATE TABLE clicks (user_id STRING, url STRING) WITH ('connector' = 'kafka', 'topic' = 'clicks',
          'properties.bootstrap.servers' = 'broker:9092', 'properties.sasl.jaas.config' =
            'org.apache.kafka.common.security.plain.PlainLoginModule required username="app" password="jaas-secret";',
          'format' = 'json', 'scan.startup.mode' = 'earliest-offset');
        CREATE TABLE counts (user_id STRING, n BIGINT, PRIMARY KEY (user_id) NOT ENFORCED) WITH ('connector' = 'jdbc',
          'url' = 'jdbc:mysql://db:3306/app?password=sesame', 'table-name' = 'counts', 'username' = 'app',
          'password' = 'sesame');
        INSERT INTO counts SELECT user_id, COUNT(*) FROM clicks GROUP BY user_id;"#;
    let plan = explain(sql);
    assert!(plan.contains("Sink(table=[counts]"), "{plan}");
    for secret in secrets {
        assert!(!plan.contains(secret), "'{secret}' is in:\n{plan}");
    }
}

#[test]
fn every_spelling_of_explain_gives_the_same_plan() {
    let table = "CREATE TABLE t (a INT, b INT) WITH ('connector' = 'datagen');\n";
    let sinks = "CREATE TABLE s (a INT) WITH ('connector' = 'blackhole');\n";
    let plan = explain(&format!("{table}SELECT a FROM t;"));
    for words in ["EXPLAIN", "EXPLAIN PLAN FOR", "EXPLAIN CHANGELOG_MODE"] {
        assert_eq!(explain(&format!("{table}{words} SELECT a FROM t;")), plan, "{words}");
    }
    let costly = explain(&format!("{table}EXPLAIN ESTIMATED_COST, CHANGELOG_MODE SELECT a FROM t;"));
    assert!(costly.starts_with(&plan) && costly.contains("WARNING: EXPLAIN ESTIMATED_COST adds nothing"), "{costly}");
    let set = "EXECUTE STATEMENT SET BEGIN INSERT INTO s SELECT a FROM t; INSERT INTO s SELECT b FROM t; END;";
    assert_eq!(
        explain(&format!("{table}{sinks}EXPLAIN {set}")),
        explain(&format!("{table}{sinks}{set}")),
        "a statement set"
    );
}

#[test]
fn what_reads_views_is_checked_without_their_rows() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let check = |sql: &str| run_with_input(folder.path(), &["run", "--check", "-"], sql);
    let views = "CREATE TABLE people (id INT PRIMARY KEY, name STRING);
        CREATE MATERIALIZED VIEW by_name AS SELECT name, COUNT(*) AS n FROM people GROUP BY name;
        CREATE MATERIALIZED VIEW top AS SELECT MAX(n) AS n FROM by_name;";
    let fine =
        check(&format!("{views} SELECT name FROM by_name JOIN top ON by_name.n = top.n; SUBSCRIBE TO top; FLUSH;"));
    assert!(fine.success && fine.stderr.is_empty(), "{}", fine.stderr);
    assert!(fine.stdout.contains("6 statements, 3 of them with a plan, are in order"), "{}", fine.stdout);
    let wrong = check(&format!("{views}\nSUBSCRIBE TO tip;"));
    assert!(!wrong.success && wrong.stderr.contains("Object 'tip' not found"), "{}", wrong.stderr);
    assert!(wrong.stderr.contains(":4:14: ERROR"), "{}", wrong.stderr);
}
