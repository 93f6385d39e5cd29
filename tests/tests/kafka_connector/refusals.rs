//! What is refused, and in which words.

use super::*;
use eddyline_tests::services::process::free_port;

#[test]
fn a_missing_topic_names_the_nearest() {
    let topic = topic_of_lines(shared(), 1, 1);
    let table = Table::lines(&format!("{topic}s")).all();
    let refusal = table.refusal();
    assert!(refusal.contains(&format!("topic '{topic}s' does not exist")), "{refusal}");
    assert!(refusal.contains(&format!("did you mean '{topic}'")), "{refusal}");
    let error = table.open_sink(ONE).err().unwrap().to_string();
    assert!(error.contains(&format!("topic '{topic}s' does not exist")), "{error}");
}

#[test]
fn an_unreachable_broker_is_reported_within_ten_seconds() {
    let address = format!("127.0.0.1:{}", free_port());
    let table = Table::at(&address, "t", "raw").column("line", DataType::Utf8).all();
    let begun = Instant::now();
    let refusal = table.refusal();
    assert!(begun.elapsed() < Duration::from_secs(10), "took {:?}", begun.elapsed());
    assert!(refusal.contains(&address) && refusal.contains("Connection refused"), "{refusal}");
    let begun = Instant::now();
    let error = table.open_sink(ONE).err().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10), "took {:?}", begun.elapsed());
    assert!(error.is_retriable() && error.to_string().contains("Connection refused"), "{error}");
}

#[test]
fn wrong_credentials_are_refused_without_showing_them() {
    let topic = topic_of_lines(shared(), 1, 3);
    let table = |password: &str| {
        Table::at(&shared().sasl_bootstrap(), &topic, "raw")
            .column("line", DataType::Utf8)
            .all()
            .with("properties.security.protocol", "SASL_PLAINTEXT")
            .with("properties.sasl.mechanism", "PLAIN")
            .with(
                "properties.sasl.jaas.config",
                &format!("org.PlainLoginModule required username=\"alice\" password=\"{password}\";"),
            )
    };
    assert_eq!(drain(&mut *table("alice-secret").reader()).len(), 3);
    let error = table("wrong-guess").open(ONE, None).err().unwrap();
    let text = format!("{error} {error:?}");
    assert!(text.contains("does not accept this client") && !error.is_retriable(), "{text}");
    assert!(!text.contains("wrong-guess"), "{text}");
}

#[test]
fn a_malformed_message_is_located_and_what_came_before_is_kept() {
    let topic = shared().fresh_topic("json", 1);
    shared().produce_lines(&topic, 1, [r#"{"a":1}"#, r#"{"a":2}"#, "not json", r#"{"a":4}"#]);
    let table = || Table::at(&shared().bootstrap(), &topic, "json").column("a", DataType::Int32).all();

    let mut reader = table().reader();
    assert_eq!(next_rows(&mut *reader, 2), [format!("{topic}-0|1"), format!("{topic}-0|2")]);
    let error = reader.poll(10, DEADLINE).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("Failed to deserialize"), "{text}");
    assert!(text.contains(&format!("topic '{topic}', partition 0, offset 2")), "{text}");
    assert!(!error.is_retriable());
    assert_eq!(offsets(&reader.positions().unwrap())[&format!("{topic}-0")], 2);

    let mut reader = table().with("json.ignore-parse-errors", "true").reader();
    assert_eq!(drain(&mut *reader), [1, 2, 4].map(|a| format!("{topic}-0|{a}")));
    assert_eq!(reader.skipped_messages(), 1);
}

#[test]
fn a_primary_key_needs_a_format_with_changes() {
    let mut table = Table::at("b:9092", "t", "json").column("a", DataType::Int32);
    table.0.primary_key = vec!["a".to_string()];
    let error = KafkaConnector.source(&table.0).err().unwrap().to_string();
    assert!(error.contains("The Kafka table 't' with 'json' format doesn't support defining PRIMARY KEY"), "{error}");
}

#[test]
fn metadata_columns_are_checked() {
    let table = |key| Table::at("b:9092", "t", "json").metadata("m", DataType::Utf8, key);
    let error = KafkaConnector.source(&table("ofset").0).err().unwrap();
    assert!(error.hint().unwrap().contains("did you mean 'offset'"), "{error:?}");
    assert!(KafkaConnector.source(&table("headers").0).is_err(), "headers are no string");
    let error = KafkaConnector.sink(&table("offset").0).err().unwrap().to_string();
    assert!(error.contains("'m' cannot be written"), "{error}");
}
