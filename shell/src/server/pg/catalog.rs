//! What PostgreSQL's clients ask pg_catalog and information_schema, answered by DataFusion and `datafusion-pg-catalog`
//! over a mirror of our catalog: names and types, no rows.
//!
//! The database is `default_catalog`, its schema `public`, which is what such clients expect; both names may stand before
//! a table in our own SQL too. Temporary objects of sessions are not shown.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, SchemaProvider, Session as DataFusionSession};
use datafusion::common::{DataFusionError, ParamValues, ScalarValue};
use datafusion::datasource::{TableProvider, TableType};
use datafusion::execution::context::SQLOptions;
use datafusion::execution::{FunctionRegistry, SessionStateBuilder};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_pg_catalog::setup_pg_catalog;
use datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use eddyline_sql::catalog::{CATALOG, CatalogObject, PUBLIC};
use eddyline_sql::types::FlinkType;
use eddyline_sql::{Engine, Parameter, Session, SqlError, SqlState};
use futures::StreamExt;
use pgwire::api::Type;

use super::catalog_keys::KnowingCatalog;
use super::catalog_relations::{Facts, FactsByName, Key, Kind, Relations};
use super::types::pg_type;
use super::{asyncpg, catalog_definitions, catalog_functions, catalog_rewrite};

/// Largest answer; the catalog's biggest table has a tenth of it.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Answers questions about the catalog.
pub struct PgCatalog {
    context: SessionContext,
    parser: PostgresCompatibilityParser,
    relations: Arc<Relations>,
}

impl PgCatalog {
    /// Mirrors the catalog of `engine`.
    pub fn new(engine: &Arc<Engine>) -> Result<Self, SqlError> {
        let mut config = SessionConfig::new()
            .with_default_catalog_and_schema(CATALOG, PUBLIC)
            .with_create_default_catalog_and_schema(false)
            .with_information_schema(true)
            .with_target_partitions(1);
        config.options_mut().sql_parser.map_string_types_to_utf8view = false;
        let state = SessionStateBuilder::new().with_config(config).with_default_features().build();
        let context = SessionContext::new_with_state(state);
        let catalog = Arc::new(MemoryCatalogProvider::new());
        let objects = Arc::new(Objects { engine: Arc::clone(engine), seen: Mutex::default() });
        catalog.register_schema(PUBLIC, Arc::clone(&objects) as Arc<dyn SchemaProvider>).map_err(failed)?;
        context.register_catalog(CATALOG, Arc::clone(&catalog) as Arc<dyn CatalogProvider>);
        setup_pg_catalog(&context, CATALOG, EmptyContextProvider).map_err(|e| failed(*e))?;
        let base = catalog.schema("pg_catalog").ok_or_else(|| SqlError::internal("there is no pg_catalog"))?;
        let known = Arc::new(move || Arc::clone(&objects.now().facts));
        let relations = Arc::new(Relations::new(Arc::clone(&base), known));
        let knowing = KnowingCatalog { base, relations: Arc::clone(&relations) };
        catalog.register_schema("pg_catalog", Arc::new(knowing)).map_err(failed)?;
        catalog_functions::register(&context);
        catalog_definitions::register(&context, &relations);
        Ok(PgCatalog { context, parser: PostgresCompatibilityParser::new(), relations })
    }

    /// The types of a question's parameters, text where nothing says more.
    pub async fn parameter_types(&self, sql: &str) -> Result<Vec<Type>, SqlError> {
        if asyncpg::is_question(sql) {
            return Ok(asyncpg::parameter_types());
        }
        let types = self.plan(sql, 0).await?.get_parameter_types().map_err(failed)?;
        let number = |name: &str| name.strip_prefix('$').and_then(|n| n.parse::<usize>().ok());
        let count = types.keys().filter_map(|name| number(name)).max().unwrap_or(0);
        let mut result = vec![Type::TEXT; count];
        for (name, data_type) in &types {
            if let (Some(index), Some(data_type)) = (number(name), data_type) {
                result[index - 1] = pg_type(&FlinkType::from_arrow(data_type));
            }
        }
        Ok(result)
    }

    /// The columns of the answer.
    pub async fn describe(&self, sql: &str, parameters: &[Parameter]) -> Result<SchemaRef, SqlError> {
        if asyncpg::is_question(sql) {
            return Ok(asyncpg::columns());
        }
        let plan = self.plan(sql, 0).await?;
        Ok(Arc::new(bind(plan, parameters)?.schema().as_arrow().clone()))
    }

    /// The answer to the connection with this number.
    pub async fn ask(
        &self,
        sql: &str,
        parameters: &[Parameter],
        connection: i32,
    ) -> Result<(SchemaRef, Vec<RecordBatch>), SqlError> {
        if asyncpg::is_question(sql) {
            return Ok((asyncpg::columns(), vec![asyncpg::answer(parameters)?]));
        }
        let plan = bind(self.plan(sql, connection).await?, parameters)?;
        let schema = Arc::new(plan.schema().as_arrow().clone());
        // Functions in the plan look at what is seen here.
        self.relations.now(&self.context.state()).await.map_err(failed)?;
        let frame = self.context.execute_logical_plan(plan).await.map_err(failed)?;
        let mut stream = frame.execute_stream().await.map_err(failed)?;
        let (mut batches, mut bytes) = (Vec::new(), 0);
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(failed)?;
            bytes += batch.get_array_memory_size();
            if bytes > MAX_ANSWER_BYTES {
                return Err(SqlError::new(SqlState::LimitExceeded, "the answer is too large"));
            }
            batches.push(batch);
        }
        Ok((schema, batches))
    }

    async fn plan(&self, sql: &str, connection: i32) -> Result<LogicalPlan, SqlError> {
        let mut statements = self.parser.parse(sql).map_err(|e| SqlError::new(SqlState::SyntaxError, e.to_string()))?;
        let statement = statements.pop().ok_or_else(|| SqlError::internal("an empty question"))?;
        let statement = catalog_rewrite::rewrite(statement);
        let statement = datafusion::sql::parser::Statement::Statement(Box::new(statement));
        let mut state = self.context.state();
        state.register_udf(Arc::new(catalog_functions::backend_pid(connection))).map_err(failed)?;
        let plan = state.statement_to_plan(statement).await.map_err(failed)?;
        let nothing = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        nothing.verify_plan(&plan).map_err(failed)?;
        Ok(plan)
    }
}

fn bind(plan: LogicalPlan, parameters: &[Parameter]) -> Result<LogicalPlan, SqlError> {
    if parameters.is_empty() {
        return Ok(plan);
    }
    let value = |parameter: &Parameter| {
        let data_type = match parameter.data_type.to_arrow() {
            arrow::datatypes::DataType::Null => arrow::datatypes::DataType::Utf8,
            data_type => data_type,
        };
        match &parameter.value {
            Some(text) => ScalarValue::try_from_string(text.clone(), &data_type),
            None => ScalarValue::try_from(&data_type),
        }
    };
    let values = parameters.iter().map(value).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    plan.with_param_values(ParamValues::from(values)).map_err(failed)
}

fn failed(error: DataFusionError) -> SqlError {
    SqlError::from(error).with_hint("questions about the catalog are answered as far as known clients ask them")
}

/// Tables and views with their columns, and what is known of them.
struct Described {
    objects: BTreeMap<String, Arc<Object>>,
    facts: Arc<FactsByName>,
}

/// The permanent objects of our catalog.
struct Objects {
    engine: Arc<Engine>,
    /// What was found at which version of the catalog.
    seen: Mutex<Option<(u64, Arc<Described>)>>,
}

impl Objects {
    fn now(&self) -> Arc<Described> {
        let (catalog, version) = self.engine.catalog().snapshot();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, described)) = &*seen
            && *at == version
        {
            return Arc::clone(described);
        }
        let session = Session::on(Arc::clone(&self.engine));
        let describe = |name: &str| {
            // A view that cannot be planned has no columns to show.
            let schema = session.columns(name).ok()?;
            let facts = Arc::new(facts_of(name, catalog.find(name)?, &schema));
            Some((name.to_string(), Arc::new(Object { schema, facts })))
        };
        let objects: BTreeMap<String, Arc<Object>> = catalog.names().into_iter().filter_map(describe).collect();
        let facts = objects.iter().map(|(name, object)| (name.clone(), Arc::clone(&object.facts))).collect();
        let described = Arc::new(Described { objects, facts: Arc::new(facts) });
        *seen = Some((version, Arc::clone(&described)));
        described
    }
}

fn facts_of(name: &str, object: &CatalogObject, schema: &SchemaRef) -> Facts {
    let (kind, definition, comment) = match object {
        CatalogObject::Table(table) => (Kind::Table, None, &table.comment),
        CatalogObject::View(view) => (Kind::View, Some(&view.query_text), &view.comment),
        CatalogObject::Materialized(view) => (Kind::Materialized, Some(&view.create.query_text), &view.create.comment),
    };
    let definition = definition.map(|query| format!("{query};"));
    Facts { kind, definition, comment: comment.clone(), key: key_of(name, object, schema) }
}

/// The primary key of a table; its name is the constraint's, or what PostgreSQL would call it.
fn key_of(name: &str, object: &CatalogObject, schema: &SchemaRef) -> Option<Key> {
    let (constraint, names) = match object {
        CatalogObject::Table(table) => {
            let declared = table.primary_key.as_ref()?;
            (declared.name.clone(), declared.columns.clone())
        }
        CatalogObject::Materialized(view) => (None, view.key_names()),
        CatalogObject::View(_) => return None,
    };
    let column = |column: &String| Some((i16::try_from(schema.index_of(column).ok()? + 1).ok()?, column.clone()));
    let columns = names.iter().map(column).collect::<Option<Vec<_>>>().filter(|columns| !columns.is_empty())?;
    Some(Key { name: constraint.unwrap_or_else(|| format!("{name}_pkey")), columns })
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").finish_non_exhaustive()
    }
}

#[async_trait]
impl SchemaProvider for Objects {
    fn table_names(&self) -> Vec<String> {
        self.now().objects.keys().cloned().collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        Ok(self.now().objects.get(name).map(|object| Arc::clone(object) as Arc<dyn TableProvider>))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.now().objects.contains_key(name)
    }
}

/// One table or view; it has no rows.
#[derive(Debug)]
struct Object {
    schema: SchemaRef,
    facts: Arc<Facts>,
}

#[async_trait]
impl TableProvider for Object {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        match self.facts.kind {
            Kind::Table => TableType::Base,
            Kind::View | Kind::Materialized => TableType::View,
        }
    }

    async fn scan(
        &self,
        _state: &dyn DataFusionSession,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let schema = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => Arc::clone(&self.schema),
        };
        Ok(Arc::new(EmptyExec::new(schema)))
    }
}
