//! The `eddyline` program: an interactive SQL shell, a runner of SQL files, and tools for checkpoints.
//!
//! Everything goes through one door, `eddyline_sql::Session`; this crate only talks to people: it reads the command line,
//! renders outcomes and errors, shows progress, and turns signals into a stop with a last checkpoint.

/// Prints a line to standard error like `eprintln!`, but goes on when nobody reads it any longer.
macro_rules! tell {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}

mod batch;
mod checkpoints;
mod cli;
#[cfg(feature = "server")]
mod detach;
mod failure;
mod figures;
mod follow;
#[cfg(feature = "server")]
mod http;
mod interrupt;
mod options;
mod progress;
mod render;
mod repl;
mod script;
#[cfg(feature = "server")]
mod server;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    init_logging(cli.verbose);
    let result = match cli.command {
        None => repl::run(&cli.shell),
        Some(Command::Run(arguments)) => batch::run(&arguments),
        #[cfg(feature = "server")]
        Some(Command::Serve(arguments)) => server::serve(&arguments),
        Some(Command::Explain(arguments)) => batch::explain(&arguments),
        Some(Command::Checkpoints(arguments)) => checkpoints::run(&arguments),
        Some(Command::Options(arguments)) => options::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tell!("{}", failure.text());
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Logs go to standard error: warnings and errors unless `EDDYLINE_LOG` or `-v` asks for more.
fn init_logging(verbose: u8) {
    let default = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("EDDYLINE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    // A log line that cannot be written is no reason to stop.
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
}
