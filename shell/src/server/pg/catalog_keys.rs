//! The tables of pg_catalog that tell of relations, columns, indexes and constraints, with the kinds that we know and an
//! index and a constraint for each primary key.
//!
//! The key of a table has the table's number plus [`KEY_NUMBERS`], both as index and as constraint. One table more is what
//! questions are brought to by `catalog_unfold`: [`COLUMNS`] has a row per column of a key, for the many ways in which
//! clients unfold `pg_index.indkey`.

use std::collections::{BTreeMap, HashMap};
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
use datafusion::physical_plan::ExecutionPlan;

use super::catalog_relations::{KEY_NUMBERS, Key, Numbered, Relation, Relations, column, rows};

/// PostgreSQL's number of the access method `btree`, which clients expect of a key.
const BTREE: i32 = 403;
/// The table of the columns of keys; nobody lists it.
pub const COLUMNS: &str = "eddyline_key_columns";

/// pg_catalog with what we know.
pub struct KnowingCatalog {
    /// What `datafusion-pg-catalog` says.
    pub base: Arc<dyn SchemaProvider>,
    /// What there is.
    pub relations: Arc<Relations>,
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
            _ => return self.base.table(name).await,
        };
        let Some(classes) = self.base.table("pg_class").await? else { return Ok(None) };
        let base = self.base.table(name).await?;
        let schema = match name {
            "pg_class" => Arc::new(with_options(&classes.schema())),
            COLUMNS => Arc::new(column_schema()),
            _ => base.as_ref().map_or_else(|| Arc::new(Schema::empty()), |table| table.schema()),
        };
        let base = base.filter(|_| name == "pg_attribute");
        Ok(Some(Arc::new(KnowingTable { schema, base, relations: Arc::clone(&self.relations), content })))
    }

    fn table_exist(&self, name: &str) -> bool {
        name == COLUMNS || self.base.table_exist(name)
    }
}

/// What the content of a table is made of.
struct Found {
    relations: Arc<Numbered>,
    /// The rows that the table keeps.
    kept: RecordBatch,
}

type Content = fn(SchemaRef, &Found) -> Result<RecordBatch, DataFusionError>;

/// A table whose content follows from pg_class and what we know.
struct KnowingTable {
    schema: SchemaRef,
    /// The table without what we know, if it keeps rows of it.
    base: Option<Arc<dyn TableProvider>>,
    relations: Arc<Relations>,
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
        let relations = self.relations.now(state).await?;
        let kept = match &self.base {
            Some(base) => rows(base, state).await?,
            None => RecordBatch::new_empty(self.schema()),
        };
        let content = (self.content)(self.schema(), &Found { relations, kept })?;
        MemTable::try_new(self.schema(), vec![vec![content]])?.scan(state, projection, &[], limit).await
    }
}

/// pg_class with a column that `datafusion-pg-catalog` lacks.
fn with_options(schema: &Schema) -> Schema {
    let options = Field::new_list("reloptions", Field::new_list_field(DataType::Utf8, true), true);
    Schema::new(schema.fields().iter().cloned().chain([Arc::new(options)]).collect::<Vec<_>>())
}

/// pg_class: what is there, and an index for each key.
fn relations(schema: SchemaRef, found: &Found) -> Result<RecordBatch, DataFusionError> {
    let mut batches = Vec::with_capacity(found.relations.0.len());
    for (number, relation) in &found.relations.0 {
        let has_key = Arc::new(BooleanArray::from(vec![relation.key().is_some()])) as ArrayRef;
        let mut values = vec![("relhasindex", has_key)];
        if let Some(facts) = &relation.facts {
            values.push(("relkind", Arc::new(StringArray::from(vec![facts.kind.letter()]))));
        }
        batches.push(replaced(&schema, &relation.class, &values)?);
        let Some(key) = relation.key() else { continue };
        let values: [(&str, ArrayRef); 6] = [
            ("oid", Arc::new(Int32Array::from(vec![number + KEY_NUMBERS]))),
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
    let rows: HashMap<(i32, i16), usize> =
        (0..kept.num_rows()).map(|row| ((tables.value(row), numbers.value(row)), row)).collect();
    let mut batches = vec![kept.clone()];
    for (relation, _, key) in found.relations.with_keys() {
        for (place, (number, _)) in (1..).zip(&key.columns) {
            let Some(row) = rows.get(&(relation, *number)) else { continue };
            let values: [(&str, ArrayRef); 2] = [
                ("attrelid", Arc::new(Int32Array::from(vec![relation + KEY_NUMBERS]))),
                ("attnum", Arc::new(Int16Array::from(vec![place]))),
            ];
            batches.push(replaced(&schema, &kept.slice(*row, 1), &values)?);
        }
    }
    Ok(concat_batches(&schema, &batches)?)
}

fn indexes(schema: SchemaRef, found: &Found) -> Result<RecordBatch, DataFusionError> {
    let keys = found.relations.with_keys();
    let numbers = |add: i32| Arc::new(keys.iter().map(|(n, _, _)| Some(n + add)).collect::<Int32Array>()) as ArrayRef;
    let width = |key: &Key| i16::try_from(key.columns.len()).unwrap_or(0);
    let widths = Arc::new(keys.iter().map(|(_, _, key)| Some(width(key))).collect::<Int16Array>()) as ArrayRef;
    let vector = |value: &dyn Fn(&(i16, String)) -> i16| {
        let text = |key: &Key| key.columns.iter().map(|c| value(c).to_string()).collect::<Vec<_>>().join(" ");
        Arc::new(keys.iter().map(|(_, _, key)| Some(text(key))).collect::<StringArray>()) as ArrayRef
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
    let keys = found.relations.with_keys();
    let numbers = |add: i32| Arc::new(keys.iter().map(|(n, _, _)| Some(n + add)).collect::<Int32Array>()) as ArrayRef;
    let zeros = Arc::new(Int32Array::from(vec![0; keys.len()])) as ArrayRef;
    let text = |text: &str| Arc::new(StringArray::from(vec![text; keys.len()])) as ArrayRef;
    let truth = |value: bool| Arc::new(BooleanArray::from(vec![value; keys.len()])) as ArrayRef;
    let names = keys.iter().map(|(_, _, key)| Some(key.name.as_str())).collect::<StringArray>();
    let columns = |key: &Key| {
        let numbers: Vec<String> = key.columns.iter().map(|(number, _)| number.to_string()).collect();
        format!("{{{}}}", numbers.join(","))
    };
    let lists = keys.iter().map(|(_, _, key)| Some(columns(key))).collect::<StringArray>();
    let spaces = keys.iter().map(|(_, relation, _)| column(&relation.class, "relnamespace"));
    let spaces: Vec<&ArrayRef> = spaces.collect::<Result<_, _>>()?;
    let spaces: Vec<&dyn Array> = spaces.into_iter().map(AsRef::as_ref).collect();
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
    ])
}

fn columns(schema: SchemaRef, found: &Found) -> Result<RecordBatch, DataFusionError> {
    let keys = found.relations.with_keys();
    let of_key = |(number, _, key): &(i32, &Relation, &'_ Key)| {
        let index = number + KEY_NUMBERS;
        (1..).zip(key.columns.clone()).map(move |(place, (number, name))| (index, place, number, name))
    };
    let rows: Vec<(i32, i32, i16, String)> = keys.iter().flat_map(of_key).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| Some(row.0)).collect::<Int32Array>()),
        Arc::new(rows.iter().map(|row| Some(row.1)).collect::<Int32Array>()),
        Arc::new(rows.iter().map(|row| Some(row.2)).collect::<Int16Array>()),
        Arc::new(rows.iter().map(|row| Some(row.3.as_str())).collect::<StringArray>()),
    ];
    Ok(RecordBatch::try_new(schema, columns)?)
}
