//! Views: what readers see of a job's result, over crashes, restarts and rescaling.

use super::*;
use crate::connector::SinkFactory;
use crate::relation::{Relation, RelationKind, RelationSinkFactory, Version};

const KEYS: i64 = 10;
const SPLITS: usize = 4;
const ROWS: i64 = 2000;

fn input(valve: &Arc<Valve>) -> VectorSource {
    VectorSource::new((0..SPLITS).map(|_| rows(ROWS, KEYS)).collect()).batches_of(7).behind(valve)
}

fn view(keyed: bool) -> Arc<Relation> {
    Arc::new(Relation::new(RelationKind::View, "counts", schema(), keyed.then(|| vec![0])).unwrap())
}

/// Source, trip, hash, count, view. Without a key the view holds every count that ever was.
fn counting_into(relation: &Arc<Relation>, valve: &Arc<Valve>, trip: &Arc<AtomicI64>, parallelism: usize) -> Dataflow {
    let mut flow = Dataflow::default();
    let read = source(&mut flow, "source", input(valve), true, parallelism);
    let trip = trip.clone();
    let tripped =
        operator(&mut flow, read, "trip", Exchange::Forward, parallelism, move || Trip(trip.clone(), retriable));
    let counted = operator(&mut flow, tripped, "count", Exchange::Hash(vec![0]), parallelism, CountByKey::default);
    let factory: Arc<dyn SinkFactory> = Arc::new(RelationSinkFactory::new(relation.clone()));
    let view = flow.add(node("view", NodeKind::Sink(factory), parallelism, schema()));
    flow.connect(counted, view, 0, Exchange::Hash(relation.spread_by()));
    flow
}

fn never() -> Arc<AtomicI64> {
    Arc::new(AtomicI64::new(i64::MAX))
}

/// Key and count of every row.
fn counts(version: &Version) -> Vec<(i64, i64)> {
    let mut rows = Vec::new();
    for batch in version.batches(None, 1000) {
        let batch = batch.unwrap();
        let column = |n: usize| batch.column(n).as_primitive::<Int64Type>().values().to_vec();
        rows.extend(column(0).into_iter().zip(column(1)));
    }
    rows.sort_unstable();
    rows
}

/// Source rows that a version has counted.
fn counted(version: &Version) -> i64 {
    let counts = counts(version);
    match version.key() {
        Some(_) => counts.iter().map(|(_, count)| count).sum(),
        None => counts.len() as i64,
    }
}

fn wait_until_counted(view: &Relation, rows: i64) -> Version {
    let mut seen = view.snapshot(PATIENCE).unwrap();
    while counted(&seen) < rows {
        seen = view.after(Some(seen.number()), PATIENCE).unwrap().expect("the view goes on");
    }
    assert_eq!(counted(&seen), rows, "no row counts twice");
    seen
}

/// Lets the job crash in every part, while somebody reads all the time.
fn crash_and_read(keyed: bool, parallelism: usize) {
    let dir = tempfile::tempdir().unwrap();
    let (valve, trip, view) = (Valve::at(0), never(), view(keyed));
    let job = Job::start(counting_into(&view, &valve, &trip, parallelism), config(Some(dir.path()))).unwrap();
    assert_eq!(view.snapshot(Duration::ZERO).unwrap().number(), 0, "a new view is empty and not recovering");
    let reader = {
        let (view, job) = (view.clone(), job.clone());
        std::thread::spawn(move || {
            let (mut number, mut rows, mut versions) = (0, 0, 0);
            while !job.status().state.is_terminal() {
                let version = view.snapshot(Duration::ZERO).unwrap();
                let now = counted(&version);
                assert!(version.number() >= number && now >= rows, "nothing that was seen goes back");
                versions += u64::from(version.number() > number);
                (number, rows) = (version.number(), now);
            }
            versions
        })
    };
    let step = ROWS / 5;
    for part in 1..=5 {
        let restarts = job.status().restarts;
        trip.store(SPLITS as i64 * step / 2, Ordering::SeqCst);
        valve.set((part * step) as usize);
        until("the job has crashed", || job.status().restarts > restarts);
        wait_until_counted(&view, SPLITS as i64 * step * part);
    }
    assert_eq!(wait(&job).unwrap().restarts, 5);
    assert!(reader.join().unwrap() > 0);
    let last = view.snapshot(Duration::ZERO).unwrap();
    let per_key = SPLITS as i64 * ROWS / KEYS;
    match keyed {
        true => assert_eq!(counts(&last), (0..KEYS).map(|key| (key, per_key)).collect::<Vec<_>>()),
        false => assert_eq!(
            counts(&last),
            (0..KEYS).flat_map(|key| (1..=per_key).map(move |n| (key, n))).collect::<Vec<_>>()
        ),
    }
}

#[test]
fn a_view_never_goes_back_through_crashes_at_parallelism_1() {
    crash_and_read(true, 1);
}

#[test]
fn a_view_never_goes_back_through_crashes_at_parallelism_3() {
    crash_and_read(true, 3);
}

#[test]
fn a_view_without_a_key_never_goes_back_through_crashes() {
    crash_and_read(false, 2);
}

#[test]
fn a_view_comes_back_at_another_parallelism_before_its_first_new_row() {
    for (keyed, before, after) in [(true, 2, 3), (true, 3, 1), (false, 2, 3), (false, 1, 4)] {
        let dir = tempfile::tempdir().unwrap();
        let (valve, first) = (Valve::at(ROWS as usize / 2), view(keyed));
        let job = Job::start(counting_into(&first, &valve, &never(), before), config(Some(dir.path()))).unwrap();
        let half = wait_until_counted(&first, SPLITS as i64 * ROWS / 2);
        job.stop(StopMode::Checkpoint);
        wait(&job).unwrap();
        // Another process, so to say: it knows nothing but the checkpoint, and its source gives nothing new.
        let second = view(keyed);
        let job = Job::start(counting_into(&second, &valve, &never(), after), config(Some(dir.path()))).unwrap();
        let restored = second.snapshot(Duration::ZERO).unwrap();
        assert_eq!(restored.number(), job.status().restored_from.unwrap().epoch.0);
        assert!(restored.number() >= half.number());
        assert_eq!(counts(&restored), counts(&half));
        valve.open();
        wait(&job).unwrap();
        wait_until_counted(&second, SPLITS as i64 * ROWS);
    }
}

#[test]
fn a_version_is_seen_only_when_its_checkpoint_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    let (valve, view) = (Valve::at(100), view(true));
    let job = Job::start(counting_into(&view, &valve, &never(), 2), config(Some(dir.path()))).unwrap();
    wait_until_counted(&view, SPLITS as i64 * 100);
    let folder = job.status().last_checkpoint.unwrap().path.unwrap().parent().unwrap().to_path_buf();
    let last = job.status().last_checkpoint.unwrap().epoch.0;
    // Files where the next checkpoints want their folders.
    let blocked: Vec<_> = (last + 2..last + 500).map(|n| folder.join(format!("chk-{n}"))).collect();
    blocked.iter().for_each(|path| drop(std::fs::write(path, "full")));
    let failed = job.status().failed_checkpoints;
    until("checkpoints fail", || job.status().failed_checkpoints > failed);
    valve.set(200);
    until("new rows are read", || job.status().rows_read == SPLITS as u64 * 200);
    let failed = job.status().failed_checkpoints;
    // The second one certainly began behind those rows.
    until("more checkpoints fail", || job.status().failed_checkpoints > failed + 1);
    assert_eq!(counted(&view.snapshot(Duration::ZERO).unwrap()), SPLITS as i64 * 100);
    blocked.iter().for_each(|path| drop(std::fs::remove_file(path)));
    // The rows of the epochs that were given up join the next one.
    wait_until_counted(&view, SPLITS as i64 * 200);
    job.stop(StopMode::Cancel);
    wait(&job).unwrap();
}
