//! Waiting for something outside that the user may have enough of: a call that cannot be cut short is left behind, with
//! the thread that makes it.
//!
//! Whoever executes a statement says in [`interruptible`] how it is known that the user does not want to wait any longer;
//! that holds for the thread of the statement and for nothing else. Connectors make their calls in [`outside`] and ask
//! [`asked`] between them. Jobs, whose threads nobody has said this of, wait as ever.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::error::{Error, Result};

/// Tells whether the user does not want to wait any longer.
pub type Asked = Arc<dyn Fn() -> bool + Send + Sync>;

/// How often a waiting thread looks.
pub const LOOK_EVERY: Duration = Duration::from_millis(50);

thread_local! {
    static ASKED: RefCell<Option<Asked>> = const { RefCell::new(None) };
}

/// Does `work` so that what it waits for ends when `asked` says so.
///
/// ```
/// # use std::sync::{Arc, mpsc::channel}; use eddyline_engine::interrupt::{interruptible, outside};
/// let (_never, answer) = channel::<()>();
/// let waited = interruptible(Arc::new(|| true), || outside("the oracle", move || answer.recv()));
/// assert_eq!(waited.unwrap_err().to_string(), "cancelled while it waited for the oracle");
/// ```
pub fn interruptible<T>(asked: Asked, work: impl FnOnce() -> T) -> T {
    /// Puts back what was there, also when `work` panics.
    struct Before(Option<Asked>);
    impl Drop for Before {
        fn drop(&mut self) {
            ASKED.set(self.0.take());
        }
    }
    let _before = Before(ASKED.replace(Some(asked)));
    work()
}

/// True on a thread that executes a statement whose user can have enough of it.
pub fn possible() -> bool {
    ASKED.with_borrow(Option::is_some)
}

/// True when the user of this thread's statement does not want to wait any longer.
pub fn asked() -> bool {
    // Not while it is borrowed: it may take its time.
    let asked = ASKED.with_borrow(Clone::clone);
    asked.is_some_and(|asked| asked())
}

/// An error when the user does not want to wait for `whom` any longer.
pub fn check(whom: &str) -> Result<()> {
    if asked() { Err(cancelled(whom)) } else { Ok(()) }
}

/// The error for what was given up.
pub fn cancelled(waited_for: &str) -> Error {
    Error::Cancelled { message: format!("cancelled while it waited for {waited_for}") }
}

/// The answer of a `call` to `whom`, which may take long. In a thread whose user may have enough of it another one makes the
/// call, and goes on alone when that happens.
pub fn outside<T: Send + 'static>(whom: &str, call: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    if !possible() {
        return Ok(call());
    }
    let (sender, answer) = channel();
    let work = move || {
        // Whoever asked may have left.
        let _ = sender.send(call());
    };
    let thread = std::thread::Builder::new().name("outside".to_string()).spawn(work);
    thread.map_err(|e| Error::io("a thread cannot be started", e))?;
    loop {
        match answer.recv_timeout(LOOK_EVERY) {
            Ok(answer) => return Ok(answer),
            Err(RecvTimeoutError::Timeout) if asked() => return Err(cancelled(whom)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::internal(format!("the call to {whom} has failed")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_call_is_left_behind_when_it_is_not_wanted_any_more() {
        let enough = Arc::new(AtomicBool::new(false));
        let (begun, begins) = channel();
        let (release, held) = channel::<()>();
        let (flag, raise) = (enough.clone(), enough.clone());
        let raiser = std::thread::spawn(move || {
            begins.recv().unwrap();
            raise.store(true, Ordering::SeqCst);
        });
        let waited = interruptible(Arc::new(move || flag.load(Ordering::SeqCst)), || {
            assert_eq!(outside("a quick one", || 7).unwrap(), 7);
            outside("a slow one", move || {
                begun.send(()).unwrap();
                held.recv().is_ok()
            })
        });
        let error = waited.unwrap_err();
        assert_eq!(
            (error.to_string().as_str(), error.sqlstate()),
            ("cancelled while it waited for a slow one", "57014")
        );
        assert!(!error.is_retriable());
        raiser.join().unwrap();
        release.send(()).unwrap();
        assert!(!asked(), "what was said holds for that statement only");
    }

    #[test]
    fn elsewhere_calls_are_made_in_place() {
        let here = std::thread::current().id();
        assert!(outside("anybody", move || std::thread::current().id() == here).unwrap());
    }
}
