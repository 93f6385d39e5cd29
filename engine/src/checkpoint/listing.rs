//! Checkpoints for people: what `eddyline checkpoints list|show|verify` prints. Takes no lock, changes nothing.

use std::fs;
use std::path::{Path, PathBuf};

use super::files::context;
use super::manifest::FILE_NAME;
use super::{Manifest, layout, restore};
use crate::error::{Error, Result};

/// One checkpoint found in a folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing {
    /// Its folder.
    pub path: PathBuf,
    /// Its manifest; None when it is not there or cannot be read.
    pub manifest: Option<Manifest>,
    /// What is wrong with it; None when every file has the length and hash that the manifest says.
    pub problem: Option<String>,
}

/// All checkpoints at `path`, by job and number: the folder of all jobs, of one job, of one checkpoint, or a manifest
/// file. Every file of every checkpoint is verified. Empty when the folder holds none.
pub fn list(path: &Path) -> Result<Vec<Listing>> {
    if path.file_name().is_some_and(|name| name == FILE_NAME) {
        return Ok(vec![look_at(path.parent().unwrap_or(Path::new(".")))]);
    }
    if path.join(FILE_NAME).exists() {
        return Ok(vec![look_at(path)]);
    }
    let of_one_job = layout::checkpoints(path)?;
    if !of_one_job.is_empty() {
        return Ok(of_one_job.iter().map(|(_, dir)| look_at(dir)).collect());
    }
    let entries = fs::read_dir(path).map_err(|e| Error::io(context("list", path), e))?;
    let mut jobs: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.is_dir()).collect();
    jobs.sort();
    let mut all = Vec::new();
    for job in jobs {
        match job.join(FILE_NAME).exists() {
            true => all.push(look_at(&job)),
            false => all.extend(layout::checkpoints(&job)?.iter().map(|(_, dir)| look_at(dir))),
        }
    }
    Ok(all)
}

fn look_at(dir: &Path) -> Listing {
    let problem = match restore::verify(dir) {
        Ok(_) => None,
        Err(restore::Unusable::NoManifest) => Some("no manifest: not completed, or given up".to_string()),
        Err(restore::Unusable::Damaged(what)) => Some(format!("damaged: {what}")),
        Err(restore::Unusable::Refused(error)) => Some(error.to_string()),
    };
    Listing { path: dir.to_path_buf(), manifest: restore::read_manifest(dir).ok(), problem }
}
