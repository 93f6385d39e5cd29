//! Writing: rows become messages, and [`Delivery`] brings them to the topic.

use eddyline_engine::changelog::ChangelogBatch;
use eddyline_engine::connector::{Committer, EpochLog, Sink, SinkContext, SinkFactory};
use eddyline_engine::error::Result;
use eddyline_engine::time::Epoch;

use super::delivery::{Delivery, Target};
use super::encode::RowEncoder;
use super::layout::Layout;
use super::options::Formats;
use super::upsert::{FlushRule, UpsertSink};

/// What becomes of the rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Rows {
    /// Every row is a message; its value says what the row does.
    All,
    /// Rows are upserts and deletions by key, gathered before they are sent if there is a rule.
    Upserts(Option<FlushRule>),
}

/// Makes sinks of one table.
pub(super) struct KafkaSinkFactory {
    target: Target,
    layout: Layout,
    formats: Formats,
    rows: Rows,
}

impl KafkaSinkFactory {
    pub(super) fn new(target: Target, layout: Layout, formats: Formats, rows: Rows) -> Self {
        KafkaSinkFactory { target, layout, formats, rows }
    }
}

impl SinkFactory for KafkaSinkFactory {
    fn open(&self, context: &SinkContext) -> Result<Box<dyn Sink>> {
        let encoder = RowEncoder::new(self.layout.clone(), &self.formats)?;
        let delivery = self.target.open(context)?;
        Ok(match self.rows {
            Rows::All => Box::new(KafkaSink { encoder, delivery }),
            Rows::Upserts(rule) => Box::new(UpsertSink::new(self.layout.key.clone(), encoder, rule, delivery)),
        })
    }

    fn committer(&self, context: &SinkContext) -> Result<Option<Box<dyn Committer>>> {
        self.target.committer(context)
    }

    fn guarantee(&self) -> &'static str {
        self.target.guarantee()
    }

    fn needs_checkpoints(&self) -> bool {
        self.target.needs_checkpoints()
    }

    fn interrupt(&self) {
        self.target.interrupt();
    }
}

struct KafkaSink {
    encoder: RowEncoder,
    delivery: Delivery,
}

impl Sink for KafkaSink {
    fn write(&mut self, batch: &ChangelogBatch) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        self.encoder.encode(batch)?;
        for row in 0..batch.len() {
            self.encoder.message(row, |message| self.delivery.send(message))?;
        }
        self.delivery.check()
    }

    fn tick(&mut self) -> Result<()> {
        self.delivery.check()
    }

    fn prepare(&mut self, _epoch: Epoch) -> Result<EpochLog> {
        self.delivery.prepare()
    }

    fn log_bytes(&self) -> usize {
        self.delivery.log_bytes()
    }
}
