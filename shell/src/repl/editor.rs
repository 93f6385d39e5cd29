//! The line editor: rustyline with completion, colours, statements over several lines, and a history without secrets.

use std::borrow::Cow;
use std::path::PathBuf;

use rustyline::completion::{Completer, Pair};
use rustyline::config::{CompletionType, Config};
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Editor, Helper, Hinter};

use super::complete::{BackendNames, complete};
use super::highlight::highlight;
use super::history;
use super::pieces::is_complete;
use super::shell::SharedBackend;
use crate::failure::Failure;
use crate::terminal;

/// What the user types at.
const PROMPT: &str = "eddyline> ";

/// Reads statements from a terminal.
pub struct Input {
    editor: Editor<Sql, FileHistory>,
    history: Option<PathBuf>,
}

/// What was read.
pub enum Line {
    /// Statements and commands, complete.
    Text(String),
    /// Ctrl-C: nothing.
    Nothing,
    /// Ctrl-D.
    End,
}

impl Input {
    /// An editor that completes names which `backend` knows.
    pub fn new(backend: SharedBackend) -> Result<Self, Failure> {
        let config = Config::builder()
            .max_history_size(history::ENTRIES)
            .map_err(failed)?
            .auto_add_history(false)
            .completion_type(CompletionType::List)
            .completion_show_all_if_ambiguous(true)
            .build();
        let mut editor = Editor::with_config(config).map_err(failed)?;
        editor.set_helper(Some(Sql { names: BackendNames::new(backend), coloured: terminal::has_colours() }));
        let history = history::file();
        if let Some(path) = &history {
            // There is none in the first session.
            let _ = editor.load_history(path);
        }
        Ok(Input { editor, history })
    }

    /// Reads up to the end of a statement.
    pub fn read(&mut self) -> Result<Line, Failure> {
        if let Some(helper) = self.editor.helper() {
            helper.names.forget();
        }
        match self.editor.readline(PROMPT) {
            Ok(text) => {
                self.remember(&text);
                Ok(Line::Text(text))
            }
            Err(ReadlineError::Interrupted) => Ok(Line::Nothing),
            Err(ReadlineError::Eof) => Ok(Line::End),
            Err(error) => Err(failed(error)),
        }
    }

    /// Adds to the history, also to the file, so that nothing is lost when the shell is killed.
    fn remember(&mut self, text: &str) {
        if !history::is_worth_keeping(text) {
            return;
        }
        let added = self.editor.add_history_entry(text.trim_end()).unwrap_or(false);
        if let (Some(path), true) = (&self.history, added) {
            // A history that cannot be written is no reason to stop.
            let _ = self.editor.append_history(path);
        }
    }
}

fn failed(error: ReadlineError) -> Failure {
    Failure::Message(format!("ERROR: terminal: {error}"))
}

/// What the editor asks about the text in it.
#[derive(Helper, Hinter)]
struct Sql {
    names: BackendNames,
    coloured: bool,
}

impl Completer for Sql {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, _context: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, found) = complete(line, at, &self.names);
        Ok((start, found.into_iter().map(|c| Pair { display: c.shown, replacement: c.text }).collect()))
    }
}

impl Highlighter for Sql {
    fn highlight<'l>(&self, line: &'l str, _at: usize) -> Cow<'l, str> {
        if self.coloured { Cow::Owned(highlight(line)) } else { Cow::Borrowed(line) }
    }

    fn highlight_char(&self, _line: &str, _at: usize, kind: CmdKind) -> bool {
        self.coloured && kind != CmdKind::MoveCursor
    }
}

impl Validator for Sql {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if is_complete(context.input()) { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}
