//! Scripts for group aggregation.

use super::{AggregateFunction as F, *};
use crate::operator::Operator;
use crate::operators::{GroupAggregate, GroupAggregateSpec};
use crate::testing::script::check;

/// A group aggregation over named columns of the test input.
pub(super) struct Case<'a> {
    pub(super) columns: &'a [&'a str],
    pub(super) keys: &'a [&'a str],
    pub(super) calls: Vec<AggregateCall>,
    pub(super) update_before: bool,
    pub(super) retracts: bool,
}

impl Case<'_> {
    pub(super) fn check(self, script: &str) -> Result<()> {
        let input = only(self.columns);
        let fields = key_fields(&input, self.keys);
        let make = || -> Result<Box<dyn Operator>> {
            Ok(Box::new(GroupAggregate::new(GroupAggregateSpec {
                input: input.clone(),
                keys: columns(&input, self.keys),
                key_fields: fields.clone(),
                calls: self.calls.clone(),
                schema: output(&fields, &self.calls, &[]),
                update_before: self.update_before,
                input_retracts: self.retracts,
            })?))
        };
        let positions: Vec<usize> = self.keys.iter().map(|key| input.index_of(key).unwrap()).collect();
        check(std::slice::from_ref(&input), (!positions.is_empty()).then_some(&positions), &make, script)
    }
}

/// Calls over the named columns.
pub(super) fn calls(columns: &[&str], functions: &[(F, &[&str])], retractable: bool) -> Vec<AggregateCall> {
    let input = only(columns);
    functions.iter().map(|(function, args)| call(&input, *function, args, retractable).unwrap()).collect()
}

#[test]
fn updates_are_net_per_batch_in_order_of_first_touch() -> Result<()> {
    let names = ["k", "n"];
    let calls = calls(&names, &[(F::Count, &[]), (F::Sum, &["n"])], false);
    Case { columns: &names, keys: &["k"], calls, update_before: true, retracts: false }.check(
        "+I b 2; +I a 3; +I b 5
         = +I b 2 7
         = +I a 1 3
         +I NULL 1; +I a NULL
         = +I NULL 1 1
         = -U a 1 3
         = +U a 2 3
         +I NULL NULL; +I c NULL
         = -U NULL 1 1
         = +U NULL 2 1
         = +I c 1 NULL",
    )
}

#[test]
fn an_unchanged_result_is_not_emitted() -> Result<()> {
    let names = ["k", "n"];
    let calls = calls(&names, &[(F::Sum, &["n"]), (F::Max, &["n"]), (F::Max, &["k"])], false);
    for update_before in [true, false] {
        let before = if update_before { "= -U a 3 3 a\n" } else { "" };
        let script = format!("+I a 3\n = +I a 3 3 a\n +I a 0; +I a NULL\n +I a 4\n {before} = +U a 7 4 a");
        Case { columns: &names, keys: &["k"], calls: calls.clone(), update_before, retracts: false }.check(&script)?;
    }
    Ok(())
}

#[test]
fn an_upsert_consumer_gets_only_new_rows() -> Result<()> {
    let names = ["k", "n"];
    let calls = calls(&names, &[(F::Count, &[]), (F::Count, &["n"])], false);
    Case { columns: &names, keys: &["k"], calls, update_before: false, retracts: false }.check(
        "+I a 1; +I b NULL
         = +I a 1 1
         = +I b 1 0
         +I c 1; +I b 2; +I b 3
         = +I c 1 1
         = +U b 3 2",
    )
}

#[test]
fn retractions_shrink_groups_and_an_emptied_group_is_deleted() -> Result<()> {
    let names = ["k", "n"];
    let functions: [(F, &[&str]); 4] = [(F::Count, &[]), (F::Count, &["n"]), (F::Sum, &["n"]), (F::Avg, &["n"])];
    let calls = calls(&names, &functions, true);
    Case { columns: &names, keys: &["k"], calls, update_before: true, retracts: true }.check(
        "+I a 10; +I a 4; +I b NULL; +I c 1; -D c 1
         = +I a 2 2 14 7
         = +I b 1 0 NULL NULL
         -U a 10; +U a 8; -D b NULL
         = -U a 2 2 14 7
         = +U a 2 2 12 6
         = -D b 1 0 NULL NULL
         -D a 8; -D a 4; +I b 5; -D b 5
         = -D a 2 2 12 6
         +I a -3; +I a -4
         = +I a 2 2 -7 -3
         -U a -3; +U a -3",
    )
}

#[test]
fn several_keys_with_nulls_are_groups_of_their_own() -> Result<()> {
    let names = ["k", "n", "price"];
    let calls = calls(&names, &[(F::Sum, &["price"]), (F::Avg, &["price"]), (F::Min, &["price"])], false);
    Case { columns: &names, keys: &["k", "n"], calls, update_before: true, retracts: false }.check(
        "+I a 1 1.50; +I a NULL 2.00; +I NULL 1 0.01; +I NULL NULL NULL; +I a 1 0.25
         = +I a 1 1.75 0.875000 0.25
         = +I a NULL 2.00 2.000000 2.00
         = +I NULL 1 0.01 0.010000 0.01
         = +I NULL NULL NULL NULL NULL
         +I NULL NULL 7.00; +I a 1 0.25
         = -U NULL NULL NULL NULL NULL
         = +U NULL NULL 7.00 7.000000 7.00
         = -U a 1 1.75 0.875000 0.25
         = +U a 1 2.00 0.666667 0.25",
    )
}

#[test]
fn extremes_of_all_ordered_types() -> Result<()> {
    let names = ["k", "n", "price", "x", "ts", "big"];
    let functions: Vec<(F, &[&str])> =
        vec![(F::Max, &["k"]), (F::Min, &["x"]), (F::Max, &["ts"]), (F::Max, &["big"]), (F::Max, &["price"])];
    let calls = calls(&names, &functions, false);
    Case { columns: &names, keys: &["n"], calls, update_before: true, retracts: false }.check(
        "+I b 1 1.10 0.5 3s false; +I ä 1 1.20 -0.5 1500ms true
         = +I 1 ä -0.5 3s true 1.20
         +I NULL 1 NULL NULL NULL NULL
         +I z 1 9.00 -1 4s false
         = -U 1 ä -0.5 3s true 1.20
         = +U 1 ä -1.0 4s true 9.00",
    )
}

#[test]
fn integer_sums_wrap_and_averages_are_cut_towards_zero() -> Result<()> {
    let names = ["k", "n"];
    let calls = calls(&names, &[(F::Sum, &["n"]), (F::Avg, &["n"])], false);
    Case { columns: &names, keys: &[], calls, update_before: false, retracts: false }.check(
        "+I a -7
         = +I -7 -7
         +I a 7; +I a -5
         = +U -5 -1
         +I a 2147483647; +I a 10
         = +U -2147483644 429496730",
    )
}

#[test]
fn global_aggregation_has_one_row_that_can_go_and_come() -> Result<()> {
    let names = ["n"];
    let calls = calls(&names, &[(F::Count, &[])], true);
    Case { columns: &names, keys: &[], calls, update_before: true, retracts: true }.check(
        "+I 1; +I NULL
         = +I 2
         -D 1; -D NULL
         = -D 2
         +I 5
         = +I 1",
    )
}

#[test]
fn without_calls_it_is_select_distinct() -> Result<()> {
    let names = ["k", "n"];
    Case { columns: &names, keys: &["k", "n"], calls: vec![], update_before: true, retracts: true }.check(
        "+I a 1; +I a 1; +I NULL 2
         = +I a 1
         = +I NULL 2
         -D a 1
         -D a 1; +I b 1
         = -D a 1
         = +I b 1",
    )
}

#[test]
fn a_decimal_sum_of_more_than_38_digits_is_null() -> Result<()> {
    let input: SchemaRef = Arc::new(Schema::new(vec![Field::new("d", DataType::Decimal128(38, 0), true)]));
    let calls = vec![call(&input, F::Sum, &["d"], false)?];
    let make = || -> Result<Box<dyn Operator>> {
        Ok(Box::new(GroupAggregate::new(GroupAggregateSpec {
            input: input.clone(),
            keys: vec![],
            key_fields: vec![],
            calls: calls.clone(),
            schema: output(&[], &calls, &[]),
            update_before: false,
            input_retracts: false,
        })?))
    };
    let nines = "9".repeat(38);
    let script = format!("+I {nines}\n = +I {nines}\n +I 1\n = +U NULL\n +I 1");
    check(std::slice::from_ref(&input), None, &make, &script)
}

#[test]
fn most_groups_dying_compacts_the_table_without_a_trace() -> Result<()> {
    let names = ["k", "n"];
    let calls = calls(&names, &[(F::Sum, &["n"])], true);
    let rows =
        |sign: &str, from: usize| (from..3000).map(|n| format!("{sign} k{n} {n}")).collect::<Vec<_>>().join("; ");
    let outs = |sign: &str, from: usize| (from..3000).map(|n| format!("= {sign} k{n} {n}\n")).collect::<String>();
    let script = format!(
        "{}\n{}{}\n{}+I k5 5; +I k2999 1\n= -U k5 5\n= +U k5 10\n= +I k2999 1",
        rows("+I", 0),
        outs("+I", 0),
        rows("-D", 10),
        outs("-D", 10)
    );
    Case { columns: &names, keys: &["k"], calls, update_before: true, retracts: true }.check(&script)
}
