//! `eddyline run FILE` and `eddyline explain FILE`: the statements of a file in order.
//!
//! A bounded INSERT is waited for before the next statement, so that a later statement can read what it wrote; an
//! unbounded one goes on in the background, and the program stays until all jobs have ended or the user stops them.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use eddyline_engine::interrupt::{Asked, interruptible};
use eddyline_engine::runtime::{JobHandle, Restore};
use eddyline_sql::parse::parse_script;
use eddyline_sql::statement::ParsedStatement;
use eddyline_sql::{Outcome, Session, SqlState};

use crate::cli::{ExplainArguments, RunArguments};
use crate::failure::Failure;
use crate::follow::{follow, wait_for};
use crate::interrupt::Interrupt;
use crate::render::{OutputForm, print_rows, writer};
use crate::script::{Script, parse_definitions};

/// A session with all connectors, and the settings among the definitions (names with a dot).
pub fn new_session(variables: &BTreeMap<String, String>) -> Result<Session, Failure> {
    let mut session = Session::new(eddyline_connectors::registry());
    session.set_journal(eddyline_connectors::jdbc::open_journal);
    for (key, value) in variables.iter().filter(|(key, _)| key.contains('.')) {
        session.set(key, value).map_err(|e| Failure::Message(e.render("")))?;
    }
    Ok(session)
}

/// Runs a file.
pub fn run(arguments: &RunArguments) -> Result<(), Failure> {
    let variables = parse_definitions(&arguments.definitions)?;
    let script = Script::read(&arguments.file, &variables)?;
    let statements = parse_script(&script.text).map_err(|e| Failure::sql(&e, &script.file, &script.text))?;
    #[cfg(feature = "server")]
    if let Some(address) = &arguments.detach {
        return crate::detach::run(address, &script, &statements, &variables);
    }
    if arguments.check {
        return check(&script, &statements, &variables);
    }
    let mut session = new_session(&variables)?;
    if arguments.fresh {
        session.set_restore(Restore::Fresh);
    } else if let Some(path) = &arguments.from {
        session.set_restore(Restore::Path(path.clone()));
    }
    session.set_takeover(arguments.takeover);
    let mut runner = Runner { arguments, interrupt: Interrupt::install()?, jobs: Vec::new() };
    runner.listen(&session)?;
    let interrupt = runner.interrupt.clone();
    let asked: Asked = Arc::new(move || interrupt.asked());
    for statement in &statements {
        let outcome = interruptible(Arc::clone(&asked), || session.execute(statement));
        session.take_warnings().iter().for_each(|w| tell!("WARNING: {w}"));
        if let Err(error) = &outcome
            && error.state == SqlState::Cancelled
            && runner.interrupt.asked()
        {
            // Asked to stop, before this statement has begun anything.
            tell!("{}", error.message);
            break;
        }
        let outcome = outcome.map_err(|e| Failure::statement(&e, &script, statement))?;
        runner.take(outcome)?;
        if runner.interrupt.asked() {
            break;
        }
    }
    runner.wait_for_all()
}

/// Plans all statements of a file, each with the tables and settings of those before it.
fn check(script: &Script, statements: &[ParsedStatement], variables: &BTreeMap<String, String>) -> Result<(), Failure> {
    let mut session = new_session(variables)?;
    let mut jobs = 0;
    for statement in statements {
        let planned = session.explain_statement(statement);
        session.take_warnings().iter().for_each(|w| tell!("WARNING: {w}"));
        let plan = planned.map_err(|e| Failure::statement(&e, script, statement))?;
        jobs += usize::from(plan.is_some());
    }
    println!("{}: {} statements, {jobs} of them with a plan, are in order", script.file, statements.len());
    Ok(())
}

/// Shows the plans of a file.
pub fn explain(arguments: &ExplainArguments) -> Result<(), Failure> {
    let variables = parse_definitions(&arguments.definitions)?;
    let script = Script::read(&arguments.file, &variables)?;
    let statements = parse_script(&script.text).map_err(|e| Failure::sql(&e, &script.file, &script.text))?;
    let mut session = new_session(&variables)?;
    for statement in &statements {
        let text = session.explain_statement(statement);
        session.take_warnings().iter().for_each(|w| tell!("WARNING: {w}"));
        let text = text.map_err(|e| Failure::statement(&e, &script, statement))?;
        if let Some(text) = text {
            println!("{text}");
        }
    }
    Ok(())
}

struct Runner<'a> {
    arguments: &'a RunArguments,
    interrupt: Interrupt,
    /// Jobs in the background.
    jobs: Vec<JobHandle>,
}

impl Runner<'_> {
    #[cfg(feature = "server")]
    fn listen(&self, session: &Session) -> Result<(), Failure> {
        let Some(address) = self.arguments.http else { return Ok(()) };
        let shown = crate::http::Shown { engine: std::sync::Arc::clone(session.engine()), wire: None };
        let address = crate::http::start(address, shown)?;
        tell!("jobs are shown at http://{address}/");
        Ok(())
    }

    #[cfg(not(feature = "server"))]
    fn listen(&self, _session: &Session) -> Result<(), Failure> {
        Ok(())
    }

    fn take(&mut self, outcome: Outcome) -> Result<(), Failure> {
        match outcome {
            Outcome::Done(_) | Outcome::Edited { .. } => Ok(()),
            Outcome::Rows { schema, rows } => {
                if self.arguments.output == OutputForm::Jsonl {
                    return Ok(());
                }
                Ok(print_rows(&rows, &schema, &mut io::stdout().lock())?)
            }
            Outcome::Started { job, bounded: true, .. } => wait_for(&[job], &self.interrupt),
            Outcome::Started { job, bounded: false, .. } => {
                self.jobs.push(job);
                Ok(())
            }
            Outcome::Changes { schema, changes, job, .. } => {
                let live = crate::terminal::size();
                let mut out = io::BufWriter::new(io::stdout().lock());
                if self.arguments.schema {
                    writeln!(out, "{}", crate::render::schema_json(&schema))?;
                }
                let mut writer = writer(self.arguments.output, schema, live);
                follow(&changes, &job, writer.as_mut(), &mut out, &|| self.interrupt.asked())
            }
        }
    }

    fn wait_for_all(self) -> Result<(), Failure> {
        wait_for(&self.jobs, &self.interrupt)
    }
}
