//! A table as declared: made from `CREATE TABLE`, checked, and described to a connector.

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use eddyline_engine::connector::{ColumnKind, TableColumn, TableDescription};
use sqlparser::ast::{Expr, visit_expressions};
use sqlparser::tokenizer::Location;

use super::like;
use crate::error::{Result, SqlError, SqlState};
use crate::statement::{ColumnDefinition, ColumnDefinitionKind, CreateTable, PrimaryKey, Watermark};
use crate::types::{ColumnType, FlinkType};

/// A table in the catalog.
#[derive(Debug, Clone, PartialEq)]
pub struct CatalogTable {
    /// Name.
    pub name: String,
    /// Columns in declared order; those of the primary key are `NOT NULL`.
    pub columns: Vec<ColumnDefinition>,
    /// `WATERMARK FOR`.
    pub watermark: Option<Watermark>,
    /// `PRIMARY KEY`.
    pub primary_key: Option<PrimaryKey>,
    /// `COMMENT`.
    pub comment: Option<String>,
    /// `PARTITIONED BY`.
    pub partition_keys: Vec<String>,
    /// `DISTRIBUTED …`, as written.
    pub distribution: Option<String>,
    /// `WITH`.
    pub options: BTreeMap<String, String>,
}

impl CatalogTable {
    /// The table that `create` declares: on top of `source` with `LIKE`, of `query_columns` with `AS`.
    pub fn new(
        create: &CreateTable,
        source: Option<&CatalogTable>,
        query_columns: &[(String, ColumnType)],
    ) -> Result<Self> {
        let own = CatalogTable {
            name: create.name.table().to_string(),
            columns: with_query(create, query_columns)?,
            watermark: create.watermark.clone(),
            primary_key: create.primary_key.clone(),
            comment: create.comment.clone(),
            partition_keys: create.partition_keys.clone(),
            distribution: create.distribution.clone(),
            options: create.options.clone(),
        };
        let mut table = match (&create.like, source) {
            (Some(like), Some(source)) => like::merge(own, source, &like.options)?,
            _ => own,
        };
        table.validate().map_err(|e| if e.position.is_none() { e.at(create.name.position) } else { e })?;
        table.close_key();
        Ok(table)
    }

    /// True for a table whose rows we keep ourselves: it says of no other system where they are.
    pub fn is_own(&self) -> bool {
        let metadata = |column: &ColumnDefinition| matches!(column.kind, ColumnDefinitionKind::Metadata { .. });
        let plain = self.options.is_empty() && self.partition_keys.is_empty() && self.distribution.is_none();
        let kept = plain && self.watermark.is_none() && !self.columns.iter().any(metadata);
        cfg!(feature = "batch") && kept && self.columns.iter().any(|column| column.is_physical())
    }

    /// The columns that rows of the table have, without those that are computed.
    pub fn stored_schema(&self) -> SchemaRef {
        self.description(&BTreeMap::new()).sink_schema()
    }

    /// The places of the columns of the primary key among those that are stored.
    pub fn stored_key(&self) -> Option<Vec<usize>> {
        let (key, schema) = (self.primary_key.as_ref()?, self.stored_schema());
        Some(key.columns.iter().filter_map(|name| schema.index_of(name).ok()).collect())
    }

    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&ColumnDefinition> {
        self.columns.iter().find(|c| c.name == name)
    }

    /// The table for a connector: without computed columns, with `overrides` (from a hint) over its options.
    pub fn description(&self, overrides: &BTreeMap<String, String>) -> TableDescription {
        let column = |column: &ColumnDefinition| {
            let (data_type, kind) = match &column.kind {
                ColumnDefinitionKind::Physical { data_type } => (data_type, ColumnKind::Physical),
                ColumnDefinitionKind::Metadata { data_type, key, is_virtual } => {
                    (data_type, ColumnKind::Metadata { key: key.clone(), is_virtual: *is_virtual })
                }
                ColumnDefinitionKind::Computed { .. } => return None,
            };
            Some(TableColumn { field: Arc::new(data_type.to_field(&column.name)), kind })
        };
        let mut options = self.options.clone();
        options.extend(overrides.iter().map(|(k, v)| (k.clone(), v.clone())));
        TableDescription {
            name: self.name.clone(),
            columns: self.columns.iter().filter_map(column).collect(),
            primary_key: self.primary_key.as_ref().map(|k| k.columns.clone()).unwrap_or_default(),
            options,
        }
    }

    /// Checks that names are unique and that keys and watermark name columns that can serve.
    pub(super) fn validate(&self) -> Result<()> {
        let mut seen = HashSet::new();
        for column in &self.columns {
            if !seen.insert(column.name.as_str()) {
                let message = format!("A column named '{}' already exists in the table", column.name);
                return Err(SqlError::new(SqlState::DuplicateColumn, message).at(column.position));
            }
        }
        if let Some(key) = &self.primary_key {
            self.validate_key(key)?;
        }
        for name in &self.partition_keys {
            self.known(name, "Partition key", Location::empty())?;
        }
        self.watermark.as_ref().map_or(Ok(()), |watermark| self.validate_watermark(watermark))
    }

    fn validate_key(&self, key: &PrimaryKey) -> Result<()> {
        let mut seen = HashSet::new();
        for name in &key.columns {
            let column = self.known(name, "Primary key column", key.position)?;
            if !matches!(column.kind, ColumnDefinitionKind::Physical { .. }) {
                let message =
                    format!("Could not create a PRIMARY KEY with column '{name}': it is not a physical column");
                return Err(SqlError::new(SqlState::InvalidTableDefinition, message).at(key.position));
            }
            if !seen.insert(name) {
                let message = format!("Could not create a PRIMARY KEY: column '{name}' appears twice");
                return Err(SqlError::new(SqlState::InvalidTableDefinition, message).at(key.position));
            }
        }
        Ok(())
    }

    fn validate_watermark(&self, watermark: &Watermark) -> Result<()> {
        let column = self.known(&watermark.column, "The rowtime attribute field", watermark.position)?;
        let Some(data_type) = declared_type(&column.kind) else { return Ok(()) };
        match data_type.data_type {
            FlinkType::Timestamp(0..=3) | FlinkType::TimestampLtz(0..=3) => Ok(()),
            _ => {
                let message = format!(
                    "Invalid data type of time field for watermark definition. The field must be of type TIMESTAMP(p) or \
                     TIMESTAMP_LTZ(p), the supported precision 'p' is from 0 to 3, but the time field type is {data_type}"
                );
                Err(SqlError::new(SqlState::DatatypeMismatch, message)
                    .with_hint(time_hint(&watermark.column, &data_type.data_type))
                    .at(watermark.position))
            }
        }
    }

    fn known(&self, name: &str, what: &str, at: Location) -> Result<&ColumnDefinition> {
        self.column(name).ok_or_else(|| {
            let mut error = SqlError::unknown_column(name, self.columns.iter().map(|c| c.name.as_str())).at(at);
            error.message = format!("{what} '{name}' is not defined in the table schema");
            error
        })
    }

    /// Columns of the primary key are `NOT NULL`.
    pub(super) fn close_key(&mut self) {
        let Some(key) = &self.primary_key else { return };
        for column in self.columns.iter_mut().filter(|c| key.columns.contains(&c.name)) {
            if let ColumnDefinitionKind::Physical { data_type } = &mut column.kind {
                data_type.nullable = false;
            }
        }
    }
}

fn time_hint(column: &str, data_type: &FlinkType) -> String {
    match data_type {
        FlinkType::Timestamp(_) | FlinkType::TimestampLtz(_) => "declare it with precision 3".to_string(),
        FlinkType::BigInt => {
            format!("add a computed column such as `ts AS TO_TIMESTAMP_LTZ({column}, 3)` and put the watermark on it")
        }
        _ => format!("add a computed column such as `ts AS TO_TIMESTAMP({column})` and put the watermark on it"),
    }
}

/// The declared type; computed columns have none.
pub(super) fn declared_type(kind: &ColumnDefinitionKind) -> Option<&ColumnType> {
    match kind {
        ColumnDefinitionKind::Physical { data_type } | ColumnDefinitionKind::Metadata { data_type, .. } => {
            Some(data_type)
        }
        ColumnDefinitionKind::Computed { .. } => None,
    }
}

/// Names of columns that an expression mentions (the first part of `a.b`).
pub(super) fn mentioned(expr: &Expr) -> HashSet<String> {
    let mut names = HashSet::new();
    let _ = visit_expressions(expr, |e| {
        match e {
            Expr::Identifier(name) => drop(names.insert(name.value.clone())),
            Expr::CompoundIdentifier(parts) => names.extend(parts.first().map(|p| p.value.clone())),
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    });
    names
}

/// Declared columns and, behind them, those of the query. A declared column of the same name gives the query's column
/// its type; bare names give the order.
fn with_query(create: &CreateTable, query: &[(String, ColumnType)]) -> Result<Vec<ColumnDefinition>> {
    let mut columns: Vec<ColumnDefinition> =
        create.columns.iter().filter(|c| !query.iter().any(|(name, _)| *name == c.name)).cloned().collect();
    let mut behind: Vec<ColumnDefinition> = query
        .iter()
        .map(|(name, data_type)| {
            create.columns.iter().find(|c| c.name == *name).cloned().unwrap_or_else(|| ColumnDefinition {
                name: name.clone(),
                kind: ColumnDefinitionKind::Physical { data_type: data_type.clone() },
                comment: None,
                position: create.name.position,
            })
        })
        .collect();
    if !create.column_order.is_empty() {
        let place = |column: &ColumnDefinition| create.column_order.iter().position(|n| *n == column.name);
        if create.column_order.len() != behind.len() || behind.iter().any(|c| place(c).is_none()) {
            let message = "The column identifiers in the CREATE TABLE statement must be the columns of the query";
            return Err(SqlError::new(SqlState::InvalidTableDefinition, message).at(create.name.position));
        }
        behind.sort_by_key(place);
    }
    columns.extend(behind);
    Ok(columns)
}
