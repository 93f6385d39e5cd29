//! The sink of a view from attempt to attempt of its job.

use super::*;
use crate::connector::{Guard, Sink, SinkContext, SinkFactory};
use crate::dataflow::Subtask;
use crate::time::Epoch;

fn context(index: usize, parallelism: usize) -> SinkContext {
    let subtask = Subtask { index, parallelism };
    SinkContext { subtask, pipeline: "p".into(), sink: "v".into(), guard: Guard::open() }
}

fn opened(factory: &RelationSinkFactory, index: usize, parallelism: usize) -> Box<dyn Sink> {
    factory.open(&context(index, parallelism)).unwrap()
}

#[test]
fn what_an_attempt_has_staged_is_gone_with_it() {
    let view = keyed();
    let factory = RelationSinkFactory::new(view.clone());
    drop(factory.committer(&context(0, 2)).unwrap());
    for (index, row) in [(0, (Some("a"), 1, 1)), (1, (Some("b"), 2, 1))] {
        let mut sink = opened(&factory, index, 2);
        sink.write(&inserts(&[row])).unwrap();
        sink.prepare(Epoch(6)).unwrap();
    }
    let mut committer = factory.committer(&context(0, 1)).unwrap().unwrap();
    let mut sink = opened(&factory, 0, 1);
    sink.restored(Some(Epoch(5))).unwrap();
    sink.write(&inserts(&[(Some("c"), 3, 1)])).unwrap();
    sink.prepare(Epoch(6)).unwrap();
    committer.apply(Epoch(6), &[]).unwrap();
    assert_eq!(contents(&view.snapshot(NOW).unwrap()), [(Some("c".to_string()), 3, 1)]);
}

#[test]
fn a_restored_version_takes_nothing_back_that_was_seen() {
    let view = keyed();
    let mut later = view.shard();
    later.write(&inserts(&[(Some("a"), 1, 1)])).unwrap();
    view.publish(7, vec![later]);
    let factory = RelationSinkFactory::new(view.clone());
    drop(factory.committer(&context(0, 1)).unwrap());
    opened(&factory, 0, 1).restored(Some(Epoch(5))).unwrap();
    let seen = view.snapshot(NOW).unwrap();
    assert_eq!((seen.number(), seen.rows()), (7, 1));
}

#[test]
fn a_removal_of_a_row_that_was_replaced_leaves_the_other_one() {
    let (old, new) = ((Some("old"), 1, 1), (Some("new"), 1, 2));
    let changed = [changes(&[(RowKind::Insert, old), (RowKind::Insert, new), (RowKind::Delete, old)])];
    for (by_row, left) in [(true, 1), (false, 0)] {
        let view = keyed();
        let mut shard = view.shard().by_row(by_row);
        changed.iter().for_each(|batch| shard.write(batch).unwrap());
        view.publish(1, vec![shard]);
        assert_eq!(view.snapshot(NOW).unwrap().rows(), left, "by row: {by_row}");
    }
}
