//! What the whole-program tests share: the program, the checkpoints it writes, the services it talks to, and chance.

pub mod browser;
pub mod chance;
pub mod changelog;
pub mod checkpoints;
pub mod committed;
pub mod http;
pub mod program;
pub mod server;
pub mod services;
pub mod terminal;
