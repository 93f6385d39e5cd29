//! One attempt of a job: its threads and channels, from the first to the last.

use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::JobConfig;
use super::chain::{Body, Chain, ChainNode};
use super::committing::CommitterThread;
use super::driver::{Report, TaskReport};
use super::exchange::Writer;
use super::gate::Gate;
use super::ledger::Ledger;
use super::message::Message;
use super::metrics::Metrics;
use super::plan::Plan;
use super::restore::{OpenNode, Opened};
use super::snapshot::{ReportSender, SnapshotQueue};
use super::source_task::{SourceParts, SourceTask};
use super::stop::{Stopped, TaskResult};
use super::task::{ChannelTask, Control, TaskContext};
use crate::checkpoint::{CheckpointMode, CheckpointStore};
use crate::connector::SourceReader;
use crate::dataflow::{Dataflow, Exchange, NodeKind};
use crate::error::{Error, Result};
use crate::time::Epoch;

/// What the threads of an attempt are made from.
pub(super) struct Blueprint<'a> {
    pub(super) dataflow: &'a Dataflow,
    pub(super) plan: &'a Plan,
    pub(super) config: &'a JobConfig,
    pub(super) metrics: &'a Metrics,
    pub(super) store: Option<&'a Arc<CheckpointStore>>,
    /// Where tasks report.
    pub(super) reports: &'a Sender<Report>,
    /// Number of the attempt.
    pub(super) number: u64,
}

/// Running threads.
pub(super) struct Attempt {
    controls: Vec<ThreadControl>,
    threads: Vec<JoinHandle<()>>,
    writers: Vec<JoinHandle<()>>,
    committers: Vec<CommitterThread>,
}

struct ThreadControl {
    sender: Sender<Control>,
    is_source: bool,
}

enum Task {
    Source(Box<SourceTask>),
    Channel(Box<ChannelTask>),
}

/// Senders of one link by producing subtask, each by consuming subtask.
type LinkSenders = Vec<Vec<Sender<Message>>>;
/// Channels into one subtask: the port and the receiver of each.
type Inputs = Vec<(usize, Receiver<Message>)>;

impl Attempt {
    /// Wires the opened nodes together and starts their threads.
    pub(super) fn start(blueprint: &Blueprint<'_>, opened: Opened) -> Result<Attempt> {
        let (snapshots, writers) = match blueprint.store {
            Some(store) => SnapshotQueue::start(store)?,
            None => (SnapshotQueue::none(), Vec::new()),
        };
        let (mut links, mut inputs) = channels(blueprint);
        // Taken from the back, so that each subtask takes its own without shifting the others.
        let Opened { mut nodes, committers, .. } = opened;
        nodes.iter_mut().for_each(|subtasks| subtasks.reverse());
        let ledgers = committers.iter().map(|(id, committing)| (*id, committing.ledger.clone())).collect();
        let mut attempt = Attempt { controls: Vec::new(), threads: Vec::new(), writers, committers: Vec::new() };
        let mut tasks = Vec::new();
        for (number, planned) in blueprint.plan.tasks.iter().enumerate() {
            for (subtask, inputs) in inputs[number].iter_mut().enumerate() {
                let thread = attempt.controls.len();
                let (reports, attempt_number) = (blueprint.reports.clone(), blueprint.number);
                let reports = ReportSender { reports, attempt: attempt_number, thread, subtask };
                let (chain, reader) = chain(blueprint, number, subtask, &mut nodes, &ledgers, &mut links)?;
                let (sender, control) = unbounded();
                attempt.controls.push(ThreadControl { sender, is_source: reader.is_some() });
                let clock = blueprint.config.clock.clone();
                let context = TaskContext::new(chain, control, reports.clone(), snapshots.clone(), clock);
                let head = planned.nodes[0].id;
                let task = match reader {
                    Some(reader) => source_task(blueprint, head, subtask, reader, context)?,
                    None => channel_task(blueprint, context, std::mem::take(inputs)),
                };
                tasks.push((blueprint.dataflow.nodes[head].name.clone(), reports, task));
            }
        }
        for (number, (_, committing)) in committers.into_iter().enumerate() {
            let thread = committing.start(blueprint.reports.clone(), blueprint.number, number)?;
            attempt.committers.push(thread);
        }
        for (name, reports, task) in tasks {
            attempt.spawn(&name, reports, task)?;
        }
        Ok(attempt)
    }

    /// Number of committers.
    pub(super) fn committer_count(&self) -> usize {
        self.committers.len()
    }

    /// Number of threads that read sources.
    pub(super) fn source_threads(&self) -> usize {
        self.controls.iter().filter(|c| c.is_source).count()
    }

    /// Number of threads.
    pub(super) fn thread_count(&self) -> usize {
        self.controls.len()
    }

    /// Asks something of all threads that read sources.
    pub(super) fn tell_sources(&self, control: Control) {
        self.tell(control, |c| c.is_source);
    }

    /// Asks all committers to make everything up to `epoch` visible.
    pub(super) fn apply(&self, epoch: Epoch) {
        self.committers.iter().for_each(|committer| committer.apply(epoch));
    }

    /// Ends all threads and waits until they are gone.
    pub(super) fn end(self) {
        self.tell(Control::Leave, |_| true);
        drop(self.controls);
        self.committers.iter().for_each(CommitterThread::close);
        self.committers.into_iter().for_each(CommitterThread::end);
        for thread in self.threads.into_iter().chain(self.writers) {
            // Panics were caught and reported inside the thread.
            let _ = thread.join();
        }
    }

    fn tell(&self, control: Control, whom: impl Fn(&ThreadControl) -> bool) {
        for thread in self.controls.iter().filter(|c| whom(c)) {
            // A thread that is gone has reported why.
            let _ = thread.sender.send(control);
        }
    }

    fn spawn(&mut self, name: &str, reports: ReportSender, task: Task) -> Result<()> {
        let name: String = format!("{}/{} {name}", reports.subtask, reports.thread).replace('\0', " ");
        let run = move || {
            let mut task = task;
            let outcome = catch_unwind(AssertUnwindSafe(|| match &mut task {
                Task::Source(task) => task.run(),
                Task::Channel(task) => task.run(),
            }));
            // The report goes out before the task's channels close and its neighbours follow, so causes come first.
            reports.send(TaskReport::Left(outcome.unwrap_or_else(|panic| panicked(panic.as_ref()))));
            drop(task);
        };
        let thread = std::thread::Builder::new().name(name).spawn(run);
        self.threads.push(thread.map_err(|e| Error::io("a thread cannot be started", e))?);
        Ok(())
    }
}

fn panicked(panic: &(dyn Any + Send)) -> TaskResult {
    let text = panic.downcast_ref::<&str>().map(|t| t.to_string()).or_else(|| panic.downcast_ref::<String>().cloned());
    let text = text.unwrap_or_else(|| "without a message".into());
    Err(Stopped::Failed(Error::internal(format!("a task panicked, which is a bug of this program: {text}"))))
}

/// All channels: per link the senders, per task and subtask the receivers in order of ports.
fn channels(blueprint: &Blueprint<'_>) -> (Vec<LinkSenders>, Vec<Vec<Inputs>>) {
    let tasks = &blueprint.plan.tasks;
    let mut inputs: Vec<Vec<Inputs>> =
        tasks.iter().map(|task| (0..task.parallelism).map(|_| Vec::new()).collect()).collect();
    let mut links = Vec::with_capacity(blueprint.plan.links.len());
    for link in &blueprint.plan.links {
        let producers = tasks[link.from].parallelism;
        let mut senders: LinkSenders = (0..producers).map(|_| Vec::new()).collect();
        for (consumer, input) in inputs[link.to].iter_mut().enumerate() {
            for (producer, senders) in senders.iter_mut().enumerate() {
                if link.exchange == Exchange::Forward && producer != consumer {
                    continue;
                }
                let (sender, receiver) = bounded(blueprint.config.channel_capacity.max(1));
                senders.push(sender);
                input.push((link.port, receiver));
            }
        }
        links.push(senders);
    }
    (links, inputs)
}

/// The chain of one subtask, and its reader when it reads a source.
fn chain(
    blueprint: &Blueprint<'_>,
    task: usize,
    subtask: usize,
    opened: &mut [Vec<OpenNode>],
    ledgers: &HashMap<usize, Ledger>,
    links: &mut [LinkSenders],
) -> Result<(Chain, Option<Box<dyn SourceReader>>)> {
    let mut reader = None;
    let mut nodes = Vec::new();
    for planned in &blueprint.plan.tasks[task].nodes {
        let open = opened[planned.id].pop().ok_or_else(|| Error::internal("a subtask was not opened"))?;
        let body = match open {
            OpenNode::Source(source) => {
                reader = Some(source);
                Body::Source
            }
            OpenNode::Operator(operator) => Body::Operator(operator),
            OpenNode::Sink(sink) => Body::Sink(sink, ledgers.get(&planned.id).cloned().unwrap_or_default()),
        };
        let writer = |link: &usize| {
            let channels = std::mem::take(&mut links[*link][subtask]);
            Writer::new(blueprint.plan.links[*link].exchange.clone(), channels)
        };
        let writers = planned.links.iter().map(writer).collect();
        let uid = blueprint.dataflow.nodes[planned.id].uid.clone();
        let metrics = blueprint.metrics.node(planned.id);
        nodes.push(ChainNode::new(uid, body, planned.children.clone(), writers, metrics));
    }
    Ok((Chain::new(nodes, blueprint.config.is_per_row(), blueprint.config.clock.clone()), reader))
}

fn source_task(
    blueprint: &Blueprint<'_>,
    head: usize,
    subtask: usize,
    reader: Box<dyn SourceReader>,
    context: TaskContext,
) -> Result<Task> {
    let node = &blueprint.dataflow.nodes[head];
    let NodeKind::Source(source) = &node.kind else {
        return Err(Error::internal("a reader belongs to a source"));
    };
    let parts = SourceParts {
        uid: node.uid.clone(),
        reader,
        project: source.project.clone(),
        schema: node.schema.clone(),
        strategy: source.watermark.clone(),
        idle_timeout: blueprint.config.idle_timeout,
        watermark_interval: blueprint.config.auto_watermark_interval,
        batch_rows: blueprint.config.batch_rows.max(1),
        metrics: blueprint.metrics.source(head, subtask),
    };
    Ok(Task::Source(Box::new(SourceTask::new(context, parts))))
}

fn channel_task(blueprint: &Blueprint<'_>, context: TaskContext, inputs: Inputs) -> Task {
    let (ports, channels): (Vec<usize>, Vec<Receiver<Message>>) = inputs.into_iter().unzip();
    let gate = Gate::new(&ports, blueprint.config.checkpoint.mode == CheckpointMode::ExactlyOnce);
    Task::Channel(Box::new(ChannelTask::new(context, gate, channels, blueprint.config.batch_rows.max(1))))
}
