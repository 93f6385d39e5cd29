//! The way to the database: a connection that is made anew after any failure, and the loop that does work again.
//!
//! After a failure the connection is dropped, never reused, because nobody knows what state it is in; the work, which
//! must bear repetition, is done again as a whole on a new one. Lost connections are sought again for
//! `connection.max-retry-timeout`; deadlocks and lock timeouts are retried `sink.max-retries` times; everything else comes
//! back at once. Before each attempt the guard is asked, so that a process that was taken over writes nothing more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use eddyline_engine::connector::Guard;
use eddyline_engine::{Error, Result, interrupt};
use tokio::runtime::Runtime;

use super::config::Config;
use super::connection::{Connection, Failure};
use super::halt::Halt;

/// First pause before a retry; doubles each time up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(2);
/// A connection that nobody used for so long is replaced; MySQL would close it after 30 s.
const MAX_IDLE: Duration = Duration::from_secs(20);

/// One user's connection to the database of one table.
pub(super) struct Link {
    config: Config,
    runtime: Runtime,
    /// Asked before each attempt.
    guard: Guard,
    /// Cuts pauses short when the attempt ends.
    halt: Arc<Halt>,
    /// None after a failure, until the next attempt.
    connection: Option<Connection>,
    /// When the connection was used last.
    used: Instant,
}

impl Link {
    /// Not connected yet.
    pub(super) fn new(config: Config, guard: Guard, halt: Arc<Halt>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::io("start of the jdbc sink's runtime", e))?;
        Ok(Link { config, runtime, guard, halt, connection: None, used: Instant::now() })
    }

    /// The settings of the table.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// Does `work` once, connecting first when there is no connection.
    pub(super) fn once<T>(
        &mut self,
        mut work: impl AsyncFnMut(&mut Connection) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if self.used.elapsed() > MAX_IDLE {
            self.connection = None;
        }
        let (slot, config) = (&mut self.connection, &self.config);
        let work = async {
            let connection = match slot {
                Some(connection) => connection,
                None => slot.insert(Connection::open(config).await?),
            };
            work(connection).await
        };
        let done = self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = enough() => Err(Failure::Fatal(interrupt::cancelled(&config.place()))),
                done = work => done,
            }
        });
        self.used = Instant::now();
        if done.is_err() {
            self.connection = None;
        }
        done
    }

    /// Does `work` until it succeeds or there is no use in trying again. Whatever `work` has begun and not committed is
    /// rolled back by the database when the connection is dropped.
    pub(super) fn run<T>(
        &mut self,
        mut work: impl AsyncFnMut(&mut Connection) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let started = Instant::now();
        let (mut pause, mut retries) = (FIRST_PAUSE, 0);
        loop {
            self.guard.check()?;
            let failure = match self.once(&mut work) {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            let give_up = match &failure {
                Failure::Lost(_) => started.elapsed() >= self.config.retry_timeout,
                Failure::Transient(_) => {
                    retries += 1;
                    retries > self.config.max_retries
                }
                Failure::Refused(_) | Failure::Fatal(_) => true,
            };
            if give_up {
                return Err(failure);
            }
            tracing::warn!(table = self.config.table, ?failure, ?pause, "write failed, trying again");
            if self.is_over_within(pause) {
                return Err(failure);
            }
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    /// Waits; true when there is to be no other attempt.
    fn is_over_within(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if self.halt.wait(left.min(interrupt::LOOK_EVERY)) || interrupt::asked() {
                return true;
            }
            if left.is_zero() {
                return false;
            }
        }
    }

    /// The failure in words for the user.
    pub(super) fn explain(&self, failure: Failure) -> Error {
        explain(failure, &self.config)
    }
}

/// Comes back when the user does not want to wait any longer; never for a job, which has nobody to say so.
async fn enough() {
    if !interrupt::possible() {
        std::future::pending::<()>().await;
    }
    while !interrupt::asked() {
        tokio::time::sleep(interrupt::LOOK_EVERY).await;
    }
}

fn explain(failure: Failure, config: &Config) -> Error {
    let place = config.place();
    match failure {
        Failure::Fatal(error) => error,
        Failure::Lost(message) => Error::connector("jdbc", format!("no connection to {place}: {message}"))
            .with_hint("check that the database runs and that the option 'url' is right"),
        Failure::Transient(message) => {
            Error::connector("jdbc", format!("{place}, table '{}': {message}", config.table_name()))
        }
        Failure::Refused(Error::Data { message, hint }) => {
            Error::Data { message: format!("jdbc: table '{}': {message}", config.table_name()), hint }
        }
        Failure::Refused(other) => other,
    }
}
