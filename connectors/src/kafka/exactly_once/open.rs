//! The committer of a sink: its names in the cluster, and what is checked before rows flow.

use std::ffi::CString;
use std::hash::Hasher;
use std::time::Duration;

use eddyline_engine::connector::{Committer, SinkContext};
use eddyline_engine::error::{Error, Result};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use twox_hash::XxHash64;

use super::committer::{KafkaCommitter, Progress};
use super::log::FRAME_BYTES;
use super::slots::{Maker, Slots};
use crate::kafka::KAFKA;
use crate::kafka::client::{Client, missing_topic};
use crate::kafka::interrupt::Interrupt;
use crate::kafka::options::SinkOptions;

const TIMEOUT: &str = "properties.transaction.timeout.ms";
const BROKER_TIMEOUT: &str = "transaction.max.timeout.ms";

/// Settings that mean nothing to a consumer, which would warn of them.
const PRODUCER_ONLY: &[&str] = &[
    "acks",
    "batch.num.messages",
    "batch.size",
    "compression.level",
    "compression.type",
    "delivery.report.only.error",
    "enable.idempotence",
    "linger.ms",
    "message.timeout.ms",
    "partitioner",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "request.timeout.ms",
    "retries",
    "transaction.timeout.ms",
];

/// Connects the committer of a sink. `config` is that of a producer without transactional id.
pub(in crate::kafka) fn open(
    options: &SinkOptions,
    config: &ClientConfig,
    context: &SinkContext,
    interrupt: Interrupt,
) -> Result<Box<dyn Committer>> {
    let name = name(&options.transaction_prefix, context);
    let group = CString::new(name.as_str())
        .map_err(|_| Error::option("'sink.transactional-id-prefix' holds a NUL character", None))?;
    let reader = reader(config, &name)?;
    let known = reader.topics()?;
    if !known.contains_key(&options.topic) {
        return Err(missing_topic(&options.topic, &known));
    }
    check_timeout(&reader, config, options.transaction_timeout)?;
    let maker = Maker {
        config: config.clone(),
        topic: options.topic.clone(),
        id: name,
        limit: options.transaction_timeout,
        guard: context.guard.clone(),
        interrupt: interrupt.clone(),
    };
    let most_frames = usize::try_from(options.transaction_bytes / FRAME_BYTES as u64).unwrap_or(usize::MAX).max(1);
    Ok(Box::new(KafkaCommitter {
        topic: options.topic.clone(),
        group,
        limit: options.transaction_timeout,
        guard: context.guard.clone(),
        interrupt,
        slots: Slots::new(maker),
        reader,
        progress: Progress::new(most_frames),
    }))
}

/// `<prefix>.<pipeline>.<sink>`: the marker's group, and with a slot's number a transactional id. What a sink means can
/// be a long text with any characters, so its hash stands for it.
fn name(prefix: &str, context: &SinkContext) -> String {
    let mut hasher = XxHash64::with_seed(0);
    hasher.write(context.sink.as_bytes());
    format!("{prefix}.{}.{:016x}", context.pipeline, hasher.finish())
}

/// A client that reads the group's offset, and waits for transactions that are about to move it.
fn reader(config: &ClientConfig, group: &str) -> Result<Client> {
    let mut config = config.clone();
    for key in PRODUCER_ONLY {
        config.remove(key);
    }
    config.set("group.id", group).set("isolation.level", "read_committed").set("enable.auto.commit", "false");
    Client::of_group(&config)
}

/// Refuses a transaction timeout that the broker does not allow. A broker that does not tell is asked no further: it
/// refuses by itself when a handle is initialised.
fn check_timeout(client: &Client, config: &ClientConfig, timeout: Duration) -> Result<()> {
    let Some(most) = client.any_broker().and_then(|broker| broker_timeout(config, broker)) else {
        tracing::debug!("the broker does not tell '{BROKER_TIMEOUT}'");
        return Ok(());
    };
    if timeout <= most {
        return Ok(());
    }
    let (asked, most) = (timeout.as_millis(), most.as_millis());
    Err(Error::refused(
        KAFKA,
        format!("'{TIMEOUT}' is {asked}, but the broker's '{BROKER_TIMEOUT}' is {most}"),
        format!("set '{TIMEOUT}' to {most} or less; the default of 60000 loses nothing when a transaction expires"),
    ))
}

fn broker_timeout(config: &ClientConfig, broker: i32) -> Option<Duration> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().ok()?;
    let admin: AdminClient<_> = config.create().ok()?;
    let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(5)));
    let asked = [ResourceSpecifier::Broker(broker)];
    let answer = runtime.block_on(admin.describe_configs(&asked, &options)).ok()?;
    let resource = answer.into_iter().next()?.ok()?;
    let milliseconds = resource.get(BROKER_TIMEOUT)?.value.as_deref()?.parse().ok()?;
    Some(Duration::from_millis(milliseconds))
}
