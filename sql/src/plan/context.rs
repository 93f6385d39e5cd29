//! What DataFusion's planner asks us: tables, functions, types.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::config::ConfigOptions;
use datafusion_common::{Column, DFSchema, Result, TableReference, plan_err};
use datafusion_expr::expr::{Alias, FieldMetadata};
use datafusion_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner, TypePlanner};
use datafusion_expr::{
    AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, LogicalPlanBuilder, ScalarUDF, TableSource, WindowUDF,
};
use datafusion_sql::planner::{NullOrdering, ParserOptions, PlannerContext, SqlToRel};
use eddyline_engine::connector::{Registry, SourceChanges};
use eddyline_engine::relation::Relation;
use sqlparser::ast::{Expr as Ast, Query, Statement};

use super::attributes;
use super::nodes::WatermarkAssign;
use super::normalize::Normalize;
use super::prepare::{prepare, prepare_expr};
use super::relation::StreamingRelations;
use super::source::{PlannedRelation, TableRelation};
use crate::catalog::{Catalog, CatalogObject, CatalogTable, MaterializedView};
use crate::error::{SqlError, SqlState};
use crate::functions::Functions;
use crate::relations::Relations;
use crate::statement::ColumnDefinitionKind;

/// Tables and functions of one session at one moment.
pub struct Tables {
    catalog: Catalog,
    registry: Registry,
    functions: Arc<Functions>,
    repeated_changes: bool,
    relations: Arc<Relations>,
    fed: Option<Arc<Relation>>,
}

impl Tables {
    /// A view of `catalog` for planning.
    pub fn new(catalog: Catalog, registry: Registry, functions: Arc<Functions>) -> Self {
        Tables { catalog, registry, functions, repeated_changes: false, relations: Arc::default(), fed: None }
    }

    /// The same with the rows of materialized views.
    pub fn with_relations(self, relations: Arc<Relations>) -> Self {
        Tables { relations, ..self }
    }

    /// The same for planning what feeds `fed`.
    pub fn feeding(self, fed: Option<Arc<Relation>>) -> Self {
        Tables { fed, ..self }
    }

    /// The same where the changes of a table may be read more than once, if `repeated_changes`.
    pub fn with_repeated_changes(self, repeated_changes: bool) -> Self {
        Tables { repeated_changes, ..self }
    }

    /// The session's functions.
    pub fn functions(&self) -> &Functions {
        &self.functions
    }

    /// Plans a query: names resolved, types not yet coerced.
    pub fn plan_query(self: &Arc<Self>, mut query: Query) -> Result<LogicalPlan> {
        prepare(&mut query)?;
        let context = PlanningContext::new(Arc::clone(self));
        let planner = SqlToRel::new_with_options(&context, parser_options());
        planner.sql_statement_to_plan(Statement::Query(Box::new(query)))
    }

    /// The relation that `name` stands for, with the options of a hint laid over its own.
    pub fn source(
        self: &Arc<Self>,
        name: &TableReference,
        hint: &BTreeMap<String, String>,
    ) -> Result<Arc<dyn TableSource>> {
        match self.catalog.find(name.table()) {
            Some(CatalogObject::Table(table)) => self.table_source(table, hint),
            Some(CatalogObject::View(view)) => {
                let mut plan = self.plan_query(view.query.as_ref().clone())?;
                if !view.columns.is_empty() {
                    plan = rename(plan, &view.columns)?;
                }
                Ok(Arc::new(PlannedRelation::new(plan)))
            }
            Some(CatalogObject::Materialized(view)) => self.relation_source(view, hint),
            None => Err(SqlError::unknown_table(name.table(), self.catalog.names()).into()),
        }
    }

    fn relation_source(
        &self,
        view: &MaterializedView,
        hint: &BTreeMap<String, String>,
    ) -> Result<Arc<dyn TableSource>> {
        let name = view.name();
        refuse_hint(&format!("materialized view '{name}'"), hint)?;
        let relation = self.relations.get(name).ok_or_else(|| {
            SqlError::new(SqlState::UndefinedTable, format!("materialized view '{name}' was dropped"))
        })?;
        Ok(Arc::new(TableRelation::of_relation(view.description(), relation, self.fed.clone())))
    }

    fn table_source(
        self: &Arc<Self>,
        table: &CatalogTable,
        hint: &BTreeMap<String, String>,
    ) -> Result<Arc<dyn TableSource>> {
        let relation = self.table_relation(table, hint)?;
        let computed = table.columns.iter().any(|c| matches!(c.kind, ColumnDefinitionKind::Computed { .. }));
        let key = self.normalized_key(&relation)?;
        if !computed && table.watermark.is_none() && key.is_empty() {
            return Ok(Arc::new(relation));
        }
        let mut plan = LogicalPlanBuilder::scan(table.name.clone(), Arc::new(relation), None)?.build()?;
        if computed {
            plan = self.compute_columns(plan, table)?;
        }
        if let Some(watermark) = &table.watermark {
            let expression = self.plan_expr(&watermark.expr, plan.schema())?;
            let index = plan.schema().index_of_column_by_name(None, &watermark.column);
            let Some(index) = index else {
                let known = plan.schema().fields().iter().map(|f| f.name().as_str());
                return Err(SqlError::unknown_column(&watermark.column, known).at(watermark.position).into());
            };
            check_time_column(&watermark.column, plan.schema().field(index).data_type())?;
            let column = Expr::Column(Column::from(plan.schema().qualified_field(index)));
            plan = WatermarkAssign::try_new(plan, column, expression)?.into_plan();
        }
        if !key.is_empty() {
            plan = Normalize::try_new(plan, &key)?.into_plan();
        }
        Ok(Arc::new(PlannedRelation::new(plan)))
    }

    /// Where the rows of a table are: with us, or behind a connector.
    fn table_relation(&self, table: &CatalogTable, hint: &BTreeMap<String, String>) -> Result<TableRelation> {
        let description = table.description(hint);
        if self.catalog.own_table(&table.name).is_none() {
            return Ok(TableRelation::new(table.name.clone(), description, self.registry.clone()));
        }
        refuse_hint(&format!("table '{}'", table.name), hint)?;
        let relation = self
            .relations
            .get(&table.name)
            .ok_or_else(|| SqlError::new(SqlState::UndefinedTable, format!("table '{}' was dropped", table.name)))?;
        Ok(TableRelation::of_relation(description, relation, self.fed.clone()))
    }

    /// The key by which a table must be normalized; empty when its changes are exact as they are read.
    fn normalized_key(&self, relation: &TableRelation) -> Result<Vec<String>> {
        match relation.changes() {
            Some(SourceChanges::Upsert) => Ok(relation.primary_key().to_vec()),
            Some(SourceChanges::Retract) if self.repeated_changes && relation.primary_key().is_empty() => {
                let message = format!(
                    "Configuration '{}' is enabled which requires the changelog sources to define a PRIMARY KEY.",
                    crate::config::CDC_DUPLICATES
                );
                Err(SqlError::new(crate::error::SqlState::InvalidTableDefinition, message).into())
            }
            Some(SourceChanges::Retract) if self.repeated_changes => Ok(relation.primary_key().to_vec()),
            _ => Ok(Vec::new()),
        }
    }

    fn compute_columns(self: &Arc<Self>, scan: LogicalPlan, table: &CatalogTable) -> Result<LogicalPlan> {
        let mut columns = Vec::with_capacity(table.columns.len());
        for column in &table.columns {
            columns.push(match &column.kind {
                ColumnDefinitionKind::Computed { expr } => {
                    let planned = self.plan_expr(expr, scan.schema())?;
                    let is_proctime = expr.to_string().eq_ignore_ascii_case("PROCTIME()");
                    let metadata = is_proctime.then(|| FieldMetadata::from(proctime_marks()));
                    Expr::Alias(Alias::new(planned, None::<&str>, &column.name).with_metadata(metadata))
                }
                _ => Expr::Column(Column::new(Some(table.name.clone()), &column.name)),
            });
        }
        LogicalPlanBuilder::from(scan).project(columns)?.build()
    }

    fn plan_expr(self: &Arc<Self>, expr: &Ast, schema: &DFSchema) -> Result<Expr> {
        let mut expr = expr.clone();
        prepare_expr(&mut expr)?;
        let context = PlanningContext::new(Arc::clone(self));
        let planner = SqlToRel::new_with_options(&context, parser_options());
        planner.sql_to_expr(expr, schema, &mut PlannerContext::new())
    }
}

/// Relations have no options that a hint could change.
fn refuse_hint(title: &str, hint: &BTreeMap<String, String>) -> Result<()> {
    let Some(key) = hint.keys().next() else { return Ok(()) };
    let message = format!("{title} has no options, not '{key}' either");
    Err(SqlError::new(SqlState::InvalidParameter, message).with_hint("leave out the hint").into())
}

fn proctime_marks() -> std::collections::BTreeMap<String, String> {
    attributes::proctime_metadata().into_iter().collect()
}

fn check_time_column(name: &str, data_type: &DataType) -> Result<()> {
    match data_type {
        DataType::Timestamp(arrow::datatypes::TimeUnit::Second | arrow::datatypes::TimeUnit::Millisecond, _) => Ok(()),
        other => Err(SqlError::new(
            crate::error::SqlState::InvalidTableDefinition,
            format!(
                "Invalid data type of time field for watermark definition. The field must be of type TIMESTAMP(p) or \
                 TIMESTAMP_LTZ(p), the supported precision 'p' is from 0 to 3, but the time field '{name}' is {}",
                crate::types::FlinkType::from_arrow(other)
            ),
        )
        .into()),
    }
}

/// `plan` with its columns called `names`.
pub(super) fn rename(plan: LogicalPlan, names: &[String]) -> Result<LogicalPlan> {
    let fields = plan.schema().fields().len();
    if fields != names.len() {
        return plan_err!("the view names {} columns, its query has {fields}", names.len());
    }
    let renamed: Vec<Expr> = (0..fields)
        .map(|i| Expr::Column(Column::from(plan.schema().qualified_field(i))).alias(names[i].clone()))
        .collect();
    LogicalPlanBuilder::from(plan).project(renamed)?.build()
}

fn parser_options() -> ParserOptions {
    ParserOptions::new()
        .with_parse_float_as_decimal(true)
        .with_enable_ident_normalization(false)
        .with_collect_spans(true)
        .with_map_string_types_to_utf8view(false)
        // To Flink NULL is less than any value.
        .with_default_null_ordering(NullOrdering::NullsMin)
}

struct PlanningContext {
    tables: Arc<Tables>,
    options: ConfigOptions,
    relation_planners: Vec<Arc<dyn RelationPlanner>>,
}

impl PlanningContext {
    fn new(tables: Arc<Tables>) -> Self {
        let relation_planners: Vec<Arc<dyn RelationPlanner>> =
            vec![Arc::new(StreamingRelations::new(Arc::clone(&tables)))];
        let mut options = ConfigOptions::default();
        options.sql_parser.enable_ident_normalization = false;
        options.sql_parser.map_string_types_to_utf8view = false;
        PlanningContext { tables, options, relation_planners }
    }
}

impl ContextProvider for PlanningContext {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        self.tables.source(&name, &BTreeMap::new())
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.tables.functions.expr_planners
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relation_planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::clone(&self.tables.functions.type_planner))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        lookup(&self.tables.functions.scalar, name)
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        match name.to_uppercase().as_str() {
            "GROUPING" | "GROUPING_ID" => Some(datafusion_functions_aggregate::grouping::grouping_udaf()),
            _ => lookup(&self.tables.functions.aggregate, name),
        }
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        name.eq_ignore_ascii_case("row_number").then(super::dedup::row_number)
    }

    fn get_variable_type(&self, _variable_names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        self.tables.functions.scalar.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.tables.functions.aggregate.keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}

fn lookup<T>(functions: &HashMap<String, Arc<T>>, name: &str) -> Option<Arc<T>> {
    functions.get(name).or_else(|| functions.get(&name.to_lowercase())).cloned()
}
