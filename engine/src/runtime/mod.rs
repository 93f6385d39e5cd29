//! How a dataflow runs: threads, channels, barriers, restarts. Operators, sources and sinks know nothing of it.
//!
//! - `job`: [`Job::start`]; `config`, `status`, `handle`: what goes in and what the outside sees.
//! - `plan`: which nodes share a thread; `attempt`: makes the threads and channels of one attempt.
//! - `task`, `source_task`: the loops of the threads; `chain`: the fused operators inside; `watermarks`: per split.
//! - `message`, `exchange`, `gate`: what travels between threads, who sends it where, and how it is merged.
//! - `driver`: the control thread, which performs what the checkpoint coordinator decides; `snapshot`, `epochs`: what a
//!   checkpoint is made of; `restore`: how a job gets back to one.
//! - `ledger`: what sinks have prepared; `committing`: makes it visible, on a thread of its own.
//! - `collect`: a sink that hands rows to the program itself.
//! - `journal`: notes about checkpoints for operators, besides the store.
//!
//! Life of a barrier: the driver tells all sources → each notes its positions and sends the barrier → gates align →
//! each task freezes its states, passes the barrier on and goes on → background threads write → the driver writes the
//! manifest → sinks apply.
//!
//! Invariants: a task is driven by its own thread only; channels are bounded, and waiting for a full one is the only
//! backpressure; when one task of an attempt ends early, all do.

mod attempt;
mod chain;
mod collect;
mod committing;
mod config;
mod driver;
mod epochs;
mod exchange;
mod gate;
mod handle;
mod job;
mod journal;
mod ledger;
mod message;
mod metrics;
mod plan;
mod restore;
mod snapshot;
mod source_task;
mod status;
mod stop;
mod task;
mod watermarks;

#[cfg(test)]
mod tests;

pub use collect::CollectSink;
pub use config::{FinishHook, JobConfig, Restore};
pub use handle::JobHandle;
pub use job::Job;
pub use journal::{CheckpointJournal, JournalEntry, JournalOwner};
pub use status::{
    CheckpointInfo, CheckpointProgress, CheckpointRecord, JobEvent, JobState, JobStatus, JobSummary, NodeRole,
    NodeStatus, RestoredFrom, SplitStatus, StopMode,
};
