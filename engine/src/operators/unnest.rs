//! Unnest: one output row per element of an array or map. Stateless.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, RecordBatch, StructArray, UInt32Array, UInt64Array};
use arrow::buffer::NullBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion_physical_expr::PhysicalExpr;

use crate::changelog::ChangelogBatch;
use crate::error::{Error, Result};
use crate::operator::{Operator, Output};

/// `CROSS JOIN UNNEST(expr) [WITH ORDINALITY]`, or `LEFT JOIN` when `outer`: each input row is repeated per element, with
/// the element's column (the fields of a ROW element; key and value of a MAP) and maybe its ordinality appended. An
/// element that is a NULL ROW is skipped. A row without elements gives nothing, or one row of NULLs when `outer`.
pub struct Unnest {
    expr: Arc<dyn PhysicalExpr>,
    outer: bool,
    with_ordinality: bool,
    schema: SchemaRef,
}

impl Unnest {
    /// `schema` is the input's columns, the element's, and the ordinality (INT from 1) when asked for.
    pub fn new(expr: Arc<dyn PhysicalExpr>, outer: bool, with_ordinality: bool, schema: SchemaRef) -> Self {
        Unnest { expr, outer, with_ordinality, schema }
    }
}

impl Operator for Unnest {
    fn on_batch(&mut self, _port: usize, batch: ChangelogBatch, out: &mut Output) -> Result<()> {
        let nested = self.expr.evaluate(batch.rows())?.into_array(batch.len())?;
        let (elements, offsets) = elements(&nested)?;
        let skips = matches!(elements.data_type(), DataType::Struct(_));
        let (mut rows, mut positions, mut ordinals) = (Vec::new(), Vec::new(), Vec::new());
        for row in 0..batch.len() {
            let range = if nested.is_null(row) { 0..0 } else { offsets[row]..offsets[row + 1] };
            let before = rows.len();
            for (i, position) in range.enumerate().filter(|(_, position)| !skips || elements.is_valid(*position)) {
                rows.push(row as u32);
                positions.push(Some(position as u64));
                ordinals.push(Some(i as i32 + 1));
            }
            if rows.len() == before && self.outer {
                rows.push(row as u32);
                positions.push(None);
                ordinals.push(None);
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        let repeated = batch.take(&UInt32Array::from(rows))?;
        let mut columns = repeated.rows().columns().to_vec();
        columns.extend(fields(&take(&elements, &UInt64Array::from(positions), None)?)?);
        if self.with_ordinality {
            columns.push(Arc::new(Int32Array::from(ordinals)));
        }
        out.emit(repeated.with_rows(RecordBatch::try_new(self.schema.clone(), columns)?));
        Ok(())
    }
}

/// The elements of all rows, and where those of each row begin.
fn elements(nested: &ArrayRef) -> Result<(ArrayRef, Vec<usize>)> {
    let start = |offset: &i32| *offset as usize;
    Ok(match nested.data_type() {
        DataType::List(_) => {
            let list = nested.as_list::<i32>();
            (list.values().clone(), list.offsets().iter().map(start).collect())
        }
        DataType::Map(_, _) => {
            let map = nested.as_map();
            (Arc::new(map.entries().clone()), map.offsets().iter().map(start).collect())
        }
        other => return Err(Error::internal(format!("UNNEST takes an array or a map, not {other}"))),
    })
}

/// The columns of an element: the fields of a struct, NULL where it is, or the element itself.
fn fields(elements: &ArrayRef) -> Result<Vec<ArrayRef>> {
    let Some(row) = elements.as_struct_opt() else {
        return Ok(vec![elements.clone()]);
    };
    row.columns().iter().map(|field| with_nulls_of(field, row)).collect()
}

fn with_nulls_of(field: &ArrayRef, row: &StructArray) -> Result<ArrayRef> {
    let nulls = NullBuffer::union(field.nulls(), row.nulls());
    let data = field.to_data().into_builder().nulls(nulls).build()?;
    Ok(arrow::array::make_array(data))
}
