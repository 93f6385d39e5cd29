//! Messages of one split → rows: the formats' columns and the metadata columns side by side.

use arrow::array::{ArrayRef, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::take;
use eddyline_engine::changelog::ChangelogBatch;
use eddyline_engine::error::Result;

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
        Ok(RowDecoder { layout, key, value, key_rows: Vec::new(), metadata })
    }

    /// Rows gathered so far.
    pub(super) fn rows(&self) -> usize {
        self.value.rows()
    }

    /// Messages skipped because of `ignore-parse-errors`.
    pub(super) fn skipped(&self) -> u64 {
        self.value.skipped() + self.key.as_ref().map_or(0, |key| key.skipped())
    }

    /// Appends the rows of one message. A message without value has none. After an error everything is as before.
    pub(super) fn append(&mut self, message: &Message) -> Result<()> {
        let Some(payload) = message.payload() else { return Ok(()) };
        let key_row = match (&mut self.key, message.key()) {
            (Some(decoder), Some(bytes)) => {
                let row = decoder.rows();
                decoder.decode(bytes)?;
                (decoder.rows() > row).then_some(row as u32)
            }
            _ => None,
        };
        let before = self.value.rows();
        self.value.decode(payload)?;
        let rows = self.value.rows() - before;
        if self.key.is_some() {
            self.key_rows.extend(std::iter::repeat_n(key_row, rows));
        }
        for builder in self.metadata.iter_mut().flatten() {
            builder.append(message, rows);
        }
        Ok(())
    }

    /// The gathered rows, all of which come from this partition.
    pub(super) fn take(&mut self, topic: &str, partition: i32) -> Result<ChangelogBatch> {
        let value = self.value.take()?;
        let rows = value.len();
        let key = self.key.as_mut().map(|key| key.take()).transpose()?;
        let key_rows = UInt32Array::from(std::mem::take(&mut self.key_rows));
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.layout.origins.len());
        for (index, origin) in self.layout.origins.iter().enumerate() {
            let declared = self.layout.schema.field(index).data_type();
            columns.push(match (origin, &key, &mut self.metadata[index]) {
                (Origin::Value(column), _, _) => value.column(*column).clone(),
                (Origin::Key(column), Some(key), _) => take(key.column(*column), &key_rows, None)?,
                (_, _, Some(builder)) => builder.finish(topic, partition, rows, declared)?,
                _ => new_null_array(declared, rows),
            });
        }
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.layout.schema.clone(), columns, &options)?;
        Ok(match value.kinds() {
            Some(kinds) => ChangelogBatch::new(batch, kinds.clone()),
            None => ChangelogBatch::inserts(batch),
        })
    }
}
