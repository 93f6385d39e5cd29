//! The rows of a finite query: at once when there is little to read, else through a job of its own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use crossbeam_channel::{Receiver, bounded};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::execute_stream;
use eddyline_engine::ChangelogBatch;
use eddyline_engine::connector::{Polled, SourceFactory, SourceReader, SplitId, SplitPosition};
use eddyline_engine::dataflow::Subtask;
use eddyline_engine::interrupt;
use eddyline_engine::runtime::{JobConfig, JobHandle};
use futures::StreamExt;
use tokio::runtime::Runtime;

use super::{BatchQuery, runtime};
use crate::collect::collect;
use crate::error::Result;

/// Rows to read, all in all, of a query that is answered at once.
const SMALL: usize = 20_000;
/// Pairs of rows that joins of such a query may look at.
const SMALL_PAIRS: usize = 1_000_000;

/// The rows of `query`, which are all additions, and the job that makes them; it has ended already when there was little
/// to do. `config` is for a job without checkpoints.
pub(crate) fn answer(query: BatchQuery, config: JobConfig) -> Result<(Receiver<ChangelogBatch>, JobHandle)> {
    let pairs = query.reads.iter().fold(1_usize, |pairs, rows| pairs.saturating_mul((*rows).max(1)));
    let small = query.reads.iter().sum::<usize>() <= SMALL && (query.reads.len() == 1 || pairs <= SMALL_PAIRS);
    let mut rows = Rows::start(&query)?;
    if !small {
        let source: Arc<dyn SourceFactory> = Arc::new(RowsSource(Mutex::new(Some(rows))));
        return collect("Query", &query.schema, source, true, config);
    }
    let mut batches = Vec::new();
    while let Some(batch) = rows.next()? {
        batches.push(ChangelogBatch::inserts(batch));
    }
    let (sender, receiver) = bounded(batches.len());
    // The channel has room for all of them.
    batches.into_iter().for_each(|batch| drop(sender.try_send(batch)));
    Ok((receiver, JobHandle::done(config.name)))
}

impl BatchQuery {
    /// All its rows, unless the user has enough of waiting for them.
    pub(crate) fn rows(&self) -> Result<Vec<RecordBatch>> {
        let (mut rows, mut batches) = (Rows::start(self)?, Vec::new());
        loop {
            match rows.next_within(interrupt::LOOK_EVERY)? {
                Some(None) => return Ok(batches),
                Some(Some(batch)) => batches.push(batch),
                None => {}
            }
            interrupt::check("its rows")?;
        }
    }
}

/// A query that runs as it is read.
struct Rows {
    runtime: Runtime,
    stream: SendableRecordBatchStream,
    schema: SchemaRef,
}

impl Rows {
    fn start(query: &BatchQuery) -> Result<Self> {
        let runtime = runtime()?;
        let entered = runtime.enter();
        let stream = execute_stream(Arc::clone(&query.physical), query.state.task_ctx())?;
        drop(entered);
        Ok(Rows { runtime, stream, schema: Arc::clone(&query.schema) })
    }

    /// The next batch; None at the end.
    fn next(&mut self) -> datafusion_common::Result<Option<RecordBatch>> {
        let next = self.runtime.block_on(self.stream.next());
        next.map(|batch| self.named(batch?)).transpose()
    }

    /// The next batch, if it comes in time: the inner None is the end.
    fn next_within(&mut self, patience: Duration) -> datafusion_common::Result<Option<Option<RecordBatch>>> {
        let stream = &mut self.stream;
        let next = self.runtime.block_on(async { tokio::time::timeout(patience, stream.next()).await });
        match next {
            Ok(next) => next.map(|batch| self.named(batch?)).transpose().map(Some),
            Err(_) => Ok(None),
        }
    }

    fn named(&self, batch: RecordBatch) -> datafusion_common::Result<RecordBatch> {
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), batch.columns().to_vec(), &options)?)
    }
}

/// A query as the source of a job, which reads it once.
struct RowsSource(Mutex<Option<Rows>>);

impl SourceFactory for RowsSource {
    fn open(
        &self,
        _subtask: Subtask,
        _restored: Option<&[SplitPosition]>,
    ) -> eddyline_engine::Result<Box<dyn SourceReader>> {
        let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let rows = rows.ok_or_else(|| eddyline_engine::Error::internal("a finite query runs once"))?;
        Ok(Box::new(RowsReader { rows, split: "query".into() }))
    }
}

struct RowsReader {
    rows: Rows,
    split: SplitId,
}

impl SourceReader for RowsReader {
    fn poll(&mut self, _max_rows: usize, timeout: Duration) -> eddyline_engine::Result<Polled> {
        Ok(match self.rows.next_within(timeout)? {
            None => Polled::Nothing,
            Some(None) => Polled::End,
            Some(Some(rows)) => Polled::Rows { split: self.split.clone(), batch: ChangelogBatch::inserts(rows) },
        })
    }

    fn positions(&mut self) -> eddyline_engine::Result<Vec<SplitPosition>> {
        Ok(Vec::new())
    }

    fn splits(&self) -> Vec<SplitId> {
        vec![self.split.clone()]
    }
}
