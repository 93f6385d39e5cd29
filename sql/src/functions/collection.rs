//! Constructors and access of arrays, maps and rows: `ARRAY[…]`, `MAP[…]`, `ROW(…)`, `a[1]`, `m['k']`, `r.f`.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, ListArray, MapArray, StructArray, UInt32Array, make_array, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{interleave, take};
use arrow::datatypes::{DataType, Field, Fields, Int32Type};
use datafusion_common::{Result, plan_err};

use super::call::{Call, Function, Inputs, Kind};
use super::cast::{CastMode, cast};
use super::conditional::widest;
use super::names::type_name;
use super::returns;
use super::types::{array_type, map_type};
use crate::coercion::common_type;

/// The functions of this file.
pub(super) fn functions() -> Vec<Function> {
    const A: &[Kind] = &[Kind::Any];
    vec![
        Function::new("array", A, array_of_widest, array).optional(1).repeated().never_null(),
        Function::new("map", &[Kind::Any, Kind::Any], map_of_widest, map).optional(2).repeated().never_null(),
        Function::new("row", A, row_type, row).repeated().never_null(),
        Function::new("row_field", &[Kind::Any, Kind::Text], field_type, row_field).nullable(),
        Function::new("subscript", &[Kind::Any, Kind::Any], element_type, subscript).nullable(),
        Function::new("cardinality", A, returns::int, cardinality),
        Function::new("element", &[Kind::Array], element_type, element).nullable(),
        Function::new("map_keys", &[Kind::Map], |inputs| map_part_type(inputs, 0), |call| map_part(call, 0)),
        Function::new("map_values", &[Kind::Map], |inputs| map_part_type(inputs, 1), |call| map_part(call, 1)),
        Function::new("map_entries", &[Kind::Map], entries_type, map_entries),
        Function::new("map_from_arrays", &[Kind::Array, Kind::Array], zipped_type, map_from_arrays),
    ]
}

/// The type of the items of an array.
pub(super) fn item_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::List(item) => item.data_type().clone(),
        _ => DataType::Null,
    }
}

fn entry_types(data_type: &DataType) -> (DataType, DataType) {
    if let DataType::Map(entries, _) = data_type
        && let DataType::Struct(fields) = entries.data_type()
        && let [key, value] = fields.as_ref()
    {
        return (key.data_type().clone(), value.data_type().clone());
    }
    (DataType::Null, DataType::Null)
}

/// NULL elements alone make an array of INT.
fn or_int(data_type: DataType) -> DataType {
    if data_type.is_null() { DataType::Int32 } else { data_type }
}

fn array_of_widest(inputs: &Inputs<'_>) -> Result<DataType> {
    if inputs.types.is_empty() {
        return Ok(array_type(&DataType::Int32));
    }
    Ok(array_type(&or_int(widest(inputs)?)))
}

/// All rows of several columns of one type, row by row: `a0 b0 a1 b1 …`.
fn interleaved(columns: &[ArrayRef], rows: usize, item: &DataType) -> Result<ArrayRef> {
    if columns.is_empty() {
        return Ok(new_null_array(item, 0));
    }
    let columns: Vec<&dyn Array> = columns.iter().map(AsRef::as_ref).collect();
    let order: Vec<(usize, usize)> = (0..rows).flat_map(|row| (0..columns.len()).map(move |c| (c, row))).collect();
    Ok(interleave(&columns, &order)?)
}

fn array(call: &Call<'_>) -> Result<ArrayRef> {
    let DataType::List(field) = call.result else { return plan_err!("ARRAY must return an array") };
    let mode = CastMode { safe: true, zone: call.zone };
    let columns =
        (0..call.len()).map(|i| cast(&call.spread(i)?, field.data_type(), mode)).collect::<Result<Vec<_>>>()?;
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(columns.len(), call.rows));
    let items = interleaved(&columns, call.rows, field.data_type())?;
    Ok(Arc::new(ListArray::try_new(Arc::clone(field), offsets, items, None)?))
}

fn map_of_widest(inputs: &Inputs<'_>) -> Result<DataType> {
    if inputs.types.len() % 2 == 1 {
        return plan_err!("Map requires an even number of arguments");
    }
    let side = |from: usize| {
        let types: Vec<DataType> = inputs.types.iter().skip(from).step_by(2).cloned().collect();
        if types.is_empty() { Ok(DataType::Utf8) } else { widest(&Inputs { types, constants: &[] }).map(or_int) }
    };
    Ok(map_type(&side(0)?, &side(1)?))
}

fn map(call: &Call<'_>) -> Result<ArrayRef> {
    let (key_type, value_type) = entry_types(call.result);
    let mode = CastMode { safe: true, zone: call.zone };
    let side = |from: usize, to: &DataType| -> Result<ArrayRef> {
        let columns = (from..call.len()).step_by(2).map(|i| cast(&call.spread(i)?, to, mode));
        interleaved(&columns.collect::<Result<Vec<_>>>()?, call.rows, to)
    };
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(call.len() / 2, call.rows));
    map_array(call.result, side(0, &key_type)?, side(1, &value_type)?, offsets, None)
}

fn map_array(
    data_type: &DataType,
    keys: ArrayRef,
    values: ArrayRef,
    offsets: OffsetBuffer<i32>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    let DataType::Map(entries, sorted) = data_type else { return plan_err!("{data_type} is not a map") };
    let DataType::Struct(fields) = entries.data_type() else { return plan_err!("{data_type} is not a map") };
    let pairs = StructArray::try_new(fields.clone(), vec![keys, values], None)?;
    Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, pairs, nulls, *sorted)?))
}

fn row_type(inputs: &Inputs<'_>) -> Result<DataType> {
    let field = |(i, t): (usize, &DataType)| Field::new(format!("EXPR${i}"), or_int(t.clone()), true);
    Ok(DataType::Struct(inputs.types.iter().enumerate().map(field).collect::<Fields>()))
}

fn row(call: &Call<'_>) -> Result<ArrayRef> {
    let DataType::Struct(fields) = call.result else { return plan_err!("ROW must return a row") };
    let mode = CastMode { safe: true, zone: call.zone };
    let columns = fields.iter().enumerate().map(|(i, f)| cast(&call.spread(i)?, f.data_type(), mode));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, None, call.rows)?))
}

fn field_type(inputs: &Inputs<'_>) -> Result<DataType> {
    let Some(name) = inputs.constant_text(1) else { return plan_err!("a field of a row is named by a constant") };
    match inputs.types.first() {
        Some(DataType::Struct(fields)) => match fields.find(name) {
            Some((_, field)) => Ok(field.data_type().clone()),
            None => {
                let known: Vec<&str> = fields.iter().map(|f| f.name().as_str()).collect();
                plan_err!("Column '{name}' not found in any table; the row has {}", known.join(", "))
            }
        },
        other => plan_err!("Incompatible types: {} has no field '{name}'", other.map(type_name).unwrap_or_default()),
    }
}

fn row_field(call: &Call<'_>) -> Result<ArrayRef> {
    let rows = call.spread(0)?;
    let names = call.text(1)?;
    let rows = rows.as_struct();
    let column = names.get(0).and_then(|name| rows.column_by_name(name));
    let Some(column) = column else { return Ok(new_null_array(call.result, call.rows)) };
    let nulls = NullBuffer::union(rows.nulls(), column.nulls());
    Ok(make_array(column.to_data().into_builder().nulls(nulls).build()?))
}

fn element_type(inputs: &Inputs<'_>) -> Result<DataType> {
    match inputs.types.first() {
        Some(DataType::List(item)) => match inputs.types.get(1) {
            Some(index) if !index.is_integer() && !index.is_null() => {
                plan_err!("an array position must be an INT, not {}", type_name(index))
            }
            _ => Ok(item.data_type().clone()),
        },
        Some(map @ DataType::Map(_, _)) => {
            let (key, value) = entry_types(map);
            match inputs.types.get(1) {
                Some(given) if common_type(&[key.clone(), given.clone()]).is_none() => {
                    plan_err!("a key of this map must be {}, not {}", type_name(&key), type_name(given))
                }
                _ => Ok(value),
            }
        }
        other => plan_err!(
            "Cannot apply 'ITEM' to arguments of type 'ITEM(<{}>)'. Supported form(s): '<ARRAY>[<INTEGER>]', '<MAP>[<ANY>]'",
            other.map(type_name).unwrap_or_default()
        ),
    }
}

fn picked(values: &ArrayRef, positions: impl Iterator<Item = Option<usize>>) -> Result<ArrayRef> {
    let positions: UInt32Array = positions.map(|p| u32::try_from(p?).ok()).collect();
    Ok(take(values, &positions, None)?)
}

/// Positions start at 1; what is not there is NULL.
fn subscript(call: &Call<'_>) -> Result<ArrayRef> {
    let collection = call.spread(0)?;
    if let Some(map) = collection.as_map_opt() {
        return map_value(call, map);
    }
    let index = cast(&call.spread(1)?, &DataType::Int64, CastMode { safe: true, zone: call.zone })?;
    let (list, index): (&ListArray, &Int64Array) = (collection.as_list::<i32>(), index.as_primitive());
    picked(
        list.values(),
        (0..call.rows).map(|row| {
            let range = range(list.value_offsets(), row);
            let index = index.is_valid(row).then(|| index.value(row))?;
            let at = range.start + usize::try_from(index).ok()?.checked_sub(1)?;
            (list.is_valid(row) && at < range.end).then_some(at)
        }),
    )
}

fn map_value(call: &Call<'_>, map: &MapArray) -> Result<ArrayRef> {
    let keys = cast(&call.spread(1)?, map.keys().data_type(), CastMode { safe: true, zone: call.zone })?;
    let same = arrow::array::make_comparator(map.keys(), &keys, Default::default())?;
    picked(
        map.values(),
        (0..call.rows).map(|row| {
            if map.is_null(row) || keys.is_null(row) {
                return None;
            }
            range(map.value_offsets(), row).find(|&i| same(i, row).is_eq())
        }),
    )
}

/// Where the items of `row` are.
pub(super) fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let at = |i: usize| usize::try_from(offsets[i]).unwrap_or(0);
    at(row)..at(row + 1)
}

fn cardinality(call: &Call<'_>) -> Result<ArrayRef> {
    let collection = call.spread(0)?;
    let offsets = match collection.data_type() {
        DataType::List(_) => collection.as_list::<i32>().value_offsets(),
        DataType::Map(_, _) => collection.as_map().value_offsets(),
        other => return plan_err!("CARDINALITY is for arrays and maps, not for {}", type_name(other)),
    };
    call.numbers::<Int32Type>(|row| Ok(collection.is_valid(row).then(|| offsets[row + 1] - offsets[row])))
}

/// The only item; NULL of an empty array.
fn element(call: &Call<'_>) -> Result<ArrayRef> {
    let list = call.spread(0)?;
    let list = list.as_list::<i32>();
    let longer = |row: usize| list.is_valid(row) && range(list.value_offsets(), row).len() > 1;
    if (0..call.rows).any(longer) {
        return Err(super::call::data_error("Array has more than one element."));
    }
    picked(
        list.values(),
        (0..call.rows).map(|row| range(list.value_offsets(), row).next().filter(|_| list.is_valid(row))),
    )
}

fn map_part_type(inputs: &Inputs<'_>, part: usize) -> Result<DataType> {
    let (key, value) = entry_types(inputs.types.first().unwrap_or(&DataType::Null));
    Ok(array_type(if part == 0 { &key } else { &value }))
}

fn map_part(call: &Call<'_>, part: usize) -> Result<ArrayRef> {
    let map = call.spread(0)?;
    let map = map.as_map();
    let items = if part == 0 { map.keys() } else { map.values() };
    let field = Arc::new(Field::new("item", items.data_type().clone(), true));
    Ok(Arc::new(ListArray::try_new(field, map.offsets().clone(), Arc::clone(items), map.nulls().cloned())?))
}

fn entries_type(inputs: &Inputs<'_>) -> Result<DataType> {
    let (key, value) = entry_types(inputs.types.first().unwrap_or(&DataType::Null));
    let fields = vec![Field::new("key", key, false), Field::new("value", value, true)];
    Ok(array_type(&DataType::Struct(Fields::from(fields))))
}

fn map_entries(call: &Call<'_>) -> Result<ArrayRef> {
    let map = call.spread(0)?;
    let map = map.as_map();
    let entries = Arc::new(map.entries().clone());
    let field = Arc::new(Field::new("item", entries.data_type().clone(), true));
    Ok(Arc::new(ListArray::try_new(field, map.offsets().clone(), entries, map.nulls().cloned())?))
}

fn zipped_type(inputs: &Inputs<'_>) -> Result<DataType> {
    let item = |i: usize| inputs.types.get(i).map(item_type).unwrap_or(DataType::Null);
    Ok(map_type(&or_int(item(0)), &or_int(item(1))))
}

fn map_from_arrays(call: &Call<'_>) -> Result<ArrayRef> {
    let (keys, values) = (call.spread(0)?, call.spread(1)?);
    let (keys, values) = (keys.as_list::<i32>(), values.as_list::<i32>());
    let nulls = NullBuffer::union(keys.nulls(), values.nulls());
    let (mut from_keys, mut from_values, mut lengths) = (Vec::new(), Vec::new(), Vec::with_capacity(call.rows));
    for row in 0..call.rows {
        if nulls.as_ref().is_some_and(|n| n.is_null(row)) {
            lengths.push(0);
            continue;
        }
        let (k, v) = (range(keys.value_offsets(), row), range(values.value_offsets(), row));
        if k.len() != v.len() {
            return Err(super::call::data_error("Invalid function MAP_FROM_ARRAYS call: the arrays differ in length"));
        }
        lengths.push(k.len());
        from_keys.extend(k.map(Some));
        from_values.extend(v.map(Some));
    }
    let keys = picked(keys.values(), from_keys.into_iter())?;
    let values = picked(values.values(), from_values.into_iter())?;
    map_array(call.result, keys, values, OffsetBuffer::from_lengths(lengths), nulls)
}
