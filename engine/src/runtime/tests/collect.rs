//! Results that the program reads itself.

use super::*;

fn select(
    input: VectorSource,
    bounded: bool,
    capacity: usize,
) -> (JobHandle, crossbeam_channel::Receiver<ChangelogBatch>) {
    let mut flow = Dataflow::default();
    let read = source(&mut flow, "source", input, bounded, 1);
    let hashed = operator(&mut flow, read, "pass", Exchange::Hash(vec![0]), 2, || Pass);
    let single = operator(&mut flow, hashed, "single", Exchange::Single, 1, || Pass);
    let (factory, results) = CollectSink::channel(capacity);
    sink(&mut flow, single, factory);
    (Job::start(flow, config(None)).unwrap(), results)
}

#[test]
fn all_rows_come_and_then_the_end() {
    let (job, results) = select(VectorSource::new(vec![rows(1000, 10)]).batches_of(10), true, 2);
    assert_eq!(results.iter().map(|b| b.len()).sum::<usize>(), 1000);
    assert_eq!(wait(&job).unwrap().state, JobState::Finished);
}

#[test]
fn rows_come_without_waiting_for_a_checkpoint() {
    let valve = Valve::at(1);
    let mut flow = Dataflow::default();
    let read = source(&mut flow, "source", VectorSource::new(vec![rows(10, 10)]).behind(&valve), true, 1);
    let (factory, results) = CollectSink::channel(2);
    sink(&mut flow, read, factory);
    let mut config = config(None);
    config.checkpoint.interval = None;
    let job = Job::start(flow, config).unwrap();
    assert_eq!(results.recv_timeout(PATIENCE).unwrap().len(), 1, "one row in, one row out");
    job.stop(StopMode::Checkpoint);
    assert_eq!(wait(&job).unwrap().state, JobState::Finished);
}

#[test]
fn a_reader_who_does_not_read_holds_the_job_back_and_can_cancel_it() {
    let (job, results) = select(VectorSource::new(vec![rows(100_000, 10)]).batches_of(10), true, 1);
    until("the job is held back", || {
        let before = job.status().rows_read;
        std::thread::park_timeout(Duration::from_millis(50));
        before > 0 && job.status().rows_read == before
    });
    assert!(job.status().rows_read < 10_000, "{} rows were read", job.status().rows_read);
    job.stop(StopMode::Cancel);
    assert_eq!(wait(&job).unwrap().state, JobState::Canceled);
    drop(results);
}

#[test]
fn a_reader_who_leaves_ends_the_job_quietly() {
    let valve = Valve::at(10);
    let (job, results) = select(VectorSource::new(vec![rows(1000, 10)]).unbounded().behind(&valve), false, 1);
    results.recv_timeout(PATIENCE).unwrap();
    drop(results);
    valve.open();
    assert_eq!(wait(&job).unwrap().state, JobState::Canceled);
}
