//! What readers see while a relation changes.

use std::sync::atomic::{AtomicBool, Ordering};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::connector::{Polled, SourceFactory, SourceReader};
use crate::dataflow::Subtask;
use crate::state::key_group;
use crate::time::Epoch;

#[test]
fn a_relation_without_a_version_is_recovering_and_a_closed_one_is_gone() {
    let view = keyed();
    let error = view.snapshot(NOW).unwrap_err();
    assert_eq!((error.to_string().as_str(), error.sqlstate()), ("view 'v' is recovering", "55000"));
    view.publish(5, vec![view.shard()]);
    let (version, mut changes) = view.subscribe(NOW).unwrap();
    assert_eq!((version.number(), version.rows()), (5, 0));
    assert!(changes.next(NOW).unwrap().is_none());
    view.close("was dropped");
    assert_eq!(changes.next(NOW).unwrap_err().to_string(), "view 'v' was dropped");
    assert_eq!(view.snapshot(NOW).unwrap_err().to_string(), "view 'v' was dropped");
}

#[test]
fn a_subscriber_gets_the_net_changes_of_each_version() {
    let view = keyed();
    view.apply(&[inserts(&[(Some("a"), 1, 1), (Some("b"), 2, 1)])], 1).unwrap();
    let (_, mut subscription) = view.subscribe(NOW).unwrap();
    let first = [
        changes(&[(RowKind::Delete, (None, 1, 0)), (RowKind::Insert, (Some("a"), 1, 2))]),
        changes(&[(RowKind::Insert, (Some("c"), 3, 1)), (RowKind::Delete, (None, 3, 0))]),
        changes(&[(RowKind::Insert, (Some("b"), 2, 9)), (RowKind::Insert, (Some("b"), 2, 1))]),
    ];
    view.apply(&first, 2).unwrap();
    let step = subscription.next(NOW).unwrap().unwrap();
    assert_eq!((step.from, step.version), (1, 2));
    assert_eq!(spelled(&step.batches), ["-U a 1 1", "+U a 1 2"]);
    view.apply(&[changes(&[(RowKind::Delete, (None, 2, 0)), (RowKind::Insert, (None, 4, 4))])], 7).unwrap();
    let mut lines = spelled(&subscription.next(NOW).unwrap().unwrap().batches);
    lines.sort();
    assert_eq!(lines, ["+I - 4 4", "-D b 2 1"]);
    view.apply(&[], 8).unwrap();
    let nothing = subscription.next(NOW).unwrap().unwrap();
    assert_eq!((nothing.version, nothing.batches.len()), (8, 0));
}

#[test]
fn copies_of_a_row_come_and_go_one_by_one() {
    let view = counted();
    let a: Row = (Some("a"), 1, 1);
    view.apply(&[inserts(&[a, a, a])], 1).unwrap();
    let (_, mut subscription) = view.subscribe(NOW).unwrap();
    view.apply(&[changes(&[(RowKind::Delete, a), (RowKind::Delete, a)])], 2).unwrap();
    assert_eq!(spelled(&subscription.next(NOW).unwrap().unwrap().batches), ["-D a 1 1"; 2]);
    view.apply(&[inserts(&[a])], 3).unwrap();
    assert_eq!(spelled(&subscription.next(NOW).unwrap().unwrap().batches), ["+I a 1 1"]);
    view.apply(&[changes(&[(RowKind::Delete, a), (RowKind::Delete, a)])], 4).unwrap();
    assert_eq!(spelled(&subscription.next(NOW).unwrap().unwrap().batches), ["-D a 1 1"; 2]);
    assert_eq!(view.snapshot(NOW).unwrap().rows(), 0);
}

#[test]
fn a_reader_says_which_version_it_has_read_and_which_is_published() {
    let view = keyed();
    let factory = RelationSourceFactory::new(view.clone(), None);
    let mut reader = factory.open(Subtask { index: 0, parallelism: 1 }, None).unwrap();
    let stands = |reader: &dyn SourceReader| {
        let progress = reader.progress().remove(0);
        (progress.position, progress.end, progress.lag_rows)
    };
    assert_eq!(stands(reader.as_ref()), (0, None, None));
    view.apply(&[inserts(&[(Some("a"), 1, 1)])], 4).unwrap();
    assert_eq!(stands(reader.as_ref()), (0, Some(4), None));
    assert!(matches!(reader.poll(100, NOW).unwrap(), Polled::Rows { .. }));
    assert_eq!(stands(reader.as_ref()), (4, Some(4), Some(0)));
    view.apply(&[inserts(&[(Some("b"), 2, 1)])], 9).unwrap();
    assert_eq!(stands(reader.as_ref()), (4, Some(9), None));
    // More than one batch: there is something to read as long as not all of it was given.
    let many: Vec<Row> = (0..20_000).map(|id| (None, id, 1)).collect();
    view.apply(&[inserts(&many)], 10).unwrap();
    assert!(matches!(reader.poll(100, NOW).unwrap(), Polled::Rows { .. }));
    assert_eq!(stands(reader.as_ref()), (10, Some(10), None));
    while !reader.is_between() {
        assert!(matches!(reader.poll(100, NOW).unwrap(), Polled::Rows { .. }));
    }
    assert_eq!(stands(reader.as_ref()), (10, Some(10), Some(0)));
}

#[test]
fn a_slow_subscriber_gets_several_versions_in_one_step() {
    let view = keyed();
    view.apply(&[], 1).unwrap();
    let (_, mut slow) = view.subscribe(NOW).unwrap();
    for n in 0..1000 {
        view.apply(&[inserts(&[(Some("x"), n % 10, n)])], n as u64 + 2).unwrap();
    }
    let step = slow.next(NOW).unwrap().unwrap();
    assert_eq!((step.from, step.version), (1, 1001));
    let mut lines = spelled(&step.batches);
    lines.sort();
    assert_eq!(lines, (0..10).map(|n| format!("+I x {n} {}", 990 + n)).collect::<Vec<_>>());
    assert!(slow.next(NOW).unwrap().is_none());
}

/// Random changes, given to a number of shards that changes too: what a subscriber adds up is what is there.
#[test]
fn changes_add_up_whatever_the_shards() {
    let mut random = StdRng::seed_from_u64(11);
    for view in [keyed(), counted()] {
        view.publish(0, vec![view.shard()]);
        let (_, mut subscription) = view.subscribe(NOW).unwrap();
        let mut shards = vec![view.shard()];
        let mut copy: BTreeMap<(Option<String>, i64, i64), i64> = BTreeMap::new();
        for number in 1..=80 {
            if number % 7 == 0 {
                shards = resharded(&view, &shards, 1 + random.random_range(0..4));
            }
            let rows: Vec<Row> = (0..random.random_range(0..300))
                .map(|_| (None, random.random_range(0..500), random.random_range(0..3)))
                .collect();
            let parts = key_group::split(&inserts(&rows), &view.spread_by(), shards.len()).unwrap();
            shards.iter_mut().zip(parts).for_each(|(shard, part)| shard.write(&part).unwrap());
            view.publish(number, shards.clone());
            if random.random_bool(0.3) {
                continue;
            }
            let step = subscription.next(NOW).unwrap().unwrap();
            for batch in step.batches.iter() {
                for (row, values) in read([batch.rows().clone()]).into_iter().enumerate() {
                    let sign = if batch.kind(row).is_addition() { 1 } else { -1 };
                    let copies = copy.entry(values).or_default();
                    *copies += sign;
                    assert!(*copies >= 0 || view.key().is_some(), "nothing is taken back that was not there");
                }
            }
            copy.retain(|_, copies| *copies != 0);
            assert_eq!(counts(contents(subscription.seen())), copy, "version {number}");
        }
    }
}

/// The same rows in another number of shards, as a rescaled job restores them.
fn resharded(view: &Relation, shards: &[Shard], count: usize) -> Vec<Shard> {
    let mut fresh: Vec<Shard> = (0..count).map(|_| view.shard()).collect();
    for batch in shards.iter().flat_map(|shard| shard.clone().snapshot().unwrap()) {
        for (index, shard) in fresh.iter_mut().enumerate() {
            shard.restore(&key_group::retain_owned(&batch, &key_group::owned(index, count)).unwrap()).unwrap();
        }
    }
    fresh
}

#[test]
fn many_changes_come_in_batches_that_part_no_update() {
    let view = keyed();
    let rows = |n| (0..20_001).map(|id| (Some("x"), id, n)).collect::<Vec<Row>>();
    view.apply(&[inserts(&rows(1))], 1).unwrap();
    let (_, mut subscription) = view.subscribe(NOW).unwrap();
    view.apply(&[inserts(&rows(2))], 2).unwrap();
    let step = subscription.next(NOW).unwrap().unwrap();
    assert!(step.batches.len() >= 4 && step.batches.iter().all(|batch| batch.len() <= 8194));
    assert_eq!(step.batches.iter().map(ChangelogBatch::len).sum::<usize>(), 40_002);
    for batch in step.batches.iter() {
        assert_eq!((batch.kind(0), batch.kind(batch.len() - 1)), (RowKind::UpdateBefore, RowKind::UpdateAfter));
    }
}

#[test]
fn rows_of_another_shape_change_nothing() {
    let view = keyed();
    view.apply(&[inserts(&[(None, 1, 1)])], 1).unwrap();
    let narrow = batch(&[(None, 2, 2)]).project(&[0, 1]).unwrap();
    let good = inserts(&[(None, 3, 3)]);
    assert!(view.apply(&[good, ChangelogBatch::inserts(narrow)], 2).is_err());
    assert_eq!(view.snapshot(NOW).unwrap().number(), 1);
    view.apply(&[], 2).unwrap();
    assert_eq!(contents(&view.snapshot(NOW).unwrap()), [(None, 1, 1)]);
}

#[test]
fn numbers_only_grow() {
    let view = keyed();
    view.publish(5, vec![view.shard()]);
    view.publish(3, vec![view.shard()]);
    assert_eq!(view.snapshot(NOW).unwrap().number(), 6);
    view.publish_restored(6, vec![view.shard()]);
    view.publish_restored(9, vec![view.shard()]);
    assert_eq!(view.snapshot(NOW).unwrap().number(), 9);
}

/// One thread moves amounts between accounts, others read: no version ever shows half a transfer.
#[test]
fn readers_see_whole_versions_while_others_are_published() {
    const ACCOUNTS: i64 = 200;
    let view = keyed();
    view.publish(0, vec![view.shard(), view.shard()]);
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (view, done) = (view.clone(), done.clone());
            std::thread::spawn(move || {
                let (mut seen, mut last) = (0, 0);
                while !done.load(Ordering::Acquire) {
                    let version = view.snapshot(NOW).unwrap();
                    assert!(version.number() >= last, "versions never go back");
                    last = version.number();
                    let sum: i64 = read(version.batches(None, 33).map(Result::unwrap)).iter().map(|row| row.2).sum();
                    assert_eq!(sum, 0, "version {last}");
                    seen += 1;
                }
                seen
            })
        })
        .collect();
    let (mut subscription, mut total) = (view.subscribe(NOW).unwrap().1, 0);
    let mut shards = vec![view.shard(), view.shard()];
    let mut balance = vec![0_i64; ACCOUNTS as usize];
    let mut random = StdRng::seed_from_u64(3);
    for number in 1..=500 {
        for _ in 0..20 {
            let (from, to) = (random.random_range(0..ACCOUNTS), random.random_range(0..ACCOUNTS));
            balance[from as usize] -= 5;
            balance[to as usize] += 5;
            let rows = inserts(&[(None, from, balance[from as usize]), (None, to, balance[to as usize])]);
            for (shard, part) in shards.iter_mut().zip(key_group::split(&rows, &[1], 2).unwrap()) {
                shard.write(&part).unwrap();
            }
        }
        view.publish(number, shards.clone());
        for batch in subscription.next(NOW).unwrap().unwrap().batches.iter() {
            for (row, values) in read([batch.rows().clone()]).iter().enumerate() {
                total += if batch.kind(row).is_addition() { values.2 } else { -values.2 };
            }
        }
        assert_eq!(total, 0, "the changes of each version are whole too");
    }
    done.store(true, Ordering::Release);
    assert!(readers.into_iter().all(|reader| reader.join().unwrap() > 0));
}

#[test]
fn a_waiting_reader_is_woken_by_the_next_version() {
    let view = keyed();
    let waiting = {
        let view = view.clone();
        std::thread::spawn(move || {
            let (version, mut subscription) = view.subscribe(Duration::from_secs(30)).unwrap();
            let step = subscription.next(Duration::from_secs(30)).unwrap().unwrap();
            (version.number(), step.version)
        })
    };
    view.publish(1, vec![view.shard()]);
    while !waiting.is_finished() {
        let next = view.snapshot(NOW).unwrap().number() + 1;
        view.publish(next, vec![view.shard()]);
        std::thread::yield_now();
    }
    let (first, next) = waiting.join().unwrap();
    assert!(first >= 1 && next > first);
}

#[test]
fn a_version_says_what_it_contains_of_others() {
    let view = keyed();
    view.publish(3, vec![view.shard()]);
    assert!(!view.wait_until_contains("t", 1, NOW).unwrap());
    view.note_progress("t", Epoch(0), 10);
    view.note_progress("t", Epoch(4), 12);
    assert!(view.wait_until_contains("t", 10, NOW).unwrap());
    assert!(!view.wait_until_contains("t", 11, NOW).unwrap(), "epoch 4 is not published yet");
    view.publish(4, vec![view.shard()]);
    assert!(view.wait_until_contains("t", 12, NOW).unwrap());
    assert!(!view.wait_until_contains("t", 13, NOW).unwrap());
}
