//! Joins and deduplication.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion_expr::Operator as Comparison;
use datafusion_physical_expr::expressions::{BinaryExpr, Column};

use super::only;
use crate::operators::{Deduplicate, Join, JoinSpec, JoinType, Keep};
use crate::testing::script::check;

fn joined(join_type: JoinType, larger_left: bool) -> JoinSpec {
    let (left, right) = (only(&["k", "n"]), only(&["k", "n"]));
    let columns: Vec<Field> = match join_type {
        JoinType::Pairs { .. } => left.fields().iter().chain(right.fields()).map(|f| f.as_ref().clone()).collect(),
        _ => left.fields().iter().map(|f| f.as_ref().clone()).collect(),
    };
    let column = |index: usize| Arc::new(Column::new("n", index)) as _;
    let condition = larger_left.then(|| Arc::new(BinaryExpr::new(column(1), Comparison::Gt, column(3))) as _);
    JoinSpec {
        inputs: [left, right],
        keys: [vec![0], vec![0]],
        join_type,
        null_equals_null: false,
        condition,
        schema: Arc::new(Schema::new(columns)) as SchemaRef,
    }
}

fn check_join(spec: &JoinSpec, script: &str) {
    check(&spec.inputs, Some(&[0]), &|| Ok(Box::new(Join::new(spec.clone())?)), script).unwrap();
}

const INNER: JoinType = JoinType::Pairs { left_outer: false, right_outer: false };

#[test]
fn inner_join_pairs_equal_keys_and_passes_the_kind_on() {
    check_join(
        &joined(INNER, false),
        "+I a 1
         1: +I a 10; +I b 20
         = +I a 1 a 10
         +U a 2
         = +U a 2 a 10
         -U a 1
         = -U a 1 a 10
         1: -D a 10
         = -D a 2 a 10
         1: +I a 11
         = +I a 2 a 11",
    );
}

#[test]
fn null_keys_never_match() {
    check_join(
        &joined(JoinType::Pairs { left_outer: true, right_outer: false }, false),
        "+I NULL 1
         = +I NULL 1 NULL NULL
         1: +I NULL 2",
    );
}

#[test]
fn left_row_without_partner_is_taken_back_when_one_comes() {
    check_join(
        &joined(JoinType::Pairs { left_outer: true, right_outer: false }, false),
        "+I a 1
         = +I a 1 NULL NULL
         1: +I a 10
         = -D a 1 NULL NULL
         = +I a 1 a 10
         1: +I a 11
         = +I a 1 a 11
         1: -D a 10
         = -D a 1 a 10
         1: -D a 11
         = -D a 1 a 11
         = +I a 1 NULL NULL",
    );
}

#[test]
fn full_join_keeps_lonely_rows_of_both_sides() {
    check_join(
        &joined(JoinType::Pairs { left_outer: true, right_outer: true }, false),
        "1: +I a 10
         = +I NULL NULL a 10
         +I b 1
         = +I b 1 NULL NULL
         +I a 1
         = -D NULL NULL a 10
         = +I a 1 a 10
         -D a 1
         = -D a 1 a 10
         = +I NULL NULL a 10",
    );
}

#[test]
fn further_condition_decides_who_is_a_partner() {
    check_join(
        &joined(INNER, true),
        "+I a 5; +I a 1
         1: +I a 3
         = +I a 5 a 3
         1: +I a 0
         = +I a 5 a 0
         = +I a 1 a 0",
    );
}

#[test]
fn semi_and_anti_join_follow_the_number_of_partners() {
    check_join(
        &joined(JoinType::Semi, false),
        "+I a 1
         1: +I a 10
         = +I a 1
         1: +I a 11
         1: -D a 10
         1: -D a 11
         = -D a 1",
    );
    check_join(
        &joined(JoinType::Anti, false),
        "+I a 1
         = +I a 1
         1: +I a 10
         = -D a 1
         1: -D a 10
         = +I a 1",
    );
}

fn check_deduplicate(keep: Keep, script: &str) {
    let schema = only(&["k", "n", "ts"]);
    let make = || Ok(Box::new(Deduplicate::new(Arc::clone(&schema), vec![0], keep)?) as _);
    check(&[Arc::clone(&schema)], Some(&[0]), &make, script).unwrap();
}

#[test]
fn last_row_by_time_replaces_and_an_earlier_one_does_not() {
    check_deduplicate(
        Keep::Last { time: Some(2) },
        "+I a 1 10s
         = +I a 1 10s
         +I a 2 12s
         = -U a 1 10s
         = +U a 2 12s
         +I a 3 11s
         +I a 4 12s
         = -U a 2 12s
         = +U a 4 12s",
    );
}

#[test]
fn first_row_by_arrival_stays() {
    check_deduplicate(
        Keep::First,
        "+I a 1 10s; +I b 2 1s
         = +I a 1 10s
         = +I b 2 1s
         +I a 3 5s",
    );
}
