//! The relations of an engine: the rows of its materialized views, by name; and how a query's plan reads one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eddyline_engine::connector::{
    ConnectorFactory, OptionSpec, SourceChanges, TableDescription, TableSink, TableSource,
};
use eddyline_engine::relation::{Relation, RelationKind, RelationSourceFactory};

use crate::catalog::{Catalog, MaterializedView};
use crate::error::Result;

/// What the option `connector` of a relation says, inside the planner only.
pub(crate) const CONNECTOR: &str = "eddyline.relation";

/// Relations by name.
#[derive(Debug, Default)]
pub struct Relations(Mutex<BTreeMap<String, Arc<Relation>>>);

impl Relations {
    /// Makes the relations of all materialized views of `catalog`; they have no version yet.
    pub(crate) fn of(catalog: &Catalog) -> Result<Self> {
        let relations = Relations::default();
        for name in catalog.materialized_views() {
            if let Some(view) = catalog.materialized_view(name) {
                relations.declare(view)?;
            }
        }
        Ok(relations)
    }

    /// A new relation for `view`, in the place of any of that name.
    pub(crate) fn declare(&self, view: &MaterializedView) -> Result<Arc<Relation>> {
        let relation = Relation::new(RelationKind::View, view.name(), view.schema.clone(), view.key.clone())?;
        let relation = Arc::new(relation);
        self.lock().insert(view.name().to_string(), Arc::clone(&relation));
        Ok(relation)
    }

    /// The relation called `name`.
    pub fn get(&self, name: &str) -> Option<Arc<Relation>> {
        self.lock().get(name).cloned()
    }

    /// Takes a relation away and tells its readers.
    pub(crate) fn remove(&self, name: &str) {
        if let Some(relation) = self.lock().remove(name) {
            relation.close("was dropped");
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Relation>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connector through which plans read one relation.
pub(crate) struct RelationConnector {
    /// What is read.
    pub(crate) relation: Arc<Relation>,
    /// The view that the plan is for, if it is for one.
    pub(crate) fed: Option<Arc<Relation>>,
}

impl ConnectorFactory for RelationConnector {
    fn identifier(&self) -> &'static str {
        CONNECTOR
    }

    fn doc(&self) -> &'static str {
        "A materialized view."
    }

    fn options(&self) -> Vec<OptionSpec> {
        Vec::new()
    }

    fn source(&self, _table: &TableDescription) -> eddyline_engine::Result<TableSource> {
        let factory = RelationSourceFactory::new(Arc::clone(&self.relation), self.fed.clone());
        Ok(TableSource {
            factory: Arc::new(factory),
            changes: SourceChanges::Retract,
            bounded: false,
            max_parallelism: Some(1),
        })
    }

    fn sink(&self, table: &TableDescription) -> eddyline_engine::Result<TableSink> {
        Err(eddyline_engine::Error::internal(format!("'{}' is written by its own job", table.name)))
    }
}
