//! Results: live tables, modes, forms, pager, files; cancelling; jobs.

use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use eddyline_tests::services::process::wait_for;
use eddyline_tests::terminal::Terminal;

use super::TICKS;

const COUNTS: &str = "SELECT k, COUNT(*) AS n FROM ticks GROUP BY k;";

#[test]
fn ctrl_c_cancels_the_query_and_not_the_shell() {
    let shell = Terminal::shell();
    shell.does(TICKS);
    for _ in 0..2 {
        shell.clears();
        shell.enter(COUNTS);
        shell.sees("3 rows in set");
        let shown = shell.screen();
        shell.waits("a table that goes on changing", |screen| screen.contains("3 rows in set") && screen != shown);
        shell.press("C-c");
        shell.prompts();
        let tables = shell.screen().matches("rows in set").count();
        assert_eq!(tables, 1, "the table is drawn over itself:\n{}", shell.screen());
    }
    shell.enter("SELECT 40 + 2;");
    shell.sees("42");
}

/// A server that takes connections and never says a word.
pub fn silent() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("a socket");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

/// Waits until somebody asks a silent server, who from now on waits for its answer.
pub fn asked(listener: &TcpListener) -> TcpStream {
    wait_for("somebody to ask", Duration::from_secs(20), || listener.accept().ok()).0
}

#[test]
fn ctrl_c_cancels_a_statement_that_waits_for_a_broker_or_a_database() {
    let shell = Terminal::shell();
    let ((broker, broker_port), (database, database_port)) = (silent(), silent());
    shell.does(TICKS);
    shell.does(&format!(
        "CREATE TABLE away (k BIGINT) WITH ('connector' = 'kafka', 'topic' = 'away', 'format' = 'json', \
         'properties.bootstrap.servers' = '127.0.0.1:{broker_port}', 'scan.startup.mode' = 'earliest-offset');"
    ));
    shell.does(&format!(
        "CREATE TABLE gone (k BIGINT) WITH ('connector' = 'jdbc', 'table-name' = 'gone', \
         'url' = 'jdbc:mysql://127.0.0.1:{database_port}/db', 'username' = 'ada', 'password' = 'lovelace');"
    ));
    for (statement, listener, place) in [
        ("SELECT k FROM away;", &broker, format!("the broker at 127.0.0.1:{broker_port}")),
        ("INSERT INTO gone SELECT k FROM ticks;", &database, format!("MySQL at 127.0.0.1:{database_port}")),
    ] {
        shell.clears();
        shell.enter(statement);
        let _connection = asked(listener);
        shell.press("C-c");
        shell.sees(&format!("ERROR: cancelled while it waited for {place}"));
        shell.prompts();
    }
    shell.enter("SELECT 40 + 2;");
    shell.sees("42");
    shell.enter("quit;");
    shell.sees("ended with 0");
}

#[test]
fn a_live_view_has_a_line_of_figures_and_ends_with_q() {
    let shell = Terminal::shell();
    shell.does(
        "CREATE TABLE seen (k BIGINT, ts AS LOCALTIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) \
         WITH ('connector' = 'datagen', 'rows-per-second' = '50', 'fields.k.min' = '1', 'fields.k.max' = '3');",
    );
    shell.clears();
    shell.enter("SELECT k, COUNT(*) AS n FROM seen GROUP BY k;");
    shell.waits("rows, pace and watermark", |screen| {
        screen.lines().any(|l| l.contains(" rows read, ") && l.contains(" rows/s") && l.contains("watermark 2"))
    });
    shell.press("q");
    shell.prompts();
    let screen = shell.screen();
    assert!(
        screen.contains("3 rows in set\neddyline>") && !screen.contains("rows/s"),
        "the last state stays:\n{screen}"
    );
}

#[test]
fn a_long_result_fits_the_screen_while_it_changes_and_comes_in_a_pager_at_its_end() {
    let shell = Terminal::shell();
    shell.does(
        "CREATE TABLE numbers (n INT) WITH ('connector' = 'datagen', 'fields.n.kind' = 'sequence', 'fields.n.start' = '1', \
         'fields.n.end' = '500');",
    );
    shell.enter("SELECT n FROM numbers;");
    shell
        .waits("a pager", |screen| screen.contains("|   1 |") && screen.lines().last().is_some_and(|line| line == ":"));
    shell.press("q");
    shell.prompts();
    shell.does("\\pager off");
    shell.enter("SELECT n FROM numbers;");
    shell.sees("| 500 |\n+-----+\n500 rows in set");
}

#[test]
fn changelog_and_tableau_show_changes_as_they_come() {
    let shell = Terminal::shell();
    let query = "SELECT w, COUNT(*) AS n FROM (VALUES ('a'), ('b'), ('a')) AS t (w) GROUP BY w;";
    shell.does("SET 'sql-client.execution.result-mode' = 'changelog';");
    shell.does("SET 'pipeline.auto-watermark-interval' = '0ms';");
    shell.does(query);
    shell.sees("op      w       n\n+I      a       1\n+I      b       1\n-U      a       1\n+U      a       2\n");
    shell.clears();
    shell.does("SET 'sql-client.execution.result-mode' = 'tableau';");
    shell.does("SET 'sql-client.display.max-column-width' = '6';");
    shell.clears();
    shell.does("SELECT w, LENGTH(w) AS n FROM (VALUES ('a'), ('abcdefghi')) AS t (w);");
    shell.sees(
        "+----+--------+-------------+\n| op |      w |           n |\n+----+--------+-------------+\n\
                | +I |      a |           1 |\n| +I | abcde… |           9 |\n\
                +----+--------+-------------+\nReceived a total of 2 rows",
    );
    shell.does(TICKS);
    shell.clears();
    shell.enter("SELECT k FROM ticks;");
    shell.sees("| +I |                    1 |");
    shell.press("C-c");
    shell.prompts();
    shell.sees("Query terminated, received a total of ");
    shell.does("SET 'sql-client.execution.result-mode' = 'tabl';");
    shell.sees("did you mean 'TABLE'?");
}

#[test]
fn rows_come_in_the_form_that_is_asked_for_and_go_where_they_are_wanted() {
    let shell = Terminal::shell();
    let query = "SELECT a, s FROM (VALUES (1, 'x|y'), (2, CAST(NULL AS STRING))) AS t (a, s);";
    shell.does("\\format csv");
    shell.does(query);
    shell.sees("a,s\n1,x|y\n2,\n");
    shell.does("\\format jsonl");
    shell.does(query);
    shell.sees("{\"a\":1,\"s\":\"x|y\"}\n{\"a\":2,\"s\":null}\n");
    shell.does("\\format markdown");
    shell.does(query);
    shell.sees("| a | s |\n|---|---|\n| 1 | x\\|y |\n| 2 |  |\n");
    shell.clears();
    shell.does("\\format table");
    shell.does("\\x");
    shell.does(query);
    shell.sees("-[ RECORD 2 ]\na | 2\ns | <NULL>");
    shell.does("\\x off");
    shell.does("\\timing");
    shell.does(query);
    shell.waits("the time", |screen| screen.lines().any(|l| l.starts_with("Time: ") && l.ends_with(" ms")));
    shell.clears();
    shell.does("\\o out.csv");
    shell.does("\\format csv");
    shell.does(query);
    shell.does("SHOW CATALOGS;");
    shell.does("\\o");
    assert!(!shell.screen().contains("1,x|y"), "{}", shell.screen());
    let written = std::fs::read_to_string(shell.folder().join("out.csv")).expect("the file");
    assert_eq!(written, "a,s\n1,x|y\n2,\ncatalog name\ndefault_catalog\n");
}

#[test]
fn values_cannot_draw_on_the_terminal() {
    let shell = Terminal::shell();
    shell.does("SELECT DECODE(X'1b5b324a78', 'UTF-8') AS evil;");
    shell.sees("| \\u{1b}[2Jx |");
}

#[test]
fn a_job_with_an_end_is_waited_for_and_others_are_told_of() {
    let shell = Terminal::shell();
    shell.does("CREATE TABLE sink (k BIGINT) WITH ('connector' = 'blackhole');");
    shell.does("INSERT INTO sink VALUES (1), (2);");
    shell.sees("is finished: 2 rows read, 2 written,");
    shell.does(TICKS);
    shell.does("SET 'pipeline.name' = 'counting'; INSERT INTO sink SELECT k FROM ticks;");
    shell.sees("job 'counting' is running; SHOW JOBS lists jobs");
    assert_eq!(shell.screen().matches(" is finished: ").count(), 1, "its end is told once:\n{}", shell.screen());
    shell.clears();
    shell.does("STOP JOB 'counting';");
    shell.sees("job 'counting' is stopped: ");
    shell.sees("; next time it goes on from checkpoint 1");
}

/// A table that ends after 1 000 rows, which take 20 seconds, and a place for them.
const FEW: &str = "CREATE TABLE few (k BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '50', \
    'number-of-rows' = '1000'); CREATE TABLE sink (k BIGINT) WITH ('connector' = 'blackhole');";

/// What stands between `before` and `behind` on the last line that has both.
fn between<'s>(screen: &'s str, before: &str, behind: &str) -> Option<&'s str> {
    let found = |line: &'s str| line.split_once(before)?.1.split_once(behind).map(|(text, _)| text);
    screen.lines().rev().find_map(found)
}

#[test]
fn a_job_with_an_end_shows_how_far_it_is_and_says_when_it_was_stopped() {
    let shell = Terminal::shell();
    shell.does(FEW);
    shell.does("SET 'pipeline.name' = 'few';");
    shell.clears();
    shell.enter("INSERT INTO sink SELECT k FROM few;");
    shell.waits("rows that are read and left, and how long they take", |screen| {
        let read = screen.lines().find_map(|line| line.split_once(" rows read, ")?.0.parse::<u64>().ok());
        let left = between(screen, " rows/s, lag ", " (").and_then(|lag| lag.parse::<u64>().ok());
        let wait = between(screen, " (", " s)").and_then(|wait| wait.parse::<u64>().ok());
        // The two counters are read one after the other.
        read.zip(left).is_some_and(|(read, left)| read > 0 && read + left > 900 && read + left < 1_100)
            && wait.is_some()
    });
    shell.press("C-c");
    shell.waits("that it was stopped", |screen| {
        let read = between(screen, "is stopped: ", " rows read, ").and_then(|rows| rows.parse::<u64>().ok());
        read.is_some_and(|read| read > 0 && read < 1_000)
    });
    shell.sees("; next time it begins anew: it keeps");
    shell.prompts();
    assert!(!shell.screen().contains("finished"), "{}", shell.screen());
}

#[test]
fn a_job_with_an_end_goes_on_from_where_it_was_stopped_when_it_keeps_checkpoints() {
    let shell = Terminal::shell();
    shell.does(FEW);
    shell.does("SET 'execution.checkpointing.dir' = 'kept'; SET 'execution.checkpointing.interval' = '1h';");
    shell.does("SET 'pipeline.name' = 'few';");
    let reads = |screen: &str| screen.lines().any(|line| line.contains(" rows read, ") && line.contains(" rows/s"));
    for (start, end) in [("few: sink", 1), ("resuming few from checkpoint 1, taken ", 2)] {
        shell.clears();
        shell.enter("INSERT INTO sink SELECT k FROM few;");
        shell.sees(start);
        shell.waits("figures", reads);
        shell.press("C-c");
        shell.sees("job 'few' is stopped: ");
        shell.sees(&format!("; next time it goes on from checkpoint {end}"));
        shell.prompts();
    }
}

#[test]
fn quit_leaves_and_stops_what_runs() {
    let shell = Terminal::shell();
    shell.does(TICKS);
    shell.enter("CREATE TABLE sink (k BIGINT) WITH ('connector' = 'blackhole'); INSERT INTO sink SELECT k FROM ticks;");
    shell.sees("is running; SHOW JOBS lists jobs");
    shell.enter("quit;");
    shell.sees("with a last checkpoint");
    shell.sees("ended with 0");
}

#[test]
fn a_running_file_shows_its_figures_in_one_line() {
    let terminal = Terminal::new();
    let script = format!(
        "SET 'execution.checkpointing.interval' = '200ms';\n{TICKS}\n\
         CREATE TABLE sink (k BIGINT) WITH ('connector' = 'blackhole');\nINSERT INTO sink SELECT k FROM ticks;"
    );
    terminal.write("job.sql", &script);
    terminal.run(&["run", "job.sql"]);
    terminal.waits("rows, pace and checkpoint", |screen| {
        screen.lines().any(|line| line.contains(" rows read, ") && line.contains(" rows/s, checkpoint "))
    });
    terminal.press("C-c");
    terminal.sees("ended with 0");
    assert!(!terminal.screen().contains("rows/s"), "the line goes when the job ends:\n{}", terminal.screen());
}

#[test]
fn a_job_that_comes_back_says_from_where_until_its_first_checkpoint() {
    let terminal = Terminal::new();
    terminal.write(
        "job.sql",
        &format!(
            "SET 'execution.checkpointing.interval' = '1h';\nSET 'pipeline.name' = 'coming';\n{TICKS}\n\
             CREATE TABLE sink (k BIGINT) WITH ('connector' = 'blackhole');\nINSERT INTO sink SELECT k FROM ticks;"
        ),
    );
    terminal.run(&["run", "job.sql"]);
    let figures =
        |screen: &str, start: &str| screen.lines().any(|line| line.starts_with(start) && line.contains(" rows/s"));
    terminal.waits("rows", |screen| screen.lines().any(|line| line.contains(" rows read, ")));
    assert!(!terminal.screen().contains("from checkpoint"), "{}", terminal.screen());
    terminal.press("C-c");
    terminal.sees("ended with 0");
    terminal.run(&["run", "job.sql"]);
    terminal.sees("resuming coming from checkpoint 1, taken ");
    terminal.waits("where it comes from", |screen| figures(screen, "resumed from checkpoint 1, "));
    terminal.press("C-c");
    terminal.sees("ended with 0");
    terminal.write(
        "job.sql",
        &std::fs::read_to_string(terminal.folder().join("job.sql")).expect("a file").replace("1h", "1s"),
    );
    terminal.run(&["run", "job.sql"]);
    let own =
        |line: &str| line.split_once(" rows/s, checkpoint ").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
    terminal.waits("a checkpoint of its own", |screen| {
        screen.lines().any(|line| own(line).is_some_and(|number: u64| number >= 3) && !line.starts_with("resumed from"))
    });
}
