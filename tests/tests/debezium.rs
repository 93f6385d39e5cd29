//! Whole programs over `debezium-json`: what is written is read back, over Kafka and over files, with its metadata.

use eddyline_tests::changelog::Table;
use eddyline_tests::program::run_sql;
use eddyline_tests::services::kafka::{self, Record};
use rdkafka::Message;

fn round_trip(table: &str) -> Table {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = format!(
        "CREATE TABLE words (word STRING, n INT, at TIMESTAMP(3)) WITH ('connector' = 'filesystem', 'path' = 'in.csv',
           'format' = 'csv');
         CREATE TABLE sums (word STRING, total INT, latest TIMESTAMP(3)) WITH ({table});
         INSERT INTO sums SELECT word, SUM(n), MAX(at) FROM words GROUP BY word HAVING COUNT(*) < 3;
         SELECT * FROM sums;"
    );
    let row = |(word, n): (&str, i32)| format!("{word},{n},2026-01-01 00:00:0{n}\n");
    let rows = [("a", 1), ("b", 2), ("a", 3), ("c", 4), ("c", 5), ("c", 6)];
    std::fs::write(folder.path().join("in.csv"), rows.map(row).concat()).expect("a file");
    Table::of(&run_sql(folder.path(), &format!("SET 'pipeline.auto-watermark-interval' = '0';\n{script}"), &[]))
}

fn expected() -> Table {
    Table::from([r#"["a",4,"2026-01-01 00:00:03.000"]"#, r#"["b",2,"2026-01-01 00:00:02.000"]"#])
}

#[test]
fn changes_come_back_from_kafka() {
    let topic = kafka::shared().fresh_topic("debezium", 1);
    let brokers = kafka::shared().bootstrap();
    let table = format!(
        "'connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{brokers}',
         'key.format' = 'raw', 'key.fields' = 'word', 'value.format' = 'debezium-json',
         'value.debezium-json.timestamp-format.standard' = 'ISO-8601',
         'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset'"
    );
    assert_eq!(round_trip(&table), expected());
    let written = kafka::shared().read_committed(&topic);
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.expect("a message")).to_string();
    let first = r#"{"before":null,"after":{"word":"a","total":1,"latest":"2026-01-01T00:00:01"},"op":"c"}"#;
    assert_eq!((text(written[0].key()), text(written[0].payload())), ("a".to_string(), first.to_string()));
    assert!(written.iter().any(|m| text(m.payload()).ends_with(r#""after":null,"op":"d"}"#)));
}

#[test]
fn changes_come_back_from_files() {
    assert_eq!(round_trip("'connector' = 'filesystem', 'path' = 'changes', 'format' = 'debezium-json'"), expected());
}

#[test]
fn an_envelope_says_when_and_where_the_change_was_made() {
    let topic = kafka::shared().fresh_topic("envelopes", 1);
    let envelope = |op: &str, before: &str, after: &str, source: &str| {
        let payload = format!(
            r#"{{"before":{before},"after":{after},"source":{source},"op":"{op}","ts_ms":1700000000123,"transaction":null}}"#
        );
        let value = format!(r#"{{"schema":{{"type":"struct", "optional": false}},"payload":{payload}}}"#);
        Record { value: Some(value.into_bytes()), ..Record::default() }
    };
    let source = r#"{"version":"2.7","db":"shop","schema":"public","table":"stock","ts_ms":1699999999000,"snapshot":false,"query":null}"#;
    let records = [
        envelope("c", "null", r#"{"item":"pen","n":1}"#, source),
        envelope("u", r#"{"item":"pen","n":1}"#, r#"{"item":"pen","n":2}"#, "null"),
        Record { key: Some(b"pen".to_vec()), ..Record::default() },
    ];
    kafka::shared().produce(&topic, records);
    let brokers = kafka::shared().bootstrap();
    let script = format!(
        "SET 'table.local-time-zone' = 'UTC';
         CREATE TABLE stock (
           item STRING,
           envelope STRING METADATA FROM 'value.schema' VIRTUAL,
           read_at TIMESTAMP_LTZ(3) METADATA FROM 'value.ingestion-timestamp' VIRTUAL,
           made_at TIMESTAMP_LTZ(3) METADATA FROM 'value.source.timestamp' VIRTUAL,
           n INT,
           db STRING METADATA FROM 'value.source.database' VIRTUAL,
           space STRING METADATA FROM 'value.source.schema' VIRTUAL,
           tab STRING METADATA FROM 'value.source.table' VIRTUAL,
           all_of_it MAP<STRING, STRING> METADATA FROM 'value.source.properties' VIRTUAL,
           `offset` BIGINT METADATA VIRTUAL
         ) WITH ('connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{brokers}',
           'value.format' = 'debezium-json', 'value.debezium-json.schema-include' = 'true',
           'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset');
         SELECT item, n, envelope, CAST(read_at AS STRING), CAST(made_at AS STRING), db, space, tab,
           all_of_it['version'], all_of_it['snapshot'], CARDINALITY(all_of_it), `offset` FROM stock;"
    );
    let folder = tempfile::tempdir().expect("a temporary folder");
    let finished = run_sql(folder.path(), &script, &[]);
    assert!(finished.success, "{finished:?}");
    let schema = r#""{\"type\":\"struct\",\"optional\":false}""#;
    let read = r#""2023-11-14 22:13:20.123""#;
    let first = format!(
        r#"{{"op":"+I","row":["pen",1,{schema},{read},"2023-11-14 22:13:19.000","shop","public","stock","2.7","false",7,0]}}"#
    );
    let nothing = "null,null,null,null,null,null,null";
    let before = format!(r#"{{"op":"-U","row":["pen",1,{schema},{read},{nothing},1]}}"#);
    let after = format!(r#"{{"op":"+U","row":["pen",2,{schema},{read},{nothing},1]}}"#);
    assert_eq!(finished.stdout.lines().collect::<Vec<_>>(), [first, before, after]);
}

#[test]
fn metadata_of_a_format_is_only_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let table = |column: &str, format: &str| {
        format!(
            "CREATE TABLE t (a INT, {column}) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = '{format}',
             'properties.bootstrap.servers' = 'b:1', 'scan.startup.mode' = 'earliest-offset');"
        )
    };
    let fails = |script: String, words: &str| {
        let finished = run_sql(folder.path(), &script, &[]);
        assert!(!finished.success && finished.stderr.contains(words), "{finished:?}");
    };
    let column = "db STRING METADATA FROM 'value.source.database'";
    fails(table(column, "debezium-json") + "INSERT INTO t VALUES (1, 'x');", "metadata column 'db' cannot be written");
    fails(table(column, "json") + "SELECT * FROM t;", "Invalid metadata key 'value.source.database'");
    let wrong = "at INT METADATA FROM 'value.source.properties' VIRTUAL";
    fails(table(wrong, "debezium-json") + "SELECT * FROM t;", "declare it as MAP<STRING, STRING>");
    let typo = "db STRING METADATA FROM 'value.source.databse' VIRTUAL";
    fails(table(typo, "debezium-json") + "SELECT * FROM t;", "did you mean 'value.source.database'");
}

#[test]
fn changes_that_come_twice_count_once() {
    let topic = kafka::shared().fresh_topic("twice", 1);
    let row = |n: i32| format!(r#"{{"id":1,"n":{n}}}"#);
    let created = format!(r#"{{"before":null,"after":{},"op":"c"}}"#, row(1));
    let updated = format!(r#"{{"before":{},"after":{},"op":"u"}}"#, row(1), row(2));
    kafka::shared().produce_lines(&topic, 1, [&created, &updated, &created, &updated].map(String::as_str));
    let brokers = kafka::shared().bootstrap();
    let script = |key: &str, duplicates: bool| {
        format!(
            "SET 'table.exec.source.cdc-events-duplicate' = '{duplicates}';
             CREATE TABLE t (id INT, n INT{key}) WITH ('connector' = 'kafka', 'topic' = '{topic}',
               'properties.bootstrap.servers' = '{brokers}', 'format' = 'debezium-json',
               'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset');
             SELECT COUNT(*), SUM(n) FROM t;"
        )
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = |key: &str, duplicates: bool| run_sql(folder.path(), &script(key, duplicates), &[]);
    let key = ", PRIMARY KEY (id) NOT ENFORCED";
    assert_eq!(Table::of(&run(key, true)), Table::from(["[1,2]"]));
    assert_eq!(Table::of(&run(key, false)), Table::from(["[2,4]"]));
    let refused = run("", true);
    assert!(refused.stderr.contains("requires the changelog sources to define a PRIMARY KEY"), "{refused:?}");
}

#[test]
fn a_table_of_changes_with_a_key_becomes_a_table_of_upserts() {
    let (changes, table) = (kafka::shared().fresh_topic("cdc", 2), kafka::shared().fresh_topic("table", 2));
    let row = |id: i32, n: i32| format!(r#"{{"id":{id},"n":{n}}}"#);
    let message = |id: i32, before: &str, after: &str, op: &str| Record {
        partition: Some(id % 2),
        value: Some(format!(r#"{{"before":{before},"after":{after},"op":"{op}"}}"#).into_bytes()),
        ..Record::default()
    };
    let records = [
        message(1, "null", &row(1, 1), "c"),
        message(2, "null", &row(2, 2), "c"),
        message(1, &row(1, 1), &row(1, 10), "u"),
        message(2, &row(2, 2), "null", "d"),
        message(3, "null", &row(3, 3), "r"),
    ];
    kafka::shared().produce(&changes, records);
    let brokers = kafka::shared().bootstrap();
    let script = format!(
        "SET 'parallelism.default' = '2';
         CREATE TABLE t (id INT, n INT, PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'kafka', 'topic' = '{changes}',
           'properties.bootstrap.servers' = '{brokers}', 'format' = 'debezium-json',
           'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset');
         CREATE TABLE u (id BIGINT, n BIGINT, PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'upsert-kafka',
           'topic' = '{table}', 'properties.bootstrap.servers' = '{brokers}', 'key.format' = 'json',
           'value.format' = 'json', 'scan.bounded.mode' = 'latest-offset');
         INSERT INTO u SELECT id, n FROM t;
         SELECT * FROM u;"
    );
    let folder = tempfile::tempdir().expect("a temporary folder");
    assert_eq!(Table::of(&run_sql(folder.path(), &script, &[])), Table::from(["[1,10]", "[3,3]"]));
}
