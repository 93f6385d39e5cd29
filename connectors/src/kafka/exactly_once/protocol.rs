//! The protocol's core: what the committer does next, decided from what has happened. No Kafka, no clock, no thread.
//!
//! Two slots, each a transactional id, take turns. Every transaction runs on a handle of its own: after a commit the
//! handle is given up and a new one initialised, whose producer epoch shuts out whatever the old one left on the way.
//! The order that makes it safe:
//! 1. Both slots are initialised before the marker is read: nobody older can move it afterwards.
//! 2. The guard is asked after the handle was initialised and before it begins: whoever takes the pipeline over later
//!    initialises after us, so that our handle is shut out; whoever did before makes the guard fail.
//! 3. A transaction is committed after the handle of the one before it was shut out: else what that handle has sent
//!    twice could arrive now and move the marker back. Rows are written meanwhile, so this costs no time as a rule.
//! 4. A transaction whose outcome is not known for certain is settled by a new handle in the same slot and the marker:
//!    it stands where it stood, so nothing of the transaction is visible; or where we moved it, so all is; or else
//!    somebody else writes under our name, and we stop.
//!
//! [`Protocol::on`] takes an [`Event`] and names the one [`Action`] that follows; the committer performs it and reports
//! back. The model test explores all orders of events against a simulated broker.

use super::marker::Marker;

/// One of the two transactional ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::kafka) enum Slot {
    First,
    Second,
}

impl Slot {
    /// Position in a list of two, and the end of the transactional id.
    pub(in crate::kafka) fn index(self) -> usize {
        match self {
            Slot::First => 0,
            Slot::Second => 1,
        }
    }

    fn other(self) -> Slot {
        match self {
            Slot::First => Slot::Second,
            Slot::Second => Slot::First,
        }
    }
}

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kafka) enum Event {
    /// Earlier writers are to be shut out.
    Fence,
    /// Everything up to this marker is to become visible in one transaction.
    Advance(Marker),
    /// The marker is to be written again as it stands, or as this if there is none.
    Refresh(Marker),
    /// A new handle of the slot is initialised.
    Initialised,
    /// The marker in the target.
    MarkerRead(Option<Marker>),
    /// The guard was asked just now: the pipeline is still ours.
    Owned,
    /// All rows of the transaction are acknowledged.
    Written,
    /// The transaction is committed for certain.
    Committed,
    /// The transaction failed, or nobody knows.
    Unsure,
}

/// What to do next, and which events may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::kafka) enum Action {
    /// Give up the slot's handle, if there is one, and have a new one initialised: [`Event::Initialised`].
    Initialise(Slot),
    /// Read the marker, waiting for transactions that are being decided: [`Event::MarkerRead`].
    ReadMarker,
    /// Ask the guard: [`Event::Owned`], or the process ends.
    AskGuard,
    /// Begin, send all rows between the two markers and see them acknowledged: [`Event::Written`] or [`Event::Unsure`].
    Write {
        /// On this slot's handle.
        slot: Slot,
        /// Where the rows begin.
        from: Option<Marker>,
        /// Where they end.
        to: Marker,
    },
    /// Send the marker and commit: [`Event::Committed`] or [`Event::Unsure`].
    Commit {
        /// On this slot's handle.
        slot: Slot,
        /// What is sent.
        marker: Marker,
    },
    /// The marker shows how much of what was asked is done. If a slot is named, its handle is spent: give it up and begin with a new one in the background, so that
    /// the next [`Action::Initialise`] of that slot need not wait.
    Done(Option<Slot>),
    /// The marker was moved by somebody else.
    Refuse {
        /// Where it may stand.
        expected: [Option<Marker>; 2],
        /// Where it stands.
        found: Option<Marker>,
    },
}

/// Where the committer stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::kafka) struct Protocol {
    /// By slot: a handle is initialised and was never used.
    ready: [bool; 2],
    /// Slot of the next transaction.
    turn: Slot,
    /// As last known for certain.
    marker: Option<Marker>,
    step: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    Unfenced,
    Fencing(Slot),
    FirstRead,
    Idle,
    Asking(Marker),
    Writing(Marker),
    /// Waits for the other slot's new handle.
    Sealing(Marker),
    Committing(Marker),
    /// Waits for a new handle after a transaction of unknown outcome.
    Settling(Marker),
    Comparing(Marker),
}

impl Protocol {
    /// Nothing is known yet; the first event must be [`Event::Fence`].
    pub(in crate::kafka) fn new() -> Self {
        Protocol { ready: [false; 2], turn: Slot::First, marker: None, step: Step::Unfenced }
    }

    /// Where the marker stands.
    pub(in crate::kafka) fn marker(&self) -> Option<Marker> {
        self.marker
    }

    /// The action that follows `event`. An event that cannot come now is a broken invariant.
    pub(in crate::kafka) fn on(&mut self, event: Event) -> Action {
        match (self.step, event) {
            (Step::Unfenced | Step::Idle, Event::Fence) => {
                self.ready = [false; 2];
                self.go(Step::Fencing(Slot::First), Action::Initialise(Slot::First))
            }
            (Step::Fencing(slot), Event::Initialised) => {
                self.ready[slot.index()] = true;
                match slot {
                    Slot::First => self.go(Step::Fencing(Slot::Second), Action::Initialise(Slot::Second)),
                    Slot::Second => self.go(Step::FirstRead, Action::ReadMarker),
                }
            }
            (Step::FirstRead, Event::MarkerRead(marker)) => {
                self.marker = marker;
                self.go(Step::Idle, Action::Done(None))
            }
            (Step::Idle, Event::Advance(to)) if self.marker.is_some_and(|marker| marker >= to) => Action::Done(None),
            (Step::Idle, Event::Advance(to)) => self.begin(to),
            (Step::Idle, Event::Refresh(first)) => self.begin(self.marker.unwrap_or(first)),
            (Step::Asking(to), Event::Owned) => {
                self.ready[self.turn.index()] = false;
                self.go(Step::Writing(to), Action::Write { slot: self.turn, from: self.marker, to })
            }
            (Step::Writing(to), Event::Written) => {
                let before = self.turn.other();
                if self.ready[before.index()] {
                    self.commit(to)
                } else {
                    self.go(Step::Sealing(to), Action::Initialise(before))
                }
            }
            (Step::Sealing(to), Event::Initialised) => {
                self.ready[self.turn.other().index()] = true;
                self.commit(to)
            }
            (Step::Committing(to), Event::Committed) => {
                let spent = self.turn;
                (self.marker, self.turn) = (Some(to), spent.other());
                self.go(Step::Idle, Action::Done(Some(spent)))
            }
            (Step::Writing(to) | Step::Committing(to), Event::Unsure) => {
                self.go(Step::Settling(to), Action::Initialise(self.turn))
            }
            (Step::Settling(to), Event::Initialised) => {
                self.ready[self.turn.index()] = true;
                self.go(Step::Comparing(to), Action::ReadMarker)
            }
            (Step::Comparing(to), Event::MarkerRead(found)) => self.settle(to, found),
            (step, event) => unreachable!("{event:?} cannot come in {step:?}"),
        }
    }

    fn begin(&mut self, to: Marker) -> Action {
        assert!(
            self.ready[self.turn.index()],
            "the slot whose turn it is was initialised anew before the last transaction ended"
        );
        self.go(Step::Asking(to), Action::AskGuard)
    }

    fn commit(&mut self, to: Marker) -> Action {
        self.go(Step::Committing(to), Action::Commit { slot: self.turn, marker: to })
    }

    /// The marker was read by a handle that shuts out the transaction to `to`.
    fn settle(&mut self, to: Marker, found: Option<Marker>) -> Action {
        if found == Some(to) || found == self.marker {
            self.marker = found;
            self.go(Step::Idle, Action::Done(None))
        } else {
            Action::Refuse { expected: [self.marker, Some(to)], found }
        }
    }

    fn go(&mut self, step: Step, action: Action) -> Action {
        self.step = step;
        action
    }
}
