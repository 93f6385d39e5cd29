//! The measured program as a child process: wall time, CPU time and peak memory from `/proc`.
//!
//! CPU time is read when the child has ended but is not yet reaped, so that it covers all its threads to the last tick
//! (10 ms). Peak memory is the kernel's own high-water mark, looked at every [`POLL`]; it never covers the benchmark
//! itself, as `ru_maxrss` of a forked child may.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(2);
/// The kernel's clock tick as user space sees it, on every architecture that we run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// From the start of the process to its end.
    pub wall: Duration,
    /// User and system time of all threads.
    pub cpu: Duration,
    /// Highest resident memory.
    pub peak_rss_bytes: u64,
}

/// A running `eddyline run`; killed when dropped.
pub struct Measured {
    child: Child,
    began: Instant,
    peak_rss_bytes: u64,
    log: PathBuf,
}

impl Measured {
    /// Starts `binary run --output jsonl` with `sql` in `folder`; standard error goes to `log.txt` there.
    pub fn start(binary: &Path, folder: &Path, sql: &str) -> Measured {
        let (script, log) = (folder.join("job.sql"), folder.join("log.txt"));
        fs::write(&script, sql).expect("the folder is writable");
        let errors = File::options().create(true).append(true).open(&log).expect("the folder is writable");
        let mut command = Command::new(binary);
        command.args(["run", "--output", "jsonl"]).arg(&script).current_dir(folder);
        command.env("EDDYLINE_LOG", "warn,eddyline_engine::runtime=debug").env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        let began = Instant::now();
        let child = command.spawn().unwrap_or_else(|e| panic!("{}: {e}", binary.display()));
        Measured { child, began, peak_rss_bytes: 0, log }
    }

    /// Waits for the first line on standard output: when it came, and what it is.
    pub fn first_line(&mut self) -> (Duration, String) {
        let mut output = BufReader::new(self.child.stdout.take().expect("the output is asked for once"));
        let mut line = String::new();
        output.read_line(&mut line).expect("text");
        let after = self.began.elapsed();
        assert!(!line.is_empty(), "the query printed nothing:\n{}", self.log_tail());
        // The program must not wait for somebody to read the rest.
        std::thread::spawn(move || io::copy(&mut output, &mut io::sink()));
        (after, line)
    }

    /// Waits until it ends by itself; panics with its log when it failed.
    pub fn finish(mut self) -> Usage {
        while self.sample() {
            std::thread::park_timeout(POLL);
        }
        let wall = self.began.elapsed();
        let cpu = self.cpu().expect("a child that is not reaped");
        let status = self.child.wait().expect("a child of ours");
        assert!(status.success(), "the program ended with {status}:\n{}", self.log_tail());
        Usage { wall, cpu, peak_rss_bytes: self.peak_rss_bytes }
    }

    /// Asks it to stop with a last checkpoint and waits for the end.
    pub fn stop(self) -> Usage {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|s| s.success()), "the program has ended early:\n{}", self.log_tail());
        self.finish()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The end of it, for messages.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Looks at its memory; false when it has ended.
    pub fn sample(&mut self) -> bool {
        let status = self.proc("status");
        let high_water = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = high_water.and_then(|v| v.trim().trim_end_matches(" kB").parse::<u64>().ok());
        self.peak_rss_bytes = self.peak_rss_bytes.max(kilobytes.unwrap_or(0) * 1024);
        !status.lines().any(|line| line.starts_with("State:") && line.contains('Z'))
    }

    /// `utime` and `stime` of `/proc/<pid>/stat`, see proc(5).
    fn cpu(&self) -> Option<Duration> {
        let stat = self.proc("stat");
        let after_name = stat.rsplit_once(')')?.1;
        let mut fields = after_name.split_ascii_whitespace().skip(11);
        let (user, system) = (fields.next()?.parse::<f64>().ok()?, fields.next()?.parse::<f64>().ok()?);
        Some(Duration::from_secs_f64((user + system) / TICKS_PER_SECOND))
    }

    fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap_or_default()
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
