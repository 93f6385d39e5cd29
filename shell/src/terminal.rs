//! The terminal, where there is one: its size, single keys while something runs, secrets that are typed.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

nix::ioctl_read_bad!(window_size, nix::libc::TIOCGWINSZ, nix::libc::winsize);

/// Columns and lines when the terminal does not know.
const UNKNOWN_SIZE: (usize, usize) = (80, 24);

/// Columns and lines of the terminal that standard output is; None when it is none.
pub fn size() -> Option<(usize, usize)> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let mut size = nix::libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: standard output is open, and the kernel writes one `winsize` to a place that is one.
    let asked = unsafe { window_size(nix::libc::STDOUT_FILENO, &mut size) };
    match (asked, usize::from(size.ws_col), usize::from(size.ws_row)) {
        (Ok(_), columns @ 1.., lines @ 1..) => Some((columns, lines)),
        _ => Some(UNKNOWN_SIZE),
    }
}

/// True when there may be colours on standard output.
pub fn has_colours() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// While it lives, keys come one by one and are not echoed; Ctrl-C remains a signal.
pub struct Keys {
    before: Termios,
}

impl Keys {
    /// Keys of the terminal that standard input is; None when it is none.
    pub fn listen() -> Option<Self> {
        if !io::stdin().is_terminal() {
            return None;
        }
        let before = tcgetattr(io::stdin()).ok()?;
        let mut now = before.clone();
        now.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
        tcsetattr(io::stdin(), SetArg::TCSANOW, &now).ok()?;
        Some(Keys { before })
    }

    /// True when `q` was pressed since the last call. Other keys are forgotten.
    pub fn asked_to_quit(&self) -> bool {
        let stdin = io::stdin();
        let mut quit = false;
        let mut buffer = [0; 64];
        loop {
            let mut wanted = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
            if !matches!(poll(&mut wanted, PollTimeout::ZERO), Ok(1..)) {
                return quit;
            }
            match nix::unistd::read(stdin.as_fd(), &mut buffer) {
                Ok(length @ 1..) => quit |= buffer[..length].iter().any(|key| matches!(key, b'q' | b'Q')),
                _ => return quit,
            }
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &self.before);
    }
}

/// Asks for a secret on the terminal, without showing it; None when there is no terminal.
#[cfg(feature = "server")]
pub fn ask_secret(prompt: &str) -> io::Result<Option<String>> {
    use io::Write;

    let Ok(terminal) = std::fs::File::options().read(true).write(true).open("/dev/tty") else { return Ok(None) };
    let before = tcgetattr(&terminal)?;
    let mut now = before.clone();
    now.local_flags.remove(LocalFlags::ECHO);
    (&terminal).write_all(prompt.as_bytes())?;
    tcsetattr(&terminal, SetArg::TCSAFLUSH, &now)?;
    let mut line = String::new();
    let read = io::BufRead::read_line(&mut io::BufReader::new(&terminal), &mut line);
    tcsetattr(&terminal, SetArg::TCSAFLUSH, &before)?;
    (&terminal).write_all(b"\n")?;
    read?;
    Ok(Some(line.trim_end_matches(['\n', '\r']).to_string()))
}
