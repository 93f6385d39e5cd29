//! The HTTP endpoint: `/metrics` for Prometheus, `/health`, Flink's REST shapes for jobs and checkpoints, and one page.
//!
//! It only reads. It answers requests whose `Host` is the address that it listens on, `localhost` or a loopback
//! address, so that a page from elsewhere cannot reach it under another name (DNS rebinding); it sends no CORS headers,
//! so that such a page cannot read an answer either.

mod flink;
mod page;
mod prometheus;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use eddyline_engine::runtime::JobHandle;
use serde_json::Value;

use crate::failure::Failure;

/// The jobs to show, those that have ended included.
pub type Jobs = Arc<dyn Fn() -> Vec<JobHandle> + Send + Sync>;

/// What every request handler knows.
#[derive(Clone)]
struct Endpoint {
    jobs: Jobs,
    address: SocketAddr,
}

/// Starts to listen on `address`, on a thread of its own that lives as long as the process. Returns the address with the
/// port that it has got.
pub fn start(address: SocketAddr, jobs: Jobs) -> Result<SocketAddr, Failure> {
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
    let app = router(Endpoint { jobs, address });
    let serve = move || {
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            axum::serve(listener, app).await
        })
    };
    let run = move || {
        if let Err(error) = serve() {
            tracing::error!(%error, "the HTTP endpoint has ended");
        }
    };
    std::thread::Builder::new().name("http".into()).spawn(run).map_err(failed)?;
    Ok(address)
}

fn router(endpoint: Endpoint) -> Router {
    Router::new()
        .route("/", get(|| async { ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page::HTML) }))
        .route("/health", get(|| async { json(&serde_json::json!({ "status": "ok" })) }))
        .route("/metrics", get(metrics))
        .route("/overview", get(|State(e): State<Endpoint>| async move { json(&flink::overview(&(e.jobs)())) }))
        .route("/jobs", get(|State(e): State<Endpoint>| async move { json(&flink::jobs(&(e.jobs)())) }))
        .route(
            "/jobs/overview",
            get(|State(e): State<Endpoint>| async move { json(&flink::jobs_overview(&(e.jobs)())) }),
        )
        .route("/jobs/{id}", get(|e: State<Endpoint>, id: Path<String>| of_job(e, id, flink::job)))
        .route("/jobs/{id}/checkpoints", get(|e: State<Endpoint>, id: Path<String>| of_job(e, id, flink::checkpoints)))
        .route("/jobs/{id}/exceptions", get(|e: State<Endpoint>, id: Path<String>| of_job(e, id, flink::exceptions)))
        .route("/jobs/{id}/splits", get(|e: State<Endpoint>, id: Path<String>| of_job(e, id, flink::splits)))
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "Not found.") })
        .layer(middleware::from_fn_with_state(endpoint.clone(), only_own_host))
        .with_state(endpoint)
}

async fn metrics(State(endpoint): State<Endpoint>) -> Response {
    let text = prometheus::render(&(endpoint.jobs)());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

async fn of_job(State(endpoint): State<Endpoint>, Path(id): Path<String>, show: fn(&JobHandle) -> Value) -> Response {
    // The newest run of a pipeline stands last.
    match (endpoint.jobs)().iter().rev().find(|job| job.id() == id) {
        Some(job) => json(&show(job)),
        None => problem(StatusCode::NOT_FOUND, &format!("Job {id} not found")),
    }
}

fn json(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// Flink's shape of an error.
fn problem(status: StatusCode, text: &str) -> Response {
    (status, json(&serde_json::json!({ "errors": [text] }))).into_response()
}

async fn only_own_host(State(endpoint): State<Endpoint>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|h| h.to_str().ok());
    if !host.is_some_and(|host| is_own(host, endpoint.address)) {
        return problem(StatusCode::FORBIDDEN, "this host name is not served here");
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'self' 'unsafe-inline'; frame-ancestors 'none'"),
    );
    response
}

/// True when `host`, the value of the header, names the address itself or the loopback.
fn is_own(host: &str, address: SocketAddr) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok_and(|p| p == address.port()) => name,
        Some((_, port)) if port.parse::<u16>().is_ok() => return false,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback() || ip == address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_loopback_by_name_or_number_is_served() {
        let address = SocketAddr::from(([127, 0, 0, 1], 8081));
        for host in ["127.0.0.1:8081", "localhost:8081", "LOCALHOST:8081", "[::1]:8081", "127.0.0.1"] {
            assert!(is_own(host, address), "{host}");
        }
        for host in
            ["evil.example:8081", "evil.example", "127.0.0.1:9999", "10.0.0.1:8081", "localhost.evil.example:8081"]
        {
            assert!(!is_own(host, address), "{host}");
        }
    }
}
