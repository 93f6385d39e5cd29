//! The house rules that a machine can check: which crate may use which, how long files and functions may be, and that
//! every module says what it is.

use std::fs;
use std::path::{Path, PathBuf};

const MAX_FILE_LINES: usize = 500;
const MAX_OPERATOR_LINES: usize = 250;
const MAX_FUNCTION_LINES: usize = 70;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a member of the workspace").to_path_buf()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("readable folder") {
        let path = entry.expect("readable entry").path();
        if path.is_dir() && !path.ends_with("target") {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn all_files() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for member in ["engine", "sql", "connectors", "shell", "tests", "benches"] {
        rust_files(&root().join(member), &mut files);
    }
    assert!(files.len() > 50, "the walk must find the code");
    files.into_iter().map(|p| (p.clone(), fs::read_to_string(p).expect("readable file"))).collect()
}

#[track_caller]
fn assert_none(offences: Vec<String>) {
    assert!(offences.is_empty(), "\n{}", offences.join("\n"));
}

#[test]
fn crates_depend_only_downwards() {
    let allowed = [
        ("engine", &[][..]),
        ("sql", &["eddyline-engine"][..]),
        ("connectors", &["eddyline-engine"][..]),
        ("shell", &["eddyline-engine", "eddyline-sql", "eddyline-connectors"][..]),
    ];
    let mut offences = Vec::new();
    for (member, arrows) in allowed {
        let manifest = fs::read_to_string(root().join(member).join("Cargo.toml")).expect("manifest");
        for line in manifest.lines().filter(|l| l.starts_with("eddyline-")) {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if !arrows.contains(&name) {
                offences.push(format!("{member} must not depend on {name}"));
            }
        }
    }
    assert_none(offences);
}

#[test]
fn files_are_one_idea_long() {
    let too_long = |(path, text): &(PathBuf, String)| {
        let operator = path.to_string_lossy().contains("engine/src/operators/");
        let limit = if operator { MAX_OPERATOR_LINES } else { MAX_FILE_LINES };
        let lines = text.lines().count();
        (lines > limit).then(|| format!("{}: {lines} lines, {limit} are allowed", path.display()))
    };
    assert_none(all_files().iter().filter_map(too_long).collect());
}

#[test]
fn every_module_says_what_it_is() {
    let silent = |(path, text): &(PathBuf, String)| {
        (!text.starts_with("//!")).then(|| format!("{}: must start with //!", path.display()))
    };
    assert_none(all_files().iter().filter_map(silent).collect());
}

/// Functions by their first line and the closing brace at the same indent, which rustfmt guarantees.
#[test]
fn functions_fit_on_a_screen() {
    let mut offences = Vec::new();
    for (path, text) in all_files() {
        let lines: Vec<&str> = text.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let head = line.trim_start();
            let is_function =
                ["fn ", "pub fn ", "async fn ", "pub async fn ", "unsafe fn ", "const fn ", "pub const fn "]
                    .iter()
                    .any(|p| head.starts_with(p))
                    || (head.starts_with("pub(") && head.contains(") fn "));
            if !is_function {
                continue;
            }
            let close = format!("{}}}", " ".repeat(indent));
            let end = lines[start..].iter().position(|l| *l == close);
            let one_line = line.trim_end().ends_with('}') || line.trim_end().ends_with(';');
            if let (Some(length), false) = (end, one_line)
                && length + 1 > MAX_FUNCTION_LINES
            {
                offences.push(format!("{}:{}: function of {} lines", path.display(), start + 1, length + 1));
            }
        }
    }
    assert_none(offences);
}

#[test]
fn tests_neither_sleep_nor_hide() {
    let mut offences = Vec::new();
    let forbidden =
        [concat!("#[", "ignore"), concat!("thread::", "sleep"), concat!("to", "do!("), concat!("unimpl", "emented!(")];
    for (path, text) in all_files() {
        for (number, line) in text.lines().enumerate() {
            if forbidden.iter().any(|word| line.contains(word)) {
                offences.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    assert_none(offences);
}

#[test]
fn operators_hold_only_their_own_logic() {
    let forbidden = ["crossbeam", "Barrier", "std::thread", "SystemTime", "Instant", "checkpoint::", "runtime::"];
    let mut offences = Vec::new();
    for (path, text) in all_files().iter().filter(|(p, _)| p.to_string_lossy().contains("engine/src/operators/")) {
        for word in forbidden.iter().filter(|w| text.contains(**w)) {
            offences.push(format!("{}: an operator must not know '{word}'", path.display()));
        }
    }
    assert_none(offences);
}
