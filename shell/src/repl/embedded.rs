//! The engine in this process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use eddyline_engine::interrupt::{Asked, interruptible};
use eddyline_engine::runtime::{JobHandle, StopMode};
use eddyline_sql::jobs::{JobEntry, JobPhase};
use eddyline_sql::parse::parse_script;
use eddyline_sql::statement::Statement;
use eddyline_sql::{Edits, Outcome, Session, SqlError};

use super::backend::{Answer, Backend, Changes};
use crate::failure::Failure;
use crate::follow::POLL;
use crate::interrupt::Interrupt;

/// Stack of the thread that plans and starts statements: that of a program's first thread.
const STACK_BYTES: usize = 8 << 20;

/// How long a statement may take to stop before the user is told how to leave.
const GRACE: Duration = Duration::from_secs(1);

/// A session of an engine of its own.
pub struct Embedded {
    /// Used by one thread at a time: that of the statement, or ours.
    session: Arc<Mutex<Session>>,
    interrupt: Interrupt,
}

impl Embedded {
    /// Executes statements in `session`.
    pub fn new(session: Session, interrupt: Interrupt) -> Self {
        Embedded { session: Arc::new(Mutex::new(session)), interrupt }
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for an answer. After Ctrl-C the statement hears that what it waits for outside is not wanted any more; one
    /// that does not stop at that can only be left with the program.
    fn wait(&self, answers: &Receiver<Result<Answer, SqlError>>, enough: &AtomicBool) -> Result<Answer, SqlError> {
        let (mut asked_at, mut warned) = (None, false);
        loop {
            match answers.recv_timeout(POLL) {
                Ok(answer) => {
                    // The query that has begun is the one that was not wanted any more.
                    if warned {
                        self.interrupt.raise();
                    }
                    return answer;
                }
                Err(RecvTimeoutError::Disconnected) => return Err(SqlError::internal("the statement has failed")),
                Err(RecvTimeoutError::Timeout) => {}
            }
            match asked_at {
                None if self.interrupt.asked() => {
                    enough.store(true, Ordering::SeqCst);
                    asked_at = Some(Instant::now());
                }
                Some(asked) if !warned && asked.elapsed() >= GRACE => {
                    tell!("the statement waits for something that cannot be cut short; Ctrl-C again ends the program");
                    warned = true;
                    self.interrupt.reset();
                }
                Some(_) if warned && self.interrupt.asked() => std::process::exit(130),
                _ => {}
            }
        }
    }
}

/// Executes all statements of `sql`; the answer is that of the last.
fn execute(session: &mut Session, sql: &str) -> Result<Answer, SqlError> {
    let mut answer = Answer::Done(String::new());
    for statement in &parse_script(sql)? {
        answer = match session.execute(statement)? {
            Outcome::Done(text) => Answer::Done(text),
            Outcome::Edited { what, rows } => Answer::Done(edited(what, rows)),
            Outcome::Rows { schema, rows } => Answer::Rows { schema, rows },
            Outcome::Started { id, job, bounded } => Answer::Started { id, job: Some(job), bounded },
            Outcome::Changes { schema, changes: batches, job, bounded, append_only, .. } => {
                let subscription = matches!(statement.statement, Statement::Subscribe { .. });
                let query = Box::new(job);
                Answer::Changes(Changes { schema, batches, query, bounded, append_only, subscription })
            }
        };
    }
    Ok(answer)
}

/// What has happened to rows, in words.
fn edited(what: Edits, rows: usize) -> String {
    let done = match what {
        Edits::Insert => "inserted",
        Edits::Update => "updated",
        Edits::Delete => "deleted",
    };
    format!("{rows} {} {done}", if rows == 1 { "row" } else { "rows" })
}

impl Backend for Embedded {
    fn execute(&mut self, sql: &str) -> Result<Answer, SqlError> {
        let (session, sql) = (Arc::clone(&self.session), sql.to_string());
        let (sender, answers) = bounded(1);
        let enough = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&enough);
        let work = move || {
            let asked: Asked = Arc::new(move || flag.load(Ordering::SeqCst));
            let mut session = session.lock().unwrap_or_else(PoisonError::into_inner);
            let answer = interruptible(asked, || execute(&mut session, &sql));
            // Whoever does not wait any longer has left.
            let _ = sender.send(answer);
        };
        let thread = std::thread::Builder::new().name("statement".to_string()).stack_size(STACK_BYTES).spawn(work);
        thread.map_err(|e| SqlError::internal(format!("no thread for the statement: {e}")))?;
        self.wait(&answers, &enough)
    }

    fn notices(&mut self) -> Vec<String> {
        self.session().take_warnings().into_iter().map(|text| format!("WARNING: {text}")).collect()
    }

    fn jobs(&self) -> Vec<JobHandle> {
        let handle = |entry: JobEntry| match entry.phase {
            JobPhase::Running(job) if !entry.query => Some(job),
            _ => None,
        };
        self.session().engine().jobs().list().into_iter().filter_map(handle).collect()
    }

    /// Stops what still runs, each job with a last checkpoint.
    fn leave(&mut self) -> Result<(), Failure> {
        let running: Vec<JobHandle> = self.jobs().into_iter().filter(|job| !job.status().state.is_terminal()).collect();
        for job in &running {
            println!("stopping {} with a last checkpoint", job.name());
            job.stop(StopMode::Checkpoint);
        }
        running.iter().try_for_each(|job| job.wait().map(drop).map_err(Failure::from))
    }
}
