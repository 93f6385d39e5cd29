//! Sources, sinks and formats of Eddyline: one folder per system, one module per format.

pub mod format;
pub mod kafka;
