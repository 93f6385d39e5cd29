//! The endpoint answers its own requests, reads only, and listens to this machine only.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::{JOB, Observed};

#[test]
fn the_page_is_served_to_its_own_host_only() {
    let job = Observed::start();
    let page = job.endpoint.get("/");
    assert!(page.status == 200 && page.body.contains("<title>Eddyline</title>"), "{page:?}");
    assert!(page.head.contains("content-security-policy: default-src 'none'; script-src 'sha256-"), "{}", page.head);
    for host in ["evil.example", "evil.example:80", "10.1.2.3", "127.0.0.1:1"] {
        let answer = job.endpoint.ask("GET", "/jobs", &[("Host", host)]);
        assert!(answer.status == 403 && !answer.body.contains("RUNNING"), "{host}: {answer:?}");
    }
    assert_eq!(job.endpoint.ask("POST", "/jobs", &[("Host", &job.endpoint.address)]).status, 405);
    assert_eq!(job.endpoint.get("/nothing").status, 404);
}

#[test]
fn other_sites_get_nothing_but_a_link_to_the_page() {
    let job = Observed::start();
    let host = ("Host", job.endpoint.address.as_str());
    let own = format!("http://{}", job.endpoint.address);
    let asked = |path: &str, headers: &[(&str, &str)]| {
        let answer = job.endpoint.ask("GET", path, &[&[host], headers].concat());
        assert!(!answer.head.contains("access-control-"), "no CORS: {}", answer.head);
        assert!(answer.head.contains("cross-origin-resource-policy: same-origin"), "{}", answer.head);
        answer.status
    };
    for path in ["/", "/jobs", "/metrics", "/health"] {
        assert_eq!(asked(path, &[("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors")]), 403, "{path}");
        assert_eq!(asked(path, &[("Origin", "http://evil.example")]), 403, "{path}");
        assert_eq!(asked(path, &[("Sec-Fetch-Site", "same-origin"), ("Origin", &own)]), 200, "{path}");
    }
    let link = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")];
    assert_eq!((asked("/", &link), asked("/jobs", &link)), (200, 403));
}

#[test]
fn connections_that_say_nothing_keep_nobody_out() {
    let job = Observed::start();
    let address = &job.endpoint.address;
    let mut idle: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(address).expect("a socket")).collect();
    // The places are taken, the others found the door closed.
    let limit = Duration::from_secs(30);
    let closed = |stream: &mut TcpStream| {
        stream.set_read_timeout(Some(limit)).expect("a timeout");
        // A byte of a request keeps nobody's place either.
        let _ = stream.write_all(b"G");
        !matches!(stream.read(&mut [0; 16]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    };
    assert!(idle.iter_mut().all(closed), "all are closed in time");
    assert_eq!(job.endpoint.get("/health").status, 200);
}

#[test]
fn the_endpoint_does_not_listen_to_the_world() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("job.sql"), JOB).expect("the script can be written");
    for command in
        [&["run", "--http", "0.0.0.0:0", "job.sql"][..], &["serve", "--pg", "127.0.0.1:0", "--http", "[::]:0"]]
    {
        let run = eddyline_tests::program::run(folder.path(), command);
        assert!(!run.success && run.stderr.contains("loopback"), "{}", run.stderr);
    }
}
