//! Scripts for the aggregates that remember values: DISTINCT, retractable MIN and MAX, FIRST_VALUE and the like.

use super::group_aggregate::{Case, calls};
use super::{AggregateFunction as F, *};

fn distinct(mut calls: Vec<AggregateCall>) -> Vec<AggregateCall> {
    calls.iter_mut().for_each(|call| call.distinct = true);
    calls
}

#[test]
fn retractions_restore_earlier_extremes() -> Result<()> {
    let names = ["k", "n", "price"];
    let calls = calls(&names, &[(F::Min, &["n"]), (F::Max, &["n"]), (F::Max, &["price"])], true);
    Case { columns: &names, keys: &["k"], calls, update_before: false, retracts: true }.check(
        "+I a 3 0.10; +I a 5 0.20; +I a 5 NULL
         = +I a 3 5 0.20
         -D a 5 0.20
         = +U a 3 5 0.10
         -D a 5 NULL; -D a 3 0.10; +I a NULL NULL
         = +U a NULL NULL NULL
         -D a NULL NULL
         = -D a NULL NULL NULL
         +I a -1 -0.10
         = +I a -1 -1 -0.10",
    )
}

#[test]
fn distinct_values_count_once_and_go_with_their_last_row() -> Result<()> {
    let names = ["k", "n"];
    let functions: [(F, &[&str]); 4] =
        [(F::Count, &["n"]), (F::Sum, &["n"]), (F::Count, &["n", "k"]), (F::ArrayAgg, &["n"])];
    let calls = distinct(calls(&names, &functions, true));
    Case { columns: &names, keys: &["k"], calls, update_before: false, retracts: true }.check(
        "+I a 2; +I a 2; +I a NULL; +I a 1; +I b 2
         = +I a 2 3 2 [2, NULL, 1]
         = +I b 1 2 1 [2]
         -D a 2; +I a NULL
         -D a 2
         = +U a 1 1 1 [NULL, 1]
         +I a 2
         = +U a 2 3 2 [NULL, 1, 2]",
    )
}

#[test]
fn first_and_last_follow_arrival_and_skip_nulls() -> Result<()> {
    let names = ["k", "n"];
    let functions: [(F, &[&str]); 2] = [(F::FirstValue, &["n"]), (F::LastValue, &["n"])];
    let append = calls(&names, &functions, false);
    Case { columns: &names, keys: &["k"], calls: append, update_before: false, retracts: false }.check(
        "+I a NULL; +I b 1; +I b NULL
         = +I a NULL NULL
         = +I b 1 1
         +I a 7; +I a 9; +I b 3
         = +U a 7 9
         = +U b 1 3",
    )?;
    let retract = calls(&names, &functions, true);
    Case { columns: &names, keys: &["k"], calls: retract, update_before: false, retracts: true }.check(
        "+I a 7; +I a 9; +I a 8
         = +I a 7 8
         -D a 8; -D a 7
         = +U a 9 9",
    )
}

#[test]
fn collections_keep_arrival_order_and_collect_counts() -> Result<()> {
    let names = ["k", "n"];
    let functions: [(F, &[&str]); 3] = [(F::Collect, &["n"]), (F::ArrayAgg, &["n"]), (F::ListAgg, &["k"])];
    let calls = calls(&names, &functions, true);
    Case { columns: &names, keys: &[], calls, update_before: false, retracts: true }.check(
        "+I a 2; +I NULL NULL
         = +I {2: 1} [2, NULL] a
         +I b 1; +I c 2
         = +U {1: 1, 2: 2} [2, NULL, 1, 2] a,b,c
         -D a 2
         = +U {1: 1, 2: 1} [NULL, 1, 2] b,c
         -D b 1; -D c 2
         = +U {} [NULL] NULL",
    )
}

#[test]
fn json_aggregates_keep_or_leave_nulls() -> Result<()> {
    let names = ["k", "n"];
    let functions: [(F, &[&str]); 5] = [
        (F::JsonArrayAgg, &["k"]),
        (F::JsonArrayAggNullOnNull, &["n"]),
        (F::JsonArrayAgg, &["n"]),
        (F::JsonObjectAgg, &["k", "n"]),
        (F::JsonObjectAggAbsentOnNull, &["k", "n"]),
    ];
    let calls = calls(&names, &functions, false);
    Case { columns: &names, keys: &[], calls, update_before: false, retracts: false }.check(
        r#"+I z 1; +I "a" NULL
           = +I ["z","\"a\""] [1,null] [1] {"\"a\"":null,"z":1} {"z":1}"#,
    )
}

#[test]
fn deviations_over_doubles_and_integers() -> Result<()> {
    let names = ["k", "n", "x"];
    let functions: [(F, &[&str]); 6] = [
        (F::VarPop, &["x"]),
        (F::StddevPop, &["x"]),
        (F::VarSamp, &["x"]),
        (F::StddevPop, &["n"]),
        (F::VarSamp, &["n"]),
        (F::VarPop, &["price"]),
    ];
    let names = [&names[..], &["price"]].concat();
    let calls = calls(&names, &functions, true);
    Case { columns: &names, keys: &["k"], calls, update_before: false, retracts: true }.check(
        "+I a 10 20.5 1.00; +I b NULL NULL NULL
         = +I a 0.0 0.0 NULL 0 NULL 0.000000
         = +I b NULL NULL NULL NULL NULL NULL
         +I a 5 21.5 2.00; +I a 7 0 2.00
         = +U a 98.16666666666667 9.9079092984679 147.25 2 6 0.222222
         -D a 7 0 2.00
         = +U a 0.25 0.5 0.5 2 13 0.250000",
    )
}

#[test]
fn two_rows_for_a_single_value_are_an_error() {
    let names = ["n"];
    let calls = calls(&names, &[(F::SingleValue, &["n"])], true);
    let case = Case { columns: &names, keys: &[], calls, update_before: false, retracts: true };
    let error = case.check("+I 1; -U 1; +U 2\n = +I 2\n +I 3").unwrap_err();
    assert_eq!(error.to_string(), "SingleValueAggFunction received more than one element.");
}
