//! Windows of time as plain arithmetic: which windows a time belongs to, and which panes make up a window.
//!
//! A pane is a stretch of time that every window contains wholly or not at all: rows are aggregated per pane and windows
//! are put together from panes. All times are microseconds; a window is `[start, end)`.
//!
//! ```text
//!   HOP slide 2, size 6       panes   |--|--|--|--|--|        CUMULATE step 2, size 6   panes |--|--|--|
//!                             windows |--------|                                      windows |--|
//!                                        |--------|                                           |-----|
//!                                           |--------|                                        |--------|
//! ```

use crate::error::{Error, Result};

/// The kinds of windows, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WindowKind {
    /// Back to back.
    Tumble {
        /// Length.
        size: i64,
    },
    /// One of length `size` starts every `slide`.
    Hop {
        /// Distance between starts.
        slide: i64,
        /// Length.
        size: i64,
    },
    /// As tumbling windows of length `size`, with an intermediate window ending at every `step` from the start.
    Cumulate {
        /// Distance between ends.
        step: i64,
        /// Largest length.
        size: i64,
    },
}

/// Windows with their alignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WindowSpec {
    /// Kind and lengths.
    pub kind: WindowKind,
    /// Shift of the windows from the epoch, in microseconds.
    pub offset: i64,
}

/// One window, `[start, end)` in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First moment.
    pub start: i64,
    /// The moment after the last.
    pub end: i64,
}

/// A time zone, as windows over instants need it. All times are microseconds; a wall-clock time counts as if in UTC.
pub trait Zone: Send + Sync {
    /// What the clock shows at `instant`.
    fn wall(&self, instant: i64) -> i64;

    /// When the clock shows `wall`: the later instant where it does so twice, the end of the gap where it never does.
    fn instant(&self, wall: i64) -> i64;
}

impl WindowSpec {
    /// Checks that the lengths are positive and fit each other; the messages are Flink's.
    pub fn validate(&self) -> Result<()> {
        let millis = |micros: i64| micros / 1000;
        let problem = match self.kind {
            WindowKind::Tumble { size } if size <= 0 => {
                format!(
                    "TUMBLE table function based aggregate requires size to be positive, but got {}ms",
                    millis(size)
                )
            }
            WindowKind::Hop { slide, size } if slide <= 0 || size <= 0 || size % slide != 0 => format!(
                "HOP table function based aggregate requires size must be an integral multiple of slide, but got size \
                 {} ms and slide {} ms",
                millis(size),
                millis(slide)
            ),
            WindowKind::Cumulate { step, size } if step <= 0 || size <= 0 || size % step != 0 => format!(
                "CUMULATE table function based aggregate requires maxSize must be an integral multiple of step, but \
                 got maxSize {} ms and step {} ms",
                millis(size),
                millis(step)
            ),
            _ => return Ok(()),
        };
        Err(Error::data(problem))
    }

    /// Length of a pane.
    pub fn pane_size(&self) -> i64 {
        match self.kind {
            WindowKind::Tumble { size } => size,
            WindowKind::Hop { slide, .. } => slide,
            WindowKind::Cumulate { step, .. } => step,
        }
    }

    /// Start of the pane that `time` belongs to.
    pub fn pane(&self, time: i64) -> i64 {
        self.floor(time, self.pane_size())
    }

    /// The first window to end after `after` that contains the pane starting at `pane`.
    pub fn next_window(&self, pane: i64, after: i64) -> Option<Window> {
        if after >= self.last_end(pane) {
            return None;
        }
        Some(match self.kind {
            WindowKind::Tumble { size } => Window { start: pane, end: pane + size },
            WindowKind::Hop { slide, size } => {
                let first_end = pane + slide;
                let skipped = if after < first_end { 0 } else { (after - first_end).div_euclid(slide) + 1 };
                let end = first_end + skipped * slide;
                Window { start: end - size, end }
            }
            WindowKind::Cumulate { step, size } => {
                let start = self.floor(pane, size);
                let first_end = pane + step;
                let skipped = if after < first_end { 0 } else { (after - first_end).div_euclid(step) + 1 };
                Window { start, end: first_end + skipped * step }
            }
        })
    }

    /// End of the last window that contains the pane starting at `pane`.
    pub fn last_end(&self, pane: i64) -> i64 {
        match self.kind {
            WindowKind::Tumble { size } | WindowKind::Hop { size, .. } => pane + size,
            WindowKind::Cumulate { size, .. } => self.floor(pane, size) + size,
        }
    }

    /// All windows that `time` belongs to, in Flink's order: of HOP the latest first, of CUMULATE the shortest first.
    pub fn windows(&self, time: i64) -> Vec<Window> {
        let pane = self.pane(time);
        let mut windows = Vec::new();
        let mut after = i64::MIN;
        while let Some(window) = self.next_window(pane, after) {
            after = window.end;
            windows.push(window);
        }
        if matches!(self.kind, WindowKind::Hop { .. }) {
            windows.reverse();
        }
        windows
    }

    /// The largest multiple of `size`, counted from the offset, that is not after `time`.
    fn floor(&self, time: i64, size: i64) -> i64 {
        time - (time - self.offset).rem_euclid(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(kind: WindowKind, offset: i64, time: i64) -> Vec<(i64, i64)> {
        WindowSpec { kind, offset }.windows(time).into_iter().map(|w| (w.start, w.end)).collect()
    }

    #[test]
    fn tumbling_windows_start_at_the_offset_also_before_the_epoch() {
        assert_eq!(windows(WindowKind::Tumble { size: 10 }, 0, 9), [(0, 10)]);
        assert_eq!(windows(WindowKind::Tumble { size: 10 }, 0, 10), [(10, 20)]);
        assert_eq!(windows(WindowKind::Tumble { size: 10 }, 0, -1), [(-10, 0)]);
        assert_eq!(windows(WindowKind::Tumble { size: 10 }, 3, 2), [(-7, 3)]);
    }

    #[test]
    fn hopping_windows_come_latest_first() {
        let hop = WindowKind::Hop { slide: 5, size: 15 };
        assert_eq!(windows(hop, 0, 7), [(5, 20), (0, 15), (-5, 10)]);
        assert_eq!(windows(hop, 2, 7), [(7, 22), (2, 17), (-3, 12)]);
    }

    #[test]
    fn cumulating_windows_come_shortest_first_from_the_step_of_the_row() {
        let cumulate = WindowKind::Cumulate { step: 5, size: 20 };
        assert_eq!(windows(cumulate, 0, 7), [(0, 10), (0, 15), (0, 20)]);
        assert_eq!(windows(cumulate, 0, 35), [(20, 40)]);
        assert_eq!(windows(cumulate, 1, 0), [(-19, 1)]);
    }

    #[test]
    fn next_window_skips_those_that_ended() {
        let hop = WindowSpec { kind: WindowKind::Hop { slide: 5, size: 15 }, offset: 0 };
        let next = |after| hop.next_window(5, after).map(|w| w.end);
        assert_eq!(
            [next(0), next(10), next(12), next(15), next(19), next(20)].map(|e| e.unwrap_or(0)),
            [10, 15, 15, 20, 20, 0]
        );
        let cumulate = WindowSpec { kind: WindowKind::Cumulate { step: 5, size: 20 }, offset: 0 };
        let next = |after| cumulate.next_window(5, after).map_or(0, |w| w.end);
        assert_eq!([next(0), next(10), next(19), next(20)], [10, 15, 20, 0]);
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        let spec = |kind| WindowSpec { kind, offset: 0 };
        assert!(spec(WindowKind::Hop { slide: 2, size: 5 }).validate().is_err());
        assert!(spec(WindowKind::Cumulate { step: 2, size: 5 }).validate().is_err());
        assert!(spec(WindowKind::Tumble { size: 0 }).validate().is_err());
        assert!(spec(WindowKind::Hop { slide: 2, size: 6 }).validate().is_ok());
    }
}
