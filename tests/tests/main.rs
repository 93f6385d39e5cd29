//! All whole-program tests in one binary, so that they share the services they need.

mod jdbc_connector;
mod kafka_connector;
mod tidy;
mod wordcount;
