//! The watermarks of one source subtask: one per split, merged by minimum over the splits that are not idle.
//!
//! A split's watermark is the largest value that the watermark expression had on its rows. A split without rows for the
//! idle timeout is left out until it brings rows again; so are splits that have ended. Idle time is the time the task
//! spent working or waiting for rows: time during which it was held up by backpressure counts only up to
//! [`LONGEST_STEP`] per step, because nobody asked the split for rows then.

use std::time::Duration;

use super::status::SplitStatus;
use crate::connector::SplitId;
use crate::time::{ProcessingTime, Watermark};

/// Most idle time that one step of the task (one poll and what follows from it) adds.
const LONGEST_STEP: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Split {
    id: SplitId,
    watermark: Watermark,
    /// Value of `SourceWatermarks::elapsed` when it last brought rows, or was first seen.
    active_at: Duration,
    ended: bool,
}

/// What to send downstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Advance {
    /// Event time has advanced.
    Watermark(Watermark),
    /// All splits are idle.
    Idle,
}

/// Merges the watermarks of splits.
#[derive(Debug)]
pub(super) struct SourceWatermarks {
    idle_timeout: Option<Duration>,
    splits: Vec<Split>,
    sent: Watermark,
    idle: bool,
    elapsed: Duration,
    last_step: Option<ProcessingTime>,
}

impl SourceWatermarks {
    /// No splits yet.
    pub(super) fn new(idle_timeout: Option<Duration>) -> Self {
        SourceWatermarks {
            idle_timeout,
            splits: Vec::new(),
            sent: Watermark::MIN,
            idle: false,
            elapsed: Duration::ZERO,
            last_step: None,
        }
    }

    /// A step of the task begins at `now`.
    pub(super) fn step(&mut self, now: ProcessingTime) {
        if let Some(last) = self.last_step {
            let micros = u64::try_from(now.0.saturating_sub(last.0)).unwrap_or(0);
            self.elapsed += Duration::from_micros(micros).min(LONGEST_STEP);
        }
        self.last_step = Some(now);
    }

    /// These splits are read now: new ones hold the watermark back, those that are gone do not.
    pub(super) fn assign(&mut self, splits: &[SplitId]) {
        self.splits.retain(|known| known.ended || splits.contains(&known.id));
        for id in splits {
            self.split(id);
        }
    }

    /// A split brought rows. True when all had been idle, so that consumers must be told that this is over.
    pub(super) fn rows(&mut self, split: &SplitId) -> bool {
        let elapsed = self.elapsed;
        self.split(split).active_at = elapsed;
        std::mem::take(&mut self.idle)
    }

    /// The watermark expression gave `watermark` on a row of this split.
    pub(super) fn observe(&mut self, split: &SplitId, watermark: Watermark) {
        let split = self.split(split);
        split.watermark = split.watermark.max(watermark);
    }

    /// A split is read to its end.
    pub(super) fn end(&mut self, split: &SplitId) {
        self.split(split).ended = true;
    }

    /// What to send now, if anything.
    pub(super) fn advance(&mut self) -> Option<Advance> {
        let lowest = self.splits.iter().filter(|s| !s.ended && !self.is_idle(s)).map(|s| s.watermark).min();
        match lowest {
            Some(lowest) if lowest > self.sent => {
                self.sent = lowest;
                Some(Advance::Watermark(lowest))
            }
            Some(_) => None,
            None if self.idle => None,
            None => Some(self.all_idle()),
        }
    }

    /// Nobody is left to wait for: the furthest split decides, as it does in gates, and then there is nothing to say.
    fn all_idle(&mut self) -> Advance {
        match self.splits.iter().filter(|s| !s.ended).map(|s| s.watermark).max() {
            Some(highest) if highest > self.sent => {
                self.sent = highest;
                Advance::Watermark(highest)
            }
            _ => {
                self.idle = true;
                Advance::Idle
            }
        }
    }

    /// How each split stands.
    pub(super) fn figures(&self) -> Vec<SplitStatus> {
        let figure = |s: &Split| SplitStatus {
            watermark: Some(s.watermark).filter(|w| *w != Watermark::MIN),
            idle: !s.ended && self.is_idle(s),
            ended: s.ended,
            ..SplitStatus::new(&s.id)
        };
        self.splits.iter().map(figure).collect()
    }

    fn is_idle(&self, split: &Split) -> bool {
        self.idle_timeout.is_some_and(|timeout| self.elapsed.saturating_sub(split.active_at) >= timeout)
    }

    fn split(&mut self, id: &SplitId) -> &mut Split {
        let position = self.splits.iter().position(|s| s.id == *id).unwrap_or_else(|| {
            let active_at = self.elapsed;
            self.splits.push(Split { id: id.clone(), watermark: Watermark::MIN, active_at, ended: false });
            self.splits.len() - 1
        });
        &mut self.splits[position]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::time::EventTime;

    fn at(micros: i64) -> Watermark {
        Watermark(EventTime(micros))
    }

    fn seconds(n: i64) -> ProcessingTime {
        ProcessingTime(n * 1_000_000)
    }

    fn two() -> (SourceWatermarks, SplitId, SplitId) {
        let (a, b): (SplitId, SplitId) = ("a".into(), "b".into());
        let mut merged = SourceWatermarks::new(Some(Duration::from_secs(2)));
        merged.assign(&[a.clone(), b.clone()]);
        merged.step(seconds(0));
        (merged, a, b)
    }

    #[test]
    fn a_split_without_rows_holds_the_watermark_back() {
        let (mut merged, a, b) = two();
        merged.rows(&a);
        merged.observe(&a, at(10));
        assert_eq!(merged.advance(), None);
        merged.rows(&b);
        merged.observe(&b, at(7));
        assert_eq!(merged.advance(), Some(Advance::Watermark(at(7))));
        assert_eq!(merged.advance(), None);
    }

    #[test]
    fn an_idle_split_is_left_out_and_counts_again_with_its_next_row() {
        let (mut merged, a, b) = two();
        merged.step(seconds(1));
        merged.rows(&a);
        merged.observe(&a, at(10));
        assert_eq!(merged.advance(), None);
        merged.step(seconds(2));
        assert_eq!(merged.advance(), Some(Advance::Watermark(at(10))));
        assert!(!merged.rows(&b));
        merged.observe(&b, at(3));
        merged.observe(&a, at(20));
        assert_eq!(merged.advance(), None, "the watermark never goes back and b holds it");
    }

    #[test]
    fn all_idle_is_said_once_and_over_with_the_next_row() {
        let (mut merged, a, _) = two();
        merged.step(seconds(1));
        assert_eq!(merged.advance(), None);
        merged.step(seconds(2));
        assert_eq!(merged.advance(), Some(Advance::Idle));
        assert_eq!(merged.advance(), None);
        assert!(merged.rows(&a));
        assert!(!merged.rows(&a));
    }

    #[test]
    fn when_all_are_idle_the_furthest_split_decides() {
        let (mut merged, a, b) = two();
        merged.observe(&a, at(10));
        merged.observe(&b, at(4));
        assert_eq!(merged.advance(), Some(Advance::Watermark(at(4))));
        merged.step(seconds(1));
        merged.step(seconds(2));
        assert_eq!(merged.advance(), Some(Advance::Watermark(at(10))));
        assert_eq!(merged.advance(), Some(Advance::Idle));
    }

    #[test]
    fn backpressure_does_not_make_splits_idle() {
        let (mut merged, _, _) = two();
        merged.step(seconds(100));
        assert_eq!(merged.advance(), None);
        merged.step(seconds(200));
        assert_eq!(merged.advance(), Some(Advance::Idle));
    }

    #[test]
    fn ended_splits_are_left_out() {
        let (mut merged, a, b) = two();
        merged.observe(&a, at(10));
        merged.end(&b);
        assert_eq!(merged.advance(), Some(Advance::Watermark(at(10))));
    }

    #[test]
    fn a_subtask_without_splits_is_idle_at_once() {
        let mut merged = SourceWatermarks::new(None);
        merged.assign(&[]);
        assert_eq!(merged.advance(), Some(Advance::Idle));
    }
}
