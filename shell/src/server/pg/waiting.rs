//! Sockets whose login is not complete. There are so many places for them; who comes when all are taken gets the place
//! of the one that has waited longest, so that a flood of sockets that say nothing keeps nobody out.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The places, the one taken first in front.
pub struct Waiting {
    places: Mutex<VecDeque<(u64, oneshot::Sender<()>)>>,
    entered: AtomicU64,
    most: usize,
}

/// A place; it is free again when this is dropped.
pub struct Place {
    waiting: Arc<Waiting>,
    number: u64,
    lost: oneshot::Receiver<()>,
}

impl Waiting {
    /// `most` places.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Waiting { places: Mutex::default(), entered: AtomicU64::new(0), most })
    }

    /// Takes a place.
    pub fn enter(self: &Arc<Self>) -> Place {
        let (sender, lost) = oneshot::channel();
        let number = self.entered.fetch_add(1, Ordering::Relaxed);
        let mut places = self.lock();
        places.push_back((number, sender));
        if places.len() > self.most
            && let Some((_, oldest)) = places.pop_front()
        {
            // Somebody who is leaving at this moment does not mind.
            let _ = oldest.send(());
        }
        drop(places);
        Place { waiting: Arc::clone(self), number, lost }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(u64, oneshot::Sender<()>)>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits until somebody else has got the place.
    pub async fn lost(&mut self) {
        // The sender goes away only with its place.
        let _ = (&mut self.lost).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.waiting.lock().retain(|(number, _)| *number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_has_waited_longest_makes_room() {
        let waiting = Waiting::new(2);
        let (mut first, mut second) = (waiting.enter(), waiting.enter());
        let mut third = waiting.enter();
        assert!(first.lost.try_recv().is_ok());
        assert!(second.lost.try_recv().is_err() && third.lost.try_recv().is_err());
        drop(second);
        let mut fourth = waiting.enter();
        assert!(third.lost.try_recv().is_err() && fourth.lost.try_recv().is_err(), "there was a free place");
        drop((first, third, fourth));
        assert!(waiting.lock().is_empty());
    }
}
