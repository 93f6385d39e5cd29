//! `UPDATE`, `DELETE` and `TRUNCATE TABLE` as values.

use sqlparser::ast::Query;
use sqlparser::tokenizer::Location;

use super::TableName;

/// What happens to some rows of a table of our own.
#[derive(Debug, Clone, PartialEq)]
pub struct Mutation {
    /// Which table.
    pub table: TableName,
    /// The columns that get new values; None when the rows are deleted.
    pub assigned: Option<Vec<Assigned>>,
    /// `SELECT … FROM table [AS alias] [WHERE …]`: the rows concerned, with the new value of each assigned column in order; with
    /// a mere 1 for rows that are deleted.
    pub query: Box<Query>,
}

/// A column in front of `=`.
#[derive(Debug, Clone, PartialEq)]
pub struct Assigned {
    /// Its name.
    pub column: String,
    /// Where it is written.
    pub position: Location,
}
