//! The interactive shell: reads statements until their semicolon, executes them in one session, shows what came of them.
//!
//! Ctrl-C cancels the running query or the line being typed, Ctrl-D and `quit` leave. Background jobs are stopped with a
//! last checkpoint when the shell is left, so that the next session resumes them.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use eddyline_engine::runtime::{JobHandle, StopMode};
use eddyline_sql::parse::parse_script;
use eddyline_sql::{Outcome, Session};
use rustyline::config::Configurer;
use rustyline::error::ReadlineError;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Completer, Editor, Helper, Highlighter, Hinter};

use crate::batch::{new_session, parse_definitions};
use crate::failure::Failure;
use crate::follow::follow;
use crate::interrupt::Interrupt;
use crate::render::{OutputForm, print_rows, writer};

const HELP: &str = "\
Statements end with a semicolon: CREATE TABLE, CREATE VIEW, DROP, SHOW TABLES, DESCRIBE t, SET 'key' = 'value', RESET,
INSERT INTO t SELECT …, EXECUTE STATEMENT SET BEGIN … END, SELECT …, EXPLAIN SELECT …, SHOW JOBS.
help or \\? shows this, quit or \\q leaves. Ctrl-C cancels a running query or the line being typed.";

/// Statements may span lines: a line is complete when it ends with a semicolon, or is a command of the shell.
#[derive(Completer, Helper, Highlighter, Hinter)]
struct Statements;

impl Validator for Statements {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = context.input().trim();
        let complete = text.is_empty() || text.ends_with(';') || command(text).is_some();
        Ok(if complete { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

/// Commands of the shell itself.
enum Command {
    Help,
    Quit,
}

fn command(text: &str) -> Option<Command> {
    match text.trim_end_matches(';').trim().to_lowercase().as_str() {
        "help" | "?" | "\\?" | "\\h" => Some(Command::Help),
        "quit" | "exit" | "\\q" => Some(Command::Quit),
        _ => None,
    }
}

/// Runs the shell until the user leaves.
pub fn run(definitions: &[String]) -> Result<(), Failure> {
    let mut session = new_session(&parse_definitions(definitions)?)?;
    let interrupt = Interrupt::install()?;
    if !io::stdin().is_terminal() {
        return run_piped(&mut session, &interrupt);
    }
    let mut editor: Editor<Statements, rustyline::history::FileHistory> = Editor::new().map_err(terminal)?;
    editor.set_helper(Some(Statements));
    editor.set_auto_add_history(false);
    let history = history_file();
    if let Some(path) = &history {
        let _ = editor.load_history(path);
    }
    println!("eddyline {} — help shows help, quit leaves", env!("CARGO_PKG_VERSION"));
    loop {
        match editor.readline("eddyline> ") {
            Ok(text) if text.trim().is_empty() => {}
            Ok(text) => {
                if !text.to_lowercase().contains("password") {
                    let _ = editor.add_history_entry(text.as_str());
                }
                match command(&text) {
                    Some(Command::Help) => println!("{HELP}"),
                    Some(Command::Quit) => break,
                    None => execute(&mut session, &text, &interrupt),
                }
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(terminal(error)),
        }
    }
    if let Some(path) = &history {
        let _ = editor.save_history(path);
    }
    leave(&session)
}

fn terminal(error: ReadlineError) -> Failure {
    Failure::Message(format!("ERROR: terminal: {error}"))
}

/// Statements from a pipe: all of them, then the end.
fn run_piped(session: &mut Session, interrupt: &Interrupt) -> Result<(), Failure> {
    let text = io::read_to_string(io::stdin())?;
    execute(session, &text, interrupt);
    leave(session)
}

fn history_file() -> Option<PathBuf> {
    let home = std::env::var_os("HOME")?;
    Some(PathBuf::from(home).join(".eddyline_history"))
}

/// Stops what still runs, each job with a last checkpoint.
fn leave(session: &Session) -> Result<(), Failure> {
    let running: Vec<JobHandle> = session.jobs().into_iter().filter(|job| !job.status().state.is_terminal()).collect();
    for job in &running {
        println!("stopping {} with a last checkpoint", job.name());
        job.stop(StopMode::Checkpoint);
    }
    for job in &running {
        job.wait()?;
    }
    Ok(())
}

fn execute(session: &mut Session, text: &str, interrupt: &Interrupt) {
    let statements = match parse_script(text) {
        Ok(statements) => statements,
        Err(error) => return tell!("{}", error.render(text)),
    };
    for statement in &statements {
        interrupt.reset();
        let outcome = session.execute(statement);
        session.take_warnings().iter().for_each(|w| tell!("WARNING: {w}"));
        match outcome {
            Ok(outcome) => {
                if let Err(Failure::Message(text)) = show(outcome, interrupt) {
                    tell!("{text}");
                }
            }
            Err(error) => return tell!("{}", error.render(text)),
        }
    }
}

fn show(outcome: Outcome, interrupt: &Interrupt) -> Result<(), Failure> {
    match outcome {
        Outcome::Done(text) => println!("{text}"),
        Outcome::Rows { schema, rows } => print_rows(&[rows], &schema, &mut io::stdout().lock())?,
        Outcome::Started { job, .. } => println!("job '{}' is running; SHOW JOBS lists jobs", job.name()),
        Outcome::Changes { schema, changes, job, .. } => {
            let mut out = io::BufWriter::new(io::stdout().lock());
            let mut writer = writer(OutputForm::Table, schema, io::stdout().is_terminal());
            follow(&changes, &job, writer.as_mut(), &mut out, interrupt)?;
        }
    }
    Ok(())
}
