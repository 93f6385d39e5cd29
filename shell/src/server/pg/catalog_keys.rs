//! Primary keys in pg_catalog: `datafusion-pg-catalog` knows no keys of ours, so its tables of relations, indexes and
//! constraints are replaced by ones that have an index and a constraint for each primary key.
//!
//! The key of a table has the table's number plus [`KEY_NUMBERS`], both as index and as constraint. One table more,
//! [`COLUMNS`], has a row per column of a key; `catalog_unfold` brings the many ways in which clients unfold
//! `pg_index.indkey` to it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int16Array, Int32Array, RecordBatch, StringArray, new_null_array,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{MemTable, SchemaProvider, Session};
use datafusion::common::DataFusionError;
use datafusion::datasource::TableProvider;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::TableType;
use datafusion::physical_plan::{ExecutionPlan, collect};

/// What is added to a table's number for that of its key.
const KEY_NUMBERS: i32 = 0x2000_0000;
/// PostgreSQL's number of the access method `btree`, which clients expect of a key.
const BTREE: i32 = 403;
/// The table of the columns of keys; nobody lists it.
pub const COLUMNS: &str = "eddyline_key_columns";

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
        let quoted =
            |name: &String| match name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
                true => name.clone(),
                false => format!("\"{}\"", name.replace('"', "\"\"")),
            };
        self.columns.iter().map(|(_, name)| quoted(name)).collect::<Vec<_>>().join(", ")
    }
}

/// The keys of all tables by name of the table, as they are now.
pub type Keys = Arc<dyn Fn() -> BTreeMap<String, Key> + Send + Sync>;

/// pg_catalog with keys.
pub struct KeyedCatalog {
    /// What `datafusion-pg-catalog` says.
    pub base: Arc<dyn SchemaProvider>,
    /// Our keys.
    pub keys: Keys,
}

impl fmt::Debug for KeyedCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedCatalog").finish_non_exhaustive()
    }
}

#[async_trait]
impl SchemaProvider for KeyedCatalog {
    fn table_names(&self) -> Vec<String> {
        self.base.table_names()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let content: fn(SchemaRef, &[Keyed]) -> Result<RecordBatch, DataFusionError> = match name {
            "pg_class" => relations,
            "pg_index" => indexes,
            "pg_constraint" => constraints,
            COLUMNS => columns,
            _ => return self.base.table(name).await,
        };
        let Some(classes) = self.base.table("pg_class").await? else { return Ok(None) };
        let schema = match name {
            COLUMNS => Arc::new(column_schema()),
            name => self.base.table(name).await?.map_or_else(|| Arc::new(Schema::empty()), |table| table.schema()),
        };
        Ok(Some(Arc::new(KeyedTable { schema, classes, keys: Arc::clone(&self.keys), content })))
    }

    fn table_exist(&self, name: &str) -> bool {
        name == COLUMNS || self.base.table_exist(name)
    }
}

/// A table with a key: its number, its row in pg_class, and the key; without a key when it has none.
struct Keyed {
    number: i32,
    class: RecordBatch,
    key: Option<Key>,
}

/// A table whose content follows from pg_class and the keys.
struct KeyedTable {
    schema: SchemaRef,
    classes: Arc<dyn TableProvider>,
    keys: Keys,
    content: fn(SchemaRef, &[Keyed]) -> Result<RecordBatch, DataFusionError>,
}

impl fmt::Debug for KeyedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedTable").finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for KeyedTable {
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
        let scan = self.classes.scan(state, None, &[], None).await?;
        let classes = collect(scan, state.task_ctx()).await?;
        let batch = concat_batches(&self.classes.schema(), &classes)?;
        let content = (self.content)(self.schema(), &keyed(&batch, &(self.keys)())?)?;
        MemTable::try_new(self.schema(), vec![vec![content]])?.scan(state, projection, &[], limit).await
    }
}

/// The rows of pg_class with their keys. Only our own tables have names that have keys.
fn keyed(classes: &RecordBatch, keys: &BTreeMap<String, Key>) -> Result<Vec<Keyed>, DataFusionError> {
    let column = |name: &str| {
        classes.column_by_name(name).ok_or_else(|| DataFusionError::Internal(format!("pg_class has no {name}")))
    };
    let (numbers, names) = (column("oid")?.as_primitive::<Int32Type>(), column("relname")?.as_string::<i32>());
    let row = |row: usize| Keyed {
        number: numbers.value(row),
        class: classes.slice(row, 1),
        key: keys.get(names.value(row)).cloned(),
    };
    Ok((0..classes.num_rows()).map(row).collect())
}

/// pg_class: what is there, and an index for each key.
fn relations(schema: SchemaRef, tables: &[Keyed]) -> Result<RecordBatch, DataFusionError> {
    let mut batches = Vec::with_capacity(tables.len());
    for table in tables {
        let has_key = Arc::new(BooleanArray::from(vec![table.key.is_some()])) as ArrayRef;
        batches.push(replaced(&table.class, &[("relhasindex", has_key)])?);
        let Some(key) = &table.key else { continue };
        let values: [(&str, ArrayRef); 6] = [
            ("oid", Arc::new(Int32Array::from(vec![table.number + KEY_NUMBERS]))),
            ("relname", Arc::new(StringArray::from(vec![key.name.as_str()]))),
            ("relkind", Arc::new(StringArray::from(vec!["i"]))),
            ("relam", Arc::new(Int32Array::from(vec![BTREE]))),
            ("relnatts", Arc::new(Int16Array::from(vec![i16::try_from(key.columns.len()).unwrap_or(0)]))),
            ("relhasindex", Arc::new(BooleanArray::from(vec![false]))),
        ];
        batches.push(replaced(&table.class, &values)?);
    }
    Ok(concat_batches(&schema, &batches)?)
}

/// A row with some of its values exchanged.
fn replaced(row: &RecordBatch, values: &[(&str, ArrayRef)]) -> Result<RecordBatch, DataFusionError> {
    let mut columns = row.columns().to_vec();
    for (name, value) in values {
        columns[row.schema().index_of(name)?] = Arc::clone(value);
    }
    Ok(RecordBatch::try_new(row.schema(), columns)?)
}

fn indexes(schema: SchemaRef, tables: &[Keyed]) -> Result<RecordBatch, DataFusionError> {
    let keys = with_keys(tables);
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

fn constraints(schema: SchemaRef, tables: &[Keyed]) -> Result<RecordBatch, DataFusionError> {
    let keys = with_keys(tables);
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
    let spaces: Vec<ArrayRef> = tables
        .iter()
        .filter(|table| table.key.is_some())
        .filter_map(|table| table.class.column_by_name("relnamespace").cloned())
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

fn with_keys(tables: &[Keyed]) -> Vec<(i32, &Key)> {
    tables.iter().filter_map(|table| Some((table.number, table.key.as_ref()?))).collect()
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

fn columns(schema: SchemaRef, tables: &[Keyed]) -> Result<RecordBatch, DataFusionError> {
    let names: Vec<Option<String>> = tables
        .iter()
        .map(|table| {
            let name = table.class.column_by_name("relname")?;
            Some(name.as_string::<i32>().value(0).to_string())
        })
        .collect();
    let mut rows = Vec::new();
    for (table, name) in tables.iter().zip(names) {
        let (Some(key), Some(name)) = (&table.key, name) else { continue };
        let list = key.list();
        let index = format!("CREATE UNIQUE INDEX {} ON public.{name} USING btree ({list})", key.name);
        let constraint = format!("PRIMARY KEY ({list})");
        for (place, (number, column)) in (1..).zip(&key.columns) {
            rows.push((table.number + KEY_NUMBERS, place, *number, column.clone(), index.clone(), constraint.clone()));
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
