//! `eddyline checkpoints list|show|verify PATH`.

use std::path::Path;

use eddyline_engine::checkpoint::{Restored, list};

use crate::cli::{CheckpointAction, CheckpointArguments};
use crate::failure::Failure;

/// Runs the command.
pub fn run(arguments: &CheckpointArguments) -> Result<(), Failure> {
    match &arguments.action {
        CheckpointAction::List { path } => print_list(path),
        CheckpointAction::Show { path } => show(path),
        CheckpointAction::Verify { path } => {
            let restored = Restored::read(path)?;
            println!("checkpoint {} of job '{}' is complete", restored.manifest.epoch.0, restored.manifest.job);
            Ok(())
        }
    }
}

fn print_list(path: &Path) -> Result<(), Failure> {
    for entry in list(path)? {
        let path = entry.path.display();
        match (&entry.manifest, &entry.problem) {
            (_, Some(problem)) => println!("{path}: DAMAGED: {problem}"),
            (Some(manifest), None) => {
                let files = manifest.operators.iter().flat_map(|o| &o.states).flat_map(|s| &s.files);
                let bytes: u64 = files.map(|f| f.bytes).sum();
                println!("{path}: job {}, epoch {}, {bytes} bytes of state", manifest.job, manifest.epoch.0);
            }
            (None, None) => println!("{path}: not complete"),
        }
    }
    Ok(())
}

fn show(path: &Path) -> Result<(), Failure> {
    let manifest = Restored::read(path)?.manifest;
    println!("job        {}", manifest.job);
    println!("epoch      {}", manifest.epoch.0);
    println!("kind       {:?}", manifest.kind);
    println!("generation {}", manifest.generation);
    for operator in &manifest.operators {
        println!("{} ×{}", operator.name, operator.parallelism);
        for state in &operator.states {
            let bytes: u64 = state.files.iter().map(|f| f.bytes).sum();
            let rows: u64 = state.files.iter().map(|f| f.rows).sum();
            println!("  state {}: {rows} rows, {bytes} bytes, {} files", state.name, state.files.len());
        }
        for split in &operator.splits {
            println!("  split {}: {}", split.split, split.position);
        }
    }
    Ok(())
}
