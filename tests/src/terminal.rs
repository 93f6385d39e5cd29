//! A terminal (tmux) in which programs are used as a person uses them: keys go in, the screen comes out.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::program::eddyline;
use crate::services::process::{require_program, wait_for};

/// How long the screen may take to show what is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the shell asks for statements with.
const PROMPT: &str = "eddyline>";

/// A terminal in a folder of its own, which is also the home of the history.
pub struct Terminal {
    folder: TempDir,
    server: String,
}

impl Terminal {
    /// A terminal of 100 by 40 characters in which nothing runs yet.
    pub fn new() -> Self {
        Terminal::sized(100, 40)
    }

    /// A terminal of so many columns and lines in which nothing runs yet.
    pub fn sized(columns: usize, lines: usize) -> Self {
        require_program("tmux", "tmux");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = format!("eddyline-{}", folder.path().file_name().expect("a name").to_string_lossy());
        let terminal = Terminal { folder, server };
        let (columns, lines) = (columns.to_string(), lines.to_string());
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", &columns, "-y", &lines]);
        terminal
    }

    /// The shell in a terminal, ready for input.
    pub fn shell() -> Self {
        Terminal::shell_with(&[])
    }

    /// The shell with arguments in a terminal, ready for input.
    pub fn shell_with(arguments: &[&str]) -> Self {
        let terminal = Terminal::new();
        terminal.run(arguments);
        terminal.prompts();
        terminal
    }

    /// Runs the program in place of whatever ran before.
    pub fn run(&self, arguments: &[&str]) {
        self.run_with("", arguments);
    }

    /// Runs the program with an `environment` of the form `NAME=value …`.
    pub fn run_with(&self, environment: &str, arguments: &[&str]) {
        let home = self.folder.path().to_string_lossy().into_owned();
        let program = eddyline().to_string_lossy();
        let quoted: Vec<String> = arguments.iter().map(|a| format!("'{}'", a.replace('\'', "'\\''"))).collect();
        self.run_line(&format!(
            "unset PAGER EDDYLINE_HISTORY; HOME='{home}' {environment} {program} {}",
            quoted.join(" ")
        ));
    }

    /// Runs another program in place of whatever ran before.
    pub fn run_command(&self, command: &Command) {
        let quoted = |text: &OsStr| format!("'{}'", text.to_string_lossy().replace('\'', "'\\''"));
        let set = |(name, value): (&OsStr, Option<&OsStr>)| {
            value.map(|value| format!("{}={}", name.to_string_lossy(), quoted(value)))
        };
        let mut words: Vec<String> = command.get_envs().filter_map(set).collect();
        words.push(quoted(command.get_program()));
        words.extend(command.get_args().map(quoted));
        self.run_line(&words.join(" "));
    }

    /// The pane stays after the end of the program, so that its last words can be read.
    fn run_line(&self, line: &str) {
        let home = self.folder.path().to_string_lossy().into_owned();
        self.tmux(&["respawn-pane", "-k", "-c", &home, &format!("{line}; echo \"ended with $?\"; read line")]);
    }

    /// The folder in which programs run.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file into the folder.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("a writable folder");
        path
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let out = Command::new("tmux").args(["-L", &self.server]).args(arguments).output().expect("tmux can be run");
        assert!(out.status.success(), "tmux {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// Types `text`.
    pub fn type_in(&self, text: &str) {
        // A semicolon at the end would separate two commands of tmux.
        let text = text.strip_suffix(';').map_or_else(|| text.to_string(), |rest| format!("{rest}\\;"));
        self.tmux(&["send-keys", "-l", &text]);
    }

    /// Types `text` and presses Enter.
    pub fn enter(&self, text: &str) {
        self.type_in(text);
        self.press("Enter");
    }

    /// Presses a key, by tmux's name for it.
    pub fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    /// What is on the screen.
    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"]).trim_end().to_string()
    }

    /// What is on the screen, with the sequences that make its colours.
    pub fn coloured_screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-e"]).trim_end().to_string()
    }

    /// Waits until the screen is as `wanted` says; panics with the screen when it does not come to that.
    #[track_caller]
    pub fn waits(&self, what: &str, wanted: impl Fn(&str) -> bool) {
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

    /// Waits until `text` is on the screen.
    #[track_caller]
    pub fn sees(&self, text: &str) {
        self.waits(text, |screen| screen.contains(text));
    }

    /// Waits for an empty prompt at the end of the screen.
    #[track_caller]
    pub fn prompts(&self) {
        self.waits("an empty prompt", |screen| screen.ends_with(PROMPT));
    }

    /// Enters a statement and waits until the shell is ready for the next one.
    #[track_caller]
    pub fn does(&self, text: &str) {
        self.prompts();
        self.does_rest(text);
    }

    /// Enters the last line of a statement and waits until the shell is ready for the next one.
    #[track_caller]
    pub fn does_rest(&self, text: &str) {
        let prompts = |screen: &str| screen.lines().filter(|line| line.starts_with(PROMPT)).count();
        let before = prompts(&self.screen());
        self.enter(text);
        self.waits(&format!("the prompt behind {text}"), |screen| screen.ends_with(PROMPT) && prompts(screen) > before);
    }

    /// An empty screen with a prompt.
    #[track_caller]
    pub fn clears(&self) {
        self.prompts();
        self.press("C-l");
        self.waits("an empty screen", |screen| screen == PROMPT);
    }
}

impl Default for Terminal {
    fn default() -> Self {
        Terminal::new()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-L", &self.server, "kill-server"]).output();
    }
}
