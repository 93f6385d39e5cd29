//! A pause that can be cut short: how a waiting sink learns that its attempt is being torn down.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Set once, from another thread.
#[derive(Default)]
pub(super) struct Halt {
    asked: Mutex<bool>,
    changed: Condvar,
}

impl Halt {
    /// Waits for `pause`; true when the halt was asked for before or meanwhile.
    pub(super) fn wait(&self, pause: Duration) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(asked, pause, |asked| !*asked);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn ask(&self) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }
}

/// The halts of all sinks of one attempt.
#[derive(Default)]
pub(super) struct Halts(Mutex<Vec<Arc<Halt>>>);

impl Halts {
    /// A halt for one more sink.
    pub(super) fn add(&self) -> Arc<Halt> {
        let halt = Arc::new(Halt::default());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&halt));
        halt
    }

    /// Asks all sinks so far to halt; those opened later are not concerned.
    pub(super) fn ask_all(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..).for_each(|halt| halt.ask());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_halt_cuts_the_pause_short_and_stays() {
        let halts = Arc::new(Halts::default());
        let halt = halts.add();
        let asker = Arc::clone(&halts);
        let thread = std::thread::spawn(move || asker.ask_all());
        assert!(halt.wait(Duration::from_secs(60)));
        assert!(halt.wait(Duration::ZERO));
        assert!(!halts.add().wait(Duration::ZERO), "a later sink is not concerned");
        assert!(thread.join().is_ok());
    }
}
