//! A sink that hands rows to the program itself: the results of a SELECT.
//!
//! Rows are there as soon as they are computed, without waiting for a checkpoint. A full channel is backpressure. When
//! the receiver is dropped the job ends quietly; when the job ends the receiver sees the end of the channel.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, SendTimeoutError, Sender, bounded};

use crate::changelog::ChangelogBatch;
use crate::connector::{EpochLog, Sink, SinkContext, SinkFactory};
use crate::error::{Error, Result};
use crate::time::Epoch;

/// How often a writer that waits for the reader looks whether it shall still wait.
const PATIENCE: Duration = Duration::from_millis(20);

/// What the writers and the factory share.
#[derive(Debug, Default)]
struct Signals {
    /// The job is being torn down.
    interrupted: AtomicBool,
    /// The receiver is gone.
    closed: AtomicBool,
}

/// Sends every batch into a channel.
#[derive(Debug)]
pub struct CollectSink {
    channel: Sender<ChangelogBatch>,
    signals: Arc<Signals>,
}

impl CollectSink {
    /// A factory and the channel that its sinks write to. The channel ends when the job and all clones of the factory
    /// are gone, so do not keep the factory beyond building the dataflow.
    pub fn channel(capacity: usize) -> (Arc<dyn SinkFactory>, Receiver<ChangelogBatch>) {
        let (sender, receiver) = bounded(capacity.max(1));
        (Arc::new(CollectFactory { channel: sender, signals: Arc::default() }), receiver)
    }
}

impl Sink for CollectSink {
    fn write(&mut self, batch: &ChangelogBatch) -> Result<()> {
        let mut batch = batch.clone();
        loop {
            match self.channel.send_timeout(batch, PATIENCE) {
                Ok(()) => return Ok(()),
                Err(SendTimeoutError::Disconnected(_)) => {
                    // Nobody wants the rows: the driver sees the flag and ends the job.
                    self.signals.closed.store(true, Ordering::Release);
                    return Ok(());
                }
                Err(SendTimeoutError::Timeout(back)) => batch = back,
            }
            if self.signals.interrupted.load(Ordering::Acquire) {
                return Err(Error::internal("the job is ending"));
            }
        }
    }

    fn prepare(&mut self, _epoch: Epoch) -> Result<EpochLog> {
        Ok(EpochLog::empty())
    }
}

struct CollectFactory {
    channel: Sender<ChangelogBatch>,
    signals: Arc<Signals>,
}

impl SinkFactory for CollectFactory {
    fn open(&self, _context: &SinkContext) -> Result<Box<dyn Sink>> {
        self.signals.interrupted.store(false, Ordering::Release);
        Ok(Box::new(CollectSink { channel: self.channel.clone(), signals: self.signals.clone() }))
    }

    fn guarantee(&self) -> &'static str {
        "none"
    }

    fn is_outside(&self) -> bool {
        false
    }

    fn interrupt(&self) {
        self.signals.interrupted.store(true, Ordering::Release);
    }

    fn is_closed(&self) -> bool {
        self.signals.closed.load(Ordering::Acquire)
    }
}
