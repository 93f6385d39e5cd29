//! What travels between tasks.

use crate::changelog::ChangelogBatch;
use crate::checkpoint::CheckpointKind;
use crate::time::{Epoch, Watermark};

/// Chandy and Lamport's marker (1985): what is before it belongs to the checkpoint `epoch`, what is behind it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Barrier {
    /// Which checkpoint.
    pub epoch: Epoch,
    /// Why it is taken.
    pub kind: CheckpointKind,
}

/// One message of a channel, which carries what one producing subtask has for one consuming subtask, in order. There is
/// no message for the end: bounded inputs end with the largest watermark, and tasks stay until the driver lets them go,
/// because the last checkpoint comes after the last row.
#[derive(Debug, Clone)]
pub enum Message {
    /// Rows.
    Batch(ChangelogBatch),
    /// Event time has come so far.
    Watermark(Watermark),
    /// A checkpoint.
    Barrier(Barrier),
    /// Nothing comes for a while: do not wait for this channel's watermark.
    Idle,
    /// The channel is no longer idle.
    Active,
}
