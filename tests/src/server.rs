//! `eddyline serve` as a child process, and the real clients of PostgreSQL that talk to it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;

use crate::program::Program;
use crate::services::process::{free_port, require_program, spawn, tied, wait_for};

/// How long a server may take to start or to come to a state.
const LIMIT: Duration = Duration::from_secs(60);

/// Packages of PyPI that the tests use, with their versions.
const PACKAGES: &[&str] =
    &["psycopg[binary]==3.2.13", "asyncpg==0.30.0", "sqlalchemy==2.0.58", "prometheus_client==0.26.0"];

/// A server with a data directory of its own.
pub struct Server {
    folder: TempDir,
    port: u16,
    extra: Vec<String>,
    program: Program,
}

impl Server {
    /// Starts a server without logins.
    pub fn start() -> Self {
        Server::start_with(&[])
    }

    /// Starts a server with more arguments; `{folder}` in them is its folder.
    pub fn start_with(extra: &[&str]) -> Self {
        Server::start_in(tempfile::tempdir().expect("a temporary folder"), extra)
    }

    /// Starts a server that lets in one user with a password.
    pub fn start_with_user(user: &str, password: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let users = folder.path().join("users");
        std::fs::write(&users, format!("{user}:{password}\n")).expect("a writable folder");
        std::fs::set_permissions(&users, std::fs::Permissions::from_mode(0o600)).expect("a mode");
        Server::start_in(folder, &["--user-file", "users"])
    }

    /// Starts a server in a folder in which there is something already.
    pub fn start_in(folder: TempDir, extra: &[&str]) -> Self {
        let port = free_port();
        let path = folder.path().to_string_lossy().into_owned();
        let extra: Vec<String> = extra.iter().map(|argument| argument.replace("{folder}", &path)).collect();
        let program = launch(folder.path(), port, &extra);
        let mut server = Server { folder, port, extra, program };
        server.wait_until_it_serves(1);
        server
    }

    /// Kills the server as a power cut would.
    pub fn kill(&mut self) {
        self.program.kill();
    }

    /// Asks the server to stop and waits; true when it ended as it should.
    pub fn stop(&mut self) -> bool {
        self.program.stop().success()
    }

    /// Starts it again with the command that it was started with.
    pub fn start_again(&mut self) {
        let before = self.starts();
        self.program = launch(self.folder.path(), self.port, &self.extra);
        self.wait_until_it_serves(before + 1);
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its folder, with `data` in it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The number of its process.
    pub fn process_id(&self) -> u32 {
        self.program.id()
    }

    /// What it has printed.
    pub fn output(&self) -> String {
        self.program.output()
    }

    /// Panics when it has ended.
    pub fn assert_running(&mut self) {
        self.program.assert_running();
    }

    fn starts(&self) -> usize {
        self.output().matches("eddyline serves PostgreSQL clients").count()
    }

    fn wait_until_it_serves(&mut self, starts: usize) {
        wait_for("the server", LIMIT, || {
            self.program.assert_running();
            (self.starts() >= starts).then_some(())
        });
    }

    /// psql with `arguments`, connected to this server.
    pub fn psql_command(&self, arguments: &[&str]) -> Command {
        require_program("psql", "postgresql-client");
        let mut command = Command::new("psql");
        let port = self.port.to_string();
        command.args(["-X", "-h", "127.0.0.1", "-p", &port, "-U", "ada", "-d", "default_catalog"]).args(arguments);
        command.env("PGCONNECT_TIMEOUT", "20").env("PAGER", "cat");
        command
    }

    /// What psql prints for `sql`, unaligned and without headers; it must succeed.
    #[track_caller]
    pub fn psql(&self, sql: &str) -> String {
        let output = self.psql_command(&["-v", "ON_ERROR_STOP=1", "-q", "-A", "-t", "-c", sql]).output();
        text_of(&output.expect("psql can be run"), sql)
    }

    /// What psql says against `sql`, which must fail.
    #[track_caller]
    pub fn psql_error(&self, sql: &str) -> String {
        let output = self.psql_command(&["-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", "-c", sql]).output();
        let output = output.expect("psql can be run");
        assert!(!output.status.success(), "{sql} should fail");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// What a Python script prints; it must succeed. `PORT` and `FOLDER` are in its environment.
    #[track_caller]
    pub fn python(&self, script: &str) -> String {
        let mut command = Command::new(python());
        command.args(["-c", script]).env("PORT", self.port.to_string()).env("FOLDER", self.folder.path());
        text_of(&command.output().expect("python can be run"), script)
    }

    /// A Python script that runs beside the test, with `PORT` and `FOLDER` in its environment; it is killed when the test
    /// is done with it.
    pub fn start_python(&self, script: &str) -> std::process::Child {
        let mut command = tied(&python().to_string_lossy(), None);
        command.args(["-c", script]).env("PORT", self.port.to_string()).env("FOLDER", self.folder.path());
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        spawn(command).expect("python can be run")
    }

    /// What a Java program prints; it must succeed. `PORT` and `FOLDER` are in its environment, the JDBC driver on its class
    /// path.
    #[track_caller]
    pub fn java(&self, file: &str) -> String {
        let mut command = Command::new("java");
        command.args(["-cp", jdbc_driver(), file]).env("PORT", self.port.to_string()).env("FOLDER", self.folder.path());
        text_of(&command.output().expect("java can be run"), file)
    }

    /// The status of the newest job of this name; empty when there is none.
    pub fn job_status(&self, name: &str) -> String {
        let jobs = self.psql("SHOW JOBS");
        let fields: Vec<Vec<&str>> = jobs.lines().map(|line| line.split('|').collect()).collect();
        let job = fields.iter().rfind(|fields| fields.get(1) == Some(&name));
        job.and_then(|fields| fields.get(2)).map_or(String::new(), |status| status.to_string())
    }

    /// Waits until the job has this status.
    pub fn wait_for_status(&self, name: &str, status: &str) {
        wait_for(&format!("{name} to be {status}"), LIMIT, || (self.job_status(name) == status).then_some(()));
    }
}

fn launch(folder: &Path, port: u16, extra: &[String]) -> Program {
    let mut arguments: Vec<String> = vec!["serve".into(), "--data-dir".into(), "data".into()];
    if !extra.iter().any(|argument| argument == "--pg") {
        arguments.extend(["--pg".into(), format!("127.0.0.1:{port}")]);
    }
    arguments.extend(extra.iter().map(|argument| argument.replace("{port}", &port.to_string())));
    Program::start(folder, &arguments)
}

#[track_caller]
fn text_of(output: &Output, what: &str) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{what}\nfailed:\n{out}\n{err}");
    out.trim_end().to_string()
}

/// Where things that tests fetch are kept between runs.
fn cache(name: &str) -> PathBuf {
    let exe = std::env::current_exe().expect("the path of the test");
    let target = exe.ancestors().nth(3).expect("the target folder").to_path_buf();
    target.join("tmp").join(name)
}

/// Python with the clients in a virtual environment below the target folder.
pub fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        require_program("python3", "python3-venv");
        let folder = cache("python-clients");
        let (python, mark) = (folder.join("bin/python"), folder.join("complete"));
        let wanted = PACKAGES.join("\n");
        if std::fs::read_to_string(&mark).is_ok_and(|found| found == wanted) {
            return python;
        }
        let run = |command: &mut Command| {
            let output = command.output().expect("python can be run");
            text_of(&output, "the Python clients");
        };
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES));
        std::fs::write(&mark, wanted).expect("a writable folder");
        python
    })
}

/// The class path of PostgreSQL's JDBC driver, fetched by Maven.
fn jdbc_driver() -> &'static str {
    static DRIVER: OnceLock<String> = OnceLock::new();
    DRIVER.get_or_init(|| {
        require_program("java", "default-jdk-headless");
        require_program("mvn", "maven");
        let folder = cache("jdbc-driver");
        std::fs::create_dir_all(&folder).expect("a writable folder");
        let class_path = folder.join("class-path");
        if let Some(known) = std::fs::read_to_string(&class_path).ok().filter(|text| Path::new(text.trim()).exists()) {
            return known;
        }
        let pom = concat!(env!("CARGO_MANIFEST_DIR"), "/services/jdbc/pom.xml");
        let output = Command::new("mvn")
            .args(["-q", "-B", "-f", pom, "dependency:build-classpath"])
            .arg(format!("-Dmdep.outputFile={}", class_path.display()))
            .output();
        text_of(&output.expect("mvn can be run"), "the JDBC driver");
        std::fs::read_to_string(&class_path).expect("Maven's output")
    })
}
