//! What the whole-program tests share: the program, the checkpoints it writes, and the services it talks to.

pub mod browser;
pub mod changelog;
pub mod checkpoints;
pub mod committed;
pub mod http;
pub mod program;
pub mod server;
pub mod services;
pub mod terminal;
