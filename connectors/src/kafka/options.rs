//! The options of the `kafka` connector: declared once for the reference and the check, then parsed into two structs
//! that the rest of the connector uses.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use eddyline_engine::connector::{OptionSpec, OptionValue, Options};
use eddyline_engine::error::{Error, Result};
use regex::Regex;

use crate::format::{self, Format};

use OptionValue::{Duration as Period, Integer, OneOf, Secret, Size, Text};

const STARTUP_MODES: &[&str] = &["earliest-offset", "latest-offset", "group-offsets", "timestamp", "specific-offsets"];
const BOUNDED_MODES: &[&str] = &["unbounded", "latest-offset", "group-offsets", "timestamp", "specific-offsets"];
const GUARANTEES: &[&str] = &["none", "at-least-once", "exactly-once"];

const SPECS: &[OptionSpec] = &[
    OptionSpec::optional("topic", Text, "Topic to read or write; several to read are separated by ';'."),
    OptionSpec::optional("topic-pattern", Text, "Regular expression; all topics whose whole name matches are read."),
    OptionSpec::required(
        "properties.bootstrap.servers",
        Text,
        "Brokers as 'host:port,host:port'; 'embedded' starts a broker inside this process, for trying out.",
    ),
    OptionSpec::optional("properties.sasl.password", Secret, "Password for SASL."),
    OptionSpec::optional(
        "properties.sasl.jaas.config",
        Secret,
        "User name and password for SASL, as Java clients have it.",
    ),
    OptionSpec::optional("properties.ssl.key.password", Secret, "Password of the client's private key."),
    OptionSpec::optional("properties.ssl.keystore.password", Secret, "Password of the client's key store."),
    OptionSpec::optional("properties.ssl.keystore.key", Secret, "The client's private key, PEM."),
    OptionSpec::optional("properties.ssl.truststore.password", Secret, "Accepted for compatibility, not used."),
    OptionSpec::optional("properties.*", Text, "Any property of the Kafka client (librdkafka), without the prefix."),
    OptionSpec::with_default(
        "scan.startup.mode",
        OneOf(STARTUP_MODES),
        "group-offsets",
        "Where reading starts when nothing is restored from a checkpoint.",
    ),
    OptionSpec::optional(
        "scan.startup.specific-offsets",
        Text,
        "Offsets for the mode specific-offsets: 'partition:0,offset:42;partition:1,offset:300'.",
    ),
    OptionSpec::optional(
        "scan.startup.timestamp-millis",
        Integer,
        "Milliseconds since the epoch for the mode timestamp.",
    ),
    OptionSpec::with_default(
        "scan.bounded.mode",
        OneOf(BOUNDED_MODES),
        "unbounded",
        "Where reading ends; latest-offset is what the topic holds when reading starts.",
    ),
    OptionSpec::optional("scan.bounded.specific-offsets", Text, "Offsets before which reading ends."),
    OptionSpec::optional(
        "scan.bounded.timestamp-millis",
        Integer,
        "Milliseconds since the epoch before which reading ends.",
    ),
    OptionSpec::with_default(
        "scan.topic-partition-discovery.interval",
        Period,
        "5 min",
        "How often to look for new partitions and topics; 0 is never.",
    ),
    OptionSpec::optional("scan.parallelism", Integer, "Largest number of subtasks that read."),
    OptionSpec::optional("sink.parallelism", Integer, "Number of subtasks that write."),
    OptionSpec::with_default(
        "sink.partitioner",
        Text,
        "default",
        "default (by key, else the client's choice), fixed (one partition per subtask) or round-robin.",
    ),
    OptionSpec::optional(
        "sink.delivery-guarantee",
        OneOf(GUARANTEES),
        "at-least-once (default), exactly-once or none.",
    ),
    OptionSpec::optional("sink.semantic", OneOf(GUARANTEES), "Old name of sink.delivery-guarantee."),
    OptionSpec::with_default(
        "sink.transactional-id-prefix",
        Text,
        "eddyline",
        "Beginning of the names of transactional ids and of the consumer group that marks progress, for exactly-once.",
    ),
    OptionSpec::with_default(
        "eddyline.sink.transaction-size",
        Size,
        "256mb",
        "Most bytes of rows in one transaction of an exactly-once sink; longer epochs take several.",
    ),
    OptionSpec::optional(
        "properties.transaction.timeout.ms",
        Integer,
        "After so long the broker aborts an unfinished transaction of an exactly-once sink, which then repeats it; 60000 \
         unless set.",
    ),
    OptionSpec::optional("key.fields", Text, "Columns of the message key, separated by ';'."),
    OptionSpec::with_default(
        "key.fields-prefix",
        Text,
        "",
        "Prefix of the key columns' names that the key format leaves out.",
    ),
    OptionSpec::with_default(
        "value.fields-include",
        OneOf(&["ALL", "EXCEPT_KEY"]),
        "ALL",
        "Whether the message value holds the key columns too.",
    ),
    OptionSpec::with_default(
        "eddyline.embedded.partitions",
        Integer,
        "1",
        "Partitions of a topic that is made in the embedded broker.",
    ),
];

/// All options, with those of the formats.
pub(super) fn specs() -> Vec<OptionSpec> {
    SPECS.iter().cloned().chain(["", "key.", "value."].iter().flat_map(|prefix| format::specs(prefix))).collect()
}

/// Which topics.
#[derive(Debug, Clone)]
pub(super) enum Topics {
    /// These.
    Named(Vec<String>),
    /// All whose whole name matches.
    Matching(Regex),
}

/// A place in every partition.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Place {
    /// The oldest message.
    Earliest,
    /// After the newest message.
    Latest,
    /// What the group has committed.
    Group,
    /// The first message at or after these milliseconds since the epoch.
    Timestamp(i64),
    /// By partition of the one topic.
    Offsets(BTreeMap<i32, i64>),
}

/// What to do for a partition without committed offset: `properties.auto.offset.reset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reset {
    Earliest,
    Latest,
    Fail,
}

/// The options that matter for reading.
#[derive(Debug, Clone)]
pub(super) struct SourceOptions {
    pub(super) topics: Topics,
    pub(super) startup: Place,
    /// Where reading ends; None for never.
    pub(super) bounded: Option<Place>,
    pub(super) reset: Reset,
    /// Group to look offsets up in, and to commit to if the user named it.
    pub(super) group: String,
    /// True when the user named the group.
    pub(super) commits: bool,
    /// None for never.
    pub(super) discovery: Option<Duration>,
    pub(super) parallelism: Option<usize>,
    /// Partitions for topics made in the embedded broker; None with a real one.
    pub(super) embedded: Option<i32>,
}

impl SourceOptions {
    pub(super) fn parse(options: &Options, table: &str) -> Result<Self> {
        let topics = topics(options)?;
        let several = !matches!(&topics, Topics::Named(names) if names.len() == 1);
        let startup = place(options, "startup", options.text("scan.startup.mode").unwrap_or_default(), several)?;
        let bounded_mode = options.text("scan.bounded.mode").unwrap_or_default().to_ascii_lowercase();
        let bounded = match bounded_mode.as_str() {
            "unbounded" => None,
            mode => Some(place(options, "bounded", mode, several)?),
        };
        let discovery = options.duration("scan.topic-partition-discovery.interval")?.filter(|d| !d.is_zero());
        let group = options.text("properties.group.id").map(str::to_string);
        Ok(SourceOptions {
            topics,
            startup,
            discovery: discovery.filter(|_| bounded.is_none()),
            bounded,
            reset: reset(options)?,
            commits: group.is_some(),
            group: group.unwrap_or_else(|| format!("KafkaSource-{table}")),
            parallelism: positive(options, "scan.parallelism")?,
            embedded: embedded(options)?,
        })
    }
}

/// What a sink promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guarantee {
    None,
    AtLeastOnce,
    ExactlyOnce,
}

/// How a sink chooses partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Partitioner {
    /// By key as Java's client does, else the client's choice.
    Default,
    /// Subtask i writes to partition i modulo the number of partitions.
    Fixed,
    /// One after the other.
    RoundRobin,
}

/// The options that matter for writing.
#[derive(Debug, Clone)]
pub(super) struct SinkOptions {
    pub(super) topic: String,
    pub(super) guarantee: Guarantee,
    pub(super) partitioner: Partitioner,
    /// Beginning of the names of transactional ids and marker group.
    pub(super) transaction_prefix: String,
    /// After so long the broker aborts a transaction.
    pub(super) transaction_timeout: Duration,
    /// Most bytes of rows in one transaction.
    pub(super) transaction_bytes: u64,
    /// Partitions for topics made in the embedded broker; None with a real one.
    pub(super) embedded: Option<i32>,
}

impl SinkOptions {
    pub(super) fn parse(options: &Options) -> Result<Self> {
        let topic = match topics(options)? {
            Topics::Named(names) if names.len() == 1 => names.concat(),
            _ => {
                let hint = "give one topic in the option 'topic'".to_string();
                return Err(Error::option("a Kafka sink writes to a single topic", hint));
            }
        };
        let given = options.text("sink.delivery-guarantee").or_else(|| options.text("sink.semantic"));
        let guarantee = match given.unwrap_or("at-least-once").to_ascii_lowercase().as_str() {
            "none" => Guarantee::None,
            "at-least-once" => Guarantee::AtLeastOnce,
            _ => Guarantee::ExactlyOnce,
        };
        let embedded = embedded(options)?;
        let weaker = options.text("properties.acks").filter(|acks| !matches!(*acks, "all" | "-1"));
        if let (Guarantee::ExactlyOnce, Some(acks)) = (guarantee, weaker) {
            let hint = "remove 'properties.acks', or use 'at-least-once'".to_string();
            return Err(Error::option(format!("'properties.acks' = '{acks}' excludes exactly-once"), hint));
        }
        if guarantee == Guarantee::ExactlyOnce && embedded.is_some() {
            let hint = "use 'at-least-once' (the default), or a real broker".to_string();
            return Err(Error::option("the embedded broker knows no transactions, so it excludes exactly-once", hint));
        }
        let partitioner = match options.text("sink.partitioner").unwrap_or("default") {
            "default" => Partitioner::Default,
            "fixed" => Partitioner::Fixed,
            "round-robin" => Partitioner::RoundRobin,
            other => {
                let hint = "use default, fixed or round-robin; Java classes cannot be loaded here".to_string();
                return Err(Error::option(format!("unknown 'sink.partitioner' '{other}'"), hint));
            }
        };
        positive(options, "sink.parallelism")?;
        if partitioner == Partitioner::RoundRobin && options.given("key.fields") {
            return Err(Error::option(
                "Currently 'round-robin' partitioner only works when option 'key.fields' is not specified.",
                None,
            ));
        }
        let timeout =
            positive(options, "properties.transaction.timeout.ms")?.map(|ms| Duration::from_millis(ms as u64));
        Ok(SinkOptions {
            topic,
            guarantee,
            partitioner,
            transaction_prefix: options.text("sink.transactional-id-prefix").unwrap_or_default().to_string(),
            transaction_timeout: timeout.unwrap_or(Duration::from_secs(60)),
            transaction_bytes: options.size("eddyline.sink.transaction-size")?.unwrap_or_default(),
            embedded,
        })
    }
}

/// The formats of a table.
#[derive(Clone)]
pub(super) struct Formats {
    pub(super) key: Option<Arc<dyn Format>>,
    pub(super) value: Arc<dyn Format>,
}

impl Formats {
    pub(super) fn create(options: &Options) -> Result<Self> {
        let value = match (options.given("format"), options.given("value.format")) {
            (true, false) => format::create(options, "")?,
            (false, true) => format::create(options, "value.")?,
            (true, true) => {
                return Err(Error::option("the options 'format' and 'value.format' exclude each other", None));
            }
            (false, false) => {
                return Err(Error::option(
                    "One or more required options are missing for 'kafka': format",
                    "set 'format' (or 'value.format') to json, csv, raw or debezium-json".to_string(),
                ));
            }
        };
        let key = options.given("key.format").then(|| format::create(options, "key.")).transpose()?;
        Ok(Formats { key, value })
    }
}

fn topics(options: &Options) -> Result<Topics> {
    match (options.text("topic"), options.text("topic-pattern")) {
        (Some(list), None) => {
            let names: Vec<String> = list.split(';').map(|t| t.trim().to_string()).filter(|t| !t.is_empty()).collect();
            if names.is_empty() {
                return Err(Error::option("option 'topic' names no topic", None));
            }
            Ok(Topics::Named(names))
        }
        (None, Some(pattern)) => Regex::new(&format!("^(?:{pattern})$"))
            .map(Topics::Matching)
            .map_err(|e| Error::option(format!("option 'topic-pattern' is no regular expression: {e}"), None)),
        (Some(_), Some(_)) => Err(Error::option("Option 'topic' and 'topic-pattern' shouldn't be set together.", None)),
        (None, None) => Err(Error::option(
            "One or more required options are missing for 'kafka': topic",
            "set 'topic' or 'topic-pattern'".to_string(),
        )),
    }
}

/// The place that `scan.<which>.mode` names.
fn place(options: &Options, which: &str, mode: &str, several: bool) -> Result<Place> {
    let missing = |key: &str| Error::option(format!("'{key}' is required in '{mode}' {which} mode but missing."), None);
    Ok(match mode.to_ascii_lowercase().as_str() {
        "earliest-offset" => Place::Earliest,
        "latest-offset" => Place::Latest,
        "timestamp" => {
            let key = format!("scan.{which}.timestamp-millis");
            Place::Timestamp(options.integer(&key)?.ok_or_else(|| missing(&key))?)
        }
        "specific-offsets" => {
            let key = format!("scan.{which}.specific-offsets");
            let text = options.text(&key).ok_or_else(|| missing(&key))?;
            if several {
                return Err(Error::option(format!("'{key}' works with a single topic only"), None));
            }
            Place::Offsets(specific_offsets(&key, text)?)
        }
        _ => Place::Group,
    })
}

/// Reads `partition:0,offset:42;partition:1,offset:300`.
fn specific_offsets(key: &str, text: &str) -> Result<BTreeMap<i32, i64>> {
    let bad = || {
        Error::option(
            format!(
                "Invalid properties '{key}' should follow the format 'partition:0,offset:42;partition:1,offset:300', but is '{text}'."
            ),
            None,
        )
    };
    let mut offsets = BTreeMap::new();
    for pair in text.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (partition, offset) = pair.split_once(',').ok_or_else(bad)?;
        let partition = partition.trim().strip_prefix("partition:").and_then(|p| p.trim().parse().ok());
        let offset = offset.trim().strip_prefix("offset:").and_then(|o| o.trim().parse().ok());
        offsets.insert(partition.ok_or_else(bad)?, offset.filter(|o: &i64| *o >= 0).ok_or_else(bad)?);
    }
    if offsets.is_empty() { Err(bad()) } else { Ok(offsets) }
}

fn reset(options: &Options) -> Result<Reset> {
    match options.text("properties.auto.offset.reset").unwrap_or("none").to_ascii_lowercase().as_str() {
        "earliest" | "smallest" | "beginning" => Ok(Reset::Earliest),
        "latest" | "largest" | "end" => Ok(Reset::Latest),
        "none" | "error" => Ok(Reset::Fail),
        other => Err(Error::option(
            format!(
                "Invalid value '{other}' for option 'properties.auto.offset.reset': expected earliest, latest or none"
            ),
            None,
        )),
    }
}

fn embedded(options: &Options) -> Result<Option<i32>> {
    let partitions = positive(options, "eddyline.embedded.partitions")?.unwrap_or(1);
    let is_embedded = options.text("properties.bootstrap.servers").is_some_and(|s| s.trim() == "embedded");
    Ok(is_embedded.then_some(i32::try_from(partitions).unwrap_or(i32::MAX)))
}

fn positive(options: &Options, key: &str) -> Result<Option<usize>> {
    let Some(number) = options.integer(key)? else { return Ok(None) };
    match usize::try_from(number) {
        Ok(number) if number > 0 => Ok(Some(number)),
        _ => Err(Error::option(format!("Invalid value '{number}' for option '{key}': expected at least 1"), None)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn source(pairs: &[(&str, &str)]) -> Result<SourceOptions> {
        let mut all = BTreeMap::from([("properties.bootstrap.servers".to_string(), "b:9092".to_string())]);
        all.extend(pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())));
        SourceOptions::parse(&Options::check("kafka", &all, specs())?, "t")
    }

    #[test]
    fn defaults_are_those_of_flink() {
        let options = source(&[("topic", "a; b")]).unwrap();
        assert!(matches!(&options.topics, Topics::Named(names) if *names == ["a", "b"]));
        assert_eq!((options.startup, options.bounded, options.reset), (Place::Group, None, Reset::Fail));
        assert_eq!((options.group.as_str(), options.commits), ("KafkaSource-t", false));
        assert_eq!(options.discovery, Some(Duration::from_secs(300)));
        assert_eq!(options.embedded, None);
    }

    #[test]
    fn a_bounded_source_looks_for_no_partitions() {
        let options = source(&[("topic", "a"), ("scan.bounded.mode", "latest-offset")]).unwrap();
        assert_eq!((options.bounded, options.discovery), (Some(Place::Latest), None));
    }

    #[test]
    fn specific_offsets_are_read_and_bad_ones_refused() {
        let mode = ("scan.startup.mode", "specific-offsets");
        let key = "scan.startup.specific-offsets";
        let options = source(&[("topic", "a"), mode, (key, "partition:0,offset:42;partition:1,offset:300")]).unwrap();
        assert_eq!(options.startup, Place::Offsets(BTreeMap::from([(0, 42), (1, 300)])));
        for bad in ["", "0:42", "partition:x,offset:1", "partition:0,offset:-1"] {
            let error = source(&[("topic", "a"), mode, (key, bad)]).unwrap_err().to_string();
            assert!(error.contains("should follow the format"), "{error}");
        }
        let error = source(&[("topic", "a"), mode]).unwrap_err().to_string();
        assert!(error.contains("'scan.startup.specific-offsets' is required"), "{error}");
    }

    #[test]
    fn a_pattern_matches_whole_names() {
        let options = source(&[("topic-pattern", "orders-[0-9]+")]).unwrap();
        let Topics::Matching(pattern) = options.topics else { unreachable!("a pattern was given") };
        assert!(pattern.is_match("orders-17") && !pattern.is_match("old-orders-17"));
        assert!(source(&[("topic", "a"), ("topic-pattern", "b")]).is_err());
        assert!(source(&[]).is_err());
    }

    #[test]
    fn an_unknown_option_names_the_nearest() {
        let error = source(&[("topic", "a"), ("scan.startup.modus", "x")]).unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.contains("scan.startup.mode")), "{error:?}");
    }

    #[test]
    fn exactly_once_needs_no_more_than_its_name() {
        let pairs =
            [("topic", "a"), ("properties.bootstrap.servers", "b"), ("sink.delivery-guarantee", "exactly-once")];
        let sink = |more: &[(&str, &str)]| {
            let all = pairs.iter().chain(more).map(|(k, v)| (k.to_string(), v.to_string())).collect();
            SinkOptions::parse(&Options::check("kafka", &all, specs())?)
        };
        let options = sink(&[]).unwrap();
        assert_eq!((options.guarantee, options.transaction_prefix.as_str()), (Guarantee::ExactlyOnce, "eddyline"));
        assert_eq!(options.transaction_timeout, Duration::from_secs(60));
        let error = sink(&[("properties.acks", "1")]).unwrap_err().to_string();
        assert!(error.contains("'properties.acks' = '1'"), "{error}");
        assert!(sink(&[("properties.bootstrap.servers", "embedded")]).is_err());
        assert!(sink(&[("properties.transaction.timeout.ms", "0")]).is_err());
    }
}
