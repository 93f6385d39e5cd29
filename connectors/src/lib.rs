//! Sources, sinks and formats of Eddyline: one folder per system, one module per format.

pub mod blackhole;
pub mod datagen;
pub mod filesystem;
pub mod format;
pub mod jdbc;
pub mod kafka;
pub mod print;
