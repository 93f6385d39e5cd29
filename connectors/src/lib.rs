//! Sources, sinks and formats of Eddyline: one folder per system, one module per format.

pub mod blackhole;
pub mod datagen;
pub mod filesystem;
pub mod format;
pub mod jdbc;
pub mod kafka;
pub mod print;

use std::sync::Arc;

use eddyline_engine::connector::Registry;

/// All connectors of the program.
pub fn registry() -> Registry {
    Registry::default()
        .with(Arc::new(blackhole::BlackholeConnector))
        .with(Arc::new(datagen::DatagenConnector))
        .with(Arc::new(filesystem::FilesystemConnector))
        .with(Arc::new(jdbc::JdbcConnector))
        .with(Arc::new(kafka::KafkaConnector))
        .with(Arc::new(kafka::UpsertKafkaConnector))
        .with(Arc::new(print::PrintConnector))
}
