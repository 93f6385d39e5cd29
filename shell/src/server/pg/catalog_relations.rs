//! The relations of `pg_class` by their numbers, with what `datafusion-pg-catalog`, which gives the numbers, cannot know of
//! those that are ours: materialized views, definitions, comments and primary keys.
//!
//! It keeps the number of an object as long as there is one of that name, so what was found stays right until our catalog
//! changes. Only then are its tables read again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::Int32Type;
use datafusion::catalog::{SchemaProvider, Session};
use datafusion::common::DataFusionError;
use datafusion::datasource::TableProvider;
use datafusion::physical_plan::collect;
use eddyline_sql::catalog::PUBLIC;

use super::catalog_functions::quoted_name;

/// What is added to a table's number for that of its key.
pub const KEY_NUMBERS: i32 = 0x2000_0000;

/// What kind of relation an object of ours is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A table.
    Table,
    /// A view.
    View,
    /// A materialized view.
    Materialized,
}

impl Kind {
    /// `pg_class.relkind`.
    pub fn letter(self) -> &'static str {
        match self {
            Kind::Table => "r",
            Kind::View => "v",
            Kind::Materialized => "m",
        }
    }
}

/// What is known of an object beyond its columns.
#[derive(Debug, PartialEq, Eq)]
pub struct Facts {
    /// What it is.
    pub kind: Kind,
    /// The query of a view.
    pub definition: Option<String>,
    /// Its comment.
    pub comment: Option<String>,
    /// Its primary key.
    pub key: Option<Key>,
}

/// A primary key.
#[derive(Debug, PartialEq, Eq)]
pub struct Key {
    /// Name of the constraint.
    pub name: String,
    /// Its columns in order: their numbers in the table, from 1, and their names.
    pub columns: Vec<(i16, String)>,
}

impl Key {
    fn list(&self) -> String {
        self.columns.iter().map(|(_, name)| quoted_name(name)).collect::<Vec<_>>().join(", ")
    }
}

/// Our objects by name.
pub type FactsByName = BTreeMap<String, Arc<Facts>>;

/// Our objects as they are now; the same map as long as nothing has changed.
pub type Known = Arc<dyn Fn() -> Arc<FactsByName> + Send + Sync>;

/// A relation: its name, its row in pg_class, and what we know when it is ours.
pub struct Relation {
    /// Its name.
    pub name: String,
    /// Its row in pg_class.
    pub class: RecordBatch,
    /// What we know of it.
    pub facts: Option<Arc<Facts>>,
}

impl Relation {
    /// Its primary key.
    pub fn key(&self) -> Option<&Key> {
        self.facts.as_ref()?.key.as_ref()
    }
}

/// All relations by their numbers.
#[derive(Default)]
pub struct Numbered(pub BTreeMap<i32, Relation>);

impl Numbered {
    /// Those with a key, with their numbers.
    pub fn with_keys(&self) -> Vec<(i32, &Relation, &Key)> {
        self.0.iter().filter_map(|(number, relation)| Some((*number, relation, relation.key()?))).collect()
    }

    /// The query of the view with this number.
    pub fn view_definition(&self, number: i32) -> Option<String> {
        self.0.get(&number)?.facts.as_ref()?.definition.clone()
    }

    /// The comment of the object with this number.
    pub fn comment(&self, number: i32) -> Option<String> {
        self.0.get(&number)?.facts.as_ref()?.comment.clone()
    }

    /// The statement that would make the index with this number.
    pub fn index_definition(&self, number: i32) -> Option<String> {
        let (table, key) = self.keyed(number)?;
        let (index, table, list) = (quoted_name(&key.name), quoted_name(&table.name), key.list());
        Some(format!("CREATE UNIQUE INDEX {index} ON public.{table} USING btree ({list})"))
    }

    /// The name of the column at a place, from 1, of the index with this number.
    pub fn index_column(&self, number: i32, place: usize) -> Option<String> {
        let (_, key) = self.keyed(number)?;
        key.columns.get(place.checked_sub(1)?).map(|(_, name)| quoted_name(name))
    }

    /// The constraint with this number as it stands in a CREATE TABLE.
    pub fn constraint_definition(&self, number: i32) -> Option<String> {
        self.keyed(number).map(|(_, key)| format!("PRIMARY KEY ({})", key.list()))
    }

    /// The key with this number, with its table.
    fn keyed(&self, number: i32) -> Option<(&Relation, &Key)> {
        let table = self.0.get(&number.checked_sub(KEY_NUMBERS)?)?;
        Some((table, table.key()?))
    }
}

/// Finds the relations as they are now.
pub struct Relations {
    /// What `datafusion-pg-catalog` says.
    base: Arc<dyn SchemaProvider>,
    known: Known,
    /// What was found of which objects.
    seen: Mutex<Option<(Arc<FactsByName>, Arc<Numbered>)>>,
}

impl Relations {
    /// The relations of `base`, of which `known` are ours.
    pub fn new(base: Arc<dyn SchemaProvider>, known: Known) -> Self {
        Relations { base, known, seen: Mutex::default() }
    }

    /// All of them as they are now.
    pub async fn now(&self, state: &dyn Session) -> Result<Arc<Numbered>, DataFusionError> {
        let known = (self.known)();
        if let Some((of, numbered)) = &*self.seen.lock().unwrap_or_else(PoisonError::into_inner)
            && Arc::ptr_eq(of, &known)
        {
            return Ok(Arc::clone(numbered));
        }
        let classes = self.rows("pg_class", state).await?;
        let schemas = self.rows("pg_namespace", state).await?;
        let numbered = Arc::new(numbered(&classes, &schemas, &known)?);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some((known, Arc::clone(&numbered)));
        Ok(numbered)
    }

    /// What [`Relations::now`] found last.
    pub fn seen(&self) -> Arc<Numbered> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.as_ref().map(|(_, numbered)| Arc::clone(numbered)).unwrap_or_default()
    }

    async fn rows(&self, table: &str, state: &dyn Session) -> Result<RecordBatch, DataFusionError> {
        let Some(table) = self.base.table(table).await? else {
            return Err(DataFusionError::Internal(format!("pg_catalog has no {table}")));
        };
        rows(&table, state).await
    }
}

/// All rows of a table.
pub async fn rows(table: &Arc<dyn TableProvider>, state: &dyn Session) -> Result<RecordBatch, DataFusionError> {
    let scan = table.scan(state, None, &[], None).await?;
    let batches = collect(scan, state.task_ctx()).await?;
    Ok(concat_batches(&table.schema(), &batches)?)
}

/// The column of this name.
pub fn column<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, DataFusionError> {
    rows.column_by_name(name).ok_or_else(|| DataFusionError::Internal(format!("pg_catalog has no {name}")))
}

fn numbered(classes: &RecordBatch, schemas: &RecordBatch, known: &FactsByName) -> Result<Numbered, DataFusionError> {
    let (numbers, names) = (column(schemas, "oid")?.as_primitive::<Int32Type>(), column(schemas, "nspname")?);
    let at = names.as_string::<i32>().iter().position(|name| name == Some(PUBLIC));
    let public = at.map(|row| numbers.value(row));
    let (numbers, names) = (column(classes, "oid")?.as_primitive::<Int32Type>(), column(classes, "relname")?);
    let (names, of_schema) = (names.as_string::<i32>(), column(classes, "relnamespace")?.as_primitive::<Int32Type>());
    let relation = |row: usize| {
        let facts = known.get(names.value(row)).filter(|_| Some(of_schema.value(row)) == public).cloned();
        (numbers.value(row), Relation { name: names.value(row).to_string(), class: classes.slice(row, 1), facts })
    };
    Ok(Numbered((0..classes.num_rows()).map(relation).collect()))
}
