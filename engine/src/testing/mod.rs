//! What tests of this and the other crates share.

pub mod memory;
pub mod script;
pub mod sink_suite;
pub mod text;
