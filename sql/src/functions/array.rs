//! Functions over arrays: searching, cutting, joining, sorting, and set operations.
//!
//! All but the searching ones pick items by position out of one pool: the items of every argument, one after another.
//! Two NULL items are the same item.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DynComparator, ListArray, UInt32Array, make_comparator, new_null_array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::SortOptions;
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Int32Type};
use datafusion_common::{Result, plan_err};

use super::call::{Call, Function, Inputs, Kind};
use super::cast::{CastMode, cast};
use super::collection::{item_type, range};
use super::returns;
use super::types::array_type;
use crate::coercion::common_type;

/// The functions of this file.
pub(super) fn functions() -> Vec<Function> {
    const AA: &[Kind] = &[Kind::Array, Kind::Array];
    const AE: &[Kind] = &[Kind::Array, Kind::Any];
    const A: &[Kind] = &[Kind::Array];
    let sort: &[Kind] = &[Kind::Array, Kind::Boolean, Kind::Boolean];
    vec![
        Function::new("array_contains", AE, returns::boolean, contains).nullable(),
        Function::new("array_position", AE, returns::int, position).nullable(),
        Function::new("array_max", A, item_of_first, |call| extreme(call, Ordering::Greater)).nullable(),
        Function::new("array_min", A, item_of_first, |call| extreme(call, Ordering::Less)).nullable(),
        Function::new("array_join", &[Kind::Array, Kind::Text, Kind::Text], returns::text, join).optional(1).nullable(),
        Function::new("array_distinct", A, returns::same_as_first, |call| {
            picked(call, |p, row| p.distinct(p.of(0, row)))
        }),
        Function::new("array_reverse", A, returns::same_as_first, |call| {
            picked(call, |p, row| p.of(0, row).rev().collect())
        }),
        Function::new("array_sort", sort, returns::same_as_first, array_sort).optional(2),
        Function::new("array_slice", &[Kind::Array, Kind::Int, Kind::Int], returns::same_as_first, slice).optional(1),
        Function::new("array_concat", AA, widest_array, array_concat).optional(1).repeated(),
        Function::new("array_append", AE, widest_array, |call| {
            picked(call, |p, row| p.of(0, row).chain(p.of(1, row)).collect())
        })
        .nullable(),
        Function::new("array_prepend", AE, widest_array, |call| {
            picked(call, |p, row| p.of(1, row).chain(p.of(0, row)).collect())
        })
        .nullable(),
        Function::new("array_remove", AE, returns::same_as_first, |call| picked(call, |p, row| p.without(row)))
            .nullable(),
        Function::new("array_union", AA, widest_array, |call| {
            picked(call, |p, row| p.distinct(p.of(0, row).chain(p.of(1, row))))
        }),
        Function::new("array_except", AA, widest_array, |call| picked(call, |p, row| p.against(row, false))),
        Function::new("array_intersect", AA, widest_array, |call| picked(call, |p, row| p.against(row, true))),
    ]
}

fn item_of_first(inputs: &Inputs<'_>) -> Result<DataType> {
    Ok(item_type(inputs.types.first().unwrap_or(&DataType::Null)))
}

/// An array of the common type of the items of all arguments; an argument that is no array counts as an item.
fn widest_array(inputs: &Inputs<'_>) -> Result<DataType> {
    let items: Vec<DataType> = inputs
        .types
        .iter()
        .enumerate()
        .map(|(i, t)| match t {
            DataType::List(item) if i == 0 || !matches!(item_type(&inputs.types[0]), DataType::List(_)) => {
                item.data_type().clone()
            }
            other => other.clone(),
        })
        .collect();
    match common_type(&items) {
        Some(item) => Ok(array_type(&item)),
        None => plan_err!("the items of the arrays have no common type"),
    }
}

/// The items of all arguments in one array, and where those of each row are.
struct Pool {
    items: ArrayRef,
    /// For each argument, first item and number of items per row; None where the argument is NULL.
    spans: Vec<Vec<Option<(usize, usize)>>>,
    same: DynComparator,
}

impl Pool {
    fn new(call: &Call<'_>, item: &DataType, options: SortOptions) -> Result<Pool> {
        let mode = CastMode { safe: true, zone: call.zone };
        let (mut parts, mut spans, mut start) = (Vec::new(), Vec::new(), 0);
        for i in 0..call.len() {
            let array = call.spread(i)?;
            if matches!(array.data_type(), DataType::Boolean) && i > 0 && !matches!(item, DataType::Boolean) {
                continue;
            }
            let (part, rows): (ArrayRef, Vec<_>) = match array.as_list_opt::<i32>() {
                Some(list) if !(i > 0 && matches!(item, DataType::List(_)) && array.data_type() == item) => {
                    let span = |row| list.is_valid(row).then(|| range(list.value_offsets(), row));
                    let spans = (0..call.rows).map(|row| span(row).map(|r| (start + r.start, r.len()))).collect();
                    (cast(list.values(), item, mode)?, spans)
                }
                _ => (cast(&array, item, mode)?, (0..call.rows).map(|row| Some((start + row, 1))).collect()),
            };
            start += part.len();
            parts.push(part);
            spans.push(rows);
        }
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        let items = if parts.is_empty() { new_null_array(item, 0) } else { concat(&parts)? };
        let same = make_comparator(&items, &items, options)?;
        Ok(Pool { items, spans, same })
    }

    /// Positions in the pool of the items of argument `i` in `row`.
    fn of(&self, i: usize, row: usize) -> std::ops::Range<usize> {
        self.spans.get(i).and_then(|spans| spans[row]).map_or(0..0, |(start, length)| start..start + length)
    }

    fn equal(&self, a: usize, b: usize) -> bool {
        (self.same)(a, b).is_eq()
    }

    fn distinct(&self, positions: impl Iterator<Item = usize>) -> Vec<usize> {
        let mut kept: Vec<usize> = Vec::new();
        for position in positions {
            if !kept.iter().any(|k| self.equal(*k, position)) {
                kept.push(position);
            }
        }
        kept
    }

    /// The items of the first argument that are not the second, an item.
    fn without(&self, row: usize) -> Vec<usize> {
        let removed = self.of(1, row).next();
        self.of(0, row).filter(|position| removed.is_none_or(|r| !self.equal(*position, r))).collect()
    }

    /// The different items of the first argument that are (or are not) in the second.
    fn against(&self, row: usize, inside: bool) -> Vec<usize> {
        let is_inside = |position: usize| self.of(1, row).any(|other| self.equal(position, other));
        self.distinct(self.of(0, row).filter(|position| is_inside(*position) == inside))
    }

    /// True if any argument is NULL in `row`.
    fn is_null(&self, row: usize) -> bool {
        self.spans.iter().any(|spans| spans[row].is_none())
    }

    fn take(&self, positions: impl IntoIterator<Item = Option<usize>>) -> Result<ArrayRef> {
        let positions = positions.into_iter().map(|p| u32::try_from(p?).ok());
        Ok(take(&self.items, &positions.collect::<UInt32Array>(), None)?)
    }
}

fn built(call: &Call<'_>, pool: &Pool, mut row_items: impl FnMut(usize) -> Option<Vec<usize>>) -> Result<ArrayRef> {
    let DataType::List(field) = call.result else { return plan_err!("an array function must return an array") };
    let (mut positions, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..call.rows {
        let items = if pool.is_null(row) { None } else { row_items(row) };
        valid.push(items.is_some());
        let items = items.unwrap_or_default();
        lengths.push(items.len());
        positions.extend(items.into_iter().map(Some));
    }
    let values = pool.take(positions)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(Arc::clone(field), offsets, values, Some(NullBuffer::from(valid)))?))
}

fn picked(call: &Call<'_>, items: impl Fn(&Pool, usize) -> Vec<usize>) -> Result<ArrayRef> {
    let pool = Pool::new(call, &item_type(call.result), SortOptions::default())?;
    built(call, &pool, |row| Some(items(&pool, row)))
}

fn array_concat(call: &Call<'_>) -> Result<ArrayRef> {
    picked(call, |pool, row| (0..pool.spans.len()).flat_map(|i| pool.of(i, row)).collect())
}

/// Ascending with NULLs first unless said otherwise (direction, NULLs first).
fn array_sort(call: &Call<'_>) -> Result<ArrayRef> {
    let flag = |i: usize, default: bool| -> Result<bool> {
        if call.len() <= i { Ok(default) } else { Ok(call.boolean(i)?.get(0).unwrap_or(default)) }
    };
    let ascending = flag(1, true)?;
    let options = SortOptions { descending: !ascending, nulls_first: flag(2, ascending)? };
    let pool = Pool::new(call, &item_type(call.result), options)?;
    built(call, &pool, |row| {
        let mut items: Vec<usize> = pool.of(0, row).collect();
        items.sort_by(|a, b| (pool.same)(*a, *b));
        Some(items)
    })
}

/// Positions from 1, negative ones from the end; both ends are inside.
fn slice(call: &Call<'_>) -> Result<ArrayRef> {
    let list = call.spread(0)?;
    let list = list.as_list::<i32>();
    let start = call.int(1)?;
    let end = if call.len() > 2 { Some(call.int(2)?) } else { None };
    let (mut positions, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..call.rows {
        let items = range(list.value_offsets(), row);
        let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
        let end = end.as_ref().map_or(Some(length), |end| end.get(row));
        let ends = start.get(row).zip(end).filter(|_| list.is_valid(row));
        valid.push(ends.is_some());
        let from_end = |at: i64| if at < 0 { length + at + 1 } else { at };
        let (first, last) = ends.map_or((1, 0), |(s, e)| (from_end(s).max(1), from_end(e).min(length)));
        let count = usize::try_from(last - first + 1).unwrap_or(0);
        lengths.push(count);
        positions
            .extend(items.skip(usize::try_from(first - 1).unwrap_or(0)).take(count).map(|p| u32::try_from(p).ok()));
    }
    let values = take(list.values(), &positions.into_iter().collect::<UInt32Array>(), None)?;
    let DataType::List(field) = call.result else { return plan_err!("ARRAY_SLICE must return an array") };
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(Arc::clone(field), offsets, values, Some(NullBuffer::from(valid)))?))
}

/// First item of the array in argument 0 that equals argument 1, counted from 0, per row; None for a NULL array.
fn found(call: &Call<'_>) -> Result<Vec<Option<Option<usize>>>> {
    let item = item_type(call.arg(0)?.0.data_type());
    let wanted = call.arg(1)?.0.data_type();
    let Some(common) = common_type(&[item, wanted.clone()]) else {
        return plan_err!("the item looked for has another type than the array");
    };
    let pool = Pool::new(call, &common, SortOptions::default())?;
    let find = |row: usize| {
        let wanted = pool.of(1, row).next()?;
        pool.of(0, row).position(|item| pool.equal(item, wanted))
    };
    Ok((0..call.rows).map(|row| (!pool.is_null(row)).then(|| find(row))).collect())
}

fn contains(call: &Call<'_>) -> Result<ArrayRef> {
    let found = found(call)?;
    call.booleans(|row| Ok(found[row].map(|at| at.is_some())))
}

/// From 1; 0 if it is not there, NULL for NULL.
fn position(call: &Call<'_>) -> Result<ArrayRef> {
    let found = found(call)?;
    let wanted = call.spread(1)?;
    call.numbers::<Int32Type>(|row| {
        let at = found[row].filter(|_| wanted.is_valid(row));
        Ok(at.map(|at| at.map_or(0, |at| i32::try_from(at + 1).unwrap_or(i32::MAX))))
    })
}

/// NULL items are left out.
fn extreme(call: &Call<'_>, wanted: Ordering) -> Result<ArrayRef> {
    let pool = Pool::new(call, call.result, SortOptions::default())?;
    pool.take((0..call.rows).map(|row| {
        let items = pool.of(0, row).filter(|item| pool.items.is_valid(*item));
        items.reduce(|best, item| if (pool.same)(item, best) == wanted { item } else { best })
    }))
}

/// NULL items are left out, or stand as argument 2.
fn join(call: &Call<'_>) -> Result<ArrayRef> {
    let list = call.spread(0)?;
    let list = list.as_list::<i32>();
    let items = cast(list.values(), &DataType::Utf8, CastMode { safe: true, zone: call.zone })?;
    let items = items.as_string::<i32>();
    let separator = call.text(1)?;
    let replacement = if call.len() > 2 { Some(call.text(2)?) } else { None };
    call.texts(|row| {
        let Some(separator) = separator.get(row).filter(|_| list.is_valid(row)) else { return Ok(None) };
        let replacement = replacement.as_ref().and_then(|r| r.get(row));
        let item = |i: usize| if items.is_valid(i) { Some(items.value(i)) } else { replacement };
        let texts: Vec<&str> = range(list.value_offsets(), row).filter_map(item).collect();
        Ok(Some(texts.join(separator)))
    })
}
