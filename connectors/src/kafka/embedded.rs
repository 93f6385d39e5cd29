//! The broker inside the process, for trying out: `'properties.bootstrap.servers' = 'embedded'`.
//!
//! It is librdkafka's mock cluster, one per process, listening on a port of its own. It forgets everything at exit and
//! keeps only the newest 5 MB (as sent, so compressed) of each partition.

use std::sync::{Mutex, OnceLock, PoisonError};

use eddyline_engine::error::{Error, Result};
use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::RDKafkaErrorCode;

use super::KAFKA;

/// What to tell a reader that has fallen behind.
pub(super) const LIMIT: &str = "the embedded broker keeps only the newest 5 MB of each partition; write less or slower, \
                                raise 'eddyline.embedded.partitions', or use a real broker";

struct Broker {
    cluster: Mutex<MockCluster<'static, DefaultProducerContext>>,
    bootstrap: String,
}

// SAFETY: the cluster is a raw pointer to a librdkafka object that runs its own thread; its functions enqueue an
// operation for that thread, and the mutex keeps two of ours from calling them at once. It is never moved out or dropped.
unsafe impl Send for Broker {}
// SAFETY: as above.
unsafe impl Sync for Broker {}

/// The address of the broker, which is started at the first call.
pub(super) fn bootstrap() -> Result<&'static str> {
    Ok(&broker()?.bootstrap)
}

/// Makes a topic unless it exists; an existing one keeps its number of partitions.
pub(super) fn create_topic(topic: &str, partitions: i32) -> Result<()> {
    let cluster = broker()?.cluster.lock().unwrap_or_else(PoisonError::into_inner);
    match cluster.create_topic(topic, partitions, 1) {
        Ok(()) | Err(KafkaError::MockCluster(RDKafkaErrorCode::TopicAlreadyExists)) => Ok(()),
        Err(error) => Err(Error::connector(KAFKA, format!("cannot create embedded topic '{topic}': {error}"))),
    }
}

fn broker() -> Result<&'static Broker> {
    static BROKER: OnceLock<std::result::Result<Broker, String>> = OnceLock::new();
    let started = BROKER.get_or_init(|| {
        let cluster = MockCluster::new(1).map_err(|error| error.to_string())?;
        let bootstrap = cluster.bootstrap_servers();
        tracing::info!(
            %bootstrap,
            "started the embedded Kafka broker; it is for trying out and forgets everything at exit"
        );
        Ok(Broker { cluster: Mutex::new(cluster), bootstrap })
    });
    started.as_ref().map_err(|why| Error::connector(KAFKA, format!("cannot start the embedded broker: {why}")))
}
