//! The ways that lose rows: rows go into an open transaction during the epoch, and the commit follows the checkpoint.

use super::super::protocol::Slot;
use super::broker::{Broker, Request, What};
use super::{World, explore};

const EPOCHS: u8 = 2;
const STARTS: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Way {
    /// A new process initialises, and nothing else.
    RememberNothing,
    /// The checkpoint remembers the handle's producer epoch; a new process sends the commit once more with it, and goes
    /// on whatever the answer is.
    ResumeProducer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    Recover,
    Initialise,
    Write,
    Decide,
    Commit,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Pending {
    way: Way,
    broker: Broker,
    /// Epochs whose checkpoint is durable.
    decided: u8,
    /// The producer epoch in the newest checkpoint.
    remembered: u8,
    handle: u8,
    step: Step,
    starts_left: usize,
    expiries_left: usize,
}

impl Pending {
    fn new(way: Way, expiries_left: usize) -> Self {
        let (broker, step) = (Broker::new(), Step::Initialise);
        Pending { way, broker, decided: 0, remembered: 0, handle: 0, step, starts_left: STARTS, expiries_left }
    }

    fn ask(&mut self, producer_epoch: u8, what: What) -> Result<Option<u8>, String> {
        self.broker.take(Request { slot: Slot::First, producer_epoch, what })
    }

    fn step(mut self) -> Result<Option<Self>, String> {
        match self.step {
            Step::Recover => {
                if self.way == Way::ResumeProducer {
                    self.ask(self.remembered, What::Commit)?;
                }
                self.step = Step::Initialise;
            }
            Step::Initialise => {
                self.handle = self.ask(0, What::Initialise)?.unwrap_or_default();
                self.step = Step::Write;
            }
            Step::Write if self.decided == EPOCHS => return Ok(None),
            Step::Write => {
                let (chunk, sequence) = (self.decided, self.broker.sequence(Slot::First));
                let taken = self.ask(self.handle, What::Rows { chunk, sequence })?;
                self.step = if taken.is_some() { Step::Decide } else { Step::Initialise };
            }
            Step::Decide => {
                (self.decided, self.remembered, self.step) = (self.decided + 1, self.handle, Step::Commit);
            }
            Step::Commit => {
                // An error is logged, and work goes on, with a new handle either way.
                self.ask(self.handle, What::Commit)?;
                self.step = Step::Initialise;
            }
        }
        Ok(Some(self))
    }
}

impl World for Pending {
    fn successors(&self, next: &mut Vec<Self>) -> Result<(), String> {
        next.extend(self.clone().step()?);
        if self.starts_left > 0 {
            next.push(Pending { starts_left: self.starts_left - 1, step: Step::Recover, ..self.clone() });
        }
        if self.expiries_left > 0 && self.broker.is_open(Slot::First) {
            let mut expired = Pending { expiries_left: self.expiries_left - 1, ..self.clone() };
            expired.broker.expire(Slot::First);
            next.push(expired);
        }
        Ok(())
    }

    fn check_end(&self) -> Result<(), String> {
        let (visible, decided) = (self.broker.visible, self.decided);
        if visible == decided { Ok(()) } else { Err(format!("{decided} chunks were decided, {visible} are visible")) }
    }
}

#[test]
fn remembering_nothing_loses_rows() {
    assert!(explore(Pending::new(Way::RememberNothing, 0)).violation.is_some());
}

#[test]
fn resuming_the_producer_loses_rows_that_expired() {
    let patient = explore(Pending::new(Way::ResumeProducer, 0));
    assert!(patient.violation.is_none() && patient.ends > 0, "without expiry it works: {:?}", patient.violation);
    assert!(explore(Pending::new(Way::ResumeProducer, 1)).violation.is_some());
}
