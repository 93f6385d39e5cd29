//! Names of files.

use std::path::Path;

use super::Candidate;

/// Files and folders that begin with `typed`; folders with a slash behind them.
pub fn complete(start: usize, typed: &str) -> (usize, Vec<Candidate>) {
    let (folder, begun) = typed.rsplit_once('/').map_or((".", typed), |(folder, begun)| (folder, begun));
    let folder = if folder.is_empty() { "/" } else { folder };
    let Ok(entries) = std::fs::read_dir(Path::new(folder)) else { return (start, Vec::new()) };
    let mut found: Vec<Candidate> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let hidden = name.starts_with('.') && !begun.starts_with('.');
            if hidden || !name.starts_with(begun) {
                return None;
            }
            let slash = if entry.path().is_dir() { "/" } else { "" };
            let shown = format!("{name}{slash}");
            let text = format!("{}{shown}", &typed[..typed.len() - begun.len()]);
            Some(Candidate { shown, text })
        })
        .collect();
    found.sort();
    (start, found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn files_and_folders_are_found_by_their_beginning() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("one.sql"), "").unwrap();
        std::fs::write(folder.path().join(".hidden"), "").unwrap();
        std::fs::create_dir(folder.path().join("old")).unwrap();
        let path = folder.path().to_string_lossy().into_owned();
        let texts = |typed: &str| complete(3, typed).1.into_iter().map(|c| c.text).collect::<Vec<_>>();
        assert_eq!(texts(&format!("{path}/o")), [format!("{path}/old/"), format!("{path}/one.sql")]);
        assert_eq!(texts(&format!("{path}/.h")), [format!("{path}/.hidden")]);
        assert!(texts(&format!("{path}/no/such")).is_empty());
    }
}
