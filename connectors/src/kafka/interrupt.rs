//! A flag that ends waiting: set when the job's attempt is torn down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use eddyline_engine::error::{Error, Result};

use super::KAFKA;

/// Longest time that a wait goes on after the flag is set.
const SLICE: Duration = Duration::from_millis(50);

/// The flag; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Ends all waiting, now and in future.
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// An error once the flag is set.
    pub(super) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Acquire) { Err(Error::connector(KAFKA, "interrupted")) } else { Ok(()) }
    }

    /// Waits for `pause`; an error as soon as the flag is set.
    pub(super) fn pause(&self, pause: Duration) -> Result<()> {
        let until = Instant::now() + pause;
        loop {
            self.check()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::park_timeout(left.min(SLICE));
        }
    }
}
