//! A streaming plan as a tree of text, every node with what planning found out about it:
//!
//! ```text
//! Calc(select=[word, cnt], changelogMode=[I,UA], upsertKey=[word])
//! +- GroupAggregate(groupBy=[word], select=[…], changelogMode=[I,UA], upsertKey=[word], distribution=[hash[word]])
//!    +- TableSourceScan(table=[…], fields=[word], changelogMode=[I])
//! ```
//! `changelogMode` is which changes leave the node, `upsertKey` by which columns its rows are told apart, `rowtime` which
//! column is event time, `distribution` how the rows that come in must lie when there are several subtasks.

use datafusion_expr::LogicalPlan;

use super::changelog_mode::{changelog_mode, event_time, input_needs_before, upsert_key};
use super::describe::names;
use super::stream_plan::StreamPlan;

/// The tree of `plan`, whose consumer needs old rows of updates or not; one line per node, the first one `depth` deep.
pub fn tree(plan: &StreamPlan, needs_before: bool, depth: usize) -> String {
    let mut text = String::new();
    write(plan, needs_before, depth, &mut text);
    text
}

/// A logical plan as an indented tree, with intervals as people read them.
pub fn logical_text(plan: &LogicalPlan) -> String {
    const INTERVAL: &str = "IntervalMonthDayNano(\"IntervalMonthDayNano { ";
    let text = plan.display_indent().to_string();
    let mut parts = text.split(INTERVAL);
    let mut readable = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let (fields, rest) = part.split_once(" }\")").unwrap_or((part, ""));
        let numbers: Vec<i64> = fields.split(", ").filter_map(|field| field.split_once(": ")?.1.parse().ok()).collect();
        match numbers.as_slice() {
            [0, days, nanos] => readable.push_str(&format!("INTERVAL {} ms", days * 86_400_000 + nanos / 1_000_000)),
            _ => readable.push_str(&format!("INTERVAL ({fields})")),
        }
        readable.push_str(rest);
    }
    readable
}

/// A line of a tree.
fn line(depth: usize, text: &str) -> String {
    match depth {
        0 => format!("{text}\n"),
        _ => format!("{}+- {text}\n", "   ".repeat(depth - 1)),
    }
}

fn write(plan: &StreamPlan, needs_before: bool, depth: usize, text: &mut String) {
    let words = plan.describe();
    let open = words.strip_suffix(')').unwrap_or(&words);
    let comma = if open.ends_with('(') { "" } else { ", " };
    text.push_str(&line(depth, &format!("{open}{comma}{})", facts(plan, needs_before))));
    let below = input_needs_before(plan, needs_before);
    plan.inputs().into_iter().for_each(|input| write(input, below, depth + 1, text));
}

fn facts(plan: &StreamPlan, needs_before: bool) -> String {
    let schema = plan.schema();
    let mut facts = vec![format!("changelogMode=[{}]", changelog_mode(plan, needs_before))];
    facts.extend(upsert_key(plan).map(|key| format!("upsertKey=[{}]", names(&schema, &key))));
    facts.extend(event_time(plan).map(|time| format!("rowtime=[{}]", names(&schema, &[time]))));
    facts.extend(distribution(plan).map(|lie| format!("distribution=[{lie}]")));
    facts.join(", ")
}

/// How the rows of each input must lie; None when it does not matter.
fn distribution(plan: &StreamPlan) -> Option<String> {
    let by = |input: &StreamPlan, keys: &[usize]| match keys {
        [] => "single".to_string(),
        keys => format!("hash[{}]", names(&input.schema(), keys)),
    };
    match plan {
        StreamPlan::GroupAggregate(a) => Some(by(&a.input, &a.keys)),
        StreamPlan::WindowAggregate(a) => Some(by(&a.input, &a.keys)),
        StreamPlan::Deduplicate { input, keys, .. } => Some(by(input, keys)),
        StreamPlan::ChangelogNormalize { input, key, .. } => Some(by(input, key)),
        StreamPlan::Join(join) => {
            let (left, right): (Vec<usize>, Vec<usize>) = join.on.iter().copied().unzip();
            Some(format!("{}, {}", by(&join.left, &left), by(&join.right, &right)))
        }
        _ => None,
    }
}
