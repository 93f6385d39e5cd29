//! Scripts for window aggregation and assignment.

use super::{AggregateFunction as F, *};
use crate::operator::Operator;
use crate::operators::{
    GroupAggregateSpec, TimeAttribute, WindowAggregate, WindowAggregateSpec, WindowAssign, WindowGroup,
};
use crate::testing::script::check;
use crate::window::{WindowKind, WindowSpec};

const SECOND: i64 = 1_000_000;

fn window_case(kind: WindowKind, offset: i64, keyed: bool, time: TimeAttribute, script: &str) -> Result<()> {
    let input = only(&["k", "n", "ts"]);
    let keys: &[&str] = if keyed { &["k"] } else { &[] };
    let fields = key_fields(&input, keys);
    let calls = vec![call(&input, F::Count, &[], true)?, call(&input, F::Sum, &["n"], true)?];
    let make = || -> Result<Box<dyn Operator>> {
        Ok(Box::new(WindowAggregate::new(WindowAggregateSpec {
            input: input.clone(),
            window: WindowSpec { kind, offset },
            time,
            keys: columns(&input, keys),
            key_fields: fields.clone(),
            calls: calls.clone(),
            schema: output(&fields, &calls, &["window_start", "window_end", "window_time"]),
        })?))
    };
    check(std::slice::from_ref(&input), keyed.then_some(&[0]), &make, script)
}

const EVENT: TimeAttribute = TimeAttribute::Event { column: 2 };

#[test]
fn tumbling_windows_emit_at_their_end_and_drop_late_rows() -> Result<()> {
    window_case(
        WindowKind::Tumble { size: 10 * SECOND },
        0,
        true,
        EVENT,
        "+I b 1 1s; +I a 2 9999ms; +I b 3 10s; +I b NULL 3s; +I NULL 5 4s
         watermark 9998ms
         +I a 10 5s
         watermark 9999ms
         = +I b 2 1 0s 10s 9999ms
         = +I a 2 12 0s 10s 9999ms
         = +I NULL 1 5 0s 10s 9999ms
         +I a 1 8s; +I a 4 12s
         late 1
         watermark 9999ms
         watermark max
         = +I b 1 3 10s 20s 19999ms
         = +I a 1 4 10s 20s 19999ms",
    )
}

#[test]
fn rows_that_bring_their_window_are_grouped_until_it_ends() -> Result<()> {
    let input = only(&["k", "n", "ts"]);
    let fields = key_fields(&input, &["k", "ts"]);
    let calls = vec![call(&input, F::Sum, &["n"], true)?];
    let make = || -> Result<Box<dyn Operator>> {
        let spec = GroupAggregateSpec {
            input: input.clone(),
            keys: columns(&input, &["k", "ts"]),
            key_fields: fields.clone(),
            calls: calls.clone(),
            schema: output(&fields, &calls, &[]),
            update_before: true,
            input_retracts: true,
        };
        Ok(Box::new(WindowGroup::new(spec, 1)?))
    };
    check(
        std::slice::from_ref(&input),
        Some(&[0, 2]),
        &make,
        "+I a 1 20s; +I a 2 10s; +I b 3 10s; +I a 4 10s; +I c 9 10s
         watermark 9998ms
         -D c 9 10s
         watermark 9999ms
         = +I a 10s 6
         = +I b 10s 3
         +I a 8 10s; +I a 1 20s
         late 1
         watermark max
         = +I a 20s 2",
    )
}

#[test]
fn windows_without_rows_give_nothing_and_retractions_empty_a_window() -> Result<()> {
    window_case(
        WindowKind::Tumble { size: 10 * SECOND },
        0,
        true,
        EVENT,
        "+I a 1 1s; +I b 2 1s; +I a 3 25s
         -D a 1 1s; -U b 2 1s; +U b 7 2s
         watermark 30s
         = +I b 1 7 0s 10s 9999ms
         = +I a 1 3 20s 30s 29999ms",
    )
}

#[test]
fn hopping_windows_add_panes_up_and_are_late_one_by_one() -> Result<()> {
    window_case(
        WindowKind::Hop { slide: 5 * SECOND, size: 15 * SECOND },
        0,
        true,
        EVENT,
        "+I a 1 1s; +I a 2 6s
         watermark 5s
         = +I a 1 1 -10s 5s 4999ms
         +I a 4 2s; +I b 1 3s
         watermark 10s
         = +I a 3 7 -5s 10s 9999ms
         = +I b 1 1 -5s 10s 9999ms
         watermark 14999ms
         = +I a 3 7 0s 15s 14999ms
         = +I b 1 1 0s 15s 14999ms
         +I a 100 4s
         late 1
         watermark max
         = +I a 1 2 5s 20s 19999ms",
    )
}

#[test]
fn cumulating_windows_grow_by_steps_from_the_first_with_rows() -> Result<()> {
    window_case(
        WindowKind::Cumulate { step: 5 * SECOND, size: 20 * SECOND },
        0,
        false,
        EVENT,
        "+I a 1 6s
         watermark 10s
         = +I 1 1 0s 10s 9999ms
         +I a 2 1s; +I a 4 12s
         watermark 15s
         = +I 3 7 0s 15s 14999ms
         +I a 8 27s; +I a 1 19s
         watermark max
         = +I 4 8 0s 20s 19999ms
         = +I 1 8 20s 30s 29999ms
         = +I 1 8 20s 35s 34999ms
         = +I 1 8 20s 40s 39999ms",
    )
}

#[test]
fn windows_shift_by_their_offset() -> Result<()> {
    window_case(
        WindowKind::Hop { slide: 5 * SECOND, size: 10 * SECOND },
        2 * SECOND,
        false,
        EVENT,
        "+I a 1 1s
         watermark max
         = +I 1 1 -8s 2s 1999ms
         = +I 1 1 -3s 7s 6999ms",
    )
}

#[test]
fn processing_time_windows_close_by_timer_and_at_the_end() -> Result<()> {
    window_case(
        WindowKind::Tumble { size: 10 * SECOND },
        0,
        true,
        TimeAttribute::Processing,
        "time 3s
         +I a 1 0s; +I b 2 99s
         time 9s
         +I a 5 0s
         watermark 50s
         time 10s
         = +I a 2 6 0s 10s 9999ms
         = +I b 1 2 0s 10s 9999ms
         time 47s
         +I a 1 0s
         watermark max
         = +I a 1 1 40s 50s 49999ms",
    )
}

#[test]
fn a_row_without_event_time_is_an_error() {
    let kind = WindowKind::Tumble { size: SECOND };
    let error = window_case(kind, 0, true, EVENT, "+I a 1 NULL").unwrap_err();
    assert_eq!(error.to_string(), "RowTime field should not be null, please convert it to a non-null long value.");
}

#[test]
fn assignment_repeats_a_row_per_window_and_keeps_late_rows() -> Result<()> {
    let input = only(&["k", "ts"]);
    let more = ["window_start", "window_end", "window_time"];
    let schema = output(&key_fields(&input, &["k", "ts"]), &[], &more);
    let window = WindowSpec { kind: WindowKind::Hop { slide: 5 * SECOND, size: 10 * SECOND }, offset: 0 };
    let make = || -> Result<Box<dyn Operator>> { Ok(Box::new(WindowAssign::new(window, 1, schema.clone()))) };
    check(
        std::slice::from_ref(&input),
        None,
        &make,
        "watermark 60s
         +I a 7s; -D b 1s
         = +I a 7s 5s 15s 14999ms
         = +I a 7s 0s 10s 9999ms
         = -D b 1s 0s 10s 9999ms
         = -D b 1s -5s 5s 4999ms",
    )
}
