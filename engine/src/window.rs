//! Windows of event time as plain arithmetic: which windows a time belongs to, and which panes make up a window.
//!
//! A pane is the longest stretch of time that every window contains wholly or not at all. Aggregates are kept per pane
//! and windows put together from panes. All times are microseconds; a window is `[start, end)`.

/// The kinds of windows, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSpec {
    /// Kind and lengths.
    pub kind: WindowKind,
    /// Shift of the windows from the epoch, in microseconds.
    pub offset: i64,
}
