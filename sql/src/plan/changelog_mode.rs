//! Which changes each part of a plan sends, and which it needs to be sent.
//!
//! Facts flow upwards: does a node only append, and by which columns can its rows be told apart (its upsert key)? From
//! them follows what flows downwards: a consumer that replaces rows by that key does not need the old half of an
//! update, and the producer then does not compute it.

use std::collections::BTreeSet;

use datafusion_physical_expr::expressions::CastExpr;
use eddyline_engine::connector::{SinkChanges, SourceChanges};

use super::lower::as_column;
use super::normalize::key_only_rows;
use super::stream_plan::{Expression, JoinKind, StreamPlan, WindowTime};
use crate::error::{Result, SqlError, SqlState};

/// True when `plan` never takes a row back.
pub fn is_append_only(plan: &StreamPlan) -> bool {
    match plan {
        StreamPlan::Scan(scan) => scan.source.changes == SourceChanges::Append,
        StreamPlan::GroupAggregate(aggregate) => {
            aggregate.window_end.is_some() || aggregate.calls.is_empty() && is_append_only(&aggregate.input)
        }
        StreamPlan::WindowAggregate(_) | StreamPlan::ToChangelog { .. } => true,
        StreamPlan::FromChangelog { .. } => false,
        StreamPlan::Join(join) => {
            matches!(join.kind, JoinKind::Inner | JoinKind::Semi)
                && is_append_only(&join.left)
                && is_append_only(&join.right)
        }
        StreamPlan::Deduplicate { keep_last, order, input, .. } => {
            !keep_last && order.is_none() && is_append_only(input)
        }
        other => other.inputs().into_iter().all(is_append_only),
    }
}

/// Columns by which the current rows of `plan` are unique; an empty list when there is at most one row.
pub fn upsert_key(plan: &StreamPlan) -> Option<Vec<usize>> {
    match plan {
        StreamPlan::GroupAggregate(aggregate) => Some((0..aggregate.keys.len()).collect()),
        StreamPlan::WindowAggregate(aggregate) => {
            let end = aggregate.keys.len() + aggregate.calls.len() + 1;
            Some((0..aggregate.keys.len()).chain([end]).collect())
        }
        StreamPlan::Deduplicate { keys, .. } => Some(keys.clone()),
        StreamPlan::ChangelogNormalize { key, .. } => Some(key.clone()),
        // Sources without changes are not known to keep to a key that nobody enforces.
        StreamPlan::Scan(scan)
            if scan.source.changes != SourceChanges::Append && !scan.relation.primary_key().is_empty() =>
        {
            let find = |name: &String| scan.schema.fields().iter().position(|field| field.name() == name);
            scan.relation.primary_key().iter().map(find).collect()
        }
        StreamPlan::Filter { input, .. } => upsert_key(input),
        StreamPlan::Project { input, expressions, .. } => {
            let find = |key: usize| expressions.iter().position(|e| as_same_column(e) == Some(key));
            upsert_key(input)?.into_iter().map(find).collect()
        }
        _ => None,
    }
}

/// The column whose values an expression tells apart: the column itself, or an integer made wider (what an INSERT does
/// to an INT key on its way into a BIGINT column; a cast between integers is only ever bound as a widening).
fn as_same_column(expression: &Expression) -> Option<usize> {
    let widened = |cast: &CastExpr| cast.cast_type().is_integer().then(|| as_column(cast.expr())).flatten();
    as_column(expression).or_else(|| expression.downcast_ref::<CastExpr>().and_then(widened))
}

/// True when a producer under `plan` must send old rows, given that the consumer of `plan` needs them or not.
pub fn input_needs_before(plan: &StreamPlan, consumer_needs: bool) -> bool {
    match plan {
        StreamPlan::Project { .. } => consumer_needs || upsert_key(plan).is_none(),
        StreamPlan::Union { .. } => consumer_needs,
        // A filter may drop the new half of an update; the old half then says that the row is gone.
        _ => true,
    }
}

/// The changes that leave `plan`, as Flink prints them: `I,UB,UA,D`.
pub fn changelog_mode(plan: &StreamPlan, needs_before: bool) -> String {
    if is_append_only(plan) {
        return "I".to_string();
    }
    let before = sends_before(plan, needs_before).then_some("UB");
    let delete = deletes(plan).then_some("D");
    ["I"].into_iter().chain(before).chain(["UA"]).chain(delete).collect::<Vec<_>>().join(",")
}

/// True when old rows of updates leave `plan`, whether its consumer needs them or not.
fn sends_before(plan: &StreamPlan, needs_before: bool) -> bool {
    match plan {
        StreamPlan::Scan(scan) => scan.source.changes == SourceChanges::Retract,
        StreamPlan::GroupAggregate(_) | StreamPlan::ChangelogNormalize { .. } => needs_before,
        StreamPlan::FromChangelog { .. } | StreamPlan::Join(_) | StreamPlan::Deduplicate { .. } => true,
        other => {
            let below = input_needs_before(other, needs_before);
            other.inputs().into_iter().any(|input| !is_append_only(input) && sends_before(input, below))
        }
    }
}

/// True when rows may leave the result of `plan` without a successor.
fn deletes(plan: &StreamPlan) -> bool {
    match plan {
        StreamPlan::Scan(scan) => scan.source.changes != SourceChanges::Append,
        StreamPlan::GroupAggregate(aggregate) => !is_append_only(&aggregate.input),
        StreamPlan::FromChangelog { .. } => true,
        StreamPlan::Join(join) if join.kind != JoinKind::Inner => true,
        other => other.inputs().into_iter().any(deletes),
    }
}

/// The column of `plan` that is event time: rows are at most as late in it as the watermark says.
pub fn event_time(plan: &StreamPlan) -> Option<usize> {
    match plan {
        StreamPlan::Scan(scan) => scan.watermark.as_ref().map(|watermark| watermark.column),
        StreamPlan::Project { input, expressions, .. } => {
            let time = event_time(input)?;
            expressions.iter().position(|e| as_column(e) == Some(time))
        }
        StreamPlan::WindowAssign { time: WindowTime::Event(_), schema, .. } => schema.fields().len().checked_sub(1),
        StreamPlan::WindowAggregate(aggregate) if aggregate.time != WindowTime::Processing => {
            aggregate.schema.fields().len().checked_sub(1)
        }
        StreamPlan::Filter { input, .. }
        | StreamPlan::Unnest { input, .. }
        | StreamPlan::Expand { input, .. }
        | StreamPlan::CurrentWatermark { input, .. }
        | StreamPlan::ChangelogNormalize { input, .. }
        | StreamPlan::Deduplicate { input, .. } => event_time(input),
        StreamPlan::Union { inputs, .. } => {
            let time = event_time(inputs.first()?)?;
            inputs.iter().all(|input| event_time(input) == Some(time)).then_some(time)
        }
        _ => None,
    }
}

/// What a sink needs from the query: checks that it can take the changes, and says whether it needs old rows.
pub fn sink_needs_before(plan: &StreamPlan, sink: &SinkRequirements<'_>) -> Result<bool> {
    if is_append_only(plan) {
        return Ok(false);
    }
    match sink.changes {
        SinkChanges::Append => Err(append_only_error(plan, sink.table)),
        SinkChanges::Retract => Ok(true),
        SinkChanges::Upsert => {
            let primary: BTreeSet<usize> = sink.primary_key.iter().copied().collect();
            let key = upsert_key(plan);
            let fits = key.as_ref().is_some_and(|key| key.iter().copied().collect::<BTreeSet<_>>() == primary);
            if fits {
                return Ok(false);
            }
            if sink.conflict_allowed {
                return Ok(true);
            }
            Err(key_error(plan, sink, key))
        }
    }
}

/// `plan` for a sink that takes upserts by the key of the source, where rows can pass as they were read: nothing but
/// columns is chosen on the way, so that a deletion with nothing but a key arrives as one. None when `plan` is not so.
pub fn without_normalization(plan: &StreamPlan) -> Option<StreamPlan> {
    match plan {
        StreamPlan::ChangelogNormalize { input, .. } => Some(input.as_ref().clone()),
        StreamPlan::Project { input, expressions, schema } if expressions.iter().all(|e| as_column(e).is_some()) => {
            let (input, expressions) = (Box::new(without_normalization(input)?), expressions.clone());
            Some(key_only_rows(StreamPlan::Project { input, expressions, schema: schema.clone() }))
        }
        _ => None,
    }
}

/// A sink as the changelog sees it.
pub struct SinkRequirements<'a> {
    /// Qualified name.
    pub table: &'a str,
    /// What it takes.
    pub changes: SinkChanges,
    /// Primary key columns.
    pub primary_key: &'a [usize],
    /// True with an ON CONFLICT clause, or when none is required.
    pub conflict_allowed: bool,
}

/// The lowest node that produces updates: the one to name in messages.
fn updating_node(plan: &StreamPlan) -> &StreamPlan {
    plan.inputs().into_iter().find(|input| !is_append_only(input)).map_or(plan, updating_node)
}

fn append_only_error(plan: &StreamPlan, table: &str) -> SqlError {
    let node = updating_node(plan).describe();
    let message =
        format!("Table sink '{table}' doesn't support consuming update changes which is produced by node {node}");
    SqlError::new(SqlState::InvalidQuery, message).with_hint(
        "write to a table that takes updates (jdbc or upsert-kafka with a PRIMARY KEY), or aggregate in windows, whose \
         results are final",
    )
}

fn key_error(plan: &StreamPlan, sink: &SinkRequirements<'_>, key: Option<Vec<usize>>) -> SqlError {
    let schema = plan.schema();
    let names =
        |columns: &[usize]| columns.iter().map(|c| schema.field(*c).name().as_str()).collect::<Vec<_>>().join(", ");
    let message = format!(
        "The query has an upsert key that differs from the primary key of the sink table '{}'. Primary key: [{}], \
         upsert key: [{}].",
        sink.table,
        names(sink.primary_key),
        names(&key.unwrap_or_default())
    );
    SqlError::new(SqlState::InvalidQuery, message).with_hint(
        "Please specify an ON CONFLICT clause, or set 'table.exec.sink.require-on-conflict' = 'false', or let the \
         query group by the primary key",
    )
}
