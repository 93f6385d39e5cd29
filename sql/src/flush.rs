//! `FLUSH`: waits until the materialized views show everything that statements have written into tables of our own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use eddyline_engine::interrupt;
use eddyline_engine::relation::Relation;

use crate::error::{Result, SqlError, SqlState};
use crate::jobs::JobEntry;
use crate::session::{Outcome, Session, done};

/// Longest wait of a FLUSH.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a job is asked for a checkpoint meanwhile, and looked after.
const STEP: Duration = Duration::from_millis(50);

impl Session {
    /// Waits for every view that reads tables of our own, directly or through other views.
    pub(crate) fn flush(&mut self) -> Result<Outcome> {
        let deadline = Instant::now() + PATIENCE;
        let mut wanted: BTreeMap<String, u64> = BTreeMap::new();
        for table in self.engine.relations().tables() {
            let written = table.relation().current().map(|version| version.number());
            wanted.insert(table.relation().name().to_string(), written.unwrap_or_default());
        }
        let mut views = self.planned_views(deadline)?;
        // A view has its turn when those that it reads have had theirs.
        while !views.is_empty() {
            let waits =
                |entry: &JobEntry| entry.reads.iter().any(|read| views.iter().any(|v| v.view.as_ref() == Some(read)));
            let Some(place) = views.iter().position(|entry| !waits(entry)) else {
                return Err(SqlError::internal("views that read each other"));
            };
            let entry = views.remove(place);
            let Some((name, view)) = entry.view.as_ref().and_then(|v| Some((v, self.engine.relations().get(v)?)))
            else {
                continue;
            };
            let upstream: Vec<(&String, u64)> =
                entry.reads.iter().filter_map(|read| Some((read, *wanted.get(read)?))).collect();
            if upstream.is_empty() {
                continue;
            }
            for (read, version) in upstream {
                self.wait_for(&view, read, version, deadline)?;
            }
            if let Some(version) = view.current() {
                wanted.insert(name.clone(), version.number());
            }
        }
        Ok(done())
    }

    /// The jobs of all views, once it is known what they read.
    fn planned_views(&self, deadline: Instant) -> Result<Vec<JobEntry>> {
        loop {
            let views: Vec<JobEntry> = self.engine.jobs().list().into_iter().filter(|job| job.view.is_some()).collect();
            let Some(starting) = views.iter().find(|job| job.handle().is_none()) else { return Ok(views) };
            let name = starting.view.as_deref().unwrap_or_default();
            self.check(name, deadline)?;
            std::thread::park_timeout(STEP);
        }
    }

    fn wait_for(&self, view: &Relation, upstream: &str, version: u64, deadline: Instant) -> Result<()> {
        while !view.wait_until_contains(upstream, version, STEP)? {
            self.check(view.name(), deadline)?;
            if let Some(job) = self.engine.jobs().of_view(view.name()).as_ref().and_then(JobEntry::handle) {
                job.checkpoint_early();
            }
        }
        Ok(())
    }

    /// An error when waiting for the view is in vain, or not wanted any more.
    fn check(&self, view: &str, deadline: Instant) -> Result<()> {
        interrupt::check(&format!("materialized view '{view}'"))?;
        let job = self.engine.jobs().of_view(view);
        let failed = job.as_ref().filter(|job| job.is_ended()).map(|job| job.error().unwrap_or_else(|| job.state()));
        if let Some(error) = failed {
            let message = format!("materialized view '{view}' does not show all that was written");
            return Err(SqlError::new(SqlState::NotReady, message).with_detail(format!("its job has ended: {error}")));
        }
        if Instant::now() < deadline {
            return Ok(());
        }
        let message = format!(
            "materialized view '{view}' does not yet show all that was written {} seconds ago",
            PATIENCE.as_secs()
        );
        let error = SqlError::new(SqlState::NotReady, message)
            .with_hint("what was written is safe; FLUSH again to go on waiting");
        Err(match job.and_then(|job| job.error()) {
            Some(last) => error.with_detail(format!("the newest failure of its job: {last}")),
            None => error,
        })
    }
}
