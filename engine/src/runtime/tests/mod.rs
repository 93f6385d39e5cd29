//! Whole jobs over sources and sinks in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod collect;
mod flow;
mod recovery;
mod time;
mod views;
mod views_on_views;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use arrow::array::{AsArray, Int64Array, RecordBatch, TimestampMicrosecondArray, UInt8Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};

use super::*;
use crate::changelog::ChangelogBatch;
use crate::checkpoint::{CheckpointConfig, RestartStrategy};
use crate::connector::{SinkFactory, SourceFactory};
use crate::dataflow::{Dataflow, Exchange, Node, NodeId, NodeKind, SourceNode, Uid, WatermarkStrategy};
use crate::error::{Error, Result};
use crate::operator::{Operator, Output};
use crate::state::{Distribution, State, States, key_group};
use crate::testing::memory::{RecordingTarget, Valve, VectorSource};

/// Longest that any test waits for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// Columns `key`, `n`, `at`.
fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int64, false),
        Field::new("n", DataType::Int64, false),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
    ]))
}

/// `rows` rows: keys go round `keys`, times are `n` microseconds.
fn rows(rows: i64, keys: i64) -> RecordBatch {
    let key = Int64Array::from_iter_values((0..rows).map(|n| n % keys));
    let at = TimestampMicrosecondArray::from_iter_values(0..rows);
    let n = Int64Array::from_iter_values(0..rows);
    RecordBatch::try_new(schema(), vec![Arc::new(key), Arc::new(n), Arc::new(at)]).unwrap()
}

fn node(uid: &str, kind: NodeKind, parallelism: usize, schema: SchemaRef) -> Node {
    Node { uid: Uid(uid.into()), name: uid.into(), kind, parallelism, schema }
}

fn source(flow: &mut Dataflow, uid: &str, factory: VectorSource, bounded: bool, parallelism: usize) -> NodeId {
    let factory: Arc<dyn SourceFactory> = Arc::new(factory);
    let kind = NodeKind::Source(SourceNode { factory, project: None, watermark: None, bounded });
    flow.add(node(uid, kind, parallelism, schema()))
}

/// Adds watermarks to a source: the time itself.
fn with_watermarks(flow: &mut Dataflow, source: NodeId) {
    let expression = Arc::new(datafusion_physical_expr::expressions::Column::new("at", 2));
    if let NodeKind::Source(s) = &mut flow.nodes[source].kind {
        s.watermark = Some(WatermarkStrategy { column: 2, expression });
    }
}

fn operator<O: Operator + 'static>(
    flow: &mut Dataflow,
    from: NodeId,
    uid: &str,
    exchange: Exchange,
    parallelism: usize,
    make: impl Fn() -> O + Send + Sync + 'static,
) -> NodeId {
    let factory: crate::dataflow::OperatorFactory = Arc::new(move |_| Ok(Box::new(make()) as Box<dyn Operator>));
    let id = flow.add(node(uid, NodeKind::Operator(factory), parallelism, schema()));
    flow.connect(from, id, 0, exchange);
    id
}

fn sink(flow: &mut Dataflow, from: NodeId, factory: Arc<dyn SinkFactory>) -> NodeId {
    let parallelism = flow.nodes[from].parallelism;
    let id = flow.add(node("sink", NodeKind::Sink(factory), parallelism, schema()));
    flow.connect(from, id, 0, Exchange::Forward);
    id
}

/// A job with checkpoints in `dir` every 10 ms that restarts at once.
fn config(dir: Option<&Path>) -> JobConfig {
    let mut config = JobConfig::new("test job");
    config.checkpoint = CheckpointConfig {
        interval: Some(Duration::from_millis(10)),
        dir: dir.map(Path::to_path_buf),
        ..CheckpointConfig::default()
    };
    config.restart = RestartStrategy::FixedDelay { attempts: 1000, delay: Duration::from_millis(1) };
    config
}

fn wait(job: &JobHandle) -> Result<JobSummary> {
    job.wait_timeout(PATIENCE).expect("the job ends in time")
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// Passes rows on.
struct Pass;

impl Operator for Pass {
    fn on_batch(&mut self, _port: usize, batch: ChangelogBatch, out: &mut Output) -> Result<()> {
        out.emit(batch);
        Ok(())
    }
}

/// Passes rows on and fails when the shared countdown reaches zero; once, until it is set again.
struct Trip(Arc<AtomicI64>, fn() -> Error);

impl Operator for Trip {
    fn on_batch(&mut self, _port: usize, batch: ChangelogBatch, out: &mut Output) -> Result<()> {
        let rows = batch.len() as i64;
        let before = self.0.fetch_sub(rows, Ordering::SeqCst);
        if before > 0 && before <= rows {
            return Err((self.1)());
        }
        out.emit(batch);
        Ok(())
    }
}

fn retriable() -> Error {
    Error::connector("test", "boom")
}

/// Emits for every row its key and how many rows of that key there have been.
#[derive(Default)]
struct CountByKey {
    counts: Counts,
}

#[derive(Default)]
struct Counts(HashMap<i64, i64>);

impl Operator for CountByKey {
    fn on_batch(&mut self, _port: usize, batch: ChangelogBatch, out: &mut Output) -> Result<()> {
        let keys = batch.column(0).as_primitive::<Int64Type>();
        let mut count = |key: i64| {
            let count = self.counts.0.entry(key).or_default();
            *count += 1;
            *count
        };
        let counts = Int64Array::from_iter_values(keys.values().iter().map(|key| count(*key)));
        let columns = vec![batch.column(0).clone(), Arc::new(counts) as _, batch.column(2).clone()];
        out.emit(batch.with_rows(RecordBatch::try_new(schema(), columns)?));
        Ok(())
    }

    fn states(&mut self) -> States<'_> {
        States::one("counts", &mut self.counts)
    }
}

impl State for Counts {
    fn schema(&self) -> SchemaRef {
        let field = |name: &str| Arc::new(Field::new(name, DataType::Int64, false));
        key_group::keyed_schema([field("key"), field("count")])
    }

    fn distribution(&self) -> Distribution {
        Distribution::Keyed
    }

    fn snapshot(&mut self) -> Result<Vec<RecordBatch>> {
        let keys = Int64Array::from_iter_values(self.0.keys().copied());
        let counts = Int64Array::from_iter_values(self.0.values().copied());
        let groups: UInt8Array = key_group::of_rows(&[Arc::new(keys.clone())], keys.len())?;
        Ok(vec![RecordBatch::try_new(self.schema(), vec![Arc::new(groups), Arc::new(keys), Arc::new(counts)])?])
    }

    fn restore(&mut self, rows: &RecordBatch) -> Result<()> {
        let column = |n: usize| rows.column(n).as_primitive::<Int64Type>().values().to_vec();
        for (key, count) in column(1).into_iter().zip(column(2)) {
            assert!(self.0.insert(key, count).is_none(), "key {key} restored twice");
        }
        Ok(())
    }
}

/// Source, trip, hash, count, sink.
fn counting(input: VectorSource, trip: &Arc<AtomicI64>, parallelism: usize, target: &RecordingTarget) -> Dataflow {
    let mut flow = Dataflow::default();
    let read = source(&mut flow, "source", input, true, parallelism);
    let trip = trip.clone();
    let tripped =
        operator(&mut flow, read, "trip", Exchange::Forward, parallelism, move || Trip(trip.clone(), retriable));
    let hash = Exchange::Hash(vec![0]);
    let counted = operator(&mut flow, tripped, "count", hash, parallelism, CountByKey::default);
    sink(&mut flow, counted, target.sink());
    flow
}

/// Checks that every key was counted 1, 2, 3 … `per_key`, each once: nothing lost, nothing twice.
fn assert_counted_once(target: &RecordingTarget, keys: i64, per_key: i64) {
    let mut counts: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for batch in target.rows() {
        let column = |n: usize| batch.column(n).as_primitive::<Int64Type>().values().to_vec();
        for (key, count) in column(0).into_iter().zip(column(1)) {
            counts.entry(key).or_default().push(count);
        }
    }
    assert_eq!(counts.len() as i64, keys, "every key is there");
    for (key, mut counts) in counts {
        counts.sort_unstable();
        assert_eq!(counts, (1..=per_key).collect::<Vec<_>>(), "key {key}");
    }
}
