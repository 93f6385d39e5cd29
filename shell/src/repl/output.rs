//! Where results go: the terminal, a pager, a file.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::failure::Failure;
use crate::render::width;
use crate::terminal;

/// A finished text, shown at once: in a pager when it is longer or wider than the terminal.
pub fn show(text: &[u8], paged: bool) -> io::Result<()> {
    let text = String::from_utf8_lossy(text);
    match terminal::size() {
        Some(size) if paged && !fits(&text, size) => match page(&text) {
            // Without a pager the terminal has to do.
            Err(_) => print(&text),
            Ok(()) => Ok(()),
        },
        _ => print(&text),
    }
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn fits(text: &str, (columns, lines): (usize, usize)) -> bool {
    // One line is for the next prompt.
    text.lines().count() < lines && text.lines().all(|line| width(line) <= columns)
}

/// Hands the text to `$PAGER`, or to `less -S`.
fn page(text: &str) -> io::Result<()> {
    let pager = std::env::var("PAGER").ok().filter(|pager| !pager.trim().is_empty());
    let mut command = Command::new("sh");
    command.args(["-c", pager.as_deref().unwrap_or("less -S")]).stdin(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // The reader may leave before the end.
        let _ = stdin.write_all(text.as_bytes());
    }
    match child.wait()?.success() {
        true => Ok(()),
        false => Err(io::Error::other("the pager failed")),
    }
}

/// Opens the file that results are appended to.
pub fn open(path: &Path) -> Result<BufWriter<File>, Failure> {
    let file = File::options().create(true).append(true).open(path);
    let file = file.map_err(|e| Failure::Message(format!("ERROR: cannot write {}: {e}", path.display())))?;
    Ok(BufWriter::new(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_fits_when_it_is_neither_too_long_nor_too_wide() {
        assert!(fits("a\nb\n", (10, 3)));
        assert!(!fits("a\nb\nc\n", (10, 3)));
        assert!(!fits("a\n12345678901\n", (10, 24)));
        assert!(!fits("漢漢漢漢漢漢\n", (10, 24)));
    }
}
