//! `SHOW` and `DESCRIBE`: facts about the session as small tables of text.

use arrow::datatypes::Schema;
use chrono::{DateTime, Utc};
use eddyline_engine::runtime::JobStatus;

use crate::catalog::{Catalog, CatalogObject};
use crate::error::Result;
use crate::jobs::{JobEntry, Jobs};
use crate::plan;
use crate::session::{Outcome, text_rows};
use crate::statement::{Show, ShowKind};
use crate::types::ColumnType;

/// Columns of `DESCRIBE`, as Flink names them.
pub const DESCRIBE_COLUMNS: [&str; 6] = ["name", "type", "null", "key", "extras", "watermark"];

/// Answers `SHOW`.
pub fn show(show: &Show, catalog: &Catalog, jobs: &Jobs) -> Result<Outcome> {
    let (header, names) = match show.kind {
        ShowKind::Tables => ("table name", owned(catalog.names())),
        ShowKind::Views => ("view name", owned(catalog.views())),
        ShowKind::Functions => ("function name", crate::functions::function_names()),
        ShowKind::Catalogs => ("catalog name", vec!["default_catalog".to_string()]),
        ShowKind::CurrentCatalog => ("current catalog name", vec!["default_catalog".to_string()]),
        ShowKind::Databases => ("database name", vec!["default_database".to_string()]),
        ShowKind::CurrentDatabase => ("current database name", vec!["default_database".to_string()]),
        ShowKind::Modules => ("module name", vec!["core".to_string()]),
        ShowKind::Jobs => return Ok(show_jobs(jobs)),
    };
    let keep = |name: &String| show.matches(name);
    Ok(text_rows(&[header], names.into_iter().filter(keep).map(|name| vec![Some(name)]).collect()))
}

fn owned(names: Vec<&str>) -> Vec<String> {
    names.into_iter().map(str::to_string).collect()
}

/// Columns of `SHOW JOBS`: Flink's four, then ours.
const JOB_COLUMNS: [&str; 8] =
    ["job id", "job name", "status", "start time", "rows read", "late rows", "last checkpoint", "last error"];

fn show_jobs(jobs: &Jobs) -> Outcome {
    let row = |job: JobEntry| {
        let status = job.status();
        let figure = |value: fn(&JobStatus) -> Option<u64>| status.as_ref().and_then(value).map(|n| n.to_string());
        vec![
            Some(job.id.clone()),
            Some(job.name.clone()),
            Some(job.state()),
            Some(DateTime::<Utc>::from(job.started_at).format("%Y-%m-%dT%H:%M:%S%.3f").to_string()),
            figure(|s| Some(s.rows_read)),
            figure(|s| Some(s.late_rows)),
            figure(|s| s.last_checkpoint.as_ref().map(|c| c.epoch.0)),
            job.error(),
        ]
    };
    text_rows(&JOB_COLUMNS, jobs.list().into_iter().map(row).collect())
}

/// Rows of `DESCRIBE`, with the types of the planned relation.
pub fn describe(object: &CatalogObject, schema: &Schema) -> Vec<Vec<Option<String>>> {
    let types = |name: &str| {
        let field = schema.field_with_name(name).ok()?;
        let time = match plan::time_attribute(field) {
            Some(plan::TimeAttribute::Rowtime) => " *ROWTIME*",
            Some(plan::TimeAttribute::Proctime) => " *PROCTIME*",
            None => "",
        };
        Some((format!("{}{time}", ColumnType::from_arrow(field).data_type), field.is_nullable()))
    };
    let truth = |value: bool| Some((if value { "TRUE" } else { "FALSE" }).to_string());
    match object {
        CatalogObject::Table(table) => table
            .describe(types)
            .into_iter()
            .map(|c| vec![Some(c.name), Some(c.data_type), truth(c.nullable), c.key, c.extras, c.watermark])
            .collect(),
        CatalogObject::View(_) => schema
            .fields()
            .iter()
            .filter_map(|f| types(f.name()).map(|(text, null)| (f.name().clone(), text, null)))
            .map(|(name, text, null)| vec![Some(name), Some(text), truth(null), None, None, None])
            .collect(),
    }
}
