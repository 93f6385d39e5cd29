//! Follows a running query: hands its changes to a writer until the query ends or the user stops it.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use eddyline_engine::ChangelogBatch;
use eddyline_engine::runtime::{JobHandle, StopMode};

use crate::failure::Failure;
use crate::figures::Figures;
use crate::interrupt::Interrupt;
use crate::progress::{Progress, describe, left_out};
use crate::render::{Ending, ResultWriter};

/// How often a waiting program looks at signals and events, and the longest that rows wait to be shown.
pub const POLL: Duration = Duration::from_millis(100);

/// A query whose rows come, here or on a server.
pub trait RunningQuery {
    /// Asks it to end; returns at once.
    fn cancel(&self);

    /// Waits until it has ended.
    fn wait(&self) -> Result<(), Failure>;

    /// What happened since the last call, in words.
    fn events(&self) -> Vec<String> {
        Vec::new()
    }

    /// Its figures in one line; `received` rows have been shown so far. Asked for only where somebody sees them: a query
    /// elsewhere asks over a connection of its own.
    fn figures(&self, figures: &mut Figures, received: u64) -> String;

    /// What is to be said when it has ended.
    fn last_words(&self) -> Vec<String> {
        Vec::new()
    }
}

impl RunningQuery for JobHandle {
    fn cancel(&self) {
        self.stop(StopMode::Cancel);
    }

    fn wait(&self) -> Result<(), Failure> {
        let summary = JobHandle::wait(self)?;
        tracing::debug!(rows = summary.rows_read, "query ended");
        Ok(())
    }

    fn events(&self) -> Vec<String> {
        self.drain_events().iter().filter_map(|event| describe(self.name(), event)).collect()
    }

    fn figures(&self, figures: &mut Figures, _received: u64) -> String {
        figures.of_jobs(&[self.status()])
    }

    fn last_words(&self) -> Vec<String> {
        let status = self.status();
        let said = left_out(status.skipped_messages, status.late_rows).into_iter();
        said.map(|text| format!("WARNING: {}: {text}", self.name())).collect()
    }
}

/// Shows the changes of `query` until it ends; the first time that `asked` says so, it is cancelled.
pub fn follow(
    changes: &Receiver<ChangelogBatch>,
    query: &dyn RunningQuery,
    writer: &mut dyn ResultWriter,
    out: &mut dyn Write,
    asked: &dyn Fn() -> bool,
) -> Result<(), Failure> {
    let (mut figures, mut received) = (Figures::new(), 0);
    let mut stopping = false;
    let mut flushed = Instant::now();
    loop {
        let next = changes.try_recv();
        if next.is_err() || flushed.elapsed() >= POLL {
            if writer.shows_status() {
                writer.status(&query.figures(&mut figures, received));
            }
            say(&query.events(), writer, out)?;
            writer.flush(out, Ending::No).or_else(ignore_closed)?;
            flushed = Instant::now();
        }
        let received_now = match next {
            Ok(batch) => Ok(batch),
            Err(_) => changes.recv_timeout(POLL),
        };
        match received_now {
            // What comes after the user has had enough is not waited for.
            Ok(_) if stopping => {}
            Ok(batch) => {
                received += batch.len() as u64;
                if let Err(error) = writer.write(&batch, out) {
                    // Nobody reads any more (`| head`): the query has done its work.
                    query.cancel();
                    return ignore_closed(error).map_err(Failure::from);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if !stopping && asked() {
            stopping = true;
            query.cancel();
        }
    }
    let ended = query.wait();
    let ending = if stopping || ended.is_err() { Ending::Cancelled } else { Ending::Complete };
    say(&query.events(), writer, out)?;
    writer.flush(out, ending).or_else(ignore_closed)?;
    query.last_words().iter().for_each(|text| tell!("{text}"));
    ended
}

/// Waits until all of `jobs` have ended, and shows how far they have come; a signal stops them, with a last checkpoint where
/// they keep any. The first failure counts.
pub fn wait_for(jobs: &[JobHandle], interrupt: &Interrupt) -> Result<(), Failure> {
    let mut progress = Progress::new(jobs);
    let mut stopping = false;
    loop {
        let open: Vec<&JobHandle> = jobs.iter().filter(|job| !job.status().state.is_terminal()).collect();
        let failed = jobs.iter().find_map(|job| job.wait_timeout(Duration::ZERO).and_then(Result::err));
        if (interrupt.asked() || failed.is_some()) && !stopping {
            stopping = true;
            open.iter().for_each(|job| job.stop(StopMode::Checkpoint));
        }
        progress.show();
        match open.first() {
            Some(job) => drop(job.wait_timeout(POLL)),
            None => {
                progress.finish();
                return failed.map_or(Ok(()), |e| Err(e.into()));
            }
        }
    }
}

/// Prints events beside the result.
fn say(events: &[String], writer: &mut dyn ResultWriter, out: &mut dyn Write) -> io::Result<()> {
    if !events.is_empty() {
        writer.step_aside(out).or_else(ignore_closed)?;
        events.iter().for_each(|text| tell!("{text}"));
    }
    Ok(())
}

/// A reader that went away is no error of ours.
fn ignore_closed(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::cell::Cell;
    use std::sync::Arc;

    use arrow::datatypes::Schema;

    use super::*;
    use crate::render::{OutputForm, writer};

    /// A query that counts how often it is asked for its figures.
    #[derive(Default)]
    struct Asked(Cell<usize>);

    impl RunningQuery for Asked {
        fn cancel(&self) {}

        fn wait(&self) -> Result<(), Failure> {
            Ok(())
        }

        fn figures(&self, _figures: &mut Figures, _received: u64) -> String {
            self.0.set(self.0.get() + 1);
            String::new()
        }
    }

    #[test]
    fn figures_are_asked_for_only_where_somebody_sees_them() {
        let asked = |form: OutputForm, live: Option<(usize, usize)>| {
            let query = Asked::default();
            let mut writer = writer(form, Arc::new(Schema::empty()), live);
            let (_, closed) = crossbeam_channel::bounded(1);
            follow(&closed, &query, writer.as_mut(), &mut Vec::new(), &|| false).unwrap();
            query.0.get() > 0
        };
        assert!(asked(OutputForm::Table, Some((80, 24))));
        assert!(!asked(OutputForm::Table, None), "a table that is shown at its end");
        assert!(!asked(OutputForm::Csv, Some((80, 24))) && !asked(OutputForm::Jsonl, Some((80, 24))));
    }
}
