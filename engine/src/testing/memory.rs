//! Sources and sinks in memory, for tests of whole jobs.
//!
//! - [`VectorSource`]: splits of prepared rows; positions are row numbers. A [`Valve`] can hold its rows back, so that a
//!   test decides how far a job gets.
//! - [`RecordingTarget`]: a table of all rows that were made visible, with the two-phase interface and a marker per
//!   subtask, like an exactly-once database sink.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;

use crate::changelog::ChangelogBatch;
use crate::connector::{
    Committer, EpochLog, Polled, Sink, SinkContext, SinkFactory, SourceFactory, SourceReader, SplitId, SplitPosition,
    SplitProgress,
};
use crate::dataflow::Subtask;
use crate::error::{Error, Result};
use crate::time::Epoch;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets a number of rows per split through.
#[derive(Debug)]
pub struct Valve {
    rows: Mutex<usize>,
    changed: Condvar,
}

impl Valve {
    /// A valve that lets the first `rows` rows of every split through.
    pub fn at(rows: usize) -> Arc<Self> {
        Arc::new(Valve { rows: Mutex::new(rows), changed: Condvar::new() })
    }

    /// Lets the first `rows` rows of every split through from now on.
    pub fn set(&self, rows: usize) {
        *lock(&self.rows) = rows;
        self.changed.notify_all();
    }

    /// Lets everything through.
    pub fn open(&self) {
        self.set(usize::MAX);
    }

    fn rows(&self) -> usize {
        *lock(&self.rows)
    }

    fn wait(&self, timeout: Duration) {
        let guard = lock(&self.rows);
        drop(self.changed.wait_timeout(guard, timeout));
    }
}

/// A source of prepared rows, in named splits.
#[derive(Debug, Clone)]
pub struct VectorSource {
    splits: Vec<(SplitId, RecordBatch)>,
    bounded: bool,
    most_rows: usize,
    valve: Option<Arc<Valve>>,
    delay: Duration,
}

impl VectorSource {
    /// A bounded source with one split per element of `splits`, named `split-0`, `split-1` and so on.
    pub fn new(splits: Vec<RecordBatch>) -> Self {
        let named = splits.into_iter().enumerate().map(|(n, rows)| (format!("split-{n}").into(), rows)).collect();
        VectorSource { splits: named, bounded: true, most_rows: usize::MAX, valve: None, delay: Duration::ZERO }
    }

    /// The same source, which waits for more when all is read.
    pub fn unbounded(mut self) -> Self {
        self.bounded = false;
        self
    }

    /// The same source, which gives at most `rows` rows at once.
    pub fn batches_of(mut self, rows: usize) -> Self {
        self.most_rows = rows;
        self
    }

    /// The same source, which takes `delay` for every poll.
    pub fn slowed_by(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The same source behind a valve.
    pub fn behind(mut self, valve: &Arc<Valve>) -> Self {
        self.valve = Some(valve.clone());
        self
    }
}

impl SourceFactory for VectorSource {
    fn open(&self, subtask: Subtask, restored: Option<&[SplitPosition]>) -> Result<Box<dyn SourceReader>> {
        let own = self.splits.iter().enumerate().filter(|(n, _)| n % subtask.parallelism == subtask.index);
        let at = |id: &SplitId| {
            let position = restored.unwrap_or_default().iter().find(|p| p.split == **id);
            position.and_then(|p| p.position["row"].as_u64()).unwrap_or(0) as usize
        };
        let split = |(id, rows): &(SplitId, RecordBatch)| OpenSplit {
            id: id.clone(),
            rows: rows.clone(),
            next: at(id),
            ended: false,
        };
        let splits = own.map(|(_, s)| split(s)).collect();
        Ok(Box::new(VectorReader { source: self.clone(), splits, turn: 0 }))
    }
}

struct OpenSplit {
    id: SplitId,
    rows: RecordBatch,
    next: usize,
    ended: bool,
}

struct VectorReader {
    source: VectorSource,
    splits: Vec<OpenSplit>,
    turn: usize,
}

impl SourceReader for VectorReader {
    fn poll(&mut self, max_rows: usize, timeout: Duration) -> Result<Polled> {
        let until = Instant::now() + self.source.delay;
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            std::thread::park_timeout(left);
        }
        let open = self.source.valve.as_ref().map_or(usize::MAX, |valve| valve.rows());
        let most = max_rows.min(self.source.most_rows);
        for _ in 0..self.splits.len() {
            let turn = self.turn % self.splits.len();
            self.turn += 1;
            let split = &mut self.splits[turn];
            let count = split.rows.num_rows().min(open).saturating_sub(split.next).min(most);
            if count > 0 {
                let batch = ChangelogBatch::inserts(split.rows.slice(split.next, count));
                split.next += count;
                return Ok(Polled::Rows { split: split.id.clone(), batch });
            }
            if self.source.bounded && !split.ended && split.next >= split.rows.num_rows() {
                split.ended = true;
                return Ok(Polled::SplitEnd(split.id.clone()));
            }
        }
        if self.source.bounded && self.splits.iter().all(|s| s.ended) {
            return Ok(Polled::End);
        }
        match &self.source.valve {
            Some(valve) => valve.wait(timeout),
            None => std::thread::park_timeout(timeout),
        }
        Ok(Polled::Nothing)
    }

    fn positions(&mut self) -> Result<Vec<SplitPosition>> {
        let position =
            |s: &OpenSplit| SplitPosition { split: s.id.to_string(), position: serde_json::json!({ "row": s.next }) };
        Ok(self.splits.iter().map(position).collect())
    }

    fn splits(&self) -> Vec<SplitId> {
        self.splits.iter().filter(|s| !s.ended).map(|s| s.id.clone()).collect()
    }

    fn progress(&self) -> Vec<SplitProgress> {
        let progress = |s: &OpenSplit| SplitProgress {
            split: s.id.clone(),
            position: s.next as u64,
            end: Some(s.rows.num_rows() as u64),
            lag_rows: Some((s.rows.num_rows() - s.next) as u64),
        };
        self.splits.iter().map(progress).collect()
    }
}

#[derive(Debug, Default)]
struct Table {
    rows: Vec<RecordBatch>,
    markers: BTreeMap<String, Epoch>,
    generation: u64,
    applied: Vec<Epoch>,
    /// Calls of `apply` that shall fail.
    failures: usize,
}

/// Where the rows of [`RecordingTarget::sink`] become visible; outlives jobs, like a database.
#[derive(Debug, Clone, Default)]
pub struct RecordingTarget {
    table: Arc<(Mutex<Table>, Condvar)>,
}

impl RecordingTarget {
    /// An empty target.
    pub fn new() -> Self {
        RecordingTarget::default()
    }

    /// A sink factory that writes here, exactly once.
    pub fn sink(&self) -> Arc<dyn SinkFactory> {
        Arc::new(self.clone())
    }

    /// Loses the markers, as a topic does that is made anew.
    pub fn lose_markers(&self) {
        lock(&self.table.0).markers.clear();
    }

    /// Lets the next `calls` calls of `apply` with rows fail as if the target were away for a moment.
    pub fn fail_applies(&self, calls: usize) {
        lock(&self.table.0).failures = calls;
    }

    /// All visible rows, in the order in which they became visible.
    pub fn rows(&self) -> Vec<RecordBatch> {
        lock(&self.table.0).rows.clone()
    }

    /// Number of visible rows.
    pub fn row_count(&self) -> usize {
        lock(&self.table.0).rows.iter().map(RecordBatch::num_rows).sum()
    }

    /// The epochs that brought rows, in the order in which they became visible.
    pub fn applied(&self) -> Vec<Epoch> {
        lock(&self.table.0).applied.clone()
    }

    /// Waits until `rows` rows are visible; false when they are not within `timeout`.
    pub fn wait_for_rows(&self, rows: usize, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut table = lock(&self.table.0);
        while table.rows.iter().map(RecordBatch::num_rows).sum::<usize>() < rows {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return false };
            table = self.table.1.wait_timeout(table, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl SinkFactory for RecordingTarget {
    fn open(&self, _context: &SinkContext) -> Result<Box<dyn Sink>> {
        Ok(Box::new(RecordingSink { buffer: Vec::new() }))
    }

    fn committer(&self, context: &SinkContext) -> Result<Option<Box<dyn Committer>>> {
        let sink = format!("{}/{}", context.pipeline, context.sink);
        Ok(Some(Box::new(RecordingCommitter { target: self.clone(), sink, generation: 0 })))
    }

    fn guarantee(&self) -> &'static str {
        "exactly-once"
    }
}

struct RecordingSink {
    buffer: Vec<RecordBatch>,
}

impl Sink for RecordingSink {
    fn write(&mut self, batch: &ChangelogBatch) -> Result<()> {
        self.buffer.push(batch.rows().clone());
        Ok(())
    }

    fn prepare(&mut self, _epoch: Epoch) -> Result<EpochLog> {
        let Some(first) = self.buffer.first() else { return Ok(EpochLog::empty()) };
        let mut writer = StreamWriter::try_new(Vec::new(), &first.schema())?;
        for batch in self.buffer.drain(..) {
            writer.write(&batch)?;
        }
        Ok(EpochLog::new(writer.into_inner()?))
    }
}

struct RecordingCommitter {
    target: RecordingTarget,
    /// Name of the marker.
    sink: String,
    generation: u64,
}

impl Committer for RecordingCommitter {
    fn fence(&mut self, generation: u64) -> Result<()> {
        self.generation = generation;
        let mut table = lock(&self.target.table.0);
        table.generation = table.generation.max(generation);
        Ok(())
    }

    fn applied_up_to(&mut self) -> Result<Option<Epoch>> {
        Ok(lock(&self.target.table.0).markers.get(&self.sink).copied())
    }

    fn apply(&mut self, epoch: Epoch, logs: &[Arc<EpochLog>]) -> Result<()> {
        let mut batches = Vec::new();
        for log in logs {
            for batch in StreamReader::try_new(log.bytes(), None)? {
                batches.push(batch?);
            }
        }
        let mut table = lock(&self.target.table.0);
        if table.generation > self.generation {
            return Err(Error::refused("memory", "fenced by a newer process", "stop one of the two"));
        }
        if table.failures > 0 && !logs.is_empty() {
            table.failures -= 1;
            return Err(Error::connector("memory", "the target is away"));
        }
        if table.markers.get(&self.sink).is_none_or(|marker| *marker < epoch) {
            table.markers.insert(self.sink.clone(), epoch);
            if !logs.is_empty() {
                table.applied.push(epoch);
            }
            table.rows.extend(batches);
            self.target.table.1.notify_all();
        }
        Ok(())
    }
}
