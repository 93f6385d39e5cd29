//! Starts a job: checks the dataflow, finds the checkpoint to start from, opens sources and sinks, and leaves the rest to
//! the driver's thread.

use std::sync::Arc;

use crossbeam_channel::unbounded;

use super::config::{JobConfig, Restore};
use super::driver::Driver;
use super::handle::{Board, JobHandle};
use super::journal::{JournalOwner, JournalThread};
use super::metrics::Metrics;
use super::plan::Plan;
use super::restore::Identity;
use super::status::JobEvent;
use crate::checkpoint::{CheckpointStore, Restored};
use crate::dataflow::{Dataflow, NodeKind};
use crate::error::{Error, Result};

/// A dataflow that runs.
#[derive(Debug)]
pub struct Job;

impl Job {
    /// Starts `dataflow`. When this returns, sources and sinks are open and rows flow; what a user can get wrong (a
    /// missing topic, a wrong password, a checkpoint of another query) has come back as an error.
    pub fn start(mut dataflow: Dataflow, config: JobConfig) -> Result<JobHandle> {
        dataflow.validate()?;
        if config.checkpoint.interval.is_none() || config.checkpoint.dir.is_none() {
            lower_guarantees(&mut dataflow);
        }
        if !dataflow.nodes.iter().any(|n| matches!(n.kind, NodeKind::Source(_))) {
            return Err(Error::internal("a job without a source has nothing to do"));
        }
        if let Some(sink) = dataflow.needs_checkpoints().filter(|_| config.checkpoint.interval.is_none()) {
            return Err(needs_checkpoints(sink));
        }
        let store = match &config.checkpoint.dir {
            Some(root) => {
                let open = if config.takeover { CheckpointStore::take_over } else { CheckpointStore::open };
                Some(Arc::new(open(root, &config.name, config.checkpoint.num_retained)?))
            }
            None => None,
        };
        let identity = match &store {
            Some(store) => Identity { pipeline: store.pipeline().to_string(), generation: store.generation() },
            None => Identity { pipeline: uuid::Uuid::new_v4().to_string(), generation: 1 },
        };
        let journal = config.journal.clone().filter(|_| store.is_some());
        let owner = JournalOwner { job: config.name.clone(), pipeline: identity.pipeline.clone() };
        let journal = journal.map(|journal| JournalThread::start(journal, owner)).transpose()?;
        let origin = origin(&config.restore, store.as_deref())?;
        let board = Arc::new(Board::new(&identity.pipeline, &config, Metrics::new(&dataflow)));
        for node in &dataflow.nodes {
            if let NodeKind::Sink(factory) = &node.kind
                && factory.is_outside()
            {
                board.post(JobEvent::Guarantee { sink: node.name.clone(), guarantee: factory.guarantee() });
            }
        }
        let reports = unbounded();
        let handle = JobHandle::new(board.clone(), reports.0.clone());
        let plan = Plan::new(&dataflow);
        let mut driver = Driver {
            dataflow,
            plan,
            config,
            identity,
            store,
            board,
            journal,
            reports,
            origin,
            own_since: None,
            attempts: 0,
            stop: None,
        };
        let first = driver.open()?;
        let name = format!("job {}", driver.config.name).replace('\0', " ");
        let thread = std::thread::Builder::new().name(name).spawn(move || driver.run(first));
        thread.map_err(|e| Error::io("a thread cannot be started", e))?;
        Ok(handle)
    }
}

/// A job that keeps no checkpoints cannot tell after a crash what its sinks have prepared.
fn lower_guarantees(dataflow: &mut Dataflow) {
    for node in &mut dataflow.nodes {
        if let NodeKind::Sink(factory) = &mut node.kind
            && let Some(instead) = factory.without_checkpoints()
        {
            *factory = instead;
        }
    }
}

fn needs_checkpoints(sink: &str) -> Error {
    Error::option(
        format!("sink '{sink}' is to write exactly once, which needs checkpoints, and checkpointing is off"),
        "SET 'execution.checkpointing.interval' = '10 s', or choose 'at-least-once'".to_string(),
    )
}

fn origin(restore: &Restore, store: Option<&CheckpointStore>) -> Result<Option<Restored>> {
    match (restore, store) {
        (Restore::Path(path), _) => Restored::read(path).map(Some),
        (Restore::Latest, Some(store)) => store.latest(),
        (Restore::Fresh, Some(store)) => {
            store.start_fresh()?;
            Ok(None)
        }
        (Restore::Latest | Restore::Fresh, None) => Ok(None),
    }
}
