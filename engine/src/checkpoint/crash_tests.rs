//! The store when the disk or the process dies: stopped after every file-system step, the newest checkpoint is always
//! the old or the new one; a full disk costs one checkpoint.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::files::Files;
use super::store_tests::{rows, take, uid, whole};
use super::*;
use crate::time::Epoch;

/// A disk that works for a number of steps and then answers nothing but errors, as a dead process sees it. What was
/// written but not synced by then is cut off by [`Dying::lose_unsynced`], as a power failure may do.
#[derive(Default)]
struct Dying {
    left: AtomicUsize,
    unsynced: Mutex<BTreeMap<PathBuf, u64>>,
}

impl Dying {
    fn after(steps: usize) -> Arc<Self> {
        Arc::new(Dying { left: AtomicUsize::new(steps), ..Dying::default() })
    }

    fn files(self: &Arc<Self>) -> Files {
        let disk = self.clone();
        Files::probed(Arc::new(move |step, path| disk.allow(step, path)))
    }

    fn allow(&self, step: &'static str, path: &Path) -> io::Result<()> {
        let alive = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        alive.map_err(|_| io::Error::other("the process is dead"))?;
        let mut unsynced = self.unsynced.lock().unwrap();
        match step {
            "create" => drop(unsynced.insert(path.to_path_buf(), 0)),
            "sync" => drop(unsynced.remove(path)),
            _ => {}
        }
        Ok(())
    }

    /// Cuts files that were never synced to nothing.
    fn lose_unsynced(&self) {
        for path in self.unsynced.lock().unwrap().keys().filter(|p| p.exists()) {
            std::fs::write(path, b"").unwrap();
        }
    }

    fn is_dead(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }
}

fn two_checkpoints(root: &Path) {
    let store = CheckpointStore::open(root, "wc", 1).unwrap();
    for epoch in 1..=2 {
        take(&store, epoch, CheckpointKind::Checkpoint).unwrap();
        store.record_applied(Epoch(epoch), BTreeMap::new()).unwrap();
    }
}

/// Opens a store of two checkpoints on a disk that dies after `steps`, lets `act` run into it, reopens the store and
/// returns it with what `act` said and whether the disk died.
fn die(
    root: &Path,
    steps: usize,
    act: impl Fn(&CheckpointStore) -> crate::Result<()>,
) -> (CheckpointStore, crate::Result<()>, bool) {
    two_checkpoints(root);
    let disk = Dying::after(steps);
    let result = CheckpointStore::open_with(disk.files(), root, "wc", 1, false).and_then(|store| act(&store));
    disk.lose_unsynced();
    let store = CheckpointStore::open(root, "wc", 1).unwrap();
    (store, result, disk.is_dead())
}

#[test]
fn a_crash_after_any_step_leaves_the_old_or_the_new_checkpoint() {
    let (mut old, mut new, mut unknown) = (0, 0, 0);
    for steps in 0.. {
        let root = tempfile::tempdir().unwrap();
        let (store, result, died) = die(root.path(), steps, |store| take(store, 3, CheckpointKind::Checkpoint));
        let restored = store.latest().unwrap().unwrap();
        assert!(restored.skipped.is_empty(), "{:?}", restored.skipped);
        match whole(&restored) {
            2 => {
                assert!(result.is_err(), "a commit that was reported must survive (step {steps})");
                old += 1;
            }
            3 => {
                unknown += usize::from(result.is_err());
                new += 1;
            }
            other => panic!("checkpoint {other} after {steps} steps"),
        }
        assert!(store.newest_epoch().next() >= Epoch(3) && store.applied() == Some(Epoch(2)));
        let next = store.newest_epoch().next().0;
        take(&store, next, CheckpointKind::Checkpoint).unwrap();
        assert_eq!(whole(&store.latest().unwrap().unwrap()), next, "the next checkpoint works");
        if !died {
            break;
        }
    }
    assert!(old > 15 && new > 5 && unknown == 1, "old {old}, new {new}, unknown {unknown}");
}

#[test]
fn a_crash_after_any_step_of_clear_never_brings_an_older_checkpoint_back() {
    for steps in 0.. {
        let root = tempfile::tempdir().unwrap();
        let (store, result, died) = die(root.path(), steps, CheckpointStore::clear);
        match store.latest().unwrap() {
            Some(restored) => assert!(whole(&restored) == 2 && result.is_err()),
            None => assert_eq!(store.newest_epoch().next(), Epoch(3)),
        }
        if !died {
            assert!(steps > 8 && result.is_ok());
            break;
        }
    }
}

#[test]
fn a_crash_after_any_step_of_a_record_keeps_what_was_reported() {
    for steps in 0.. {
        let root = tempfile::tempdir().unwrap();
        let (store, result, died) = die(root.path(), steps, |store| {
            take(store, 3, CheckpointKind::Checkpoint)?;
            store.record_applied(Epoch(3), BTreeMap::new())
        });
        let applied = store.applied().unwrap();
        assert!(applied == Epoch(3) || (applied == Epoch(2) && result.is_err()));
        assert!(store.latest().unwrap().unwrap().manifest.epoch >= applied);
        if !died {
            break;
        }
    }
}

#[test]
fn one_failing_step_leaves_no_half_checkpoint_and_the_next_one_works() {
    for failing in 0.. {
        let root = tempfile::tempdir().unwrap();
        two_checkpoints(root.path());
        let (armed, counter) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (probe_armed, probe_counter) = (armed.clone(), counter.clone());
        let full = Files::probed(Arc::new(move |_, _| {
            let hit = probe_armed.load(Ordering::SeqCst) && probe_counter.fetch_add(1, Ordering::SeqCst) == failing;
            if hit { Err(io::Error::from_raw_os_error(28)) } else { Ok(()) }
        }));
        let store = CheckpointStore::open_with(full, root.path(), "wc", 1, false).unwrap();
        armed.store(true, Ordering::SeqCst);
        let result = take(&store, 3, CheckpointKind::Checkpoint);
        let steps = counter.load(Ordering::SeqCst);
        armed.store(false, Ordering::SeqCst);
        let expected = match &result {
            Ok(()) => 3,
            Err(error) => {
                assert!(error.to_string().contains("No space left on device"), "{error}");
                assert!(matches!(error, crate::Error::Io { .. }));
                store.discard(Epoch(3));
                2
            }
        };
        assert_eq!(whole(&store.latest().unwrap().unwrap()), expected, "step {failing} of {steps}");
        take(&store, 4, CheckpointKind::Checkpoint).unwrap();
        assert_eq!(whole(&store.latest().unwrap().unwrap()), 4);
        let left_over = list(store.dir()).unwrap().into_iter().filter(|l| l.problem.is_some()).count();
        assert_eq!(left_over, 0, "step {failing}");
        if steps <= failing {
            assert!(failing >= 20, "only {failing} steps seen");
            break;
        }
    }
}

#[test]
fn a_commit_of_unknown_outcome_stops_the_store() {
    let root = tempfile::tempdir().unwrap();
    two_checkpoints(root.path());
    let dead = Arc::new(AtomicBool::new(false));
    let after_rename = dead.clone();
    let files = Files::probed(Arc::new(move |step, path: &Path| {
        if after_rename.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(5));
        }
        after_rename.store(step == "rename" && path.ends_with("chk-3/manifest.json"), Ordering::SeqCst);
        Ok(())
    }));
    let store = CheckpointStore::open_with(files, root.path(), "wc", 1, false).unwrap();
    let error = take(&store, 3, CheckpointKind::Checkpoint).unwrap_err();
    assert!(matches!(error, crate::Error::Checkpoint { .. }), "not an error of this checkpoint alone: {error:?}");
    dead.store(false, Ordering::SeqCst);
    let error = take(&store, 4, CheckpointKind::Checkpoint).unwrap_err();
    assert!(error.to_string().contains("checkpoint 3 was published"), "{error}");
    drop(store);
    let store = CheckpointStore::open(root.path(), "wc", 1).unwrap();
    assert_eq!(whole(&store.latest().unwrap().unwrap()), 3);
}

#[test]
fn a_failed_state_file_can_be_written_again() {
    let root = tempfile::tempdir().unwrap();
    let full = Arc::new(AtomicBool::new(true));
    let probe = full.clone();
    let files = Files::probed(Arc::new(move |step, _| match step == "write" && probe.load(Ordering::SeqCst) {
        true => Err(io::Error::from_raw_os_error(28)),
        false => Ok(()),
    }));
    full.store(false, Ordering::SeqCst);
    let store = CheckpointStore::open_with(files, root.path(), "wc", 1, false).unwrap();
    full.store(true, Ordering::SeqCst);
    let error = store.write_state(Epoch(1), &uid(), "groups", 0, &[rows(1)]).unwrap_err();
    assert!(matches!(&error, crate::Error::Io { .. }) && error.to_string().contains("No space left"), "{error:?}");
    full.store(false, Ordering::SeqCst);
    store.write_state(Epoch(1), &uid(), "groups", 0, &[rows(1)]).unwrap();
}
