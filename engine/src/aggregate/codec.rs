//! Tuples of values of any types as bytes that sort and compare like the values, for aggregates that remember values.

use arrow::array::{Array, ArrayRef, AsArray, ListArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::row::{RowConverter, Rows, SortField};
use std::sync::Arc;

use super::slots::state_field;
use crate::error::{Error, Result};

/// Encodes argument rows and decodes lists of them.
pub(super) struct Codec {
    types: Vec<DataType>,
    converter: RowConverter,
}

impl Codec {
    /// For arguments of these types; an error when one cannot be compared.
    pub(super) fn new(types: &[DataType]) -> Result<Self> {
        let fields = types.iter().cloned().map(SortField::new).collect();
        Ok(Codec { types: types.to_vec(), converter: RowConverter::new(fields)? })
    }

    /// Each row as bytes.
    pub(super) fn encode(&self, args: &[ArrayRef]) -> Result<Rows> {
        Ok(self.converter.convert_columns(args)?)
    }

    /// One column per argument, from rows that [`Codec::encode`] made.
    pub(super) fn decode<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        let parser = self.converter.parser();
        let rows: Vec<&[u8]> = rows.collect();
        Ok(self.converter.convert_rows(rows.iter().map(|row| parser.parse(row)))?)
    }

    /// State columns: per argument a list of its values.
    pub(super) fn state_fields(&self) -> Vec<FieldRef> {
        let list = |(i, t): (usize, &DataType)| {
            state_field(&format!("values{i}"), DataType::List(Arc::new(Field::new("item", t.clone(), true))), false)
        };
        self.types.iter().enumerate().map(list).collect()
    }

    /// Lists of tuples, one list per group, as one list column per argument.
    pub(super) fn state<'a, G>(&self, groups: impl Iterator<Item = G>) -> Result<Vec<ArrayRef>>
    where
        G: Iterator<Item = &'a [u8]>,
    {
        let (mut rows, mut lengths) = (Vec::new(), Vec::new());
        for group in groups {
            let before = rows.len();
            rows.extend(group);
            lengths.push(rows.len() - before);
        }
        let lists = self.decode(rows.into_iter())?;
        lists.into_iter().map(|values| list_array(values, &lengths, None)).collect()
    }

    /// The inverse of [`Codec::state`]: all tuples, and how many belong to each group.
    pub(super) fn read_state(&self, state: &[ArrayRef]) -> Result<(Rows, Vec<usize>)> {
        let lists = state.iter().map(|column| column.as_list_opt::<i32>());
        let lists = lists.collect::<Option<Vec<&ListArray>>>();
        let (Some(lists), Some(first)) = (lists, state.first().and_then(|column| column.as_list_opt::<i32>())) else {
            return Err(Error::checkpoint("stored aggregate values are not lists"));
        };
        let values: Vec<ArrayRef> = lists.iter().map(|list| list_values(list)).collect();
        Ok((self.encode(&values)?, first.offsets().lengths().collect()))
    }
}

/// A list column; `lengths` are the lists' numbers of `values`.
pub(super) fn list_array(values: ArrayRef, lengths: &[usize], nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    let item = Arc::new(Field::new("item", values.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
    Ok(Arc::new(ListArray::try_new(item, offsets, values, nulls)?))
}

/// The values that the lists of a column hold, sliced columns included.
fn list_values(list: &ListArray) -> ArrayRef {
    let (first, last) = (list.offsets()[0] as usize, list.offsets()[list.len()] as usize);
    list.values().slice(first, last - first)
}
