//! The interactive shell: reads statements until their semicolon, executes them in one session, shows what came of them.
//!
//! - `backend`: where statements are executed: `embedded` in this process, `wire` on a server.
//! - `shell`, `command`, `describe`, `settings`, `output`: from a piece of text to what the user sees.
//! - `lex`, `pieces`, `words`: SQL as far as the shell must know it.
//! - `editor`, `complete`, `highlight`, `history`: while a statement is typed.
//!
//! Ctrl-C cancels the running query or the line being typed, Ctrl-D and `quit` leave. Background jobs of this process are
//! stopped with a last checkpoint when the shell is left, so that the next session resumes them.

mod backend;
mod command;
mod complete;
mod describe;
mod editor;
mod embedded;
mod highlight;
mod history;
mod lex;
mod output;
mod pieces;
mod settings;
mod shell;
#[cfg(feature = "server")]
mod wire;
mod words;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};

use crate::batch::new_session;
use crate::cli::ShellArguments;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::script::parse_definitions;
#[cfg(not(feature = "server"))]
use backend::Backend;
use editor::{Input, Line};
use embedded::Embedded;
use settings::FORMATS;
use shell::{Next, Shell};

#[cfg(feature = "server")]
pub use backend::{Answer, Backend};
#[cfg(feature = "server")]
pub use wire::{Address, Wire};

/// Runs the shell until the user leaves, or the statements of its arguments are executed.
pub fn run(arguments: &ShellArguments) -> Result<(), Failure> {
    let variables = parse_definitions(&arguments.definitions)?;
    let interrupt = if is_conversation(arguments) { Interrupt::install_for_shell()? } else { Interrupt::install()? };
    let (backend, place) = open(arguments, &variables, &interrupt)?;
    let mut shell = Shell::new(backend, variables, interrupt);
    if let Some(name) = &arguments.format {
        shell.settings.form = FORMATS.iter().find(|(known, _)| known == name).map_or(shell.settings.form, |(_, f)| *f);
    }
    let done = work(&mut shell, arguments, &place);
    let left = shell.backend.borrow_mut().leave();
    done.and(left)
}

fn is_without_statements(arguments: &ShellArguments) -> bool {
    arguments.execute.is_empty() && arguments.files.is_empty()
}

/// True when a person types statements and reads answers.
fn is_conversation(arguments: &ShellArguments) -> bool {
    is_without_statements(arguments) && io::stdin().is_terminal()
}

fn work(shell: &mut Shell, arguments: &ShellArguments, place: &str) -> Result<(), Failure> {
    if let Some(file) = &arguments.init
        && shell.run_file(file)? == Next::Leave
    {
        return Ok(());
    }
    if is_conversation(arguments) {
        return converse(shell, place);
    }
    let piped = is_without_statements(arguments);
    for text in &arguments.execute {
        // The end of the text is the end of its last statement.
        if shell.execute(&format!("{text}\n;"), None)? == Next::Leave {
            return Ok(());
        }
    }
    for file in &arguments.files {
        if shell.run_file(file)? == Next::Leave {
            return Ok(());
        }
    }
    if piped && shell.execute(&format!("{}\n;", io::read_to_string(io::stdin())?), None)? == Next::Leave {
        return Ok(());
    }
    shell.wait_for_jobs()
}

/// Reads and executes until the user leaves. What fails is told, and the shell goes on.
fn converse(shell: &mut Shell, place: &str) -> Result<(), Failure> {
    shell.set_interactive(true);
    let mut input = Input::new(shell.backend.clone())?;
    println!("eddyline {}{place} — help shows help, quit leaves", env!("CARGO_PKG_VERSION"));
    loop {
        shell.tell_of_jobs();
        match input.read()? {
            Line::Text(text) => match shell.execute(&text, None) {
                Ok(Next::GoOn) => {}
                Ok(Next::Leave) => return Ok(()),
                Err(failure) => tell!("{}", failure.text()),
            },
            Line::Nothing => {}
            Line::End => return Ok(()),
        }
    }
}

/// Where statements are executed, and how the greeting says so.
#[cfg_attr(not(feature = "server"), allow(unused_variables))]
fn open(
    arguments: &ShellArguments,
    variables: &BTreeMap<String, String>,
    interrupt: &Interrupt,
) -> Result<(Box<dyn Backend>, String), Failure> {
    #[cfg(feature = "server")]
    if let Some(text) = &arguments.connect {
        let address = Address::parse(text)?;
        let place = format!(" at {address}");
        let wire = Wire::connect(address, variables, interrupt.clone())?;
        return Ok((Box::new(wire), place));
    }
    Ok((Box::new(Embedded::new(new_session(variables)?, interrupt.clone())), String::new()))
}
