//! Follows a running query: hands its changes to a writer until the query ends or the user stops it.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use eddyline_engine::ChangelogBatch;
use eddyline_engine::runtime::{JobHandle, StopMode};

use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::render::ResultWriter;

/// How often a waiting program looks at signals and events, and the longest that rows wait to be shown.
pub const POLL: Duration = Duration::from_millis(100);

/// Shows the changes of `job` until it ends; the first signal cancels it.
pub fn follow(
    changes: &Receiver<ChangelogBatch>,
    job: &JobHandle,
    writer: &mut dyn ResultWriter,
    out: &mut dyn Write,
    interrupt: &Interrupt,
) -> Result<(), Failure> {
    let mut progress = Progress::quiet(std::slice::from_ref(job));
    let mut stopping = false;
    let mut flushed = Instant::now();
    loop {
        let next = changes.try_recv();
        if next.is_err() || flushed.elapsed() >= POLL {
            writer.flush(out, false).or_else(ignore_closed)?;
            flushed = Instant::now();
            progress.show_events();
        }
        let received = match next {
            Ok(batch) => Ok(batch),
            Err(_) => changes.recv_timeout(POLL),
        };
        match received {
            Ok(batch) => {
                if let Err(error) = writer.write(&batch, out) {
                    // Nobody reads any more (`| head`): the query has done its work.
                    job.stop(StopMode::Cancel);
                    return ignore_closed(error).map_err(Failure::from);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if interrupt.asked() && !stopping {
            stopping = true;
            job.stop(StopMode::Cancel);
        }
    }
    let ended = job.wait();
    writer.flush(out, true).or_else(ignore_closed)?;
    progress.finish();
    let summary = ended?;
    tracing::debug!(rows = summary.rows_read, "query ended");
    Ok(())
}

/// A reader that went away is no error of ours.
fn ignore_closed(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}
