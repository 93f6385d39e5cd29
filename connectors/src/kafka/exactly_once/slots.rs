//! The two transactional ids and the handles that are made for them, in the background when there is time.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use eddyline_engine::connector::Guard;
use eddyline_engine::crash;
use eddyline_engine::error::{Error, Result};
use rdkafka::ClientConfig;

use super::fault::Fault;
use super::handle::Handle;
use super::protocol::Slot;
use crate::kafka::KAFKA;
use crate::kafka::interrupt::Interrupt;

/// How long a new handle may take; a broker that is away for longer fails the job, which is then restarted.
const MADE_WITHIN: Duration = Duration::from_secs(60);
/// Pause before another handle is tried.
const PAUSE: Duration = Duration::from_millis(200);

/// How handles are made.
#[derive(Clone)]
pub(super) struct Maker {
    /// Producer settings without a transactional id.
    pub(super) config: ClientConfig,
    pub(super) topic: String,
    /// Transactional ids are this and the slot's number.
    pub(super) id: String,
    /// After so long a transaction expires.
    pub(super) limit: Duration,
    pub(super) guard: Guard,
    pub(super) interrupt: Interrupt,
}

impl Maker {
    /// A new handle, initialised. Handles that another process shuts out at the same moment are made again, as long as
    /// the guard says that the pipeline is ours; a process that has lost it shuts nobody out.
    fn make(&self, slot: Slot) -> Result<Handle> {
        let mut config = self.config.clone();
        config.set("transactional.id", format!("{}.{}", self.id, slot.index()));
        let deadline = Instant::now() + MADE_WITHIN;
        loop {
            self.guard.check()?;
            let handle = Handle::new(&config, &self.topic, self.limit, &self.interrupt)?;
            let left = deadline.saturating_duration_since(Instant::now());
            match handle.initialise(left) {
                Ok(()) => return Ok(handle),
                Err(Fault::Stop(error)) => return Err(error),
                Err(Fault::Again(words) | Fault::Unsure(words)) if Instant::now() >= deadline => {
                    return Err(Error::connector(KAFKA, words));
                }
                Err(Fault::Again(words) | Fault::Unsure(words)) => {
                    tracing::warn!(topic = self.topic, words, "trying another transactional producer");
                }
            }
            self.interrupt.pause(PAUSE)?;
        }
    }
}

/// What a slot holds.
#[derive(Default)]
enum Place {
    #[default]
    Empty,
    Making(JoinHandle<Result<Handle>>),
    Held(Handle),
}

/// The slots of one committer.
pub(super) struct Slots {
    maker: Maker,
    places: [Place; 2],
}

impl Slots {
    pub(super) fn new(maker: Maker) -> Self {
        Slots { maker, places: Default::default() }
    }

    /// The handle of a slot that was initialised.
    pub(super) fn handle(&self, slot: Slot) -> Result<&Handle> {
        match &self.places[slot.index()] {
            Place::Held(handle) => Ok(handle),
            _ => Err(Error::internal("a transaction begins on a slot that is not initialised")),
        }
    }

    /// Makes sure of a new handle: the one that is being made in the background, or one made now.
    pub(super) fn initialise(&mut self, slot: Slot) -> Result<()> {
        let place = &mut self.places[slot.index()];
        let handle = match std::mem::take(place) {
            Place::Making(thread) => thread.join().map_err(|_| Error::internal("making a producer panicked"))??,
            spent => {
                drop(spent);
                self.maker.make(slot)?
            }
        };
        *place = Place::Held(handle);
        Ok(())
    }

    /// Gives the slot's handle up and begins to make another one.
    pub(super) fn renew(&mut self, slot: Slot) -> Result<()> {
        let (maker, spent) = (self.maker.clone(), std::mem::take(&mut self.places[slot.index()]));
        let renew = move || {
            drop(spent);
            crash::point("kafka.handle-dropped")?;
            let handle = maker.make(slot)?;
            crash::point("kafka.re-initialised")?;
            Ok(handle)
        };
        let thread = std::thread::Builder::new().name("kafka producer".to_string()).spawn(renew);
        self.places[slot.index()] = Place::Making(thread.map_err(|e| Error::io("a thread cannot be started", e))?);
        Ok(())
    }
}

impl Drop for Slots {
    /// No thread outlives the committer: it could shut out the handles of the job's next attempt.
    fn drop(&mut self) {
        self.maker.interrupt.set();
        for place in &mut self.places {
            if let Place::Making(thread) = std::mem::take(place) {
                // Its error no longer matters to anybody.
                let _ = thread.join();
            }
        }
    }
}
