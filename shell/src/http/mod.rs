//! The HTTP endpoint: `/metrics` for Prometheus, `/health`, Flink's REST shapes for jobs and checkpoints, and one page.
//!
//! It only reads, has no login, and therefore listens on loopback addresses only. `guard` refuses what comes from pages
//! of other sites, `listen` holds its limits; both so that a browser or a client that misbehaves is nobody's problem.

mod flink;
mod flink_checkpoints;
mod flink_vertices;
mod guard;
mod health;
mod listen;
mod page;
mod prometheus;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use eddyline_sql::Engine;
use eddyline_sql::jobs::JobEntry;
use serde_json::Value;

use crate::failure::Failure;
use crate::server::WireFigures;

/// What is shown.
#[derive(Clone)]
pub struct Shown {
    /// Whose jobs.
    pub engine: Arc<Engine>,
    /// How the Postgres door is doing, where there is one.
    pub wire: Option<Arc<WireFigures>>,
}

impl Shown {
    fn jobs(&self) -> Vec<JobEntry> {
        self.engine.jobs().list()
    }
}

/// Starts to listen on `address`, on a thread of its own that lives as long as the process. Returns the address with the
/// port that it has got.
pub fn start(address: SocketAddr, shown: Shown) -> Result<SocketAddr, Failure> {
    let failed = |e: std::io::Error| Failure::Message(format!("ERROR: cannot listen on http://{address}: {e}"));
    if !address.ip().is_loopback() {
        return Err(Failure::Message(format!(
            "ERROR: --http {address}: the endpoint has no login, so it listens on loopback addresses only\n\
             HINT: use 127.0.0.1:{} and a reverse proxy that asks for one",
            address.port()
        )));
    }
    let listener = std::net::TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let app = router(shown, address);
    let run = move || {
        let Err(error) = runtime.block_on(listen::serve(listener, app));
        tracing::error!(%error, "the HTTP endpoint has ended");
    };
    std::thread::Builder::new().name("http".into()).spawn(run).map_err(failed)?;
    Ok(address)
}

fn router(shown: Shown, address: SocketAddr) -> Router {
    let rest = rest();
    Router::new()
        .route("/", get(page::serve))
        .route("/health", get(|shown: State<Shown>| async move { health::answer(&shown.jobs()) }))
        .route("/metrics", get(metrics))
        // Flink serves its API with and without its version.
        .nest("/v1", rest.clone())
        .merge(rest)
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "Not found.") })
        .layer(middleware::from_fn_with_state(address, guard::own_requests_only))
        .with_state(shown)
}

/// Flink's part.
fn rest() -> Router<Shown> {
    Router::new()
        .route("/config", get(|| async { json(&flink::config()) }))
        .route("/overview", get(|shown: State<Shown>| async move { json(&flink::overview(&shown.jobs())) }))
        .route("/jobs", get(|shown: State<Shown>| async move { json(&flink::jobs(&shown.jobs())) }))
        .route("/jobs/overview", get(|shown: State<Shown>| async move { json(&flink::jobs_overview(&shown.jobs())) }))
        .route("/jobs/{id}", get(|shown, id| of_job(shown, id, flink::job)))
        .route("/jobs/{id}/plan", get(|shown, id| of_job(shown, id, flink::job_plan)))
        .route("/jobs/{id}/status", get(|shown, id| of_job(shown, id, flink::job_status)))
        .route("/jobs/{id}/config", get(|shown, id| of_job(shown, id, flink::job_config)))
        .route("/jobs/{id}/vertices/{vertex}", get(|shown, ids| of_part(shown, ids, "vertex", flink_vertices::vertex)))
        .route("/jobs/{id}/checkpoints/config", get(|shown, id| of_job(shown, id, flink_checkpoints::config)))
        .route(
            "/jobs/{id}/checkpoints/details/{epoch}",
            get(|shown, ids| of_part(shown, ids, "checkpoint", flink_checkpoints::checkpoint)),
        )
        .route("/jobs/{id}/checkpoints", get(|shown, id| of_job(shown, id, flink_checkpoints::checkpoints)))
        .route("/jobs/{id}/exceptions", get(|shown, id| of_job(shown, id, flink::exceptions)))
        .route("/jobs/{id}/splits", get(|shown, id| of_job(shown, id, flink::splits)))
}

async fn metrics(State(shown): State<Shown>) -> Response {
    let text = prometheus::render(&shown.jobs(), shown.wire.as_deref());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

async fn of_job(State(shown): State<Shown>, Path(id): Path<String>, show: fn(&JobEntry) -> Value) -> Response {
    match shown.jobs().iter().find(|job| job.id == id) {
        Some(job) => json(&show(job)),
        None => problem(StatusCode::NOT_FOUND, &format!("Job {id} not found")),
    }
}

/// What is shown of a part of a job.
async fn of_part(
    State(shown): State<Shown>,
    Path((id, part)): Path<(String, String)>,
    kind: &str,
    show: fn(&JobEntry, &str) -> Option<Value>,
) -> Response {
    let jobs = shown.jobs();
    let Some(job) = jobs.iter().find(|job| job.id == id) else {
        return problem(StatusCode::NOT_FOUND, &format!("Job {id} not found"));
    };
    match show(job, &part) {
        Some(value) => json(&value),
        None => problem(StatusCode::NOT_FOUND, &format!("Job {id} has no {kind} {part}")),
    }
}

fn json(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json; charset=UTF-8")], value.to_string()).into_response()
}

/// Flink's shape of an error.
fn problem(status: StatusCode, text: &str) -> Response {
    (status, json(&serde_json::json!({ "errors": [text] }))).into_response()
}
