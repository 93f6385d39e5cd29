//! Mini-batches in front of a group aggregation: when rows go on, and that changes are net.

use super::group_aggregate::calls;
use super::{AggregateFunction as F, *};
use crate::operator::{Operator, Output};
use crate::operators::{GroupAggregate, GroupAggregateSpec, MiniBatch};
use crate::testing::text::{parse, render};
use crate::time::{EventTime, ProcessingTime, Watermark};

const SECOND: i64 = 1_000_000;

/// Counts per `k`, in batches of four rows or of one second.
fn counting() -> MiniBatch {
    let input = only(&["k"]);
    let fields = key_fields(&input, &["k"]);
    let calls = calls(&["k"], &[(F::Count, &[])], false);
    let spec = GroupAggregateSpec {
        schema: output(&fields, &calls, &[]),
        keys: columns(&input, &["k"]),
        key_fields: fields,
        calls,
        update_before: true,
        input_retracts: false,
        input,
    };
    MiniBatch::new(Box::new(GroupAggregate::new(spec).unwrap()), 4, SECOND)
}

/// What comes out of one call at `seconds`.
fn lines(seconds: i64, call: impl FnOnce(&mut Output) -> Result<()>) -> Vec<String> {
    let mut out = Output::at(ProcessingTime(seconds * SECOND));
    call(&mut out).unwrap();
    out.into_batches().iter().flat_map(|batch| render(batch).unwrap()).collect()
}

fn rows(text: &str) -> crate::ChangelogBatch {
    parse(&only(&["k"]), text).unwrap()
}

#[test]
fn enough_rows_go_on_together_as_net_changes() {
    let mut counts = counting();
    assert!(lines(0, |out| counts.on_batch(0, rows("+I a; +I b"), out)).is_empty());
    assert!(lines(0, |out| counts.on_batch(0, rows("+I a"), out)).is_empty());
    assert_eq!(lines(0, |out| counts.on_batch(0, rows("+I a; +I b"), out)), ["+I a 3", "+I b 2"]);
    assert_eq!(counts.next_timer(), None);
}

#[test]
fn the_first_row_waits_for_the_latency_and_no_longer() {
    let mut counts = counting();
    lines(3, |out| counts.on_batch(0, rows("+I a"), out));
    lines(4, |out| counts.on_batch(0, rows("+I a"), out));
    assert_eq!(counts.next_timer(), Some(ProcessingTime(4 * SECOND)));
    assert_eq!(lines(4, |out| counts.on_timer(ProcessingTime(4 * SECOND), out)), ["+I a 2"]);
    assert_eq!(counts.next_timer(), None);
}

#[test]
fn barriers_and_the_end_leave_nothing_behind() {
    let mut counts = counting();
    lines(0, |out| counts.on_batch(0, rows("+I a"), out));
    assert_eq!(lines(0, |out| counts.flush(out)), ["+I a 1"]);
    assert!(lines(0, |out| counts.flush(out)).is_empty());
    lines(0, |out| counts.on_batch(0, rows("+I a"), out));
    assert!(lines(0, |out| counts.on_watermark(Watermark(EventTime(SECOND)), out)).is_empty());
    assert_eq!(lines(0, |out| counts.on_watermark(Watermark::MAX, out)), ["-U a 1", "+U a 2"]);
}

#[test]
fn the_states_are_those_of_the_operator_behind() {
    let names: Vec<&str> = counting().states().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["groups"]);
}
