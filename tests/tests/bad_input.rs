//! What a user sees who got something wrong: one message that names the culprit and says what to do, soon, and exit
//! code 1.

use std::time::{Duration, Instant};

use eddyline_tests::program::{Finished, run, run_sql};
use eddyline_tests::services::mariadb::{self, PASSWORD, USER};
use eddyline_tests::services::process::free_port;
use eddyline_tests::services::{kafka, kafka::Record};

/// Runs a script that must be refused, and returns what it said.
#[track_caller]
fn refused(sql: &str) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    message(&run_sql(folder.path(), sql, &[]))
}

#[track_caller]
fn message(finished: &Finished) -> String {
    assert_eq!(finished.code, Some(1), "{finished:?}");
    finished.stderr.clone()
}

#[track_caller]
fn assert_says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "`{part}` is missing in:\n{said}");
    }
}

/// A bounded table over JSON messages.
fn json_table(brokers: &str, topic: &str, options: &str) -> String {
    format!(
        "CREATE TABLE t (id BIGINT, name STRING) WITH ('connector' = 'kafka', 'topic' = '{topic}',
           'properties.bootstrap.servers' = '{brokers}', 'scan.startup.mode' = 'earliest-offset',
           'scan.bounded.mode' = 'latest-offset', 'format' = 'json' {options});"
    )
}

/// A table of the test database.
fn jdbc_table(table: &str, password: &str) -> String {
    let url = mariadb::shared().jdbc_url();
    let password = password.replace('\'', "''");
    format!(
        "CREATE TABLE wc (word STRING, cnt BIGINT, PRIMARY KEY (word) NOT ENFORCED) WITH ('connector' = 'jdbc',
           'url' = '{url}', 'table-name' = '{table}', 'username' = '{USER}', 'password' = '{password}');"
    )
}

#[test]
fn an_unknown_option_is_answered_with_the_nearest_known_one() {
    let said =
        refused("CREATE TABLE t (a INT) WITH ('connector' = 'datagen', 'row-per-second' = '5'); SELECT * FROM t;");
    assert_says(&said, &["Unsupported options: row-per-second", "did you mean 'rows-per-second'?"]);
}

#[test]
fn an_unknown_connector_is_answered_with_the_known_ones() {
    let said = refused("CREATE TABLE t (a INT) WITH ('connector' = 'kafak'); SELECT * FROM t;");
    assert_says(&said, &["kafak", "kafka", "HINT"]);
}

#[test]
fn an_unknown_column_is_shown_with_position_and_caret() {
    let said = refused("SELECT a,\n       nam\nFROM (VALUES (1, 'x')) AS t (a, name);");
    assert_says(&said, &["script.sql:2:8: ERROR", "'nam'", "LINE 2:        nam\n", "did you mean 'name'?"]);
    let lines: Vec<&str> = said.lines().collect();
    let quoted = lines.iter().position(|line| line.starts_with("LINE 2:")).expect("the quoted line");
    assert_eq!(lines[quoted + 1].find('^'), lines[quoted].find("nam"), "the caret is below the column:\n{said}");
}

#[test]
fn a_syntax_error_has_a_position() {
    let said = refused("SELECT 1;\nSELECT 1 FORM t;");
    assert_says(&said, &["script.sql:2:", "ERROR", "^"]);
}

#[test]
fn a_missing_topic_is_answered_with_the_nearest_one() {
    let topic = kafka::shared().fresh_topic("payments", 1);
    let wrong = topic.replace("payments", "payment");
    let table = json_table(&kafka::shared().bootstrap(), &wrong, "");
    let said = refused(&format!("{table} SELECT * FROM t;"));
    assert_says(&said, &[&format!("topic '{wrong}' does not exist"), "HINT", &topic]);
}

#[test]
fn an_unreachable_broker_is_an_error_within_ten_seconds() {
    let brokers = format!("127.0.0.1:{}", free_port());
    let started = Instant::now();
    let said = refused(&format!("{} SELECT * FROM t;", json_table(&brokers, "any", "")));
    assert_says(&said, &["cannot reach the broker", &brokers, "HINT", "properties.bootstrap.servers"]);
    assert!(started.elapsed() < Duration::from_secs(10), "it took {:?}", started.elapsed());
}

#[test]
fn a_wrong_database_password_is_refused_and_not_printed() {
    let wrong = "not-the-passw0rd";
    let said = refused(&format!("{} INSERT INTO wc VALUES ('a', 1);", jdbc_table("wc", wrong)));
    assert_says(&said, &["Access denied", USER, "HINT", "'password'"]);
    assert!(!said.contains(wrong), "the password is printed:\n{said}");
}

#[test]
fn a_missing_target_table_is_answered_with_its_create_table() {
    let name = mariadb::shared().fresh_name("missing");
    let sql = format!("{} INSERT INTO wc VALUES ('a', 1);", jdbc_table(&name, PASSWORD));
    let said = refused(&sql);
    assert_says(&said, &[&format!("table '{name}' does not exist"), "HINT"]);
    // The hint is what it says: with the table made by it, the same script works.
    let create = said.split("Create it with: ").nth(1).and_then(|t| t.lines().next()).expect("a CREATE TABLE");
    mariadb::shared().execute(create);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let finished = run_sql(folder.path(), &sql, &[]);
    assert!(finished.success, "{finished:?}");
    assert_eq!(mariadb::shared().query(&format!("SELECT * FROM {name} WHERE word = 'a' AND cnt = 1")).len(), 1);
}

/// A topic of three partitions; the message at partition 1, offset 2 is not JSON.
fn damaged_topic() -> String {
    let topic = kafka::shared().fresh_topic("damaged", 3);
    let good = |id: i32| format!(r#"{{"id": {id}, "name": "n{id}"}}"#);
    let record = |partition: i32, value: String| Record {
        partition: Some(partition),
        value: Some(value.into_bytes()),
        ..Record::default()
    };
    let values =
        [(0, good(1)), (1, good(2)), (1, good(3)), (1, r#"{"id": 4, "na"#.to_string()), (1, good(5)), (2, good(6))];
    kafka::shared().produce(&topic, values.into_iter().map(|(partition, value)| record(partition, value)));
    topic
}

#[test]
fn a_malformed_message_is_named_by_topic_partition_and_offset() {
    let topic = damaged_topic();
    let table = json_table(&kafka::shared().bootstrap(), &topic, "");
    let said = refused(&format!("{table} SELECT * FROM t;"));
    assert_says(&said, &[&topic, "partition 1", "offset 2", "HINT", "json.ignore-parse-errors"]);
}

#[test]
fn malformed_messages_are_skipped_and_counted_when_asked_for() {
    let topic = damaged_topic();
    let table = json_table(&kafka::shared().bootstrap(), &topic, ", 'json.ignore-parse-errors' = 'true'");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let finished = run_sql(folder.path(), &format!("{table} SELECT id FROM t;"), &[]);
    assert!(finished.success, "{finished:?}");
    let mut rows: Vec<&str> = finished.stdout.lines().collect();
    rows.sort_unstable();
    let expected: Vec<String> = [1, 2, 3, 5, 6].iter().map(|id| format!(r#"{{"op":"+I","row":[{id}]}}"#)).collect();
    assert_eq!(rows, expected);
    assert_says(&finished.stderr, &["WARNING", "1 message", "skipped"]);
}

#[test]
fn an_undefined_variable_is_named_with_its_position() {
    let said = refused("SELECT 1;\nSELECT '${nowhere}';");
    assert_says(&said, &["script.sql:2:9", "'nowhere' has no value", "-D nowhere="]);
}

#[test]
fn a_sink_without_updates_refuses_an_updating_query() {
    let said = refused(
        "CREATE TABLE out_t (a BIGINT, n BIGINT) WITH ('connector' = 'kafka', 'topic' = 'x', 'format' = 'json',
           'properties.bootstrap.servers' = 'embedded');
         CREATE TABLE in_t (a BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '3');
         INSERT INTO out_t SELECT a, COUNT(*) FROM in_t GROUP BY a;",
    );
    let phrase = "doesn't support consuming update changes which is produced by node GroupAggregate";
    assert_says(&said, &["out_t", phrase, "HINT"]);
}

#[test]
fn a_missing_file_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let said = message(&run(folder.path(), &["run", "nowhere.sql"]));
    assert_says(&said, &["cannot read nowhere.sql", "No such file"]);
}
