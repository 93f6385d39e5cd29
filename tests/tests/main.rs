//! All whole-program tests in one binary, so that they share the services they need.

mod bad_input;
mod cli;
mod crash_points;
mod debezium;
mod explain;
mod failures;
mod http;
mod jdbc_commits;
mod jdbc_connector;
mod jdbc_jobs;
mod kafka_connector;
mod kafka_exactly_once;
mod pacing;
mod scenarios;
mod server;
mod shell;
mod tidy;
mod upsert_exactly_once;
mod upsert_kafka;
mod wordcount;
