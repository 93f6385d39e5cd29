//! The command line: help, forms of output, standard input, the tools for checkpoints, signals, and how soon rows come.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use eddyline_tests::checkpoints::{complete, damage, newest, wait_for_newer};
use eddyline_tests::program::{Finished, Program, eddyline, run, run_with_input, workspace};
use eddyline_tests::terminal::Terminal;

const QUERY: &str = "SELECT a, name FROM (VALUES (1, 'x'), (2, 'y, \"z\"'), (3, CAST(NULL AS STRING))) AS t (a, name);";

/// A job that never ends, and what it counts may be lost: nobody looks.
const TICKS: &str = "
SET 'pipeline.name' = 'ticks';
SET 'execution.checkpointing.dir' = 'checkpoints';
SET 'execution.checkpointing.interval' = '${interval}';
CREATE TABLE ticks (k BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '500', 'fields.k.min' = '1',
  'fields.k.max' = '5');
CREATE TABLE counts (k BIGINT, n BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO counts SELECT k, COUNT(*) FROM ticks GROUP BY k;
";

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Standard output of a run without input that must succeed.
#[track_caller]
fn output(arguments: &[&str]) -> String {
    printed(&run(folder().path(), arguments))
}

#[track_caller]
fn printed(finished: &Finished) -> String {
    assert_eq!(finished.code, Some(0), "{finished:?}");
    finished.stdout.clone()
}

#[test]
fn help_names_every_command_and_every_command_has_help() {
    let help = output(&["--help"]);
    for command in ["run", "serve", "explain", "checkpoints", "options"] {
        let is_listed = |line: &str| line.trim_start().starts_with(&format!("{command} "));
        assert!(help.lines().any(is_listed), "{command} is missing in:\n{help}");
        assert!(output(&[command, "--help"]).contains(&format!(" {command} [OPTIONS]")), "{command}");
    }
}

#[test]
fn explain_prints_the_plan_and_runs_nothing() {
    let folder = folder();
    let file = workspace().join("examples/quickstart.sql").to_string_lossy().into_owned();
    let plan = printed(&run(folder.path(), &["explain", &file]));
    for part in ["Physical Execution Plan", "TableSourceScan", "GroupAggregate(groupBy=[word]", "Sink(table=[wc]"] {
        assert!(plan.contains(part), "{part} is missing in:\n{plan}");
    }
    assert!(!folder.path().join("wc.db").exists(), "nothing was run");
}

#[test]
fn a_plan_is_printed_as_it_stands() {
    let explained = run_with_input(folder().path(), &["run", "-"], "EXPLAIN SELECT a FROM (VALUES (1)) AS t (a);");
    let plan = printed(&explained);
    assert!(plan.starts_with("== ") && plan.lines().count() > 8 && !plan.contains('…'), "{plan}");
}

#[test]
fn a_script_is_read_from_standard_input() {
    let finished = run_with_input(folder().path(), &["run", "--output", "jsonl", "-"], "SELECT 1 + 1;");
    assert_eq!(printed(&finished), "{\"op\":\"+I\",\"row\":[2]}\n");
}

#[test]
fn every_form_of_output_prints_the_same_rows() {
    let forms = [
        (
            "jsonl",
            "{\"op\":\"+I\",\"row\":[1,\"x\"]}\n{\"op\":\"+I\",\"row\":[2,\"y, \\\"z\\\"\"]}\n{\"op\":\"+I\",\"row\":[3,null]}\n",
        ),
        ("csv", "op,a,name\n+I,1,x\n+I,2,\"y, \"\"z\"\"\"\n+I,3,\n"),
        ("changelog", "op\ta\tname\n+I\t1\tx\n+I\t2\ty, \"z\"\n+I\t3\t<NULL>\n"),
        (
            "table",
            "+---+--------+\n| a |   name |\n+---+--------+\n| 1 |      x |\n| 2 | y, \"z\" |\n| 3 | <NULL> |\n+---+--------+\n3 rows in set\n",
        ),
    ];
    for (form, expected) in forms {
        let finished = run_with_input(folder().path(), &["run", "--output", form, "-"], QUERY);
        assert_eq!(printed(&finished), expected, "--output {form}");
    }
}

#[test]
fn options_of_one_connector_are_listed_alone() {
    let text = output(&["options", "kafka"]);
    assert!(text.contains("| `scan.startup.mode` | earliest-offset,"), "{text}");
    assert!(!text.contains("Connector `jdbc`"), "{text}");
}

#[test]
fn the_page_of_options_is_what_the_program_prints() {
    let page = workspace().join("docs/options.md");
    let written = fs::read_to_string(&page).unwrap_or_default();
    let same = written == output(&["options"]);
    assert!(same, "{} is not up to date; run: cargo run -- options > docs/options.md", page.display());
}

/// Runs the endless job until it has some checkpoints, and stops it.
fn job_with_checkpoints(folder: &Path) -> (PathBuf, Program) {
    fs::write(folder.join("ticks.sql"), TICKS).expect("a writable folder");
    let job = folder.join("checkpoints/ticks");
    let mut program = Program::start(folder, &["run", "-Dinterval=200ms", "ticks.sql"].map(String::from));
    wait_for_newer(&job, 2, &mut program);
    assert!(program.stop().success(), "{}", program.output());
    (job, program)
}

#[test]
fn checkpoints_are_listed_shown_and_verified() {
    let folder = folder();
    let (job, _program) = job_with_checkpoints(folder.path());
    let kept = complete(&job);
    let (number, path) = kept.last().expect("a checkpoint");
    let path = path.to_string_lossy().into_owned();
    let tool = |command: &str, path: &str| run(folder.path(), &["checkpoints", command, path]);

    let list = printed(&tool("list", &job.to_string_lossy()));
    assert_eq!(list.lines().count(), kept.len(), "{list}");
    assert!(list.contains(&format!("{path}: job ticks, epoch {number}, ")), "{list}");
    let show = printed(&tool("show", &path));
    let lines: Vec<String> = show.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for part in ["job ticks", &format!("epoch {number}"), "kind Stop"] {
        assert!(lines.iter().any(|line| line == part), "`{part}` is missing in:\n{show}");
    }
    assert!(show.contains("state groups: 5 rows") && show.contains("split 0/1: {\"rows\":"), "{show}");
    assert!(printed(&tool("verify", &path)).contains(&format!("checkpoint {number} of job 'ticks' is complete")));

    damage(Path::new(&path));
    let verified = tool("verify", &path);
    assert_eq!(verified.code, Some(1), "{verified:?}");
    assert!(verified.stderr.contains("is damaged") && verified.stderr.contains("XXH3"), "{}", verified.stderr);
    let list = printed(&tool("list", &job.to_string_lossy()));
    assert_eq!(list.matches("DAMAGED").count(), 1, "{list}");
}

#[test]
fn sigterm_ends_with_a_last_checkpoint_from_which_the_next_start_resumes() {
    let folder = folder();
    let (job, _program) = job_with_checkpoints(folder.path());
    let before = newest(&job);
    // No checkpoint is due in this run, so the only one is the last.
    let arguments = ["run", "-Dinterval=1h", "ticks.sql"].map(String::from);
    let mut program = Program::start(folder.path(), &arguments);
    let resuming = format!("resuming ticks from checkpoint {before},");
    eddyline_tests::services::process::wait_for("the start", Duration::from_secs(30), || {
        program.assert_running();
        program.output().contains(&resuming).then_some(())
    });
    let status = program.stop();
    assert_eq!(status.code(), Some(0), "{}", program.output());
    assert_eq!(newest(&job), before + 1, "one checkpoint was taken at the stop");
}

#[test]
fn the_first_row_of_a_small_query_comes_within_300_ms() {
    let folder = folder();
    fs::write(folder.path().join("small.sql"), QUERY).expect("a writable folder");
    let measure = || {
        let started = Instant::now();
        let rows = printed(&run(folder.path(), &["run", "--output", "jsonl", "small.sql"]));
        let elapsed = started.elapsed();
        assert_eq!(rows.lines().count(), 3, "{rows}");
        elapsed
    };
    // To the end of the program, which is more than to the first row. Other tests run at the same time: the best counts.
    let times: Vec<Duration> = (0..5).map(|_| measure()).collect();
    println!("start to end of a small query: {times:?}");
    assert!(times.iter().any(|time| *time <= Duration::from_millis(300)), "{times:?}");
}

#[test]
fn literals_of_values_fit_the_columns_of_a_sink() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sql = "CREATE TABLE t (id INT, s STRING) WITH ('connector' = 'print');\n\
               INSERT INTO t VALUES (1, 'a'), (2, 'b');\nINSERT INTO t SELECT 3, 'c';\n";
    let done = eddyline_tests::program::run_sql(folder.path(), sql, &[]);
    assert!(done.success, "{}", done.stderr);
    assert_eq!(done.stdout, "+I[1, a]\n+I[2, b]\n+I[3, c]\n");
}

#[test]
fn rows_are_counted_without_reading_a_column() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("in.csv"), "1,a\n2,b\n3,c\n").expect("the input can be written");
    let sql = "CREATE TABLE t (id INT, s STRING) WITH ('connector' = 'filesystem', 'path' = 'in.csv', 'format' = 'csv');\n\
               SELECT COUNT(*) AS n FROM t;\n";
    let done = eddyline_tests::program::run_sql(folder.path(), sql, &["-D", "pipeline.auto-watermark-interval=0ms"]);
    assert!(done.success, "{}", done.stderr);
    assert_eq!(done.stdout.lines().last(), Some("{\"op\":\"+U\",\"row\":[3]}"));
}

#[test]
fn a_run_that_is_stopped_while_it_waits_for_a_broker_ends_as_it_should() {
    let folder = folder();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("an address");
    let script = format!(
        "CREATE TABLE t (a STRING) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'raw',
           'properties.bootstrap.servers' = '{address}', 'scan.startup.mode' = 'earliest-offset');
         SELECT a FROM t;
         SELECT 'never';"
    );
    fs::write(folder.path().join("waits.sql"), script).expect("a writable folder");
    let mut program = Program::start(folder.path(), &["run".to_string(), "waits.sql".to_string()]);
    let _connection = silent.accept().expect("the program asks the broker");
    let ended = program.stop();
    let output = program.output();
    assert!(ended.success(), "{output}");
    assert!(output.contains(&format!("cancelled while it waited for the broker at {address}")), "{output}");
    assert!(!output.contains("never"), "{output}");
}

#[test]
fn a_command_line_that_is_wrong_ends_with_2() {
    for wrong in [&["run"][..], &["nonsense"], &["--nonsense"], &["run", "--check", "--fresh", "job.sql"]] {
        let finished = run(folder().path(), wrong);
        assert_eq!(finished.code, Some(2), "{wrong:?}: {finished:?}");
    }
}

#[test]
fn a_second_ctrl_c_ends_a_program_that_cannot_stop_with_130() {
    let terminal = Terminal::new();
    // The first row fills the pipe, which nobody reads.
    terminal.write(
        "blocked.sql",
        "CREATE TABLE t (s STRING) WITH ('connector' = 'datagen', 'rows-per-second' = '1', 'fields.s.length' = '300000');
         CREATE TABLE p (s STRING) WITH ('connector' = 'print');
         INSERT INTO p SELECT s FROM t;",
    );
    let script = format!("mkfifo pipe; sleep 1000 < pipe & exec '{}' run blocked.sql > pipe", eddyline().display());
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &script]);
    terminal.run_command(&shell);
    let figures = |screen: &str, start: &str| {
        screen.lines().any(|line| line.starts_with(start) && line.contains(" rows read") && !line.starts_with("0 rows"))
    };
    terminal.waits("rows", |screen| figures(screen, ""));
    terminal.press("C-c");
    terminal.waits("that it stops", |screen| figures(screen, "stopping, "));
    terminal.press("C-c");
    terminal.sees("ended with 130");
}

#[test]
fn the_guarantee_of_a_sink_is_told_whatever_its_name() {
    let script = "CREATE TABLE collected_orders (a INT) WITH ('connector' = 'blackhole');
                  INSERT INTO collected_orders VALUES (1); SELECT 1 AS a;";
    let finished = run_with_input(folder().path(), &["run", "-"], script);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stderr.contains("sink Sink(table=[collected_orders]) gives no guarantee\n"), "{finished:?}");
    assert_eq!(finished.stderr.lines().count(), 1, "a SELECT has no sink outside: {finished:?}");
}
