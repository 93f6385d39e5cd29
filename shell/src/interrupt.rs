//! Ctrl-C and SIGTERM: the first asks for an orderly stop, the second ends the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};

/// Tells whether the user asked to stop.
#[derive(Clone)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Starts listening. The second signal of a kind exits at once with code 130.
    pub fn install() -> std::io::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // The order matters: at the first signal the flag is still down when the shutdown is considered.
            signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&asked))?;
            signal_hook::flag::register(signal, Arc::clone(&asked))?;
        }
        Ok(Interrupt(asked))
    }

    /// Starts listening for a shell, which Ctrl-C never ends. SIGTERM is as above.
    pub fn install_for_shell() -> std::io::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register_conditional_shutdown(SIGTERM, 130, Arc::clone(&asked))?;
        signal_hook::flag::register(SIGTERM, Arc::clone(&asked))?;
        signal_hook::flag::register(SIGINT, Arc::clone(&asked))?;
        Ok(Interrupt(asked))
    }

    /// True after the first signal.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// As if a signal had come.
    pub fn raise(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Forgets the signal: the shell goes on after a query was cancelled.
    pub fn reset(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}
