//! Child processes that cannot outlive the tests, free ports, and waiting with a deadline.
//!
//! A child is started through `setpriv --pdeathsig KILL`, so the kernel ends it with us even when we are killed. That
//! signal is tied to the *thread* that forked, and test threads come and go; therefore one thread, which lives as long
//! as the process, starts all children.

use std::net::TcpListener;
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Where services listen. Linux gives ports from 32768 on to connections.
const PORTS: Range<u16> = 12_000..32_000;

type Order = (Command, Sender<std::io::Result<Child>>);

/// Starts `command` (which should be one made by [`tied`]) from the thread that lives as long as the process.
pub fn spawn(command: Command) -> std::io::Result<Child> {
    static STARTER: OnceLock<Sender<Order>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, reply) in inbox {
                let _ = reply.send(command.spawn());
            }
        });
        orders
    });
    let (reply, answer) = channel();
    starter.send((command, reply)).map_err(std::io::Error::other)?;
    answer.recv().map_err(std::io::Error::other)?
}

/// A command for `program` that dies with this process; as `user` when given (needs root).
pub fn tied(program: &str, user: Option<&str>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if let Some(user) = user {
        command.args(["--reuid", user, "--regid", user, "--clear-groups"]);
    }
    command.arg("--").arg(program);
    command
}

/// A TCP port of 127.0.0.1 that nobody uses now, and that no connection takes before the service does: it lies below the
/// ports that the kernel gives to connections. A service finds it free again when it restarts, too.
pub fn free_port() -> u16 {
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    // Other test processes begin elsewhere.
    let next = NEXT.get_or_init(|| AtomicU16::new(rand::random()));
    let mut candidates = PORTS.map(|_| PORTS.start + next.fetch_add(1, Ordering::Relaxed) % PORTS.len() as u16);
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    candidates.find(is_free).expect("a free port")
}

/// Waits until `probe` returns something; fails with `what` when `limit` has passed.
pub fn wait_for<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {limit:?} in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// A temporary folder `<prefix><random>` that belongs to this process. A shared service lives in a static and is never
/// dropped, so the folders of test processes that are gone are removed here, by the next one.
pub fn service_folder(prefix: &str) -> TempDir {
    const OWNER: &str = "owner.pid";
    for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let owner = std::fs::read_to_string(entry.path().join(OWNER)).unwrap_or_default();
        let is_gone = !owner.is_empty() && !Path::new("/proc").join(&owner).exists();
        if is_gone && entry.file_name().to_string_lossy().starts_with(prefix) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    let folder = tempfile::Builder::new().prefix(prefix).tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join(OWNER), std::process::id().to_string()).expect("a writable folder");
    folder
}

/// True when this process runs as root.
pub fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout.trim_ascii() == b"0")
}

/// Makes sure that `program` can be run, installing Debian's `package` as root when it is missing; else fails with
/// the command to type.
pub fn require_program(program: &str, package: &str) {
    if found(program) {
        return;
    }
    let advice = format!("`{program}` is missing; install it with: sudo apt-get install -y {package}");
    assert!(is_root() && found("apt-get"), "{advice}");
    let apt = |arguments: &[&str]| {
        let status = Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive").status();
        assert!(status.is_ok_and(|s| s.success()), "apt-get {} failed; {advice}", arguments.join(" "));
    };
    apt(&["update", "-q"]);
    apt(&["install", "-y", "-q", "--no-install-recommends", package]);
    assert!(found(program), "{advice}");
}

fn found(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':').chain(["/usr/sbin", "/sbin"]).any(|folder| Path::new(folder).join(program).exists())
}
