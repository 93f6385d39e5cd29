//! What is refused before rows flow, and what stops a job for good.

use super::*;
use eddyline_tests::program::run_sql;

#[test]
fn a_timeout_above_the_brokers_is_refused_with_both_numbers() {
    let pipeline = Pipeline::new(shared()).with("properties.transaction.timeout.ms", "1000000");
    let words = refusal(pipeline.open());
    assert!(words.contains("1000000") && words.contains("900000"), "{words}");
    assert!(words.contains("transaction.max.timeout.ms"), "{words}");
}

/// A pipeline of the user `alice`, whose names begin with `prefix`.
fn of_alice(prefix: &str) -> Pipeline {
    Pipeline::new(shared())
        .with("properties.bootstrap.servers", &shared().sasl_bootstrap())
        .with("properties.security.protocol", "SASL_PLAINTEXT")
        .with("properties.sasl.mechanism", "PLAIN")
        .with("properties.sasl.username", "alice")
        .with("properties.sasl.password", "alice-secret")
        .with("sink.transactional-id-prefix", prefix)
}

#[test]
fn a_denied_transactional_id_is_named() {
    shared().deny_alice("TRANSACTIONAL_ID", "denied-ids");
    let words = refusal(of_alice("denied-ids").start());
    assert!(words.contains("ransactional") && words.contains("sink.transactional-id-prefix"), "{words}");
    assert!(!words.contains("alice-secret"), "{words}");
}

#[test]
fn a_denied_marker_group_is_named() {
    shared().deny_alice("GROUP", "denied-groups");
    let words = refusal(of_alice("denied-groups").start());
    assert!(words.contains("consumer groups") && words.contains("sink.transactional-id-prefix"), "{words}");
}

#[test]
fn exactly_once_without_checkpoints_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let sql = format!(
        "SET 'execution.checkpointing.interval' = '0';
         CREATE TABLE numbers (id BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '10');
         CREATE TABLE result (id BIGINT) WITH ('connector' = 'kafka', 'topic' = '{}', 'format' = 'csv',
           'properties.bootstrap.servers' = '{}', 'sink.delivery-guarantee' = 'exactly-once');
         INSERT INTO result SELECT id FROM numbers;",
        shared().fresh_topic("unchecked", 1),
        shared().bootstrap()
    );
    let finished = run_sql(folder.path(), &sql, &[]);
    assert!(!finished.success && finished.stderr.contains("checkpoint"), "{finished:?}");
}

#[test]
fn a_topic_that_is_deleted_under_the_job_stops_it() {
    let pipeline = Pipeline::new(shared()).with("properties.transaction.timeout.ms", "10000");
    let mut process = pipeline.start().unwrap();
    let log = process.log(0..10);
    process.apply(1, &log).unwrap();
    shared().delete_topic(&pipeline.topic);
    let log = process.log(10..20);
    let words = refusal(process.apply(2, &log));
    assert!(words.contains(&format!("'{}'", pipeline.topic)) && words.contains("does not exist"), "{words}");
}

#[test]
fn a_damaged_log_is_refused_and_nothing_of_it_written() {
    let pipeline = Pipeline::new(shared());
    let mut process = pipeline.start().unwrap();
    let mut bytes = process.log(0..10).bytes().to_vec();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let words = refusal(process.apply(1, &Arc::new(EpochLog::new(bytes))));
    assert!(words.contains("damaged"), "{words}");
    assert!(pipeline.visible().is_empty());
}

#[test]
fn options_that_exclude_exactly_once_are_refused() {
    let refused = |key: &str, value: &str| refusal(Pipeline::new(shared()).with(key, value).factory());
    assert!(refused("properties.acks", "1").contains("'properties.acks' = '1'"));
    assert!(refused("properties.bootstrap.servers", "embedded").contains("embedded broker"));
    assert!(Pipeline::new(shared()).factory().unwrap().needs_checkpoints());
}
