//! The `debezium-json` format: changes of a database table as JSON envelopes.
//!
//! An envelope has the row `before` and `after` the change and an `op`: `c` and `r` (read by a snapshot) insert, `u`
//! updates, `d` deletes. Rows are written as `c` and `d` only, as in Flink: an update is a `d` and a `c`. What else the
//! envelope says can be read as `metadata`.

pub(super) mod metadata;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use eddyline_engine::changelog::{ChangelogBatch, RowKind, RowKinds};
use eddyline_engine::connector::{MetadataColumn, Options, SinkChanges, SourceChanges};
use eddyline_engine::error::{Error, Result};

use self::metadata::MetadataColumns;
use super::fault::{Fault, Parsed, excerpt};
use super::json::{Envelope, JsonOptions, JsonRows, RowWriter};
use super::{Decoder, Encoder, Format, Messages};

const REPLICA_IDENTITY: &str = "The \"before\" field of UPDATE message is null, if you are using Debezium Postgres \
                                Connector, please check the Postgres table has been set REPLICA IDENTITY to FULL \
                                level";

/// Debezium's envelopes.
pub(super) struct Debezium {
    options: Arc<JsonOptions>,
    schema_include: bool,
}

impl Debezium {
    /// Reads the options under `prefix`.
    pub(super) fn new(options: &Options, prefix: &str) -> Result<Debezium> {
        let schema_include = options.boolean(&format!("{prefix}schema-include"))?;
        Ok(Debezium { options: Arc::new(JsonOptions::new(options, prefix)?), schema_include })
    }
}

impl Format for Debezium {
    fn decoder(&self, schema: SchemaRef) -> Result<Box<dyn Decoder>> {
        self.decoder_with_metadata(schema, &[])
    }

    fn metadata(&self) -> Vec<MetadataColumn> {
        metadata::offered()
    }

    fn decoder_with_metadata(&self, schema: SchemaRef, keys: &[String]) -> Result<Box<dyn Decoder>> {
        let (row, metadata) = schema.fields().split_at(schema.fields().len() - keys.len());
        let metadata = match keys {
            [] => None,
            _ => Some(MetadataColumns::new(keys, metadata, &self.options)?),
        };
        Ok(Box::new(DebeziumDecoder {
            rows: JsonRows::new(Arc::new(Schema::new(row.to_vec())), &self.options)?,
            metadata,
            schema,
            kinds: Vec::new(),
            skipped: 0,
            schema_include: self.schema_include,
            ignore_parse_errors: self.options.ignore_parse_errors,
        }))
    }

    fn encoder(&self, schema: SchemaRef) -> Result<Box<dyn Encoder>> {
        if self.schema_include {
            let message = "Debezium JSON serialization doesn't support 'debezium-json.schema-include' option been set \
                           to true";
            return Err(Error::option(message, None));
        }
        let empty = RecordBatch::new_empty(schema);
        RowWriter::new(&empty, &self.options)?;
        Ok(Box::new(DebeziumEncoder { options: self.options.clone() }))
    }

    fn changes(&self) -> SourceChanges {
        SourceChanges::Retract
    }

    fn sink_changes(&self) -> SinkChanges {
        SinkChanges::Retract
    }
}

struct DebeziumDecoder {
    rows: JsonRows,
    metadata: Option<MetadataColumns>,
    /// The columns of `rows`, then those of `metadata`.
    schema: SchemaRef,
    kinds: Vec<RowKind>,
    skipped: u64,
    schema_include: bool,
    ignore_parse_errors: bool,
}

impl DebeziumDecoder {
    /// On a fault some of the message's rows may be there already.
    fn read(&mut self, message: &[u8]) -> Parsed {
        let envelope = Envelope::read(message, self.schema_include)?;
        let before = self.rows.rows();
        self.read_rows(&envelope)?;
        if let Some(metadata) = &mut self.metadata {
            for _ in before..self.rows.rows() {
                metadata.append(message, envelope.payload)?;
            }
        }
        Ok(())
    }

    fn read_rows(&mut self, envelope: &Envelope) -> Parsed {
        match envelope.op.unwrap_or_default() {
            b"c" | b"r" => self.push(envelope.after, RowKind::Insert, "after"),
            b"u" => {
                if envelope.before.is_none() {
                    return Err(Fault::row(REPLICA_IDENTITY));
                }
                self.push(envelope.before, RowKind::UpdateBefore, "before")?;
                self.push(envelope.after, RowKind::UpdateAfter, "after")
            }
            b"d" if envelope.before.is_none() => Err(Fault::row(REPLICA_IDENTITY.replace("UPDATE", "DELETE"))),
            b"d" => self.push(envelope.before, RowKind::Delete, "before"),
            other => Err(Fault::row(format!("Unknown \"op\" value \"{}\"", excerpt(other, 40)))),
        }
    }

    fn push(&mut self, part: Option<(usize, &[u8])>, kind: RowKind, name: &str) -> Parsed {
        let Some((start, object)) = part else {
            return Err(Fault::row(format!("The \"{name}\" field is missing or null")));
        };
        if object.first() != Some(&b'{') {
            return Err(Fault::row(format!("The \"{name}\" field is no object")));
        }
        self.rows.read(object).map_err(|fault| fault.within(name).shifted(start))?;
        self.kinds.push(kind);
        Ok(())
    }
}

impl Decoder for DebeziumDecoder {
    /// An empty message is the tombstone behind a deletion and has no row.
    fn decode(&mut self, message: &[u8]) -> Result<()> {
        if message.trim_ascii().is_empty() {
            return Ok(());
        }
        let before = self.rows.rows();
        match self.read(message) {
            Ok(()) => Ok(()),
            Err(fault) => {
                self.rows.truncate(before);
                self.kinds.truncate(before);
                if let Some(metadata) = &mut self.metadata {
                    metadata.truncate(before);
                }
                if self.ignore_parse_errors {
                    self.skipped += 1;
                    return Ok(());
                }
                let shown = excerpt(message, 200);
                Err(Error::data(format!("Corrupt Debezium JSON message '{shown}'. {}", fault.describe()))
                    .with_hint("with 'debezium-json.ignore-parse-errors' = 'true' such messages are skipped"))
            }
        }
    }

    fn rows(&self) -> usize {
        self.rows.rows()
    }

    fn take(&mut self) -> Result<ChangelogBatch> {
        let kinds: RowKinds = self.kinds.drain(..).collect();
        let mut rows = self.rows.take()?;
        if let Some(metadata) = &mut self.metadata {
            let mut columns = rows.columns().to_vec();
            columns.extend(metadata.take()?);
            rows = RecordBatch::try_new(self.schema.clone(), columns)?;
        }
        Ok(ChangelogBatch::new(rows, kinds))
    }

    fn skipped(&self) -> u64 {
        self.skipped
    }
}

struct DebeziumEncoder {
    options: Arc<JsonOptions>,
}

impl Encoder for DebeziumEncoder {
    fn encode(&mut self, batch: &ChangelogBatch, out: &mut Messages) -> Result<()> {
        let writer = RowWriter::new(batch.rows(), &self.options)?;
        for row in 0..batch.len() {
            let buffer = out.buffer();
            if batch.kind(row).is_addition() {
                buffer.extend_from_slice(b"{\"before\":null,\"after\":");
                writer.write(row, buffer);
                buffer.extend_from_slice(b",\"op\":\"c\"}");
            } else {
                buffer.extend_from_slice(b"{\"before\":");
                writer.write(row, buffer);
                buffer.extend_from_slice(b",\"after\":null,\"op\":\"d\"}");
            }
            out.finish();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::collections::BTreeMap;

    use super::super::{create, specs};
    use super::*;
    use arrow::datatypes::{DataType, Field, Schema};

    fn format(pairs: &[(&str, &str)]) -> Arc<dyn Format> {
        let mut values: BTreeMap<String, String> = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        values.insert("value.format".into(), "debezium-json".into());
        create(&Options::check("test", &values, specs("value.")).unwrap(), "value.").unwrap()
    }

    fn schema() -> SchemaRef {
        let fields = [("item", DataType::Utf8), ("shop", DataType::Utf8), ("stock", DataType::Int32)];
        Arc::new(Schema::new(fields.map(|(n, t)| Field::new(n, t, true)).to_vec()))
    }

    /// The changes of the messages, each as its symbol and its row in JSON.
    fn changes(pairs: &[(&str, &str)], messages: &[&str]) -> Result<Vec<String>> {
        let mut decoder = format(pairs).decoder(schema())?;
        for message in messages {
            let rows = decoder.rows();
            if let Err(error) = decoder.decode(message.as_bytes()) {
                assert_eq!(decoder.rows(), rows);
                return Err(error);
            }
        }
        let batch = decoder.take()?;
        let json = create(
            &Options::check("test", &[("format".to_string(), "json".to_string())].into(), specs("")).unwrap(),
            "",
        );
        let mut out = Messages::new();
        json?.encoder(schema())?.encode(&batch, &mut out)?;
        let rows = out.iter().map(|m| String::from_utf8(m.to_vec()).unwrap());
        Ok(rows.enumerate().map(|(row, text)| format!("{} {text}", batch.kind(row).symbol())).collect())
    }

    const UPDATES: [&str; 5] = [
        r#"{"before": null, "after": {"item": "pen", "shop": "north", "stock": 10}, "op": "c"}"#,
        r#"{"before": null, "after": {"item": "cap", "shop": "south", "stock": 7}, "op": "r", "source": {"ts": [1]}}"#,
        r#"{"before": {"item": "pen", "shop": "north", "stock": 10}, "after": {"item": "pen", "shop": "north", "stock": 8}, "op": "u"}"#,
        r#"{"op": "d", "before": {"item": "cap", "shop": "south", "stock": 7}, "after": null}"#,
        "",
    ];

    #[test]
    fn envelopes_become_changes() {
        let expected = [
            r#"+I {"item":"pen","shop":"north","stock":10}"#,
            r#"+I {"item":"cap","shop":"south","stock":7}"#,
            r#"-U {"item":"pen","shop":"north","stock":10}"#,
            r#"+U {"item":"pen","shop":"north","stock":8}"#,
            r#"-D {"item":"cap","shop":"south","stock":7}"#,
        ];
        assert_eq!(changes(&[], &UPDATES).unwrap(), expected);
        let wrapped: Vec<String> =
            UPDATES[..4].iter().map(|m| format!(r#"{{"schema": {{"x": [1]}}, "payload": {m}}}"#)).collect();
        let wrapped: Vec<&str> = wrapped.iter().map(String::as_str).collect();
        assert_eq!(changes(&[("value.debezium-json.schema-include", "true")], &wrapped).unwrap(), expected);
    }

    #[test]
    fn corrupt_envelopes_fail_or_are_skipped_whole() {
        for (bad, reason) in [
            (r#"{"before": null, "after": {"item": "pen"}, "op": "u"}"#, "REPLICA IDENTITY"),
            (r#"{"before": null, "after": null, "op": "d"}"#, "REPLICA IDENTITY"),
            (r#"{"before": {"item": "pen"}, "after": {"stock": "x"}, "op": "u"}"#, "field 'after.stock': expected INT"),
            (r#"{"before": {"item": "pen"}, "after": null, "op": "u"}"#, "\"after\" field is missing or null"),
            (r#"{"after": {"item": "pen"}, "op": "x"}"#, "Unknown \"op\" value \"x\""),
            (r#"{"after": {"item": "pen"}}"#, "Unknown \"op\" value"),
            (r#"{"after": [{"item": "pen"}], "op": "c"}"#, "no object"),
            (r#"{"after": {"item": "pen"}, "op": "c""#, "end of the message"),
            ("[]", "expected an object"),
        ] {
            let error = changes(&[], &[bad]).unwrap_err().to_string();
            assert!(error.starts_with("Corrupt Debezium JSON message") && error.contains(reason), "{error}");
        }
        let lenient = [("value.debezium-json.ignore-parse-errors", "true")];
        let messages = [r#"{"before": {"item": "a"}, "after": null, "op": "u"}"#, "nonsense", UPDATES[0]];
        assert_eq!(changes(&lenient, &messages).unwrap(), [r#"+I {"item":"pen","shop":"north","stock":10}"#]);
    }

    #[test]
    fn changes_are_written_as_creation_and_deletion() {
        let mut decoder = format(&[]).decoder(schema()).unwrap();
        decoder.decode(UPDATES[2].as_bytes()).unwrap();
        let mut out = Messages::new();
        format(&[]).encoder(schema()).unwrap().encode(&decoder.take().unwrap(), &mut out).unwrap();
        let lines: Vec<&str> = out.iter().map(|m| std::str::from_utf8(m).unwrap()).collect();
        let expected = [
            r#"{"before":{"item":"pen","shop":"north","stock":10},"after":null,"op":"d"}"#,
            r#"{"before":null,"after":{"item":"pen","shop":"north","stock":8},"op":"c"}"#,
        ];
        assert_eq!(lines, expected);
        assert!(format(&[("value.debezium-json.schema-include", "true")]).encoder(schema()).is_err());
    }
}
