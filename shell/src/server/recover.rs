//! Brings a server back to what its journal says: the catalog at once, then each job from its newest checkpoint.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use eddyline_engine::checkpoint::list;
use eddyline_engine::connector::Registry;
use eddyline_engine::runtime::{JobEvent, Restore};
use eddyline_sql::catalog::Catalog;
use eddyline_sql::config::{PIPELINE_NAME, RECOVERY_PATH};
use eddyline_sql::engine::Journal;
use eddyline_sql::jobs::{JobEntry, JobPhase};
use eddyline_sql::parse::parse_script;
use eddyline_sql::statement::{ObjectKind, ParsedStatement, Statement};
use eddyline_sql::{Engine, Session, SqlError, SqlState, drop_text};

use super::store::{Contents, LiveJob, Store};
use crate::failure::Failure;
use crate::progress::describe;

/// First and longest delay before another attempt to start a job.
const DELAYS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A job that is to start again.
pub struct Comeback {
    job: LiveJob,
    statements: Vec<ParsedStatement>,
    /// The catalog as it was when the job was submitted.
    catalog: Catalog,
    name: String,
}

/// The engine with its catalog, and the jobs that are to start again. They are listed already.
pub fn recover(
    registry: Registry,
    store: Arc<Store>,
    contents: Contents,
    dir: &Path,
) -> Result<(Arc<Engine>, Vec<Comeback>), Failure> {
    let mut session = Session::new(registry.clone());
    let mut catalogs: BTreeMap<u64, Catalog> = BTreeMap::new();
    let versions: Vec<u64> = contents.jobs.iter().map(|job| job.record.catalog_version).collect();
    let mut keep = |version: usize, session: &Session| {
        let version = version as u64;
        if versions.contains(&version) {
            catalogs.insert(version, session.catalog());
        }
    };
    keep(0, &session);
    for (index, text) in contents.catalog.iter().enumerate() {
        let replayed = parse_script(text).and_then(|statements| statements.iter().try_for_each(|s| session.replay(s)));
        replayed.map_err(|e| Failure::sql(&e, &format!("change {} of the catalog in the journal", index + 1), text))?;
        keep(index + 1, &session);
    }
    let mut live = Vec::new();
    for job in contents.jobs {
        let statements = parse_script(&job.record.script)
            .map_err(|e| Failure::sql(&e, "a job in the journal", &job.record.script))?;
        live.push((job, statements));
    }
    let dropped = match_views(&mut session, &mut live, &store).map_err(|e| Failure::Message(e.render("")))?;
    let state = (session.catalog(), contents.catalog.len() as u64 + dropped);
    let engine = Engine::durable(registry, state, store, dir);
    let engine = engine.map_err(|e| Failure::Message(e.render("")))?;
    let engine = Arc::new(engine.with_checkpoint_journals(eddyline_connectors::jdbc::open_journal));
    let mut comebacks = Vec::new();
    for (job, statements) in live {
        let catalog = catalogs.get(&job.record.catalog_version).cloned().unwrap_or_default();
        let name = statements.iter().find_map(pipeline_name).unwrap_or_default();
        engine
            .jobs()
            .announce(&job.record.id, Some(name.clone()), "", true)
            .map_err(|e| Failure::Message(e.render("")))?;
        engine.jobs().describe(&job.record.id, view_of(&statements), Vec::new());
        comebacks.push(Comeback { job, statements, catalog, name });
    }
    Ok((engine, comebacks))
}

/// The materialized view that a job keeps current, if it is the job of one.
fn view_of(statements: &[ParsedStatement]) -> Option<&str> {
    match &statements.last()?.statement {
        Statement::CreateMaterializedView(create) => Some(create.name.table()),
        _ => None,
    }
}

/// The last server may have died while it made or dropped a view: a view without a job goes, and a job without a view
/// ends. Returns how many changes of the catalog that took.
fn match_views(
    session: &mut Session,
    live: &mut Vec<(LiveJob, Vec<ParsedStatement>)>,
    store: &Store,
) -> Result<u64, SqlError> {
    let catalog = session.catalog();
    for (job, _) in live.extract_if(.., |(_, s)| view_of(s).is_some_and(|v| catalog.materialized_view(v).is_none())) {
        tracing::info!(id = job.record.id, "a job whose materialized view was being dropped ends");
        store.job_ended(&job.record.id)?;
    }
    let mut dropped = 0;
    for name in catalog.materialized_views() {
        if !live.iter().any(|(_, statements)| view_of(statements) == Some(name)) {
            tracing::warn!(name, "a materialized view whose creation was not completed goes");
            let text = drop_text(ObjectKind::MaterializedView, name);
            store.catalog_changed(&text)?;
            parse_script(&text)?.iter().try_for_each(|statement| session.replay(statement))?;
            dropped += 1;
        }
    }
    Ok(dropped)
}

fn pipeline_name(statement: &ParsedStatement) -> Option<String> {
    match &statement.statement {
        Statement::Set { key, value, .. } if key == PIPELINE_NAME => Some(value.clone()),
        _ => None,
    }
}

impl Comeback {
    /// Starts the job, again and again while the outside world does not let it; ends when it runs, when it never will,
    /// when it was stopped, or when `closing` is closed.
    pub fn run(self, engine: &Arc<Engine>, checkpoints: &Path, closing: &Receiver<()>) {
        let id = &self.job.record.id;
        let mut delay = DELAYS.0;
        loop {
            let Err(error) = self.start(engine, checkpoints) else { return };
            let retriable = matches!(error.state, SqlState::SystemError | SqlState::IoError);
            tracing::warn!(job = self.name, %error, retriable, "a job cannot start again");
            let phase = if retriable { JobPhase::Starting(Some(error)) } else { JobPhase::Refused(error) };
            if !engine.jobs().advance(id, phase) || !retriable {
                return;
            }
            if closing.recv_timeout(delay) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            delay = (delay * 2).min(DELAYS.1);
        }
    }

    fn start(&self, engine: &Arc<Engine>, checkpoints: &Path) -> Result<(), SqlError> {
        let mut session = Session::resuming(Arc::clone(engine), self.catalog.clone(), &self.job.record.id);
        if let Some((last, before)) = self.statements.split_last() {
            before.iter().try_for_each(|statement| session.replay(statement))?;
            if session.setting(RECOVERY_PATH).is_some() && self.has_own_checkpoint(checkpoints) {
                // The job has left the savepoint behind that it was submitted with.
                session.set_restore(Restore::Latest);
            }
            session.execute(last)?;
        }
        self.tell_origin(engine);
        Ok(())
    }

    /// Says from which checkpoint the job goes on.
    fn tell_origin(&self, engine: &Engine) {
        let found = engine.jobs().find(&self.job.record.id).ok();
        let Some(job) = found.as_ref().and_then(JobEntry::handle) else { return };
        let what = match view_of(&self.statements) {
            Some(view) => format!("materialized view {view}"),
            None => format!("job {}", self.name),
        };
        let events = job.drain_events();
        let origin = |event: &&JobEvent| matches!(event, JobEvent::Resumed(_) | JobEvent::SkippedDamaged { .. });
        events.iter().filter(origin).filter_map(|event| describe(&what, event)).for_each(|text| tell!("{text}"));
        if !events.iter().any(|event| matches!(event, JobEvent::Resumed(_))) {
            tell!("starting {what} anew: there is no checkpoint of it");
        }
    }

    /// True when a checkpoint of the job was taken after it was submitted.
    fn has_own_checkpoint(&self, checkpoints: &Path) -> bool {
        let entries = list(&checkpoints.join(&self.name)).unwrap_or_default();
        let manifests = entries.iter().filter_map(|entry| entry.manifest.as_ref());
        manifests.into_iter().any(|manifest| manifest.created_ms >= self.job.started_ms)
    }
}
