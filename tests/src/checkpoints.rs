//! What a test sees of a job's checkpoints from outside: the folders `chk-<n>` and the files in them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::program::Program;
use crate::services::process::wait_for;

/// The complete checkpoints in the folder of a job, oldest first, with their numbers.
pub fn complete(job: &Path) -> Vec<(u64, PathBuf)> {
    let number = |p: &Path| p.file_name()?.to_str()?.strip_prefix("chk-")?.parse::<u64>().ok();
    let Ok(entries) = fs::read_dir(job) else { return Vec::new() };
    let paths = entries.filter_map(|entry| entry.ok().map(|e| e.path()));
    let mut found: Vec<(u64, PathBuf)> = paths.filter_map(|p| number(&p).map(|n| (n, p))).collect();
    found.retain(|(_, path)| path.join("manifest.json").exists());
    found.sort();
    found
}

/// Number of the newest complete checkpoint, 0 when there is none.
pub fn newest(job: &Path) -> u64 {
    complete(job).last().map_or(0, |(number, _)| *number)
}

/// Waits for a complete checkpoint with a number above `than`; panics when the program ends before.
pub fn wait_for_newer(job: &Path, than: u64, program: &mut Program) -> u64 {
    wait_for("a newer checkpoint", Duration::from_secs(60), || {
        program.assert_running();
        Some(newest(job)).filter(|number| *number > than)
    })
}

/// Changes one byte in the middle of a state file of the checkpoint at `path`.
pub fn damage(path: &Path) {
    let files = fs::read_dir(path).expect("the checkpoint is a folder").map(|entry| entry.expect("an entry").path());
    let is_state = |p: &PathBuf| p.extension().is_some_and(|e| e == "parquet");
    let file = files.into_iter().find(is_state).expect("a checkpoint with state");
    let mut bytes = fs::read(&file).expect("a readable state file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).expect("a writable state file");
}
