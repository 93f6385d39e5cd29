//! Filters that name rows by key: `k = 5`, `k IN (1, 2)`, `a = 1 AND b = 'x'`.

use std::collections::HashSet;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::{Expr, Operator};
use eddyline_engine::relation::Version;

/// Most keys of a look-up; more are a scan.
const MAX_KEYS: usize = 10_000;

/// Keys to look up, as columns.
#[derive(Debug)]
pub(super) struct Lookup {
    columns: Vec<ArrayRef>,
    keys: usize,
}

impl Lookup {
    /// The columns of the key.
    pub(super) fn columns(&self) -> &[ArrayRef] {
        &self.columns
    }

    /// Number of keys.
    pub(super) fn keys(&self) -> usize {
        self.keys
    }
}

/// True when `filter` gives the values of one column of the key of `version`.
pub(super) fn names_key(version: &Version, filter: &Expr) -> bool {
    let columns = version.key().unwrap_or_default();
    columns.iter().any(|column| values(version, *column, filter).is_some())
}

/// The keys that `filters`, all of which hold, leave over; None when they do not name every column of the key.
pub(super) fn lookup(version: &Version, filters: &[Expr]) -> Result<Option<Lookup>> {
    let Some(columns) = version.key().filter(|key| !key.is_empty()) else { return Ok(None) };
    let mut keys: Vec<Vec<ScalarValue>> = vec![Vec::new()];
    for column in columns {
        let Some(values) = filters.iter().find_map(|filter| values(version, *column, filter)) else { return Ok(None) };
        if keys.len().saturating_mul(values.len()) > MAX_KEYS {
            return Ok(None);
        }
        let with = |key: &Vec<ScalarValue>, value: &ScalarValue| [key.as_slice(), std::slice::from_ref(value)].concat();
        keys = keys.iter().flat_map(|key| values.iter().map(move |value| with(key, value))).collect();
    }
    let mut seen = HashSet::new();
    keys.retain(|key| seen.insert(key.clone()));
    let column = |place: usize| {
        let data_type = version.schema().field(columns[place]).data_type();
        match keys.is_empty() {
            true => Ok(arrow::array::new_empty_array(data_type)),
            false => ScalarValue::iter_to_array(keys.iter().map(|key| key[place].clone())),
        }
    };
    let arrays = (0..columns.len()).map(column).collect::<Result<_>>()?;
    Ok(Some(Lookup { columns: arrays, keys: keys.len() }))
}

/// The values that `filter` leaves over for column `column`; None when it says something else.
fn values(version: &Version, column: usize, filter: &Expr) -> Option<Vec<ScalarValue>> {
    let field = version.schema().field(column);
    let is_column = |expr: &Expr| match expr {
        Expr::Column(named) => named.name == *field.name(),
        // Integers made wider for the comparison are the same integers.
        Expr::Cast(cast) => {
            let same = matches!(&*cast.expr, Expr::Column(named) if named.name == *field.name());
            same && field.data_type().is_integer() && cast.field.data_type().is_integer()
        }
        _ => false,
    };
    let value = |expr: &Expr| match expr {
        Expr::Literal(value, _) => exact(value, field.data_type()),
        _ => None,
    };
    match filter {
        Expr::BinaryExpr(binary) if binary.op == Operator::Eq => {
            let (left, right) = (&*binary.left, &*binary.right);
            let found = if is_column(left) { value(right) } else { value(left).filter(|_| is_column(right)) };
            found.map(|value| vec![value])
        }
        Expr::BinaryExpr(binary) if binary.op == Operator::Or => {
            let left = values(version, column, &binary.left)?;
            let right = values(version, column, &binary.right)?;
            Some([left, right].concat())
        }
        Expr::InList(list) if !list.negated && is_column(&list.expr) => list.list.iter().map(value).collect(),
        _ => None,
    }
}

/// `value` as `data_type` when that is the very same value, as a comparison has it. A NULL is equal to nothing.
fn exact(value: &ScalarValue, data_type: &DataType) -> Option<ScalarValue> {
    if value.is_null() {
        return None;
    }
    if value.data_type() == *data_type {
        // Floating point has two zeros, which are equal and encoded differently.
        return (!data_type.is_floating()).then(|| value.clone());
    }
    let both_integers = value.data_type().is_integer() && data_type.is_integer();
    let cast = value.cast_to(data_type).ok().filter(|_| both_integers)?;
    (cast.cast_to(&value.data_type()).ok().as_ref() == Some(value)).then_some(cast)
}
