//! Finite queries: a SELECT that reads nothing but materialized views and tables of our own is answered from one version of
//! each, by DataFusion's physical planner over the logical plan that a continuous query would have.
//!
//! Functions, casts and aggregates are ours, so that both give the same values. What only a finite query can do (ORDER BY,
//! LIMIT, OVER) is DataFusion's. An equality, or a list, for every column of a view's key is a look-up (`lookup`). A small
//! answer is computed at once; a large one by a job of its own (`answer`), which can be cancelled and holds one batch
//! at a time.

mod answer;
mod lookup;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionState;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion::prelude::SessionConfig;
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_expr::LogicalPlan;
use datafusion_expr::logical_plan::TableScan;
use eddyline_engine::relation::{Relation, Version};

pub(crate) use answer::answer;

use crate::error::{Result, SqlError, SqlState};
use crate::plan::{self, TableRelation};
use table::VersionTable;

/// Longest that a query waits for a view that is recovering.
const RECOVERY_PATIENCE: Duration = Duration::from_secs(5);
/// Memory of all finite queries of an engine.
const MEMORY_BYTES: usize = 1 << 30;

/// What all finite queries of an engine share.
#[derive(Default)]
pub(crate) struct Batch(OnceLock<SessionState>);

impl Batch {
    fn state(&self) -> Result<SessionState> {
        if let Some(state) = self.0.get() {
            return Ok(state.clone());
        }
        // What does not fit into memory is refused: nobody has said where a disk may be filled.
        let no_files = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
        let environment = RuntimeEnvBuilder::new().with_memory_limit(MEMORY_BYTES, 1.0);
        let environment = environment.with_disk_manager_builder(no_files).build_arc()?;
        let config = SessionConfig::new().with_target_partitions(1);
        let state = SessionStateBuilder::new().with_config(config).with_runtime_env(environment).build();
        Ok(self.0.get_or_init(|| state).clone())
    }
}

/// A finite query, planned over the versions that it will read.
pub(crate) struct BatchQuery {
    optimized: LogicalPlan,
    physical: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
    /// Rows that each scan will read.
    reads: Vec<usize>,
    state: SessionState,
}

/// True when `typed` reads views and tables of our own, and nothing that never ends.
pub(crate) fn is_finite(typed: &LogicalPlan) -> Result<bool> {
    let (views, others) = read(typed)?;
    Ok(views && !others)
}

/// True when `typed` reads nothing that never ends.
pub(crate) fn ends(typed: &LogicalPlan) -> Result<bool> {
    Ok(!read(typed)?.1)
}

/// Whether `typed` reads views or tables of our own, and whether anything else.
fn read(typed: &LogicalPlan) -> Result<(bool, bool)> {
    let (mut views, mut others) = (false, false);
    typed.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::TableScan(scan) => match live(scan) {
                Some(_) => views = true,
                None => others = true,
            },
            LogicalPlan::Extension(_) => others = true,
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok((views, others))
}

/// Names of the materialized views that `typed` reads.
pub(crate) fn views(typed: &LogicalPlan) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    typed.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            names.extend(live(scan).map(|relation| relation.name().to_string()));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(names)
}

fn live(scan: &TableScan) -> Option<&Arc<Relation>> {
    TableRelation::of(scan).ok()?.live()
}

impl BatchQuery {
    /// Plans `typed`, which is finite, over the current version of each view. Waits for views that are recovering.
    pub(crate) fn plan(typed: &LogicalPlan, batch: &Batch) -> Result<Self> {
        let (state, mut versions, mut reads) = (batch.state()?, BTreeMap::new(), Vec::new());
        let schema = plan::output_schema(typed);
        let tables: Mutex<Vec<Arc<VersionTable>>> = Mutex::default();
        let sources = typed.clone().transform_up_with_subqueries(|node| match node {
            LogicalPlan::TableScan(mut scan) => {
                let Some(relation) = live(&scan) else { return Ok(Transformed::no(LogicalPlan::TableScan(scan))) };
                let table = Arc::new(VersionTable::new(version(&mut versions, relation)?));
                tables.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&table));
                scan.source = datafusion::datasource::provider_as_source(table);
                Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
            }
            other => Ok(Transformed::no(other)),
        })?;
        let optimized = plan::optimize_finite(sources.data)?;
        let planner = DefaultPhysicalPlanner::default();
        let physical = runtime()?.block_on(planner.create_physical_plan(&optimized, &state))?;
        let physical = physical.transform_up(interruptible)?.data;
        for table in tables.into_inner().unwrap_or_else(PoisonError::into_inner) {
            reads.extend(table.planned());
        }
        Ok(BatchQuery { optimized, physical, schema, reads, state })
    }

    /// Every stage of the query in words.
    pub(crate) fn explain(&self, typed: &LogicalPlan) -> String {
        format!(
            "== Abstract Syntax Tree ==\n{}\n\n== Optimized Logical Plan ==\n{}\n\n== Physical Execution Plan ==\n{}\n\
             == Rows to Read ==\n{}",
            plan::logical_text(typed),
            plan::logical_text(&self.optimized),
            displayable(self.physical.as_ref()).indent(false),
            self.reads.iter().sum::<usize>()
        )
    }
}

/// A join can make any number of rows of a single batch: it lets go of the thread now and then, so that it can be cancelled.
fn interruptible(plan: Arc<dyn ExecutionPlan>) -> datafusion_common::Result<Transformed<Arc<dyn ExecutionPlan>>> {
    match plan.name().contains("Join") {
        true => Ok(Transformed::yes(Arc::new(CooperativeExec::new(plan)))),
        false => Ok(Transformed::no(plan)),
    }
}

/// The version of `relation` that this query reads, the same wherever it is named.
fn version(versions: &mut BTreeMap<String, Version>, relation: &Arc<Relation>) -> datafusion_common::Result<Version> {
    if let Some(version) = versions.get(relation.name()) {
        return Ok(version.clone());
    }
    let version = relation.snapshot(RECOVERY_PATIENCE).map_err(|error| {
        let state = SqlError::new(SqlState::NotReady, error.to_string());
        match error.hint() {
            Some(hint) => state.with_hint(hint.to_string()),
            None => state,
        }
    })?;
    versions.insert(relation.name().to_string(), version.clone());
    Ok(version)
}

/// Something to run DataFusion's futures on; nothing of it waits for the outside world.
fn runtime() -> Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.map_err(|e| SqlError::new(SqlState::IoError, format!("a query cannot be started: {e}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow::datatypes::{DataType, Field, Schema};
    use eddyline_engine::relation::RelationKind;

    use super::*;

    #[test]
    fn a_query_that_names_a_view_twice_reads_one_version_of_it() {
        let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]));
        let view = Arc::new(Relation::new(RelationKind::View, "v", schema, Some(vec![0])).unwrap());
        let mut versions = BTreeMap::new();
        view.publish(3, vec![view.shard()]);
        assert_eq!(version(&mut versions, &view).unwrap().number(), 3);
        view.publish(4, vec![view.shard()]);
        assert_eq!(version(&mut versions, &view).unwrap().number(), 3);
        assert_eq!(version(&mut BTreeMap::new(), &view).unwrap().number(), 4, "the next query reads the next one");
    }
}
