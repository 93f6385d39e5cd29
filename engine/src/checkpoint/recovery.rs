//! Which prepared epochs a sink must still make visible after a restart: a pure decision from what is known.
//!
//! Three places remember how far a sink has come: the *manifest* that is restored decides that its epochs must be
//! visible; the *marker*, which moved in the target together with the rows, tells how far they are; the *commit record*
//! in the store says how far the marker had come at least. Whatever kills the process in between, marker and manifest
//! together are enough. The record is what tells a marker that was lost from one that was never written.

use crate::error::Error;
use crate::time::Epoch;

/// What is known of one sink when a job starts. Epochs count from 1; a marker of 0 was written before any rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Facts {
    /// The checkpoint that is restored, if one is.
    pub restored: Option<Epoch>,
    /// True when that checkpoint was written by this pipeline, so that markers and records speak of it.
    pub ours: bool,
    /// The newest epoch recorded as applied by all sinks.
    pub recorded: Option<Epoch>,
    /// Where the marker of this sink stood at that time; None when the sink keeps none, or nothing was recorded.
    pub recorded_marker: Option<Epoch>,
    /// The marker in the target now; None when there is none.
    pub marker: Option<Epoch>,
    /// The epoch of which the target shows a part, beyond the marker.
    pub partly: Option<Epoch>,
    /// True when the user accepts that rows may be written twice (`eddyline.recovery.allow-duplicates`).
    pub allow_duplicates: bool,
}

/// What follows from the facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Apply the logs of the restored checkpoint after this epoch, in order.
    ReplayAfter(Epoch),
    /// Apply nothing.
    Nothing,
    /// Nobody can know what is visible: the user must choose.
    Refuse(Refusal),
}

/// Why recovery stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The store recorded a marker and the target has none.
    MarkerMissing {
        /// What was recorded.
        recorded: Epoch,
    },
    /// The target's marker is older than what the store recorded.
    MarkerBehind {
        /// What was recorded.
        recorded: Epoch,
        /// What the target says.
        marker: Epoch,
    },
    /// More is visible than the restored checkpoint knows of; running on from it repeats those rows.
    AheadOfCheckpoint {
        /// What is visible.
        visible: Epoch,
        /// What is restored.
        restored: Epoch,
    },
}

/// Decides for one sink.
pub fn decide(facts: &Facts) -> Decision {
    let Some(restored) = facts.restored.filter(|_| facts.ours) else {
        // An empty start, or another pipeline's checkpoint, whose own pipeline has made it visible.
        return Decision::Nothing;
    };
    let visible = facts.marker.max(facts.recorded).unwrap_or(Epoch(0));
    if facts.allow_duplicates {
        return if visible < restored { Decision::ReplayAfter(visible) } else { Decision::Nothing };
    }
    match (facts.recorded_marker, facts.marker) {
        (Some(recorded), None) => return Decision::Refuse(Refusal::MarkerMissing { recorded }),
        (Some(recorded), Some(marker)) if marker < recorded => {
            return Decision::Refuse(Refusal::MarkerBehind { recorded, marker });
        }
        _ => {}
    }
    match visible.cmp(&restored) {
        std::cmp::Ordering::Less => Decision::ReplayAfter(visible),
        std::cmp::Ordering::Equal if facts.partly.is_none() => Decision::Nothing,
        _ => {
            let visible = facts.partly.unwrap_or(visible);
            Decision::Refuse(Refusal::AheadOfCheckpoint { visible, restored })
        }
    }
}

impl Refusal {
    /// The error for the user, about the sink named `sink`.
    pub fn error(&self, sink: &str) -> Error {
        const CHOICES: &str = "restore a newer checkpoint with --from, start empty with --fresh, or accept that rows are \
                               written twice with SET 'eddyline.recovery.allow-duplicates' = 'true'";
        let text = match self {
            Refusal::MarkerMissing { recorded } => format!(
                "the target of sink '{sink}' no longer has the marker of epoch {}: it expired, or the target was made \
                 anew, so nobody can know which rows are visible",
                recorded.0
            ),
            Refusal::MarkerBehind { recorded, marker } => format!(
                "the marker in the target of sink '{sink}' stands at epoch {}, but epoch {} was applied: the target has \
                 gone back in time",
                marker.0, recorded.0
            ),
            Refusal::AheadOfCheckpoint { visible, restored } => format!(
                "sink '{sink}' has made epoch {} visible, which checkpoint {} does not know of: running on from there \
                 writes rows twice",
                visible.0, restored.0
            ),
        };
        Error::checkpoint(text).with_hint(CHOICES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(restored: u64, recorded: Option<u64>, recorded_marker: Option<u64>, marker: Option<u64>) -> Facts {
        let epoch = |n: Option<u64>| n.map(Epoch);
        Facts {
            restored: Some(Epoch(restored)),
            ours: true,
            recorded: epoch(recorded),
            recorded_marker: epoch(recorded_marker),
            marker: epoch(marker),
            partly: None,
            allow_duplicates: false,
        }
    }

    #[test]
    fn replays_what_the_marker_does_not_show() {
        assert_eq!(decide(&facts(5, Some(4), Some(4), Some(4))), Decision::ReplayAfter(Epoch(4)));
        assert_eq!(decide(&facts(5, Some(3), Some(3), Some(4))), Decision::ReplayAfter(Epoch(4)));
        assert_eq!(decide(&facts(5, Some(4), Some(4), Some(5))), Decision::Nothing);
        assert_eq!(decide(&facts(1, None, None, None)), Decision::ReplayAfter(Epoch(0)));
    }

    #[test]
    fn an_epoch_without_rows_leaves_the_marker_where_it_was() {
        assert_eq!(decide(&facts(6, Some(6), Some(2), Some(2))), Decision::Nothing);
    }

    #[test]
    fn a_lost_marker_is_never_guessed() {
        let lost = decide(&facts(5, Some(4), Some(4), None));
        assert_eq!(lost, Decision::Refuse(Refusal::MarkerMissing { recorded: Epoch(4) }));
        let back = decide(&facts(5, Some(4), Some(4), Some(2)));
        assert_eq!(back, Decision::Refuse(Refusal::MarkerBehind { recorded: Epoch(4), marker: Epoch(2) }));
    }

    #[test]
    fn an_older_checkpoint_is_refused_unless_duplicates_are_allowed() {
        let older = facts(3, Some(4), Some(4), Some(5));
        let refusal = Refusal::AheadOfCheckpoint { visible: Epoch(5), restored: Epoch(3) };
        assert_eq!(decide(&older), Decision::Refuse(refusal));
        assert_eq!(decide(&Facts { allow_duplicates: true, ..older }), Decision::Nothing);
        assert_eq!(decide(&Facts { ours: false, ..older }), Decision::Nothing);
        // A part of epoch 6 is visible, and the checkpoint that holds the rest of it is lost.
        let partly = Facts { partly: Some(Epoch(6)), ..facts(5, Some(5), Some(5), Some(5)) };
        let refusal = Refusal::AheadOfCheckpoint { visible: Epoch(6), restored: Epoch(5) };
        assert_eq!(decide(&partly), Decision::Refuse(refusal));
        let whole = Facts { restored: Some(Epoch(6)), ..partly };
        assert_eq!(decide(&whole), Decision::ReplayAfter(Epoch(5)));
    }
}
