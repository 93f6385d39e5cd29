//! A job that only reads one source and hands its rows to whoever asked.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use crossbeam_channel::Receiver;
use eddyline_engine::ChangelogBatch;
use eddyline_engine::connector::SourceFactory;
use eddyline_engine::dataflow::{Dataflow, Exchange, Node, NodeKind, SourceNode, Uid};
use eddyline_engine::runtime::{CollectSink, Job, JobConfig, JobHandle};

use crate::error::Result;

/// Batches of a result that wait for their reader before the job is held back.
pub(crate) const CHANNEL_BATCHES: usize = 16;

/// Starts the job for `source`, which is called `title` and has columns `schema`. `config` is for a job without checkpoints.
pub(crate) fn collect(
    title: &str,
    schema: &SchemaRef,
    source: Arc<dyn SourceFactory>,
    bounded: bool,
    mut config: JobConfig,
) -> Result<(Receiver<ChangelogBatch>, JobHandle)> {
    config.checkpoint.interval = None;
    let (sink, receiver) = CollectSink::channel(CHANNEL_BATCHES);
    let source = SourceNode { factory: source, project: None, watermark: None, bounded };
    let node = |name: &str, kind: NodeKind| Node {
        uid: Uid(name.to_lowercase()),
        name: name.to_string(),
        kind,
        parallelism: 1,
        schema: Arc::clone(schema),
    };
    let mut flow = Dataflow::default();
    let source = flow.add(node(title, NodeKind::Source(source)));
    let sink = flow.add(node("Collect", NodeKind::Sink(sink)));
    flow.connect(source, sink, 0, Exchange::Forward);
    Ok((receiver, Job::start(flow, config)?))
}
