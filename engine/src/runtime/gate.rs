//! The entrance of a task with channels: merges their watermarks and aligns their barriers. A pure state machine.
//!
//! - The task's watermark is the smallest of all channels that are not idle; it never goes back. A channel that comes
//!   back from idleness counts again when its own watermark has caught up with the task's (as in Flink).
//! - A barrier is passed on when it has come through every channel. Until then, a channel through which it came is
//!   blocked (exactly-once) or goes on (at-least-once: rows behind the barrier may get into the checkpoint, so that
//!   they are counted twice after a restore, never lost).

use std::collections::VecDeque;

use super::message::{Barrier, Message};
use crate::changelog::ChangelogBatch;
use crate::time::Watermark;

/// What the task has to do after a message.
#[derive(Debug)]
pub(super) enum Passed {
    /// Process rows that came in through a port.
    Batch(usize, ChangelogBatch),
    /// Event time has advanced.
    Watermark(Watermark),
    /// All inputs are idle.
    Idle,
    /// An input is active again.
    Active,
    /// The barrier is aligned.
    Barrier(Barrier),
}

#[derive(Debug)]
struct Channel {
    port: usize,
    watermark: Watermark,
    idle: bool,
    /// False from the return out of idleness until its watermark has caught up.
    aligned: bool,
    blocked: bool,
}

#[derive(Debug)]
struct Alignment {
    barrier: Barrier,
    /// Which channels the barrier has come through.
    seen: Vec<bool>,
}

/// The entrance of one task.
#[derive(Debug)]
pub(super) struct Gate {
    exactly_once: bool,
    channels: Vec<Channel>,
    /// Barriers under way, oldest first; at most one with exactly-once.
    alignments: VecDeque<Alignment>,
    watermark: Watermark,
    idle: bool,
}

impl Gate {
    /// A gate with one channel per element of `ports`, which names the channel's input.
    pub(super) fn new(ports: &[usize], exactly_once: bool) -> Self {
        let channel = |port: &usize| Channel {
            port: *port,
            watermark: Watermark::MIN,
            idle: false,
            aligned: true,
            blocked: false,
        };
        Gate {
            exactly_once,
            channels: ports.iter().map(channel).collect(),
            alignments: VecDeque::new(),
            watermark: Watermark::MIN,
            idle: false,
        }
    }

    /// False while nothing may be taken from `channel`, because it waits for the others' barriers.
    pub(super) fn is_open(&self, channel: usize) -> bool {
        !self.channels[channel].blocked
    }

    /// Takes the next message of `channel`, which is open, and adds what follows from it to `passed`.
    pub(super) fn receive(&mut self, channel: usize, message: Message, passed: &mut Vec<Passed>) {
        assert!(self.is_open(channel), "a message was taken from a closed channel");
        match message {
            Message::Batch(batch) => passed.push(Passed::Batch(self.channels[channel].port, batch)),
            Message::Watermark(watermark) => self.on_watermark(channel, watermark, passed),
            Message::Idle => self.on_idle(channel, passed),
            Message::Active => self.on_active(channel, passed),
            Message::Barrier(barrier) => self.on_barrier(channel, barrier, passed),
        }
    }

    fn on_watermark(&mut self, index: usize, watermark: Watermark, passed: &mut Vec<Passed>) {
        let channel = &mut self.channels[index];
        channel.watermark = channel.watermark.max(watermark);
        channel.aligned = channel.aligned || channel.watermark >= self.watermark;
        self.merge(passed);
    }

    fn on_idle(&mut self, index: usize, passed: &mut Vec<Passed>) {
        self.channels[index].idle = true;
        let all_idle = self.channels.iter().all(|c| c.idle);
        if !all_idle {
            return self.merge(passed);
        }
        // Nobody is left to wait for, so the most advanced channel decides.
        if let Some(highest) = self.channels.iter().map(|c| c.watermark).max() {
            self.advance(highest, passed);
        }
        if !self.idle {
            self.idle = true;
            passed.push(Passed::Idle);
        }
    }

    fn on_active(&mut self, index: usize, passed: &mut Vec<Passed>) {
        let channel = &mut self.channels[index];
        channel.idle = false;
        channel.aligned = channel.watermark >= self.watermark;
        if std::mem::take(&mut self.idle) {
            passed.push(Passed::Active);
        }
    }

    fn on_barrier(&mut self, index: usize, barrier: Barrier, passed: &mut Vec<Passed>) {
        let position = self.alignments.iter().position(|a| a.barrier.epoch == barrier.epoch).unwrap_or_else(|| {
            self.alignments.push_back(Alignment { barrier, seen: vec![false; self.channels.len()] });
            self.alignments.len() - 1
        });
        self.alignments[position].seen[index] = true;
        self.channels[index].blocked = self.exactly_once;
        self.complete(passed);
    }

    /// Passes on the oldest barriers while they have come through all channels.
    fn complete(&mut self, passed: &mut Vec<Passed>) {
        while let Some(oldest) = self.alignments.front() {
            if !oldest.seen.iter().all(|seen| *seen) {
                return;
            }
            passed.push(Passed::Barrier(oldest.barrier));
            self.alignments.pop_front();
            self.channels.iter_mut().for_each(|c| c.blocked = false);
        }
    }

    /// Advances the task's watermark to the smallest of the channels that count.
    fn merge(&mut self, passed: &mut Vec<Passed>) {
        let counting = self.channels.iter().filter(|c| !c.idle && c.aligned);
        if let Some(lowest) = counting.map(|c| c.watermark).min() {
            self.advance(lowest, passed);
        }
    }

    fn advance(&mut self, watermark: Watermark, passed: &mut Vec<Passed>) {
        if watermark > self.watermark {
            self.watermark = watermark;
            passed.push(Passed::Watermark(watermark));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::checkpoint::CheckpointKind;
    use crate::time::{Epoch, EventTime};

    fn watermark(time: i64) -> Message {
        Message::Watermark(Watermark(EventTime(time)))
    }

    fn barrier(epoch: u64) -> Message {
        Message::Barrier(Barrier { epoch: Epoch(epoch), kind: CheckpointKind::Checkpoint })
    }

    /// What passes when `script` comes in, as words.
    fn run(gate: &mut Gate, script: &[(usize, Message)]) -> Vec<String> {
        let mut passed = Vec::new();
        for (channel, message) in script {
            gate.receive(*channel, message.clone(), &mut passed);
        }
        let word = |p: Passed| match p {
            Passed::Batch(port, _) => format!("rows at {port}"),
            Passed::Watermark(w) => format!("watermark {}", w.0.0),
            Passed::Idle => "idle".into(),
            Passed::Active => "active".into(),
            Passed::Barrier(b) => format!("barrier {}", b.epoch.0),
        };
        passed.into_iter().map(word).collect()
    }

    #[test]
    fn watermark_is_the_smallest_of_all_channels_and_never_goes_back() {
        let mut gate = Gate::new(&[0, 0, 1], true);
        let script = [
            (0, watermark(10)),
            (1, watermark(7)),
            (2, watermark(9)),
            (1, watermark(8)),
            (1, watermark(3)),
            (1, watermark(20)),
            (2, watermark(30)),
        ];
        assert_eq!(run(&mut gate, &script), ["watermark 7", "watermark 8", "watermark 9", "watermark 10"]);
    }

    #[test]
    fn an_idle_channel_is_left_out_until_it_is_active_and_has_caught_up() {
        let mut gate = Gate::new(&[0, 0], true);
        assert_eq!(run(&mut gate, &[(0, watermark(10)), (1, Message::Idle)]), ["watermark 10"]);
        assert_eq!(run(&mut gate, &[(1, Message::Active), (1, watermark(5)), (0, watermark(11))]), ["watermark 11"]);
        assert_eq!(run(&mut gate, &[(1, watermark(12)), (0, watermark(20))]), ["watermark 12"]);
    }

    #[test]
    fn when_all_are_idle_the_furthest_decides_and_it_is_said_once() {
        let mut gate = Gate::new(&[0, 0], true);
        let script = [(0, watermark(10)), (1, watermark(3)), (0, Message::Idle), (1, Message::Idle)];
        assert_eq!(run(&mut gate, &script), ["watermark 3", "watermark 10", "idle"]);
        assert_eq!(run(&mut gate, &[(1, Message::Idle)]), [""; 0]);
        assert_eq!(run(&mut gate, &[(1, Message::Active), (0, Message::Active)]), ["active"]);
    }

    #[test]
    fn exactly_once_blocks_a_channel_from_its_barrier_to_the_last_one() {
        let mut gate = Gate::new(&[0, 1, 1], true);
        assert_eq!(run(&mut gate, &[(1, barrier(1))]), [""; 0]);
        assert_eq!((gate.is_open(0), gate.is_open(1), gate.is_open(2)), (true, false, true));
        assert_eq!(run(&mut gate, &[(0, barrier(1)), (2, barrier(1))]), ["barrier 1"]);
        assert_eq!((gate.is_open(0), gate.is_open(1), gate.is_open(2)), (true, true, true));
    }

    #[test]
    fn at_least_once_blocks_nothing_and_keeps_epochs_in_order() {
        let mut gate = Gate::new(&[0, 1], false);
        assert_eq!(run(&mut gate, &[(0, barrier(1)), (0, watermark(1)), (0, barrier(2))]), [""; 0]);
        assert!(gate.is_open(0));
        assert_eq!(run(&mut gate, &[(1, barrier(1)), (1, barrier(2))]), ["barrier 1", "barrier 2"]);
    }

    #[test]
    fn a_single_channel_passes_everything_at_once() {
        let mut gate = Gate::new(&[0], true);
        let script = [(0, watermark(1)), (0, barrier(1)), (0, Message::Idle), (0, Message::Active), (0, barrier(2))];
        assert_eq!(run(&mut gate, &script), ["watermark 1", "barrier 1", "idle", "active", "barrier 2"]);
    }
}
