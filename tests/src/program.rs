//! The real program as a child process: built once, started with a SQL file and arguments, killed, stopped, waited for.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::services::process::{spawn, tied, wait_for};

/// How long a program may take to end.
const LIMIT: Duration = Duration::from_secs(120);

/// The top folder of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a member of the workspace").to_path_buf()
}

/// Path of the `eddyline` binary of this profile, built when it is not up to date.
pub fn eddyline() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("EDDYLINE_BINARY") {
            return PathBuf::from(path);
        }
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--workspace", "--bins"])
            .current_dir(workspace())
            .status()
            .expect("cargo can be run");
        assert!(status.success(), "the program does not build");
        let own = std::env::current_exe().expect("the path of the test");
        let folder = own.parent().and_then(Path::parent).expect("the target folder");
        folder.join("eddyline")
    })
}

/// A running program. It dies with the test.
pub struct Program {
    child: Child,
    /// Where its output goes.
    output: PathBuf,
}

impl Program {
    /// Starts `eddyline` with `arguments` in `folder`; output goes to `output.txt` there, appended.
    pub fn start(folder: &Path, arguments: &[String]) -> Program {
        Program::start_with(folder, arguments, &[])
    }

    /// Starts it with additional environment variables, such as those of crash points.
    pub fn start_with(folder: &Path, arguments: &[String], environment: &[(&str, &str)]) -> Program {
        let output = folder.join("output.txt");
        let log = || {
            let file = std::fs::OpenOptions::new().create(true).append(true).open(&output);
            Stdio::from(file.expect("the output file can be written"))
        };
        let mut command = tied(&eddyline().to_string_lossy(), None);
        command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(log()).stderr(log());
        command.envs(environment.iter().copied());
        let child = spawn(command).expect("the program starts");
        Program { child, output }
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it as a power cut would.
    pub fn kill(&mut self) {
        self.child.kill().expect("the child can be killed");
        self.child.wait().expect("the child can be waited for");
    }

    /// Asks it to stop (SIGTERM) and waits.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// Sends it a signal, such as `STOP` or `CONT`.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &id]).status().expect("kill can be run");
        assert!(sent.success(), "the program has ended before it got SIG{name}:\n{}", self.output());
    }

    /// Waits until it is stopped by SIGSTOP.
    pub fn wait_until_paused(&mut self) {
        wait_for("the program to pause", LIMIT, || self.is_paused().then_some(()));
    }

    /// True while it is stopped by SIGSTOP; panics with its output when it has ended.
    pub fn is_paused(&mut self) -> bool {
        self.assert_running();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        // The state follows the name, which is in parentheses.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        wait_for("the end of the program", LIMIT, || self.ended())
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of ours")
    }

    /// Panics with its output when it has ended.
    pub fn assert_running(&mut self) {
        if let Some(status) = self.ended() {
            panic!("the program ended with {status}:\n{}", self.output());
        }
    }

    /// What it has printed so far, to both streams, over all starts in this folder.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Output of a program that ends by itself.
#[derive(Debug)]
pub struct Finished {
    /// True for exit code 0.
    pub success: bool,
    /// The exit code; None when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs `eddyline` with `arguments` in `folder` until it ends by itself.
pub fn run(folder: &Path, arguments: &[&str]) -> Finished {
    run_with(folder, arguments, "", &[])
}

/// Runs `eddyline` with additional environment variables in `folder` until it ends by itself.
pub fn run_with_environment(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Finished {
    run_with(folder, arguments, "", environment)
}

/// Runs `eddyline` with `arguments` in `folder` and a short `input` on its standard input until it ends by itself.
pub fn run_with_input(folder: &Path, arguments: &[&str], input: &str) -> Finished {
    run_with(folder, arguments, input, &[])
}

fn run_with(folder: &Path, arguments: &[&str], input: &str, environment: &[(&str, &str)]) -> Finished {
    let mut command = tied(&eddyline().to_string_lossy(), None);
    command.envs(environment.iter().copied());
    command.args(arguments).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawn(command).expect("the program starts");
    // A program that does not read its input may be gone already.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let stdout = read_aside(child.stdout.take().expect("a pipe"));
    let stderr = read_aside(child.stderr.take().expect("a pipe"));
    let mut text = |stream: Receiver<String>| {
        stream.recv_timeout(LIMIT).unwrap_or_else(|_| {
            let _ = child.kill();
            panic!("eddyline {arguments:?} does not end by itself")
        })
    };
    let (stdout, stderr) = (text(stdout), text(stderr));
    let status = child.wait().expect("a child of ours");
    Finished { success: status.success(), code: status.code(), stdout, stderr }
}

/// Reads a stream to its end on a thread of its own.
fn read_aside(mut stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("text");
        let _ = sender.send(text);
    });
    receiver
}

/// Runs a SQL script with `--output jsonl` until it ends by itself.
pub fn run_sql(folder: &Path, sql: &str, arguments: &[&str]) -> Finished {
    let file = folder.join("script.sql");
    std::fs::write(&file, sql).expect("the script can be written");
    let file = file.to_string_lossy().into_owned();
    let mut all = vec!["run", "--output", "jsonl"];
    all.extend_from_slice(arguments);
    all.push(&file);
    run(folder, &all)
}
