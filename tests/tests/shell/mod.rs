//! The interactive shell as a person has it: typed into a real terminal (tmux), read from its screen.

mod connect;
mod files;
mod guide;
mod results;
mod subscribe;
mod typing;

/// An endless table with three keys.
const TICKS: &str = "CREATE TABLE ticks (k BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '50', \
    'fields.k.min' = '1', 'fields.k.max' = '3');";
