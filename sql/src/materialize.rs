//! Materialized views: from the statement to a job that keeps a relation current, and back.
//!
//! A view stands in the catalog before its job is started, and is taken out of it before its job is ended. A process that
//! dies in between leaves a view without a job or a job without a view; whoever brings an engine back removes either.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use eddyline_engine::connector::{SinkChanges, TableSink};
use eddyline_engine::relation::{Relation, RelationKind, RelationSinkFactory};
use eddyline_engine::runtime::StopMode;

use crate::build::SinkTarget;
use crate::catalog::{Catalog, MaterializedView, word};
use crate::error::{Result, SqlError, SqlState};
use crate::jobs::{JobEntry, JobPhase};
use crate::pipeline::Pipeline;
use crate::plan::{self, Query};
use crate::session::{Outcome, Session, done};
use crate::statement::{CreateMaterializedView, Drop, ObjectKind, TableName};
use crate::submit::Launch;

impl Session {
    pub(crate) fn create_materialized_view(&mut self, create: &CreateMaterializedView, text: &str) -> Result<Outcome> {
        let name = create.name.table();
        if self.resumed.is_some() {
            let relation = self.engine.relations().get(name);
            let relation = relation.ok_or_else(|| SqlError::internal(format!("materialized view '{name}' is gone")))?;
            return self.start_view(create, &relation, text);
        }
        let Some(relation) = self.declare_view(create, text)? else { return Ok(done()) };
        match self.start_view(create, &relation, text) {
            Err(error) => {
                self.forget_view(name)?;
                Err(error)
            }
            started => started,
        }
    }

    /// Puts a view into the catalog and makes its relation; None when it was there before.
    pub(crate) fn declare_view(
        &mut self,
        create: &CreateMaterializedView,
        text: &str,
    ) -> Result<Option<Arc<Relation>>> {
        let query = self.plan_view(create, None)?;
        let view =
            MaterializedView { schema: query.stream.schema(), key: key(create, &query)?, create: create.clone() };
        let relations = Arc::clone(self.engine.relations());
        self.change(|catalog| {
            let created = catalog.create_materialized_view(view.clone())?;
            let relation = if created { Some(relations.declare(&view)?) } else { None };
            Ok((relation, text.to_string()))
        })
    }

    fn plan_view(&self, create: &CreateMaterializedView, fed: Option<Arc<Relation>>) -> Result<Query> {
        let tables = Arc::new(self.own_tables().feeding(fed));
        let query = Query::plan(plan::resolve_as(&tables, create.query.as_ref().clone(), &create.columns)?)?;
        let mut seen = BTreeSet::new();
        for field in query.stream.schema().fields() {
            if !seen.insert(field.name().clone()) {
                let message = format!("A column named '{}' already exists in the materialized view", field.name());
                return Err(SqlError::new(SqlState::DuplicateColumn, message)
                    .with_hint("name the columns: CREATE MATERIALIZED VIEW v (a, b) AS …")
                    .at(create.name.position));
            }
        }
        Ok(query)
    }

    fn view_pipeline(&self, create: &CreateMaterializedView, relation: &Arc<Relation>) -> Result<Pipeline> {
        let mut query = self.plan_view(create, Some(Arc::clone(relation)))?;
        let by_key = plan::upsert_key(&query.stream).is_some_and(|own| same(&own, relation.key()));
        let appends = plan::is_append_only(&query.stream);
        let upserts = relation.key().is_some() && (by_key || appends);
        if let Some(direct) = plan::without_normalization(&query.stream).filter(|_| upserts) {
            query.stream = direct;
        }
        let factory = RelationSinkFactory::new(Arc::clone(relation));
        let factory = if upserts { factory } else { factory.removing_equal_rows() };
        let changes = if upserts { SinkChanges::Upsert } else { SinkChanges::Retract };
        let target = SinkTarget {
            name: relation.name().to_string(),
            sink: TableSink { factory: Arc::new(factory), changes },
            not_null: Vec::new(),
            drop_nulls: false,
            primary_key: relation.spread_by(),
            needs_before: !upserts && !appends,
            parallelism: relation.key().is_some_and(<[usize]>::is_empty).then_some(1),
        };
        self.pipeline(vec![(target, query)])
    }

    fn start_view(&mut self, create: &CreateMaterializedView, relation: &Arc<Relation>, text: &str) -> Result<Outcome> {
        let catalog_version = self.catalog.snapshot().1;
        let pipeline = self.view_pipeline(create, relation)?;
        let derived = format!("materialized-view_default_catalog.default_database.{}", relation.name());
        let bounded = pipeline.dataflow.is_bounded();
        let (id, job) =
            self.launch(pipeline, Launch { derived, text, catalog_version, view: Some(relation.name()) })?;
        Ok(Outcome::Started { id, job, bounded })
    }

    /// The plan of `CREATE MATERIALIZED VIEW`.
    pub(crate) fn explain_view(&self, create: &CreateMaterializedView) -> Result<Pipeline> {
        let query = self.plan_view(create, None)?;
        let (schema, key) = (query.stream.schema(), key(create, &query)?);
        self.view_pipeline(create, &Arc::new(Relation::new(RelationKind::View, create.name.table(), schema, key)?))
    }

    /// Tells of views among those that `typed` reads whose jobs do not run: they are readable, and stand still.
    #[cfg(feature = "batch")]
    pub(crate) fn warn_of_failed_views(&mut self, typed: &datafusion_expr::LogicalPlan) -> Result<()> {
        for name in crate::batch::views(typed)? {
            let job = self.engine.jobs().of_view(&name);
            let job = job.filter(|job| matches!(job.state().as_str(), "FAILED" | "RESTARTING"));
            if let Some(error) = job.and_then(|job| job.error()) {
                self.warn(format!("materialized view '{name}' stands still, its job has failed: {error}"));
            }
        }
        Ok(())
    }

    /// `error`, with why a view that `typed` reads cannot be read, if that is what it is about.
    #[cfg(feature = "batch")]
    pub(crate) fn with_reason(&self, error: SqlError, typed: &datafusion_expr::LogicalPlan) -> SqlError {
        if error.state != SqlState::NotReady {
            return error;
        }
        let names = crate::batch::views(typed).unwrap_or_default();
        let reason = names.iter().find_map(|name| self.engine.jobs().of_view(name)?.error());
        match reason {
            Some(reason) => error.with_detail(format!("its job cannot start: {reason}")),
            None => error,
        }
    }

    /// Takes a view that could not start out of the catalog again.
    fn forget_view(&mut self, name: &str) -> Result<()> {
        let drop = drop_statement(name);
        self.change(|catalog: &mut Catalog| Ok((catalog.drop(&drop)?, drop_text(drop.kind, name))))?;
        self.engine.relations().remove(name)
    }

    /// True when what goes has rows that we keep.
    pub(crate) fn is_kept(&self, drop: &Drop) -> bool {
        match drop.kind {
            ObjectKind::MaterializedView => true,
            ObjectKind::Table => !drop.temporary && self.catalog().own_table(drop.name.table()).is_some(),
            ObjectKind::View => false,
        }
    }

    /// Drops a materialized view or a table of our own.
    pub(crate) fn drop_relation(&mut self, drop: &Drop) -> Result<Outcome> {
        let jobs = self.engine.jobs().list();
        let dropped = self.change(|catalog| {
            if !catalog.clone().drop(drop)? {
                return Ok((Vec::new(), String::new()));
            }
            let order = catalog.drop_order(drop)?;
            refuse_readers(drop, &order, &jobs)?;
            for (kind, name) in &order {
                catalog.drop(&Drop { kind: *kind, ..drop_statement(name) })?;
            }
            let texts: Vec<String> = order.iter().map(|(kind, name)| drop_text(*kind, name)).collect();
            Ok((order, texts.join(";\n")))
        })?;
        for (kind, name) in &dropped {
            match kind {
                ObjectKind::MaterializedView => self.end_view(name)?,
                ObjectKind::Table => self.engine.relations().remove(name)?,
                ObjectKind::View => {}
            }
        }
        Ok(done())
    }

    /// Ends the job of a view that is no longer in the catalog, and forgets its rows.
    fn end_view(&mut self, name: &str) -> Result<()> {
        self.engine.relations().remove(name)?;
        let Some(entry) = self.engine.jobs().of_view(name) else { return Ok(()) };
        match &entry.phase {
            JobPhase::Running(job) => {
                job.stop(StopMode::Cancel);
                // However it ended: it is over.
                let _ = job.wait();
            }
            JobPhase::Starting(_) | JobPhase::Refused(_) => self.engine.jobs().remove(&entry.id),
        }
        self.engine.jobs().describe(&entry.id, None, Vec::new());
        if let Some(journal) = self.engine.journal() {
            journal.job_ended(&entry.id)?;
        }
        let own = self.engine.journal().and_then(|_| self.engine.checkpoint_dir(false));
        let own = own.map(|dir| view_folder(dir, &entry.id));
        for folder in own.into_iter().chain(folder(&entry)).filter(|folder| folder.exists()) {
            if let Err(error) = std::fs::remove_dir_all(&folder) {
                self.warn(format!("the checkpoints of materialized view '{name}' could not be deleted: {error}"));
            }
        }
        Ok(())
    }
}

/// Where the job `id` of a view keeps its checkpoints below `dir`, in a process that tells jobs apart by their ids.
pub(crate) fn view_folder(dir: PathBuf, id: &str) -> PathBuf {
    dir.join("views").join(id)
}

/// The folder of the job's checkpoints, if it has taken one or was started from one.
fn folder(entry: &JobEntry) -> Option<PathBuf> {
    let status = entry.status()?;
    let taken = status.last_checkpoint.and_then(|checkpoint| checkpoint.path);
    let path = taken.or_else(|| status.restored_from.map(|from| from.path))?;
    path.parent().map(PathBuf::from)
}

/// The columns by which rows of the view are unique: as declared, or as the query has it.
fn key(create: &CreateMaterializedView, query: &Query) -> Result<Option<Vec<usize>>> {
    let Some(declared) = &create.primary_key else { return Ok(plan::upsert_key(&query.stream)) };
    let schema = query.stream.schema();
    let names = || schema.fields().iter().map(|field| field.name().as_str());
    let column = |name: &String| {
        let unknown = || SqlError::unknown_column(name, names()).at(declared.position);
        names().position(|known| known == name).ok_or_else(unknown)
    };
    declared.columns.iter().map(column).collect::<Result<Vec<_>>>().map(Some)
}

fn same(own: &[usize], key: Option<&[usize]>) -> bool {
    let set = |columns: &[usize]| columns.iter().copied().collect::<BTreeSet<_>>();
    key.is_some_and(|key| set(key) == set(own))
}

/// A job that is not a view's and reads one that would go: the user has to stop it first.
fn refuse_readers(drop: &Drop, order: &[(ObjectKind, String)], jobs: &[JobEntry]) -> Result<()> {
    let goes = |name: &String| order.iter().any(|(_, gone)| gone == name);
    let other = |job: &&JobEntry| !job.is_ended() && !job.view.as_ref().is_some_and(&goes);
    let Some(job) = jobs.iter().filter(other).find(|job| job.reads.iter().any(&goes)) else { return Ok(()) };
    let what = word(drop.kind);
    let message = format!("cannot drop {what} '{}' because job '{}' reads it", drop.name, job.name);
    let hint = match job.query {
        true => "let the query end, or cancel it".to_string(),
        false => format!("STOP JOB '{}' first", job.id),
    };
    Err(SqlError::new(SqlState::DependentObjects, message).with_hint(hint).at(drop.name.position))
}

fn drop_statement(name: &str) -> Drop {
    let position = sqlparser::tokenizer::Location { line: 0, column: 0 };
    let name = TableName { parts: vec![name.to_string()], position };
    Drop { kind: ObjectKind::MaterializedView, name, temporary: false, if_exists: false, cascade: true }
}

/// The statement that drops an object again.
pub fn drop_text(kind: ObjectKind, name: &str) -> String {
    let word = match kind {
        ObjectKind::Table => "TABLE",
        ObjectKind::View => "VIEW",
        ObjectKind::MaterializedView => "MATERIALIZED VIEW",
    };
    format!("DROP {word} `{}`", name.replace('`', "``"))
}
