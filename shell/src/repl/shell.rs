//! The shell without its line editor: executes what was typed or read from a file, and shows what came of it.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use eddyline_engine::runtime::JobHandle;

use super::backend::{Answer, Backend, Changes};
use super::output;
use super::pieces::{Piece, is_word_command, pieces};
use super::settings::{ResultMode, Settings};
use crate::failure::Failure;
use crate::follow::{follow, wait_for};
use crate::interrupt::Interrupt;
use crate::progress::{describe, ending};
use crate::render::{
    ChangeWriter, ChangelogWriter, Finished, Form, ResultWriter, SubscriptionWriter, TableWriter, TableauWriter,
};
use crate::terminal::{self, Keys};

/// A session that the line editor's completion looks at, too.
pub type SharedBackend = Rc<RefCell<Box<dyn Backend>>>;

/// How long a query runs before keys are taken from it: what is typed ahead belongs to the prompt.
const KEYS_AFTER: Duration = Duration::from_secs(1);

/// Whether the shell goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It does.
    GoOn,
    /// The user leaves.
    Leave,
}

/// Executes statements and commands.
pub struct Shell {
    /// Where statements are executed.
    pub backend: SharedBackend,
    /// How results are shown.
    pub settings: Settings,
    /// `-D` variables, for files.
    pub variables: BTreeMap<String, String>,
    /// Files that are being executed, one in the other.
    pub(super) depth: usize,
    interrupt: Interrupt,
    /// True when a person types statements and reads answers.
    interactive: bool,
    /// Jobs whose end was told.
    told: HashSet<String>,
}

impl Shell {
    /// A shell on `backend`.
    pub fn new(backend: Box<dyn Backend>, variables: BTreeMap<String, String>, interrupt: Interrupt) -> Self {
        let mut settings = Settings::default();
        variables.iter().for_each(|(key, value)| settings.set(key, value));
        let backend = Rc::new(RefCell::new(backend));
        Shell { backend, settings, variables, depth: 0, interrupt, interactive: false, told: HashSet::new() }
    }

    /// Says whether a person types statements.
    pub fn set_interactive(&mut self, interactive: bool) {
        self.interactive = interactive;
    }

    /// Executes the statements and commands of `text`, up to the first that fails. `file` is where it comes from.
    pub fn execute(&mut self, text: &str, file: Option<&str>) -> Result<Next, Failure> {
        for piece in pieces(text).0 {
            self.interrupt.reset();
            let next = match piece {
                Piece::Command(range) => self.command(&text[range])?,
                Piece::Statement(range) if is_word_command(&text[range.clone()]) => self.word_command(&text[range])?,
                Piece::Statement(range) => self.statement(text, range, file)?,
            };
            if next == Next::Leave {
                return Ok(next);
            }
        }
        Ok(Next::GoOn)
    }

    fn statement(&mut self, text: &str, range: std::ops::Range<usize>, file: Option<&str>) -> Result<Next, Failure> {
        let started = Instant::now();
        let sql = in_place(text, range.clone());
        let answer = self.backend.borrow_mut().execute(&sql);
        let notices = self.backend.borrow_mut().notices();
        notices.iter().for_each(|text| tell!("{text}"));
        let answer = answer.map_err(|error| match file {
            Some(file) => Failure::sql(&error, file, text),
            None => Failure::Message(error.render(text)),
        })?;
        self.settings.note(&text[range]);
        self.show(answer)?;
        if self.settings.timing {
            println!("Time: {:.3} ms", started.elapsed().as_secs_f64() * 1_000.0);
        }
        Ok(Next::GoOn)
    }

    fn show(&mut self, answer: Answer) -> Result<(), Failure> {
        match answer {
            Answer::Done(text) => self.say(&text),
            Answer::Rows { schema, rows } => self.show_rows(&schema, &rows)?,
            Answer::Started { job: Some(job), bounded: true, .. } => self.wait_for(&job)?,
            Answer::Started { job: Some(job), bounded: false, .. } => {
                self.say(&format!("job '{}' is running; SHOW JOBS lists jobs", job.name()));
            }
            Answer::Started { id, job: None, .. } => println!("job {id} is submitted"),
            Answer::Changes(changes) => self.show_changes(changes)?,
        }
        Ok(())
    }

    /// Says something that only a person at the prompt wants to know.
    pub(super) fn say(&self, text: &str) {
        if self.interactive && !text.is_empty() {
            println!("{text}");
        }
    }

    /// Shows a finished table.
    pub(super) fn show_rows(&self, schema: &SchemaRef, rows: &RecordBatch) -> Result<(), Failure> {
        let (form, max_width) = (self.settings.form(), self.settings.max_width);
        let finished = Finished { schema, rows, form, max_width, with_total: true };
        if let Some(path) = &self.settings.output {
            let mut out = output::open(path)?;
            finished.write(&mut out)?;
            return Ok(out.flush()?);
        }
        let mut text = Vec::new();
        finished.write(&mut text)?;
        Ok(output::show(&text, self.pages())?)
    }

    fn pages(&self) -> bool {
        self.interactive && self.settings.pager
    }

    /// Waits for a job that ends by itself; Ctrl-C stops it, with a last checkpoint if it keeps any.
    fn wait_for(&mut self, job: &JobHandle) -> Result<(), Failure> {
        self.told.insert(run(job));
        wait_for(std::slice::from_ref(job), &self.interrupt)?;
        let summary = job.wait()?;
        let (ended, next) = ending(&summary);
        self.say(&format!(
            "job '{}' is {ended}: {} rows read, {} written, {:.1} s{next}",
            job.name(),
            summary.rows_read,
            summary.rows_written,
            summary.elapsed.as_secs_f64()
        ));
        Ok(())
    }

    fn show_changes(&mut self, changes: Changes) -> Result<(), Failure> {
        let mut writer = self.writer(&changes);
        let mut out: Box<dyn Write> = match &self.settings.output {
            Some(path) => Box::new(output::open(path)?),
            None => Box::new(BufWriter::new(io::stdout())),
        };
        let (keys, started) = (RefCell::new(None), Instant::now());
        let watches = self.is_live() && !changes.bounded && self.settings.mode == ResultMode::Table;
        let asked = || {
            if watches && keys.borrow().is_none() && started.elapsed() >= KEYS_AFTER {
                *keys.borrow_mut() = Keys::listen();
            }
            self.interrupt.asked() || keys.borrow().as_ref().is_some_and(Keys::asked_to_quit)
        };
        follow(&changes.batches, changes.query.as_ref(), writer.as_mut(), out.as_mut(), &asked)
    }

    /// True when results are drawn on a terminal.
    fn is_live(&self) -> bool {
        self.settings.output.is_none() && io::stdout().is_terminal()
    }

    fn writer(&self, changes: &Changes) -> Box<dyn ResultWriter> {
        if !changes.subscription {
            return self.writer_of(changes.schema.clone(), changes.bounded, changes.append_only);
        }
        // The rows that the changes add up to have no epoch.
        let adds_up = self.is_live() && self.settings.form() == Form::Table && self.settings.mode == ResultMode::Table;
        let inner = |schema: SchemaRef| self.writer_of(schema, false, false);
        Box::new(SubscriptionWriter::new(&changes.schema, !adds_up, inner))
    }

    fn writer_of(&self, schema: SchemaRef, bounded: bool, append_only: bool) -> Box<dyn ResultWriter> {
        let form = self.settings.form();
        let live = terminal::size().filter(|_| self.is_live());
        // What ends is shown as the table it comes to; what does not, as it comes.
        let adds_up = bounded && !append_only;
        match (form, self.settings.mode) {
            (Form::Table, ResultMode::Changelog) => {
                let coloured = self.settings.output.is_none() && terminal::has_colours();
                Box::new(ChangelogWriter::new(schema, coloured))
            }
            (Form::Table, ResultMode::Tableau) => Box::new(TableauWriter::new(schema, self.settings.max_width)),
            (Form::Table, ResultMode::Table) if live.is_none() && !bounded && !append_only => {
                Box::new(ChangelogWriter::new(schema, false))
            }
            (Form::Table, ResultMode::Table) => {
                let writer = TableWriter::new(schema, self.settings.style(), live);
                Box::new(if self.pages() && live.is_some() { writer.finished_by(page) } else { writer })
            }
            _ if adds_up => Box::new(TableWriter::new(schema, self.settings.style(), None)),
            _ => Box::new(ChangeWriter::new(schema, form, !append_only)),
        }
    }

    /// Tells what has become of jobs in the background.
    pub fn tell_of_jobs(&mut self) {
        let jobs = self.backend.borrow().jobs();
        for job in jobs {
            for event in job.drain_events() {
                if let Some(text) = describe(job.name(), &event) {
                    tell!("{text}");
                }
            }
            let Some(ended) = job.wait_timeout(Duration::ZERO) else { continue };
            if self.told.insert(run(&job)) {
                match ended {
                    Ok(summary) => {
                        let (ended, next) = ending(&summary);
                        tell!("job '{}' is {ended}: {} rows read{next}", job.name(), summary.rows_read);
                    }
                    Err(error) => tell!("job '{}' has failed\n{}", job.name(), Failure::from(error).text()),
                }
            }
        }
    }

    /// Waits until all jobs in this process have ended.
    pub fn wait_for_jobs(&self) -> Result<(), Failure> {
        let mut jobs = self.backend.borrow().jobs();
        jobs.retain(|job| !self.told.contains(&run(job)));
        wait_for(&jobs, &self.interrupt)
    }
}

/// One run of a job; its id alone is the same after every restart.
fn run(job: &JobHandle) -> String {
    format!("{} {:?}", job.id(), job.started_at())
}

fn page(text: &[u8], out: &mut dyn Write) -> io::Result<()> {
    out.flush()?;
    output::show(text, true)
}

/// The piece of `text` alone, at its line and column.
fn in_place(text: &str, range: std::ops::Range<usize>) -> String {
    let before = &text[..range.start];
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count());
    let mut sql = "\n".repeat(before.matches('\n').count());
    sql.push_str(&" ".repeat(column));
    sql.push_str(&text[range]);
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_stays_at_its_line_and_column() {
        assert_eq!(in_place("SELECT 1;\n ä; SELECT 2", 15..23), "\n    SELECT 2");
        assert_eq!(in_place("SELECT 1;", 0..8), "SELECT 1");
    }
}
