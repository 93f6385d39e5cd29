//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::render::OutputForm;

/// Continuous SQL over Kafka, in one process.
///
/// Without a command, an interactive SQL shell starts. SQL is Flink's dialect: CREATE TABLE … WITH ('connector' = …),
/// INSERT INTO … SELECT …, SELECT …; every statement ends with a semicolon.
#[derive(Debug, Parser)]
#[command(name = "eddyline", version, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// The shell.
    #[command(flatten)]
    pub shell: ShellArguments,
    /// Log more to standard error (-v info, -vv debug, -vvv trace); EDDYLINE_LOG sets a filter.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// `eddyline` without a command: the shell.
#[derive(Debug, Args)]
pub struct ShellArguments {
    /// Variables and settings for the shell, see `run --help`.
    #[arg(short = 'D', value_name = "KEY=VALUE")]
    pub definitions: Vec<String>,
    /// Execute statements on a server (HOST:PORT or postgresql://USER@HOST:PORT) instead of in this process; the password
    /// comes from PGPASSWORD or is asked for.
    #[cfg(feature = "server")]
    #[arg(long, value_name = "ADDRESS")]
    pub connect: Option<String>,
    /// Execute these statements and end; may be repeated.
    #[arg(short = 'e', long, value_name = "SQL")]
    pub execute: Vec<String>,
    /// Execute the statements of this file and end, after those of -e; `-` is standard input.
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Execute the statements of this file first.
    #[arg(short = 'i', long, value_name = "FILE")]
    pub init: Option<PathBuf>,
    /// How results are printed.
    #[arg(long, value_parser = ["table", "csv", "jsonl", "markdown"])]
    pub format: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the statements of a SQL file and stay until its jobs end.
    Run(RunArguments),
    /// Serve PostgreSQL clients; catalog and jobs survive restarts.
    #[cfg(feature = "server")]
    Serve(ServeArguments),
    /// Show how the statements of a SQL file would be executed, without running them.
    Explain(ExplainArguments),
    /// Inspect the checkpoints of jobs.
    Checkpoints(CheckpointArguments),
    /// Print the reference of all table options and settings, as Markdown.
    Options(OptionArguments),
}

/// `eddyline run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// The SQL file; `-` reads standard input.
    pub file: PathBuf,
    /// `-D name=value` replaces ${name} in the file; a name with a dot is also a setting, as if by SET.
    #[arg(short = 'D', value_name = "KEY=VALUE")]
    pub definitions: Vec<String>,
    /// How results of SELECT are printed.
    #[arg(long, value_enum, default_value = "table")]
    pub output: OutputForm,
    /// Start jobs from this checkpoint folder (…/<job>/chk-<n>) instead of the newest one of their name.
    #[arg(long, value_name = "PATH", conflicts_with = "fresh")]
    pub from: Option<PathBuf>,
    /// Start jobs without state, although there are checkpoints of their name.
    #[arg(long)]
    pub fresh: bool,
    /// Shut out another process that still runs the jobs of this file; it stops and commits nothing more.
    #[arg(long)]
    pub takeover: bool,
    /// Show jobs, lag and checkpoints at this loopback address: a page at /, Prometheus metrics, Flink's REST shapes.
    #[cfg(feature = "server")]
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<std::net::SocketAddr>,
    /// Plan every statement and end: no data is read or written, nothing starts.
    #[arg(long, conflicts_with_all = ["from", "fresh", "takeover"])]
    pub check: bool,
    /// Hand the file to a server (HOST:PORT or postgresql://USER@HOST:PORT), where its jobs run, and print their ids.
    #[cfg(feature = "server")]
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["check", "from", "fresh", "takeover", "http"])]
    pub detach: Option<String>,
    /// Print a line {"schema": [{"name", "type"}, …]} before the changes (with --output jsonl).
    #[arg(long)]
    pub schema: bool,
}

/// `eddyline serve`.
#[cfg(feature = "server")]
#[derive(Debug, Args)]
pub struct ServeArguments {
    /// Where PostgreSQL clients connect. An address that other machines can reach needs --user-file, --tls-cert and
    /// --tls-key.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:5433")]
    pub pg: std::net::SocketAddr,
    /// Show jobs, lag and checkpoints at this loopback address: a page at /, Prometheus metrics, Flink's REST shapes.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub http: Option<std::net::SocketAddr>,
    /// Where the catalog, the jobs and their checkpoints are kept.
    #[arg(long, value_name = "DIR", default_value = "eddyline-data")]
    pub data_dir: PathBuf,
    /// Who may log in: lines of `name:password` or `name:SCRAM-SHA-256$…`; the file must have mode 600.
    #[arg(long, value_name = "FILE")]
    pub user_file: Option<PathBuf>,
    /// The server's certificate chain, PEM.
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The key of the certificate, PEM.
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Most clients at once.
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub max_connections: usize,
    /// Largest message of a client that has logged in, in bytes; before login it is 10 000.
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20)]
    pub max_message_size: usize,
    /// Seconds that a login may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub login_timeout: u64,
}

/// `eddyline explain`.
#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// The SQL file; `-` reads standard input.
    pub file: PathBuf,
    /// As in `run`.
    #[arg(short = 'D', value_name = "KEY=VALUE")]
    pub definitions: Vec<String>,
}

/// `eddyline checkpoints`.
#[derive(Debug, Args)]
pub struct CheckpointArguments {
    /// What to do.
    #[command(subcommand)]
    pub action: CheckpointAction,
}

/// What to do with checkpoints.
#[derive(Debug, Subcommand)]
pub enum CheckpointAction {
    /// List the checkpoints below a folder.
    List {
        /// A checkpoint directory, a job's folder in it, or one checkpoint.
        path: PathBuf,
    },
    /// Show what one checkpoint holds.
    Show {
        /// The folder `chk-<n>` of the checkpoint.
        path: PathBuf,
    },
    /// Check length and hash of every file of one checkpoint.
    Verify {
        /// The folder `chk-<n>` of the checkpoint.
        path: PathBuf,
    },
}

/// `eddyline options`.
#[derive(Debug, Args)]
pub struct OptionArguments {
    /// Only this connector.
    pub connector: Option<String>,
}
