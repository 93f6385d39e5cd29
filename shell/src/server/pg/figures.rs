//! How the Postgres door is doing, for metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::Semaphore;

/// Counters of the door.
pub struct WireFigures {
    places: Arc<Semaphore>,
    most: usize,
    failed_logins: AtomicU64,
    refused: AtomicU64,
    cancel_requests: AtomicU64,
}

impl WireFigures {
    /// Counters of a door with `most` places.
    pub fn new(most: usize) -> Self {
        let zero = AtomicU64::default;
        let places = Arc::new(Semaphore::new(most));
        WireFigures { places, most, failed_logins: zero(), refused: zero(), cancel_requests: zero() }
    }

    /// The places of clients that have logged in.
    pub(super) fn places(&self) -> Arc<Semaphore> {
        Arc::clone(&self.places)
    }

    /// Clients that have logged in.
    pub fn connections(&self) -> u64 {
        self.most.saturating_sub(self.places.available_permits()) as u64
    }

    /// Most of them at once.
    pub fn most_connections(&self) -> u64 {
        self.most as u64
    }

    /// Logins with a wrong user or password.
    pub fn failed_logins(&self) -> u64 {
        self.failed_logins.load(Relaxed)
    }

    /// Sockets that were closed before a login was complete, without or with a word.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Cancel requests.
    pub fn cancel_requests(&self) -> u64 {
        self.cancel_requests.load(Relaxed)
    }

    pub(super) fn login_failed(&self) {
        self.failed_logins.fetch_add(1, Relaxed);
    }

    pub(super) fn socket_refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    pub(super) fn cancel_requested(&self) {
        self.cancel_requests.fetch_add(1, Relaxed);
    }
}
