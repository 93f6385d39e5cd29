//! Scripts for filter, union, NOT NULL enforcement, unnest and changelog normalization.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int32Array, ListArray, RecordBatch, StringArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::Fields;

use super::*;
use crate::changelog::ChangelogBatch;
use crate::operator::{Operator, Output};
use crate::operators::{
    ChangelogNormalize, CurrentWatermark, Filter, FromChangelog, NotNullEnforcer, ToChangelog, Union, Unnest,
};
use crate::testing::script::check;
use crate::time::ProcessingTime;

#[test]
fn a_filter_keeps_kinds_and_drops_null() -> Result<()> {
    let input = only(&["n", "big"]);
    let make = || -> Result<Box<dyn Operator>> { Ok(Box::new(Filter::new(col("big", &input).unwrap()))) };
    check(
        std::slice::from_ref(&input),
        None,
        &make,
        "+I 1 true; -U 2 false; +U 3 NULL; -D 4 true
         = +I 1 true
         = -D 4 true
         +I 5 true
         = +I 5 true
         +I 6 false",
    )
}

#[test]
fn a_union_passes_all_inputs_on() -> Result<()> {
    let inputs = [only(&["n"]), only(&["n"])];
    let make = || -> Result<Box<dyn Operator>> { Ok(Box::new(Union::new(Some(only(&["n"]))))) };
    check(&inputs, None, &make, "0: +I 1\n = +I 1\n 1: -D 2\n = -D 2")
}

#[test]
fn null_in_a_not_null_column_fails_or_is_dropped() -> Result<()> {
    let input = only(&["k", "n"]);
    let run = |drop: bool, script: &str| {
        let columns = vec![(1, "n".to_owned()), (0, "k".to_owned())];
        let make = || -> Result<Box<dyn Operator>> { Ok(Box::new(NotNullEnforcer::new(columns.clone(), drop))) };
        check(std::slice::from_ref(&input), None, &make, script)
    };
    run(true, "+I a 1; +I NULL 2; +I b NULL\n = +I a 1")?;
    let error = run(false, "+I a 1; +I NULL 2").unwrap_err().to_string();
    assert!(error.starts_with("Column 'k' is NOT NULL, however, a null value is being written into it."), "{error}");
    Ok(())
}

fn arrays() -> SchemaRef {
    let list = DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)));
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int32, true), Field::new("words", list, true)]))
}

fn unnest(outer: bool, script: &str) -> Result<()> {
    let input = arrays();
    let mut fields = input.fields().to_vec();
    fields.push(Arc::new(Field::new("word", DataType::Utf8, true)));
    fields.push(Arc::new(Field::new("at", DataType::Int32, true)));
    let schema = Arc::new(Schema::new(fields));
    let make = || -> Result<Box<dyn Operator>> {
        Ok(Box::new(Unnest::new(col("words", &input).unwrap(), outer, true, schema.clone())))
    };
    check(std::slice::from_ref(&input), None, &make, script)
}

#[test]
fn unnest_repeats_a_row_per_element() -> Result<()> {
    unnest(
        false,
        "+I 1 [a,NULL]; -D 2 []; +I 3 NULL; -U 4 [b]
         = +I 1 [a, NULL] a 1
         = +I 1 [a, NULL] NULL 2
         = -U 4 [b] b 1
         +I 5 []",
    )
}

#[test]
fn outer_unnest_keeps_rows_without_elements() -> Result<()> {
    unnest(
        true,
        "+I 1 [a]; -D 2 []; +I 3 NULL
         = +I 1 [a] a 1
         = -D 2 [] NULL NULL
         = +I 3 NULL NULL NULL",
    )
}

#[test]
fn rows_in_an_array_become_columns_and_null_rows_are_skipped() -> Result<()> {
    let fields = Fields::from(vec![Field::new("a", DataType::Int32, true), Field::new("b", DataType::Utf8, true)]);
    let parts: Vec<ArrayRef> =
        vec![Arc::new(Int32Array::from(vec![1, 2, 3])), Arc::new(StringArray::from(vec![Some("x"), None, Some("z")]))];
    let rows = StructArray::new(fields.clone(), parts, Some(NullBuffer::from(vec![true, true, false])));
    let item = Arc::new(Field::new("item", DataType::Struct(fields.clone()), true));
    let list = ListArray::new(item.clone(), OffsetBuffer::from_lengths([3]), Arc::new(rows), None);
    let input = Arc::new(Schema::new(vec![Field::new("rows", DataType::List(item), true)]));
    let batch = RecordBatch::try_new(input.clone(), vec![Arc::new(list)])?;

    let all: Vec<FieldRef> = input.fields().iter().chain(fields.iter()).cloned().collect();
    let mut operator = Unnest::new(col("rows", &input)?, false, false, Arc::new(Schema::new(all)));
    let mut out = Output::at(ProcessingTime(0));
    operator.on_batch(0, ChangelogBatch::inserts(batch), &mut out)?;
    let batches = out.into_batches();
    assert_eq!(
        batches[0].column(1).as_primitive::<arrow::datatypes::Int32Type>().iter().collect::<Vec<_>>(),
        [Some(1), Some(2)]
    );
    assert_eq!(batches[0].column(2).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("x"), None]);
    Ok(())
}

#[test]
fn the_current_watermark_is_a_column() -> Result<()> {
    let input = only(&["n"]);
    let make = || -> Result<Box<dyn Operator>> { Ok(Box::new(CurrentWatermark::new(only(&["n", "ts"])))) };
    check(
        std::slice::from_ref(&input),
        None,
        &make,
        "+I 1; -D 2
         = +I 1 NULL
         = -D 2 NULL
         watermark 5s
         +I 3
         = +I 3 5s",
    )
}

#[test]
fn changes_become_rows_and_rows_become_changes() -> Result<()> {
    let input = only(&["n"]);
    let to = || -> Result<Box<dyn Operator>> { Ok(Box::new(ToChangelog::new(only(&["k", "n"])))) };
    let script = "+I 1; -U 1; +U 2; -D 2
         = +I INSERT 1
         = +I UPDATE_BEFORE 1
         = +I UPDATE_AFTER 2
         = +I DELETE 2";
    check(std::slice::from_ref(&input), None, &to, script)?;
    let input = only(&["n", "k"]);
    let from = || -> Result<Box<dyn Operator>> { Ok(Box::new(FromChangelog::new(1, only(&["n"])))) };
    let script = "+I 1 INSERT; +I 1 UPDATE_BEFORE; +I 2 UPDATE_AFTER; +I 5 NULL; +I 6 other; +I 2 DELETE
         = +I 1
         = -U 1
         = +U 2
         = -D 2";
    check(std::slice::from_ref(&input), None, &from, script)
}

#[test]
fn normalization_makes_an_upsert_stream_exact() -> Result<()> {
    let input = only(&["k", "n"]);
    for update_before in [true, false] {
        let make = || -> Result<Box<dyn Operator>> {
            Ok(Box::new(ChangelogNormalize::new(input.clone(), vec![0], update_before)?))
        };
        let before = if update_before { "= -U a 1\n" } else { "" };
        let script = format!(
            "+I a 1; +I b 2; +U b 3; -D NULL NULL; +I NULL 9
             = +I a 1
             = +I b 3
             = +I NULL 9
             +U a 1; -D x NULL
             -D b NULL; +U a 2; -D NULL 9
             = -D b 3
             {before} = +U a 2
             = -D NULL 9
             -D a NULL; +I a 2; +I c 1; -D c 1
             +I b NULL
             = +I b NULL"
        );
        check(std::slice::from_ref(&input), Some(&[0]), &make, &script)?;
    }
    Ok(())
}
