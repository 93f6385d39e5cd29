//! The shell on a server: `eddyline --connect`.

use std::process::Command;
use std::time::Duration;

use eddyline_tests::program::{run, run_with_environment};
use eddyline_tests::server::Server;
use eddyline_tests::services::kafka;
use eddyline_tests::services::process::wait_for;
use eddyline_tests::terminal::Terminal;

use super::TICKS;
use super::results::{asked, silent};

fn shell_at(server: &Server) -> Terminal {
    Terminal::shell_with(&["--connect", &format!("127.0.0.1:{}", server.port())])
}

#[test]
fn the_shell_works_on_a_server_as_it_does_alone() {
    let server = Server::start();
    let shell = shell_at(&server);
    shell.sees(&format!(" at 127.0.0.1:{} — help shows help", server.port()));
    shell.does(TICKS);
    shell.does("CREATE VIEW odd AS SELECT k FROM ticks WHERE MOD(k, 2) = 1;");
    shell.does("\\d");
    shell.sees("|   odd |  view |\n| ticks | table |");
    shell.clears();
    shell.enter("SELECT k, COUNT(*) AS n FROM ticks GROUP BY k;");
    shell.sees("3 rows in set");
    shell.waits("figures", |screen| screen.lines().any(|l| l.contains(" rows received, ") && l.contains(" rows/s")));
    shell.press("C-c");
    shell.prompts();
    assert_eq!(shell.screen().matches("rows in set").count(), 1, "{}", shell.screen());
    shell.does("SELECT nme\nFROM odd;");
    shell.sees("ERROR: Column 'nme' not found in any table\nLINE 1: SELECT nme\n               ^");
    shell.clears();
    shell.type_in("SELECT * FROM ti");
    shell.press("Tab");
    shell.sees("SELECT * FROM ticks");
    shell.press("C-c");
    shell.does("\\x");
    shell.does("SELECT CAST(1 AS BIGINT) AS a, TRUE AS b, CAST(NULL AS STRING) AS c;");
    shell.sees("-[ RECORD 1 ]\na | 1\nb | TRUE\nc | <NULL>");
}

#[test]
fn a_live_view_on_a_server_shows_what_waits_there() {
    let (server, broker) = (Server::start(), kafka::shared());
    let topic = broker.fresh_topic("seen", 1);
    broker.produce_lines(&topic, 1, ["a,2026-01-01 00:00:05", "b,2026-01-01 00:00:07", "a,2026-01-01 00:00:09"]);
    let shell = shell_at(&server);
    shell.does(&format!(
        "CREATE TABLE seen (k STRING, at TIMESTAMP(3), WATERMARK FOR at AS at - INTERVAL '1' SECOND) WITH \
         ('connector' = 'kafka', 'topic' = '{topic}', 'format' = 'csv', 'scan.startup.mode' = 'earliest-offset', \
          'properties.bootstrap.servers' = '{}');",
        broker.bootstrap()
    ));
    shell.clears();
    shell.enter("SELECT k, COUNT(*) AS n FROM seen GROUP BY k;");
    shell.waits("lag and watermark", |screen| {
        screen
            .lines()
            .any(|line| line.contains(" rows received, ") && line.contains(", lag 0, watermark 2026-01-01 00:00:08 ("))
    });
    shell.press("C-c");
    shell.prompts();
    assert!(shell.screen().ends_with("2 rows in set\neddyline>"), "{}", shell.screen());
}

#[test]
fn ctrl_c_cancels_a_statement_for_which_the_server_waits() {
    let server = Server::start();
    let shell = shell_at(&server);
    let (broker, port) = silent();
    shell.does(&format!(
        "CREATE TABLE away (k BIGINT) WITH ('connector' = 'kafka', 'topic' = 'away', 'format' = 'json', \
         'properties.bootstrap.servers' = '127.0.0.1:{port}', 'scan.startup.mode' = 'earliest-offset');"
    ));
    shell.clears();
    shell.enter("SELECT k FROM away;");
    let _connection = asked(&broker);
    shell.press("C-c");
    shell.sees(&format!("DETAIL: cancelled while it waited for the broker at 127.0.0.1:{port}"));
    shell.prompts();
    shell.enter("SELECT 40 + 2;");
    shell.sees("42");
}

/// Sends the server a signal, such as `STOP` or `CONT`.
fn signal(server: &Server, name: &str) {
    let sent = Command::new("kill").args([format!("-{name}"), server.process_id().to_string()]).status();
    assert!(sent.expect("kill can be run").success(), "{}", server.output());
}

/// True when bytes wait at the server that it has not read, as the kernel knows: a server that is stopped reads nothing.
fn is_asked(server: &Server) -> bool {
    let connections = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
    let own = format!(":{:04X}", server.port());
    connections.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // Local address, state (01 is established), bytes to be sent and to be read.
        matches!(fields[..], [_, local, _, "01", queues, ..] if local.ends_with(&own) && !queues.ends_with(":00000000"))
    })
}

#[test]
fn ctrl_c_ends_a_statement_that_the_server_does_not_answer() {
    let server = Server::start();
    let shell = shell_at(&server);
    for statement in ["SELECT 1 AS one;", "SHOW TABLES;"] {
        shell.clears();
        signal(&server, "STOP");
        shell.enter(statement);
        wait_for("the statement to come to the server", Duration::from_secs(20), || is_asked(&server).then_some(()));
        shell.press("C-c");
        shell.sees("ERROR: the server was asked to cancel the statement and does not answer");
        shell.prompts();
        signal(&server, "CONT");
        // What it was asked before comes first.
        assert_eq!(server.psql("SELECT 7"), "7");
        shell.enter("SELECT 40 + 2;");
        shell.sees("42");
        shell.prompts();
    }
}

#[test]
fn copy_is_refused_with_what_to_do_instead_and_the_session_goes_on() {
    let server = Server::start();
    let shell = shell_at(&server);
    for copy in ["COPY (SELECT 1 AS a) TO STDOUT;", "copy t FROM STDIN;"] {
        shell.clears();
        shell.does(copy);
        shell.sees("ERROR: COPY is for clients that send and take its data, such as psql");
        shell.sees("HINT: \\format csv and \\o FILE write the rows of a query into a file");
    }
    shell.enter("SELECT 40 + 2;");
    shell.sees("42");
}

#[test]
fn jobs_go_on_when_the_shell_leaves_and_settings_are_the_sessions() {
    let server = Server::start();
    let shell = shell_at(&server);
    shell.does(TICKS);
    shell.does("CREATE TABLE sink (k BIGINT) WITH ('connector' = 'blackhole');");
    shell.does("SET 'pipeline.name' = 'counting';");
    shell.does("INSERT INTO sink SELECT k FROM ticks;");
    shell.waits("the id", |screen| screen.contains("is submitted"));
    shell.enter("\\q");
    shell.sees("ended with 0");
    assert_eq!(server.job_status("counting"), "RUNNING");
}

#[test]
fn results_on_a_pipe_are_the_same_as_alone() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let address = format!("127.0.0.1:{}", server.port());
    let query = "SELECT a, s, b FROM (VALUES (1, 'x', TRUE), (2, 'y', FALSE)) AS t (a, s, b)";
    for format in ["table", "csv", "jsonl", "markdown"] {
        let there = run(folder.path(), &["--connect", &address, "--format", format, "-e", query]);
        let here = run(folder.path(), &["--format", format, "-e", query]);
        assert_eq!((there.code, &there.stdout), (Some(0), &here.stdout), "{format}: {there:?}");
    }
}

#[test]
fn a_password_comes_from_the_environment_or_is_asked_for_and_never_shown() {
    let mut server = Server::start_with_user("ada", "sesame");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let address = format!("postgresql://ada@127.0.0.1:{}", server.port());
    let asks = |password: &str| {
        let environment = [("PGPASSWORD", password)];
        run_with_environment(folder.path(), &["--connect", &address, "-e", "SELECT 1 AS a"], &environment)
    };
    assert_eq!(asks("sesame").code, Some(0));
    let refused = asks("wrong");
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.stderr.contains("password authentication failed for user \"ada\""), "{refused:?}");
    let shell = Terminal::new();
    shell.run(&["--connect", &address]);
    shell.sees("Password for 127.0.0.1:");
    shell.enter("sesame");
    shell.prompts();
    assert!(!shell.screen().contains("sesame"), "{}", shell.screen());
    server.kill();
    server.start_again();
    shell.enter("SELECT 40 + 2;");
    shell.sees("     42 |");
    assert_eq!(shell.screen().matches("Password for").count(), 1, "it is known already:\n{}", shell.screen());
}

#[test]
fn a_connection_is_encrypted_when_a_certificate_is_trusted() {
    use crate::server::logins;
    let server = Server::start_in(logins::folder(), &[logins::LOGIN, &["--pg", "0.0.0.0:{port}"]].concat());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let asks = |rest: &str| {
        let address = format!("postgresql://ada:enchantress@localhost:{}{rest}", server.port());
        run(folder.path(), &["--connect", &address, "-e", "SELECT 1 AS a"])
    };
    let certificate = server.folder().join("cert.pem");
    let trusted = asks(&format!("?sslmode=verify-full&sslrootcert={}", certificate.display()));
    assert_eq!(trusted.code, Some(0), "{trusted:?}");
    let plain = asks("");
    assert_eq!(plain.code, Some(3), "{plain:?}");
    assert!(plain.stderr.contains("HINT: give the certificate to trust"), "{plain:?}");
    let other = logins::folder().keep();
    let stranger = asks(&format!("?sslrootcert={}", other.join("cert.pem").display()));
    std::fs::remove_dir_all(&other).expect("the folder is ours");
    assert_eq!(stranger.code, Some(3), "{stranger:?}");
    assert!(!format!("{plain:?}{stranger:?}").contains("enchantress"));
}

#[test]
fn a_server_that_is_not_there_is_said_so() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let port = eddyline_tests::services::process::free_port();
    let failed = run(folder.path(), &["--connect", &format!("127.0.0.1:{port}"), "-e", "SELECT 1"]);
    assert_eq!(failed.code, Some(3), "{failed:?}");
    assert!(failed.stderr.starts_with(&format!("ERROR: cannot connect to 127.0.0.1:{port}: ")), "{failed:?}");
}

#[test]
fn a_server_that_comes_back_is_connected_to_again() {
    let mut server = Server::start();
    let address = format!("127.0.0.1:{}", server.port());
    let shell = Terminal::shell_with(&["--connect", &address, "-D", "pipeline.name=given"]);
    shell.does("SELECT 1 AS one;");
    server.kill();
    server.start_again();
    shell.enter("SELECT 2 AS two;");
    shell.sees("|   2 |");
    shell.sees("WARNING: the connection was lost and is there again");
    shell.prompts();
    shell.clears();
    shell.does("SET;");
    shell.waits("the settings of the command line", |screen| {
        screen.contains("pipeline.name") && screen.contains("given")
    });
}
