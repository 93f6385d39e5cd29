//! Who may ask: only requests that name the endpoint itself, and none that a page of another site has sent.
//!
//! - The `Host` must be `localhost` or a loopback address, with our port: a name of somebody else's that resolves to
//!   this machine (DNS rebinding) is not ours.
//! - What browsers say about where a request comes from (`Sec-Fetch-Site`, `Origin`) must be this endpoint itself. A link
//!   from elsewhere may open the page, and nothing else.
//! - No answer has CORS headers, may be framed, or may be loaded by another site.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::problem;

/// Headers of every answer.
fn common_headers() -> [(HeaderName, &'static str); 6] {
    [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ]
}

/// For answers that bring no policy of their own: nothing of them may run.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// Lets our own requests through.
pub async fn own_requests_only(State(address): State<SocketAddr>, request: Request, next: Next) -> Response {
    let mut response = match refusal(request.headers(), request.uri().path(), address) {
        Some(reason) => problem(StatusCode::FORBIDDEN, reason),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in common_headers() {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(POLICY));
    response
}

/// Why a request is not answered.
fn refusal(headers: &HeaderMap, path: &str, address: SocketAddr) -> Option<&'static str> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if headers.get_all(header::HOST).iter().count() != 1 || !text("host").is_some_and(|host| is_own(host, address)) {
        return Some("this host name is not served here");
    }
    let own_origin = |origin: &str| origin.strip_prefix("http://").is_some_and(|host| is_own(host, address));
    if text("origin").is_some_and(|origin| !own_origin(origin)) {
        return Some("requests of other sites are not answered");
    }
    let opens_page = path == "/" && text("sec-fetch-mode") == Some("navigate");
    match text("sec-fetch-site") {
        None | Some("same-origin" | "none") => None,
        Some(_) if opens_page => None,
        Some(_) => Some("requests of other sites are not answered"),
    }
}

/// True when `host`, a name and mostly a port, is the address itself or the loopback.
fn is_own(host: &str, address: SocketAddr) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, port)) => (name, port.strip_prefix(':')),
        None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    };
    // Without a port it is that of HTTP.
    let port = port.map_or(Some(80), |port| port.parse::<u16>().ok());
    let named = name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    named && port == Some(address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8081);

    #[test]
    fn only_the_loopback_by_name_or_number_is_served() {
        for host in ["127.0.0.1:8081", "localhost:8081", "LOCALHOST:8081", "[::1]:8081"] {
            assert!(is_own(host, ADDRESS), "{host}");
        }
        let others = [
            "evil.example:8081",
            "evil.example",
            "127.0.0.1",
            "127.0.0.1:9999",
            "127.0.0.1:",
            "10.0.0.1:8081",
            "localhost.evil.example:8081",
            "",
        ];
        others.iter().for_each(|host| assert!(!is_own(host, ADDRESS), "{host}"));
        assert!(is_own("localhost", SocketAddr::new(ADDRESS.ip(), 80)));
    }

    fn refused(path: &str, headers: &[(&'static str, &'static str)]) -> bool {
        let mut map = HeaderMap::new();
        map.insert(header::HOST, HeaderValue::from_static("127.0.0.1:8081"));
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        refusal(&map, path, ADDRESS).is_some()
    }

    #[test]
    fn requests_of_other_sites_are_refused() {
        assert!(!refused("/jobs", &[]), "programs say nothing about sites");
        assert!(!refused("/jobs", &[("sec-fetch-site", "same-origin"), ("origin", "http://127.0.0.1:8081")]));
        assert!(!refused("/jobs", &[("sec-fetch-site", "none")]), "typed by hand");
        for site in ["cross-site", "same-site", "anything"] {
            assert!(refused("/jobs", &[("sec-fetch-site", site)]), "{site}");
        }
        for origin in ["null", "http://evil.example", "https://127.0.0.1:8081", "http://127.0.0.1:9000"] {
            assert!(refused("/jobs", &[("origin", origin)]), "{origin}");
        }
        assert!(refused("/jobs", &[("host", "127.0.0.1:8081")]), "two hosts");
        let link = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
        assert!(!refused("/", &link) && refused("/jobs", &link));
    }
}
