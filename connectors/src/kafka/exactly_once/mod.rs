//! Exactly once to Kafka: rows wait in an epoch log until their checkpoint is durable and then become visible in
//! transactions that move a marker along with them.
//!
//! `log` is what waits, compressed by `lz4`, and `partition` fixes where each message goes before it waits, so that a replay sends the same
//! message to the same place. `protocol` decides what happens next, free of Kafka and time; `model` explores it against a
//! simulated broker. `committer` performs it: on `slots`, which hold a `handle` each, with the `marker` as the truth
//! about what is visible. `fault` sorts errors, `open` makes the committer and checks what can be checked before rows
//! flow.

mod committer;
mod fault;
mod handle;
pub(super) mod log;
mod lz4;
mod marker;
#[cfg(test)]
mod model;
mod open;
pub(super) mod partition;
mod protocol;
mod slots;

pub(super) use open::open;
