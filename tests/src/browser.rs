//! Headless Chromium, as a reader of pages that executes their scripts.

use std::path::Path;
use std::process::Command;

use crate::services::process::require_program;

/// The document at `url` as its scripts have made it after some seconds of the page's own time.
pub fn document(url: &str) -> String {
    let output = chromium(&["--virtual-time-budget=4000", "--dump-dom", url]);
    assert!(output.contains("</html>"), "Chromium gives no document: {output}");
    output
}

/// A picture of the page at `url` in `file`.
pub fn picture(url: &str, file: &Path, (width, height): (u32, u32)) {
    let (size, target) = (format!("--window-size={width},{height}"), format!("--screenshot={}", file.display()));
    chromium(&[&size, &target, "--hide-scrollbars", "--virtual-time-budget=8000", url]);
    assert!(file.exists(), "Chromium makes no picture");
}

fn chromium(arguments: &[&str]) -> String {
    require_program("chromium", "chromium");
    let profile = tempfile::tempdir().expect("a temporary folder");
    let profile = format!("--user-data-dir={}", profile.path().display());
    // Without the sandbox, because root may not use it, and the only page that is opened is our own.
    let output = Command::new("timeout")
        .args(["60", "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", &profile])
        .args(arguments)
        .output()
        .expect("chromium can be run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "chromium {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
