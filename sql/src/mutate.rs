//! INSERT, UPDATE and DELETE of tables of our own: what a statement changes is worked out by a finite query over the newest
//! version, and in effect, for good, when the statement is answered.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use datafusion_expr::LogicalPlan;
use eddyline_engine::relation::{Edit, OnDuplicate, Relation, RelationKind, Shard, Table};
use eddyline_engine::runtime::{Job, StopMode};
use eddyline_engine::{ChangelogBatch, interrupt};
use sqlparser::ast::{Expr, Ident, SelectItem, SetExpr};

use crate::batch::{self, BatchQuery};
use crate::catalog::CatalogTable;
use crate::error::{Result, SqlError, SqlState};
use crate::insert::{match_columns, match_new_values};
use crate::jobs::new_id;
use crate::plan;
use crate::session::{Edits, Outcome, Session};
use crate::statement::{Insert, Mutation, OnConflict, TableName};
use crate::submit::Selected;

/// Rows per batch of a result that is read from a job.
const BATCH_ROWS: usize = 8192;

impl Session {
    /// The table of our own that `name` stands for, if it is one.
    pub(crate) fn own_table(&self, name: &TableName) -> Result<Option<(Arc<CatalogTable>, Arc<Table>)>> {
        let catalog = self.catalog();
        catalog.get(name)?;
        let Some(table) = catalog.own_table(name.table()) else { return Ok(None) };
        let rows = self.engine.relations().table(name.table());
        let rows = rows.ok_or_else(|| {
            SqlError::new(SqlState::UndefinedTable, format!("table '{name}' was dropped")).at(name.position)
        })?;
        Ok(Some((Arc::clone(table), rows)))
    }

    /// The query of an INSERT, with the columns of the table.
    pub(crate) fn plan_own_insert(&self, insert: &Insert, table: &CatalogTable) -> Result<LogicalPlan> {
        let refused = |what: &str| {
            Err(SqlError::unsupported(format!("{what} is not supported for tables of our own"))
                .at(insert.target.position))
        };
        if insert.overwrite {
            return refused("INSERT OVERWRITE");
        }
        if !insert.partition.is_empty() {
            return refused("PARTITION");
        }
        if let Some(key) = insert.target_options.keys().next() {
            return refused(&format!("the option '{key}'"));
        }
        let resolved = plan::resolve(&self.tables(), insert.query.as_ref().clone())?;
        match_columns(resolved, &table.name, &table.stored_schema(), &insert.columns, self.time_zone())
    }

    pub(crate) fn insert_rows(&mut self, insert: &Insert, table: &CatalogTable, rows: &Table) -> Result<Outcome> {
        let typed = self.plan_own_insert(insert, table)?;
        let on_duplicate = match insert.on_conflict {
            None | Some(OnConflict::Error) => OnDuplicate::Refuse,
            Some(OnConflict::Nothing) => OnDuplicate::Keep,
            Some(OnConflict::Deduplicate) => OnDuplicate::Replace,
        };
        let schema = table.stored_schema();
        let batches = self.rows_of(&typed, &insert.target)?;
        let added = batches.iter().map(|batch| of_table(batch.columns(), table, &schema)).collect::<Result<_>>()?;
        let edited = rows.edit(|_| Ok::<_, SqlError>(Edit { removed: Vec::new(), added, on_duplicate }))?;
        Ok(Outcome::Edited { what: Edits::Insert, rows: edited.added })
    }

    /// The table that an UPDATE or DELETE is about.
    fn mutated(&self, mutation: &Mutation) -> Result<(Arc<CatalogTable>, Arc<Table>)> {
        self.own_table(&mutation.table)?.ok_or_else(|| {
            let message = format!("rows of '{}' cannot be changed here: it is no table of our own", mutation.table);
            SqlError::unsupported(message)
                .with_hint("UPDATE and DELETE are for tables that were created without WITH")
                .at(mutation.table.position)
        })
    }

    /// `UPDATE` and `DELETE`.
    pub(crate) fn mutate(&mut self, mutation: &Mutation) -> Result<Outcome> {
        let (table, rows) = self.mutated(mutation)?;
        let (schema, what) =
            (table.stored_schema(), if mutation.assigned.is_some() { Edits::Update } else { Edits::Delete });
        let edited = rows.edit(|_| {
            // Planned while nobody writes, so that it reads the version that it changes.
            let typed = self.plan_mutation(mutation, &table)?;
            let mut edit = Edit::default();
            for batch in self.rows_of(&typed, &mutation.table)? {
                let (old, new) = batch.columns().split_at(schema.fields().len());
                edit.removed.push(of_table(old, &table, &schema)?);
                if what == Edits::Update {
                    edit.added.push(of_table(new, &table, &schema)?);
                }
            }
            Ok::<_, SqlError>(edit)
        })?;
        Ok(Outcome::Edited { what, rows: edited.removed })
    }

    pub(crate) fn plan_own_mutation(&self, mutation: &Mutation) -> Result<LogicalPlan> {
        let (table, _) = self.mutated(mutation)?;
        self.plan_mutation(mutation, &table)
    }

    /// How the rows that a statement writes or changes are worked out.
    pub(crate) fn explain_rows(&self, typed: LogicalPlan) -> Result<String> {
        if batch::ends(&typed)? {
            return Ok(BatchQuery::plan(&typed, self.engine.batch())?.explain(&typed));
        }
        Ok(self.select_stream(plan::Query::plan(typed)?)?.pipeline.explain())
    }

    /// The rows that a statement is about: their stored columns, then for an UPDATE those columns as they will be.
    fn plan_mutation(&self, mutation: &Mutation, table: &CatalogTable) -> Result<LogicalPlan> {
        let mut query = mutation.query.as_ref().clone();
        let SetExpr::Select(select) = query.body.as_mut() else { return Err(SqlError::internal("no SELECT")) };
        let schema = table.stored_schema();
        let stored = schema.fields().iter().map(|field| Expr::Identifier(Ident::with_quote('`', field.name())));
        let stored = stored.map(SelectItem::UnnamedExpr);
        let targets = match &mutation.assigned {
            None => {
                select.projection = stored.collect();
                return plan::resolve(&self.tables(), query);
            }
            Some(assigned) => assigned
                .iter()
                .map(|assigned| {
                    let names = || schema.fields().iter().map(|field| field.name().as_str());
                    let unknown = || SqlError::unknown_column(&assigned.column, names()).at(assigned.position);
                    names().position(|name| name == assigned.column).ok_or_else(unknown)
                })
                .collect::<Result<Vec<_>>>()?,
        };
        select.projection = stored.chain(select.projection.drain(..)).collect();
        let typed = plan::resolve(&self.tables(), query)?;
        match_new_values(typed, &table.name, &schema, &targets, self.time_zone())
    }

    /// All rows of a query that ends.
    fn rows_of(&self, typed: &LogicalPlan, target: &TableName) -> Result<Vec<RecordBatch>> {
        if batch::ends(typed)? {
            let finite = BatchQuery::plan(typed, self.engine.batch());
            return finite.map_err(|error| self.with_reason(error, typed))?.rows();
        }
        let query = plan::Query::plan(typed.clone())?;
        if !query.stream.is_bounded() {
            let message = format!("this statement would never end, and table '{target}' is written by those that do");
            return Err(SqlError::unsupported(message)
                .with_hint("CREATE MATERIALIZED VIEW … AS keeps the result of an endless query current")
                .at(target.position));
        }
        let Selected { pipeline, changes, .. } = self.select_stream(query)?;
        // Counts equal rows, so that what is taken back is gone at the end.
        let result = Relation::new(RelationKind::Table, "result", pipeline.schema(), None)?;
        let job = Job::start(pipeline.dataflow, self.query_config("insert")?)?;
        self.engine.jobs().add_query(new_id(), job.clone());
        let mut rows = result.shard();
        let read = read_all(&changes, &mut rows);
        drop(changes);
        if read.is_err() {
            job.stop(StopMode::Cancel);
        }
        let ended = job.wait();
        read?;
        ended?;
        result.publish(0, vec![rows]);
        let version = result.snapshot(Duration::ZERO)?;
        Ok(version.batches(None, BATCH_ROWS).collect::<eddyline_engine::Result<_>>()?)
    }
}

/// Applies all changes to `rows`, unless the user has enough of waiting for them.
fn read_all(changes: &Receiver<ChangelogBatch>, rows: &mut Shard) -> eddyline_engine::Result<()> {
    loop {
        match changes.recv_timeout(interrupt::LOOK_EVERY) {
            Ok(batch) => rows.write(&batch)?,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => {}
        }
        interrupt::check("its rows")?;
    }
}

/// Columns as rows of the table; an error when one has NULL where the table has none.
fn of_table(columns: &[ArrayRef], table: &CatalogTable, schema: &SchemaRef) -> Result<RecordBatch> {
    for (field, column) in schema.fields().iter().zip(columns) {
        if !field.is_nullable() && column.null_count() > 0 {
            let message = format!(
                "null value in column '{}' of table '{}' violates not-null constraint",
                field.name(),
                table.name
            );
            return Err(SqlError::new(SqlState::NotNullViolation, message));
        }
    }
    Ok(RecordBatch::try_new(schema.clone(), columns.to_vec())?)
}
