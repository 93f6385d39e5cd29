//! Checkpoints: what makes a job survive. A checkpoint is a folder of plain Parquet files and sink logs with a JSON
//! manifest that names each of them; the manifest is written last, and its existence is the commit point.
//!
//! - `config`: Flink's `execution.checkpointing.*` keys, checked and resolved; `restart`: restart strategies.
//! - `coordinator`: the pure state machine that decides when an epoch starts, is complete, is applied, or is given up.
//! - `recovery`: the pure decision which prepared epochs a sink must still apply after a restart.
//! - `manifest`: what a checkpoint consists of, as a value and as JSON.
//! - `store`: writes and finds checkpoints in the folder of one job; `fence` keeps a second process out of it,
//!   `retention` deletes what is no longer needed, `restore` reads and verifies, `parquet` encodes rows, `files` are
//!   the file-system steps that make a file durable.
//!
//! ```text
//! <root>/<job>/pipeline.json              identity and generation of the pipeline
//!              lock                       held by the running process
//!              commits/<n>                epoch n is applied by all sinks; where their markers stand
//!              chk-<n>/manifest.json      written last
//!              chk-<n>/<operator>-<state>-<subtask>.parquet
//!              chk-<n>/<operator>-log-<subtask>.log
//! ```

mod config;
mod coordinator;
mod fence;
mod files;
mod layout;
mod listing;
mod manifest;
mod parquet;
mod recovery;
mod restart;
mod restore;
mod retention;
mod store;

#[cfg(test)]
mod coordinator_tests;
#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod parquet_tests;
#[cfg(test)]
mod store_tests;

pub use config::{CheckpointConfig, CheckpointMode, CheckpointStorage, Retention, checkpoint_options};
pub use coordinator::{Command, Coordinator, Event, MAX_UNAPPLIED_EPOCHS};
pub use listing::{Listing, list};
pub use manifest::{CheckpointKind, FORMAT_VERSION, FileEntry, LogEntry, Manifest, OperatorEntry, StateEntry};
pub use recovery::{Decision, Facts, Refusal, decide};
pub use restart::{RestartStrategy, restart_options};
pub use restore::Restored;
pub use store::CheckpointStore;
