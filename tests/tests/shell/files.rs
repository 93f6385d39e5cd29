//! Statements that nobody types: -e, -f, -i, pipes; files that are run, checked, or handed to a server.

use std::fs;

use eddyline_tests::program::{run, run_with_environment, run_with_input};
use eddyline_tests::terminal::Terminal;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[test]
fn statements_of_the_command_line_and_of_files_are_executed_in_order() {
    let folder = folder();
    fs::write(folder.path().join("init.sql"), "CREATE VIEW v AS SELECT ${n} AS a;\n\\format csv\n").expect("writable");
    fs::write(folder.path().join("last.sql"), "SELECT a + 1 AS b FROM v -- no semicolon\n").expect("writable");
    let arguments = ["-D", "n=41", "-i", "init.sql", "-e", "SELECT a FROM v", "-e", "SHOW VIEWS;", "-f", "last.sql"];
    let finished = run(folder.path(), &arguments);
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    assert_eq!(finished.stdout, "a\n41\nview name\nv\nb\n42\n");
}

#[test]
fn the_first_error_ends_the_program_and_names_its_place() {
    let folder = folder();
    fs::write(folder.path().join("bad.sql"), "SELECT 1 AS a;\nSELECT\n  nothing;\nSELECT 2 AS a;\n").expect("writable");
    let finished = run(folder.path(), &["--format", "csv", "-f", "bad.sql"]);
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), "a\n1\n"));
    assert!(finished.stderr.starts_with("bad.sql:3:3: ERROR: Column 'nothing' not found"), "{}", finished.stderr);
    assert!(finished.stderr.contains("LINE 3:   nothing;\n          ^"), "{}", finished.stderr);
}

#[test]
fn an_error_shows_no_secret() {
    let folder = folder();
    let script = "CREATE TABLE t (a INT) WITH ('connector' = 'jdbc', 'password' = '${pw}', 'url' 'x');";
    fs::write(folder.path().join("bad.sql"), script).expect("writable");
    for arguments in [&["run", "-D", "pw=sesame", "bad.sql"][..], &["-D", "pw=sesame", "-f", "bad.sql"]] {
        let finished = run(folder.path(), arguments);
        assert_eq!(finished.code, Some(1));
        assert!(finished.stderr.contains("'password' = ********, 'url' 'x')"), "{}", finished.stderr);
    }
}

#[test]
fn an_init_file_comes_before_the_prompt() {
    let terminal = Terminal::new();
    terminal.write("init.sql", "CREATE VIEW v AS SELECT 42 AS a;\n\\x on\n");
    terminal.run(&["-i", "init.sql"]);
    terminal.prompts();
    terminal.does("SELECT a FROM v;");
    terminal.sees("-[ RECORD 1 ]\na | 42");
}

#[test]
fn a_file_at_the_prompt_ends_at_its_first_error_and_the_shell_goes_on() {
    let shell = Terminal::shell();
    shell.write("good.sql", "CREATE VIEW v AS SELECT 41 AS a;\nSELECT a + 1 AS b FROM v;\n");
    shell.write("bad.sql", "SELECT 5 AS five;\nSELECT\n  nothing;\nSELECT 7777 AS never;\n");
    shell.write("outer.sql", "\\i bad.sql\nSELECT 8888 AS never;\n");
    shell.does("\\i good.sql");
    shell.sees("| 42 |");
    for file in ["bad.sql", "outer.sql"] {
        shell.clears();
        shell.does(&format!("\\i {file}"));
        shell.sees("|    5 |");
        shell.sees("bad.sql:3:3: ERROR: Column 'nothing' not found");
        assert!(!shell.screen().contains("never"), "nothing runs behind the first error:\n{}", shell.screen());
    }
    shell.clears();
    shell.does("\\i nowhere.sql");
    shell.sees("ERROR: cannot read nowhere.sql: ");
    shell.does("\\i");
    shell.sees("ERROR: \\i needs a file\nHINT: write \\i FILE");
    shell.enter("SELECT a + 2 AS b FROM v;");
    shell.sees("| 43 |");
}

#[test]
fn settings_of_psql_have_its_names() {
    let shell = Terminal::shell();
    for (command, said) in [
        ("\\pset format csv", "Output format is csv, result mode is table."),
        ("\\pset format aligned", "Output format is table, result mode is table."),
        ("\\pset expanded on", "Expanded display is on."),
        ("\\pset x off", "Expanded display is off."),
        ("\\pset pager off", "The pager is off."),
        ("\\pset border 2", "ERROR: \\pset has no option 'border'\nHINT: options: format, expanded, pager"),
        ("\\pset format yaml", "ERROR: there is no format 'yaml'"),
    ] {
        shell.does(command);
        shell.sees(said);
    }
}

#[test]
fn statements_from_a_pipe_print_results_and_nothing_else() {
    let folder = folder();
    let script = "CREATE VIEW v AS SELECT 1 AS a;\n\\format jsonl\nSELECT a FROM v;\nquit;\nSELECT 2 AS a;";
    let finished = run_with_input(folder.path(), &[], script);
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(0), "{\"a\":1}\n"), "{finished:?}");
}

#[test]
fn a_job_in_a_file_of_the_shell_is_waited_for() {
    let folder = folder();
    let script = "CREATE TABLE n (k INT) WITH ('connector' = 'datagen', 'number-of-rows' = '10');\n\
                  CREATE TABLE out (k INT) WITH ('connector' = 'print');\nINSERT INTO out SELECT 1 FROM n;\n";
    let finished = run_with_input(folder.path(), &["-f", "-"], script);
    assert_eq!((finished.code, finished.stdout.matches("+I[1]\n").count()), (Some(0), 10), "{finished:?}");
}

#[test]
fn variables_come_from_the_command_line_and_else_from_the_environment() {
    let folder = folder();
    fs::write(folder.path().join("job.sql"), "SELECT '${FIRST}' AS a, '${SECOND}' AS b;").expect("writable");
    let environment = [("FIRST", "env"), ("SECOND", "env")];
    let arguments = ["run", "-D", "FIRST=given", "--output", "csv", "job.sql"];
    let finished = run_with_environment(folder.path(), &arguments, &environment);
    assert_eq!(finished.stdout, "op,a,b\n+I,given,env\n", "{finished:?}");
    let unset = run(folder.path(), &["run", "-D", "FIRST=given", "job.sql"]);
    assert_eq!(unset.code, Some(1));
    assert!(unset.stderr.starts_with("job.sql:1:26: ERROR: variable 'SECOND' has no value"), "{}", unset.stderr);
}

const JOBS: &str = "SET 'pipeline.name' = 'from-file';
CREATE TABLE lines (line STRING) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'raw',
  'properties.bootstrap.servers' = 'nobody:9092', 'scan.startup.mode' = 'earliest-offset');
CREATE TABLE copies (line STRING) WITH ('connector' = 'print');
INSERT INTO copies SELECT line FROM lines;
CREATE TABLE again WITH ('connector' = 'print') AS SELECT line FROM lines;
SELECT UPPER(line) FROM lines;
";

#[test]
fn check_plans_everything_and_starts_nothing() {
    let folder = folder();
    fs::write(folder.path().join("job.sql"), JOBS).expect("writable");
    let checked = run(folder.path(), &["run", "--check", "job.sql"]);
    let said = "job.sql: 6 statements, 3 of them with a plan, are in order\n";
    assert_eq!((checked.code, checked.stdout.as_str(), checked.stderr.as_str()), (Some(0), said, ""));
    assert!(!folder.path().join(".eddyline").exists(), "no checkpoints were taken");
    fs::write(folder.path().join("bad.sql"), format!("{JOBS}INSERT INTO copies SELECT lin FROM lines;"))
        .expect("writable");
    let refused = run(folder.path(), &["run", "--check", "bad.sql"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.starts_with("bad.sql:8:27: ERROR: Column 'lin' not found"), "{}", refused.stderr);
}

#[test]
fn an_error_without_a_place_is_at_its_statement() {
    let folder = folder();
    let script = "SELECT 1;\n\n  SELECT a FROM t;\n";
    let table = "CREATE TABLE t (a INT) WITH ('connector' = 'datagn');\n";
    fs::write(folder.path().join("bad.sql"), format!("{table}{script}")).expect("writable");
    let refused = run(folder.path(), &["run", "bad.sql"]);
    assert_eq!(refused.code, Some(1));
    let expected =
        "bad.sql:4:3: ERROR: Could not find any factory for identifier 'datagn'\nHINT: did you mean 'datagen'?";
    assert!(refused.stderr.starts_with(expected), "{}", refused.stderr);
}

#[test]
fn a_detached_file_runs_on_the_server_and_prints_its_jobs() {
    let server = eddyline_tests::server::Server::start();
    let folder = folder();
    let address = format!("127.0.0.1:{}", server.port());
    let script = format!(
        "SET 'pipeline.name' = 'from-file';\n{}\nCREATE TABLE sink (k BIGINT) WITH ('connector' = 'blackhole');\n\
         INSERT INTO sink SELECT k FROM ticks;\n",
        super::TICKS
    );
    fs::write(folder.path().join("job.sql"), &script).expect("writable");
    let detached = run(folder.path(), &["run", "--detach", &address, "job.sql"]);
    assert_eq!(detached.code, Some(0), "{detached:?}");
    let id = detached.stdout.trim_end();
    assert!(server.psql("SHOW JOBS").starts_with(&format!("{id}|from-file|RUNNING|")), "{detached:?}");

    fs::write(folder.path().join("bad.sql"), "SHOW JOBS;\nINSERT INTO sink\n  SELECT q FROM ticks;\n")
        .expect("writable");
    let refused = run(folder.path(), &["run", "--detach", &address, "bad.sql"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.starts_with("bad.sql:3:10: ERROR: Column 'q' not found in any table"), "{}", refused.stderr);

    fs::write(folder.path().join("select.sql"), "DROP TABLE sink;\nSELECT k FROM ticks;").expect("writable");
    let refused = run(folder.path(), &["run", "--detach", &address, "select.sql"]);
    assert!(refused.stderr.starts_with("select.sql:2:1: ERROR: a SELECT has nobody"), "{}", refused.stderr);
    server.psql("CREATE MATERIALIZED VIEW v AS SELECT COUNT(*) AS n FROM ticks");
    fs::write(folder.path().join("follow.sql"), "DROP TABLE sink;\nSUBSCRIBE TO v;").expect("writable");
    let refused = run(folder.path(), &["run", "--detach", &address, "follow.sql"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.starts_with("follow.sql:2:1: ERROR: a SUBSCRIBE has nobody"), "{}", refused.stderr);
    assert!(server.psql("SHOW TABLES").contains("sink"), "nothing of the files was executed");
    let nobody = eddyline_tests::services::process::free_port();
    let lost = run(folder.path(), &["run", "--detach", &format!("127.0.0.1:{nobody}"), "job.sql"]);
    assert_eq!(lost.code, Some(3), "{lost:?}");
}
