//! The protocol against every order of events in small worlds: processes that pause, die and take over from each other,
//! transactions that expire, replies that are lost and requests that arrive late.
//!
//! [`explore`] visits all states breadth first. A state is a whole world: a broker, a store and processes. A process
//! that is paused or killed needs no event of its own: it is one that takes no further step, and all interleavings of
//! steps are visited.

mod broker;
mod flink;
mod ours;

use std::collections::HashSet;
use std::hash::Hash;

/// All that is known of a small world.
trait World: Clone + Hash {
    /// Adds every world that may come next. An error says what must never happen and just did.
    fn successors(&self, next: &mut Vec<Self>) -> Result<(), String>;

    /// Checks a world in which nothing more can happen.
    fn check_end(&self) -> Result<(), String>;
}

/// What was found.
struct Explored {
    states: usize,
    ends: usize,
    violation: Option<String>,
}

/// Visits every world that can follow from `start`, up to the first violation. Worlds are remembered by 64 bits of
/// hash: among some millions, two that share them are not to be expected.
fn explore<W: World>(start: W) -> Explored {
    let hasher = ahash::RandomState::with_seeds(1, 2, 3, 4);
    let mut seen: HashSet<u64, ahash::RandomState> = HashSet::with_hasher(ahash::RandomState::with_seeds(5, 6, 7, 8));
    let (mut frontier, mut next) = (vec![start], Vec::new());
    let mut explored = Explored { states: 0, ends: 0, violation: None };
    while !frontier.is_empty() {
        let mut following = Vec::new();
        for world in &frontier {
            explored.states += 1;
            let result =
                world.successors(&mut next).and_then(|()| if next.is_empty() { world.check_end() } else { Ok(()) });
            if let Err(violation) = result {
                explored.violation = Some(violation);
                return explored;
            }
            explored.ends += usize::from(next.is_empty());
            following.extend(next.drain(..).filter(|world| seen.insert(hasher.hash_one(world))));
        }
        frontier = following;
    }
    explored
}
