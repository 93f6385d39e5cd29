//! Which partitions there are, which of them a subtask owns, and the search for new ones beside the running reader.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use eddyline_engine::dataflow::Subtask;
use eddyline_engine::error::{Error, Result};

use super::KAFKA;
use super::client::{Client, missing_topic};
use super::options::{SourceOptions, Topics};
use super::start::{self, Range};

/// The partitions of all chosen topics; an error if a named topic is missing.
pub(super) fn partitions(client: &Client, topics: &Topics) -> Result<Vec<(String, i32)>> {
    let known = client.topics()?;
    let names: Vec<&String> = match topics {
        Topics::Named(names) => names.iter().collect(),
        Topics::Matching(pattern) => known.keys().filter(|name| pattern.is_match(name)).collect(),
    };
    let mut splits = Vec::new();
    for name in names {
        let partitions = known.get(name).ok_or_else(|| missing_topic(name, &known))?;
        splits.extend(partitions.iter().map(|partition| (name.clone(), *partition)));
    }
    Ok(splits)
}

/// True when `subtask` reads this partition: those of a topic go round over the subtasks, starting at a place that
/// depends on the topic's name, so that topics of one partition do not all end up in subtask 0.
pub(super) fn owns(subtask: Subtask, topic: &str, partition: i32) -> bool {
    // FNV-1a: fixed, so that every subtask and every attempt of the job agree.
    let hash = topic.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let place = hash % (subtask.parallelism as u64) + u64::from(partition.unsigned_abs());
    place % (subtask.parallelism as u64) == subtask.index as u64
}

/// Looks for new partitions from time to time, each time in a thread of its own, so that the reader never waits.
pub(super) struct Discovery {
    client: Arc<Client>,
    options: SourceOptions,
    subtask: Subtask,
    interval: Duration,
    next: Instant,
    running: Option<Receiver<Result<Vec<Range>>>>,
}

impl Discovery {
    pub(super) fn new(client: Arc<Client>, options: SourceOptions, subtask: Subtask, interval: Duration) -> Self {
        Discovery { client, options, subtask, interval, next: Instant::now() + interval, running: None }
    }

    /// New partitions that a search has found. Starts the next search when it is due; `known` are the partitions of
    /// this subtask so far. A search that fails is repeated at its time.
    pub(super) fn found(&mut self, known: impl FnOnce() -> HashSet<(String, i32)>) -> Vec<Range> {
        if let Some(running) = &self.running {
            match running.try_recv() {
                Ok(Ok(ranges)) => {
                    self.running = None;
                    return ranges;
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, "could not look for new partitions");
                    self.running = None;
                }
                Err(TryRecvError::Disconnected) => self.running = None,
                Err(TryRecvError::Empty) => {}
            }
        } else if Instant::now() >= self.next {
            self.next = Instant::now() + self.interval;
            if let Err(error) = self.search(known()) {
                tracing::warn!(%error, "could not look for new partitions");
            }
        }
        Vec::new()
    }

    fn search(&mut self, known: HashSet<(String, i32)>) -> Result<()> {
        let (sender, receiver) = channel();
        let (client, options, subtask) = (self.client.clone(), self.options.clone(), self.subtask);
        let look = move || {
            let is_new = |(topic, partition): &(String, i32)| {
                owns(subtask, topic, *partition) && !known.contains(&(topic.clone(), *partition))
            };
            let found = partitions(&client, &options.topics).and_then(|all| {
                let new = all.into_iter().filter(is_new).collect();
                start::discovered(&client, new, &options)
            });
            // The reader may be gone by now, and nobody wants to know.
            let _ = sender.send(found);
        };
        let thread = std::thread::Builder::new().name("kafka-discovery".to_string());
        thread.spawn(look).map_err(|error| Error::connector(KAFKA, format!("cannot start a thread: {error}")))?;
        self.running = Some(receiver);
        Ok(())
    }
}

/// The partitions of a checkpoint that this subtask owns and that still exist, and those that are new.
pub(super) struct Divided {
    pub(super) restored: Vec<((String, i32), (i64, Option<i64>))>,
    pub(super) new: Vec<(String, i32)>,
}

/// Compares what the checkpoint holds with what there is. A partition of a chosen topic that is gone is an error: its
/// messages cannot be read any more. A topic that is no longer chosen is left out.
pub(super) fn divide(
    restored: BTreeMap<(String, i32), (i64, Option<i64>)>,
    existing: Vec<(String, i32)>,
    subtask: Subtask,
) -> Result<Divided> {
    let topics: HashSet<&str> = existing.iter().map(|(topic, _)| topic.as_str()).collect();
    for (topic, partition) in restored.keys() {
        if topics.contains(topic.as_str()) && !existing.contains(&(topic.clone(), *partition)) {
            return Err(Error::refused(
                KAFKA,
                format!("partition {topic}-{partition} of the checkpoint does not exist any more"),
                "the topic was created anew; start without the checkpoint (--fresh)",
            ));
        }
        if !topics.contains(topic.as_str()) {
            tracing::info!(topic, partition, "topic of the checkpoint is no longer read");
        }
    }
    let mine: Vec<(String, i32)> = existing.into_iter().filter(|(t, p)| owns(subtask, t, *p)).collect();
    let (old, new): (Vec<_>, Vec<_>) = mine.into_iter().partition(|split| restored.contains_key(split));
    let restored = old.into_iter().filter_map(|split| restored.get(&split).map(|r| (split.clone(), *r))).collect();
    Ok(Divided { restored, new })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_partition_has_one_owner_and_shares_are_even() {
        for parallelism in 1..=5 {
            let mut shares = vec![0; parallelism];
            for partition in 0..20 {
                let owner = |index: &usize| owns(Subtask { index: *index, parallelism }, "orders", partition);
                let owners: Vec<usize> = (0..parallelism).filter(owner).collect();
                assert_eq!(owners.len(), 1, "partition {partition} of {parallelism}");
                shares[owners[0]] += 1;
            }
            assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1, "{shares:?}");
        }
    }

    #[test]
    fn a_vanished_partition_is_refused_and_a_new_one_found() {
        let subtask = Subtask { index: 0, parallelism: 1 };
        let restored = || BTreeMap::from([(("t".to_string(), 0), (5, None)), (("gone".to_string(), 0), (1, None))]);
        let existing = vec![("t".to_string(), 0), ("t".to_string(), 1)];
        let divided = divide(restored(), existing, subtask).unwrap();
        assert_eq!(divided.restored, [(("t".to_string(), 0), (5, None))]);
        assert_eq!(divided.new, [("t".to_string(), 1)]);
        let error = divide(restored(), vec![("t".to_string(), 1)], subtask).err().unwrap();
        assert!(error.to_string().contains("t-0"), "{error}");
    }
}
