//! The marker: how far a sink's rows are visible, as the number that Kafka keeps as a consumer group's offset.
//!
//! The number counts epochs that are visible as a whole, and in its low bits the frames of the epoch after them that are
//! visible already. So markers of a pipeline only grow, whatever an epoch's size.

use eddyline_engine::error::{Error, Result};
use eddyline_engine::time::Epoch;

/// Bits for frames: a terabyte per epoch. 43 bits are left for epochs.
const FRAME_BITS: u32 = 20;

/// A position in the rows of a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::kafka) struct Marker {
    /// Every epoch up to this one is visible.
    pub(in crate::kafka) complete: Epoch,
    /// So many frames of the next epoch are visible too.
    pub(in crate::kafka) frames: u32,
}

impl Marker {
    /// All of `epoch`, and nothing after it.
    pub(in crate::kafka) fn after(epoch: Epoch) -> Marker {
        Marker { complete: epoch, frames: 0 }
    }

    /// The first `frames` frames of `epoch`, not all of it.
    pub(in crate::kafka) fn within(epoch: Epoch, frames: u32) -> Marker {
        Marker { complete: Epoch(epoch.0.saturating_sub(1)), frames }
    }

    /// How many frames of `epoch` are visible, if a part of it is.
    pub(in crate::kafka) fn frames_of(&self, epoch: Epoch) -> u32 {
        if self.complete.next() == epoch { self.frames } else { 0 }
    }

    /// As an offset.
    pub(in crate::kafka) fn encode(&self) -> Result<i64> {
        let fits = self.complete.0 < 1 << (i64::BITS - 1 - FRAME_BITS) && self.frames < 1 << FRAME_BITS;
        if !fits {
            return Err(Error::internal(format!("epoch {} with {} frames is too large", self.complete.0, self.frames)));
        }
        Ok(((self.complete.0 << FRAME_BITS) | u64::from(self.frames)) as i64)
    }

    /// From an offset, which is never negative.
    pub(in crate::kafka) fn decode(offset: i64) -> Marker {
        let number = offset.max(0) as u64;
        Marker { complete: Epoch(number >> FRAME_BITS), frames: (number & ((1 << FRAME_BITS) - 1)) as u32 }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn markers_grow_with_what_is_visible() {
        let order = [
            Marker::after(Epoch(0)),
            Marker::after(Epoch(4)),
            Marker::within(Epoch(6), 1),
            Marker::within(Epoch(6), 2),
            Marker::after(Epoch(6)),
        ];
        assert!(order.is_sorted_by(|a, b| a < b));
        let offsets: Vec<i64> = order.iter().map(|m| m.encode().unwrap()).collect();
        assert!(offsets.is_sorted_by(|a, b| a < b), "{offsets:?}");
        assert_eq!(offsets.iter().map(|o| Marker::decode(*o)).collect::<Vec<_>>(), order);
    }

    #[test]
    fn frames_belong_to_the_epoch_after_the_complete_ones() {
        assert_eq!(Marker::within(Epoch(6), 2).frames_of(Epoch(6)), 2);
        assert_eq!(Marker::within(Epoch(6), 2).frames_of(Epoch(7)), 0);
        assert_eq!(Marker::after(Epoch(6)).frames_of(Epoch(6)), 0);
        assert!(Marker::within(Epoch(6), 1 << FRAME_BITS).encode().is_err());
    }
}
