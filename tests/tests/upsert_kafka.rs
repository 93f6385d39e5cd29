//! Whole programs over `upsert-kafka` tables: what one job writes, another reads back as the table that it was.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use eddyline_tests::changelog::Table;
use eddyline_tests::program::{Finished, Program, run, run_sql};
use eddyline_tests::services::kafka::{self, Record};
use eddyline_tests::services::process::wait_for;
use rdkafka::Message;

const LIMIT: Duration = Duration::from_secs(60);

/// A table of words and counts on `topic`.
fn counts(name: &str, topic: &str, more: &str) -> String {
    let brokers = kafka::shared().bootstrap();
    format!(
        "CREATE TABLE {name} (word STRING, cnt BIGINT, total BIGINT, PRIMARY KEY (word) NOT ENFORCED)
         WITH ('connector' = 'upsert-kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{brokers}',
           'key.format' = 'json', 'value.format' = 'json', {more} 'scan.bounded.mode' = 'latest-offset');\n"
    )
}

/// A table of changes, Debezium's, on `topic`.
fn changes(topic: &str) -> String {
    let brokers = kafka::shared().bootstrap();
    format!(
        "CREATE TABLE changes (word STRING, n BIGINT) WITH ('connector' = 'kafka', 'topic' = '{topic}',
           'properties.bootstrap.servers' = '{brokers}', 'format' = 'debezium-json',
           'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset');\n"
    )
}

/// Insertions of 600 rows of 40 words, then deletions that take some words away whole.
fn write_changes(topic: &str, partitions: i32) -> Table {
    let row = |i: i64| format!(r#"{{"word":"w{}","n":{i}}}"#, i % 40);
    let gone = |i: i64| i % 40 < 10 || i % 7 == 0;
    let insert = |i: i64| format!(r#"{{"before":null,"after":{},"op":"c"}}"#, row(i));
    let delete = |i: i64| format!(r#"{{"before":{},"after":null,"op":"d"}}"#, row(i));
    let message = |i: i64, value: String| Record {
        partition: Some((i % 40) as i32 % partitions),
        value: Some(value.into_bytes()),
        ..Record::default()
    };
    let inserts = (0..600).map(|i| message(i, insert(i)));
    kafka::shared().produce(topic, inserts.chain((0..600).filter(|i| gone(*i)).map(|i| message(i, delete(i)))));
    let left = |word: i64| (0..600).filter(move |i| i % 40 == word && !gone(*i));
    let words = (0..40).filter(|word| left(*word).next().is_some());
    Table::from(words.map(|w| format!(r#"["w{w}",{},{}]"#, left(w).count(), left(w).sum::<i64>())))
}

fn sql(folder: &Path, text: &str, parallelism: usize) -> Finished {
    run_sql(folder, &format!("SET 'parallelism.default' = '{parallelism}';\n{text}"), &[])
}

fn group_by_comes_back(parallelism: usize, more: &str) {
    let (source, topic) = (kafka::shared().fresh_topic("changes", 4), kafka::shared().fresh_topic("counts", 3));
    let expected = write_changes(&source, 4);
    let folder = tempfile::tempdir().expect("a temporary folder");
    // Row by row, so that the changes of a word are not netted.
    let script = "SET 'pipeline.auto-watermark-interval' = '0';\n".to_string()
        + &changes(&source)
        + &counts("counts", &topic, more)
        + "INSERT INTO counts SELECT word, COUNT(*), SUM(n) FROM changes GROUP BY word;
           SELECT * FROM counts;";
    assert_eq!(Table::of(&sql(folder.path(), &script, parallelism)), expected);
    let written = kafka::shared().read_committed(&topic);
    assert!(written.iter().all(|m| m.key().is_some()), "every message has a key");
    let tombstones = written.iter().filter(|m| m.payload().is_none()).count();
    assert!(tombstones >= 10, "ten words are gone, there are {tombstones} tombstones");
    // The last message of a key, in its one partition, is its row.
    let last = |key: &[u8]| written.iter().rfind(|m| m.key() == Some(key)).expect("the key").payload();
    assert_eq!(last(br#"{"word":"w3"}"#), None);
    let partitions = |m: &rdkafka::message::OwnedMessage| {
        written.iter().filter(|o| o.key() == m.key()).all(|o| o.partition() == m.partition())
    };
    assert!(written.iter().all(partitions), "a key stays in one partition");
}

#[test]
fn a_group_by_comes_back_as_the_batch_result() {
    group_by_comes_back(1, "");
}

#[test]
fn a_group_by_comes_back_at_parallelism_2_with_a_buffer() {
    group_by_comes_back(2, "'sink.buffer-flush.max-rows' = '100', 'sink.buffer-flush.interval' = '1s',");
}

#[test]
fn a_group_that_fails_having_is_deleted() {
    let (source, topic) = (kafka::shared().fresh_topic("changes", 1), kafka::shared().fresh_topic("few", 1));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rows = ["a", "b", "a", "b", "b"].map(|w| format!(r#"{{"after":{{"word":"{w}","n":1}},"op":"c"}}"#));
    kafka::shared().produce_lines(&source, 1, rows);
    let script = "SET 'pipeline.auto-watermark-interval' = '0';\n".to_string()
        + &changes(&source)
        + &counts("few", &topic, "")
        + "INSERT INTO few SELECT word, COUNT(*), SUM(n) FROM changes GROUP BY word HAVING COUNT(*) < 3;
           SELECT * FROM few;";
    assert_eq!(Table::of(&sql(folder.path(), &script, 1)), Table::from([r#"["a",2,2]"#]));
}

#[test]
fn columns_that_nobody_reads_do_not_blur_the_key() {
    let topic = kafka::shared().fresh_topic("sparse", 2);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = counts("c", &topic, "")
        + "INSERT INTO c VALUES ('a', 1, 5), ('b', 2, 5), ('c', 1, 7);
           INSERT INTO c VALUES ('b', 1, 5);
           SELECT cnt, COUNT(*), SUM(total) FROM c GROUP BY cnt;
           SELECT total + 1 FROM c WHERE cnt = 1 AND word <> 'c';";
    for parallelism in [1, 2] {
        let finished = sql(folder.path(), &script, parallelism);
        assert!(finished.success, "{finished:?}");
        let (groups, rest): (Vec<&str>, Vec<&str>) =
            finished.stdout.lines().partition(|line| line.matches(',').count() > 2);
        let table = |lines: Vec<&str>| {
            let stdout = lines.iter().fold(String::new(), |mut text, line| {
                writeln!(text, "{line}").expect("memory");
                text
            });
            Table::of(&Finished { success: true, code: Some(0), stdout, stderr: String::new() })
        };
        assert_eq!(table(groups), Table::from(["[1,3,17]"]));
        assert_eq!(table(rest).rows().len(), 2);
    }
}

#[test]
fn from_upserts_to_upserts_nothing_is_remembered() {
    let (first, second) = (kafka::shared().fresh_topic("first", 2), kafka::shared().fresh_topic("second", 2));
    let key = |word: &str| Some(format!(r#"{{"word":"{word}"}}"#).into_bytes());
    let value = |word: &str, n: i64| Some(format!(r#"{{"word":"{word}","cnt":{n},"total":{n}}}"#).into_bytes());
    let record = |key, value| Record { key, value, ..Record::default() };
    let records = [
        record(key("a"), value("a", 1)),
        record(key("b"), value("b", 2)),
        record(key("a"), value("a", 3)),
        record(key("b"), None),
    ];
    kafka::shared().produce(&first, records);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tables = counts("a", &first, "") + &counts("b", &second, "");
    let insert = "INSERT INTO b SELECT word, total, cnt FROM a;";
    let plan = |statement: &str| {
        std::fs::write(folder.path().join("plan.sql"), format!("{tables}EXPLAIN {statement}")).expect("a file");
        let finished = run(folder.path(), &["explain", "plan.sql"]);
        assert!(finished.success, "{finished:?}");
        finished.stdout
    };
    assert!(!plan(insert).contains("ChangelogNormalize"), "{}", plan(insert));
    let other = plan("INSERT INTO b SELECT word, total + 1, cnt FROM a;");
    assert!(other.contains("ChangelogNormalize(key=[word])") && other.contains("changes=[Upsert]"), "{other}");
    let table = Table::of(&sql(folder.path(), &format!("{tables}{insert} SELECT * FROM b;"), 2));
    assert_eq!(table, Table::from([r#"["a",3,3]"#]));
    let tombstones = kafka::shared().read_committed(&second).iter().filter(|m| m.payload().is_none()).count();
    assert_eq!(tombstones, 1);
}

#[test]
fn the_last_rows_survive_a_restart() {
    let (first, second) = (kafka::shared().fresh_topic("live", 2), kafka::shared().fresh_topic("sums", 1));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let brokers = kafka::shared().bootstrap();
    let script = format!(
        "SET 'pipeline.name' = 'sums'; SET 'execution.checkpointing.dir' = 'checkpoints';
         SET 'execution.checkpointing.interval' = '1s';
         CREATE TABLE live (word STRING, n BIGINT, ts TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
           double_n AS n * 2, WATERMARK FOR ts AS ts, PRIMARY KEY (word) NOT ENFORCED)
         WITH ('connector' = 'upsert-kafka', 'topic' = '{first}', 'properties.bootstrap.servers' = '{brokers}',
           'key.format' = 'raw', 'value.format' = 'json', 'value.fields-include' = 'EXCEPT_KEY');
         CREATE TABLE sums (k INT, total BIGINT, PRIMARY KEY (k) NOT ENFORCED)
         WITH ('connector' = 'upsert-kafka', 'topic' = '{second}', 'properties.bootstrap.servers' = '{brokers}',
           'key.format' = 'json', 'value.format' = 'json');
         INSERT INTO sums SELECT k, SUM(double_n) FROM (SELECT 1 AS k, double_n FROM live) GROUP BY k;"
    );
    std::fs::write(folder.path().join("sums.sql"), script).expect("a file");
    let arguments = ["run".to_string(), "sums.sql".to_string()];
    let put = |word: &str, n: Option<i64>| {
        let value = n.map(|n| format!(r#"{{"n":{n}}}"#).into_bytes());
        kafka::shared().produce(&first, [Record { key: Some(word.as_bytes().to_vec()), value, ..Record::default() }]);
    };
    let expect = |program: &mut Program, total: i64| {
        wait_for("the sum", LIMIT, || {
            program.assert_running();
            let written = kafka::shared().read_committed(&second);
            let last = written.last().and_then(|m| m.payload().map(|p| String::from_utf8_lossy(p).to_string()));
            (last == Some(format!(r#"{{"k":1,"total":{total}}}"#))).then_some(())
        });
    };
    put("a", Some(1));
    put("b", Some(10));
    let mut program = Program::start(folder.path(), &arguments);
    expect(&mut program, 22);
    assert!(program.stop().success(), "{}", program.output());
    put("a", Some(5));
    put("b", None);
    let mut program = Program::start(folder.path(), &arguments);
    expect(&mut program, 10);
    assert!(program.stop().success(), "{}", program.output());
    assert!(program.output().contains("resuming"), "{}", program.output());
}
