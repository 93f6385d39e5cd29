//! The one door into the engine: a session executes statements and says what came of them. Shell, batch runner and wire
//! server only render an [`Outcome`].

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use crossbeam_channel::Receiver;
use datafusion_common::TableReference;
use eddyline_engine::ChangelogBatch;
use eddyline_engine::checkpoint::CheckpointStorage;
use eddyline_engine::connector::{Options, Registry, SinkChanges, TableSink};
use eddyline_engine::runtime::{CheckpointJournal, CollectSink, Job, JobConfig, JobHandle, Restore, StopMode};
use eddyline_engine::time::{Clock, SystemClock};

use crate::build::{BuildSettings, SinkTarget};
use crate::catalog::{Catalog, redact};
use crate::config::{self, Config};
use crate::error::{Result, SqlError, SqlState};
use crate::functions::{Environment, Functions, Random};
use crate::insert::match_columns;
use crate::pipeline::Pipeline;
use crate::plan::{self, Query, SinkRequirements, StreamPlan, Tables};
use crate::statement::{CreateTable, Explain, Insert, ParsedStatement, Statement, TableName};
use crate::types::ColumnType;

/// Batches of a SELECT that wait for their reader before the job is held back.
const RESULT_CHANNEL_BATCHES: usize = 16;

/// Where checkpoints of unbounded jobs go when no folder is set.
const DEFAULT_CHECKPOINT_DIR: &str = ".eddyline/checkpoints";

/// What came of a statement.
pub enum Outcome {
    /// It is done; the text says what was done.
    Done(String),
    /// A finished table of facts: SHOW, DESCRIBE, EXPLAIN.
    Rows {
        /// Columns.
        schema: SchemaRef,
        /// Rows.
        rows: RecordBatch,
    },
    /// A query runs; its changes come through the channel, which closes when the job ends.
    Changes {
        /// Columns of the result.
        schema: SchemaRef,
        /// The changes.
        changes: Receiver<ChangelogBatch>,
        /// The job behind it.
        job: JobHandle,
    },
    /// A job runs in the background.
    Started {
        /// The job.
        job: JobHandle,
        /// True when it ends by itself.
        bounded: bool,
    },
}

/// A user's catalog, settings and jobs.
pub struct Session {
    catalog: Catalog,
    settings: Config,
    registry: Registry,
    restore: Option<Restore>,
    takeover: bool,
    jobs: Vec<JobHandle>,
    warnings: Vec<String>,
    clock: Arc<dyn Clock>,
    random: Random,
    open_journal: Option<JournalOpener>,
}

/// Opens a journal of checkpoints in the database at a URL, with user name and password.
pub type JournalOpener = fn(&str, Option<&str>, Option<&str>) -> eddyline_engine::Result<Arc<dyn CheckpointJournal>>;

impl Session {
    /// A session with an empty catalog and default settings.
    pub fn new(registry: Registry) -> Self {
        Session {
            catalog: Catalog::default(),
            settings: Config::default(),
            registry,
            restore: None,
            takeover: false,
            jobs: Vec::new(),
            warnings: Vec::new(),
            clock: Arc::new(SystemClock),
            random: Random::default(),
            open_journal: None,
        }
    }

    /// Says how journals of checkpoints are opened; without, there are none.
    pub fn set_journal(&mut self, open: JournalOpener) {
        self.open_journal = Some(open);
    }

    /// Takes the time of jobs and functions from `clock` and the randomness of functions from `seed`, so that a run can
    /// be repeated.
    pub fn set_clock(&mut self, clock: Arc<dyn Clock>, seed: u64) {
        self.clock = clock;
        self.random = Random::seeded(seed);
    }

    /// Says where jobs of this session start, over what the settings say.
    pub fn set_restore(&mut self, restore: Restore) {
        self.restore = Some(restore);
    }

    /// Lets jobs of this session shut out other processes that run them.
    pub fn set_takeover(&mut self, takeover: bool) {
        self.takeover = takeover;
    }

    /// Sets one configuration key.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let warning = self.settings.set(key, value)?;
        self.warnings.extend(warning);
        Ok(())
    }

    /// Value of a configuration key, or its default.
    pub fn setting(&self, key: &str) -> Option<String> {
        self.settings.text(key)
    }

    /// What should be told to the user besides outcomes, since the last call.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// The catalog, for completion and reflection.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Jobs started in this session, also those that have ended.
    pub fn jobs(&self) -> &[JobHandle] {
        &self.jobs
    }

    /// Executes one statement.
    pub fn execute(&mut self, parsed: &ParsedStatement) -> Result<Outcome> {
        match &parsed.statement {
            Statement::Query(query) => self.run_query(query.as_ref().clone()),
            Statement::Insert(insert) => self.run_inserts(std::slice::from_ref(insert.as_ref())),
            Statement::StatementSet(inserts) => self.run_inserts(inserts),
            Statement::Explain(explain) => {
                let text = self.explain(explain)?;
                Ok(text_rows(&["result"], vec![vec![Some(text)]]))
            }
            Statement::CreateTable(create) if create.query.is_some() => self.create_table_as(create),
            Statement::Set { key, value, position } => {
                self.set(key, value).map_err(|e| if e.position.is_none() { e.at(*position) } else { e })?;
                Ok(done())
            }
            Statement::Reset { key } => {
                match key {
                    Some(key) => self.settings.reset(key),
                    None => self.settings.reset_all(),
                }
                Ok(done())
            }
            Statement::ShowSettings => {
                let row = |(key, value): (&String, &String)| vec![Some(key.clone()), Some(redact(key, value))];
                Ok(text_rows(&["key", "value"], self.settings.values().iter().map(row).collect()))
            }
            Statement::Use { .. } | Statement::CreateNamespace(_) => Ok(done()),
            Statement::StopJob { id, .. } => self.stop_job(id),
            other => self.catalog_statement(other),
        }
    }

    /// Explains what can be planned and executes what later statements need; None for statements without a plan.
    pub fn explain_statement(&mut self, parsed: &ParsedStatement) -> Result<Option<String>> {
        match &parsed.statement {
            Statement::Query(_) | Statement::Insert(_) | Statement::StatementSet(_) => {
                self.explain_text(&parsed.statement).map(Some)
            }
            Statement::Explain(explain) => self.explain(explain).map(Some),
            Statement::StopJob { .. } => Ok(None),
            _ => self.execute(parsed).map(|_| None),
        }
    }

    fn catalog_statement(&mut self, statement: &Statement) -> Result<Outcome> {
        match statement {
            Statement::CreateTable(create) => drop(self.catalog.create_table(create, &[])?),
            Statement::CreateView(create) => drop(self.catalog.create_view(create)?),
            Statement::Drop(statement) => drop(self.catalog.drop(statement)?),
            Statement::AlterTable(alter) => drop(self.catalog.alter_table(alter)?),
            Statement::AlterView(alter) => self.catalog.alter_view(alter)?,
            Statement::Show(show) => return crate::show::show(show, &self.catalog, &self.jobs),
            Statement::ShowCreate { kind, name } => {
                let text = self.catalog.show_create(*kind, name)?;
                return Ok(text_rows(&["result"], vec![vec![Some(text)]]));
            }
            Statement::Describe { name } => {
                return Ok(text_rows(&crate::show::DESCRIBE_COLUMNS, self.describe(name)?));
            }
            _ => return Err(SqlError::unsupported("this statement is not supported yet")),
        }
        Ok(done())
    }

    fn tables(&self) -> Arc<Tables> {
        let (clock, random) = (Arc::clone(&self.clock), self.random.clone());
        let functions = Functions::new(Environment { zone: self.time_zone(), clock, random });
        let tables = Tables::new(self.catalog.clone(), self.registry.clone(), Arc::new(functions));
        Arc::new(tables.with_repeated_changes(self.is_on(config::CDC_DUPLICATES)))
    }

    /// The session's zone; UTC when none is set or when the zone is an offset without a name.
    fn time_zone(&self) -> chrono_tz::Tz {
        self.settings.time_zone().and_then(|name| name.parse().ok()).unwrap_or(chrono_tz::Tz::UTC)
    }

    fn run_query(&mut self, query: sqlparser::ast::Query) -> Result<Outcome> {
        let (pipeline, changes) = self.plan_query(query)?;
        let schema = pipeline.schema();
        // A query that is only looked at leaves no checkpoints behind.
        let mut config = self.job_config("select".to_string())?;
        config.checkpoint.dir = None;
        config.restore = Restore::Fresh;
        let job = Job::start(pipeline.dataflow, config)?;
        self.jobs.push(job.clone());
        Ok(Outcome::Changes { schema, changes, job })
    }

    fn plan_query(&self, query: sqlparser::ast::Query) -> Result<(Pipeline, Receiver<ChangelogBatch>)> {
        let query = Query::plan(plan::resolve(&self.tables(), query)?)?;
        let (factory, changes) = CollectSink::channel(RESULT_CHANNEL_BATCHES);
        let sink = TableSink { factory, changes: SinkChanges::Retract };
        Ok((self.pipeline(vec![(SinkTarget::collecting(sink), query)])?, changes))
    }

    fn pipeline(&self, queries: Vec<(SinkTarget, Query)>) -> Result<Pipeline> {
        let settings = BuildSettings {
            parallelism: self.settings.parallelism()?,
            zone: self.time_zone(),
            mini_batch: self.settings.mini_batch()?,
        };
        Pipeline::build(queries, settings)
    }

    fn run_inserts(&mut self, inserts: &[Insert]) -> Result<Outcome> {
        let pipeline = self.plan_inserts(inserts)?;
        let bounded = pipeline.dataflow.is_bounded();
        let name = self.settings.text(config::PIPELINE_NAME).unwrap_or_else(|| {
            let targets: Vec<&str> = inserts.iter().map(|i| i.target.table()).collect();
            format!("insert-into_default_catalog.default_database.{}", targets.join("_"))
        });
        let mut config = self.job_config(name)?;
        if bounded && config.checkpoint.dir.is_none() && pipeline.dataflow.needs_checkpoints().is_none() {
            // A job over bounded input without a checkpoint folder runs again from the start.
            config.checkpoint.interval = None;
        } else if config.checkpoint.dir.is_none() && config.checkpoint.interval.is_some() {
            config.checkpoint.dir = Some(PathBuf::from(DEFAULT_CHECKPOINT_DIR));
        }
        let job = Job::start(pipeline.dataflow, config)?;
        self.jobs.push(job.clone());
        Ok(Outcome::Started { job, bounded })
    }

    fn plan_inserts(&self, inserts: &[Insert]) -> Result<Pipeline> {
        self.pipeline(inserts.iter().map(|insert| self.plan_insert(insert)).collect::<Result<_>>()?)
    }

    fn plan_insert(&self, insert: &Insert) -> Result<(SinkTarget, Query)> {
        if insert.overwrite {
            return Err(SqlError::unsupported("INSERT OVERWRITE is not supported in streaming mode"));
        }
        let name = insert.target.table();
        let table = self.catalog.get(&insert.target)?.table().map_err(|e| e.at(insert.target.position))?;
        let description = table.description(&insert.target_options);
        let sink = plan::open_sink(&self.registry, &description)?;
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
            config.journal = Some(self.journal(&options)?);
        }
        config.auto_watermark_interval = options.duration(config::AUTO_WATERMARK_INTERVAL)?.unwrap_or_default();
        config.idle_timeout = options.duration(config::IDLE_TIMEOUT)?.filter(|timeout| !timeout.is_zero());
        config.ignore_unclaimed_state = self.is_on(config::IGNORE_UNCLAIMED);
        config.allow_duplicates = self.is_on(config::ALLOW_DUPLICATES);
        config.takeover = self.takeover;
        Ok(config)
    }

    fn is_on(&self, key: &str) -> bool {
        self.settings.text(key).is_some_and(|v| v.eq_ignore_ascii_case("true"))
    }

    /// The journal that the settings ask for.
    fn journal(&self, options: &Options) -> Result<Arc<dyn CheckpointJournal>> {
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

    /// `CREATE TABLE … AS SELECT`: a table with the query's columns, and the job that fills it.
    fn create_table_as(&mut self, create: &CreateTable) -> Result<Outcome> {
        let Some(query) = &create.query else { return Err(SqlError::internal("CREATE TABLE without a query")) };
        let schema = Query::plan(plan::resolve(&self.tables(), query.as_ref().clone())?)?.stream.schema();
        let columns: Vec<(String, ColumnType)> =
            schema.fields().iter().map(|f| (f.name().clone(), ColumnType::from_arrow(f))).collect();
        if !self.catalog.create_table(create, &columns)? {
            return Ok(done());
        }
        let insert = Insert {
            target: create.name.clone(),
            target_options: Default::default(),
            columns: columns.into_iter().map(|(name, _)| name).collect(),
            partition: Default::default(),
            query: query.clone(),
            overwrite: false,
            on_conflict: None,
            text: String::new(),
        };
        self.run_inserts(std::slice::from_ref(&insert))
    }

    fn explain(&mut self, explain: &Explain) -> Result<String> {
        // The changelog mode is always shown; of the other words there is nothing to show.
        for detail in explain.details.iter().filter(|detail| *detail != "CHANGELOG_MODE") {
            self.warnings.push(format!("EXPLAIN {detail} adds nothing here: plans are not chosen by cost"));
        }
        self.explain_text(&explain.statement)
    }

    fn explain_text(&self, statement: &Statement) -> Result<String> {
        let pipeline = match statement {
            Statement::Query(query) => self.plan_query(query.as_ref().clone())?.0,
            Statement::Insert(insert) => self.plan_inserts(std::slice::from_ref(insert.as_ref()))?,
            Statement::StatementSet(inserts) => self.plan_inserts(inserts)?,
            _ => return Err(SqlError::unsupported("EXPLAIN takes a query, an INSERT or a statement set")),
        };
        Ok(pipeline.explain())
    }

    fn describe(&self, name: &TableName) -> Result<Vec<Vec<Option<String>>>> {
        let object = self.catalog.get(name)?;
        let source = self.tables().source(&TableReference::bare(name.table()), &Default::default())?;
        Ok(crate::show::describe(object, &source.schema()))
    }

    fn stop_job(&mut self, id: &str) -> Result<Outcome> {
        let job = self.jobs.iter().find(|j| j.name() == id).ok_or_else(|| {
            SqlError::new(SqlState::InvalidParameter, format!("there is no job '{id}'"))
                .with_hint("SHOW JOBS lists the jobs of this session")
        })?;
        job.stop(StopMode::Checkpoint);
        job.wait()?;
        Ok(Outcome::Done(format!("job '{id}' is stopped")))
    }
}

fn done() -> Outcome {
    Outcome::Done("Execute statement succeeded.".to_string())
}

/// Facts as a table of text.
pub(crate) fn text_rows(names: &[&str], rows: Vec<Vec<Option<String>>>) -> Outcome {
    let fields: Vec<Field> = names.iter().map(|n| Field::new(*n, DataType::Utf8, true)).collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let column = |i: usize| Arc::new(rows.iter().map(|r| r[i].clone()).collect::<StringArray>()) as ArrayRef;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let columns = (0..names.len()).map(column).collect();
    match RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options) {
        Ok(rows) => Outcome::Rows { schema, rows },
        Err(error) => Outcome::Done(error.to_string()),
    }
}
