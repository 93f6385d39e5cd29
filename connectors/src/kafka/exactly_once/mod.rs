//! Exactly once to Kafka: rows wait in an epoch log until their checkpoint is durable and then become visible in
//! transactions that move a marker along with them.
//!
//! `log` is what waits and `partition` fixes where each message goes before it waits, so that a replay sends the same
//! message to the same place.

// Read by the committer, which comes in the next commit.
#[cfg_attr(not(test), allow(dead_code))]
pub(super) mod log;
pub(super) mod partition;
