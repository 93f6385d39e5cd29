//! SQL text to a stateful dataflow: Flink SQL's dialect, a catalog, a planner on DataFusion's front end.
//!
//! Read `ARCHITECTURE.md` beside this crate first; then `parse` (text to statements), `catalog` (what tables are) and
//! `types` (Flink's types in Arrow's terms).

#[cfg(feature = "batch")]
mod batch;
mod build;
pub mod catalog;
pub mod coercion;
mod collect;
pub mod config;
pub mod engine;
pub mod error;
pub mod facts;
mod flush;
pub mod functions;
mod insert;
pub mod jobs;
mod materialize;
#[cfg(feature = "batch")]
mod mutate;
mod parameter;
pub mod parse;
mod pipeline;
pub mod plan;
pub mod relations;
mod secrets;
pub mod session;
mod show;
pub mod statement;
mod submit;
mod subscribe;
mod tables;
pub mod types;
mod values;
mod zone;

#[cfg(test)]
mod tests;

pub use engine::Engine;
pub use error::{Result, SqlError, SqlState};
pub use materialize::drop_text;
pub use parameter::Parameter;
pub use session::{Edits, JournalOpener, Outcome, Session, Shape};
