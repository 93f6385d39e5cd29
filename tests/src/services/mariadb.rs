//! A private MariaDB server: its own data folder, a free port, one user with a password, one database.
//!
//! `tests/services/mysql/fetch.py FOLDER` puts Oracle's MySQL there, under the names of MariaDB's programs: with
//! `PATH=FOLDER/bin:$PATH` the same tests run against it.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};
use tempfile::TempDir;

use super::process::{free_port, is_root, require_program, service_folder, spawn, tied, wait_for};

/// The user of the test databases; may do everything.
pub const USER: &str = "eddy";
/// Password of [`USER`]; needs quoting and escaping on purpose.
pub const PASSWORD: &str = "s3cr3t'p@ss:w/rd";
/// The database that is there from the start.
pub const DATABASE: &str = "eddyline";

/// A running server. Dropped, it is killed and its files are removed.
pub struct MariaDb {
    folder: TempDir,
    port: u16,
    child: Option<Child>,
}

/// The one server that all tests of this process share. Tests keep apart by table or database name.
pub fn shared() -> &'static MariaDb {
    static SERVER: OnceLock<MariaDb> = OnceLock::new();
    SERVER.get_or_init(MariaDb::start)
}

impl MariaDb {
    /// Installs what is missing, makes a data folder and starts a server of one's own (for tests that kill it).
    pub fn start() -> MariaDb {
        require_program("mariadbd", "mariadb-server");
        let folder = service_folder("eddyline-mariadb-");
        let mut server = MariaDb { folder, port: free_port(), child: None };
        server.initialize();
        server.restart();
        server
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// URL for the `jdbc` connector and database [`DATABASE`].
    pub fn jdbc_url(&self) -> String {
        format!("jdbc:mysql://127.0.0.1:{}/{DATABASE}", self.port)
    }

    /// A name that no other test uses, for a table or a database.
    pub fn fresh_name(&self, prefix: &str) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        format!("{prefix}_{}", NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Runs statements that return nothing; panics with the server's words when one is refused.
    pub fn execute(&self, sql: &str) {
        self.block_on(async {
            let mut connection = self.connect().await.expect("the test server accepts connections");
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap_or_else(|e| panic!("{e}: {sql}"));
        });
    }

    /// All rows of a query; panics with the server's words when it is refused.
    pub fn query(&self, sql: &str) -> Vec<MySqlRow> {
        self.block_on(async {
            let mut connection = self.connect().await.expect("the test server accepts connections");
            let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut connection).await;
            rows.unwrap_or_else(|e| panic!("{e}: {sql}"))
        })
    }

    /// True for MariaDB, false for MySQL.
    pub fn is_mariadb(&self) -> bool {
        self.query("SELECT VERSION()")[0].get::<String, _>(0).contains("MariaDB")
    }

    /// A session of its own in `database`, for transactions.
    pub fn session(&self, database: &str) -> MariaDbSession {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a tokio runtime");
        let connection = runtime.block_on(self.connect()).expect("the test server accepts connections");
        let mut session = MariaDbSession { runtime, connection };
        session.execute(&format!("USE `{database}`"));
        session
    }

    /// Sends the server a signal, such as `STOP` or `CONT`.
    pub fn signal(&self, name: &str) {
        let id = self.child.as_ref().map(|child| child.id().to_string()).expect("the server runs");
        let sent = Command::new("kill").args([&format!("-{name}"), &id]).status().expect("kill can be run");
        assert!(sent.success(), "mariadbd is gone");
    }

    /// Kills the server as a crash would (SIGKILL); its files stay.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts the server again on the same port and files, and waits until it answers.
    pub fn restart(&mut self) {
        self.kill();
        let mut command = tied("mariadbd", is_root().then_some("mysql"));
        command.args(self.settings()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(spawn(command).expect("mariadbd can be started"));
        let log = self.folder.path().join("error.log");
        wait_for(&format!("mariadbd to answer, see {}", log.display()), Duration::from_secs(60), || {
            self.block_on(self.connect()).ok()
        });
    }

    fn settings(&self) -> Vec<String> {
        let folder = self.folder.path().display();
        vec![
            "--no-defaults".into(),
            format!("--datadir={folder}/data"),
            format!("--socket={folder}/socket"),
            format!("--pid-file={folder}/pid"),
            format!("--log-error={folder}/error.log"),
            format!("--init-file={folder}/init.sql"),
            "--skip-networking=0".into(),
            "--bind-address=127.0.0.1".into(),
            format!("--port={}", self.port),
            "--innodb-buffer-pool-size=128M".into(),
            "--max-allowed-packet=16M".into(),
            "--character-set-server=utf8mb4".into(),
            "--skip-log-bin".into(),
        ]
    }

    fn initialize(&self) {
        if is_root() {
            let status = Command::new("chown").arg("mysql:mysql").arg(self.folder.path()).status();
            assert!(status.is_ok_and(|s| s.success()), "chown of the data folder failed");
        }
        let data = self.folder.path().join("data");
        let mut command = Command::new("mariadb-install-db");
        command.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        command.arg(format!("--datadir={}", data.display()));
        if is_root() {
            command.arg("--user=mysql");
        }
        let out = command.output().expect("mariadb-install-db can be started");
        assert!(out.status.success(), "mariadb-install-db failed: {}", String::from_utf8_lossy(&out.stderr));
        let password = PASSWORD.replace('\'', "''");
        let init = format!(
            "CREATE DATABASE IF NOT EXISTS {DATABASE};\n\
             CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{password}';\n\
             GRANT ALL PRIVILEGES ON *.* TO '{USER}'@'%' WITH GRANT OPTION;\n"
        );
        std::fs::write(self.folder.path().join("init.sql"), init).expect("the temporary folder is writable");
    }

    async fn connect(&self) -> Result<MySqlConnection, sqlx::Error> {
        let options = MySqlConnectOptions::new().host("127.0.0.1").port(self.port);
        let options = options.username(USER).password(PASSWORD).database(DATABASE).disable_statement_logging();
        MySqlConnection::connect_with(&options).await
    }

    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a tokio runtime").block_on(future)
    }

    /// The server's own folder, for its log.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_path_buf()
    }
}

/// One session of a server.
pub struct MariaDbSession {
    runtime: tokio::runtime::Runtime,
    connection: MySqlConnection,
}

impl MariaDbSession {
    /// Runs statements; panics with the server's words when one is refused.
    pub fn execute(&mut self, sql: &str) {
        self.try_execute(sql).unwrap_or_else(|e| panic!("{e}: {sql}"));
    }

    /// Runs statements that may fail.
    pub fn try_execute(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        self.runtime.block_on(sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection)).map(drop)
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        self.kill();
    }
}
