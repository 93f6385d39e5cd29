//! Rows from sources to sinks: exchanges, failures, ends.

use super::*;

fn all(input: VectorSource, parallelism: usize, config: JobConfig) -> (RecordingTarget, JobSummary) {
    let target = RecordingTarget::new();
    let trip = Arc::new(AtomicI64::new(i64::MAX));
    let job = Job::start(counting(input, &trip, parallelism, &target), config).unwrap();
    let summary = wait(&job).unwrap();
    (target, summary)
}

#[test]
fn a_bounded_job_ends_with_every_row_at_any_parallelism() {
    for parallelism in [1, 2, 4] {
        let input = VectorSource::new((0..3).map(|_| rows(1000, 10)).collect());
        let (target, summary) = all(input, parallelism, config(None));
        assert_eq!((summary.state, summary.stopped), (JobState::Finished, false));
        assert_eq!((summary.rows_read, summary.rows_written), (3000, 3000));
        assert_counted_once(&target, 10, 300);
    }
}

#[test]
fn an_empty_source_ends_at_once() {
    let (target, summary) = all(VectorSource::new(vec![]), 2, config(None));
    assert_eq!((target.row_count(), summary.state), (0, JobState::Finished));
}

#[test]
fn a_job_without_interval_makes_its_rows_visible_at_the_end() {
    let mut config = config(None);
    config.checkpoint.interval = None;
    let (target, _) = all(VectorSource::new(vec![rows(100, 10)]), 2, config);
    assert_counted_once(&target, 10, 10);
}

#[test]
fn per_row_mode_gives_every_operator_single_rows() {
    struct OnlySingles;
    impl Operator for OnlySingles {
        fn on_batch(&mut self, _port: usize, batch: ChangelogBatch, out: &mut Output) -> Result<()> {
            assert_eq!(batch.len(), 1);
            // Several rows at once must reach the next operator one by one, too.
            out.emit(ChangelogBatch::concat(&[batch.clone(), batch])?);
            Ok(())
        }
    }
    for exchange in [Exchange::Forward, Exchange::Hash(vec![0])] {
        let mut flow = Dataflow::default();
        let read = source(&mut flow, "source", VectorSource::new(vec![rows(50, 5)]), true, 1);
        let first = operator(&mut flow, read, "first", Exchange::Forward, 1, || OnlySingles);
        let second = operator(&mut flow, first, "second", exchange, 1, || OnlySingles);
        let target = RecordingTarget::new();
        sink(&mut flow, second, target.sink());
        let job = Job::start(flow, JobConfig { auto_watermark_interval: Duration::ZERO, ..config(None) }).unwrap();
        wait(&job).unwrap();
        assert_eq!(target.row_count(), 200);
    }
}

#[test]
fn a_barrier_makes_operators_send_what_they_hold_back() {
    #[derive(Default)]
    struct Hoard(Vec<ChangelogBatch>);
    impl Operator for Hoard {
        fn on_batch(&mut self, _port: usize, batch: ChangelogBatch, _out: &mut Output) -> Result<()> {
            self.0.push(batch);
            Ok(())
        }

        fn flush(&mut self, out: &mut Output) -> Result<()> {
            std::mem::take(&mut self.0).into_iter().for_each(|batch| out.emit(batch));
            Ok(())
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let (mut flow, target) = (Dataflow::default(), RecordingTarget::new());
    let read = source(&mut flow, "source", VectorSource::new(vec![rows(100, 10)]).unbounded(), false, 1);
    let first = operator(&mut flow, read, "first", Exchange::Forward, 1, Hoard::default);
    let second = operator(&mut flow, first, "second", Exchange::Hash(vec![0]), 2, Hoard::default);
    sink(&mut flow, second, target.sink());
    let job = Job::start(flow, config(Some(dir.path()))).unwrap();
    assert!(target.wait_for_rows(100, PATIENCE), "one barrier brings rows through both operators");
    job.stop(StopMode::Checkpoint);
    wait(&job).unwrap();
    assert_eq!(target.row_count(), 100);
}

#[test]
fn two_inputs_are_aligned_and_both_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (valve, target) = (Valve::at(500), RecordingTarget::new());
    let flow = || {
        let mut flow = Dataflow::default();
        let behind = VectorSource::new(vec![rows(1000, 10)]).batches_of(9).behind(&valve);
        let left = source(&mut flow, "left", behind.clone(), true, 1);
        let right = source(&mut flow, "right", behind.batches_of(2), true, 1);
        let union = operator(&mut flow, left, "union", Exchange::Hash(vec![0]), 2, CountByKey::default);
        flow.connect(right, union, 1, Exchange::Hash(vec![0]));
        sink(&mut flow, union, target.sink());
        flow
    };
    let job = Job::start(flow(), config(Some(dir.path()))).unwrap();
    assert!(target.wait_for_rows(1000, PATIENCE));
    job.stop(StopMode::Checkpoint);
    wait(&job).unwrap();
    valve.open();
    wait(&Job::start(flow(), config(Some(dir.path()))).unwrap()).unwrap();
    assert_counted_once(&target, 10, 200);
}

#[test]
fn several_consumers_of_one_node_get_all_rows() {
    let mut flow = Dataflow::default();
    let read = source(&mut flow, "source", VectorSource::new(vec![rows(100, 10)]), true, 2);
    let fused = operator(&mut flow, read, "fused", Exchange::Forward, 2, || Pass);
    let hashed = operator(&mut flow, read, "hashed", Exchange::Hash(vec![0]), 3, || Pass);
    let everywhere = operator(&mut flow, read, "everywhere", Exchange::Broadcast, 3, || Pass);
    let targets: Vec<RecordingTarget> = (0..3).map(|_| RecordingTarget::new()).collect();
    for (from, target) in [fused, hashed, everywhere].into_iter().zip(&targets) {
        let id = sink(&mut flow, from, target.sink());
        flow.nodes[id].uid = Uid(format!("sink {from}"));
    }
    wait(&Job::start(flow, config(None)).unwrap()).unwrap();
    assert_eq!(targets.iter().map(RecordingTarget::row_count).collect::<Vec<_>>(), [100, 100, 300]);
}

fn failing(error: fn() -> Error, dir: Option<&Path>) -> (JobHandle, Error) {
    let trip = Arc::new(AtomicI64::new(50));
    let mut flow = Dataflow::default();
    let read = source(&mut flow, "source", VectorSource::new(vec![rows(100, 10)]).unbounded(), false, 1);
    let tripped = operator(&mut flow, read, "trip", Exchange::Hash(vec![0]), 2, move || Trip(trip.clone(), error));
    let last = operator(&mut flow, tripped, "last", Exchange::Hash(vec![1]), 2, || Pass);
    sink(&mut flow, last, RecordingTarget::new().sink());
    let job = Job::start(flow, config(dir)).unwrap();
    let error = wait(&job).unwrap_err();
    (job, error)
}

#[test]
fn bad_data_fails_the_job_at_once_with_its_own_error() {
    let dir = tempfile::tempdir().unwrap();
    let (job, error) = failing(|| Error::data("Division by zero").with_hint("do not"), Some(dir.path()));
    assert_eq!((error.to_string().as_str(), error.hint()), ("Division by zero", Some("do not")));
    assert_eq!((job.status().state, job.status().restarts), (JobState::Failed, 0));
    assert_eq!(job.wait().unwrap_err().to_string(), "Division by zero", "everybody who waits gets it");
}

#[test]
fn without_checkpoints_a_failure_is_the_end() {
    let (job, error) = failing(retriable, None);
    assert_eq!((error.to_string().as_str(), job.status().restarts), ("test: boom", 0));
}

#[test]
fn a_panic_is_an_error_of_the_job() {
    let (_, error) = failing(|| panic!("impossible"), None);
    assert!(error.to_string().contains("panicked") && error.to_string().contains("impossible"), "{error}");
}

#[test]
fn what_cannot_be_opened_is_an_error_of_start() {
    struct Closed;
    impl SourceFactory for Closed {
        fn open(
            &self,
            _subtask: crate::dataflow::Subtask,
            _restored: Option<&[crate::connector::SplitPosition]>,
        ) -> Result<Box<dyn crate::connector::SourceReader>> {
            Err(Error::refused("test", "no such topic", "create it"))
        }
    }
    let mut flow = Dataflow::default();
    let kind = SourceNode { factory: Arc::new(Closed), project: None, watermark: None, bounded: true };
    let read = flow.add(node("source", NodeKind::Source(kind), 1, schema()));
    sink(&mut flow, read, RecordingTarget::new().sink());
    assert_eq!(Job::start(flow, config(None)).unwrap_err().to_string(), "test: no such topic");
}
