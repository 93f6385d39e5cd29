//! `SHOW` and `DESCRIBE`: facts about the session as small tables of text.

use arrow::datatypes::Schema;
use chrono::{DateTime, Utc};
use eddyline_engine::runtime::JobStatus;

use crate::catalog::{Catalog, CatalogObject, DescribedColumn};
use crate::error::Result;
use crate::facts;
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
        ShowKind::MaterializedViews => ("materialized view name", owned(catalog.materialized_views())),
        ShowKind::Functions => ("function name", crate::functions::function_names()),
        ShowKind::Catalogs => ("catalog name", vec!["default_catalog".to_string()]),
        ShowKind::CurrentCatalog => ("current catalog name", vec!["default_catalog".to_string()]),
        ShowKind::Databases => ("database name", vec!["default_database".to_string()]),
        ShowKind::CurrentDatabase => ("current database name", vec!["default_database".to_string()]),
        ShowKind::Modules => ("module name", vec!["core".to_string()]),
        ShowKind::Jobs => return Ok(show_jobs(jobs)),
        ShowKind::Lag => return Ok(show_lag(&wanted(show, jobs)?)),
        ShowKind::Checkpoints => return Ok(show_checkpoints(&wanted(show, jobs)?)),
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
            Some(moment(job.started_at)),
            figure(|s| Some(s.rows_read)),
            figure(|s| Some(s.late_rows)),
            figure(|s| s.last_checkpoint.as_ref().map(|c| c.epoch.0)),
            job.error(),
        ]
    };
    text_rows(&JOB_COLUMNS, jobs.list().into_iter().map(row).collect())
}

/// The job that the statement names, or all.
fn wanted(show: &Show, jobs: &Jobs) -> Result<Vec<JobEntry>> {
    match &show.job {
        Some(id) => Ok(vec![jobs.find(id)?]),
        None => Ok(jobs.list()),
    }
}

/// Columns of `SHOW LAG`.
const LAG_COLUMNS: [&str; 10] =
    ["job id", "job name", "table", "partition", "position", "end", "lag", "watermark", "holds watermark", "status"];

fn show_lag(jobs: &[JobEntry]) -> Outcome {
    let rows = jobs.iter().flat_map(|job| {
        facts::lags(job).into_iter().map(|lag| {
            let number = |value: Option<u64>| value.map(|n| n.to_string());
            vec![
                Some(job.id.clone()),
                Some(job.name.clone()),
                Some(lag.table),
                Some(lag.partition),
                number(lag.position),
                number(lag.end),
                number(lag.lag_rows),
                lag.watermark.and_then(|w| DateTime::from_timestamp_micros(w.0.0)).map(written),
                truth(lag.holds_watermark),
                Some(lag.reading.word().to_string()),
            ]
        })
    });
    text_rows(&LAG_COLUMNS, rows.collect())
}

/// Columns of `SHOW CHECKPOINTS`.
const CHECKPOINT_COLUMNS: [&str; 11] = [
    "job id",
    "job name",
    "epoch",
    "kind",
    "start time",
    "duration ms",
    "size bytes",
    "growth bytes",
    "status",
    "path",
    "error",
];

fn show_checkpoints(jobs: &[JobEntry]) -> Outcome {
    let rows = jobs.iter().flat_map(|job| {
        facts::checkpoints(job).into_iter().map(|checkpoint| {
            vec![
                Some(job.id.clone()),
                Some(job.name.clone()),
                Some(checkpoint.epoch.to_string()),
                Some(format!("{:?}", checkpoint.kind).to_uppercase()),
                Some(moment(checkpoint.began_at)),
                checkpoint.duration.map(|d| d.as_millis().to_string()),
                checkpoint.bytes.map(|n| n.to_string()),
                checkpoint.growth_bytes.map(|n| n.to_string()),
                Some(checkpoint.stage.word().to_string()),
                checkpoint.path.map(|path| path.display().to_string()),
                checkpoint.failure,
            ]
        })
    });
    text_rows(&CHECKPOINT_COLUMNS, rows.collect())
}

fn moment(time: std::time::SystemTime) -> String {
    written(DateTime::<Utc>::from(time))
}

fn written(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%S%.3f").to_string()
}

fn truth(value: bool) -> Option<String> {
    Some((if value { "TRUE" } else { "FALSE" }).to_string())
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
    let row =
        |c: DescribedColumn| vec![Some(c.name), Some(c.data_type), truth(c.nullable), c.key, c.extras, c.watermark];
    match object {
        CatalogObject::Table(table) => table.describe(types).into_iter().map(row).collect(),
        CatalogObject::Materialized(view) => view.describe().into_iter().map(row).collect(),
        CatalogObject::View(_) => schema
            .fields()
            .iter()
            .filter_map(|f| types(f.name()).map(|(text, null)| (f.name().clone(), text, null)))
            .map(|(name, text, null)| vec![Some(name), Some(text), truth(null), None, None, None])
            .collect(),
    }
}
