//! A client of the HTTP endpoint that sends exactly what a test says.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::services::process::wait_for;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(30);

/// An endpoint.
pub struct Endpoint {
    /// Host and port.
    pub address: String,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The code of its status.
    pub status: u16,
    /// Status line and headers, in lower case.
    pub head: String,
    /// Its body.
    pub body: String,
}

impl Endpoint {
    /// The endpoint that a program says it serves.
    pub fn announced(output: impl Fn() -> String) -> Self {
        let address = wait_for("the address of the endpoint", LIMIT, || {
            let output = output();
            let after = output.rsplit("jobs are shown at http://").next().filter(|rest| rest.len() < output.len())?;
            after.split_once('/').map(|(address, _)| address.to_string())
        });
        Endpoint { address }
    }

    /// The answer to a request with these headers besides `Connection: close`.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut stream = TcpStream::connect(&self.address).expect("the endpoint listens");
        stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!("{method} {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("the request is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer in UTF-8");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        Answer { status, head: head.to_lowercase(), body: body.to_string() }
    }

    /// What a browser or program that means it gets.
    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[("Host", &self.address)])
    }

    /// The same as JSON; the status must be 200.
    #[track_caller]
    pub fn json(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).expect("JSON")
    }

    /// The id of the newest job of this name.
    pub fn job(&self, name: &str) -> Option<String> {
        let jobs = self.json("/jobs/overview");
        let jobs = jobs["jobs"].as_array().expect("jobs");
        jobs.iter().rfind(|job| job["name"] == name).map(|job| job["jid"].as_str().expect("an id").to_string())
    }

    /// Waits until the job has this state.
    pub fn wait_for_state(&self, id: &str, state: &str) {
        wait_for(&format!("state {state}"), 2 * LIMIT, || {
            (self.json(&format!("/jobs/{id}"))["state"] == state).then_some(())
        });
    }
}
