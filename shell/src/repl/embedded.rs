//! The engine in this process.

use eddyline_engine::runtime::{JobHandle, StopMode};
use eddyline_sql::jobs::{JobEntry, JobPhase};
use eddyline_sql::parse::parse_script;
use eddyline_sql::{Outcome, Session, SqlError};

use super::backend::{Answer, Backend, Changes};
use crate::failure::Failure;

/// A session of an engine of its own.
pub struct Embedded {
    session: Session,
}

impl Embedded {
    /// Executes statements in `session`.
    pub fn new(session: Session) -> Self {
        Embedded { session }
    }
}

impl Backend for Embedded {
    fn execute(&mut self, sql: &str) -> Result<Answer, SqlError> {
        let mut answer = Answer::Done(String::new());
        for statement in &parse_script(sql)? {
            answer = match self.session.execute(statement)? {
                Outcome::Done(text) => Answer::Done(text),
                Outcome::Rows { schema, rows } => Answer::Rows { schema, rows },
                Outcome::Started { id, job, bounded } => Answer::Started { id, job: Some(job), bounded },
                Outcome::Changes { schema, changes, job, bounded, append_only } => {
                    Answer::Changes(Changes { schema, batches: changes, query: Box::new(job), bounded, append_only })
                }
            };
        }
        Ok(answer)
    }

    fn notices(&mut self) -> Vec<String> {
        self.session.take_warnings().into_iter().map(|text| format!("WARNING: {text}")).collect()
    }

    fn jobs(&self) -> Vec<JobHandle> {
        let handle = |entry: JobEntry| match entry.phase {
            JobPhase::Running(job) if !entry.query => Some(job),
            _ => None,
        };
        self.session.engine().jobs().list().into_iter().filter_map(handle).collect()
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
