//! Named points at which a test lets the process die, fail or stand still.
//!
//! `EDDYLINE_CRASH=<point>:<hit>:<action>` acts when the point is reached for the `<hit>`-th time (from 1): `kill9` sends
//! the process SIGKILL, `pause` SIGSTOP, `error` makes the step fail. `EDDYLINE_CRASH_TRACE=<file>` appends the name of
//! every point when it is reached for the first time. Programs built without debug assertions know neither variable:
//! there a point is nothing.
//!
//! [`POINTS`] lists them all in the order of the protocol; a whole-program test fails if one is never reached.

use crate::error::Result;

/// Every point, in the order of the protocol: recovery, checkpoint, commit, clean-up.
pub const POINTS: &[&str] = &[
    "recovery.fence-taken",
    "recovery.manifest-read",
    "recovery.committer-fenced",
    "recovery.marker-read",
    "recovery.logs-applied",
    "recovery.settled",
    "recovery.state-loaded",
    "recovery.sources-assigned",
    "checkpoint.injected",
    "checkpoint.source-noted",
    "checkpoint.state-frozen",
    "checkpoint.sink-prepared",
    "checkpoint.state-written",
    "checkpoint.log-written",
    "checkpoint.acknowledged",
    "checkpoint.manifest-staged",
    "checkpoint.folder-synced",
    "checkpoint.manifest-renamed",
    "checkpoint.manifest-durable",
    "checkpoint.sources-told",
    "retention.manifest-removed",
    "retention.files-removed",
    "commit.begin",
    "commit.applied",
    "commit.record-written",
    "commit.recorded",
    "kafka.slot-0-initialised",
    "kafka.slot-1-initialised",
    "kafka.transaction-begun",
    "kafka.mid-produce",
    "kafka.flushed",
    "kafka.marker-sent",
    "kafka.commit-sent",
    "kafka.committed",
    "kafka.handle-dropped",
    "kafka.re-initialised",
    "jdbc.marker-fenced",
    "jdbc.transaction-begun",
    "jdbc.marker-moved",
    "jdbc.mid-write",
    "jdbc.written",
    "jdbc.committed",
    "filesystem.part-synced",
    "filesystem.part-renamed",
    "filesystem.folder-synced",
];

/// The step named `name` is reached. Never an error outside of tests.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn point(_name: &'static str) -> Result<()> {
    Ok(())
}

/// The step named `name` is reached: does what the environment says. An error only if that is the action.
#[cfg(debug_assertions)]
pub fn point(name: &'static str) -> Result<()> {
    armed::reach(name)
}

#[cfg(debug_assertions)]
mod armed {
    use std::collections::HashMap;
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::path::PathBuf;
    use std::sync::{Mutex, OnceLock, PoisonError};

    use crate::error::{Error, Result};

    enum Action {
        Kill,
        Pause,
        Fail,
    }

    struct Plan {
        /// Point, hit and action.
        armed: Option<(String, u64, Action)>,
        trace: Option<PathBuf>,
        hits: Mutex<HashMap<&'static str, u64>>,
    }

    pub(super) fn reach(name: &'static str) -> Result<()> {
        debug_assert!(super::POINTS.contains(&name), "crash point '{name}' is not in the list");
        static PLAN: OnceLock<Plan> = OnceLock::new();
        let plan = PLAN.get_or_init(read);
        if plan.armed.is_none() && plan.trace.is_none() {
            return Ok(());
        }
        let hit = {
            let mut hits = plan.hits.lock().unwrap_or_else(PoisonError::into_inner);
            let count = hits.entry(name).or_default();
            *count += 1;
            *count
        };
        if let Some(trace) = plan.trace.as_ref().filter(|_| hit == 1)
            && let Ok(mut file) = OpenOptions::new().append(true).create(true).open(trace)
        {
            let _ = file.write_all(format!("{name}\n").as_bytes());
        }
        match &plan.armed {
            Some((point, at, action)) if point == name && *at == hit => act(name, action),
            _ => Ok(()),
        }
    }

    fn act(name: &str, action: &Action) -> Result<()> {
        let signal = match action {
            Action::Kill => libc::SIGKILL,
            Action::Pause => libc::SIGSTOP,
            Action::Fail => return Err(Error::connector("crash", format!("told to fail at '{name}'"))),
        };
        // A signal to the process may reach another thread first, while this one goes on past the point: this thread gets
        // it, which ends or stops the whole process all the same.
        // SAFETY: a plain system call.
        unsafe { libc::raise(signal) };
        Ok(())
    }

    /// A plan that cannot be read ends the process: a test that asks for a crash which never comes would prove nothing.
    fn read() -> Plan {
        let armed = std::env::var("EDDYLINE_CRASH").ok().map(|text| match parse(&text) {
            Some(armed) => armed,
            None => {
                tracing::error!(text, "EDDYLINE_CRASH is not <point>:<hit>:<kill9|error|pause>");
                std::process::abort()
            }
        });
        let trace = std::env::var_os("EDDYLINE_CRASH_TRACE").map(PathBuf::from);
        Plan { armed, trace, hits: Mutex::default() }
    }

    fn parse(text: &str) -> Option<(String, u64, Action)> {
        let mut parts = text.split(':');
        let (point, hit, action) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
        let action = match action {
            "kill9" => Action::Kill,
            "pause" => Action::Pause,
            "error" => Action::Fail,
            _ => return None,
        };
        (parts.next().is_none() && super::POINTS.contains(&point)).then(|| (point.to_string(), hit, action))
    }
}
