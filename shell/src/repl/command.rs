//! The shell's own commands: those with a backslash, as in psql, and the words of Flink's SQL client.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::describe;
use super::settings::{FORMATS, ResultMode};
use super::shell::{Next, Shell};
use super::words::COMMANDS;
use crate::failure::Failure;

/// Files that may execute each other.
const MAX_DEPTH: usize = 16;

/// What the user can do, in words.
pub fn help() -> String {
    let mut text = String::from(
        "Statements end with a semicolon and may span lines:\n  \
         CREATE TABLE, CREATE VIEW, ALTER, DROP, SHOW TABLES, DESCRIBE t, SHOW CREATE TABLE t,\n  \
         SELECT, EXPLAIN, INSERT INTO t SELECT, EXECUTE STATEMENT SET BEGIN … END,\n  \
         SHOW JOBS, STOP JOB 'id', SET 'key' = 'value', RESET 'key'\n\nCommands:\n",
    );
    for (name, arguments, meaning) in COMMANDS {
        text.push_str(&format!("  {:<20}{meaning}\n", format!("{name} {arguments}")));
    }
    text.push_str(
        "  HELP, CLEAR, QUIT   as in Flink's SQL client\n\n\
         Tab completes, Ctrl-R searches the history. Ctrl-C cancels the running query or the line\n\
         being typed; q ends a live view. Ctrl-D leaves.",
    );
    text
}

impl Shell {
    /// Executes a command that is a word.
    pub(super) fn word_command(&mut self, text: &str) -> Result<Next, Failure> {
        match text.trim().trim_end_matches(';').to_lowercase().as_str() {
            "help" => println!("{}", help()),
            "clear" => {
                print!("\x1b[H\x1b[2J");
                std::io::stdout().flush()?;
            }
            _ => return Ok(Next::Leave),
        }
        Ok(Next::GoOn)
    }

    /// Executes a command that begins with a backslash.
    pub(super) fn command(&mut self, text: &str) -> Result<Next, Failure> {
        let text = text.trim().trim_end_matches(';').trim_end();
        let (name, argument) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let argument = argument.trim();
        match name {
            "\\q" | "\\quit" => return Ok(Next::Leave),
            "\\?" | "\\h" | "\\help" => println!("{}", help()),
            "\\d" if !argument.is_empty() => describe::one(self, argument)?,
            "\\d" => describe::all(self)?,
            "\\dt" => describe::tables(self, argument)?,
            "\\dv" => describe::views(self, argument)?,
            "\\dm" => describe::listed(self, describe::MATERIALIZED, argument)?,
            "\\df" => describe::listed(self, "SHOW FUNCTIONS", argument)?,
            "\\dn" => describe::listed(self, "SHOW DATABASES", "")?,
            "\\l" => describe::listed(self, "SHOW CATALOGS", "")?,
            "\\dj" => describe::listed(self, "SHOW JOBS", "")?,
            "\\x" => {
                self.settings.expanded = switch(name, argument, self.settings.expanded)?;
                self.say(&format!("Expanded display is {}.", word(self.settings.expanded)));
            }
            "\\timing" => {
                self.settings.timing = switch(name, argument, self.settings.timing)?;
                self.say(&format!("Timing is {}.", word(self.settings.timing)));
            }
            "\\pager" => {
                self.settings.pager = switch(name, argument, self.settings.pager)?;
                self.say(&format!("The pager is {}.", word(self.settings.pager)));
            }
            "\\format" => self.format(argument)?,
            "\\mode" => self.mode(argument)?,
            "\\pset" => return self.pset(argument),
            "\\o" => self.output(argument)?,
            "\\i" => return self.include(argument),
            other => return Err(unknown(other)),
        }
        Ok(Next::GoOn)
    }

    fn format(&mut self, argument: &str) -> Result<(), Failure> {
        // Flink's modes are forms of output, too.
        if let Some(mode) = ResultMode::named(argument).filter(|mode| *mode != ResultMode::Table) {
            (self.settings.form, self.settings.mode) = (crate::render::Form::Table, mode);
        } else if !argument.is_empty() {
            let found = FORMATS.iter().find(|(name, _)| name.eq_ignore_ascii_case(argument));
            let (_, form) =
                found.ok_or_else(|| refuse(&format!("there is no format '{argument}'"), &format_names()))?;
            self.settings.form = *form;
        }
        let name = FORMATS.iter().find(|(_, form)| *form == self.settings.form).map_or("table", |(name, _)| name);
        self.say(&format!("Output format is {name}, result mode is {}.", self.settings.mode.name()));
        Ok(())
    }

    fn mode(&mut self, argument: &str) -> Result<(), Failure> {
        if !argument.is_empty() {
            let mode = ResultMode::named(argument);
            let hint = "modes: table, changelog, tableau";
            self.settings.mode = mode.ok_or_else(|| refuse(&format!("there is no mode '{argument}'"), hint))?;
        }
        self.say(&format!("Result mode is {}.", self.settings.mode.name()));
        Ok(())
    }

    /// The options of psql that mean something here, under psql's names.
    fn pset(&mut self, argument: &str) -> Result<Next, Failure> {
        let (option, value) = argument.split_once(char::is_whitespace).unwrap_or((argument, ""));
        match (option, value.trim()) {
            ("format", "aligned") => self.command("\\format table"),
            ("format", value) => self.command(&format!("\\format {value}")),
            ("expanded" | "x", value) => self.command(&format!("\\x {value}")),
            ("pager", value) => self.command(&format!("\\pager {value}")),
            _ => Err(refuse(&format!("\\pset has no option '{option}'"), "options: format, expanded, pager")),
        }
    }

    fn output(&mut self, argument: &str) -> Result<(), Failure> {
        if argument.is_empty() {
            self.settings.output = None;
            return Ok(());
        }
        let path = PathBuf::from(unquoted(argument));
        File::create(&path).map_err(|e| Failure::Message(format!("ERROR: cannot write {}: {e}", path.display())))?;
        self.settings.output = Some(path);
        Ok(())
    }

    fn include(&mut self, argument: &str) -> Result<Next, Failure> {
        if argument.is_empty() {
            return Err(refuse("\\i needs a file", "write \\i FILE"));
        }
        self.run_file(Path::new(unquoted(argument)))
    }

    /// Executes a file, with `${name}` replaced, up to the first failure.
    pub fn run_file(&mut self, path: &Path) -> Result<Next, Failure> {
        if self.depth >= MAX_DEPTH {
            return Err(refuse(&format!("{}: files execute each other without end", path.display()), "look for \\i"));
        }
        let script = crate::script::Script::read(path, &self.variables)?;
        self.depth += 1;
        let next = self.execute(&script.text, Some(&script.file));
        self.depth -= 1;
        next
    }
}

/// The new state of a switch: what is said, or else the other one.
fn switch(name: &str, argument: &str, now: bool) -> Result<bool, Failure> {
    match argument.to_lowercase().as_str() {
        "" => Ok(!now),
        "on" | "true" => Ok(true),
        "off" | "false" => Ok(false),
        other => Err(refuse(&format!("{name} cannot be '{other}'"), "write on or off")),
    }
}

fn word(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

fn format_names() -> String {
    let names: Vec<&str> = FORMATS.iter().map(|(name, _)| *name).collect();
    format!("formats: {}, changelog, tableau", names.join(", "))
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')).unwrap_or(text)
}

fn refuse(message: &str, hint: &str) -> Failure {
    Failure::Message(format!("ERROR: {message}\nHINT: {hint}"))
}

fn unknown(name: &str) -> Failure {
    refuse(&format!("there is no command {name}"), "\\? lists the commands")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_every_command() {
        let help = help();
        assert!(COMMANDS.iter().all(|(name, _, _)| help.contains(&format!("  {name} "))), "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 96));
    }

    #[test]
    fn switches_turn_over_or_are_set() {
        assert_eq!(switch("\\x", "", true).ok(), Some(false));
        assert_eq!(switch("\\x", "ON", true).ok(), Some(true));
        assert!(switch("\\x", "maybe", true).is_err());
    }
}
