//! SQL text to a stateful dataflow: Flink SQL's dialect, a catalog, a planner on DataFusion's front end.
//!
//! Read `ARCHITECTURE.md` beside this crate first; then `parse` (text to statements), `catalog` (what tables are) and
//! `types` (Flink's types in Arrow's terms).

pub mod catalog;
pub mod coercion;
pub mod config;
pub mod error;
pub mod functions;
pub mod parse;
pub mod statement;
pub mod types;

pub use error::{Result, SqlError, SqlState};
