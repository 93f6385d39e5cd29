//! The relations of an engine: the rows of its materialized views and of its own tables, by name; and how a query's plan reads
//! one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eddyline_engine::connector::{
    ConnectorFactory, OptionSpec, SourceChanges, TableDescription, TableSink, TableSource,
};
use eddyline_engine::relation::{Relation, RelationKind, RelationSourceFactory, Table};

use crate::catalog::{Catalog, CatalogTable, MaterializedView};
use crate::error::{Result, SqlError, SqlState};

/// What the option `connector` of a relation says, inside the planner only.
pub(crate) const CONNECTOR: &str = "eddyline.relation";

/// The rows of one view or table.
#[derive(Debug, Clone)]
enum Kept {
    /// A job feeds it.
    View(Arc<Relation>),
    /// Statements do.
    Table(Arc<Table>),
}

impl Kept {
    fn relation(&self) -> &Arc<Relation> {
        match self {
            Kept::View(relation) => relation,
            Kept::Table(table) => table.relation(),
        }
    }
}

/// Relations by name.
#[derive(Debug, Default)]
pub struct Relations {
    kept: Mutex<BTreeMap<String, Kept>>,
    /// Where the logs of tables are; without, tables live as long as the process.
    logs: Option<PathBuf>,
}

impl Relations {
    /// The relations of all materialized views of `catalog`, which have no version yet, and of all its tables of our own,
    /// with the rows that their logs in `logs` hold. Logs of tables that are gone from the catalog get `.dropped` behind
    /// their names: the process died while they were dropped, or the catalog is not the one that it was.
    pub(crate) fn of(catalog: &Catalog, logs: PathBuf) -> Result<Self> {
        let failed = |e| SqlError::new(SqlState::IoError, format!("{} cannot be used: {e}", logs.display()));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&logs).map_err(failed)?;
        let relations = Relations { kept: Mutex::default(), logs: Some(logs.clone()) };
        for name in catalog.materialized_views() {
            if let Some(view) = catalog.materialized_view(name) {
                relations.declare(view)?;
            }
        }
        let mut known = BTreeSet::new();
        for table in catalog.own_tables().into_iter().filter_map(|name| catalog.own_table(name)) {
            let path = logs.join(log_name(&table.name));
            let opened = Table::open(&table.name, table.stored_schema(), table.stored_key(), &path)?;
            relations.lock().insert(table.name.clone(), Kept::Table(Arc::new(opened)));
            known.insert(path);
        }
        for entry in fs::read_dir(&logs).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if !known.contains(&path) && path.extension().is_some_and(|extension| extension == "log") {
                fs::rename(&path, path.with_extension("log.dropped")).map_err(failed)?;
            }
        }
        Ok(relations)
    }

    /// A new relation for `view`, in the place of any of that name.
    pub(crate) fn declare(&self, view: &MaterializedView) -> Result<Arc<Relation>> {
        let relation = Relation::new(RelationKind::View, view.name(), view.schema.clone(), view.key.clone())?;
        let relation = Arc::new(relation);
        self.lock().insert(view.name().to_string(), Kept::View(Arc::clone(&relation)));
        Ok(relation)
    }

    /// A new, empty table, in the place of any of that name.
    pub(crate) fn declare_table(&self, table: &CatalogTable) -> Result<()> {
        self.remove(&table.name)?;
        let (schema, key) = (table.stored_schema(), table.stored_key());
        let table = match &self.logs {
            None => Table::in_memory(&table.name, schema, key)?,
            Some(logs) => {
                let path = logs.join(log_name(&table.name));
                // What an earlier table of this name has left if it could not be deleted.
                match fs::remove_file(&path) {
                    Err(e) if e.kind() != ErrorKind::NotFound => {
                        let message = format!("{} cannot be deleted: {e}", path.display());
                        return Err(SqlError::new(SqlState::IoError, message));
                    }
                    _ => Table::open(&table.name, schema, key, &path)?,
                }
            }
        };
        self.lock().insert(table.relation().name().to_string(), Kept::Table(Arc::new(table)));
        Ok(())
    }

    /// The relation called `name`.
    pub fn get(&self, name: &str) -> Option<Arc<Relation>> {
        self.lock().get(name).map(|kept| Arc::clone(kept.relation()))
    }

    /// The table of our own called `name`.
    pub(crate) fn table(&self, name: &str) -> Option<Arc<Table>> {
        match self.lock().get(name) {
            Some(Kept::Table(table)) => Some(Arc::clone(table)),
            _ => None,
        }
    }

    /// All tables of our own.
    pub(crate) fn tables(&self) -> Vec<Arc<Table>> {
        let table = |kept: &Kept| match kept {
            Kept::Table(table) => Some(Arc::clone(table)),
            Kept::View(_) => None,
        };
        self.lock().values().filter_map(table).collect()
    }

    /// Takes a relation away, tells its readers, and deletes the rows of a table.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        let removed = self.lock().remove(name);
        match removed {
            Some(Kept::View(relation)) => relation.close("was dropped"),
            Some(Kept::Table(table)) => table.remove()?,
            None => {}
        }
        Ok(())
    }

    /// Takes a table without rows away; false when it has some.
    pub(crate) fn remove_empty(&self, name: &str) -> Result<bool> {
        let removed = self.table(name).map_or(Ok(true), |table| table.remove_empty())?;
        if removed {
            self.lock().remove(name);
        }
        Ok(removed)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of a table's log: what is no letter or digit is written in hexadecimal digits.
fn log_name(table: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let written = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") };
    table.bytes().map(written).chain([".log".to_string()]).collect()
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
        "A materialized view, or a table of our own."
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
        Err(eddyline_engine::Error::internal(format!("'{}' is written by no job but its own", table.name)))
    }
}
