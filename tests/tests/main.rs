//! All whole-program tests in one binary, so that they share the services they need.

mod bad_input;
mod cli;
mod crash_points;
mod failures;
mod jdbc_connector;
mod kafka_connector;
mod scenarios;
mod tidy;
mod wordcount;
