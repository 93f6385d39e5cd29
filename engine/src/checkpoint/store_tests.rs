//! Tests of the store on a real file system: what is written comes back, damage is found, one process at a time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};

use super::*;
use crate::connector::{EpochLog, SplitPosition};
use crate::dataflow::Uid;
use crate::state::Distribution;
use crate::time::Epoch;

pub(super) fn uid() -> Uid {
    Uid("GroupAggregate(word)/source 'words'".into())
}

pub(super) fn rows(value: i64) -> RecordBatch {
    RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![value, value + 1])) as ArrayRef)]).unwrap()
}

fn manifest(store: &CheckpointStore, epoch: Epoch, kind: CheckpointKind, operators: Vec<OperatorEntry>) -> Manifest {
    Manifest {
        format_version: FORMAT_VERSION,
        job: "wc".into(),
        pipeline: store.pipeline().into(),
        generation: store.generation(),
        epoch,
        kind,
        created_ms: 0,
        finished: false,
        operators,
    }
}

/// Writes checkpoint `epoch` as a job would: two state files, a position, a log, the manifest.
pub(super) fn take(store: &CheckpointStore, epoch: u64, kind: CheckpointKind) -> crate::Result<()> {
    let epoch = Epoch(epoch);
    let number = epoch.0 as i64;
    let mut files = Vec::new();
    for subtask in 0..2 {
        files.push(store.write_state(epoch, &uid(), "groups", subtask, &[rows(number * 10 + subtask as i64)])?);
    }
    let log = store.write_log(epoch, &uid(), 0, &[format!("log of {number}").as_bytes()])?;
    let mut operator = OperatorEntry::new(uid(), "GroupAggregate", 2);
    operator.states = vec![StateEntry { name: "groups".into(), distribution: Distribution::Keyed, files }];
    operator.splits = vec![SplitPosition { split: "words-0".into(), position: serde_json::json!({"offset": number}) }];
    operator.logs = vec![LogEntry { subtask: 0, file: log }];
    store.commit(&manifest(store, epoch, kind, vec![operator]))
}

/// Takes checkpoints `epochs` and records each as applied.
fn take_applied(store: &CheckpointStore, epochs: std::ops::RangeInclusive<u64>) {
    for epoch in epochs {
        take(store, epoch, CheckpointKind::Checkpoint).unwrap();
        store.record_applied(Epoch(epoch), BTreeMap::new()).unwrap();
    }
}

/// Checks that a restored checkpoint holds what [`take`] wrote, and returns its number.
pub(super) fn whole(restored: &Restored) -> u64 {
    let number = restored.manifest.epoch.0 as i64;
    let expected = vec![rows(number * 10), rows(number * 10 + 1)];
    assert_eq!(restored.read_state(&uid(), "groups").unwrap(), expected);
    let log = EpochLog::new(format!("log of {number}").into_bytes());
    assert_eq!(restored.read_logs(&uid()).unwrap(), [(0, log)]);
    number as u64
}

fn folders(store: &CheckpointStore) -> Vec<u64> {
    layout::checkpoints(store.dir()).unwrap().into_iter().map(|(epoch, _)| epoch.0).collect()
}

fn open(root: &Path) -> CheckpointStore {
    CheckpointStore::open(root, "wc", 3).unwrap()
}

#[test]
fn empty_store_has_nothing_and_begins_at_one() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    assert_eq!(store.latest().unwrap(), None);
    assert_eq!((store.newest_epoch().next(), store.applied(), store.generation()), (Epoch(1), None, 1));
}

#[test]
fn newest_checkpoint_comes_back_after_reopening_with_the_same_identity() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let pipeline = store.pipeline().to_string();
    take_applied(&store, 1..=2);
    drop(store);
    let store = open(root.path());
    let restored = store.latest().unwrap().unwrap();
    assert_eq!(whole(&restored), 2);
    assert!(restored.skipped.is_empty());
    assert_eq!((store.pipeline(), store.generation()), (pipeline.as_str(), 2));
    assert_eq!((store.newest_epoch().next(), store.applied()), (Epoch(3), Some(Epoch(2))));
    assert_eq!(restored.operator(&uid()).unwrap().splits[0].position["offset"], 2);
    assert!(restored.read_state(&uid(), "other").unwrap().is_empty());
    assert!(restored.read_logs(&Uid("other".into())).unwrap().is_empty());
}

/// Every file of checkpoint `epoch`, manifest included.
fn files_of(store: &CheckpointStore, epoch: u64) -> Vec<PathBuf> {
    let dir = layout::checkpoint_dir(store.dir(), Epoch(epoch));
    fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect()
}

#[test]
fn every_damage_to_any_file_of_the_newest_falls_back_and_says_which() {
    type Damage = fn(&Path);
    let truncate: Damage = |p| fs::write(p, &fs::read(p).unwrap()[..3]).unwrap();
    let flip: Damage = |p| {
        let mut bytes = fs::read(p).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(p, bytes).unwrap();
    };
    let grow: Damage = |p| fs::write(p, [fs::read(p).unwrap(), vec![0]].concat()).unwrap();
    let delete: Damage = |p| fs::remove_file(p).unwrap();
    for (name, damage) in [("truncate", truncate), ("flip", flip), ("grow", grow), ("delete", delete)] {
        for file in 0..4 {
            let root = tempfile::tempdir().unwrap();
            let store = open(root.path());
            take_applied(&store, 1..=2);
            let files = files_of(&store, 2);
            assert_eq!(files.len(), 4, "two states, a log, the manifest");
            damage(&files[file]);
            let restored = store.latest().unwrap().unwrap();
            assert_eq!(whole(&restored), 1, "{name} {}", files[file].display());
            let file_name = files[file].file_name().unwrap().to_str().unwrap();
            assert_eq!(restored.skipped.len(), 1);
            let reason = &restored.skipped[0];
            assert!(reason.contains("checkpoint 2") && reason.contains(file_name), "{name}: {reason}");
            assert_eq!(store.newest_epoch().next(), Epoch(3), "the damaged number is not used again");
        }
    }
}

#[test]
fn all_damaged_is_an_error_not_an_empty_start() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    take_applied(&store, 1..=2);
    for epoch in 1..=2 {
        fs::write(&files_of(&store, epoch)[0], b"x").unwrap();
    }
    let error = store.latest().unwrap_err();
    let text = error.to_string();
    assert!(text.contains("checkpoint 1") && text.contains("checkpoint 2"), "{text}");
    assert!(error.hint().unwrap().contains("--fresh"));
    for epoch in 1..=2 {
        fs::remove_dir_all(layout::checkpoint_dir(store.dir(), Epoch(epoch))).unwrap();
    }
    assert!(store.latest().unwrap_err().to_string().contains("folder is gone"));
    store.start_fresh().unwrap();
    assert_eq!(store.latest().unwrap(), None);
}

#[test]
fn incomplete_first_checkpoint_is_an_empty_start() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    store.write_state(Epoch(1), &uid(), "groups", 0, &[rows(1)]).unwrap();
    drop(store);
    let store = open(root.path());
    assert_eq!(store.latest().unwrap(), None);
    assert_eq!(store.settle().unwrap(), Epoch(2));
    drop(store);
    assert_eq!(open(root.path()).latest().unwrap(), None);
}

#[test]
fn second_store_is_refused_with_the_holder() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let error = CheckpointStore::open(root.path(), "wc", 3).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&format!("process {}", std::process::id())) && text.contains("s ago"), "{text}");
    assert!(error.hint().unwrap().contains("stop that process"));
    CheckpointStore::open(root.path(), "other", 3).unwrap();
    drop(store);
    open(root.path());
}

const CHILD_ROOT: &str = "EDDYLINE_TEST_CHECKPOINT_ROOT";

/// Run as a process of its own by the test below; by itself it does nothing.
#[test]
fn child_process_tries_to_open() {
    if let Ok(root) = std::env::var(CHILD_ROOT) {
        let opened = CheckpointStore::open(Path::new(&root), "wc", 3);
        std::process::exit(if opened.is_err() { 7 } else { 8 });
    }
}

#[test]
fn second_process_is_refused_while_the_first_lives() {
    let root = tempfile::tempdir().unwrap();
    let child = || {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "checkpoint::store_tests::child_process_tries_to_open"]);
        command.env(CHILD_ROOT, root.path()).output().unwrap().status.code()
    };
    let store = open(root.path());
    assert_eq!(child(), Some(7));
    drop(store);
    assert_eq!(child(), Some(8));
}

#[test]
fn lost_fence_forbids_commit_and_record() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    take_applied(&store, 1..=1);
    fs::remove_file(store.dir().join("lock")).unwrap();
    let second = open(root.path());
    assert_eq!(second.generation(), 2);
    let error = take(&store, 2, CheckpointKind::Checkpoint).unwrap_err();
    assert!(error.to_string().contains("generation 2 has replaced 1") && !error.is_retriable(), "{error}");
    assert!(store.record_applied(Epoch(2), BTreeMap::new()).is_err());
    assert_eq!(whole(&second.latest().unwrap().unwrap()), 1);
}

#[test]
fn lost_identity_is_taken_from_the_newest_manifest() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    take_applied(&store, 1..=1);
    let (pipeline, path) = (store.pipeline().to_string(), store.dir().join("pipeline.json"));
    drop(store);
    for damage in [&b"{"[..], &b""[..]] {
        fs::write(&path, damage).unwrap();
        assert_eq!(open(root.path()).pipeline(), pipeline);
    }
    fs::remove_file(&path).unwrap();
    let store = open(root.path());
    assert_eq!(store.pipeline(), pipeline);
    assert!(store.generation() > 1);
}

#[test]
fn retention_keeps_the_newest_savepoints_and_logs_that_are_not_applied() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    take_applied(&store, 1..=5);
    assert_eq!(folders(&store), [3, 4, 5]);
    take(&store, 6, CheckpointKind::Savepoint).unwrap();
    store.record_applied(Epoch(6), BTreeMap::new()).unwrap();
    take_applied(&store, 7..=10);
    assert_eq!(folders(&store), [6, 8, 9, 10]);
    for epoch in 11..=15 {
        take(&store, epoch, CheckpointKind::Checkpoint).unwrap();
    }
    assert_eq!(folders(&store), [6, 11, 12, 13, 14, 15], "10 is applied, 11 is not");
    store.record_applied(Epoch(14), BTreeMap::new()).unwrap();
    take(&store, 16, CheckpointKind::Checkpoint).unwrap();
    assert_eq!(folders(&store), [6, 14, 15, 16]);
    assert_eq!(layout::numbered(&store.dir().join("commits"), "").unwrap().len(), 1);
}

#[test]
fn damaged_checkpoints_do_not_count_as_retained() {
    let root = tempfile::tempdir().unwrap();
    let store = CheckpointStore::open(root.path(), "wc", 2).unwrap();
    take_applied(&store, 1..=2);
    fs::write(layout::checkpoint_dir(store.dir(), Epoch(2)).join("manifest.json"), b"x").unwrap();
    take_applied(&store, 3..=3);
    assert_eq!(folders(&store), [1, 2, 3]);
    take_applied(&store, 4..=4);
    assert_eq!(folders(&store), [3, 4]);
}

#[test]
fn discarded_epoch_leaves_nothing_and_its_number_is_not_used_again() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    store.write_state(Epoch(1), &uid(), "groups", 0, &[rows(1)]).unwrap();
    store.discard(Epoch(1));
    assert!(folders(&store).is_empty());
    assert_eq!(store.newest_epoch().next(), Epoch(2));
    take(&store, 2, CheckpointKind::Checkpoint).unwrap();
    store.discard(Epoch(2));
    assert_eq!(whole(&store.latest().unwrap().unwrap()), 2, "a complete checkpoint is never discarded");
}

#[test]
fn several_logs_of_one_subtask_keep_their_order() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let logs: Vec<EpochLog> = ["a", "b", ""].iter().map(|t| EpochLog::new(t.as_bytes().to_vec())).collect();
    let write =
        |log: &EpochLog| LogEntry { subtask: 4, file: store.write_log(Epoch(1), &uid(), 4, &[log.bytes()]).unwrap() };
    let entries: Vec<LogEntry> = logs.iter().map(write).collect();
    let sink = OperatorEntry { logs: entries, ..OperatorEntry::new(uid(), "Sink", 5) };
    store.commit(&manifest(&store, Epoch(1), CheckpointKind::Checkpoint, vec![sink])).unwrap();
    let read = Restored::read(&layout::checkpoint_dir(store.dir(), Epoch(1))).unwrap().read_logs(&uid()).unwrap();
    assert_eq!(read, logs.into_iter().map(|l| (4, l)).collect::<Vec<_>>());
}

#[test]
fn a_log_that_is_carried_over_outlives_the_checkpoint_that_it_comes_from() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let file = store.write_log(Epoch(1), &uid(), 0, &[b"ro", b"ws"]).unwrap();
    let linked = store.link_log(Epoch(2), &uid(), 0, Epoch(1), &file).unwrap().unwrap();
    store.discard(Epoch(1));
    assert_eq!(store.link_log(Epoch(3), &uid(), 0, Epoch(1), &file).unwrap(), None, "it is gone there");
    let logs = vec![LogEntry { subtask: 0, file: linked }];
    let sink = OperatorEntry { logs, ..OperatorEntry::new(uid(), "Sink", 1) };
    store.commit(&manifest(&store, Epoch(2), CheckpointKind::Checkpoint, vec![sink])).unwrap();
    let restored = Restored::read(&layout::checkpoint_dir(store.dir(), Epoch(2))).unwrap();
    assert_eq!(restored.read_logs(&uid()).unwrap(), [(0, EpochLog::new(b"rows".to_vec()))]);
}

#[test]
fn commit_refuses_strangers_doubles_and_missing_files() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    take(&store, 1, CheckpointKind::Checkpoint).unwrap();
    let manifest = store.latest().unwrap().unwrap().manifest;
    assert!(store.commit(&manifest).is_err(), "committed twice");
    assert!(store.commit(&Manifest { epoch: Epoch(2), ..manifest.clone() }).is_err(), "files are missing");
    let stranger = Manifest { epoch: Epoch(3), generation: 9, operators: vec![], ..manifest };
    assert!(store.commit(&stranger).is_err(), "another generation");
    assert_eq!(whole(&store.latest().unwrap().unwrap()), 1);
}

#[test]
fn cleared_and_fresh_jobs_start_empty_but_number_on() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    take_applied(&store, 1..=2);
    store.clear().unwrap();
    assert!(folders(&store).is_empty());
    drop(store);
    let store = open(root.path());
    assert_eq!(store.latest().unwrap(), None);
    assert_eq!(store.newest_epoch().next(), Epoch(3));
    take_applied(&store, 3..=3);
    store.start_fresh().unwrap();
    assert_eq!(store.latest().unwrap(), None);
    assert_eq!(folders(&store), [3], "still there to be named");
    take_applied(&store, 4..=4);
    assert_eq!(whole(&store.latest().unwrap().unwrap()), 4);
}

#[test]
fn copied_and_moved_checkpoints_can_be_named() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    take(&store, 1, CheckpointKind::Savepoint).unwrap();
    let restored = store.latest().unwrap().unwrap();
    let (copy, moved) = (root.path().join("saved"), root.path().join("moved"));
    restored.copy_to(&copy).unwrap();
    assert!(restored.copy_to(&copy).is_err(), "a savepoint is not overwritten");
    fs::rename(&copy, &moved).unwrap();
    assert_eq!(whole(&Restored::read(&moved).unwrap()), 1);
    assert_eq!(whole(&Restored::read(&moved.join("manifest.json")).unwrap()), 1);
    let hint = Restored::read(store.dir()).unwrap_err().hint().unwrap().to_string();
    assert!(hint.contains("chk-1"), "{hint}");
    assert!(Restored::read(&root.path().join("nowhere")).unwrap_err().to_string().contains("nowhere"));
}

#[test]
fn listing_shows_all_jobs_one_job_or_one_checkpoint_with_problems() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    take_applied(&store, 1..=2);
    store.write_state(Epoch(3), &uid(), "groups", 0, &[rows(1)]).unwrap();
    fs::write(&files_of(&store, 1)[0], b"x").unwrap();
    for path in [root.path(), store.dir()] {
        let found = list(path).unwrap();
        let problems: Vec<Option<&str>> = found.iter().map(|l| l.problem.as_deref()).collect();
        assert_eq!(found.len(), 3);
        assert!(problems[0].unwrap().starts_with("damaged"), "{problems:?}");
        assert_eq!((problems[1], problems[2].unwrap().contains("not completed")), (None, true));
    }
    let one = list(&layout::checkpoint_dir(store.dir(), Epoch(2))).unwrap();
    assert_eq!(one[0].manifest.as_ref().unwrap().epoch, Epoch(2));
    assert!(list(&root.path().join("nowhere")).is_err());
}
