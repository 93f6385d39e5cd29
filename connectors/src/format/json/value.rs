//! Reads JSON values straight into columns, directed by the columns' types.
//!
//! The coercions are Flink's: numbers may be quoted, a fraction read into INT or BIGINT is cut off, any scalar read into
//! STRING is kept as written and any array or object as its JSON text, text read into BOOLEAN is false unless it says
//! true, a DECIMAL with too many digits is NULL.

use arrow::datatypes::Field;

use super::compact;
use super::cursor::{Cursor, Number, Text};
use super::row;
use crate::format::columns::{Column, Values};
use crate::format::fault::{Fault, Parsed};
use crate::format::text::{self, Decimal, TimestampForm};

/// What the reader needs to know beside the columns.
pub(super) struct Rules {
    pub(super) fail_on_missing_field: bool,
    pub(super) ignore_parse_errors: bool,
    pub(super) timestamps: TimestampForm,
    /// True when the schema holds a DECIMAL anywhere: fractions in JSON text kept for STRING are then exact.
    pub(super) exact_fractions: bool,
}

/// Buffers that outlive a message.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) text: Vec<u8>,
}

/// Reads the value here into `column`. On a fault of this field alone, and if such faults are ignored, NULL.
#[inline]
pub(super) fn read(
    cursor: &mut Cursor,
    column: &mut Column,
    rules: &Rules,
    scratch: &mut Scratch,
    depth: usize,
) -> Parsed {
    let (start, len) = (cursor.position, column.len());
    match read_strictly(cursor, column, rules, scratch, depth) {
        Ok(()) => Ok(()),
        Err(fault) if fault.fatal || !rules.ignore_parse_errors => Err(fault),
        Err(_) => {
            column.truncate(len);
            cursor.position = start;
            cursor.skip_value(depth)?;
            null(column)
        }
    }
}

/// Appends a NULL if the column allows it.
pub(super) fn null(column: &mut Column) -> Parsed {
    if !column.field().is_nullable() {
        return Err(Fault::null_in_not_null(column.field().name()));
    }
    column.push_null();
    Ok(())
}

fn read_strictly(
    cursor: &mut Cursor,
    column: &mut Column,
    rules: &Rules,
    scratch: &mut Scratch,
    depth: usize,
) -> Parsed {
    match cursor.byte() {
        b'n' => {
            cursor.literal("null")?;
            null(column)
        }
        b'"' => {
            let position = cursor.position;
            let text = cursor.string()?;
            from_text(text, position, column, rules, scratch)
        }
        b'-' | b'0'..=b'9' => {
            let position = cursor.position;
            let number = cursor.number()?;
            from_number(number, position, column)
        }
        b't' | b'f' => from_literal(cursor, column),
        b'{' | b'[' => from_nested(cursor, column, rules, scratch, depth),
        _ => Err(cursor.unexpected("a JSON value")),
    }
}

fn from_text(text: Text, position: usize, column: &mut Column, rules: &Rules, scratch: &mut Scratch) -> Parsed {
    if let Values::Utf8(values) = &mut column.values {
        text.append_to(position, &mut values.data)?;
        values.finish();
        column.valid();
        return Ok(());
    }
    let bytes = if text.escaped {
        scratch.text.clear();
        text.append_to(position, &mut scratch.text)?;
        scratch.text.as_slice()
    } else {
        text.raw
    };
    let fits = push_text(bytes, column, rules.timestamps);
    fits.ok_or_else(|| Fault::value(position, column.field(), format!("\"{}\"", String::from_utf8_lossy(bytes))))
}

/// Appends the value that `text` stands for; None when it stands for none of the column's type.
fn push_text(bytes: &[u8], column: &mut Column, form: TimestampForm) -> Option<()> {
    match &mut column.values {
        Values::Boolean(v) => v.append(text::boolean(bytes)),
        Values::Int8(v) => v.push(i8::try_from(text::integer(bytes)?).ok()?),
        Values::Int16(v) => v.push(i16::try_from(text::integer(bytes)?).ok()?),
        Values::Int32(v) => v.push(i32::try_from(text::integer(bytes)?).ok()?),
        Values::Int64(v) => v.push(text::integer(bytes)?),
        Values::Float32(v) => v.push(text::float(bytes)?),
        Values::Float64(v) => v.push(text::double(bytes)?),
        Values::Decimal(_, precision, scale) => {
            let value = text::decimal(bytes, *precision, *scale)?;
            return push_decimal(value, column);
        }
        Values::Utf8(v) => v.push(bytes),
        Values::Binary(v) => text::base64(bytes, &mut v.data).map(|()| v.finish())?,
        Values::Date(v) => v.push(text::date(bytes)?),
        Values::Time(v, unit) => v.push(text::time(bytes, *unit)?),
        Values::Timestamp(v, unit, zoned) => v.push(text::timestamp(bytes, form, *zoned, *unit)?),
        Values::List(..) | Values::Map(..) | Values::Row(_) => return None,
    }
    column.valid();
    Some(())
}

fn push_decimal(value: Decimal, column: &mut Column) -> Option<()> {
    match (value, &mut column.values) {
        (Decimal::Unscaled(value), Values::Decimal(values, _, _)) => {
            values.push(value);
            column.valid();
            Some(())
        }
        _ => null(column).ok(),
    }
}

fn from_number(number: Number, position: usize, column: &mut Column) -> Parsed {
    let fits = push_number(&number, column);
    fits.ok_or_else(|| Fault::value(position, column.field(), number.text))
}

fn push_number(number: &Number, column: &mut Column) -> Option<()> {
    match &mut column.values {
        Values::Int64(v) => v.push(number.whole()?),
        Values::Int32(v) => v.push(i32::try_from(number.whole()?).ok()?),
        Values::Int16(v) if !number.float => v.push(i16::try_from(number.whole()?).ok()?),
        Values::Int8(v) if !number.float => v.push(i8::try_from(number.whole()?).ok()?),
        Values::Float64(v) => v.push(number.double()?),
        Values::Float32(v) => v.push(text::float(number.text)?),
        Values::Decimal(_, precision, scale) => {
            let value = number.decimal(*precision, *scale)?;
            return push_decimal(value, column);
        }
        Values::Utf8(v) => v.push(number.text),
        Values::Boolean(v) => v.append(false),
        _ => return None,
    }
    column.valid();
    Some(())
}

impl Number<'_> {
    /// The number without its fraction; None when out of range.
    #[inline]
    fn whole(&self) -> Option<i64> {
        if self.float {
            let value = self.double()?;
            // Both limits are exact powers of two.
            let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value);
            return fits.then_some(value as i64);
        }
        match (self.digits <= 19, self.negative) {
            (false, _) => None,
            (true, true) => 0i64.checked_sub_unsigned(self.mantissa),
            (true, false) => i64::try_from(self.mantissa).ok(),
        }
    }

    /// The nearest floating-point number. Up to 2⁵³ and 10²² both parts are exact, so one operation rounds correctly
    /// (Clinger, "How to Read Floating Point Numbers Accurately").
    #[inline]
    fn double(&self) -> Option<f64> {
        let power = i64::from(self.exponent) - self.fraction as i64;
        if self.digits <= 19 && self.mantissa <= 1 << 53 && (-22..=22).contains(&power) {
            let mantissa = self.mantissa as f64;
            let factor = POWERS_OF_TEN[power.unsigned_abs() as usize];
            let value = if power < 0 { mantissa / factor } else { mantissa * factor };
            return Some(if self.negative { -value } else { value });
        }
        text::double(self.text)
    }

    /// The number rounded half up to `scale` digits behind the point.
    #[inline]
    fn decimal(&self, precision: u8, scale: i8) -> Option<Decimal> {
        let missing = i64::from(scale) - self.fraction as i64;
        if self.digits <= 19 && self.exponent == 0 && (0..=18).contains(&missing) {
            let value = i128::from(self.mantissa) * 10i128.pow(missing as u32);
            return Some(text::fit(if self.negative { -value } else { value }, precision));
        }
        text::decimal(self.text, precision, scale)
    }
}

const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

fn from_literal(cursor: &mut Cursor, column: &mut Column) -> Parsed {
    let (position, truth) = (cursor.position, cursor.byte() == b't');
    let word = if truth { "true" } else { "false" };
    cursor.literal(word)?;
    match &mut column.values {
        Values::Boolean(v) => v.append(truth),
        Values::Utf8(v) => v.push(word.as_bytes()),
        _ => return Err(Fault::value(position, column.field(), word)),
    }
    column.valid();
    Ok(())
}

fn from_nested(cursor: &mut Cursor, column: &mut Column, rules: &Rules, scratch: &mut Scratch, depth: usize) -> Parsed {
    let (position, index) = (cursor.position, column.len());
    let object = cursor.byte() == b'{';
    match &mut column.values {
        Values::Utf8(values) => {
            compact::append(cursor, &mut values.data, rules.exact_fractions, depth)?;
            values.finish();
        }
        Values::List(ends, items) if !object => {
            read_list(cursor, items, rules, scratch, depth)?;
            ends.push(items.len());
        }
        Values::Map(ends, keys, values) if object => {
            read_map(cursor, keys, values, rules, scratch, depth)?;
            ends.push(keys.len());
        }
        Values::Row(fields) if object => {
            row::read(cursor, fields, index, rules, scratch, depth)?;
        }
        _ => {
            let found = if object { "an object" } else { "an array" };
            return Err(Fault::value(position, column.field(), found));
        }
    }
    column.valid();
    Ok(())
}

fn read_list(cursor: &mut Cursor, items: &mut Column, rules: &Rules, scratch: &mut Scratch, depth: usize) -> Parsed {
    let depth = cursor.deeper(depth)?;
    cursor.position += 1;
    cursor.skip_space();
    if cursor.take(b']') {
        return Ok(());
    }
    loop {
        read(cursor, items, rules, scratch, depth)?;
        if cursor.end_of_item(b']')? {
            return Ok(());
        }
    }
}

fn read_map(
    cursor: &mut Cursor,
    keys: &mut Column,
    values: &mut Column,
    rules: &Rules,
    scratch: &mut Scratch,
    depth: usize,
) -> Parsed {
    let (start, first) = (cursor.position, keys.len());
    read_entries(cursor, keys, values, rules, scratch, depth, |_| true)?;
    // The last of several equal keys counts. That is rare: read again without the others.
    if let Some(keep) = last_of_equal(keys, first) {
        keys.truncate(first);
        values.truncate(first);
        cursor.position = start;
        read_entries(cursor, keys, values, rules, scratch, depth, |entry| keep[entry])?;
    }
    Ok(())
}

fn read_entries(
    cursor: &mut Cursor,
    keys: &mut Column,
    values: &mut Column,
    rules: &Rules,
    scratch: &mut Scratch,
    depth: usize,
    keep: impl Fn(usize) -> bool,
) -> Parsed {
    let depth = cursor.deeper(depth)?;
    cursor.position += 1;
    cursor.skip_space();
    if cursor.take(b'}') {
        return Ok(());
    }
    for entry in 0.. {
        let position = cursor.position;
        let key = cursor.key()?;
        if keep(entry) {
            from_text(key, position, keys, rules, scratch)?;
            read(cursor, values, rules, scratch, depth)?;
        } else {
            cursor.skip_value(depth)?;
        }
        if cursor.end_of_item(b'}')? {
            break;
        }
    }
    Ok(())
}

/// Which of the entries from `first` on hold the last occurrence of their key; None when all do.
fn last_of_equal(keys: &Column, first: usize) -> Option<Vec<bool>> {
    let Values::Utf8(names) = &keys.values else { return None };
    let count = keys.len() - first;
    let mut seen = ahash::AHashSet::with_capacity(count);
    let mut keep: Vec<bool> = (0..count).rev().map(|entry| seen.insert(names.get(first + entry))).collect();
    keep.reverse();
    keep.contains(&false).then_some(keep)
}

/// True when the type of `field` is or holds a DECIMAL.
pub(super) fn holds_decimal(field: &Field) -> bool {
    use arrow::datatypes::DataType;
    match field.data_type() {
        DataType::Decimal128(..) => true,
        DataType::List(item) | DataType::Map(item, _) => holds_decimal(item),
        DataType::Struct(fields) => fields.iter().any(|f| holds_decimal(f)),
        _ => false,
    }
}
