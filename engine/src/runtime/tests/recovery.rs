//! Crashes, restarts, restores: every row counts once.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::checkpoint::{CheckpointKind, Restored};
use crate::runtime::{CheckpointProgress, CheckpointRecord, NodeRole};

const KEYS: i64 = 10;
const SPLITS: usize = 4;
const ROWS: i64 = 2000;
const PER_KEY: i64 = SPLITS as i64 * ROWS / KEYS;

fn input(valve: &Arc<Valve>) -> VectorSource {
    VectorSource::new((0..SPLITS).map(|_| rows(ROWS, KEYS)).collect()).batches_of(7).behind(valve)
}

fn never() -> Arc<AtomicI64> {
    Arc::new(AtomicI64::new(i64::MAX))
}

/// Lets rows through in steps, and makes the job fail somewhere within each of them.
fn crash_and_count(parallelism: usize) {
    let dir = tempfile::tempdir().unwrap();
    let mut random = StdRng::seed_from_u64(parallelism as u64);
    let (valve, trip, target) = (Valve::at(0), never(), RecordingTarget::new());
    let job = Job::start(counting(input(&valve), &trip, parallelism, &target), config(Some(dir.path()))).unwrap();
    let step = ROWS as usize / 5;
    for part in 1..=5 {
        let restarts = job.status().restarts;
        let rows = SPLITS * step;
        trip.store(random.random_range(1..=rows as i64), Ordering::SeqCst);
        valve.set(part * step);
        until("the job has crashed", || job.status().restarts > restarts);
        assert!(target.wait_for_rows(part * rows, PATIENCE), "part {part} becomes visible");
    }
    let summary = wait(&job).unwrap();
    assert_eq!((summary.state, summary.restarts), (JobState::Finished, 5));
    assert_counted_once(&target, KEYS, PER_KEY);
    let resumed = job.drain_events().iter().filter(|e| matches!(e, JobEvent::Resumed(_))).count();
    assert!(resumed >= 4, "restarts begin at checkpoints, {resumed} did");
}

#[test]
fn every_row_counts_once_through_crashes_at_parallelism_1() {
    crash_and_count(1);
}

#[test]
fn every_row_counts_once_through_crashes_at_parallelism_2() {
    crash_and_count(2);
}

#[test]
fn every_row_counts_once_through_crashes_at_parallelism_4() {
    crash_and_count(4);
}

fn run_half(dir: &Path, parallelism: usize, valve: &Arc<Valve>, target: &RecordingTarget) -> JobSummary {
    valve.set(ROWS as usize / 2);
    let job = Job::start(counting(input(valve), &never(), parallelism, target), config(Some(dir))).unwrap();
    assert!(target.wait_for_rows(SPLITS * ROWS as usize / 2, PATIENCE));
    job.stop(StopMode::Checkpoint);
    let summary = wait(&job).unwrap();
    assert_eq!((summary.state, summary.stopped), (JobState::Finished, true));
    summary
}

#[test]
fn a_stopped_job_is_resumed_by_name_at_another_parallelism() {
    for (before, after) in [(2, 3), (3, 2), (1, 4)] {
        let dir = tempfile::tempdir().unwrap();
        let (valve, target) = (Valve::at(0), RecordingTarget::new());
        let stopped = run_half(dir.path(), before, &valve, &target);
        valve.open();
        let flow = counting(input(&valve), &never(), after, &target);
        let job = Job::start(flow, config(Some(dir.path()))).unwrap();
        assert_eq!(job.status().restored_from.unwrap().epoch, stopped.last_checkpoint.unwrap().epoch);
        assert_eq!(wait(&job).unwrap().state, JobState::Finished);
        assert_counted_once(&target, KEYS, PER_KEY);
    }
}

#[test]
fn a_job_starts_from_a_named_path_and_fresh_starts_empty() {
    let dir = tempfile::tempdir().unwrap();
    let (valve, target) = (Valve::at(0), RecordingTarget::new());
    let stopped = run_half(dir.path(), 2, &valve, &target);
    valve.open();
    let path = stopped.last_checkpoint.unwrap().path.unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let rest = RecordingTarget::new();
    let from = JobConfig { restore: Restore::Path(path), ..config(Some(elsewhere.path())) };
    let job = Job::start(counting(input(&valve), &never(), 2, &rest), from).unwrap();
    wait(&job).unwrap();
    assert_eq!(rest.row_count() as i64, SPLITS as i64 * ROWS / 2, "only what the checkpoint has not seen");
    let whole = RecordingTarget::new();
    let fresh = JobConfig { restore: Restore::Fresh, ..config(Some(dir.path())) };
    let job = Job::start(counting(input(&valve), &never(), 2, &whole), fresh).unwrap();
    wait(&job).unwrap();
    assert_counted_once(&whole, KEYS, PER_KEY);
}

#[test]
fn a_finished_job_leaves_nothing_to_resume() {
    let dir = tempfile::tempdir().unwrap();
    let valve = Valve::at(usize::MAX);
    for _ in 0..2 {
        let target = RecordingTarget::new();
        let job = Job::start(counting(input(&valve), &never(), 2, &target), config(Some(dir.path()))).unwrap();
        assert_eq!(job.status().restored_from, None);
        wait(&job).unwrap();
        assert_counted_once(&target, KEYS, PER_KEY);
    }
}

#[test]
fn a_cancelled_job_is_resumed_from_its_last_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let (valve, target) = (Valve::at(300), RecordingTarget::new());
    let job = Job::start(counting(input(&valve), &never(), 2, &target), config(Some(dir.path()))).unwrap();
    assert!(target.wait_for_rows(SPLITS * 300, PATIENCE));
    valve.set(600);
    job.stop(StopMode::Cancel);
    assert_eq!(wait(&job).unwrap().state, JobState::Canceled);
    valve.open();
    let job = Job::start(counting(input(&valve), &never(), 2, &target), config(Some(dir.path()))).unwrap();
    assert!(job.status().restored_from.is_some());
    wait(&job).unwrap();
    assert_counted_once(&target, KEYS, PER_KEY);
}

#[test]
fn a_checkpoint_of_another_query_is_refused_unless_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let (valve, target) = (Valve::at(0), RecordingTarget::new());
    run_half(dir.path(), 1, &valve, &target);
    valve.open();
    let other = || {
        let mut flow = Dataflow::default();
        let read = source(&mut flow, "source", input(&valve), true, 1);
        sink(&mut flow, read, target.sink());
        flow
    };
    let error = Job::start(other(), config(Some(dir.path()))).unwrap_err();
    assert!(error.to_string().contains("operator 'count'"), "{error}");
    assert!(error.hint().unwrap().contains("ignore-unclaimed-state"));
    let allowed = JobConfig { ignore_unclaimed_state: true, ..config(Some(dir.path())) };
    wait(&Job::start(other(), allowed).unwrap()).unwrap();
}

#[test]
fn a_target_that_lost_its_marker_is_never_guessed_about() {
    let dir = tempfile::tempdir().unwrap();
    let (valve, target) = (Valve::at(0), RecordingTarget::new());
    run_half(dir.path(), 2, &valve, &target);
    valve.open();
    target.lose_markers();
    let flow = || counting(input(&valve), &never(), 2, &target);
    let error = Job::start(flow(), config(Some(dir.path()))).unwrap_err();
    assert!(error.to_string().contains("no longer has the marker"), "{error}");
    assert!(error.hint().unwrap().contains("allow-duplicates"));
    let allowed = JobConfig { allow_duplicates: true, ..config(Some(dir.path())) };
    wait(&Job::start(flow(), allowed).unwrap()).unwrap();
    assert_counted_once(&target, KEYS, PER_KEY);
}

#[test]
fn a_job_that_is_taken_over_fails_and_writes_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let (valve, target) = (Valve::at(300), RecordingTarget::new());
    let flow = || counting(input(&valve), &never(), 2, &target);
    let first = Job::start(flow(), config(Some(dir.path()))).unwrap();
    assert!(target.wait_for_rows(SPLITS * 300, PATIENCE));
    let refused = Job::start(flow(), config(Some(dir.path()))).unwrap_err();
    assert!(refused.to_string().contains("in use by process"), "{refused}");
    assert!(refused.hint().unwrap().contains("--takeover"));
    let second = Job::start(flow(), JobConfig { takeover: true, ..config(Some(dir.path())) }).unwrap();
    valve.open();
    let lost = wait(&first).unwrap_err();
    assert!(lost.to_string().contains("fence"), "{lost}");
    assert_eq!(wait(&second).unwrap().state, JobState::Finished);
    assert_counted_once(&target, KEYS, PER_KEY);
}

#[test]
fn a_disk_that_refuses_fails_checkpoints_but_not_the_job() {
    let dir = tempfile::tempdir().unwrap();
    let (valve, target) = (Valve::at(100), RecordingTarget::new());
    let job = Job::start(counting(input(&valve), &never(), 2, &target), config(Some(dir.path()))).unwrap();
    until("a checkpoint is complete", || job.status().last_checkpoint.is_some());
    let folder = job.status().last_checkpoint.unwrap().path.unwrap().parent().unwrap().to_path_buf();
    let last = job.status().last_checkpoint.unwrap().epoch.0;
    // Files where the next checkpoints want their folders.
    let blocked: Vec<_> = (last + 1..last + 60).map(|n| folder.join(format!("chk-{n}"))).collect();
    blocked.iter().for_each(|path| drop(std::fs::write(path, "full")));
    valve.set(200);
    until("new rows are read", || job.status().rows_read == SPLITS as u64 * 200);
    let failed = job.status().failed_checkpoints;
    // The second one certainly began behind those rows, which its sinks have prepared in vain.
    until("checkpoints have failed", || job.status().failed_checkpoints > failed + 1);
    blocked.iter().for_each(|path| drop(std::fs::remove_file(path)));
    let complete = job.status().last_checkpoint.unwrap().epoch;
    until("a later one is complete", || job.status().last_checkpoint.unwrap().epoch > complete);
    assert_eq!(job.status().restarts, 0);
    valve.open();
    assert_eq!(wait(&job).unwrap().state, JobState::Finished);
    assert_counted_once(&target, KEYS, PER_KEY);
}

#[test]
fn a_checkpoint_names_positions_states_and_logs() {
    let dir = tempfile::tempdir().unwrap();
    let (valve, target) = (Valve::at(0), RecordingTarget::new());
    let summary = run_half(dir.path(), 2, &valve, &target);
    let read = Restored::read(&summary.last_checkpoint.unwrap().path.unwrap()).unwrap();
    let source = read.operator(&Uid("source".into())).unwrap();
    assert_eq!(source.splits.len(), SPLITS);
    assert!(source.splits.iter().all(|s| s.position["row"] == ROWS / 2), "{:?}", source.splits);
    let count = read.operator(&Uid("count".into())).unwrap();
    assert_eq!((count.states[0].name.as_str(), count.parallelism), ("counts", 2));
    assert_eq!(count.states[0].files.iter().map(|f| f.rows).sum::<u64>(), KEYS as u64);
    assert!(read.operator(&Uid("trip".into())).is_none(), "what remembers nothing is not listed");
}

#[test]
fn the_outside_sees_graph_splits_and_checkpoints() {
    let dir = tempfile::tempdir().unwrap();
    let (valve, target) = (Valve::at(300), RecordingTarget::new());
    let job = Job::start(counting(input(&valve), &never(), 2, &target), config(Some(dir.path()))).unwrap();
    assert!(target.wait_for_rows(SPLITS * 300, PATIENCE));
    let nodes = job.status().nodes;
    assert_eq!(nodes.iter().filter(|n| n.role == NodeRole::Source).count(), 1);
    let sink = nodes.iter().find(|n| n.role == NodeRole::Sink).unwrap();
    assert!(!sink.inputs.is_empty() && sink.inputs.iter().all(|input| *input < nodes.len()), "{nodes:?}");
    until("every split says how far behind it is", || {
        let splits = job.splits();
        splits.len() == SPLITS && splits.iter().all(|s| s.lag_rows == Some(ROWS as u64 - 300) && !s.ended)
    });
    let done = |record: &CheckpointRecord| matches!(&record.progress, CheckpointProgress::Completed { .. });
    until("two checkpoints are complete", || job.checkpoints().iter().filter(|r| done(r)).count() >= 2);
    valve.open();
    wait(&job).unwrap();
    let records = job.checkpoints();
    assert!(records.windows(2).all(|pair| pair[0].epoch < pair[1].epoch), "{records:?}");
    assert_eq!(records.last().unwrap().kind, CheckpointKind::Stop);
    assert_eq!(job.status().completed_checkpoints, records.iter().filter(|r| done(r)).count() as u64);
}

#[test]
fn what_was_decided_but_not_applied_is_applied_once_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (valve, target) = (Valve::at(500), RecordingTarget::new());
    let flow = |parallelism| counting(input(&valve), &never(), parallelism, &target);
    target.fail_applies(1);
    let job = Job::start(flow(2), config(Some(dir.path()))).unwrap();
    assert!(target.wait_for_rows(SPLITS * 500, PATIENCE));
    assert_eq!(job.status().restarts, 1);
    job.stop(StopMode::Cancel);
    wait(&job).unwrap();
    // The next failure ends the process, so to say; another number of subtasks takes over.
    target.fail_applies(1);
    valve.set(1000);
    let once = JobConfig { restart: RestartStrategy::None, ..config(Some(dir.path())) };
    wait(&Job::start(flow(2), once).unwrap()).unwrap_err();
    valve.open();
    wait(&Job::start(flow(3), config(Some(dir.path()))).unwrap()).unwrap();
    assert_counted_once(&target, KEYS, PER_KEY);
}

#[test]
fn rows_that_overtake_a_slow_input_are_not_in_the_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let (valve, trip, target) = (Valve::at(10_000), never(), RecordingTarget::new());
    let mut flow = Dataflow::default();
    let fast =
        VectorSource::new(vec![rows(20_000, KEYS)]).batches_of(10).slowed_by(Duration::from_micros(100)).behind(&valve);
    let slow = VectorSource::new(vec![rows(200, KEYS)]).batches_of(10).slowed_by(Duration::from_millis(25));
    let left = source(&mut flow, "fast", fast, true, 1);
    let right = source(&mut flow, "slow", slow, true, 1);
    let counted = operator(&mut flow, left, "count", Exchange::Hash(vec![0]), 1, CountByKey::default);
    flow.connect(right, counted, 1, Exchange::Hash(vec![0]));
    let shared = trip.clone();
    let last = operator(&mut flow, counted, "trip", Exchange::Forward, 1, move || Trip(shared.clone(), retriable));
    sink(&mut flow, last, target.sink());
    let job = Job::start(flow, config(Some(dir.path()))).unwrap();
    until("a checkpoint is complete", || job.status().last_checkpoint.is_some());
    trip.store(500, Ordering::SeqCst);
    valve.open();
    assert_eq!(wait(&job).unwrap().restarts, 1);
    assert_counted_once(&target, KEYS, 20_200 / KEYS);
}
