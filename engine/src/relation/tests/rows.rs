//! What a shard and a version hold.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::state::key_group;

#[test]
fn a_key_has_its_last_row_and_a_removed_key_none() {
    let view = keyed();
    let mut shard = view.shard();
    shard.write(&inserts(&[(Some("a"), 1, 10), (None, 2, 20), (Some("c"), 3, 30)])).unwrap();
    let update = [(RowKind::UpdateBefore, (Some("a"), 1, 10)), (RowKind::UpdateAfter, (Some("A"), 1, 11))];
    shard.write(&changes(&update)).unwrap();
    // The other columns of a deletion say nothing, and a key that is not there is none.
    shard.write(&changes(&[(RowKind::Delete, (None, 2, 0)), (RowKind::Delete, (None, 9, 0))])).unwrap();
    view.publish(1, vec![shard]);
    let version = view.snapshot(NOW).unwrap();
    assert_eq!(contents(&version), [(Some("A".into()), 1, 11), (Some("c".into()), 3, 30)]);
    let found = read([version.get(&ids(&[3, 2, 1])).unwrap()]);
    assert_eq!(found, [(Some("c".into()), 3, 30), (Some("A".into()), 1, 11)], "in the order of the keys");
    assert!(version.get(&[]).is_err() && version.get(&[ids(&[1]), ids(&[1])].concat()).is_err());
}

#[test]
fn equal_rows_without_a_key_are_counted() {
    let view = counted();
    let mut shard = view.shard();
    let (a, b): (Row, Row) = ((Some("a"), 1, 1), (None, 2, 2));
    // The deletion of b overtakes its insertion.
    shard.write(&changes(&[(RowKind::Delete, b), (RowKind::Insert, a), (RowKind::Insert, a)])).unwrap();
    assert_eq!(shard.rows(), 2);
    shard.write(&changes(&[(RowKind::Insert, b), (RowKind::Insert, a), (RowKind::Delete, a)])).unwrap();
    view.publish(1, vec![shard]);
    let version = view.snapshot(NOW).unwrap();
    assert_eq!(contents(&version), [(Some("a".into()), 1, 1), (Some("a".into()), 1, 1)]);
    assert_eq!(version.get(batch(&[b, a]).columns()).unwrap().num_rows(), 2);
}

#[test]
fn many_copies_of_a_row_come_in_batches_of_the_wanted_size() {
    let view = counted();
    let mut shard = view.shard();
    (0..100).for_each(|_| shard.write(&inserts(&[(Some("a"), 1, 1); 10])).unwrap());
    shard.write(&inserts(&[(Some("b"), 2, 2)])).unwrap();
    view.publish(1, vec![shard]);
    let sizes: Vec<usize> =
        view.snapshot(NOW).unwrap().batches(None, 300).map(|batch| batch.unwrap().num_rows()).collect();
    assert_eq!(sizes, [300, 300, 300, 101]);
}

#[test]
fn a_relation_with_an_empty_key_has_one_row() {
    let view = Relation::new(RelationKind::View, "total", schema(), Some(vec![])).unwrap();
    let mut shard = view.shard();
    shard.write(&inserts(&[(None, 1, 1), (None, 2, 2)])).unwrap();
    view.publish(1, vec![shard.clone()]);
    assert_eq!(contents(&view.snapshot(NOW).unwrap()), [(None, 2, 2)]);
    assert_eq!(view.snapshot(NOW).unwrap().get(&[]).unwrap().num_rows(), 1);
    shard.write(&changes(&[(RowKind::Delete, (None, 2, 2))])).unwrap();
    view.publish(2, vec![shard]);
    assert_eq!(view.snapshot(NOW).unwrap().get(&[]).unwrap().num_rows(), 0);
}

#[test]
fn columns_are_projected() {
    let view = keyed();
    view.apply(&[inserts(&[(Some("a"), 1, 10)])], 1).unwrap();
    let version = view.snapshot(NOW).unwrap();
    let batch = version.batches(Some(vec![2, 1]), 10).next().unwrap().unwrap();
    assert_eq!(batch.schema().fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>(), ["n", "id"]);
    assert_eq!(batch.column(0).as_primitive::<Int64Type>().values(), &[10]);
    let none = version.batches(Some(vec![]), 10).next().unwrap().unwrap();
    assert_eq!((none.num_rows(), none.num_columns()), (1, 0));
}

#[test]
fn a_frozen_version_stays_as_it_was_while_its_shard_grows_and_shrinks() {
    let mut random = StdRng::seed_from_u64(7);
    for view in [keyed(), counted()] {
        let is_keyed = view.key().is_some();
        let mut shard = view.shard();
        let mut model: BTreeMap<(i64, i64), i64> = BTreeMap::new();
        let mut kept = Vec::new();
        for step in 1..=60_u64 {
            let mut steps = Vec::new();
            for _ in 0..random.random_range(0..400) {
                let (id, n) = (random.random_range(0..2000), random.random_range(0..3));
                let delete = random.random_bool(if step < 30 { 0.2 } else { 0.7 });
                let present = model.get(&(id, n)).copied().unwrap_or(0);
                if is_keyed {
                    model.retain(|(other, _), _| *other != id);
                }
                match delete {
                    false if is_keyed => drop(model.insert((id, n), 1)),
                    false => *model.entry((id, n)).or_default() += 1,
                    true if is_keyed => {}
                    true if present == 0 => continue,
                    true => *model.entry((id, n)).or_default() -= 1,
                }
                steps.push((if delete { RowKind::Delete } else { RowKind::Insert }, (None, id, n)));
            }
            shard.write(&changes(&steps)).unwrap();
            model.retain(|_, copies| *copies > 0);
            view.publish(step, vec![shard.clone()]);
            kept.push((view.snapshot(NOW).unwrap(), model.clone()));
        }
        for (version, model) in &kept {
            let rows = contents(version).into_iter().map(|(_, id, n)| (id, n));
            assert_eq!(counts(rows), *model, "version {}", version.number());
        }
    }
}

#[test]
fn every_key_of_a_large_relation_is_found() {
    let view = keyed();
    for part in 0..10 {
        let rows: Vec<Row> = (part * 5000..(part + 1) * 5000).map(|id| (Some("x"), id, id * 2)).collect();
        view.apply(&[inserts(&rows)], part as u64 + 1).unwrap();
    }
    let version = view.snapshot(NOW).unwrap();
    assert_eq!(version.rows(), 50_000);
    let all: Vec<i64> = (-5..50_005).collect();
    let found = read([version.get(&ids(&all)).unwrap()]);
    assert!(found.iter().map(|row| row.1).eq(0..50_000));
    assert!(found.iter().all(|(_, id, n)| *n == id * 2));
}

#[test]
fn a_snapshot_is_restored_by_any_number_of_shards() {
    for view in [keyed(), counted()] {
        let rows: Vec<Row> = (0..1000).map(|id| (Some("x"), id % 700, id % 700)).collect();
        let mut shard = view.shard();
        shard.write(&inserts(&rows)).unwrap();
        let frozen = shard.snapshot().unwrap();
        view.publish(1, vec![shard.clone()]);
        let before = contents(&view.snapshot(NOW).unwrap());
        let mut parts: Vec<Shard> = (0..3).map(|_| view.shard()).collect();
        for (index, part) in parts.iter_mut().enumerate() {
            for batch in &frozen {
                part.restore(&key_group::retain_owned(batch, &key_group::owned(index, 3)).unwrap()).unwrap();
            }
            assert!(part.rows() > 100, "every shard has its share");
        }
        // Rows are spread as the exchange spreads them.
        let split = key_group::split(&inserts(&rows), &view.spread_by(), 3).unwrap();
        let shares: Vec<usize> = split.iter().map(|part| counts(read([part.rows().clone()])).len()).collect();
        view.publish(2, parts.clone());
        assert_eq!(contents(&view.snapshot(NOW).unwrap()), before);
        assert_eq!(parts.iter().map(|part| counts(read(stored(part))).len()).collect::<Vec<_>>(), shares);
    }
}

/// The rows of a shard without what its snapshot adds.
fn stored(shard: &Shard) -> Vec<RecordBatch> {
    let batches = shard.clone().snapshot().unwrap();
    batches.into_iter().map(|batch| batch.project(&[1, 2, 3]).unwrap()).collect()
}
