//! Messages of one split → rows: the formats' columns and the metadata columns side by side.
//!
//! A message without value deletes the row of its key in a table of upserts. In other tables the format says what it
//! is, which for most formats is nothing.

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array};
use arrow::compute::take;
use eddyline_engine::changelog::{ChangelogBatch, RowKind, RowKinds};
use eddyline_engine::error::{Error, Result};

use super::consumer::Message;
use super::layout::{Layout, Origin};
use super::metadata::MetadataBuilder;
use super::options::Formats;
use crate::format::Decoder;

/// Gathers the rows of messages until they are taken as one batch.
pub(super) struct RowDecoder {
    layout: Layout,
    key: Option<Box<dyn Decoder>>,
    value: Box<dyn Decoder>,
    /// Per row, its row in the key decoder; None where the message has no readable key.
    key_rows: Vec<Option<u32>>,
    /// Per row, its row in the value decoder, None for a deletion; all the same as long as there is no deletion.
    value_rows: Option<Vec<Option<u32>>>,
    /// Per column of the layout: the builder, if it is metadata.
    metadata: Vec<Option<MetadataBuilder>>,
}

impl RowDecoder {
    pub(super) fn new(layout: Layout, formats: &Formats) -> Result<RowDecoder> {
        let (key, value) = layout.decoders(formats)?;
        let builder = |origin: &Origin| match origin {
            Origin::Metadata(metadata) => Some(MetadataBuilder::new(*metadata)),
            _ => None,
        };
        let metadata = layout.origins.iter().map(builder).collect();
        Ok(RowDecoder { layout, key, value, key_rows: Vec::new(), value_rows: None, metadata })
    }

    /// Rows gathered so far.
    pub(super) fn rows(&self) -> usize {
        self.value_rows.as_ref().map_or(self.value.rows(), Vec::len)
    }

    /// Messages skipped because of `ignore-parse-errors`.
    pub(super) fn skipped(&self) -> u64 {
        self.value.skipped() + self.key.as_ref().map_or(0, |key| key.skipped())
    }

    /// Appends the rows of one message. After an error everything is as before.
    pub(super) fn append(&mut self, message: &Message) -> Result<()> {
        self.append_parts(message.key(), message.payload(), |builder, rows| builder.append(message, rows))
    }

    fn append_parts(
        &mut self,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        append_metadata: impl Fn(&mut MetadataBuilder, usize),
    ) -> Result<()> {
        let key_row = self.decode_key(key)?;
        if self.layout.upsert && key_row.is_none() {
            return Ok(());
        }
        let (before, decoded) = (self.rows(), self.value.rows() as u32);
        match payload {
            Some(payload) => self.value.decode(payload)?,
            None if self.layout.upsert => self.delete(),
            None => self.value.decode_missing()?,
        }
        if let Some(value_rows) = &mut self.value_rows {
            value_rows.extend((decoded..self.value.rows() as u32).map(Some));
        }
        let rows = self.rows() - before;
        if self.key.is_some() {
            self.key_rows.extend(std::iter::repeat_n(key_row, rows));
        }
        self.metadata.iter_mut().flatten().for_each(|builder| append_metadata(builder, rows));
        Ok(())
    }

    /// The row of the key decoder that the key of a message became, if columns are read from it.
    fn decode_key(&mut self, key: Option<&[u8]>) -> Result<Option<u32>> {
        let Some(decoder) = &mut self.key else { return Ok(None) };
        let row = decoder.rows();
        match key {
            Some(bytes) => decoder.decode(bytes)?,
            None if self.layout.upsert => {
                return Err(Error::data("a message without key is no row of an 'upsert-kafka' table").with_hint(
                    "its producer must set the key, which says which row the message is about; or read the topic with \
                     the connector 'kafka'",
                ));
            }
            None => decoder.decode_missing()?,
        }
        Ok((decoder.rows() > row).then_some(row as u32))
    }

    fn delete(&mut self) {
        let value_rows = self.value_rows.get_or_insert_with(|| (0..self.value.rows() as u32).map(Some).collect());
        value_rows.push(None);
    }

    /// The gathered rows, all of which come from this partition.
    pub(super) fn take(&mut self, topic: &str, partition: i32) -> Result<ChangelogBatch> {
        let rows = self.rows();
        let value = self.value.take()?;
        let key = self.key.as_mut().map(|key| key.take()).transpose()?;
        let key_rows = UInt32Array::from(std::mem::take(&mut self.key_rows));
        let value_rows = self.value_rows.take().map(UInt32Array::from);
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.layout.origins.len());
        for (index, origin) in self.layout.origins.iter().enumerate() {
            let declared = self.layout.schema.field(index).data_type();
            columns.push(match (origin, &key, &mut self.metadata[index]) {
                (Origin::Value(column), _, _) => match &value_rows {
                    Some(value_rows) => take(value.column(*column), value_rows, None)?,
                    None => value.column(*column).clone(),
                },
                (Origin::Key(column), Some(key), _) => take(key.column(*column), &key_rows, None)?,
                (_, _, Some(builder)) => builder.finish(topic, partition, rows, declared)?,
                _ => new_null_array(declared, rows),
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.layout.schema.clone(), columns, &options)?;
        Ok(match (value_rows, value.kinds()) {
            (Some(value_rows), _) => ChangelogBatch::new(batch, kinds(&value_rows)),
            (None, Some(kinds)) => ChangelogBatch::new(batch, kinds.clone()),
            (None, None) => ChangelogBatch::inserts(batch),
        })
    }
}

/// Rows without a value are deletions.
fn kinds(value_rows: &UInt32Array) -> RowKinds {
    value_rows.iter().map(|row| if row.is_some() { RowKind::Insert } else { RowKind::Delete }).collect()
}
