//! What a Kafka broker does with transactions, as far as the protocol can tell.
//!
//! Rows are numbered chunks that must become visible in order, each once; any other commit is a violation. A commit is
//! one step here: a real broker needs several, but whoever initialises or reads the marker waits for them.

use super::super::marker::Marker;
use super::super::protocol::Slot;

/// State of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Broker {
    slots: [Coordinated; 2],
    /// Chunks that a `read_committed` reader sees.
    pub(super) visible: u8,
    pub(super) marker: Option<Marker>,
}

/// What the coordinator and the partitions know of one transactional id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Coordinated {
    producer_epoch: u8,
    open: Option<Transaction>,
    /// True when the last transaction of this producer epoch was committed: its commit may be asked for again.
    committed: bool,
    /// Sequence number that the next rows of this producer epoch must have.
    sequence: u8,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Transaction {
    chunk: Option<u8>,
    marker: Option<Marker>,
}

/// A request of a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Request {
    pub(super) slot: Slot,
    pub(super) producer_epoch: u8,
    pub(super) what: What,
}

/// What a handle asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum What {
    /// Nothing of a handle: initialises a new one.
    Initialise,
    /// Rows, with their sequence number.
    Rows { chunk: u8, sequence: u8 },
    /// The marker, to move with the rows.
    Marker(Marker),
    /// The end of the transaction.
    Commit,
}

/// The broker accepts a request, with the producer epoch as of now; or the handle is shut out or did something wrong.
pub(super) type Reply = Option<u8>;

impl Broker {
    pub(super) fn new() -> Self {
        Broker { slots: [Coordinated::default(); 2], visible: 0, marker: None }
    }

    /// Acts on a request, whenever it comes.
    pub(super) fn take(&mut self, request: Request) -> Result<Reply, String> {
        let state = &mut self.slots[request.slot.index()];
        if request.what == What::Initialise {
            *state = Coordinated { producer_epoch: state.producer_epoch + 1, ..Coordinated::default() };
            return Ok(Some(state.producer_epoch));
        }
        if request.producer_epoch != state.producer_epoch {
            return Ok(None);
        }
        match request.what {
            What::Rows { chunk, sequence } if sequence == state.sequence => {
                state.open.get_or_insert_default().chunk = Some(chunk);
                state.sequence += 1;
            }
            // Rows that came before are acknowledged again, rows from the future refused.
            What::Rows { sequence, .. } if sequence > state.sequence => return Ok(None),
            What::Rows { .. } => {}
            What::Marker(marker) => state.open.get_or_insert_default().marker = Some(marker),
            What::Commit => return self.commit(request.slot),
            What::Initialise => unreachable!("answered above"),
        }
        Ok(Some(request.producer_epoch))
    }

    fn commit(&mut self, slot: Slot) -> Result<Reply, String> {
        let state = &mut self.slots[slot.index()];
        let Some(transaction) = state.open.take() else {
            return Ok(state.committed.then_some(state.producer_epoch));
        };
        state.committed = true;
        let epoch = state.producer_epoch;
        if let Some(chunk) = transaction.chunk {
            if chunk != self.visible {
                return Err(format!("chunk {chunk} becomes visible when {} are", self.visible));
            }
            self.visible += 1;
        }
        if transaction.marker.is_some_and(|marker| Some(marker) < self.marker) {
            return Err(format!("the marker moves back from {:?} to {:?}", self.marker, transaction.marker));
        }
        self.marker = transaction.marker.or(self.marker);
        Ok(Some(epoch))
    }

    /// The marker moves at once, as a commit of offsets outside of a transaction.
    pub(super) fn move_marker(&mut self, marker: Marker) {
        self.marker = Some(marker);
    }

    /// True while a transaction is open.
    pub(super) fn is_open(&self, slot: Slot) -> bool {
        self.slots[slot.index()].open.is_some()
    }

    /// Aborts a transaction that took too long, and shuts out its handle.
    pub(super) fn expire(&mut self, slot: Slot) {
        let state = &mut self.slots[slot.index()];
        *state = Coordinated { producer_epoch: state.producer_epoch + 1, ..Coordinated::default() };
    }

    /// Sequence number of the next rows; a handle counts along.
    pub(super) fn sequence(&self, slot: Slot) -> u8 {
        self.slots[slot.index()].sequence
    }
}
