//! The `kafka` connector: topics as append-only (or change) tables.
//!
//! Reading uses no consumer group: each subtask owns a fixed share of the partitions, starts every partition at a
//! concrete offset and keeps the next offset of all of them for the checkpoint. Writing is at-least-once, everything
//! sent being acknowledged before the barrier passes; or exactly-once, by an epoch log and transactions.
//!
//! From the outside in: `connector` (the table as declared) → `options`, `properties`, `layout` (what the user typed,
//! resolved) → `source`/`sink` (one per subtask) → `rows`, `encode` and `metadata` (messages to columns and back),
//! `delivery` and `exactly_once` (messages to the topic) → `client`, `consumer`, `producer` (librdkafka; with
//! `exactly_once::{handle, fault}` the only files with `unsafe`). `start` turns a startup mode into offsets, `discovery`
//! finds new partitions, `interrupt` ends waiting, `embedded` is the broker for trying out. `upsert` is the connector
//! `upsert-kafka`, a layer over all of this.

mod client;
mod connector;
mod consumer;
pub(crate) mod delivery;
mod discovery;
mod embedded;
mod encode;
mod exactly_once;
mod interrupt;
mod layout;
mod metadata;
mod options;
mod producer;
mod properties;
mod rows;
mod sink;
mod source;
mod start;
mod upsert;

pub use connector::KafkaConnector;
pub use upsert::UpsertKafkaConnector;

/// The connector's name in errors and in `'connector' = …`.
const KAFKA: &str = "kafka";

/// The name of the connector for tables with a primary key.
const UPSERT_KAFKA: &str = "upsert-kafka";
