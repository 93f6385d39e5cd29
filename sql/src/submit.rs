//! From a query or an INSERT to a job: plans it, names it, writes it down, starts it; and stops it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbeam_channel::Receiver;
use eddyline_engine::ChangelogBatch;
use eddyline_engine::checkpoint::{CheckpointStorage, Restored};
use eddyline_engine::connector::{Options, SinkChanges, TableSink};
use eddyline_engine::runtime::{CheckpointJournal, CollectSink, Job, JobConfig, Restore, StopMode};

use crate::build::{BuildSettings, SinkTarget};
use crate::catalog::Catalog;
use crate::config;
use crate::engine::JobRecord;
use crate::error::{Result, SqlError, SqlState};
use crate::insert::match_columns;
use crate::jobs::{JobPhase, new_id};
use crate::pipeline::Pipeline;
use crate::plan::{self, Query, SinkRequirements, StreamPlan};
use crate::session::{Outcome, SAVEPOINT_PATH, Session, text_rows};
use crate::statement::{CreateTable, Insert, Statement};
use crate::types::ColumnType;

/// Batches of a SELECT that wait for their reader before the job is held back.
const RESULT_CHANNEL_BATCHES: usize = 16;

/// A SELECT that is ready to run.
struct Selected {
    pipeline: Pipeline,
    changes: Receiver<ChangelogBatch>,
    append_only: bool,
}

impl Session {
    pub(crate) fn run_query(&mut self, query: sqlparser::ast::Query) -> Result<Outcome> {
        let Selected { pipeline, changes, append_only } = self.plan_query(query)?;
        let (schema, bounded) = (pipeline.schema(), pipeline.dataflow.is_bounded());
        // A query that is only looked at leaves no checkpoints behind.
        let mut config = self.job_config("select".to_string())?;
        config.checkpoint.dir = None;
        config.restore = Restore::Fresh;
        let job = Job::start(pipeline.dataflow, config)?;
        self.engine.jobs().add_query(new_id(), job.clone());
        Ok(Outcome::Changes { schema, changes, job, bounded, append_only })
    }

    fn plan_query(&self, query: sqlparser::ast::Query) -> Result<Selected> {
        let query = Query::plan(plan::resolve(&self.tables(), query)?)?;
        let append_only = plan::is_append_only(&query.stream);
        let (factory, changes) = CollectSink::channel(RESULT_CHANNEL_BATCHES);
        let sink = TableSink { factory, changes: SinkChanges::Retract };
        let pipeline = self.pipeline(vec![(SinkTarget::collecting(sink), query)])?;
        Ok(Selected { pipeline, changes, append_only })
    }

    fn pipeline(&self, queries: Vec<(SinkTarget, Query)>) -> Result<Pipeline> {
        let settings = BuildSettings {
            parallelism: self.settings.parallelism()?,
            zone: self.time_zone(),
            mini_batch: self.settings.mini_batch()?,
        };
        Pipeline::build(queries, settings)
    }

    /// Starts one job for all `inserts`; `text` is the statement that they come from.
    pub(crate) fn run_inserts(&mut self, inserts: &[Insert], text: &str) -> Result<Outcome> {
        let catalog_version = self.catalog.snapshot().1;
        let planned = self.plan_inserts(inserts)?;
        let resumed = self.resumed.take();
        let id = resumed.clone().unwrap_or_else(new_id);
        let targets: Vec<&str> = inserts.iter().map(|i| i.target.table()).collect();
        let derived = format!("insert-into_default_catalog.default_database.{}", targets.join("_"));
        let engine = Arc::clone(&self.engine);
        if resumed.is_some() {
            // Stopped before it could start again.
            engine.jobs().find(&id)?;
        }
        // The jobs of a process that forgets them are told apart by their checkpoints alone, as ever.
        let (given, unique) = (self.settings.text(config::PIPELINE_NAME), engine.journal().is_some());
        let name = engine.jobs().announce(&id, given, &derived, unique)?;
        let bounded = planned.dataflow.is_bounded();
        let started = self.insert_config(&name, &planned).and_then(|mut config| {
            if let Some(journal) = engine.journal() {
                if resumed.is_none() {
                    let script = self.script(&name, text);
                    journal.job_started(&JobRecord { id: id.clone(), catalog_version, script })?;
                }
                let (journal, id) = (Arc::clone(journal), id.clone());
                config.on_finish = Some(Arc::new(move || {
                    journal.job_ended(&id).map_err(|e| eddyline_engine::Error::internal(e.message))
                }));
            }
            Ok(Job::start(planned.dataflow, config)?)
        });
        match started {
            Ok(job) => {
                engine.jobs().advance(&id, JobPhase::Running(job.clone()));
                if let Some(journal) = engine.journal() {
                    journal.watch(&id, &job);
                }
                Ok(Outcome::Started { id, job, bounded })
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

    fn insert_config(&self, name: &str, planned: &Pipeline) -> Result<JobConfig> {
        let mut config = self.job_config(name.to_string())?;
        if config.checkpoint.dir.is_some() || config.checkpoint.interval.is_none() {
            return Ok(config);
        }
        let needed = planned.dataflow.needs_checkpoints().is_some();
        config.checkpoint.dir = self.engine.checkpoint_dir(planned.dataflow.is_bounded() && !needed);
        if config.checkpoint.dir.is_none() {
            // A job over bounded input without a checkpoint folder runs again from the start.
            config.checkpoint.interval = None;
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
        let schema = Query::plan(plan::resolve(&self.tables(), query.as_ref().clone())?)?.stream.schema();
        let columns: Vec<(String, ColumnType)> =
            schema.fields().iter().map(|f| (f.name().clone(), ColumnType::from_arrow(f))).collect();
        // A job that comes back finds its table.
        let create_table = |catalog: &mut Catalog| {
            let created = catalog.create_table(create, &columns)?;
            Ok((created, catalog.definition(create.name.table(), text)))
        };
        if self.resumed.is_none() && !self.change(create_table)? {
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

    pub(crate) fn explain_text(&self, statement: &Statement) -> Result<String> {
        let pipeline = match statement {
            Statement::Query(query) => self.plan_query(query.as_ref().clone())?.pipeline,
            Statement::Insert(insert) => self.plan_inserts(std::slice::from_ref(insert.as_ref()))?,
            Statement::StatementSet(inserts) => self.plan_inserts(inserts)?,
            _ => return Err(SqlError::unsupported("EXPLAIN takes a query, an INSERT or a statement set")),
        };
        Ok(pipeline.explain())
    }

    pub(crate) fn stop_job(&mut self, id: &str, with_savepoint: bool) -> Result<Outcome> {
        let entry = self.engine.jobs().find(id)?;
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
