//! The Postgres door: whoever speaks PostgreSQL's protocol can use the engine.
//!
//! - `codec`, `login`, `waiting`, `attempts`, `cancel`: from a socket to a client that has logged in, within limits.
//! - `script`, `command`: what clients send, cut and sorted.
//! - `connection`, `extended`, `cursor`, `copy`: the two ways to send statements, cursors, COPY.
//! - `answer`, `running`: results on their way, each with its own bounded channel; a slow reader holds back its own query
//!   and nothing else.
//! - `types`, `encode`, `text`, `numeric`, `parameter`: values in both directions.
//! - `catalog`, `catalog_relations`, `catalog_keys`, `catalog_definitions`, `catalog_functions`, `catalog_rewrite`,
//!   `catalog_unfold`, `catalog_views`, `asyncpg`: pg_catalog and information_schema.

mod answer;
mod asyncpg;
mod attempts;
mod cancel;
mod catalog;
mod catalog_definitions;
mod catalog_functions;
mod catalog_keys;
mod catalog_relations;
mod catalog_rewrite;
mod catalog_unfold;
mod catalog_views;
mod codec;
mod command;
mod connection;
mod copy;
mod cursor;
mod encode;
mod extended;
mod failure;
mod figures;
mod login;
mod numeric;
mod parameter;
mod running;
mod script;
mod text;
mod types;
mod waiting;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use eddyline_sql::Engine;
use pgwire::tokio::TlsAcceptor;
use tokio::net::{TcpListener, TcpStream};

use super::users::Users;
use attempts::Attempts;
use cancel::Cancels;
use connection::Connection;
use login::Entry;
use waiting::Waiting;

pub use figures::WireFigures;
pub use login::acceptor;

/// What clients are told: the version of PostgreSQL whose catalog we imitate.
const SERVER_VERSION: &str = "16.6";

/// Sockets that have not logged in, over as many as may log in at once: refusals and cancel requests.
const SPARE_SOCKETS: usize = 64;

/// How long to wait when no more sockets can be opened.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a client may use up.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once that have logged in.
    pub connections: usize,
    /// Until a login is complete.
    pub login_timeout: Duration,
    /// Largest message of a client that has logged in.
    pub message_bytes: usize,
}

/// Everything that connections share.
pub struct Door {
    engine: Arc<Engine>,
    limits: Limits,
    users: Option<Users>,
    tls: Option<TlsAcceptor>,
    tls_required: bool,
    cancels: Arc<Cancels>,
    attempts: Attempts,
    waiting: Arc<Waiting>,
    figures: Arc<WireFigures>,
    catalog: catalog::PgCatalog,
}

impl Door {
    /// A door to `engine`. With `users` everybody must log in; with `tls_required` only encrypted connections may.
    pub fn new(
        engine: Arc<Engine>,
        limits: Limits,
        users: Option<Users>,
        tls: Option<TlsAcceptor>,
        tls_required: bool,
    ) -> Result<Self, eddyline_sql::SqlError> {
        let catalog = catalog::PgCatalog::new(&engine)?;
        let figures = Arc::new(WireFigures::new(limits.connections));
        let (cancels, attempts) = (Arc::default(), Attempts::default());
        let waiting = Waiting::new(limits.connections + SPARE_SOCKETS);
        Ok(Door { engine, limits, users, tls, tls_required, cancels, attempts, waiting, figures, catalog })
    }

    /// How the door is doing.
    pub fn figures(&self) -> Arc<WireFigures> {
        Arc::clone(&self.figures)
    }

    /// Serves clients until the future is dropped.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((socket, peer)) => drop(tokio::spawn(Arc::clone(&self).attend(socket, peer))),
                Err(error) => {
                    // Too many open files, mostly: those who are here go on.
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn attend(self: Arc<Self>, socket: TcpStream, peer: SocketAddr) {
        let mut place = self.waiting.enter();
        let login = tokio::select! {
            login = tokio::time::timeout(self.limits.login_timeout, login::login(&self, socket, peer.ip())) => login,
            () = place.lost() => {
                self.figures.socket_refused();
                tracing::debug!(%peer, "a login made room for a newer one");
                return;
            }
        };
        drop(place);
        match login {
            Ok(Ok(Entry::Client(client))) => {
                let ended = Connection::new(Arc::clone(&self), *client).run().await;
                tracing::debug!(%peer, ?ended, "a connection is closed");
                return;
            }
            Ok(Ok(Entry::Served)) => return,
            Ok(Ok(Entry::Refused)) => {}
            Ok(Err(error)) => tracing::debug!(%peer, %error, "a connection ended before its login"),
            Err(_) => tracing::debug!(%peer, "a login took too long"),
        }
        self.figures.socket_refused();
    }
}
