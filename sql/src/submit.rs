//! From a query or an INSERT to a job: plans it, names it, writes it down, starts it; and stops it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use crossbeam_channel::Receiver;
use datafusion_expr::LogicalPlan;
use eddyline_engine::ChangelogBatch;
use eddyline_engine::checkpoint::{CheckpointStorage, Restored};
use eddyline_engine::connector::{Options, SinkChanges, TableSink};
use eddyline_engine::runtime::{CheckpointJournal, CollectSink, Job, JobConfig, JobHandle, Restore, StopMode};

use crate::build::{BuildSettings, SinkTarget};
use crate::collect::CHANNEL_BATCHES;
use crate::config;
use crate::engine::JobRecord;
use crate::error::{Result, SqlError, SqlState};
use crate::insert::match_columns;
use crate::jobs::{JobPhase, new_id};
use crate::materialize::view_folder;
use crate::pipeline::Pipeline;
use crate::plan::{self, Query, SinkRequirements, StreamPlan};
use crate::session::{Outcome, SAVEPOINT_PATH, Session, text_rows};
use crate::statement::{CreateTable, Insert, Statement};
use crate::types::ColumnType;

/// How often the job of a view takes a checkpoint, which makes its rows visible, when the session does not say.
const VIEW_INTERVAL: Duration = Duration::from_secs(1);

/// What a job that is about to start is called and comes from.
pub(crate) struct Launch<'a> {
    /// Its name when none is given.
    pub(crate) derived: String,
    /// The statement behind it.
    pub(crate) text: &'a str,
    /// How many changes the catalog had seen when it was planned.
    pub(crate) catalog_version: u64,
    /// The materialized view that it keeps current, if it is for one.
    pub(crate) view: Option<&'a str>,
}

/// A SELECT that is ready to run.
pub(crate) struct Selected {
    pub(crate) pipeline: Pipeline,
    pub(crate) changes: Receiver<ChangelogBatch>,
    append_only: bool,
}

impl Session {
    pub(crate) fn run_query(&mut self, query: sqlparser::ast::Query) -> Result<Outcome> {
        #[cfg(feature = "batch")]
        if let Some((typed, finite)) = self.plan_finite(&query)? {
            let config = self.query_config("select")?;
            let ((changes, job), id) = (crate::batch::answer(finite, config)?, new_id());
            if !job.status().state.is_terminal() {
                self.engine.jobs().add_query(id.clone(), job.clone());
            }
            let schema = plan::output_schema(&typed);
            return Ok(Outcome::Changes { schema, changes, id, job, bounded: true, append_only: true });
        }
        let Selected { pipeline, changes, append_only } = self.plan_query(query)?;
        let (schema, bounded) = (pipeline.schema(), pipeline.dataflow.is_bounded());
        let config = self.query_config("select")?;
        let (job, id) = (Job::start(pipeline.dataflow, config)?, new_id());
        self.engine.jobs().add_query(id.clone(), job.clone());
        self.engine.jobs().describe(&id, None, pipeline.reads);
        Ok(Outcome::Changes { schema, changes, id, job, bounded, append_only })
    }

    /// A query that is answered from versions of materialized views, if it reads nothing else.
    #[cfg(feature = "batch")]
    fn plan_finite(
        &mut self,
        query: &sqlparser::ast::Query,
    ) -> Result<Option<(datafusion_expr::LogicalPlan, crate::batch::BatchQuery)>> {
        let typed = plan::resolve(&self.tables(), query.clone())?;
        if !crate::batch::is_finite(&typed)? {
            return Ok(None);
        }
        self.warn_of_failed_views(&typed)?;
        let finite = crate::batch::BatchQuery::plan(&typed, self.engine.batch());
        let finite = finite.map_err(|error| self.with_reason(error, &typed))?;
        Ok(Some((typed, finite)))
    }

    fn plan_query(&self, query: sqlparser::ast::Query) -> Result<Selected> {
        self.select_stream(Query::plan(plan::resolve(&self.tables(), query)?)?)
    }

    /// The job of a query whose changes somebody reads.
    pub(crate) fn select_stream(&self, query: Query) -> Result<Selected> {
        let append_only = plan::is_append_only(&query.stream);
        let (factory, changes) = CollectSink::channel(CHANNEL_BATCHES);
        let sink = TableSink { factory, changes: SinkChanges::Retract };
        let pipeline = self.pipeline(vec![(SinkTarget::collecting(sink), query)])?;
        Ok(Selected { pipeline, changes, append_only })
    }

    pub(crate) fn pipeline(&self, queries: Vec<(SinkTarget, Query)>) -> Result<Pipeline> {
        let settings = BuildSettings {
            parallelism: self.settings.parallelism()?,
            zone: self.time_zone(),
            mini_batch: self.settings.mini_batch()?,
        };
        Pipeline::build(queries, settings)
    }

    /// Writes a table of our own at once, and starts a job for any other.
    pub(crate) fn insert(&mut self, insert: &Insert, text: &str) -> Result<Outcome> {
        #[cfg(feature = "batch")]
        if let Some((table, rows)) = self.own_table(&insert.target)? {
            return self.insert_rows(insert, &table, &rows);
        }
        self.run_inserts(std::slice::from_ref(insert), text)
    }

    /// Starts one job for all `inserts`; `text` is the statement that they come from.
    pub(crate) fn run_inserts(&mut self, inserts: &[Insert], text: &str) -> Result<Outcome> {
        let catalog_version = self.catalog.snapshot().1;
        let planned = self.plan_inserts(inserts)?;
        let targets: Vec<&str> = inserts.iter().map(|i| i.target.table()).collect();
        let derived = format!("insert-into_default_catalog.default_database.{}", targets.join("_"));
        let bounded = planned.dataflow.is_bounded();
        let (id, job) = self.launch(planned, Launch { derived, text, catalog_version, view: None })?;
        Ok(Outcome::Started { id, job, bounded })
    }

    /// Names a planned job, writes it down and starts it.
    pub(crate) fn launch(&mut self, planned: Pipeline, launch: Launch<'_>) -> Result<(String, JobHandle)> {
        let resumed = self.resumed.take();
        let id = resumed.clone().unwrap_or_else(new_id);
        let engine = Arc::clone(&self.engine);
        if resumed.is_some() {
            // Stopped before it could start again.
            engine.jobs().find(&id)?;
        }
        // The jobs of a process that forgets them are told apart by their checkpoints alone, as ever. The job of a view
        // is named after the view.
        let given = self.settings.text(config::PIPELINE_NAME).filter(|_| launch.view.is_none() || resumed.is_some());
        let name = engine.jobs().announce(&id, given, &launch.derived, engine.journal().is_some())?;
        engine.jobs().describe(&id, launch.view, planned.reads.clone());
        let started = self.launch_config(&name, &planned, &launch, &id).and_then(|mut config| {
            if let Some(journal) = engine.journal() {
                if resumed.is_none() {
                    let script = self.script(&name, launch.text);
                    let catalog_version = launch.catalog_version;
                    journal.job_started(&JobRecord { id: id.clone(), catalog_version, script })?;
                }
                if launch.view.is_none() {
                    let (journal, id) = (Arc::clone(journal), id.clone());
                    config.on_finish = Some(Arc::new(move || {
                        journal.job_ended(&id).map_err(|e| eddyline_engine::Error::internal(e.message))
                    }));
                }
            }
            Ok(Job::start(planned.dataflow, config)?)
        });
        match started {
            Ok(job) => {
                if !engine.jobs().advance(&id, JobPhase::Running(job.clone())) {
                    // Stopped, or its view dropped, while it was being started.
                    job.stop(StopMode::Cancel);
                }
                // The job of a view ends with its view, however it fares.
                if let Some(journal) = engine.journal().filter(|_| launch.view.is_none()) {
                    journal.watch(&id, &job);
                }
                Ok((id, job))
            }
            // Whoever resumes a job decides what its failure means; anybody else hears of it here.
            Err(error) if resumed.is_some() => Err(error),
            Err(error) => {
                engine.jobs().remove(&id);
                if let Some(journal) = engine.journal() {
                    journal.job_ended(&id)?;
                }
                Err(error)
            }
        }
    }

    /// The job as a script that starts it again in another session.
    fn script(&self, name: &str, text: &str) -> String {
        let mut settings = self.settings.values().clone();
        settings.insert(config::PIPELINE_NAME.to_string(), name.to_string());
        let quoted = |text: &str| text.replace('\'', "''");
        let set = |(key, value): (&String, &String)| format!("SET '{}' = '{}'", quoted(key), quoted(value));
        let mut statements = self.temporary_script.clone();
        statements.extend(settings.iter().map(set));
        statements.push(text.to_string());
        statements.iter().map(|statement| format!("{statement};\n")).collect()
    }

    fn launch_config(&self, name: &str, planned: &Pipeline, launch: &Launch<'_>, id: &str) -> Result<JobConfig> {
        let mut config = self.job_config(name.to_string())?;
        let view = launch.view.is_some();
        if view && !self.settings.values().contains_key(config::CHECKPOINT_INTERVAL) {
            config.checkpoint.interval = Some(VIEW_INTERVAL);
        }
        config.keep_result = view;
        if config.checkpoint.dir.is_none() && config.checkpoint.interval.is_some() {
            let needed = planned.dataflow.needs_checkpoints().is_some();
            config.checkpoint.dir = self.engine.checkpoint_dir(planned.dataflow.is_bounded() && !needed);
            if config.checkpoint.dir.is_none() && !view {
                // A job over bounded input without a checkpoint folder runs again from the start.
                config.checkpoint.interval = None;
            }
        }
        if view && self.engine.journal().is_some() {
            // A view that is made anew under its old name has nothing to do with the old one.
            config.checkpoint.dir = config.checkpoint.dir.map(|dir| view_folder(dir, id));
        }
        Ok(config)
    }

    fn plan_inserts(&self, inserts: &[Insert]) -> Result<Pipeline> {
        self.pipeline(inserts.iter().map(|insert| self.plan_insert(insert)).collect::<Result<_>>()?)
    }

    fn plan_insert(&self, insert: &Insert) -> Result<(SinkTarget, Query)> {
        if insert.overwrite {
            return Err(SqlError::unsupported("INSERT OVERWRITE is not supported in streaming mode"));
        }
        let name = insert.target.table();
        let catalog = self.catalog();
        let table = catalog.get(&insert.target)?.table().map_err(|e| e.at(insert.target.position))?;
        if catalog.own_table(name).is_some() {
            return Err(SqlError::unsupported(format!("table '{name}' is one of our own, which no job writes"))
                .with_hint("write it with an INSERT outside of the statement set")
                .at(insert.target.position));
        }
        let description = table.description(&insert.target_options);
        let sink = plan::open_sink(self.engine.registry(), &description)?;
        let schema = description.sink_schema();
        let qualified = format!("default_catalog.default_database.{name}");
        let tables = self.tables();
        let resolved = plan::resolve(&tables, insert.query.as_ref().clone())?;
        let mut query = Query::plan(match_columns(resolved, &qualified, &schema, &insert.columns, self.time_zone())?)?;
        let index = |column: &String| schema.fields().iter().position(|f| f.name() == column);
        let primary_key: Vec<usize> = description.primary_key.iter().filter_map(index).collect();
        let requirements = SinkRequirements {
            table: &qualified,
            changes: sink.changes,
            primary_key: &primary_key,
            conflict_allowed: insert.on_conflict.is_some() || self.is_off("table.exec.sink.require-on-conflict"),
        };
        let needs_before = plan::sink_needs_before(&query.stream, &requirements)?;
        let not_null = |plan: &StreamPlan| -> Vec<(usize, String)> {
            let nullable = |i: &usize| plan.schema().field(*i).is_nullable() && !schema.field(*i).is_nullable();
            (0..schema.fields().len()).filter(nullable).map(|i| (i, schema.field(i).name().clone())).collect()
        };
        let takes_upserts = sink.changes == SinkChanges::Upsert && !needs_before;
        // A deletion with nothing but its key would not pass the check of the others.
        let direct =
            plan::without_normalization(&query.stream).filter(|plan| takes_upserts && not_null(plan).is_empty());
        if let Some(direct) = direct {
            query.stream = direct;
        }
        let not_null = not_null(&query.stream);
        let drop_nulls = self.settings.text(config::NOT_NULL_ENFORCER).is_some_and(|v| v.eq_ignore_ascii_case("DROP"));
        let name = name.to_string();
        let parallelism = plan::sink_parallelism(&description)?;
        let target = SinkTarget { name, sink, not_null, drop_nulls, primary_key, needs_before, parallelism };
        Ok((target, query))
    }

    /// For a query that is only looked at, which leaves no checkpoints behind.
    pub(crate) fn query_config(&self, name: &str) -> Result<JobConfig> {
        let mut config = self.job_config(name.to_string())?;
        config.checkpoint.dir = None;
        config.restore = Restore::Fresh;
        Ok(config)
    }

    fn job_config(&self, name: String) -> Result<JobConfig> {
        let options = self.settings.options()?;
        let mut config = JobConfig::new(name);
        config.clock = Arc::clone(&self.clock);
        config.restart = self.settings.restart_strategy()?;
        config.checkpoint = self.settings.checkpoint()?;
        config.restore = match (&self.restore, self.settings.text(config::RECOVERY_PATH)) {
            (Some(restore), _) => restore.clone(),
            (None, Some(path)) => Restore::Path(PathBuf::from(path)),
            (None, None) => Restore::Latest,
        };
        if config.checkpoint.storage == CheckpointStorage::Mysql {
            config.journal = Some(self.checkpoint_journal(&options)?);
        }
        config.auto_watermark_interval = options.duration(config::AUTO_WATERMARK_INTERVAL)?.unwrap_or_default();
        config.idle_timeout = options.duration(config::IDLE_TIMEOUT)?.filter(|timeout| !timeout.is_zero());
        config.ignore_unclaimed_state = self.is_on(config::IGNORE_UNCLAIMED);
        config.allow_duplicates = self.is_on(config::ALLOW_DUPLICATES);
        config.takeover = self.takeover;
        Ok(config)
    }

    pub(crate) fn is_on(&self, key: &str) -> bool {
        self.settings.text(key).is_some_and(|v| v.eq_ignore_ascii_case("true"))
    }

    /// The journal that the settings ask for.
    fn checkpoint_journal(&self, options: &Options) -> Result<Arc<dyn CheckpointJournal>> {
        let Some(url) = options.text(config::JOURNAL_URL) else {
            let message = "'execution.checkpointing.storage' = 'mysql' does not say which database";
            return Err(SqlError::new(SqlState::InvalidParameter, message)
                .with_hint(format!("SET '{}' = 'jdbc:mysql://host:3306/database'", config::JOURNAL_URL)));
        };
        let open = self.open_journal.ok_or_else(|| SqlError::unsupported("there is no journal of checkpoints here"))?;
        Ok(open(url, options.text(config::JOURNAL_USERNAME), options.text(config::JOURNAL_PASSWORD))?)
    }

    fn is_off(&self, key: &str) -> bool {
        self.settings.text(key).is_some_and(|v| v.eq_ignore_ascii_case("false"))
    }

    /// `CREATE TABLE … AS SELECT`: makes a table with the query's columns, and says how it is filled; None when it was
    /// there before.
    pub(crate) fn create_table_as(&mut self, create: &CreateTable, text: &str) -> Result<Option<Insert>> {
        let Some(query) = &create.query else { return Err(SqlError::internal("CREATE TABLE without a query")) };
        let typed = plan::resolve(&self.tables(), query.as_ref().clone())?;
        let schema = self.columns_of_new(create, typed)?;
        let columns: Vec<(String, ColumnType)> =
            schema.fields().iter().map(|f| (f.name().clone(), ColumnType::from_arrow(f))).collect();
        // A job that comes back finds its table.
        if self.resumed.is_none() && !self.add_table(create, &columns, text)? {
            return Ok(None);
        }
        Ok(Some(Insert {
            target: create.name.clone(),
            target_options: Default::default(),
            columns: columns.into_iter().map(|(name, _)| name).collect(),
            partition: Default::default(),
            query: query.clone(),
            overwrite: false,
            on_conflict: None,
            text: String::new(),
        }))
    }

    /// The columns of the query behind `AS`.
    fn columns_of_new(&self, create: &CreateTable, typed: LogicalPlan) -> Result<SchemaRef> {
        #[cfg(feature = "batch")]
        if create.options.is_empty() && crate::batch::ends(&typed)? {
            return Ok(plan::output_schema(&typed));
        }
        let stream = Query::plan(typed)?.stream;
        if create.options.is_empty() && create.like.is_none() && !stream.is_bounded() {
            let message = format!("table '{}' would be one of our own, which no endless query fills", create.name);
            return Err(SqlError::unsupported(message)
                .with_hint("name a connector in WITH, or CREATE MATERIALIZED VIEW … AS")
                .at(create.name.position));
        }
        Ok(stream.schema())
    }

    pub(crate) fn explain_text(&mut self, statement: &Statement) -> Result<String> {
        let pipeline = match statement {
            #[cfg(feature = "batch")]
            Statement::Query(query) if let Some((typed, finite)) = self.plan_finite(query)? => {
                return Ok(finite.explain(&typed));
            }
            Statement::Query(query) => self.plan_query(query.as_ref().clone())?.pipeline,
            #[cfg(feature = "batch")]
            Statement::Insert(insert) if let Some((table, _)) = self.own_table(&insert.target)? => {
                return self.explain_rows(self.plan_own_insert(insert, &table)?);
            }
            #[cfg(feature = "batch")]
            Statement::Mutation(mutation) => return self.explain_rows(self.plan_own_mutation(mutation)?),
            Statement::Insert(insert) => self.plan_inserts(std::slice::from_ref(insert.as_ref()))?,
            Statement::StatementSet(inserts) => self.plan_inserts(inserts)?,
            Statement::CreateMaterializedView(create) => self.explain_view(create)?,
            _ => return Err(SqlError::unsupported("EXPLAIN takes a query, an INSERT or a statement set")),
        };
        Ok(pipeline.explain())
    }

    pub(crate) fn stop_job(&mut self, id: &str, with_savepoint: bool) -> Result<Outcome> {
        let entry = self.engine.jobs().find(id)?;
        if let Some(view) = &entry.view {
            let message = format!("job '{id}' keeps the materialized view '{view}' current");
            return Err(
                SqlError::new(SqlState::NotReady, message).with_hint(format!("DROP MATERIALIZED VIEW {view} ends it"))
            );
        }
        let path = match &entry.phase {
            JobPhase::Running(job) if !job.status().state.is_terminal() => {
                job.stop(if with_savepoint { StopMode::Savepoint } else { StopMode::Checkpoint });
                job.wait()?.last_checkpoint.and_then(|checkpoint| checkpoint.path)
            }
            JobPhase::Running(_) => None,
            JobPhase::Starting(_) | JobPhase::Refused(_) => {
                self.engine.jobs().remove(&entry.id);
                None
            }
        };
        if let Some(journal) = self.engine.journal() {
            journal.job_ended(&entry.id)?;
        }
        if !with_savepoint {
            return Ok(Outcome::Done(format!("job '{id}' is stopped")));
        }
        let path = path.ok_or_else(|| {
            SqlError::new(SqlState::InvalidParameter, format!("job '{id}' is stopped, and no savepoint was taken"))
                .with_detail("it had ended before, had not yet started, or has no checkpoint folder")
        })?;
        let path = match self.settings.checkpoint()?.savepoint_dir {
            Some(dir) => copy_savepoint(&path, &dir, &entry.id)?,
            None => path,
        };
        Ok(text_rows(&[SAVEPOINT_PATH], vec![vec![Some(path.display().to_string())]]))
    }
}

/// Copies the savepoint at `path` to the folder of savepoints, under a name like Flink's.
fn copy_savepoint(path: &Path, dir: &Path, id: &str) -> Result<PathBuf> {
    let unique = format!("savepoint-{}-{}", id.get(..6).unwrap_or(id), &new_id()[..12]);
    let target = dir.join(unique);
    Restored::read(path)?.copy_to(&target)?;
    Ok(target)
}
