//! The one door into the engine: a session executes statements and says what came of them. Shell, batch runner and wire
//! server only render an [`Outcome`].
//!
//! Sessions of one process share an [`Engine`]. A session's own are its settings, its temporary objects and its warnings.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use crossbeam_channel::Receiver;
use datafusion_common::TableReference;
use eddyline_engine::ChangelogBatch;
use eddyline_engine::connector::Registry;
use eddyline_engine::runtime::{CheckpointJournal, JobHandle, Restore};
use eddyline_engine::time::{Clock, SystemClock};

use crate::catalog::{Catalog, redact};
use crate::config::{self, Config};
use crate::engine::{Engine, SharedCatalog};
use crate::error::{Result, SqlError};
use crate::functions::{Environment, Functions, Random};
use crate::plan::{self, Query, Tables};
use crate::statement::{Explain, ParsedStatement, Statement, TableName};

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
        /// The id under which the job is listed.
        id: String,
        /// The job behind it.
        job: JobHandle,
        /// True when it ends by itself.
        bounded: bool,
        /// True when no row is ever taken back.
        append_only: bool,
    },
    /// Rows of a table of our own have changed.
    Edited {
        /// What was done to them.
        what: Edits,
        /// How many.
        rows: usize,
    },
    /// A job runs in the background.
    Started {
        /// Its id.
        id: String,
        /// The job.
        job: JobHandle,
        /// True when it ends by itself.
        bounded: bool,
    },
}

/// What a statement does to rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edits {
    /// It adds some.
    Insert,
    /// It changes some.
    Update,
    /// It deletes some.
    Delete,
}

/// What a statement would answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// Nothing but that it is done.
    Done,
    /// A table of facts with these columns.
    Rows(SchemaRef),
    /// The changes of a query.
    Changes {
        /// Columns of the result.
        schema: SchemaRef,
        /// True when it ends by itself.
        bounded: bool,
        /// True when no row is ever taken back.
        append_only: bool,
    },
    /// The id of a job.
    Started,
}

/// A user's settings and temporary objects, on an engine that may have other users.
pub struct Session {
    pub(crate) engine: Arc<Engine>,
    pub(crate) catalog: Arc<SharedCatalog>,
    pub(crate) temporary: Catalog,
    /// The statements that made `temporary`, in order.
    pub(crate) temporary_script: Vec<String>,
    pub(crate) settings: Config,
    pub(crate) restore: Option<Restore>,
    pub(crate) takeover: bool,
    /// The id of a job of an earlier life that the next INSERT continues.
    pub(crate) resumed: Option<String>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) open_journal: Option<JournalOpener>,
    random: Random,
    warnings: Vec<String>,
}

/// Opens a journal of checkpoints in the database at a URL, with user name and password.
pub type JournalOpener = fn(&str, Option<&str>, Option<&str>) -> eddyline_engine::Result<Arc<dyn CheckpointJournal>>;

impl Session {
    /// A session on an engine of its own.
    pub fn new(registry: Registry) -> Self {
        Session::on(Arc::new(Engine::new(registry)))
    }

    /// Another session of an engine, with default settings.
    pub fn on(engine: Arc<Engine>) -> Self {
        let (catalog, open_journal) = (Arc::clone(engine.catalog()), engine.open_journal());
        Session {
            engine,
            catalog,
            temporary: Catalog::default(),
            temporary_script: Vec::new(),
            settings: Config::default(),
            restore: None,
            takeover: false,
            resumed: None,
            clock: Arc::new(SystemClock),
            open_journal,
            random: Random::default(),
            warnings: Vec::new(),
        }
    }

    /// A session that continues the job `id` of an earlier life of `engine`, which knows the catalog as it was then.
    pub fn resuming(engine: Arc<Engine>, catalog: Catalog, id: &str) -> Self {
        let catalog = Arc::new(SharedCatalog::new(catalog, 0, None));
        Session { catalog, resumed: Some(id.to_string()), ..Session::on(engine) }
    }

    /// What is shared with other sessions.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
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

    pub(crate) fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    /// The objects that this session sees.
    pub fn catalog(&self) -> Catalog {
        Catalog::layered(&self.catalog.snapshot().0, &self.temporary)
    }

    /// Columns of a table or view as queries see them, with the types of computed columns.
    pub fn columns(&self, name: &str) -> Result<SchemaRef> {
        Ok(self.tables().source(&TableReference::bare(name), &Default::default())?.schema())
    }

    /// Jobs of the engine that have been started, also those that have ended.
    pub fn jobs(&self) -> Vec<JobHandle> {
        self.engine.jobs().handles()
    }

    /// Executes one statement.
    pub fn execute(&mut self, parsed: &ParsedStatement) -> Result<Outcome> {
        match &parsed.statement {
            Statement::Query(query) => self.run_query(query.as_ref().clone()),
            Statement::Insert(insert) => self.insert(insert, &parsed.text),
            #[cfg(feature = "batch")]
            Statement::Mutation(mutation) => self.mutate(mutation),
            Statement::Flush => self.flush(),
            Statement::StatementSet(inserts) => self.run_inserts(inserts, &parsed.text),
            Statement::Explain(explain) => {
                let text = self.explain(explain)?;
                Ok(text_rows(&["result"], vec![vec![Some(text)]]))
            }
            Statement::CreateTable(create) if create.query.is_some() => {
                match self.create_table_as(create, &parsed.text)? {
                    Some(insert) => self.insert(&insert, &parsed.text),
                    None => Ok(done()),
                }
            }
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
            Statement::CreateMaterializedView(create) => self.create_materialized_view(create, &parsed.text),
            Statement::Drop(drop) if self.is_kept(drop) => self.drop_relation(drop),
            Statement::AlterTable(alter) => self.alter_table(alter, &parsed.text),
            Statement::StopJob { id, with_savepoint } => self.stop_job(id, *with_savepoint),
            Statement::Subscribe { name } => self.subscribe(name),
            Statement::Show(show) => crate::show::show(show, &self.catalog(), self.engine.jobs()),
            Statement::ShowCreate { kind, name } => {
                let text = self.catalog().show_create(*kind, name)?;
                Ok(text_rows(&["result"], vec![vec![Some(text)]]))
            }
            Statement::Describe { name } => Ok(text_rows(&crate::show::DESCRIBE_COLUMNS, self.describe(name)?)),
            other => self.change_catalog(other, &parsed.text),
        }
    }

    /// Executes a statement of a journal for what it did to the catalog and the settings: no job starts.
    pub fn replay(&mut self, parsed: &ParsedStatement) -> Result<()> {
        match &parsed.statement {
            Statement::CreateTable(create) if create.query.is_some() => {
                self.create_table_as(create, &parsed.text).map(drop)
            }
            Statement::Set { key, value, .. } => self.set(key, value),
            Statement::CreateMaterializedView(create) => self.declare_view(create, &parsed.text).map(drop),
            other => self.change_catalog(other, &parsed.text).map(drop),
        }
    }

    /// What the statement would answer, without doing it.
    pub fn shape(&mut self, parsed: &ParsedStatement) -> Result<Shape> {
        match &parsed.statement {
            Statement::Query(query) => {
                let typed = plan::resolve(&self.tables(), query.as_ref().clone())?;
                #[cfg(feature = "batch")]
                if crate::batch::is_finite(&typed)? {
                    let schema = plan::output_schema(&typed);
                    return Ok(Shape::Changes { schema, bounded: true, append_only: true });
                }
                let plan = Query::plan(typed)?.stream;
                let (bounded, append_only) = (plan.is_bounded(), plan::is_append_only(&plan));
                Ok(Shape::Changes { schema: plan.schema(), bounded, append_only })
            }
            Statement::Insert(insert) if self.catalog().own_table(insert.target.table()).is_some() => Ok(Shape::Done),
            Statement::CreateTable(create) if create.query.is_some() && create.options.is_empty() => Ok(Shape::Done),
            Statement::Insert(_) | Statement::StatementSet(_) => Ok(Shape::Started),
            Statement::CreateTable(create) if create.query.is_some() => Ok(Shape::Started),
            Statement::Subscribe { name } => {
                Ok(Shape::Changes { schema: self.subscribed(name)?, bounded: false, append_only: true })
            }
            Statement::StopJob { with_savepoint: true, .. } => Ok(Shape::Rows(text_schema(&[SAVEPOINT_PATH]))),
            // These only look at things, so that looking tells.
            Statement::Show(_)
            | Statement::ShowCreate { .. }
            | Statement::ShowSettings
            | Statement::Describe { .. }
            | Statement::Explain(_) => match self.execute(parsed)? {
                Outcome::Rows { schema, .. } => Ok(Shape::Rows(schema)),
                _ => Ok(Shape::Done),
            },
            _ => Ok(Shape::Done),
        }
    }

    /// Explains what can be planned and executes what later statements need; None for statements without a plan.
    pub fn explain_statement(&mut self, parsed: &ParsedStatement) -> Result<Option<String>> {
        match &parsed.statement {
            Statement::Query(_) | Statement::Insert(_) | Statement::StatementSet(_) | Statement::Mutation(_) => {
                self.explain_text(&parsed.statement).map(Some)
            }
            Statement::CreateMaterializedView(create) => {
                let text = self.explain_text(&parsed.statement)?;
                if let Some(view) = self.declare_view(create, &parsed.text)? {
                    // What reads it is planned as if it had no rows.
                    view.publish(0, vec![view.shard()]);
                }
                Ok(Some(text))
            }
            Statement::Explain(explain) => self.explain(explain).map(Some),
            Statement::CreateTable(create) if create.query.is_some() => {
                match self.create_table_as(create, &parsed.text)? {
                    Some(insert) => self.explain_text(&Statement::Insert(Box::new(insert))).map(Some),
                    None => Ok(None),
                }
            }
            Statement::Subscribe { name } => self.subscribed(name).map(|_| None),
            Statement::StopJob { .. } | Statement::Flush => Ok(None),
            _ => self.execute(parsed).map(|_| None),
        }
    }

    fn change_catalog(&mut self, statement: &Statement, text: &str) -> Result<Outcome> {
        if let Statement::CreateTable(create) = statement {
            self.add_table(create, &[], text)?;
            return Ok(done());
        }
        self.change(|catalog| {
            match statement {
                Statement::CreateView(create) => drop(catalog.create_view(create)?),
                Statement::Drop(statement) => drop(catalog.drop(statement)?),
                Statement::AlterTable(alter) => drop(catalog.alter_table(alter)?),
                Statement::AlterView(alter) => catalog.alter_view(alter)?,
                _ => return Err(SqlError::unsupported("this statement is not supported yet")),
            }
            Ok(((), text.to_string()))
        })?;
        Ok(done())
    }

    /// Changes what the session sees: its own objects, or the permanent ones for everybody.
    pub(crate) fn change<T>(&mut self, change: impl FnOnce(&mut Catalog) -> Result<(T, String)>) -> Result<T> {
        let before = self.temporary.clone();
        let (result, statement) = self.catalog.change(&mut self.temporary, change)?;
        if self.temporary != before {
            self.temporary_script.push(statement);
        }
        Ok(result)
    }

    pub(crate) fn tables(&self) -> Arc<Tables> {
        Arc::new(self.own_tables())
    }

    /// What the session sees, for planning.
    pub(crate) fn own_tables(&self) -> Tables {
        let (clock, random) = (Arc::clone(&self.clock), self.random.clone());
        let functions = Functions::new(Environment { zone: self.time_zone(), clock, random });
        let tables = Tables::new(self.catalog(), self.engine.registry().clone(), Arc::new(functions));
        let tables = tables.with_relations(Arc::clone(self.engine.relations()));
        tables.with_repeated_changes(self.is_on(config::CDC_DUPLICATES))
    }

    /// The session's zone; UTC when none is set or when the zone is an offset without a name.
    pub(crate) fn time_zone(&self) -> chrono_tz::Tz {
        self.settings.time_zone().and_then(|name| name.parse().ok()).unwrap_or(chrono_tz::Tz::UTC)
    }

    fn explain(&mut self, explain: &Explain) -> Result<String> {
        // The changelog mode is always shown; of the other words there is nothing to show.
        for detail in explain.details.iter().filter(|detail| *detail != "CHANGELOG_MODE") {
            self.warnings.push(format!("EXPLAIN {detail} adds nothing here: plans are not chosen by cost"));
        }
        self.explain_text(&explain.statement)
    }

    fn describe(&self, name: &TableName) -> Result<Vec<Vec<Option<String>>>> {
        let catalog = self.catalog();
        Ok(crate::show::describe(catalog.get(name)?, &*self.columns(name.table())?))
    }
}

/// The column that STOP JOB WITH SAVEPOINT answers with.
pub(crate) const SAVEPOINT_PATH: &str = "savepoint path";

pub(crate) fn done() -> Outcome {
    Outcome::Done("Execute statement succeeded.".to_string())
}

fn text_schema(names: &[&str]) -> SchemaRef {
    let fields: Vec<Field> = names.iter().map(|n| Field::new(*n, DataType::Utf8, true)).collect();
    Arc::new(Schema::new(fields))
}

/// Facts as a table of text.
pub(crate) fn text_rows(names: &[&str], rows: Vec<Vec<Option<String>>>) -> Outcome {
    let schema = text_schema(names);
    let column = |i: usize| Arc::new(rows.iter().map(|r| r[i].clone()).collect::<StringArray>()) as ArrayRef;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let columns = (0..names.len()).map(column).collect();
    match RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options) {
        Ok(rows) => Outcome::Rows { schema, rows },
        Err(error) => Outcome::Done(error.to_string()),
    }
}
