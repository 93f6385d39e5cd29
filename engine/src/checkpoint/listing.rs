//! Checkpoints for people: what `eddyline checkpoints list|show|verify` prints.

use std::path::{Path, PathBuf};

use super::Manifest;
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

/// All checkpoints at `path`, oldest first: the folder of all jobs, of one job, of one checkpoint, or a manifest file.
/// Every file of every checkpoint is verified.
pub fn list(path: &Path) -> Result<Vec<Listing>> {
    Err(Error::internal(format!("listing {} is not written yet", path.display())))
}
