//! Jobs that read a relation.

use super::*;
use crate::connector::{SinkFactory, SourceFactory};
use crate::relation::{Relation, RelationKind, RelationSinkFactory, RelationSourceFactory, Version};

const ROWS: i64 = 20_000;

fn relation(name: &str) -> Arc<Relation> {
    Arc::new(Relation::new(RelationKind::View, name, schema(), Some(vec![0])).unwrap())
}

/// `ROWS` rows, with `amount` in the even keys and the opposite in the odd ones.
fn balanced(amount: i64) -> ChangelogBatch {
    let key = Int64Array::from_iter_values(0..ROWS);
    let n = Int64Array::from_iter_values((0..ROWS).map(|key| if key % 2 == 0 { amount } else { -amount }));
    let at = TimestampMicrosecondArray::from_iter_values(0..ROWS);
    ChangelogBatch::inserts(RecordBatch::try_new(schema(), vec![Arc::new(key), Arc::new(n), Arc::new(at)]).unwrap())
}

/// Base, pass, top. At parallelism above 1 the rows of the base are spread.
fn copying(base: &Arc<Relation>, top: &Arc<Relation>, trip: &Arc<AtomicI64>, parallelism: usize) -> Dataflow {
    let mut flow = Dataflow::default();
    let factory: Arc<dyn SourceFactory> = Arc::new(RelationSourceFactory::new(base.clone(), Some(top.clone())));
    let kind = NodeKind::Source(SourceNode { factory, project: None, watermark: None, bounded: false });
    let read = flow.add(node("base", kind, 1, schema()));
    let trip = trip.clone();
    let pass = operator(&mut flow, read, "trip", Exchange::Forward, 1, move || Trip(trip.clone(), retriable));
    let factory: Arc<dyn SinkFactory> = Arc::new(RelationSinkFactory::new(top.clone()));
    let sink = flow.add(node("top", NodeKind::Sink(factory), parallelism, schema()));
    flow.connect(pass, sink, 0, Exchange::Hash(top.spread_by()));
    flow
}

fn never() -> Arc<AtomicI64> {
    Arc::new(AtomicI64::new(i64::MAX))
}

fn rows_of(version: &Version) -> BTreeMap<i64, i64> {
    let mut rows = BTreeMap::new();
    for batch in version.batches(None, 1000) {
        let batch = batch.unwrap();
        let column = |n: usize| batch.column(n).as_primitive::<Int64Type>().values().to_vec();
        for (key, n) in column(0).into_iter().zip(column(1)) {
            assert!(rows.insert(key, n).is_none(), "key {key} is there twice");
        }
    }
    rows
}

fn wait_until_same(base: &Relation, top: &Relation) {
    let wanted = base.snapshot(Duration::ZERO).unwrap();
    assert!(top.wait_until_contains(base.name(), wanted.number(), PATIENCE).unwrap(), "the top catches up");
    assert_eq!(rows_of(&top.snapshot(Duration::ZERO).unwrap()), rows_of(&wanted));
}

#[test]
fn a_version_of_the_base_is_never_seen_in_part() {
    let dir = tempfile::tempdir().unwrap();
    let (base, top, trip) = (relation("base"), relation("top"), never());
    base.apply(&[balanced(1)], 1).unwrap();
    let job = Job::start(copying(&base, &top, &trip, 2), config(Some(dir.path()))).unwrap();
    let reader = {
        let (top, job) = (top.clone(), job.clone());
        std::thread::spawn(move || {
            let mut seen = top.snapshot(PATIENCE).unwrap();
            let mut versions = 0;
            while !job.status().state.is_terminal() {
                let rows = rows_of(&seen);
                assert_eq!(rows.values().sum::<i64>(), 0, "version {}", seen.number());
                assert!(rows.len() as i64 == ROWS || rows.is_empty() && versions == 0);
                let Some(next) = top.after(Some(seen.number()), Duration::from_millis(50)).unwrap() else { continue };
                seen = next;
                versions += 1;
            }
            versions
        })
    };
    // Only a reader of version 1 sees a change of two rows per key, long enough to fail in.
    wait_until_same(&base, &top);
    for amount in 2..=8 {
        // Fails in the middle of a version of several batches.
        let restarts = job.status().restarts;
        trip.store(ROWS + 1, Ordering::SeqCst);
        base.apply(&[balanced(amount)], amount as u64).unwrap();
        until("the job has crashed", || job.status().restarts > restarts);
        wait_until_same(&base, &top);
    }
    job.stop(StopMode::Cancel);
    wait(&job).unwrap();
    assert!(reader.join().unwrap() > 0);
}

#[test]
fn what_changed_while_the_reader_was_away_is_found_by_comparison() {
    for (before, after) in [(1, 1), (2, 3)] {
        let dir = tempfile::tempdir().unwrap();
        let (base, top) = (relation("base"), relation("top"));
        base.apply(&[balanced(1)], 5).unwrap();
        let job = Job::start(copying(&base, &top, &never(), before), config(Some(dir.path()))).unwrap();
        wait_until_same(&base, &top);
        job.stop(StopMode::Checkpoint);
        wait(&job).unwrap();
        // Some keys go, some change, and one comes; then both are read by another process, so to say.
        let kept = balanced(2).slice(100, 500);
        let again = relation("base");
        again.apply(&[kept, ChangelogBatch::inserts(rows(1, 1))], 9).unwrap();
        let fresh = relation("top");
        let job = Job::start(copying(&again, &fresh, &never(), after), config(Some(dir.path()))).unwrap();
        let restored = fresh.snapshot(Duration::ZERO).unwrap();
        assert_eq!(restored.rows() as i64, ROWS, "the restored version comes first");
        wait_until_same(&again, &fresh);
        job.stop(StopMode::Cancel);
        wait(&job).unwrap();
    }
}

#[test]
fn a_reader_waits_for_a_base_that_recovers_and_fails_with_one_that_is_gone() {
    let (base, top) = (relation("base"), relation("top"));
    let job = Job::start(copying(&base, &top, &never(), 1), config(None)).unwrap();
    base.apply(&[balanced(3)], 1).unwrap();
    wait_until_same(&base, &top);
    base.close("was dropped");
    let error = wait(&job).unwrap_err();
    assert_eq!(error.to_string(), "view 'base' was dropped");
}
