//! The logs that the subtasks of one sink have prepared and its committer has not applied yet.
//!
//! Shared by the tasks, which prepare at the barrier, and the committer's thread, which applies when the driver says so.
//! An epoch that was given up stays here: its rows become visible together with the epoch after it, so that nothing is
//! lost, and every checkpoint holds all logs of its subtask, so that the newest one alone is enough for recovery.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::checkpoint::{CheckpointStore, FileEntry, MAX_UNAPPLIED_EPOCHS};
use crate::connector::EpochLog;
use crate::dataflow::Uid;
use crate::error::{Error, Result};
use crate::time::Epoch;

/// Bytes of logs, over all subtasks and epochs of a sink, from which on its tasks wait for the committer.
const MOST_BYTES: usize = 256 << 20;

/// Logs by epoch and subtask; clones share them.
#[derive(Clone, Default)]
pub(super) struct Ledger(Arc<(Mutex<Entries>, Condvar)>);

#[derive(Default)]
struct Entries {
    epochs: BTreeMap<Epoch, BTreeMap<usize, Arc<Prepared>>>,
    closed: bool,
}

/// What one subtask has prepared for one epoch.
pub(super) struct Prepared {
    epoch: Epoch,
    log: Arc<EpochLog>,
    /// The newest checkpoint that holds it, and its file there.
    written: Mutex<Option<(Epoch, FileEntry)>>,
}

impl Prepared {
    /// Makes it part of checkpoint `epoch`. A file that an earlier checkpoint holds already is not written again.
    pub(super) fn store(&self, store: &CheckpointStore, epoch: Epoch, uid: &Uid, subtask: usize) -> Result<FileEntry> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let linked = match &*written {
            Some((earlier, file)) => store.link_log(epoch, uid, subtask, *earlier, file)?,
            None => None,
        };
        let file = match linked {
            Some(file) => file,
            None => store.write_log(epoch, uid, subtask, &[&self.head(), self.log.bytes()])?,
        };
        *written = Some((epoch, file.clone()));
        Ok(file)
    }

    /// What precedes the content in its file: epoch and length, 8 bytes each, little endian.
    fn head(&self) -> [u8; 16] {
        let mut head = [0; 16];
        head[..8].copy_from_slice(&self.epoch.0.to_le_bytes());
        head[8..].copy_from_slice(&(self.log.bytes().len() as u64).to_le_bytes());
        head
    }
}

/// All logs of one epoch, in order of subtasks.
pub(super) type EpochLogs = (Epoch, Vec<Arc<EpochLog>>);

impl Ledger {
    /// The ledger of a checkpoint: what [`Prepared::store`] wrote for each subtask.
    pub(super) fn decode(logs: &[(usize, EpochLog)]) -> Result<Ledger> {
        let ledger = Ledger::default();
        for (subtask, log) in logs {
            let short = || Error::checkpoint("a sink's log ends in the middle of an epoch");
            let mut rest = log.bytes();
            while !rest.is_empty() {
                let (epoch, after) = rest.split_first_chunk::<8>().ok_or_else(short)?;
                let (length, after) = after.split_first_chunk::<8>().ok_or_else(short)?;
                let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| short())?;
                let (content, after) = after.split_at_checked(length).ok_or_else(short)?;
                ledger.push(Epoch(u64::from_le_bytes(*epoch)), *subtask, EpochLog::new(content.to_vec()));
                rest = after;
            }
        }
        Ok(ledger)
    }

    /// Adds what a subtask has prepared. An empty log asks for nothing and is not kept.
    pub(super) fn push(&self, epoch: Epoch, subtask: usize, log: EpochLog) {
        if !log.is_empty() {
            let prepared = Prepared { epoch, log: Arc::new(log), written: Mutex::default() };
            self.entries().epochs.entry(epoch).or_default().insert(subtask, Arc::new(prepared));
        }
    }

    /// Everything that a subtask has prepared, as it stands at its barrier.
    pub(super) fn of_subtask(&self, subtask: usize) -> Vec<Arc<Prepared>> {
        self.entries().epochs.values().filter_map(|logs| logs.get(&subtask).cloned()).collect()
    }

    /// The epochs after `after` up to `up_to`, oldest first.
    pub(super) fn between(&self, after: Epoch, up_to: Epoch) -> Vec<EpochLogs> {
        let entries = self.entries();
        let wanted = entries.epochs.iter().filter(|(epoch, _)| **epoch > after && **epoch <= up_to);
        wanted.map(|(epoch, logs)| (*epoch, logs.values().map(|prepared| prepared.log.clone()).collect())).collect()
    }

    /// Forgets every epoch up to `epoch`: it is visible.
    pub(super) fn forget_up_to(&self, epoch: Epoch) {
        self.entries().epochs.retain(|e, _| *e > epoch);
        self.0.1.notify_all();
    }

    /// Waits while the committer is so far behind that the next checkpoint must wait for it and the logs, `own` bytes
    /// of a running epoch included, take too much memory. That is the backpressure of a slow target.
    pub(super) fn wait_for_room(&self, own: usize) {
        let mut entries = self.entries();
        while !entries.closed && entries.epochs.len() >= MAX_UNAPPLIED_EPOCHS && own + entries.bytes() > MOST_BYTES {
            let waited = self.0.1.wait_timeout(entries, Duration::from_millis(100));
            entries = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The attempt ends: nobody waits any longer.
    pub(super) fn close(&self) {
        self.entries().closed = true;
        self.0.1.notify_all();
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn bytes(&self) -> usize {
        self.epochs.values().flat_map(BTreeMap::values).map(|prepared| prepared.log.bytes().len()).sum()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn log(text: &str) -> EpochLog {
        EpochLog::new(text.as_bytes().to_vec())
    }

    fn encode(logs: &[Arc<Prepared>]) -> EpochLog {
        EpochLog::new(logs.iter().flat_map(|p| [&p.head(), p.log.bytes()].concat()).collect())
    }

    fn texts(epochs: Vec<EpochLogs>) -> Vec<(u64, Vec<String>)> {
        let text = |log: &Arc<EpochLog>| String::from_utf8(log.bytes().to_vec()).unwrap();
        epochs.into_iter().map(|(epoch, logs)| (epoch.0, logs.iter().map(text).collect())).collect()
    }

    #[test]
    fn logs_come_back_by_epoch_and_subtask() {
        let ledger = Ledger::default();
        ledger.push(Epoch(2), 1, log("b2"));
        ledger.push(Epoch(1), 0, log("a1"));
        ledger.push(Epoch(2), 0, log("a2"));
        ledger.push(Epoch(3), 0, EpochLog::empty());
        let stored: Vec<(usize, EpochLog)> = (0..2).map(|s| (s, encode(&ledger.of_subtask(s)))).collect();
        let back = Ledger::decode(&stored).unwrap();
        let all = vec![(1, vec!["a1".to_string()]), (2, vec!["a2".to_string(), "b2".to_string()])];
        assert_eq!(texts(back.between(Epoch(0), Epoch(9))), all);
        assert_eq!(texts(back.between(Epoch(1), Epoch(9))), all[1..]);
        back.forget_up_to(Epoch(1));
        assert_eq!(texts(back.between(Epoch(0), Epoch(9))), all[1..]);
    }

    #[test]
    fn a_log_that_breaks_off_is_an_error() {
        let ledger = Ledger::default();
        ledger.push(Epoch(1), 0, log("rows"));
        let mut bytes = encode(&ledger.of_subtask(0)).bytes().to_vec();
        bytes.pop();
        assert!(Ledger::decode(&[(0, EpochLog::new(bytes))]).is_err());
    }
}
