//! Finds the files of a path.

use std::fs;
use std::path::{Path, PathBuf};

use eddyline_engine::error::{Error, Result};

use super::NAME;

/// The file at `path`, or all files below the folder at `path` in order of their paths, without those whose name, or
/// whose folder's name, starts with `.` or `_`.
pub(super) fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let message = format!("path {} does not exist", path.display());
            return Err(Error::refused(NAME, message, "check the option 'path' of the table"));
        }
        Err(error) => return Err(Error::io(format!("looking at {}", path.display()), error)),
    };
    if metadata.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut found = Vec::new();
    let mut folders = vec![path.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let reading = |error| Error::io(format!("reading folder {}", folder.display()), error);
        for entry in fs::read_dir(&folder).map_err(reading)? {
            let entry = entry.map_err(reading)?;
            if entry.file_name().to_string_lossy().starts_with(['.', '_']) {
                continue;
            }
            // Follows symbolic links; a file that vanished meanwhile is not there.
            let Ok(metadata) = fs::metadata(entry.path()) else { continue };
            if metadata.is_dir() { folders.push(entry.path()) } else { found.push(entry.path()) }
        }
    }
    found.sort();
    Ok(found)
}
