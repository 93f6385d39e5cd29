//! The dataflow engine of Eddyline: Arrow record batches, operators as deterministic state machines, declared state,
//! checkpoints and the runtime that moves data between threads. It knows no SQL text and no external system.
//!
//! Read `ARCHITECTURE.md` beside this crate first; then `operator` (what an operator is), `dataflow` (how operators are
//! wired), `runtime` (how they run) and `checkpoint` (how they survive).

pub mod aggregate;
pub mod changelog;
pub mod checkpoint;
pub mod connector;
pub mod crash;
pub mod dataflow;
pub mod error;
pub mod interrupt;
pub mod operator;
pub mod operators;
pub mod relation;
pub mod runtime;
pub mod state;
pub mod testing;
pub mod time;
pub mod window;

pub use changelog::{ChangelogBatch, RowKind, RowKinds};
pub use error::{Error, Result};
