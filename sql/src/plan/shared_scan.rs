//! Scans of one table become one scan: the queries of a job that read the same table share a reader, which decodes the
//! union of the columns that they need, once; projections behind it give each query its own columns.
//!
//! ```text
//!   Calc(select=[a])    Calc(select=[b, c])
//!          └─────────┬─────────┘
//!     TableSourceScan(fields=[a, b, c])
//! ```
//! The uid of a scan is its table, not its columns, so that positions are found again when a query reads other columns.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};

use super::lower::{as_column, column, map_columns};
use super::stream_plan::{Expression, Scan, StreamPlan, Watermark};
use crate::error::{Result, SqlError};

/// Makes the scans of every table in `plans` one.
pub fn share_scans<'a>(plans: impl Iterator<Item = &'a mut StreamPlan>) -> Result<()> {
    let mut groups: Vec<Vec<&mut StreamPlan>> = Vec::new();
    plans.for_each(|plan| collect(plan, &mut groups));
    groups.into_iter().filter(|group| group.len() > 1).try_for_each(share)
}

/// Sorts the scans under `plan` into groups of the same table.
fn collect<'a>(plan: &'a mut StreamPlan, groups: &mut Vec<Vec<&'a mut StreamPlan>>) {
    let StreamPlan::Scan(scan) = plan else {
        return plan.inputs_mut().into_iter().for_each(|input| collect(input, groups));
    };
    let same = |other: &StreamPlan| as_scan(other).is_some_and(|other| other.reads_same(scan));
    match groups.iter().position(|group| group.first().is_some_and(|first| same(first))) {
        Some(group) => groups[group].push(plan),
        None => groups.push(vec![plan]),
    }
}

/// One column of the common scan: its name and type, and how it comes from what is read.
struct Output {
    field: FieldRef,
    expression: Expression,
}

impl Output {
    fn is(&self, other: &Output) -> bool {
        self.field.name() == other.field.name() && self.expression.as_ref() == other.expression.as_ref()
    }

    /// Bare columns in their order, then computed ones.
    fn rank(&self) -> usize {
        as_column(&self.expression).unwrap_or(usize::MAX)
    }
}

fn share(group: Vec<&mut StreamPlan>) -> Result<()> {
    let scans: Vec<Scan> = group.iter().filter_map(|plan| as_scan(plan)).cloned().collect();
    let Some(first) = scans.first() else { return Ok(()) };
    let mut needed: Vec<usize> = scans.iter().flat_map(|scan| scan.read_columns.iter().copied()).collect();
    needed.sort_unstable();
    needed.dedup();
    let (source, read_columns) = first.relation.open_source(&needed)?;
    let read_schema = first.relation.schema_of(&source, &read_columns);
    let wanted: Vec<Vec<Output>> =
        scans.iter().map(|scan| outputs(scan, &read_columns, &read_schema)).collect::<Result<_>>()?;
    let mut common: Vec<&Output> = Vec::new();
    for output in wanted.iter().flatten() {
        if !common.iter().any(|known| known.is(output)) {
            common.push(output);
        }
    }
    common.sort_by_key(|output| output.rank());
    let place = |output: &Output| {
        let found = common.iter().position(|known| known.is(output));
        found.ok_or_else(|| SqlError::internal("a shared scan has all columns of its users"))
    };
    let schema: SchemaRef = Arc::new(Schema::new(common.iter().map(|o| Arc::clone(&o.field)).collect::<Vec<_>>()));
    let as_read = common.len() == read_schema.fields().len() && common.iter().map(|o| o.rank()).eq(0..common.len());
    let project = (!as_read).then(|| common.iter().map(|o| Arc::clone(&o.expression)).collect());
    let mut watermark = None;
    if let Some(own) = &first.watermark {
        let places: Vec<usize> = wanted[0].iter().map(place).collect::<Result<_>>()?;
        let moved = |i: usize| places.get(i).map(|to| column(&schema, *to));
        let expression = map_columns(&own.expression, &moved)?;
        watermark = Some(Watermark { column: places[own.column], expression });
    }
    let shared = Scan { source, read_columns, read_schema, project, watermark, schema, ..first.clone() };
    for ((plan, scan), wanted) in group.into_iter().zip(&scans).zip(&wanted) {
        let places: Vec<usize> = wanted.iter().map(place).collect::<Result<_>>()?;
        let input = StreamPlan::Scan(Box::new(shared.clone()));
        *plan = if places.iter().copied().eq(0..common.len()) {
            input
        } else {
            let expressions = places.iter().map(|i| column(&shared.schema, *i)).collect();
            StreamPlan::Project { input: Box::new(input), expressions, schema: Arc::clone(&scan.schema) }
        };
    }
    Ok(())
}

fn as_scan(plan: &StreamPlan) -> Option<&Scan> {
    match plan {
        StreamPlan::Scan(scan) => Some(scan),
        _ => None,
    }
}

/// The columns of `scan` over a read of `columns` of its table.
fn outputs(scan: &Scan, columns: &[usize], read: &SchemaRef) -> Result<Vec<Output>> {
    let moved = |i: usize| {
        let place = columns.iter().position(|column| Some(column) == scan.read_columns.get(i))?;
        Some(column(read, place))
    };
    let output = |(i, field): (usize, &FieldRef)| {
        let own = match &scan.project {
            Some(project) => Arc::clone(&project[i]),
            None => column(&scan.schema, i),
        };
        Ok(Output { field: Arc::clone(field), expression: map_columns(&own, &moved)? })
    };
    scan.schema.fields().iter().enumerate().map(output).collect()
}
