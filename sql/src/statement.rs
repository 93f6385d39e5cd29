//! The statements of the dialect as plain values: what the parser makes and the session executes.
//!
//! Queries and expressions are sqlparser's AST. Where that AST has no place for something of Flink's, `parse` puts it
//! in as an ordinary function call; `parse/mod.rs` lists those shapes. Positions are those of the whole text that was
//! parsed, also inside the AST.
//!
//! **Hints.** `t /*+ OPTIONS('k' = 'v') */` is in `TableFactor::Table.with_hints` as a call of a function named like
//! the hint with one argument per entry; `parse::table_options` reads it. `SELECT /*+ STATE_TTL('o' = '1d') */`
//! is in `Select.optimizer_hints`; `parse::query_hints` reads it.

mod materialized;
mod mutation;
mod show;

use std::collections::BTreeMap;
use std::fmt;

use sqlparser::ast::{Expr, Query};
use sqlparser::tokenizer::Location;

pub use materialized::CreateMaterializedView;
pub use mutation::{Assigned, Mutation};
pub use show::{Show, ShowFilter, ShowKind};

use crate::types::ColumnType;

/// One statement of a script, with the text it was made from.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedStatement {
    /// What it says.
    pub statement: Statement,
    /// Its text, without the semicolon.
    pub text: String,
    /// Where it starts in the script.
    pub start: Location,
}

/// Every statement that we understand.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// `CREATE TABLE`, also with `LIKE` or `AS SELECT`.
    CreateTable(Box<CreateTable>),
    /// `CREATE VIEW`.
    CreateView(CreateView),
    /// `CREATE MATERIALIZED VIEW`.
    CreateMaterializedView(Box<CreateMaterializedView>),
    /// `CREATE DATABASE` or `CREATE CATALOG`: accepted, there is only one of each.
    CreateNamespace(CreateNamespace),
    /// `DROP TABLE`, `DROP VIEW`, `DROP MATERIALIZED VIEW`.
    Drop(Drop),
    /// `ALTER TABLE`.
    AlterTable(AlterTable),
    /// `ALTER VIEW`.
    AlterView(AlterView),
    /// `INSERT`.
    Insert(Box<Insert>),
    /// `UPDATE`, `DELETE`, `TRUNCATE TABLE`.
    Mutation(Box<Mutation>),
    /// `FLUSH`.
    Flush,
    /// `EXECUTE STATEMENT SET BEGIN … END`: one job.
    StatementSet(Vec<Insert>),
    /// A query whose result the user wants to see.
    Query(Box<Query>),
    /// `EXPLAIN`.
    Explain(Explain),
    /// `SET 'key' = 'value'`.
    Set {
        /// Configuration key.
        key: String,
        /// Its value as text.
        value: String,
        /// Where the key is written.
        position: Location,
    },
    /// `SET` alone: show what is set.
    ShowSettings,
    /// `RESET 'key'`, or `RESET` for all keys.
    Reset {
        /// The key; None for all.
        key: Option<String>,
    },
    /// `SHOW TABLES`, `SHOW JOBS` and their like.
    Show(Show),
    /// `SHOW CREATE TABLE t`, `SHOW CREATE VIEW t`.
    ShowCreate {
        /// What the user asked for.
        kind: ObjectKind,
        /// Which.
        name: TableName,
    },
    /// `DESCRIBE t`, `DESC t`, `SHOW COLUMNS FROM t`.
    Describe {
        /// Which table or view.
        name: TableName,
    },
    /// `STOP JOB 'id' [WITH SAVEPOINT]`.
    StopJob {
        /// The job's id.
        id: String,
        /// True to take a savepoint first.
        with_savepoint: bool,
    },
    /// `SUBSCRIBE TO v`.
    Subscribe {
        /// Which materialized view.
        name: TableName,
    },
    /// `USE [CATALOG] name`: accepted for the only names there are.
    Use {
        /// Catalog or database.
        name: TableName,
    },
}

/// A name of one to three parts: `[catalog.][database.]table`. Letter case counts.
#[derive(Debug, Clone, PartialEq)]
pub struct TableName {
    /// The parts, unquoted.
    pub parts: Vec<String>,
    /// Where it is written.
    pub position: Location,
}

impl TableName {
    /// The last part: the name of the table itself.
    pub fn table(&self) -> &str {
        self.parts.last().map_or("", String::as_str)
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.parts.join("."))
    }
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    /// Rows in an external system, or a table of our own.
    Table,
    /// A named query.
    View,
    /// A named query whose result is kept current.
    MaterializedView,
}

/// `CREATE [TEMPORARY] TABLE [IF NOT EXISTS] name (…) … WITH (…) [LIKE …] [AS …]`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateTable {
    /// Name.
    pub name: TableName,
    /// True for a table that hides a permanent one of the same name.
    pub temporary: bool,
    /// No error when it exists.
    pub if_not_exists: bool,
    /// Declared columns in order. With `AS`, they come before the query's columns.
    pub columns: Vec<ColumnDefinition>,
    /// With `AS`: bare names that put the query's columns in another order; empty otherwise.
    pub column_order: Vec<String>,
    /// `WATERMARK FOR`.
    pub watermark: Option<Watermark>,
    /// `PRIMARY KEY … NOT ENFORCED`.
    pub primary_key: Option<PrimaryKey>,
    /// `COMMENT`.
    pub comment: Option<String>,
    /// `PARTITIONED BY`.
    pub partition_keys: Vec<String>,
    /// `DISTRIBUTED …`, as written.
    pub distribution: Option<String>,
    /// `WITH`.
    pub options: BTreeMap<String, String>,
    /// `LIKE`.
    pub like: Option<Like>,
    /// `AS SELECT …`.
    pub query: Option<Box<Query>>,
}

/// One column of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnDefinition {
    /// Name.
    pub name: String,
    /// Where its value comes from.
    pub kind: ColumnDefinitionKind,
    /// `COMMENT`.
    pub comment: Option<String>,
    /// Where the name is written.
    pub position: Location,
}

impl ColumnDefinition {
    /// True when its value is part of the row.
    pub fn is_physical(&self) -> bool {
        matches!(self.kind, ColumnDefinitionKind::Physical { .. })
    }
}

/// Where the value of a column comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnDefinitionKind {
    /// From the message: `a INT NOT NULL`.
    Physical {
        /// Declared type.
        data_type: ColumnType,
    },
    /// From other columns: `total AS price * qty`.
    Computed {
        /// The expression; its text is `Display` of this.
        expr: Box<Expr>,
    },
    /// From the connector: `ts TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL`.
    Metadata {
        /// Declared type.
        data_type: ColumnType,
        /// The connector's name for it; the column's own name unless `FROM` says otherwise.
        key: String,
        /// True when sinks do not write it.
        is_virtual: bool,
    },
}

/// `WATERMARK FOR column AS expr`.
#[derive(Debug, Clone, PartialEq)]
pub struct Watermark {
    /// The event time column.
    pub column: String,
    /// How far behind the rows it runs.
    pub expr: Box<Expr>,
    /// Where the column is written.
    pub position: Location,
}

/// `[CONSTRAINT name] PRIMARY KEY (columns) [NOT ENFORCED]`.
#[derive(Debug, Clone, PartialEq)]
pub struct PrimaryKey {
    /// The constraint's name, if given.
    pub name: Option<String>,
    /// Column names in the order given.
    pub columns: Vec<String>,
    /// False for `NOT ENFORCED`, the only mode for keys of tables in other systems.
    pub enforced: bool,
    /// Where it is written.
    pub position: Location,
}

/// `LIKE source (INCLUDING …, EXCLUDING …, OVERWRITING …)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Like {
    /// The table to be like.
    pub source: TableName,
    /// Options in the order given.
    pub options: Vec<LikeOption>,
}

/// One `LIKE` option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LikeOption {
    /// What to do.
    pub strategy: LikeStrategy,
    /// With what.
    pub feature: LikeFeature,
}

/// What a `LIKE` option does with a feature of the source table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LikeStrategy {
    /// Takes it over; an error when the new table defines the same.
    Including,
    /// Leaves it out.
    Excluding,
    /// Takes it over; the new table's definition wins.
    Overwriting,
}

/// What a `LIKE` option is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LikeFeature {
    /// Everything.
    All,
    /// Primary key.
    Constraints,
    /// `DISTRIBUTED`.
    Distribution,
    /// Computed columns.
    Generated,
    /// Metadata columns.
    Metadata,
    /// `WITH` options.
    Options,
    /// `PARTITIONED BY`.
    Partitions,
    /// `WATERMARK FOR`.
    Watermarks,
}

/// `CREATE [TEMPORARY] VIEW [IF NOT EXISTS] name [(columns)] [COMMENT …] AS query`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateView {
    /// Name.
    pub name: TableName,
    /// True for a view that hides a permanent table or view of the same name.
    pub temporary: bool,
    /// No error when it exists.
    pub if_not_exists: bool,
    /// New names of the query's columns; empty to keep them.
    pub columns: Vec<String>,
    /// `COMMENT`.
    pub comment: Option<String>,
    /// The query.
    pub query: Box<Query>,
    /// The query as the user wrote it.
    pub query_text: String,
}

/// `CREATE DATABASE` or `CREATE CATALOG`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateNamespace {
    /// `DATABASE` or `CATALOG`.
    pub kind: String,
    /// Name.
    pub name: TableName,
    /// No error when it exists.
    pub if_not_exists: bool,
}

/// `DROP [TEMPORARY] TABLE|VIEW [IF EXISTS] name [RESTRICT|CASCADE]`, the same with `MATERIALIZED VIEW`.
#[derive(Debug, Clone, PartialEq)]
pub struct Drop {
    /// What it is.
    pub kind: ObjectKind,
    /// Name.
    pub name: TableName,
    /// Only a temporary one.
    pub temporary: bool,
    /// No error when there is none.
    pub if_exists: bool,
    /// The views that stand on it go with it.
    pub cascade: bool,
}

/// `ALTER TABLE [IF EXISTS] name …`.
#[derive(Debug, Clone, PartialEq)]
pub struct AlterTable {
    /// Which table.
    pub name: TableName,
    /// No error when there is none.
    pub if_exists: bool,
    /// What to change, in order.
    pub actions: Vec<AlterAction>,
}

/// One change of a table.
#[derive(Debug, Clone, PartialEq)]
pub enum AlterAction {
    /// `ADD column [FIRST | AFTER other]`.
    AddColumn(ColumnDefinition, Option<ColumnPosition>),
    /// `MODIFY column [FIRST | AFTER other]`.
    ModifyColumn(ColumnDefinition, Option<ColumnPosition>),
    /// `ADD WATERMARK`.
    AddWatermark(Watermark),
    /// `MODIFY WATERMARK`.
    ModifyWatermark(Watermark),
    /// `ADD PRIMARY KEY`.
    AddPrimaryKey(PrimaryKey),
    /// `MODIFY PRIMARY KEY`.
    ModifyPrimaryKey(PrimaryKey),
    /// `DROP column`.
    DropColumn(String),
    /// `DROP WATERMARK`.
    DropWatermark,
    /// `DROP PRIMARY KEY`, `DROP CONSTRAINT name`.
    DropPrimaryKey,
    /// `RENAME a TO b`.
    RenameColumn {
        /// Old name.
        from: String,
        /// New name.
        to: String,
    },
    /// `RENAME TO name`.
    RenameTable(TableName),
    /// `SET ('k' = 'v')`.
    SetOptions(BTreeMap<String, String>),
    /// `RESET ('k')`.
    ResetOptions(Vec<String>),
}

/// Where a column goes.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnPosition {
    /// Before all others.
    First,
    /// Behind this one.
    After(String),
}

/// `ALTER VIEW name RENAME TO other` or `ALTER VIEW name AS query`.
#[derive(Debug, Clone, PartialEq)]
pub enum AlterView {
    /// Another name.
    Rename {
        /// Old name.
        name: TableName,
        /// New name.
        to: TableName,
    },
    /// Another query.
    Query {
        /// Which view.
        name: TableName,
        /// The query.
        query: Box<Query>,
        /// The query as the user wrote it.
        query_text: String,
    },
}

/// `INSERT INTO|OVERWRITE target [(columns)] query [ON CONFLICT DO …]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    /// Table to write.
    pub target: TableName,
    /// `/*+ OPTIONS(…) */` behind the target.
    pub target_options: BTreeMap<String, String>,
    /// Columns that the query gives, in its order; empty for all of the table.
    pub columns: Vec<String>,
    /// `PARTITION (k = v)`.
    pub partition: BTreeMap<String, Expr>,
    /// What to write.
    pub query: Box<Query>,
    /// True for `OVERWRITE`.
    pub overwrite: bool,
    /// `ON CONFLICT DO …`.
    pub on_conflict: Option<OnConflict>,
    /// The statement as the user wrote it.
    pub text: String,
}

/// What a sink does when the query's key is not the table's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnConflict {
    /// Fail.
    Error,
    /// Keep the first row of a key.
    Nothing,
    /// Keep the last row of a key, and go back to the one before when it is taken back.
    Deduplicate,
}

/// `EXPLAIN [PLAN FOR | ESTIMATED_COST, CHANGELOG_MODE, …] statement`.
#[derive(Debug, Clone, PartialEq)]
pub struct Explain {
    /// Details asked for, upper case: `CHANGELOG_MODE`, `ESTIMATED_COST`, `PLAN_ADVICE`, `JSON_EXECUTION_PLAN`.
    pub details: Vec<String>,
    /// A query, an INSERT or a statement set.
    pub statement: Box<Statement>,
}
