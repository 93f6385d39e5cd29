//! `CREATE MATERIALIZED VIEW` as a value.

use sqlparser::ast::Query;

use super::{PrimaryKey, TableName};

/// `CREATE MATERIALIZED VIEW [IF NOT EXISTS] name [(columns [, PRIMARY KEY (…) NOT ENFORCED])] [COMMENT …] AS query`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateMaterializedView {
    /// Name.
    pub name: TableName,
    /// No error when it exists.
    pub if_not_exists: bool,
    /// New names of the query's columns; empty to keep them.
    pub columns: Vec<String>,
    /// The key, where the query's own is not to serve.
    pub primary_key: Option<PrimaryKey>,
    /// `COMMENT`.
    pub comment: Option<String>,
    /// The query.
    pub query: Box<Query>,
    /// The query as the user wrote it.
    pub query_text: String,
}
