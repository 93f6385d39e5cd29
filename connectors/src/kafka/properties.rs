//! `properties.*`: from the words of Java's Kafka clients, which users of Flink know, to those of librdkafka.
//!
//! Most names are the same. Names that only Java knows are translated, or left out where they have no meaning here
//! (serializers, poll sizes); names that nobody knows are refused by librdkafka when the table is planned. Settings on
//! which correctness depends are set last and cannot be overridden.

use eddyline_engine::connector::Options;
use eddyline_engine::error::{Error, Result};
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;

use super::options::{Guarantee, Place, SinkOptions, SourceOptions};

/// Java's properties that have no meaning here. A trailing `*` stands for any rest.
const WITHOUT_MEANING: &[&str] = &[
    "auto.offset.reset",
    "auto.commit.enable",
    "auto.commit.interval.ms",
    "buffer.memory",
    "default.api.timeout.ms",
    "enable.auto.commit",
    "exclude.internal.topics",
    "group.protocol",
    "interceptor.classes",
    "key.deserializer",
    "key.serializer",
    "max.block.ms",
    "max.poll.interval.ms",
    "max.poll.records",
    "metric*",
    "partition.assignment.strategy",
    "partition.discovery.interval.ms",
    "partitioner.*",
    "sasl.client.callback.handler.class",
    "sasl.login.*",
    "ssl.enabled.protocols",
    "ssl.keystore.type",
    "ssl.protocol",
    "ssl.truststore.password",
    "ssl.truststore.type",
    "transactional.id",
    "value.deserializer",
    "value.serializer",
];

/// Java's names and librdkafka's; and librdkafka's second names, because of two names for one setting, ours and the
/// user's, the last one set would win, in no defined order.
const RENAMED: &[(&str, &str)] = &[
    ("compression.codec", "compression.type"),
    ("delivery.timeout.ms", "message.timeout.ms"),
    ("fetch.max.wait.ms", "fetch.wait.max.ms"),
    ("max.request.size", "message.max.bytes"),
    ("metadata.broker.list", "bootstrap.servers"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("receive.buffer.bytes", "socket.receive.buffer.bytes"),
    ("send.buffer.bytes", "socket.send.buffer.bytes"),
    ("ssl.keystore.certificate.chain", "ssl.certificate.pem"),
    ("ssl.keystore.key", "ssl.key.pem"),
    ("ssl.truststore.certificates", "ssl.ca.pem"),
];

/// The client configuration of a source, checked.
pub(super) fn consumer(options: &Options, source: &SourceOptions) -> Result<ClientConfig> {
    let mut config = ClientConfig::new();
    // Our defaults: committed messages only, and queues that bound what one reader holds in memory.
    config
        .set("isolation.level", "read_committed")
        .set("queued.max.messages.kbytes", "32768")
        .set("queued.min.messages", "50000")
        .set("fetch.queue.backoff.ms", "5")
        .set("fetch.error.backoff.ms", "100");
    translate(options, &mut config)?;
    if source.commits || uses_group(source) {
        config.set("group.id", &source.group);
    }
    config
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        // Told at the end of a partition, the next offset moves past transaction markers, which are never delivered.
        .set("enable.partition.eof", "true")
        .set("check.crcs", "true");
    checked(config)
}

fn uses_group(source: &SourceOptions) -> bool {
    source.startup == Place::Group || source.bounded == Some(Place::Group)
}

/// The client configuration of a sink, checked.
pub(super) fn producer(options: &Options, sink: &SinkOptions) -> Result<ClientConfig> {
    let mut config = ClientConfig::new();
    config
        .set("linger.ms", "5")
        .set("queue.buffering.max.kbytes", "65536")
        .set("message.timeout.ms", "120000")
        // A broker that is back is found within a second, not ten.
        .set("reconnect.backoff.max.ms", "1000")
        .set("partitioner", "murmur2_random");
    if sink.embedded.is_some() {
        // The embedded broker keeps 5 MB per partition as they were sent: compressed messages make it last longer.
        config.set("compression.type", "lz4");
    }
    // Weaker acknowledgements, when asked for, exclude idempotence.
    let weaker = options.text("properties.acks").is_some_and(|acks| !matches!(acks, "all" | "-1"));
    if !weaker {
        config.set("enable.idempotence", "true");
    }
    translate(options, &mut config)?;
    config.set("delivery.report.only.error", "true");
    if sink.guarantee == Guarantee::ExactlyOnce {
        let timeout_ms = sink.transaction_timeout.as_millis().to_string();
        config
            .set("enable.idempotence", "true")
            .set("transaction.timeout.ms", &timeout_ms)
            // Later it would come too late for its transaction.
            .set("message.timeout.ms", &timeout_ms)
            // Handles come and go; none waits for its last metrics to be sent.
            .set("enable.metrics.push", "false");
    }
    checked(config)
}

fn translate(options: &Options, config: &mut ClientConfig) -> Result<()> {
    for (key, value) in options.with_prefix("properties.") {
        let means_nothing = |name: &str| match name.strip_suffix('*') {
            Some(prefix) => key.starts_with(prefix),
            None => name == key,
        };
        if WITHOUT_MEANING.iter().any(|name| means_nothing(name)) {
            continue;
        }
        match key {
            "sasl.jaas.config" => {
                for (name, value) in jaas_credentials(value)? {
                    config.set(name, value);
                }
            }
            "ssl.truststore.location" => {
                let kind = options.text("properties.ssl.truststore.type").unwrap_or("JKS");
                if !kind.eq_ignore_ascii_case("PEM") {
                    return Err(Error::option(
                        format!("'properties.ssl.truststore.location' of type {kind} cannot be read"),
                        "export the certificates as PEM and set 'properties.ssl.ca.location'".to_string(),
                    ));
                }
                config.set("ssl.ca.location", value);
            }
            "ssl.endpoint.identification.algorithm" if value.is_empty() => {
                config.set(key, "none");
            }
            _ => {
                let renamed = RENAMED.iter().find(|(java, _)| *java == key).map_or(key, |(_, ours)| ours);
                config.set(renamed, value);
            }
        }
    }
    Ok(())
}

/// User name and password from Java's `…LoginModule required username="u" password="p";`.
fn jaas_credentials(text: &str) -> Result<[(&'static str, String); 2]> {
    let value_of = |name: &str| {
        let (_, rest) = text.split_once(&format!("{name}="))?;
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        rest[1..].split_once(quote).map(|(value, _)| value.to_string())
    };
    match (value_of("username"), value_of("password")) {
        (Some(user), Some(password)) => Ok([("sasl.username", user), ("sasl.password", password)]),
        _ => Err(Error::option(
            "'properties.sasl.jaas.config' has no username and password in quotes",
            "or set 'properties.sasl.username' and 'properties.sasl.password'".to_string(),
        )),
    }
}

/// Lets librdkafka check names and values; contacts nothing. Its message is kept unless it could hold a secret.
fn checked(config: ClientConfig) -> Result<ClientConfig> {
    match config.create_native_config() {
        Ok(_) => Ok(config),
        Err(KafkaError::ClientConfig(_, description, key, _)) => {
            let is_secret = ["password", "secret", "pem", "jaas"].iter().any(|word| key.contains(word));
            let why = if is_secret { "its value was refused".to_string() } else { description };
            Err(Error::option(
                format!("Invalid Kafka property 'properties.{key}': {why}"),
                "'properties.*' are the settings of librdkafka, most of which are named as in Java's clients"
                    .to_string(),
            ))
        }
        Err(other) => Err(Error::option(format!("invalid Kafka properties: {other}"), None)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use super::super::options::specs;
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Result<ClientConfig> {
        let base = [("topic", "t"), ("properties.bootstrap.servers", "b:9092"), ("scan.startup.mode", "latest-offset")];
        let all: BTreeMap<String, String> =
            base.iter().chain(pairs).map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let options = Options::check("kafka", &all, specs())?;
        consumer(&options, &SourceOptions::parse(&options, "t")?)
    }

    #[test]
    fn what_correctness_needs_cannot_be_overridden() {
        let config = config(&[
            ("properties.enable.auto.commit", "true"),
            ("properties.auto.offset.reset", "earliest"),
            ("properties.check.crcs", "false"),
        ])
        .unwrap();
        assert_eq!(config.get("enable.auto.commit"), Some("false"));
        assert_eq!(config.get("auto.offset.reset"), Some("error"));
        assert_eq!(config.get("check.crcs"), Some("true"));
        assert_eq!(config.get("isolation.level"), Some("read_committed"));
        assert_eq!(config.get("group.id"), None);
    }

    #[test]
    fn java_names_are_translated_or_left_out() {
        let config = config(&[
            ("properties.key.deserializer", "org.apache.kafka.common.serialization.StringDeserializer"),
            ("properties.max.poll.records", "500"),
            ("properties.fetch.max.wait.ms", "50"),
            ("properties.isolation.level", "read_uncommitted"),
            ("properties.sasl.jaas.config", "x.PlainLoginModule required username=\"u\" password=\"p w\";"),
        ])
        .unwrap();
        assert_eq!(config.get("fetch.wait.max.ms"), Some("50"));
        assert_eq!(config.get("isolation.level"), Some("read_uncommitted"));
        assert_eq!((config.get("sasl.username"), config.get("sasl.password")), (Some("u"), Some("p w")));
    }

    #[test]
    fn an_unknown_property_is_refused_by_name() {
        let error = config(&[("properties.fetch.min.bites", "1")]).unwrap_err().to_string();
        assert!(error.contains("properties.fetch.min.bites"), "{error}");
    }
}
