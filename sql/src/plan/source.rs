//! Tables and views as DataFusion sees them.
//!
//! A table of the catalog becomes a plan of up to three layers: the connector's columns ([`TableRelation`], a scan), the
//! computed columns (a projection), the watermark (a node of ours). DataFusion inlines that plan wherever the table is
//! named, so that unused computed columns and unread columns disappear by its ordinary rules.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion_expr::logical_plan::TableScan;
use datafusion_expr::{LogicalPlan, TableSource};
use eddyline_engine::connector::{
    ConnectorFactory, Registry, SourceChanges, TableDescription, TableSink, TableSource as Source, nearest,
};

use eddyline_engine::relation::Relation;

use crate::error::{Result, SqlError, SqlState};
use crate::relations::{CONNECTOR, RelationConnector};

/// The connector's side of a table: physical and metadata columns.
#[derive(Clone)]
pub struct TableRelation {
    name: String,
    description: TableDescription,
    registry: Registry,
    schema: SchemaRef,
    live: Option<Arc<Relation>>,
}

impl TableRelation {
    /// The table `name` as `description` says, options of hints included.
    pub fn new(name: String, description: TableDescription, registry: Registry) -> Self {
        let schema = description.source_schema();
        TableRelation { name, description, registry, schema, live: None }
    }

    /// A materialized view, which reads `relation` for the view `fed`, if it is for one.
    pub fn of_relation(mut description: TableDescription, relation: Arc<Relation>, fed: Option<Arc<Relation>>) -> Self {
        description.options.insert("connector".to_string(), CONNECTOR.to_string());
        let connector = RelationConnector { relation: Arc::clone(&relation), fed };
        let registry = Registry::default().with(Arc::new(connector));
        let own = TableRelation::new(description.name.clone(), description, registry);
        TableRelation { live: Some(relation), ..own }
    }

    /// The rows that are kept current here, when it is a view that is.
    pub fn live(&self) -> Option<&Arc<Relation>> {
        self.live.as_ref()
    }

    /// The relation under a scan.
    pub fn of(scan: &TableScan) -> Result<&TableRelation> {
        let any: &dyn std::any::Any = scan.source.as_ref();
        any.downcast_ref::<TableRelation>().ok_or_else(|| SqlError::internal("a scan of something else than a table"))
    }

    /// `default_catalog.default_database.t`.
    pub fn qualified_name(&self) -> String {
        format!("default_catalog.default_database.{}", self.name)
    }

    /// True when both read the same: the same table with the same options.
    pub fn is_same(&self, other: &TableRelation) -> bool {
        self.name == other.name && self.description == other.description
    }

    /// The primary key as declared; empty without one.
    pub fn primary_key(&self) -> &[String] {
        &self.description.primary_key
    }

    /// What changes it gives; None for a table that cannot be read, which says why when it is planned.
    pub fn changes(&self) -> Option<SourceChanges> {
        let source = connector(&self.registry, &self.description).and_then(|c| Ok(c.source(&self.description)?));
        source.ok().map(|source| source.changes)
    }

    /// The source, and which columns of the table it gives: those of `projection` (in its order) when the connector can
    /// leave columns out, else all.
    pub fn open_source(&self, projection: &[usize]) -> Result<(Source, Vec<usize>)> {
        let connector = connector(&self.registry, &self.description)?;
        let width = self.description.columns.len();
        if projection.len() < width && connector.reads_any_columns(&self.description) {
            let mut narrow = self.description.clone();
            narrow.columns = projection.iter().map(|i| self.description.columns[*i].clone()).collect();
            return Ok((connector.source(&narrow)?, projection.to_vec()));
        }
        Ok((connector.source(&self.description)?, (0..width).collect()))
    }

    /// The schema of these columns as `source` gives them.
    pub fn schema_of(&self, source: &Source, columns: &[usize]) -> SchemaRef {
        let all = match source.changes {
            SourceChanges::Upsert => self.description.upsert_schema(),
            _ => Arc::clone(&self.schema),
        };
        Arc::new(Schema::new(columns.iter().map(|i| Arc::clone(&all.fields()[*i])).collect::<Vec<_>>()))
    }
}

impl TableSource for TableRelation {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

/// A view, or a table with computed columns or a watermark: a plan with a name.
pub struct PlannedRelation {
    plan: LogicalPlan,
    schema: SchemaRef,
}

impl PlannedRelation {
    /// The relation that `plan` computes.
    pub fn new(plan: LogicalPlan) -> Self {
        let schema = Arc::new(plan.schema().as_arrow().clone());
        PlannedRelation { plan, schema }
    }
}

impl TableSource for PlannedRelation {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn get_logical_plan(&'_ self) -> Option<Cow<'_, LogicalPlan>> {
        Some(Cow::Borrowed(&self.plan))
    }
}

/// The connector of a table, by its option `connector`.
pub fn connector<'a>(registry: &'a Registry, table: &TableDescription) -> Result<&'a Arc<dyn ConnectorFactory>> {
    let known = || registry.iter().map(|c| c.identifier()).collect::<Vec<_>>().join(", ");
    let Some(name) = table.options.get("connector") else {
        let slip = table.options.keys().find(|key| nearest(key, ["connector"]).is_some());
        let hint = match slip {
            Some(slip) => format!("did you mean 'connector' where '{slip}' is written?"),
            None => format!("add 'connector' = '…' to WITH; known connectors: {}", known()),
        };
        return Err(SqlError::new(
            SqlState::InvalidTableDefinition,
            format!("Table '{}' does not define a connector: the option 'connector' is missing", table.name),
        )
        .with_hint(hint));
    };
    registry.get(name).ok_or_else(|| {
        SqlError::new(SqlState::InvalidParameter, format!("Could not find any factory for identifier '{name}'"))
            .with_hint(match nearest(name, registry.iter().map(|c| c.identifier())) {
                Some(near) => format!("did you mean '{near}'? Known connectors: {}", known()),
                None => format!("known connectors: {}", known()),
            })
    })
}

/// The sink of a table.
pub fn open_sink(registry: &Registry, table: &TableDescription) -> Result<TableSink> {
    Ok(connector(registry, table)?.sink(table)?)
}

/// The number of writers that a table asks for, whatever its connector.
pub fn sink_parallelism(table: &TableDescription) -> Result<Option<usize>> {
    const KEY: &str = "sink.parallelism";
    let Some(text) = table.options.get(KEY) else { return Ok(None) };
    match text.trim().parse() {
        Ok(parallelism @ 1..=128) => Ok(Some(parallelism)),
        _ => Err(SqlError::new(
            SqlState::InvalidParameter,
            format!(
                "Invalid value '{text}' for option '{KEY}' of table '{}': expected a number from 1 to 128",
                table.name
            ),
        )),
    }
}
