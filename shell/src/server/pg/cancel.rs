//! Cancel requests: they come over a connection of their own and name the one they mean by number and secret.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// The connections whose statements can be cancelled.
#[derive(Default)]
pub struct Cancels {
    next: AtomicI32,
    open: Mutex<HashMap<(i32, i32), Arc<Running>>>,
}

/// The statement that a connection executes.
#[derive(Default)]
struct Running(Mutex<Option<oneshot::Sender<()>>>);

/// A connection's place among [`Cancels`]; it is free again when this is dropped.
pub struct Cancellable {
    cancels: Arc<Cancels>,
    key: (i32, i32),
    running: Arc<Running>,
}

impl Cancels {
    /// Gives a connection its number and secret.
    pub fn register(self: &Arc<Self>) -> Cancellable {
        let number = self.next.fetch_add(1, Ordering::Relaxed).wrapping_add(1) & i32::MAX;
        let [a, b, c, d, ..] = *uuid::Uuid::new_v4().as_bytes();
        let key = (number, i32::from_be_bytes([a, b, c, d]));
        let running = Arc::new(Running::default());
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&running));
        Cancellable { cancels: Arc::clone(self), key, running }
    }

    /// Cancels what the connection with this number and secret executes, if there is one and it does.
    pub fn cancel(&self, number: i32, secret: i32) {
        let running = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&(number, secret)).cloned();
        let sender = running.and_then(|r| r.0.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(sender) = sender {
            // A statement that has just ended needs no cancelling.
            let _ = sender.send(());
        }
    }
}

impl Cancellable {
    /// Number and secret.
    pub fn key(&self) -> (i32, i32) {
        self.key
    }

    /// A statement begins; the receiver hears when it is to be cancelled. Requests for earlier ones do not reach it.
    pub fn begin(&self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        *self.running.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        receiver
    }

    /// The statement is over.
    pub fn end(&self) {
        *self.running.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Drop for Cancellable {
    fn drop(&mut self) {
        self.cancels.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_the_running_statement_of_the_right_secret_is_cancelled() {
        let cancels = Arc::new(Cancels::default());
        let connection = cancels.register();
        let (number, secret) = connection.key();
        cancels.cancel(number, secret);
        let mut statement = connection.begin();
        assert!(statement.try_recv().is_err(), "a request before it does not reach it");
        cancels.cancel(number, secret.wrapping_add(1));
        assert!(statement.try_recv().is_err());
        cancels.cancel(number, secret);
        statement.try_recv().unwrap();
        drop(connection);
        assert!(cancels.open.lock().unwrap().is_empty());
    }
}
