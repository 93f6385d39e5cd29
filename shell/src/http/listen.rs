//! Serves an app over HTTP/1 within limits: so many connections at once, a head that comes in time, and an end to every
//! connection.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Connections at once; a browser opens six.
const CONNECTIONS: usize = 64;
/// For the head of a request, and so for the pause between two.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that is older answers what it is at and closes; clients open another.
const LIFETIME: Duration = Duration::from_secs(60);
/// For that last answer.
const LAST_ANSWER: Duration = Duration::from_secs(5);
/// Bytes of a request's head, and of answers that wait to be sent.
const BUFFER_BYTES: usize = 16 << 10;
/// How long to wait when no more sockets can be opened.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `app` until the future is dropped.
pub async fn serve(listener: std::net::TcpListener, app: Router) -> std::io::Result<Infallible> {
    let listener = TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                // Who comes when all places are taken finds the door closed.
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                let app = app.clone();
                tokio::spawn(async move {
                    attend(socket, app).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "an HTTP connection cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn attend(socket: TcpStream, app: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(app));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = tokio::time::sleep(LIFETIME) => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(LAST_ANSWER, connection).await.ok()
        }
    };
    if let Some(Err(error)) = ended {
        tracing::debug!(%error, "an HTTP connection has ended");
    }
}
