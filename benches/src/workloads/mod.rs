//! The workloads, one per file.

pub mod checkpoint;
pub mod filter;
pub mod guarantee;
pub mod start;
pub mod views;
pub mod wordcount;

use std::path::Path;

use eddyline_tests::services::kafka;
use tempfile::TempDir;

use crate::Setup;

/// An empty folder for one round: script, log and checkpoints.
fn round_folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// The settings of every job: exactly-once checkpoints on, as in production.
fn settings(setup: &Setup, folder: &Path, name: &str, interval: &str) -> String {
    format!(
        "SET 'pipeline.name' = '{name}';
SET 'parallelism.default' = '{}';
SET 'execution.checkpointing.interval' = '{interval}';
SET 'execution.checkpointing.dir' = '{}/checkpoints';
",
        setup.parallelism,
        folder.display()
    )
}

/// Options of a Kafka source from the first message to the last one that is there.
fn bounded(topic: &str, format: &str) -> String {
    format!(
        "'connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{}', \
         'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset', 'format' = '{format}'",
        kafka::shared().bootstrap()
    )
}
