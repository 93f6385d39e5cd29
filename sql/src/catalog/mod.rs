//! The catalog: tables, views and materialized views by name, in memory.
//!
//! There is one catalog with one database, `default_catalog`.`default_database`, whose names may be written or left
//! out. Names are case-sensitive. A temporary object hides a permanent one of the same name. Nothing is planned here:
//! expressions stay AST, and types of computed columns are the planner's to say.

mod alter;
mod like;
mod materialized;
mod show;
mod table;

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlparser::ast::Query;

pub use materialized::MaterializedView;
pub use show::{DescribedColumn, redact};
pub use table::CatalogTable;

use crate::error::{Result, SqlError, SqlState};
use crate::statement::{AlterTable, AlterView, CreateTable, CreateView, Drop, ObjectKind, TableName};
use crate::types::ColumnType;

/// Name of the only catalog.
pub const CATALOG: &str = "default_catalog";
/// Name of the only database.
pub const DATABASE: &str = "default_database";
/// What clients of PostgreSQL call [`DATABASE`].
pub const PUBLIC: &str = "public";

/// A named query.
#[derive(Debug, Clone, PartialEq)]
pub struct CatalogView {
    /// Name.
    pub name: String,
    /// New names of the query's columns; empty to keep them.
    pub columns: Vec<String>,
    /// `COMMENT`.
    pub comment: Option<String>,
    /// The query.
    pub query: Box<Query>,
    /// The query as the user wrote it.
    pub query_text: String,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq)]
pub enum CatalogObject {
    /// Rows in an external system.
    Table(Arc<CatalogTable>),
    /// A named query.
    View(Arc<CatalogView>),
    /// A named query whose result is kept current.
    Materialized(Arc<MaterializedView>),
}

impl CatalogObject {
    /// What it is.
    pub fn kind(&self) -> ObjectKind {
        match self {
            CatalogObject::Table(_) => ObjectKind::Table,
            CatalogObject::View(_) => ObjectKind::View,
            CatalogObject::Materialized(_) => ObjectKind::MaterializedView,
        }
    }

    /// The table; an error for a view.
    pub fn table(&self) -> Result<&Arc<CatalogTable>> {
        let name = match self {
            CatalogObject::Table(table) => return Ok(table),
            CatalogObject::View(view) => &view.name,
            CatalogObject::Materialized(view) => view.name(),
        };
        let message = format!("'{name}' is a {}, not a table", word(self.kind()));
        Err(SqlError::new(SqlState::InvalidTableDefinition, message))
    }
}

/// All tables and views.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Catalog {
    permanent: BTreeMap<String, CatalogObject>,
    temporary: BTreeMap<String, CatalogObject>,
}

impl Catalog {
    /// The permanent objects of one catalog below the temporary ones of another.
    pub fn layered(permanent: &Catalog, temporary: &Catalog) -> Self {
        Catalog { permanent: permanent.permanent.clone(), temporary: temporary.temporary.clone() }
    }

    /// The permanent and the temporary objects, each as a catalog.
    pub fn split(self) -> (Catalog, Catalog) {
        let permanent = Catalog { permanent: self.permanent, temporary: BTreeMap::new() };
        (permanent, Catalog { permanent: BTreeMap::new(), temporary: self.temporary })
    }

    /// What `name` stands for; an unknown name is an error that suggests the nearest one.
    pub fn get(&self, name: &TableName) -> Result<&CatalogObject> {
        let found = if self.is_here(name) { self.find(name.table()) } else { None };
        found.ok_or_else(|| self.unknown(name))
    }

    /// What the bare `name` stands for.
    pub fn find(&self, name: &str) -> Option<&CatalogObject> {
        self.temporary.get(name).or_else(|| self.permanent.get(name))
    }

    /// True when `name` is qualified with nothing or with the only catalog and database.
    pub fn is_here(&self, name: &TableName) -> bool {
        match &name.parts[..name.parts.len().saturating_sub(1)] {
            [] => true,
            [database] => database == DATABASE || database == PUBLIC,
            [catalog, database] => catalog == CATALOG && (database == DATABASE || database == PUBLIC),
            _ => false,
        }
    }

    /// Names of all tables and views in order.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.permanent.keys().chain(self.temporary.keys()).map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Names of all views in order.
    pub fn views(&self) -> Vec<&str> {
        let is_view = |name: &&str| matches!(self.find(name), Some(CatalogObject::View(_)));
        self.names().into_iter().filter(is_view).collect()
    }

    /// The table of our own of this name, if there is one; a temporary object may hide it.
    pub fn own_table(&self, name: &str) -> Option<&Arc<CatalogTable>> {
        match self.find(name) {
            Some(CatalogObject::Table(table)) if table.is_own() && !self.temporary.contains_key(name) => Some(table),
            _ => None,
        }
    }

    /// Names of all tables of our own.
    pub fn own_tables(&self) -> Vec<&str> {
        self.names().into_iter().filter(|name| self.own_table(name).is_some()).collect()
    }

    /// Adds a table. `query_columns` are the names and types of the query behind `AS`, if there is one. False when
    /// the table is there already and the statement says `IF NOT EXISTS`.
    pub fn create_table(&mut self, create: &CreateTable, query_columns: &[(String, ColumnType)]) -> Result<bool> {
        if !self.may_create(&create.name, create.temporary, create.if_not_exists)? {
            return Ok(false);
        }
        let source = match &create.like {
            Some(like) => Some(self.get(&like.source)?.table().map_err(|e| e.at(like.source.position))?.clone()),
            None => None,
        };
        let table = CatalogTable::new(create, source.as_deref(), query_columns)?;
        let object = CatalogObject::Table(Arc::new(table));
        self.layer(create.temporary).insert(create.name.table().to_string(), object);
        Ok(true)
    }

    /// Adds a view. False when something of that name is there already and the statement says `IF NOT EXISTS`.
    pub fn create_view(&mut self, create: &CreateView) -> Result<bool> {
        if !self.may_create(&create.name, create.temporary, create.if_not_exists)? {
            return Ok(false);
        }
        let name = create.name.table().to_string();
        let view = CatalogView {
            name: name.clone(),
            columns: create.columns.clone(),
            comment: create.comment.clone(),
            query: create.query.clone(),
            query_text: create.query_text.clone(),
        };
        self.layer(create.temporary).insert(name, CatalogObject::View(Arc::new(view)));
        Ok(true)
    }

    /// Takes a table or view away. False when there is none and the statement says `IF EXISTS`.
    pub fn drop(&mut self, drop: &Drop) -> Result<bool> {
        let (name, kind) = (drop.name.table(), word(drop.kind));
        let here = self.is_here(&drop.name);
        let fits = |object: Option<&CatalogObject>| here && object.is_some_and(|o| o.kind() == drop.kind);
        if !drop.temporary && fits(self.temporary.get(name)) {
            let message = format!(
                "Temporary {kind} with identifier '{name}' exists. Drop it first before removing the permanent {kind}"
            );
            return Err(SqlError::new(SqlState::InvalidTableDefinition, message)
                .with_hint(format!("write DROP TEMPORARY {}", kind.to_uppercase()))
                .at(drop.name.position));
        }
        if fits(self.layer(drop.temporary).get(name)) {
            self.layer(drop.temporary).remove(name);
            return Ok(true);
        }
        if drop.if_exists {
            return Ok(false);
        }
        let mut error = self.unknown(&drop.name);
        error.message = format!("{} with identifier '{}' does not exist", capital(kind), drop.name);
        if let Some(other) = self.find(name).filter(|_| here) {
            let what = word(other.kind());
            error.hint = Some(format!("'{name}' is a {what}: write DROP {}", what.to_uppercase()));
        }
        Err(error)
    }

    /// Changes a table. False when there is none and the statement says `IF EXISTS`.
    pub fn alter_table(&mut self, alter: &AlterTable) -> Result<bool> {
        let at = alter.name.position;
        let object = match self.get(&alter.name) {
            Ok(object) => object,
            Err(_) if alter.if_exists => return Ok(false),
            Err(error) => return Err(error),
        };
        let mut table = object.table().map_err(|e| e.at(at))?.as_ref().clone();
        for action in &alter.actions {
            table.alter(action).map_err(|e| if e.position.is_none() { e.at(at) } else { e })?;
        }
        table.validate()?;
        self.replace(alter.name.table(), CatalogObject::Table(Arc::new(table)))
    }

    /// Changes a view.
    pub fn alter_view(&mut self, alter: &AlterView) -> Result<()> {
        let (AlterView::Rename { name, .. } | AlterView::Query { name, .. }) = alter;
        let view = match self.get(name)? {
            CatalogObject::View(view) => view,
            other => {
                let message = format!("'{name}' is a {}, not a view", word(other.kind()));
                return Err(SqlError::new(SqlState::InvalidTableDefinition, message).at(name.position));
            }
        };
        let mut view = view.as_ref().clone();
        match alter {
            AlterView::Rename { to, .. } => view.name = to.table().to_string(),
            AlterView::Query { query, query_text, .. } => {
                view.query = query.clone();
                view.query_text = query_text.clone();
                view.columns.clear();
            }
        }
        self.replace(name.table(), CatalogObject::View(Arc::new(view))).map(drop)
    }

    /// Puts `object` where `old` was, under its own name.
    fn replace(&mut self, old: &str, object: CatalogObject) -> Result<bool> {
        let temporary = self.temporary.contains_key(old);
        let name = match &object {
            CatalogObject::Table(table) => table.name.clone(),
            CatalogObject::View(view) => view.name.clone(),
            CatalogObject::Materialized(view) => view.name().to_string(),
        };
        if name != old && self.layer(temporary).contains_key(&name) {
            return Err(SqlError::duplicate_table(&name));
        }
        self.layer(temporary).remove(old);
        self.layer(temporary).insert(name, object);
        Ok(true)
    }

    fn may_create(&mut self, name: &TableName, temporary: bool, if_not_exists: bool) -> Result<bool> {
        if !self.is_here(name) {
            return Err(SqlError::unsupported(format!("'{name}': there are no other catalogs or databases"))
                .with_hint(format!("the only ones are {CATALOG}.{DATABASE}; leave the qualifier out"))
                .at(name.position));
        }
        match self.layer(temporary).contains_key(name.table()) {
            true if if_not_exists => Ok(false),
            true => Err(SqlError::duplicate_table(name.table())
                .with_hint("drop it first, or write IF NOT EXISTS")
                .at(name.position)),
            false => Ok(true),
        }
    }

    fn layer(&mut self, temporary: bool) -> &mut BTreeMap<String, CatalogObject> {
        if temporary { &mut self.temporary } else { &mut self.permanent }
    }

    fn unknown(&self, name: &TableName) -> SqlError {
        let shown = if self.is_here(name) { name.table().to_string() } else { name.to_string() };
        SqlError::unknown_table(&shown, self.names()).at(name.position)
    }
}

/// What an object of this kind is called in a sentence.
pub(crate) fn word(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Table => "table",
        ObjectKind::View => "view",
        ObjectKind::MaterializedView => "materialized view",
    }
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
