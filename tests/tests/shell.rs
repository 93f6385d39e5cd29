//! The interactive shell as a person has it: typed into a real terminal (tmux), read from its screen.

use std::process::Command;
use std::time::{Duration, Instant};

use eddyline_tests::program::eddyline;
use eddyline_tests::services::process::{require_program, wait_for};
use tempfile::TempDir;

/// How long the screen may take to show what is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

const TICKS: &str = "CREATE TABLE ticks (k BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '50', \
    'fields.k.min' = '1', 'fields.k.max' = '3');";

/// A terminal of 100 by 40 characters, in a folder of its own which is also the home of the history.
struct Terminal {
    folder: TempDir,
    server: String,
}

impl Terminal {
    /// A terminal in which nothing runs yet.
    fn new() -> Self {
        require_program("tmux", "tmux");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = format!("eddyline-{}", folder.path().file_name().expect("a name").to_string_lossy());
        let terminal = Terminal { folder, server };
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "40"]);
        terminal
    }

    /// The shell in a terminal, ready for input.
    fn shell() -> Self {
        let terminal = Terminal::new();
        terminal.run(&[]);
        terminal.prompts();
        terminal
    }

    /// Runs the program in place of whatever ran before.
    fn run(&self, arguments: &[&str]) {
        let home = self.folder.path().to_string_lossy().into_owned();
        let program = eddyline().to_string_lossy();
        // The pane stays after the end of the program, so that its last words can be read.
        let command = format!("HOME='{home}' {program} {}; echo \"ended with $?\"; read line", arguments.join(" "));
        self.tmux(&["respawn-pane", "-k", "-c", &home, &command]);
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let out = Command::new("tmux").args(["-L", &self.server]).args(arguments).output().expect("tmux can be run");
        assert!(out.status.success(), "tmux {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// Types `text` and presses Enter.
    fn enter(&self, text: &str) {
        // A semicolon at the end would separate two commands of tmux.
        let text = text.strip_suffix(';').map_or_else(|| text.to_string(), |rest| format!("{rest}\\;"));
        self.tmux(&["send-keys", "-l", &text]);
        self.press("Enter");
    }

    fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"]).trim_end().to_string()
    }

    /// Waits until the screen is as `wanted` says; panics with the screen when it does not come to that.
    #[track_caller]
    fn waits(&self, what: &str, wanted: impl Fn(&str) -> bool) {
        let started = Instant::now();
        let seen = wait_for(what, 2 * PATIENCE, || {
            let screen = self.screen();
            match (wanted(&screen), started.elapsed() < PATIENCE) {
                (true, _) => Some(Ok(())),
                (false, true) => None,
                (false, false) => Some(Err(screen)),
            }
        });
        if let Err(screen) = seen {
            panic!("the screen does not show {what}:\n{screen}");
        }
    }

    #[track_caller]
    fn sees(&self, text: &str) {
        self.waits(text, |screen| screen.contains(text));
    }

    /// Waits for the prompt at the end of the screen.
    #[track_caller]
    fn prompts(&self) {
        self.waits("an empty prompt", |screen| screen.ends_with("eddyline>"));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-L", &self.server, "kill-server"]).output();
    }
}

#[test]
fn a_statement_may_span_lines_and_shows_a_table() {
    let shell = Terminal::shell();
    shell.enter("SELECT 1 AS a,");
    shell.enter("  'x' AS b;");
    shell.sees("| 1 | x |\n+---+---+\n1 row in set");
    shell.prompts();
}

#[test]
fn an_error_points_at_its_place_and_the_shell_goes_on() {
    let shell = Terminal::shell();
    shell.enter("SELECT nme FROM (VALUES (1)) AS t (name);");
    shell.sees("LINE 1: SELECT nme FROM (VALUES (1)) AS t (name);\n               ^\nHINT: did you mean 'name'?");
    shell.enter("SELECT name FROM (VALUES (1)) AS t (name);");
    shell.sees("1 row in set");
}

#[test]
fn ctrl_c_cancels_the_query_and_not_the_shell() {
    let shell = Terminal::shell();
    shell.enter(TICKS);
    shell.sees("Execute statement succeeded.");
    for _ in 0..2 {
        shell.press("C-l");
        shell.enter("SELECT k, COUNT(*) AS n FROM ticks GROUP BY k;");
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

#[test]
fn history_comes_back_by_arrow_and_in_the_next_session() {
    let shell = Terminal::shell();
    shell.enter("SELECT 'first';");
    shell.sees("1 row in set");
    shell.enter("SELECT 'second';");
    shell.sees("second |");
    shell.press("C-l");
    shell.waits("an empty screen", |screen| screen == "eddyline>");
    shell.press("Up");
    shell.press("Up");
    shell.sees("eddyline> SELECT 'first';");
    shell.press("C-c");
    shell.enter("\\q");
    shell.sees("ended with 0");
    shell.run(&[]);
    shell.prompts();
    shell.press("Up");
    shell.press("Up");
    shell.sees("eddyline> SELECT 'second';");
}

#[test]
fn quit_leaves_and_stops_what_runs() {
    let shell = Terminal::shell();
    shell.enter(TICKS);
    shell.sees("Execute statement succeeded.");
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
    std::fs::write(terminal.folder.path().join("job.sql"), script).expect("the script can be written");
    terminal.run(&["run", "job.sql"]);
    terminal.waits("rows, pace and checkpoint", |screen| {
        screen.lines().any(|line| line.contains(" rows read, ") && line.contains(" rows/s, checkpoint "))
    });
    terminal.press("C-c");
    terminal.sees("ended with 0");
    assert!(!terminal.screen().contains("rows/s"), "the line goes when the job ends:\n{}", terminal.screen());
}
