//! The nodes of a streaming plan in words: for people ([`StreamPlan::describe`]) and for matching state
//! ([`StreamPlan::meaning`]).
//!
//! What a stateful node means is its kind, its keys and its calls in terms of the columns that the node itself gets from
//! below the projections and filters, and the tables it stands on. Names that a query gives to columns are not part of
//! it, nor are filters, other columns and other sinks: those may change and the state is still found.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, SchemaRef};
use eddyline_engine::aggregate::AggregateCall;
use eddyline_engine::connector::SourceChanges;

use super::expression_text::{text, texts};
use super::lower::{column, map_columns};
use super::nodes::describe_window;
use super::stream_plan::{Expression, GroupAggregate, Join, Scan, StreamPlan, WindowAggregate, WindowTime};
use crate::functions::function_name;

impl StreamPlan {
    /// The node in Flink's words: `GroupAggregate(groupBy=[word], select=[word, COUNT(*) AS cnt])`.
    pub fn describe(&self) -> String {
        match self {
            StreamPlan::Scan(scan) => describe_scan(scan),
            StreamPlan::Values { rows } => format!("Values(rows=[{}])", rows.num_rows()),
            StreamPlan::Project { expressions, schema, .. } => {
                format!("Calc(select=[{}])", select(schema, expressions))
            }
            StreamPlan::Filter { predicate, .. } => format!("Calc(where=[{}])", text(predicate)),
            StreamPlan::Unnest { collection, outer, .. } => {
                let kind = if *outer { "LEFT" } else { "INNER" };
                format!("Unnest(collection=[{}], joinType=[{kind}])", text(collection))
            }
            StreamPlan::Expand { projections, .. } => format!("Expand(sets=[{}])", projections.len()),
            StreamPlan::WindowAssign { input, time, kind, offset, .. } => {
                format!("WindowTableFunction({})", window(input, *time, &describe_window(kind), *offset))
            }
            StreamPlan::ChangelogNormalize { input, key, .. } => {
                format!("ChangelogNormalize(key=[{}])", names(&input.schema(), key))
            }
            StreamPlan::CurrentWatermark { .. } => "Calc(select=[*, CURRENT_WATERMARK])".to_string(),
            StreamPlan::ToChangelog { .. } => "ToChangelog()".to_string(),
            StreamPlan::FromChangelog { .. } => "FromChangelog()".to_string(),
            StreamPlan::GroupAggregate(a) => {
                let keys = names(&a.input.schema(), &a.keys);
                let select = select_aggregates(&keys, &a.calls);
                if a.window_end.is_some() {
                    return format!("WindowAggregate(groupBy=[{keys}], window=[attached], select=[{select}])");
                }
                format!("GroupAggregate(groupBy=[{keys}], select=[{select}])")
            }
            StreamPlan::WindowAggregate(a) => {
                let keys = names(&a.input.schema(), &a.keys);
                let window = window(&a.input, a.time, &describe_window(&a.kind), a.offset);
                format!("WindowAggregate(groupBy=[{keys}], {window}, select=[{}])", select_aggregates(&keys, &a.calls))
            }
            StreamPlan::Join(join) => describe_join(join),
            StreamPlan::Deduplicate { input, keys, keep_last, order } => format!(
                "Deduplicate(keep=[{}Row], key=[{}], order=[{}])",
                if *keep_last { "Last" } else { "First" },
                names(&input.schema(), keys),
                if order.is_some() { "ROWTIME" } else { "PROCTIME" }
            ),
            StreamPlan::Union { inputs, .. } => format!("Union(all=[true], inputs=[{}])", inputs.len()),
        }
    }

    /// What a stateful node means, and the tables it stands on. State is found again by this text.
    pub fn meaning(&self) -> String {
        let node = match self {
            StreamPlan::GroupAggregate(a) => meaning_of_group(a),
            StreamPlan::WindowAggregate(a) => meaning_of_window(a),
            StreamPlan::Join(join) => {
                let pair = |(l, r): &(usize, usize)| {
                    format!("{} = {}", origins(&join.left, &[*l]), origins(&join.right, &[*r]))
                };
                format!("{:?}Join({})", join.kind, join.on.iter().map(pair).collect::<Vec<_>>().join(" AND "))
            }
            StreamPlan::Deduplicate { input, keys, keep_last, order } => {
                let keep = if *keep_last { "Last" } else { "First" };
                let order = order.map_or("PROCTIME".to_string(), |time| origins(input, &[time]));
                format!("Deduplicate(keep={keep}, key=[{}], order={order})", origins(input, keys))
            }
            StreamPlan::ChangelogNormalize { input, key, .. } => {
                format!("ChangelogNormalize(key=[{}])", origins(input, key))
            }
            other => other.describe(),
        };
        format!("{node} <- {}", self.tables().join(", "))
    }
}

fn meaning_of_group(a: &GroupAggregate) -> String {
    let window = if a.window_end.is_some() { "window=attached, " } else { "" };
    format!("GroupAggregate({window}by=[{}], calls=[{}])", origins(&a.input, &a.keys), meaning_of_calls(a))
}

fn meaning_of_calls(a: &GroupAggregate) -> String {
    a.calls.iter().map(|call| call_text(call, &|e| text(&origin(&a.input, e)))).collect::<Vec<_>>().join(", ")
}

fn meaning_of_window(a: &WindowAggregate) -> String {
    let calls: Vec<String> = a.calls.iter().map(|call| call_text(call, &|e| text(&origin(&a.input, e)))).collect();
    let time = match a.time {
        WindowTime::Event(column) => origins(&a.input, &[column]),
        WindowTime::Processing => "PROCTIME".to_string(),
    };
    let offset = if a.offset == 0 { String::new() } else { format!(" offset {} ms", a.offset / 1000) };
    format!(
        "WindowAggregate({}{offset} on {time}, by=[{}], calls=[{}])",
        describe_window(&a.kind),
        origins(&a.input, &a.keys),
        calls.join(", ")
    )
}

/// Where columns of `plan` come from, see [`origin`].
fn origins(plan: &StreamPlan, columns: &[usize]) -> String {
    let schema = plan.schema();
    texts(&columns.iter().map(|i| origin(plan, &column(&schema, *i))).collect::<Vec<_>>())
}

/// `expression` over `plan` in terms of what is below the projections and filters of `plan`.
fn origin(plan: &StreamPlan, expression: &Expression) -> Expression {
    let below = |expressions: &[Expression]| map_columns(expression, &|i| expressions.get(i).cloned()).ok();
    match plan {
        StreamPlan::Filter { input, .. } => origin(input, expression),
        StreamPlan::Project { input, expressions, .. } => match below(expressions) {
            Some(inner) => origin(input, &inner),
            None => Arc::clone(expression),
        },
        StreamPlan::Scan(scan) => scan.project.as_deref().and_then(below).unwrap_or_else(|| Arc::clone(expression)),
        _ => Arc::clone(expression),
    }
}

pub(super) fn names(schema: &SchemaRef, columns: &[usize]) -> String {
    columns.iter().map(|c| schema.field(*c).name().as_str()).collect::<Vec<_>>().join(", ")
}

fn select(fields: &SchemaRef, expressions: &[Expression]) -> String {
    let item = |(e, f): (&Expression, &FieldRef)| {
        let text = text(e);
        if text == *f.name() { text } else { format!("{text} AS {}", f.name()) }
    };
    expressions.iter().zip(fields.fields()).map(item).collect::<Vec<_>>().join(", ")
}

fn window(input: &StreamPlan, time: WindowTime, kind: &str, offset: i64) -> String {
    let time = match time {
        WindowTime::Event(column) => input.schema().field(column).name().clone(),
        WindowTime::Processing => "PROCTIME".to_string(),
    };
    let offset = if offset == 0 { String::new() } else { format!(", offset=[{} ms]", offset / 1000) };
    format!("window=[{kind}], time=[{time}]{offset}")
}

fn describe_scan(scan: &Scan) -> String {
    let fields: Vec<&str> = scan.read_schema.fields().iter().map(|f| f.name().as_str()).collect();
    let mut words = format!("TableSourceScan(table=[{}], fields=[{}]", scan.table, fields.join(", "));
    if let Some(project) = &scan.project {
        words.push_str(&format!(", select=[{}]", select(&scan.schema, project)));
    }
    if let Some(watermark) = &scan.watermark {
        words.push_str(&format!(", watermark=[{}]", text(&watermark.expression)));
    }
    if scan.source.changes != SourceChanges::Append {
        words.push_str(&format!(", changes=[{:?}]", scan.source.changes));
    }
    words.push(')');
    words
}

fn describe_join(join: &Join) -> String {
    let (left, right) = (join.left.schema(), join.right.schema());
    let on: Vec<String> =
        join.on.iter().map(|(l, r)| format!("{} = {}", left.field(*l).name(), right.field(*r).name())).collect();
    let condition = join.condition.as_ref().map(|c| format!(", condition=[{}]", text(c))).unwrap_or_default();
    format!("Join(joinType=[{:?}Join], where=[{}]{condition})", join.kind, on.join(" AND "))
}

fn select_aggregates(keys: &str, calls: &[AggregateCall]) -> String {
    let call = |call: &AggregateCall| format!("{} AS {}", call_text(call, &text), call.field.name());
    let keys = (!keys.is_empty()).then(|| keys.to_string());
    keys.into_iter().chain(calls.iter().map(call)).collect::<Vec<_>>().join(", ")
}

/// `SUM(DISTINCT a) FILTER (WHERE b)`.
fn call_text(call: &AggregateCall, text: &dyn Fn(&Expression) -> String) -> String {
    let args = match call.args.as_slice() {
        [] => "*".to_string(),
        some => some.iter().map(text).collect::<Vec<_>>().join(", "),
    };
    let name = function_name(call.function);
    let distinct = if call.distinct { "DISTINCT " } else { "" };
    let filter = call.filter.as_ref().map(|f| format!(" FILTER (WHERE {})", text(f))).unwrap_or_default();
    format!("{name}({distinct}{args}){filter}")
}
