//! `SHOW` as a value.

/// `SHOW kind [FROM|IN name] [[NOT] LIKE|ILIKE 'pattern']`, `SHOW LAG|CHECKPOINTS [FOR JOB 'id']`.
#[derive(Debug, Clone, PartialEq)]
pub struct Show {
    /// What to list.
    pub kind: ShowKind,
    /// Only what belongs to the job with this id or name.
    pub job: Option<String>,
    /// Only names that fit.
    pub filter: Option<ShowFilter>,
}

/// What `SHOW` can list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShowKind {
    /// Tables and views.
    Tables,
    /// Views.
    Views,
    /// Materialized views.
    MaterializedViews,
    /// Functions.
    Functions,
    /// Jobs of this session or server.
    Jobs,
    /// How far jobs have read each partition.
    Lag,
    /// The newest checkpoints of jobs.
    Checkpoints,
    /// Catalogs.
    Catalogs,
    /// Databases.
    Databases,
    /// Modules.
    Modules,
    /// The catalog in use.
    CurrentCatalog,
    /// The database in use.
    CurrentDatabase,
}

/// `[NOT] LIKE|ILIKE 'pattern'`.
#[derive(Debug, Clone, PartialEq)]
pub struct ShowFilter {
    /// True for `NOT`.
    pub negated: bool,
    /// True for `ILIKE`.
    pub ignore_case: bool,
    /// The pattern.
    pub pattern: String,
}
