//! The jobs of an engine: who is there, under which id and name, and how each is doing.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use eddyline_engine::runtime::{JobHandle, JobStatus};

use crate::error::{Result, SqlError, SqlState};

/// Jobs that have ended and are still listed.
const ENDED_KEPT: usize = 100;

/// One job.
#[derive(Debug, Clone)]
pub struct JobEntry {
    /// Its id: 32 hexadecimal digits.
    pub id: String,
    /// Its name, which owns its checkpoints.
    pub name: String,
    /// When it was submitted, or brought back by a restart.
    pub started_at: SystemTime,
    /// True for the job behind a SELECT, which ends with its reader.
    pub query: bool,
    /// The materialized view that it keeps current, if it is the job of one.
    pub view: Option<String>,
    /// The materialized views that it reads, once it is planned.
    pub reads: Vec<String>,
    /// How far it has come.
    pub phase: JobPhase,
}

/// How far a job has come.
#[derive(Debug, Clone)]
pub enum JobPhase {
    /// Its sources and sinks are being opened, for the first time or after this failure.
    Starting(Option<SqlError>),
    /// It runs or has ended.
    Running(JobHandle),
    /// It could not start.
    Refused(SqlError),
}

impl JobEntry {
    /// True when it does nothing more.
    pub fn is_ended(&self) -> bool {
        match &self.phase {
            JobPhase::Starting(_) => false,
            JobPhase::Running(job) => job.status().state.is_terminal(),
            JobPhase::Refused(_) => true,
        }
    }

    /// Flink's word for its state.
    pub fn state(&self) -> String {
        match &self.phase {
            JobPhase::Starting(None) => "INITIALIZING".to_string(),
            JobPhase::Starting(Some(_)) => "RESTARTING".to_string(),
            JobPhase::Running(job) => format!("{:?}", job.status().state).to_uppercase(),
            JobPhase::Refused(_) => "FAILED".to_string(),
        }
    }

    /// The job itself, once it runs.
    pub fn handle(&self) -> Option<&JobHandle> {
        match &self.phase {
            JobPhase::Running(job) => Some(job),
            _ => None,
        }
    }

    /// Its figures, once it runs.
    pub fn status(&self) -> Option<JobStatus> {
        self.handle().map(JobHandle::status)
    }

    /// When it ended; None while it runs, and for a job that could not start.
    pub fn ended_at(&self) -> Option<SystemTime> {
        let job = self.handle()?;
        job.ended_after().map(|elapsed| job.started_at() + elapsed)
    }

    /// Its newest failure, if there was one.
    pub fn error(&self) -> Option<String> {
        match &self.phase {
            JobPhase::Starting(error) => error.as_ref().map(|e| e.message.clone()),
            JobPhase::Running(job) => job.status().last_error,
            JobPhase::Refused(error) => Some(error.message.clone()),
        }
    }
}

/// The jobs of an engine, the oldest first.
#[derive(Debug, Default)]
pub struct Jobs {
    entries: Mutex<Vec<JobEntry>>,
}

impl Jobs {
    /// All jobs: those that run, and the newest of those that have ended; queries only while they run.
    pub fn list(&self) -> Vec<JobEntry> {
        let mut entries = self.lock();
        prune(&mut entries);
        entries.clone()
    }

    /// Handles of all jobs that have been started.
    pub fn handles(&self) -> Vec<JobHandle> {
        self.lock().iter().filter_map(|entry| entry.handle().cloned()).collect()
    }

    /// The job with this id, or else the newest of this name.
    pub fn find(&self, id_or_name: &str) -> Result<JobEntry> {
        let entries = self.lock();
        let by_name = || entries.iter().rfind(|e| e.name == id_or_name && !e.query);
        entries.iter().find(|e| e.id == id_or_name).or_else(by_name).cloned().ok_or_else(|| {
            SqlError::new(SqlState::UndefinedObject, format!("there is no job '{id_or_name}'"))
                .with_hint("SHOW JOBS lists the jobs")
        })
    }

    /// Lists a job that is about to start and gives it a name: `given`, or `derived`. When names are to be `unique`, no
    /// other job that runs may have the given one, and the derived one gets a number behind it when it is taken.
    pub fn announce(&self, id: &str, given: Option<String>, derived: &str, unique: bool) -> Result<String> {
        let mut entries = self.lock();
        prune(&mut entries);
        let is_other = |e: &&JobEntry| unique && !e.query && e.id != id && !e.is_ended();
        let taken = |name: &str| entries.iter().filter(is_other).any(|e| e.name == name);
        let name = match given {
            Some(name) if taken(&name) => {
                return Err(SqlError::new(SqlState::DuplicateObject, format!("a job named '{name}' is running"))
                    .with_hint("SET 'pipeline.name' to another name, or STOP JOB first"));
            }
            Some(name) => name,
            None => numbered(derived).find(|name| !taken(name)).unwrap_or_default(),
        };
        let phase = JobPhase::Starting(None);
        match entries.iter_mut().find(|e| e.id == id) {
            Some(entry) => (entry.name, entry.phase) = (name.clone(), phase),
            None => entries.push(JobEntry {
                id: id.to_string(),
                name: name.clone(),
                started_at: SystemTime::now(),
                query: false,
                view: None,
                reads: Vec::new(),
                phase,
            }),
        }
        Ok(name)
    }

    /// Lists the job behind a SELECT.
    pub(crate) fn add_query(&self, id: String, job: JobHandle) {
        let mut entries = self.lock();
        prune(&mut entries);
        let (name, started_at) = (job.name().to_string(), SystemTime::now());
        let (view, reads, phase) = (None, Vec::new(), JobPhase::Running(job));
        entries.push(JobEntry { id, name, started_at, query: true, view, reads, phase });
    }

    /// Notes which materialized view a job keeps current, and which ones it reads.
    pub fn describe(&self, id: &str, view: Option<&str>, reads: Vec<String>) {
        if let Some(entry) = self.lock().iter_mut().find(|e| e.id == id) {
            (entry.view, entry.reads) = (view.map(str::to_string), reads);
        }
    }

    /// The job that keeps the materialized view `name` current, the newest when there were several.
    pub fn of_view(&self, name: &str) -> Option<JobEntry> {
        self.lock().iter().rfind(|e| e.view.as_deref() == Some(name)).cloned()
    }

    /// Says how far a job has come. False when it is no longer listed, because it was stopped before it ran.
    pub fn advance(&self, id: &str, phase: JobPhase) -> bool {
        match self.lock().iter_mut().find(|e| e.id == id) {
            Some(entry) => {
                entry.phase = phase;
                true
            }
            None => false,
        }
    }

    /// Takes a job off the list.
    pub(crate) fn remove(&self, id: &str) {
        self.lock().retain(|e| e.id != id);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<JobEntry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops queries that have ended, and the oldest of all that have ended.
fn prune(entries: &mut Vec<JobEntry>) {
    entries.retain(|e| !(e.query && e.is_ended()));
    let mut surplus = entries.iter().filter(|e| e.is_ended()).count().saturating_sub(ENDED_KEPT);
    entries.retain(|e| {
        let drop = surplus > 0 && e.is_ended();
        surplus -= usize::from(drop);
        !drop
    });
}

/// `name`, `name-2`, `name-3`, …
fn numbered(name: &str) -> impl Iterator<Item = String> + '_ {
    std::iter::once(name.to_string()).chain((2..).map(move |n: u64| format!("{name}-{n}")))
}

/// A new id of a job.
pub(crate) fn new_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn derived_names_are_numbered_and_given_ones_are_refused_when_taken() {
        let jobs = Jobs::default();
        assert_eq!(jobs.announce("a", None, "insert-into_t", true).unwrap(), "insert-into_t");
        assert_eq!(jobs.announce("b", None, "insert-into_t", true).unwrap(), "insert-into_t-2");
        assert_eq!(jobs.announce("a", None, "insert-into_t", true).unwrap(), "insert-into_t", "its own name is free");
        let error = jobs.announce("c", Some("insert-into_t".into()), "", true).unwrap_err();
        assert_eq!(error.sqlstate(), "42710");
        jobs.advance("a", JobPhase::Refused(SqlError::internal("x")));
        assert_eq!(jobs.announce("c", Some("insert-into_t".into()), "", true).unwrap(), "insert-into_t");
        assert_eq!(jobs.find("insert-into_t").unwrap().id, "c");
        assert_eq!(jobs.find("a").unwrap().state(), "FAILED");
    }

    #[test]
    fn only_the_newest_of_the_ended_jobs_are_kept() {
        let jobs = Jobs::default();
        for i in 0..ENDED_KEPT + 20 {
            jobs.announce(&i.to_string(), None, "n", false).unwrap();
            jobs.advance(&i.to_string(), JobPhase::Refused(SqlError::internal("x")));
        }
        assert_eq!(jobs.list().len(), ENDED_KEPT);
        assert!(jobs.find("19").is_err() && jobs.find("20").is_ok());
    }
}
