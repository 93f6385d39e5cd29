//! The `kafka` sink as programs use it: keys, headers and timestamps, seen by a foreign reader and read back.

use super::*;
use eddyline_tests::program::run_sql;
use rdkafka::Message;
use rdkafka::message::Headers;

#[test]
fn keys_headers_and_timestamps_are_written_and_read_back() {
    let topic = shared().fresh_topic("events", 2);
    let brokers = shared().bootstrap();
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "SET 'table.local-time-zone' = 'UTC';
         CREATE TABLE events (k_id INT, k_shop STRING, name STRING,
           at TIMESTAMP_LTZ(3) METADATA FROM 'timestamp', headers MAP<STRING, BYTES> METADATA,
           part INT METADATA FROM 'partition' VIRTUAL)
         WITH ('connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{brokers}',
           'key.format' = 'json', 'key.fields' = 'k_shop;k_id', 'key.fields-prefix' = 'k_', 'value.format' = 'json',
           'value.fields-include' = 'EXCEPT_KEY', 'scan.startup.mode' = 'earliest-offset',
           'scan.bounded.mode' = 'latest-offset');
         INSERT INTO events VALUES
           (1, 'north', 'a', TO_TIMESTAMP_LTZ(1700000000123, 3), MAP['trace', CAST('x1' AS BYTES), 'n', X'00FF']),
           (1, 'north', 'b', TO_TIMESTAMP_LTZ(1700000000124, 3), CAST(NULL AS MAP<STRING, BYTES>));
         SELECT k_id, k_shop, name, CAST(at AS STRING), CAST(headers['trace'] AS STRING), CARDINALITY(headers)
           FROM events;"
    );
    let finished = run_sql(folder.path(), &script, &[]);
    assert!(finished.success, "{finished:?}");
    let rows = [
        r#"{"op":"+I","row":[1,"north","a","2023-11-14 22:13:20.123","x1",2]}"#,
        r#"{"op":"+I","row":[1,"north","b","2023-11-14 22:13:20.124",null,0]}"#,
    ];
    assert_eq!(finished.stdout.lines().collect::<Vec<_>>(), rows);

    let written = shared().read_committed(&topic);
    let message = |text: &str| written.iter().find(|m| m.payload() == Some(text.as_bytes())).expect("the message");
    let (a, b) = (message(r#"{"name":"a"}"#), message(r#"{"name":"b"}"#));
    assert_eq!(a.key(), Some(br#"{"shop":"north","id":1}"#.as_slice()), "no prefix, in the order of 'key.fields'");
    assert_eq!(
        (a.timestamp().to_millis(), b.timestamp().to_millis()),
        (Some(1_700_000_000_123), Some(1_700_000_000_124))
    );
    let headers: Vec<_> = a.headers().expect("headers").iter().map(|h| (h.key, h.value.unwrap_or_default())).collect();
    assert_eq!(headers, [("trace", b"x1".as_slice()), ("n", b"\x00\xff")]);
    assert!(b.headers().is_none_or(|headers| headers.count() == 0) && a.partition() == b.partition());
}

#[test]
fn null_in_raw_is_a_message_without_value() {
    let topic = shared().fresh_topic("holes", 1);
    let brokers = shared().bootstrap();
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "CREATE TABLE holes (id STRING, v STRING) WITH ('connector' = 'kafka', 'topic' = '{topic}',
           'properties.bootstrap.servers' = '{brokers}', 'key.format' = 'raw', 'key.fields' = 'id',
           'value.format' = 'raw', 'value.fields-include' = 'EXCEPT_KEY', 'scan.startup.mode' = 'earliest-offset',
           'scan.bounded.mode' = 'latest-offset');
         INSERT INTO holes VALUES ('a', ''), ('b', CAST(NULL AS STRING)), (CAST(NULL AS STRING), 'c');
         SELECT * FROM holes;"
    );
    let finished = run_sql(folder.path(), &script, &[]);
    let rows = [r#"["a",""]"#, r#"["b",null]"#, r#"[null,"c"]"#].map(|row| format!(r#"{{"op":"+I","row":{row}}}"#));
    assert_eq!(finished.stdout.lines().collect::<Vec<_>>(), rows, "{finished:?}");
    let written = shared().read_committed(&topic);
    let lengths = |part: fn(&rdkafka::message::OwnedMessage) -> Option<&[u8]>| {
        written.iter().map(|m| part(m).map(<[u8]>::len)).collect::<Vec<_>>()
    };
    assert_eq!(lengths(|m| m.key()), [Some(1), Some(1), None]);
    assert_eq!(lengths(|m| m.payload()), [Some(0), None, Some(1)]);
}
