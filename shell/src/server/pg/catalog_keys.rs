//! What `datafusion-pg-catalog` cannot know of our objects: materialized views, definitions, comments and primary keys.
//! Its tables of relations, columns, indexes and constraints are replaced by ones with an index and a constraint for each
//! key.
//!
//! The key of a table has the table's number plus [`KEY_NUMBERS`], both as index and as constraint. Two tables more are
//! what questions are brought to by `catalog_unfold`: [`COLUMNS`] has a row per column of a key, for the many ways in
//! which clients unfold `pg_index.indkey`, and [`OBJECTS`] has one per object, with its definition and comment.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int16Array, Int32Array, RecordBatch, StringArray, new_null_array,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int16Type, Int32Type, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{MemTable, SchemaProvider, Session};
use datafusion::common::DataFusionError;
use datafusion::datasource::TableProvider;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::TableType;
use datafusion::physical_plan::{ExecutionPlan, collect};

use super::catalog_functions::quoted_name;

/// What is added to a table's number for that of its key.
const KEY_NUMBERS: i32 = 0x2000_0000;
/// PostgreSQL's number of the access method `btree`, which clients expect of a key.
const BTREE: i32 = 403;
/// The number of the schema `pg_catalog`, none of whose tables is one of our objects.
const PG_CATALOG: i32 = 11;
/// The table of the columns of keys; nobody lists it.
pub const COLUMNS: &str = "eddyline_key_columns";
/// The table of definitions and comments; nobody lists it.
pub const OBJECTS: &str = "eddyline_objects";

/// What is known of an object beyond its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// `pg_class.relkind`: `r`, `v` or `m`.
    pub kind: &'static str,
    /// The query of a view.
    pub definition: Option<String>,
    /// Its comment.
    pub comment: Option<String>,
    /// Its primary key.
    pub key: Option<Key>,
}

/// A primary key.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// Our objects by name, as they are now.
pub type Known = Arc<dyn Fn() -> BTreeMap<String, Facts> + Send + Sync>;

/// pg_catalog with what we know.
pub struct KnowingCatalog {
    /// What `datafusion-pg-catalog` says.
    pub base: Arc<dyn SchemaProvider>,
    /// Our objects.
    pub known: Known,
}

impl fmt::Debug for KnowingCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnowingCatalog").finish_non_exhaustive()
    }
}

#[async_trait]
impl SchemaProvider for KnowingCatalog {
    fn table_names(&self) -> Vec<String> {
        self.base.table_names()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let content: Content = match name {
            "pg_class" => relations,
            "pg_attribute" => attributes,
            "pg_index" => indexes,
            "pg_constraint" => constraints,
            COLUMNS => columns,
            OBJECTS => objects,
            _ => return self.base.table(name).await,
        };
        let Some(classes) = self.base.table("pg_class").await? else { return Ok(None) };
        let base = self.base.table(name).await?;
        let schema = match name {
            "pg_class" => Arc::new(with_options(&classes.schema())),
            COLUMNS => Arc::new(column_schema()),
            OBJECTS => Arc::new(object_schema()),
            _ => base.as_ref().map_or_else(|| Arc::new(Schema::empty()), |table| table.schema()),
        };
        let base = base.filter(|_| name == "pg_attribute");
        Ok(Some(Arc::new(KnowingTable { schema, classes, base, known: Arc::clone(&self.known), content })))
    }

    fn table_exist(&self, name: &str) -> bool {
        [COLUMNS, OBJECTS].contains(&name) || self.base.table_exist(name)
    }
}

/// A relation: its number, its row in pg_class, and what we know when it is ours.
struct Relation {
    number: i32,
    class: RecordBatch,
    facts: Option<Facts>,
}

impl Relation {
    fn key(&self) -> Option<&Key> {
        self.facts.as_ref()?.key.as_ref()
    }
}

/// What the content of a table is made of.
struct Found {
    relations: Vec<Relation>,
    /// The rows that the table keeps.
    kept: RecordBatch,
}

type Content = fn(SchemaRef, &Found) -> Result<RecordBatch, DataFusionError>;

/// A table whose content follows from pg_class and what we know.
struct KnowingTable {
    schema: SchemaRef,
    classes: Arc<dyn TableProvider>,
    /// The table without what we know, if it keeps rows of it.
    base: Option<Arc<dyn TableProvider>>,
    known: Known,
    content: Content,
}

impl fmt::Debug for KnowingTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnowingTable").finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for KnowingTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let rows = async |table: &Arc<dyn TableProvider>| {
            let scan = table.scan(state, None, &[], None).await?;
            let batches = collect(scan, state.task_ctx()).await?;
            Ok::<_, DataFusionError>(concat_batches(&table.schema(), &batches)?)
        };
        let relations = ours(&rows(&self.classes).await?, &(self.known)())?;
        let kept = match &self.base {
            Some(base) => rows(base).await?,
            None => RecordBatch::new_empty(self.schema()),
        };
        let content = (self.content)(self.schema(), &Found { relations, kept })?;
        MemTable::try_new(self.schema(), vec![vec![content]])?.scan(state, projection, &[], limit).await
    }
}

/// The rows of pg_class with what we know of them.
fn ours(classes: &RecordBatch, known: &BTreeMap<String, Facts>) -> Result<Vec<Relation>, DataFusionError> {
    let (numbers, names) = (column(classes, "oid")?, column(classes, "relname")?.as_string::<i32>());
    let (numbers, schemas) = (numbers.as_primitive::<Int32Type>(), column(classes, "relnamespace")?);
    let schemas = schemas.as_primitive::<Int32Type>();
    let row = |row: usize| Relation {
        number: numbers.value(row),
        class: classes.slice(row, 1),
        facts: known.get(names.value(row)).filter(|_| schemas.value(row) != PG_CATALOG).cloned(),
    };
    Ok((0..classes.num_rows()).map(row).collect())
}

fn column<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, DataFusionError> {
    rows.column_by_name(name).ok_or_else(|| DataFusionError::Internal(format!("pg_catalog has no {name}")))
}

/// pg_class with a column that `datafusion-pg-catalog` lacks.
fn with_options(schema: &Schema) -> Schema {
    let options = Field::new_list("reloptions", Field::new_list_field(DataType::Utf8, true), true);
    Schema::new(schema.fields().iter().cloned().chain([Arc::new(options)]).collect::<Vec<_>>())
}

/// pg_class: what is there, and an index for each key.
fn relations(schema: SchemaRef, found: &Found) -> Result<RecordBatch, DataFusionError> {
    let mut batches = Vec::with_capacity(found.relations.len());
    for relation in &found.relations {
        let has_key = Arc::new(BooleanArray::from(vec![relation.key().is_some()])) as ArrayRef;
        let mut values = vec![("relhasindex", has_key)];
        if let Some(facts) = &relation.facts {
            values.push(("relkind", Arc::new(StringArray::from(vec![facts.kind]))));
        }
        batches.push(replaced(&schema, &relation.class, &values)?);
        let Some(key) = relation.key() else { continue };
        let values: [(&str, ArrayRef); 6] = [
            ("oid", Arc::new(Int32Array::from(vec![relation.number + KEY_NUMBERS]))),
            ("relname", Arc::new(StringArray::from(vec![key.name.as_str()]))),
            ("relkind", Arc::new(StringArray::from(vec!["i"]))),
            ("relam", Arc::new(Int32Array::from(vec![BTREE]))),
            ("relnatts", Arc::new(Int16Array::from(vec![i16::try_from(key.columns.len()).unwrap_or(0)]))),
            ("relhasindex", Arc::new(BooleanArray::from(vec![false]))),
        ];
        batches.push(replaced(&schema, &relation.class, &values)?);
    }
    Ok(concat_batches(&schema, &batches)?)
}

/// A row with some of its values exchanged, and NULL in columns that it lacks.
fn replaced(
    schema: &SchemaRef,
    row: &RecordBatch,
    values: &[(&str, ArrayRef)],
) -> Result<RecordBatch, DataFusionError> {
    let mut columns = row.columns().to_vec();
    for (name, value) in values {
        columns[row.schema().index_of(name)?] = Arc::clone(value);
    }
    columns.extend(schema.fields().iter().skip(columns.len()).map(|field| new_null_array(field.data_type(), 1)));
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

/// pg_attribute: what is there, and the columns of each key as columns of its index.
fn attributes(schema: SchemaRef, found: &Found) -> Result<RecordBatch, DataFusionError> {
    let kept = &found.kept;
    let (tables, numbers) = (column(kept, "attrelid")?, column(kept, "attnum")?);
    let (tables, numbers) = (tables.as_primitive::<Int32Type>(), numbers.as_primitive::<Int16Type>());
    let mut batches = vec![kept.clone()];
    for (relation, key) in with_keys(&found.relations) {
        for (place, (number, _)) in (1..).zip(&key.columns) {
            let of_table = |row: &usize| tables.value(*row) == relation && numbers.value(*row) == *number;
            let Some(row) = (0..kept.num_rows()).find(of_table) else { continue };
            let values: [(&str, ArrayRef); 2] = [
                ("attrelid", Arc::new(Int32Array::from(vec![relation + KEY_NUMBERS]))),
                ("attnum", Arc::new(Int16Array::from(vec![place]))),
            ];
            batches.push(replaced(&schema, &kept.slice(row, 1), &values)?);
        }
    }
    Ok(concat_batches(&schema, &batches)?)
}

fn indexes(schema: SchemaRef, found: &Found) -> Result<RecordBatch, DataFusionError> {
    let keys = with_keys(&found.relations);
    let numbers = |add: i32| Arc::new(keys.iter().map(|(n, _)| Some(n + add)).collect::<Int32Array>()) as ArrayRef;
    let width = |key: &Key| i16::try_from(key.columns.len()).unwrap_or(0);
    let widths = Arc::new(keys.iter().map(|(_, key)| Some(width(key))).collect::<Int16Array>()) as ArrayRef;
    let vector = |value: &dyn Fn(&(i16, String)) -> i16| {
        let text = |key: &Key| key.columns.iter().map(|c| value(c).to_string()).collect::<Vec<_>>().join(" ");
        Arc::new(keys.iter().map(|(_, key)| Some(text(key))).collect::<StringArray>()) as ArrayRef
    };
    let mut values = BTreeMap::from([
        ("indexrelid", numbers(KEY_NUMBERS)),
        ("indrelid", numbers(0)),
        ("indnatts", Arc::clone(&widths)),
        ("indnkeyatts", widths),
        ("indkey", vector(&|(number, _)| *number)),
    ]);
    for zeros in ["indcollation", "indclass", "indoption"] {
        values.insert(zeros, vector(&|_| 0));
    }
    let truth = |value: bool| Arc::new(BooleanArray::from(vec![value; keys.len()])) as ArrayRef;
    for word in ["indisunique", "indisprimary", "indimmediate", "indisvalid", "indisready", "indislive"] {
        values.insert(word, truth(true));
    }
    for word in ["indnullsnotdistinct", "indisexclusion", "indisclustered", "indcheckxmin", "indisreplident"] {
        values.insert(word, truth(false));
    }
    filled(&schema, &values, keys.len())
}

fn constraints(schema: SchemaRef, found: &Found) -> Result<RecordBatch, DataFusionError> {
    let keys = with_keys(&found.relations);
    let numbers = |add: i32| Arc::new(keys.iter().map(|(n, _)| Some(n + add)).collect::<Int32Array>()) as ArrayRef;
    let zeros = Arc::new(Int32Array::from(vec![0; keys.len()])) as ArrayRef;
    let text = |text: &str| Arc::new(StringArray::from(vec![text; keys.len()])) as ArrayRef;
    let truth = |value: bool| Arc::new(BooleanArray::from(vec![value; keys.len()])) as ArrayRef;
    let names = keys.iter().map(|(_, key)| Some(key.name.as_str())).collect::<StringArray>();
    let columns = |key: &Key| {
        let numbers: Vec<String> = key.columns.iter().map(|(number, _)| number.to_string()).collect();
        format!("{{{}}}", numbers.join(","))
    };
    let lists = keys.iter().map(|(_, key)| Some(columns(key))).collect::<StringArray>();
    let spaces: Vec<ArrayRef> = found
        .relations
        .iter()
        .filter(|relation| relation.key().is_some())
        .filter_map(|relation| relation.class.column_by_name("relnamespace").cloned())
        .collect();
    let spaces: Vec<&dyn Array> = spaces.iter().map(AsRef::as_ref).collect();
    let mut values = BTreeMap::from([
        ("oid", numbers(KEY_NUMBERS)),
        ("conindid", numbers(KEY_NUMBERS)),
        ("conrelid", numbers(0)),
        ("conname", Arc::new(names) as ArrayRef),
        ("conkey", Arc::new(lists) as ArrayRef),
        ("contype", text("p")),
        ("coninhcount", Arc::new(Int16Array::from(vec![0; keys.len()])) as ArrayRef),
    ]);
    if !spaces.is_empty() {
        values.insert("connamespace", arrow::compute::concat(&spaces)?);
    }
    for name in ["contypid", "conparentid", "confrelid"] {
        values.insert(name, Arc::clone(&zeros));
    }
    for name in ["confupdtype", "confdeltype", "confmatchtype"] {
        values.insert(name, text(" "));
    }
    for (name, value) in [("convalidated", true), ("conislocal", true), ("connoinherit", true)] {
        values.insert(name, truth(value));
    }
    for name in ["condeferrable", "condeferred"] {
        values.insert(name, truth(false));
    }
    filled(&schema, &values, keys.len())
}

fn with_keys(relations: &[Relation]) -> Vec<(i32, &Key)> {
    relations.iter().filter_map(|relation| Some((relation.number, relation.key()?))).collect()
}

/// A batch of `rows` rows: known columns as given, others NULL.
fn filled(schema: &SchemaRef, values: &BTreeMap<&str, ArrayRef>, rows: usize) -> Result<RecordBatch, DataFusionError> {
    let column = |field: &Arc<Field>| match values.get(field.name().as_str()) {
        Some(values) if values.data_type() == field.data_type() => Arc::clone(values),
        _ => new_null_array(field.data_type(), rows),
    };
    let columns: Vec<ArrayRef> = schema.fields().iter().map(column).collect();
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

fn column_schema() -> Schema {
    Schema::new(vec![
        Field::new("indexrelid", DataType::Int32, false),
        Field::new("ord", DataType::Int32, false),
        Field::new("attnum", DataType::Int16, false),
        Field::new("column_name", DataType::Utf8, false),
        Field::new("index_definition", DataType::Utf8, false),
        Field::new("constraint_definition", DataType::Utf8, false),
    ])
}

fn columns(schema: SchemaRef, found: &Found) -> Result<RecordBatch, DataFusionError> {
    let mut rows = Vec::new();
    for relation in &found.relations {
        let name = relation.class.column_by_name("relname").map(|names| names.as_string::<i32>().value(0));
        let (Some(key), Some(name)) = (relation.key(), name) else { continue };
        let list = key.list();
        let (index, table) = (quoted_name(&key.name), quoted_name(name));
        let index = format!("CREATE UNIQUE INDEX {index} ON public.{table} USING btree ({list})");
        let constraint = format!("PRIMARY KEY ({list})");
        for (place, (number, column)) in (1..).zip(&key.columns) {
            rows.push((
                relation.number + KEY_NUMBERS,
                place,
                *number,
                column.clone(),
                index.clone(),
                constraint.clone(),
            ));
        }
    }
    let text = |pick: fn(&(i32, i32, i16, String, String, String)) -> &String| {
        Arc::new(rows.iter().map(|row| Some(pick(row).as_str())).collect::<StringArray>()) as ArrayRef
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| Some(row.0)).collect::<Int32Array>()),
        Arc::new(rows.iter().map(|row| Some(row.1)).collect::<Int32Array>()),
        Arc::new(rows.iter().map(|row| Some(row.2)).collect::<Int16Array>()),
        text(|row| &row.3),
        text(|row| &row.4),
        text(|row| &row.5),
    ];
    Ok(RecordBatch::try_new(schema, columns)?)
}

fn object_schema() -> Schema {
    Schema::new(vec![
        Field::new("oid", DataType::Int32, false),
        Field::new("definition", DataType::Utf8, true),
        Field::new("comment", DataType::Utf8, true),
    ])
}

fn objects(schema: SchemaRef, found: &Found) -> Result<RecordBatch, DataFusionError> {
    let known: Vec<(i32, &Facts)> =
        found.relations.iter().filter_map(|relation| Some((relation.number, relation.facts.as_ref()?))).collect();
    let text = |pick: fn(&Facts) -> Option<&str>| {
        Arc::new(known.iter().map(|(_, facts)| pick(facts)).collect::<StringArray>()) as ArrayRef
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(known.iter().map(|(number, _)| Some(*number)).collect::<Int32Array>()),
        text(|facts| facts.definition.as_deref()),
        text(|facts| facts.comment.as_deref()),
    ];
    Ok(RecordBatch::try_new(schema, columns)?)
}
