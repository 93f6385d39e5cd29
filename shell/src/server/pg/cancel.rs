//! Cancel requests: they come over a connection of their own and name the one they mean by number and secret.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use eddyline_sql::{SqlError, SqlState};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// The connections whose statements can be cancelled.
#[derive(Default)]
pub struct Cancels {
    next: AtomicI32,
    open: Mutex<HashMap<(i32, i32), Arc<Running>>>,
}

/// The statement that a connection executes.
#[derive(Default)]
struct Running(Mutex<Option<oneshot::Sender<()>>>);

/// Why the statement that runs is to end before its time.
pub struct Cancel {
    /// None when it was heard.
    request: Option<oneshot::Receiver<()>>,
    /// When its time is over.
    deadline: Option<Instant>,
}

impl Cancel {
    /// Comes back when the statement is to end, with the error that says why. A request is heard once.
    pub async fn asked(&mut self) -> SqlError {
        let why = tokio::select! {
            biased;
            () = heard(&mut self.request) => "user request",
            () = over(self.deadline) => "statement timeout",
        };
        self.deadline = None;
        SqlError::new(SqlState::Cancelled, format!("canceling statement due to {why}"))
    }
}

async fn heard(request: &mut Option<oneshot::Receiver<()>>) {
    let Some(receiver) = request else { return std::future::pending().await };
    let heard = receiver.await.is_ok();
    *request = None;
    if !heard {
        std::future::pending().await
    }
}

async fn over(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

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

    /// A statement begins, which may take so long. Requests for earlier ones do not reach it.
    pub fn begin(&self, timeout: Option<Duration>) -> Cancel {
        let (sender, receiver) = oneshot::channel();
        *self.running.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        Cancel { request: Some(receiver), deadline: timeout.map(|timeout| Instant::now() + timeout) }
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

    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_statement_that_takes_too_long_is_cancelled_once() {
        let connection = Arc::new(Cancels::default()).register();
        let mut statement = connection.begin(Some(Duration::from_millis(1)));
        let error = statement.asked().await;
        assert_eq!(
            (error.sqlstate(), error.message.as_str()),
            ("57014", "canceling statement due to statement timeout")
        );
        assert!(statement.asked().now_or_never().is_none());
    }

    #[test]
    fn only_the_running_statement_of_the_right_secret_is_cancelled() {
        let cancels = Arc::new(Cancels::default());
        let connection = cancels.register();
        let (number, secret) = connection.key();
        cancels.cancel(number, secret);
        let mut statement = connection.begin(None);
        let mut asked = || statement.asked().now_or_never();
        assert!(asked().is_none(), "a request before it does not reach it");
        cancels.cancel(number, secret.wrapping_add(1));
        assert!(asked().is_none());
        cancels.cancel(number, secret);
        assert_eq!(asked().unwrap().message, "canceling statement due to user request");
        assert!(asked().is_none(), "it is heard once");
        connection.end();
        assert!(asked().is_none());
        drop(connection);
        assert!(cancels.open.lock().unwrap().is_empty());
    }
}
