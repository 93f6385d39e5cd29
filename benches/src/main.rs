//! Benchmarks of the real program: `cargo run --release -p eddyline-benches -- wordcount --rows 1000000`.
//!
//! A benchmark starts a Kafka broker (and MariaDB) of its own, loads a topic once from a seed, and then runs the
//! `eddyline` binary as a child process that drains the topic, once per round. Everything is printed raw, with the
//! median of the rounds below; a round whose result is wrong ends the program.

mod child;
mod report;
mod topics;
mod workloads;

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Parser, ValueEnum};

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Workload {
    /// Lines of eight words → GROUP BY word → a sink that throws away, or MariaDB (`--sink mysql`).
    Wordcount,
    /// JSON rows → filter → a sink that throws away, or JSON rows in Kafka (`--sink kafka`).
    Filter,
    /// From the start of the program to the first row of a small query.
    Start,
    /// JSON rows from Kafka to Kafka, at least once and exactly once in turn.
    Guarantee,
    /// Look-ups by key in a materialized view of a million keys (`--keys`) under 50 000 changes per second.
    Views,
    /// Checkpoints of a million keys (`--keys`) while rows come in, and a restart from the last one.
    Checkpoint,
}

/// Where results go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sink {
    /// Nowhere.
    Blackhole,
    /// A MariaDB table; word count only.
    Mysql,
    /// A Kafka topic as JSON; filter only.
    Kafka,
}

/// Measures Eddyline on this machine.
#[derive(Debug, Parser)]
#[command(name = "eddyline-benches")]
struct Arguments {
    /// Which workload; all of them one after the other when left out.
    workload: Option<Workload>,
    /// Rows in the topic.
    #[arg(long, default_value_t = 1_000_000)]
    rows: usize,
    /// Distinct keys of the checkpoint workload.
    #[arg(long, default_value_t = 1_000_000)]
    keys: usize,
    /// Only this sink; all that the workload knows when left out.
    #[arg(long)]
    sink: Option<Sink>,
    /// More options of that sink, such as "'sink.buffer-flush.max-rows' = '20000'".
    #[arg(long, default_value = "", requires = "sink")]
    sink_options: String,
    /// How often each measurement is repeated.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// `parallelism.default` of the jobs.
    #[arg(long, default_value_t = 1)]
    parallelism: usize,
    /// Measure this program instead of the release build, which is built when it is not up to date.
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// A measurement's surroundings.
struct Setup {
    binary: PathBuf,
    rows: usize,
    keys: usize,
    rounds: usize,
    parallelism: usize,
    /// Empty, or options with a comma before them.
    sink_options: String,
}

fn main() {
    let arguments = Arguments::parse();
    let binary = arguments.binary.clone().unwrap_or_else(release_binary);
    let binary = binary.canonicalize().unwrap_or_else(|e| panic!("{}: {e}", binary.display()));
    report::print_machine(&binary);
    let setup = Setup {
        binary,
        rows: arguments.rows,
        keys: arguments.keys,
        rounds: arguments.rounds.max(1),
        parallelism: arguments.parallelism,
        sink_options: match arguments.sink_options.as_str() {
            "" => String::new(),
            options => format!(", {options}"),
        },
    };
    let wanted = |workload| arguments.workload.is_none_or(|w| w == workload);
    let into = |sink| arguments.sink.is_none_or(|s| s == sink);
    if wanted(Workload::Wordcount) {
        workloads::wordcount::run(&setup, into(Sink::Blackhole), into(Sink::Mysql));
    }
    if wanted(Workload::Filter) {
        workloads::filter::run(&setup, into(Sink::Blackhole), into(Sink::Kafka));
    }
    if wanted(Workload::Start) {
        workloads::start::run(&setup);
    }
    if wanted(Workload::Guarantee) {
        workloads::guarantee::run(&setup);
    }
    if wanted(Workload::Views) {
        workloads::views::run(&setup);
    }
    if wanted(Workload::Checkpoint) {
        workloads::checkpoint::run(&setup);
    }
}

/// The release build of the program, made by cargo when it is missing or old.
fn release_binary() -> PathBuf {
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "-p", "eddyline"])
        .current_dir(eddyline_tests::program::workspace())
        .status()
        .expect("cargo can be run");
    assert!(status.success(), "the program does not build");
    let own = std::env::current_exe().expect("the path of this program");
    let target = own.parent().and_then(Path::parent).expect("the target folder");
    target.join("release/eddyline")
}
