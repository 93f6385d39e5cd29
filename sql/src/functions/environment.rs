//! What functions know besides their arguments: the session's time zone, its clock and its randomness.
//!
//! It is handed to every function when a session makes its functions, so that no function looks at the machine by
//! itself: a session with a manual clock and a seed gives the same results in every run.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use chrono_tz::Tz;
use eddyline_engine::time::{Clock, SystemClock};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// The surroundings of all functions of a session.
#[derive(Clone)]
pub struct Environment {
    /// `table.local-time-zone`.
    pub zone: Tz,
    /// Where `PROCTIME()`, `NOW()` and their like get the time, once per batch.
    pub clock: Arc<dyn Clock>,
    /// Where `RAND()`, `UUID()` and their like get their numbers.
    pub random: Random,
}

impl Environment {
    /// The machine's clock and randomness, in `zone`.
    pub fn of_machine(zone: Tz) -> Self {
        Environment { zone, clock: Arc::new(SystemClock), random: Random::default() }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").field("zone", &self.zone).finish_non_exhaustive()
    }
}

/// A source of seeds that all functions of a session share.
#[derive(Clone)]
pub struct Random(Arc<Mutex<StdRng>>);

impl Random {
    /// The same numbers in every run.
    pub fn seeded(seed: u64) -> Self {
        Random(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// A generator of its own for one batch.
    pub fn generator(&self) -> StdRng {
        let mut seeds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        StdRng::from_seed(seeds.random())
    }
}

impl Default for Random {
    /// Other numbers in every run.
    fn default() -> Self {
        Random(Arc::new(Mutex::new(StdRng::from_os_rng())))
    }
}
