//! How often a wrong password may be tried: failed logins per address and user, so that guessing is slow and nobody is
//! locked out by somebody at another address.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures within [`WINDOW`] after which every further login fails, whatever its password.
const MOST_FAILURES: u32 = 10;
/// From the first failure until the count begins anew.
const WINDOW: Duration = Duration::from_secs(60);
/// Most pairs of address and user that are remembered; then the oldest is forgotten.
const PAIRS_KEPT: usize = 4096;

/// Failed logins.
#[derive(Default)]
pub struct Attempts {
    /// Names are as long as a client likes, so their hashes stand for them.
    hasher: RandomState,
    failures: Mutex<HashMap<u64, Failures>>,
}

struct Failures {
    count: u32,
    since: Instant,
}

impl Attempts {
    /// False when `user` has failed too often from this address.
    pub fn allows(&self, from: IpAddr, user: &str, now: Instant) -> bool {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = failures.get(&self.key(from, user)).filter(|f| now.duration_since(f.since) < WINDOW);
        recent.is_none_or(|f| f.count < MOST_FAILURES)
    }

    /// A login has failed.
    pub fn failed(&self, from: IpAddr, user: &str, now: Instant) {
        let key = self.key(from, user);
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= PAIRS_KEPT && !failures.contains_key(&key) {
            failures.retain(|_, f| now.duration_since(f.since) < WINDOW);
            let oldest = failures.iter().min_by_key(|(_, f)| f.since).map(|(key, _)| *key);
            if let Some(oldest) = oldest.filter(|_| failures.len() >= PAIRS_KEPT) {
                failures.remove(&oldest);
            }
        }
        let entry = failures.entry(key).or_insert(Failures { count: 0, since: now });
        if now.duration_since(entry.since) >= WINDOW {
            *entry = Failures { count: 0, since: now };
        }
        entry.count += 1;
    }

    fn key(&self, from: IpAddr, user: &str) -> u64 {
        self.hasher.hash_one((from, user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 9));

    #[test]
    fn guessing_ends_after_some_failures_and_begins_again_a_minute_later() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..MOST_FAILURES {
            assert!(attempts.allows(HERE, "ada", now));
            attempts.failed(HERE, "ada", now);
        }
        assert!(!attempts.allows(HERE, "ada", now + WINDOW / 2));
        assert!(attempts.allows(THERE, "ada", now) && attempts.allows(HERE, "bob", now));
        assert!(attempts.allows(HERE, "ada", now + WINDOW));
        attempts.failed(HERE, "ada", now + WINDOW);
        assert!(attempts.allows(HERE, "ada", now + WINDOW));
    }

    #[test]
    fn a_flood_of_names_is_not_remembered() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for i in 0..2 * PAIRS_KEPT {
            attempts.failed(HERE, &i.to_string(), now);
        }
        assert_eq!(attempts.failures.lock().unwrap_or_else(PoisonError::into_inner).len(), PAIRS_KEPT);
    }
}
