//! The `raw` format: the message is the value of the table's only column.
//!
//! Text and bytes are taken as they are; numbers have their fixed width in the byte order of the option.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Schema, SchemaRef,
};
use eddyline_engine::changelog::ChangelogBatch;
use eddyline_engine::connector::{Options, SinkChanges, SourceChanges};
use eddyline_engine::error::{Error, Result};

use super::columns::{Column, Row, Values};
use super::fault::{Fault, type_name};
use super::{Decoder, Encoder, Format, Messages};

/// One value per message.
pub(super) struct Raw {
    big_endian: bool,
}

impl Raw {
    /// Reads the options under `prefix`.
    pub(super) fn new(options: &Options, prefix: &str) -> Result<Raw> {
        let charset = options.text(&format!("{prefix}charset")).unwrap_or("UTF-8");
        if !charset.eq_ignore_ascii_case("utf-8") && !charset.eq_ignore_ascii_case("utf8") {
            let message = format!("Unsupported 'raw.charset': {charset}");
            return Err(Error::option(message, "text must be UTF-8".to_string()));
        }
        let order = options.text(&format!("{prefix}endianness")).unwrap_or("big-endian");
        Ok(Raw { big_endian: order.eq_ignore_ascii_case("big-endian") })
    }
}

/// Refuses tables of other than one column, or of a type without raw form.
fn check(schema: &Schema) -> Result<()> {
    let [field] = schema.fields().as_ref() else {
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let message = "The 'raw' format only supports single physical column. However the defined schema contains \
                       multiple physical columns";
        return Err(Error::option(format!("{message}: [{}]", names.join(", ")), None));
    };
    if width(field.data_type()).is_none() && !matches!(field.data_type(), DataType::Utf8 | DataType::Binary) {
        let message = format!("'raw' format currently doesn't support type: {}", type_name(field));
        return Err(Error::option(message, None));
    }
    Ok(())
}

/// Bytes of a value of fixed width.
fn width(data_type: &DataType) -> Option<usize> {
    match data_type {
        DataType::Boolean | DataType::Int8 => Some(1),
        DataType::Int16 => Some(2),
        DataType::Int32 | DataType::Float32 => Some(4),
        DataType::Int64 | DataType::Float64 => Some(8),
        _ => None,
    }
}

impl Format for Raw {
    fn decoder(&self, schema: SchemaRef) -> Result<Box<dyn Decoder>> {
        check(&schema)?;
        let row = Row::new(schema.fields())?;
        Ok(Box::new(RawDecoder { schema, big_endian: self.big_endian, row, rows: 0 }))
    }

    fn encoder(&self, schema: SchemaRef) -> Result<Box<dyn Encoder>> {
        check(&schema)?;
        Ok(Box::new(RawEncoder { big_endian: self.big_endian }))
    }

    fn changes(&self) -> SourceChanges {
        SourceChanges::Append
    }

    fn sink_changes(&self) -> SinkChanges {
        SinkChanges::Append
    }
}

struct RawDecoder {
    schema: SchemaRef,
    big_endian: bool,
    row: Row,
    rows: usize,
}

impl Decoder for RawDecoder {
    fn decode(&mut self, message: &[u8]) -> Result<()> {
        self.row.admit(message.len()).map_err(|fault| Error::data(fault.describe()))?;
        for column in &mut self.row.columns {
            push(message, self.big_endian, column)?;
            column.valid();
        }
        self.rows += 1;
        Ok(())
    }

    /// A missing message is NULL.
    fn decode_missing(&mut self) -> Result<()> {
        for column in &mut self.row.columns {
            if !column.field().is_nullable() {
                return Err(Error::data(Fault::null_in_not_null(column.field().name()).describe()));
            }
            column.push_null();
        }
        self.rows += 1;
        Ok(())
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn take(&mut self) -> Result<ChangelogBatch> {
        let rows = std::mem::take(&mut self.rows);
        Ok(ChangelogBatch::inserts(self.row.finish_batch(&self.schema, rows)?))
    }

    fn skipped(&self) -> u64 {
        0
    }
}

fn push(message: &[u8], big_endian: bool, column: &mut Column) -> Result<()> {
    let mut bytes = [0u8; 8];
    if let Some(width) = width(column.field().data_type()) {
        if message.len() != width {
            let name = type_name(column.field());
            let found = message.len();
            let text = format!("Size of data received for deserializing {name} type is not {width}, but {found}");
            return Err(Error::data(text));
        }
        // The number ends up little-endian at the start of `bytes`.
        bytes[..width].copy_from_slice(message);
        if big_endian {
            bytes[..width].reverse();
        }
    }
    let number = i64::from_le_bytes(bytes);
    match &mut column.values {
        Values::Boolean(v) => v.append(number != 0),
        Values::Int8(v) => v.push(number as i8),
        Values::Int16(v) => v.push(number as i16),
        Values::Int32(v) => v.push(number as i32),
        Values::Int64(v) => v.push(number),
        Values::Float32(v) => v.push(f32::from_bits(number as u32)),
        Values::Float64(v) => v.push(f64::from_bits(number as u64)),
        Values::Binary(v) => v.push(message),
        Values::Utf8(v) => match std::str::from_utf8(message) {
            Ok(text) => v.push(text.as_bytes()),
            Err(error) => return Err(Error::data(format!("the message is no UTF-8 text: {error}"))),
        },
        _ => return Err(Error::internal("a type without raw form passed the check")),
    }
    Ok(())
}

struct RawEncoder {
    big_endian: bool,
}

impl Encoder for RawEncoder {
    /// A NULL has no message.
    fn encode(&mut self, batch: &ChangelogBatch, out: &mut Messages) -> Result<()> {
        let array = Arc::clone(batch.column(0));
        for row in 0..batch.len() {
            if array.is_null(row) {
                out.finish_missing();
                continue;
            }
            self.write(&array, row, out.buffer())?;
            out.finish();
        }
        Ok(())
    }
}

impl RawEncoder {
    fn write(&self, array: &dyn Array, row: usize, out: &mut Vec<u8>) -> Result<()> {
        let number = match array.data_type() {
            DataType::Utf8 => {
                return {
                    out.extend_from_slice(array.as_string::<i32>().value(row).as_bytes());
                    Ok(())
                };
            }
            DataType::Binary => {
                return {
                    out.extend_from_slice(array.as_binary::<i32>().value(row));
                    Ok(())
                };
            }
            DataType::Boolean => i64::from(array.as_boolean().value(row)),
            DataType::Int8 => array.as_primitive::<Int8Type>().value(row).into(),
            DataType::Int16 => array.as_primitive::<Int16Type>().value(row).into(),
            DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
            DataType::Int64 => array.as_primitive::<Int64Type>().value(row),
            DataType::Float32 => array.as_primitive::<Float32Type>().value(row).to_bits().into(),
            DataType::Float64 => array.as_primitive::<Float64Type>().value(row).to_bits() as i64,
            _ => return Err(Error::internal("a type without raw form passed the check")),
        };
        let width = width(array.data_type()).unwrap_or(0);
        let mut bytes = number.to_le_bytes();
        if self.big_endian {
            bytes[..width].reverse();
        }
        out.extend_from_slice(&bytes[..width]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use super::super::{create, specs};
    use super::*;
    use arrow::datatypes::Field;

    fn format(pairs: &[(&str, &str)]) -> Arc<dyn Format> {
        let mut values: BTreeMap<String, String> = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        values.insert("key.format".into(), "raw".into());
        create(&Options::check("test", &values, specs("key.")).unwrap(), "key.").unwrap()
    }

    fn schema(data_type: DataType) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("v", data_type, true)]))
    }

    fn round_trip(pairs: &[(&str, &str)], data_type: DataType, messages: &[&[u8]]) {
        let format = format(pairs);
        let schema = schema(data_type);
        let mut decoder = format.decoder(schema.clone()).unwrap();
        for message in messages {
            decoder.decode(message).unwrap();
        }
        let mut out = Messages::new();
        format.encoder(schema).unwrap().encode(&decoder.take().unwrap(), &mut out).unwrap();
        assert_eq!(out.iter().collect::<Vec<_>>(), messages);
    }

    #[test]
    fn messages_come_back_as_they_were() {
        round_trip(&[], DataType::Utf8, &["first line".as_bytes(), b"", "ünï,\"code\" {1}".as_bytes()]);
        round_trip(&[], DataType::Binary, &[b"\xff\x00"]);
        round_trip(&[], DataType::Boolean, &[b"\x01", b"\x00"]);
        round_trip(&[], DataType::Int64, &[b"\x00\x00\x00\x00\x00\x00\x01\x02"]);
        round_trip(&[("key.raw.endianness", "little-endian")], DataType::Float64, &[&1.5f64.to_le_bytes()]);
        round_trip(&[], DataType::Float32, &[&(-1.5f32).to_be_bytes()]);
    }

    #[test]
    fn a_missing_message_is_null() {
        let mut decoder = format(&[]).decoder(schema(DataType::Int32)).unwrap();
        decoder.decode(b"\x00\x00\x00\x07").unwrap();
        decoder.decode_missing().unwrap();
        let batch = decoder.take().unwrap();
        assert_eq!((batch.len(), batch.column(0).null_count()), (2, 1));
        let mut out = Messages::new();
        format(&[]).encoder(schema(DataType::Int32)).unwrap().encode(&batch, &mut out).unwrap();
        assert_eq!((out.present(0), out.present(1)), (Some(b"\x00\x00\x00\x07".as_slice()), None));
        let not_null = Arc::new(Schema::new(vec![Field::new("v", DataType::Utf8, false)]));
        let error = format(&[]).decoder(not_null).unwrap().decode_missing().unwrap_err().to_string();
        assert!(error.contains("Column 'v' is NOT NULL"), "{error}");
    }

    #[test]
    fn numbers_have_the_byte_order_of_the_option() {
        let read = |pairs: &[(&str, &str)]| {
            let mut decoder = format(pairs).decoder(schema(DataType::Int16)).unwrap();
            decoder.decode(b"\xff\xfe").unwrap();
            decoder.take().unwrap().column(0).as_primitive::<Int16Type>().value(0)
        };
        assert_eq!(read(&[]), -2);
        assert_eq!(read(&[("key.raw.endianness", "little-endian")]), -257);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut decoder = format(&[]).decoder(schema(DataType::Int32)).unwrap();
        assert!(decoder.decode(b"123").is_err());
        let mut decoder = format(&[]).decoder(schema(DataType::Utf8)).unwrap();
        assert!(decoder.decode(b"\xff").is_err());
        decoder.decode(b"ok").unwrap();
        assert_eq!(decoder.take().unwrap().len(), 1);
        let two = Schema::new(vec![Field::new("a", DataType::Utf8, true), Field::new("b", DataType::Utf8, true)]);
        assert!(format(&[]).decoder(Arc::new(two)).err().unwrap().to_string().contains("single physical column"));
        assert!(format(&[]).encoder(schema(DataType::Date32)).is_err());
    }
}
