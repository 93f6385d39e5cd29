//! An `upsert-kafka` sink with exactly-once delivery, killed: every change is there once, in order.

use std::collections::BTreeMap;
use std::time::Duration;

use eddyline_tests::checkpoints::{newest, wait_for_newer};
use eddyline_tests::program::Program;
use eddyline_tests::services::kafka;
use eddyline_tests::services::process::wait_for;
use rdkafka::Message;

const LIMIT: Duration = Duration::from_secs(60);

/// Counts per word of a topic, written exactly once, by a program that is killed now and then.
#[test]
fn counts_are_upserted_exactly_once_over_kills() {
    const KILLS: usize = 5;
    const WORDS: usize = 50;
    const LINES: usize = 20_000;
    let (source, topic) = (kafka::shared().fresh_topic("words", 4), kafka::shared().fresh_topic("once", 3));
    let brokers = kafka::shared().bootstrap();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = format!(
        "SET 'pipeline.name' = 'once'; SET 'execution.checkpointing.dir' = 'checkpoints';
         SET 'execution.checkpointing.interval' = '300ms'; SET 'parallelism.default' = '2';
         CREATE TABLE words (word STRING) WITH ('connector' = 'kafka', 'topic' = '{source}', 'format' = 'raw',
           'properties.bootstrap.servers' = '{brokers}', 'scan.startup.mode' = 'earliest-offset');
         CREATE TABLE once (word STRING, cnt BIGINT, PRIMARY KEY (word) NOT ENFORCED)
         WITH ('connector' = 'upsert-kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{brokers}',
           'key.format' = 'raw', 'value.format' = 'raw', 'value.fields-include' = 'EXCEPT_KEY',
           'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = 'tests');
         INSERT INTO once SELECT word, COUNT(*) FROM words GROUP BY word;"
    );
    std::fs::write(folder.path().join("once.sql"), script).expect("a file");
    let start = || Program::start(folder.path(), &["run".to_string(), "once.sql".to_string()]);
    let checkpoints = folder.path().join("checkpoints").join("once");
    let mut program = start();
    for _ in 0..KILLS {
        kafka::shared().produce_lines(&source, 4, (0..LINES / KILLS).map(|i| format!("w{}", i % WORDS)));
        let known = newest(&checkpoints);
        wait_for_newer(&checkpoints, known, &mut program);
        program.kill();
        program = start();
    }
    let per_word = (LINES / WORDS) as i64;
    let counts = || {
        let mut counts: BTreeMap<Vec<u8>, Vec<i64>> = BTreeMap::new();
        for message in kafka::shared().read_committed(&topic) {
            let count = message.payload().and_then(|bytes| bytes.try_into().ok()).map(i64::from_be_bytes);
            let key = message.key().expect("a key").to_vec();
            counts.entry(key).or_default().push(count.expect("a count"));
        }
        counts
    };
    let counts = wait_for("all words to be counted", LIMIT, || {
        program.assert_running();
        let counts = counts();
        let done = counts.len() == WORDS && counts.values().all(|c| c.last() == Some(&per_word));
        done.then_some(counts)
    });
    assert!(program.stop().success(), "{}", program.output());
    for (word, counts) in counts {
        let word = String::from_utf8_lossy(&word);
        assert!(counts.is_sorted_by(|a, b| a < b), "{word} is counted twice or out of order: {counts:?}");
    }
}
