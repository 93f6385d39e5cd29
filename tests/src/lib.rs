//! What the whole-program tests share: the services they talk to.

pub mod program;
pub mod services;
