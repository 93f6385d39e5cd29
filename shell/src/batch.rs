//! `eddyline run FILE` and `eddyline explain FILE`: the statements of a file in order.
//!
//! A bounded INSERT is waited for before the next statement, so that a later statement can read what it wrote; an
//! unbounded one goes on in the background, and the program stays until all jobs have ended or the user stops them.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;
use std::time::Duration;

use eddyline_engine::runtime::{JobHandle, Restore, StopMode};
use eddyline_sql::parse::parse_script;
use eddyline_sql::{Outcome, Session};

use crate::cli::{ExplainArguments, RunArguments};
use crate::failure::Failure;
use crate::follow::{POLL, follow};
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::render::{OutputForm, print_rows, writer};

struct Script {
    file: String,
    text: String,
}

impl Script {
    fn read(path: &Path, definitions: &[String]) -> Result<(Script, BTreeMap<String, String>), Failure> {
        let file = path.display().to_string();
        let raw = if file == "-" {
            io::read_to_string(io::stdin())
        } else {
            std::fs::File::open(path).and_then(|mut f| {
                let mut text = String::new();
                f.read_to_string(&mut text).map(|_| text)
            })
        };
        let raw = raw.map_err(|e| Failure::Message(format!("ERROR: cannot read {file}: {e}")))?;
        let variables = parse_definitions(definitions)?;
        // Environment variables serve where no -D does.
        let mut values: BTreeMap<String, String> = std::env::vars().collect();
        values.extend(variables.clone());
        let text = eddyline_sql::config::substitute(&raw, &values).map_err(|e| Failure::sql(&e, &file, &raw))?;
        Ok((Script { file, text }, variables))
    }
}

/// `-D key=value` pairs.
pub fn parse_definitions(definitions: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let pair = |d: &String| match d.split_once('=') {
        Some((key, value)) => Ok((key.trim().to_string(), value.to_string())),
        None => Err(Failure::Message(format!("ERROR: -D {d}: expected KEY=VALUE"))),
    };
    definitions.iter().map(pair).collect()
}

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
    let (script, variables) = Script::read(&arguments.file, &arguments.definitions)?;
    let statements = parse_script(&script.text).map_err(|e| Failure::sql(&e, &script.file, &script.text))?;
    let mut session = new_session(&variables)?;
    if arguments.fresh {
        session.set_restore(Restore::Fresh);
    } else if let Some(path) = &arguments.from {
        session.set_restore(Restore::Path(path.clone()));
    }
    session.set_takeover(arguments.takeover);
    let mut runner = Runner { arguments, interrupt: Interrupt::install()?, jobs: Vec::new() };
    runner.listen(&session)?;
    for statement in &statements {
        let outcome = session.execute(statement);
        session.take_warnings().iter().for_each(|w| tell!("WARNING: {w}"));
        let outcome = outcome.map_err(|e| Failure::sql(&e, &script.file, &script.text))?;
        runner.take(outcome)?;
        if runner.interrupt.asked() {
            break;
        }
    }
    runner.wait_for_all()
}

/// Shows the plans of a file.
pub fn explain(arguments: &ExplainArguments) -> Result<(), Failure> {
    let (script, variables) = Script::read(&arguments.file, &arguments.definitions)?;
    let statements = parse_script(&script.text).map_err(|e| Failure::sql(&e, &script.file, &script.text))?;
    let mut session = new_session(&variables)?;
    for statement in &statements {
        let text = session.explain_statement(statement);
        session.take_warnings().iter().for_each(|w| tell!("WARNING: {w}"));
        let text = text.map_err(|e| Failure::sql(&e, &script.file, &script.text))?;
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
            Outcome::Done(_) => Ok(()),
            Outcome::Rows { schema, rows } => {
                if self.arguments.output == OutputForm::Jsonl {
                    return Ok(());
                }
                Ok(print_rows(&[rows], &schema, &mut io::stdout().lock())?)
            }
            Outcome::Started { job, bounded: true, .. } => self.wait_for(&[job]),
            Outcome::Started { job, bounded: false, .. } => {
                self.jobs.push(job);
                Ok(())
            }
            Outcome::Changes { schema, changes, job, .. } => {
                let live = io::stdout().is_terminal();
                let mut out = io::BufWriter::new(io::stdout().lock());
                if self.arguments.schema {
                    writeln!(out, "{}", crate::render::schema_json(&schema))?;
                }
                let mut writer = writer(self.arguments.output, schema, live);
                follow(&changes, &job, writer.as_mut(), &mut out, &self.interrupt)
            }
        }
    }

    /// Waits until all of `jobs` have ended; a signal stops them with a last checkpoint. The first failure counts.
    fn wait_for(&self, jobs: &[JobHandle]) -> Result<(), Failure> {
        let mut progress = Progress::new(jobs);
        let mut stopping = false;
        loop {
            let open: Vec<&JobHandle> = jobs.iter().filter(|job| !job.status().state.is_terminal()).collect();
            let failed = jobs.iter().find_map(|job| job.wait_timeout(Duration::ZERO).and_then(Result::err));
            if (self.interrupt.asked() || failed.is_some()) && !stopping {
                stopping = true;
                open.iter().for_each(|job| job.stop(StopMode::Checkpoint));
            }
            progress.show();
            match open.first() {
                Some(job) => drop(job.wait_timeout(POLL)),
                None => {
                    progress.finish();
                    return failed.map_or(Ok(()), |e| Err(e.into()));
                }
            }
        }
    }

    fn wait_for_all(self) -> Result<(), Failure> {
        let jobs = self.jobs.clone();
        self.wait_for(&jobs)
    }
}
