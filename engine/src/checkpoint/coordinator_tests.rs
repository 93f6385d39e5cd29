//! The coordinator over all interleavings of events, up to a depth, against invariants in words; and its timing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use super::{CheckpointConfig, CheckpointKind, Command, Coordinator, Event, MAX_UNAPPLIED_EPOCHS};
use crate::time::{Epoch, ProcessingTime};

const INTERVAL: i64 = 10_000_000;

/// The runtime around the coordinator: what it was told, and what may therefore happen next.
#[derive(Clone, PartialEq, Eq, Hash)]
struct World {
    coordinator: Coordinator,
    sinks: BTreeSet<usize>,
    now: i64,
    /// Injected and not yet decided or given up, with the tasks that acknowledged.
    in_flight: Option<(Epoch, CheckpointKind, BTreeSet<usize>)>,
    writing: bool,
    last_injected: u64,
    durable: Vec<u64>,
    apply: Option<(Epoch, BTreeSet<usize>)>,
    recorded: Vec<u64>,
    aborted: Vec<u64>,
    ending: bool,
    last_decided: bool,
    over: bool,
}

impl World {
    fn new(tasks: usize, sinks: usize, config: CheckpointConfig) -> World {
        World {
            coordinator: Coordinator::new(config, tasks, sinks, Epoch(1), ProcessingTime(0)),
            sinks: (0..sinks).collect(),
            now: 0,
            in_flight: None,
            writing: false,
            last_injected: 0,
            durable: vec![],
            apply: None,
            recorded: vec![],
            aborted: vec![],
            ending: false,
            last_decided: false,
            over: false,
        }
    }

    /// Tells the coordinator, checks every command against what is allowed now, and obeys it.
    fn tell(&mut self, event: Event) {
        match &event {
            Event::Tick { now } => self.now = now.0,
            Event::AllSourcesFinished { .. } | Event::StopRequested { .. } => self.ending = true,
            Event::Acknowledged { epoch, task } => {
                if let Some((_, _, done)) = self.in_flight.as_mut().filter(|(e, _, _)| e == epoch) {
                    done.insert(*task);
                }
            }
            Event::ManifestDurable { epoch, .. } => {
                assert!(self.writing);
                self.writing = false;
                self.durable.push(epoch.0);
                let (_, kind, _) = self.in_flight.take().unwrap();
                self.last_decided = kind == CheckpointKind::Stop;
            }
            _ => {}
        }
        let commands = self.coordinator.on(event);
        assert!(commands.is_empty() || !self.over, "nothing follows the end: {commands:?}");
        for command in commands {
            self.obey(command);
        }
    }

    fn obey(&mut self, command: Command) {
        assert!(!self.over, "nothing follows the end: {command:?}");
        match command {
            Command::Inject { epoch, kind } => {
                assert!(self.in_flight.is_none(), "never two epochs in flight");
                assert!(!self.last_decided, "no epoch after the last one");
                assert!(kind != CheckpointKind::Stop || self.ending, "the last epoch only when an end was wanted");
                assert_eq!(epoch.0, self.last_injected + 1, "numbers are dense and never used again");
                let behind = self.durable.len() - self.recorded.len();
                assert!(behind < MAX_UNAPPLIED_EPOCHS, "backpressure when {behind} epochs are not applied");
                self.last_injected = epoch.0;
                self.in_flight = Some((epoch, kind, BTreeSet::new()));
            }
            Command::WriteManifest { epoch, .. } => {
                let (flying, _, done) = self.in_flight.as_ref().unwrap();
                assert_eq!((*flying, done.len()), (epoch, self.tasks()), "a manifest only when all have acknowledged");
                assert!(!self.writing, "one manifest per epoch");
                self.writing = true;
            }
            Command::Apply { epoch } => {
                assert!(self.durable.contains(&epoch.0), "never apply before the manifest is durable");
                assert!(self.apply.is_none(), "one epoch is applied at a time");
                assert_eq!(Some(&epoch.0), self.durable.get(self.recorded.len()), "applied once each, in order");
                self.apply = Some((epoch, BTreeSet::new()));
            }
            Command::RecordApplied { epoch } => {
                assert_eq!(Some(&epoch.0), self.durable.get(self.recorded.len()), "recorded once each, in order");
                let applied = self.apply.take().map_or(BTreeSet::new(), |(_, done)| done);
                assert_eq!(applied, self.sinks, "recorded only when all sinks have applied it");
                self.recorded.push(epoch.0);
            }
            Command::Abort { epoch, .. } => {
                let (flying, _, _) = self.in_flight.take().unwrap();
                assert_eq!(flying, epoch, "only the epoch in flight can be given up");
                assert!(!self.writing, "not while its manifest may become durable");
                self.aborted.push(epoch.0);
            }
            Command::Fail { .. } => self.over = true,
            Command::Finished => {
                assert!(self.last_decided && self.recorded == self.durable, "finished only after all are applied");
                self.over = true;
            }
        }
    }

    fn tasks(&self) -> usize {
        2
    }

    /// Every event that may happen now, late and doubled ones included.
    fn possible(&self) -> Vec<Event> {
        let time = ProcessingTime(self.now);
        let later = |micros| Event::Tick { now: ProcessingTime(self.now + micros) };
        let mut events = vec![later(INTERVAL), later(7 * INTERVAL)];
        if !self.ending {
            events.push(Event::AllSourcesFinished { now: time });
            events.push(Event::SavepointRequested { now: time });
            events.push(Event::CheckpointWanted { now: time });
        }
        for epoch in self.last_injected.saturating_sub(1).max(1)..=self.last_injected {
            let epoch = Epoch(epoch);
            events.extend((0..self.tasks()).map(|task| Event::Acknowledged { epoch, task }));
            events.push(Event::Declined { epoch, reason: "disk".into() });
        }
        if let (true, Some((epoch, _, _))) = (self.writing, &self.in_flight) {
            events.push(Event::ManifestDurable { epoch: *epoch, now: time });
        }
        if let Some((epoch, done)) = &self.apply {
            events.extend(self.sinks.difference(done).map(|sink| Event::Applied { epoch: *epoch, sink: *sink }));
        }
        events
    }

    /// Lets `event` happen. What the sinks and the manifest writer did is noted before the coordinator hears of it.
    fn happen(&mut self, event: Event) {
        match &event {
            Event::Applied { sink, .. } => drop(self.apply.as_mut().unwrap().1.insert(*sink)),
            Event::ManifestFailed { .. } => self.writing = false,
            _ => {}
        }
        self.tell(event);
    }

    /// When everything works from here on and an end is wanted, the job finishes.
    fn finish(mut self) {
        for _ in 0..40 {
            if self.over {
                return;
            }
            let time = ProcessingTime(self.now);
            if !self.ending {
                self.happen(Event::StopRequested { kind: CheckpointKind::Stop, now: time });
            } else if self.writing {
                let epoch = self.in_flight.as_ref().unwrap().0;
                self.happen(Event::ManifestDurable { epoch, now: time });
            } else if let Some((epoch, done)) = self.apply.clone() {
                let sink = *self.sinks.difference(&done).next().unwrap();
                self.happen(Event::Applied { epoch, sink });
            } else if let Some((epoch, _, done)) = self.in_flight.clone() {
                let task = (0..self.tasks()).find(|t| !done.contains(t)).unwrap();
                self.happen(Event::Acknowledged { epoch, task });
            } else {
                self.happen(Event::Tick { now: ProcessingTime(self.now + INTERVAL) });
            }
        }
        panic!("the job does not finish: {:?}", self.coordinator);
    }
}

/// Visits every state within `depth` events and returns how many there are.
fn explore(start: World, depth: usize) -> usize {
    let mut seen = HashSet::from([start.clone()]);
    let mut frontier = vec![start];
    for _ in 0..depth {
        let mut next = Vec::new();
        for world in frontier {
            let mut events = world.possible();
            if let (true, Some((epoch, _, _))) = (world.writing, &world.in_flight) {
                let now = ProcessingTime(world.now);
                events.push(Event::ManifestFailed { epoch: *epoch, reason: "disk".into(), now });
            }
            for event in events {
                let mut after = world.clone();
                after.happen(event);
                if seen.insert(after.clone()) {
                    after.clone().finish();
                    next.push(after);
                }
            }
        }
        frontier = next;
    }
    seen.len()
}

fn config(interval: bool, tolerable_failed: u32) -> CheckpointConfig {
    CheckpointConfig {
        interval: interval.then_some(Duration::from_micros(INTERVAL as u64)),
        timeout: Duration::from_micros(5 * INTERVAL as u64),
        tolerable_failed,
        ..CheckpointConfig::default()
    }
}

#[test]
fn all_interleavings_of_two_tasks_with_two_sinks() {
    assert!(explore(World::new(2, 2, config(true, u32::MAX)), 9) > 10_000);
}

#[test]
fn all_interleavings_of_two_tasks_with_one_sink_and_few_failures() {
    assert!(explore(World::new(2, 1, config(true, 1)), 10) > 10_000);
}

#[test]
fn all_interleavings_without_sinks_and_without_interval() {
    assert!(explore(World::new(2, 0, config(true, 0)), 10) > 5_000);
    assert!(explore(World::new(2, 1, config(false, u32::MAX)), 11) > 5_000);
}

/// A coordinator of one task that is also the sink, and a short way to talk to it.
struct One(Coordinator);

impl One {
    fn new(config: CheckpointConfig) -> One {
        One(Coordinator::new(config, 1, 1, Epoch(1), ProcessingTime(0)))
    }

    fn tick(&mut self, ms: i64) -> Vec<Command> {
        self.0.on(Event::Tick { now: ProcessingTime(ms * 1000) })
    }

    fn acknowledge(&mut self, epoch: u64) -> Vec<Command> {
        self.0.on(Event::Acknowledged { epoch: Epoch(epoch), task: 0 })
    }

    fn durable(&mut self, epoch: u64, ms: i64) -> Vec<Command> {
        self.0.on(Event::ManifestDurable { epoch: Epoch(epoch), now: ProcessingTime(ms * 1000) })
    }

    fn applied(&mut self, epoch: u64) -> Vec<Command> {
        self.0.on(Event::Applied { epoch: Epoch(epoch), sink: 0 })
    }

    fn decline(&mut self, epoch: u64) -> Vec<Command> {
        self.0.on(Event::Declined { epoch: Epoch(epoch), reason: "disk full".into() })
    }

    /// Completes and applies an epoch that was just injected.
    fn complete(&mut self, epoch: u64, ms: i64) {
        self.acknowledge(epoch);
        self.durable(epoch, ms);
        assert_eq!(self.applied(epoch), [Command::RecordApplied { epoch: Epoch(epoch) }]);
    }
}

fn inject(epoch: u64, kind: CheckpointKind) -> Vec<Command> {
    vec![Command::Inject { epoch: Epoch(epoch), kind }]
}

use CheckpointKind::{Checkpoint, Savepoint, Stop};

fn every_second() -> CheckpointConfig {
    CheckpointConfig { interval: Some(Duration::from_secs(1)), ..CheckpointConfig::default() }
}

#[test]
fn interval_runs_from_start_to_start_and_min_pause_from_end_to_start() {
    let mut one = One::new(CheckpointConfig { min_pause: Duration::from_millis(700), ..every_second() });
    assert_eq!(one.tick(999), []);
    assert_eq!(one.tick(1000), inject(1, Checkpoint));
    one.complete(1, 1100);
    assert_eq!(one.tick(1999), []);
    assert_eq!(one.tick(2000), inject(2, Checkpoint));
    one.complete(2, 2900);
    assert_eq!(one.tick(3599), [], "the interval is over, the pause is not");
    assert_eq!(one.tick(3600), inject(3, Checkpoint));
}

#[test]
fn wall_clock_set_back_neither_stops_checkpoints_nor_expires_them() {
    let mut one = One::new(every_second());
    assert_eq!(one.tick(900), []);
    assert_eq!(one.tick(-3_600_000), []);
    assert_eq!(one.tick(-3_600_000 + 100), inject(1, Checkpoint));
}

#[test]
fn expired_epoch_is_given_up_and_its_late_acknowledgement_ignored() {
    let mut one = One::new(CheckpointConfig { timeout: Duration::from_secs(5), ..every_second() });
    one.tick(1000);
    assert_eq!(one.tick(5999), []);
    let commands = one.tick(6000);
    assert!(matches!(&commands[0], Command::Abort { epoch: Epoch(1), reason } if reason.contains("1 of 1 tasks")));
    assert_eq!(commands[1..], inject(2, Checkpoint));
    assert_eq!(one.acknowledge(1), []);
    assert_eq!(one.acknowledge(2), [Command::WriteManifest { epoch: Epoch(2), kind: Checkpoint }]);
    assert_eq!(one.tick(60_000), [], "a manifest being written has no timeout");
}

#[test]
fn failures_in_a_row_beyond_the_tolerated_fail_the_job() {
    let mut one = One::new(CheckpointConfig { tolerable_failed: 1, ..every_second() });
    one.tick(1000);
    assert!(matches!(one.decline(1)[..], [Command::Abort { .. }]));
    one.tick(2000);
    one.complete(2, 2000);
    one.tick(3000);
    assert!(matches!(one.decline(3)[..], [Command::Abort { .. }]), "a success in between starts the count again");
    one.tick(4000);
    let commands = one.decline(4);
    assert!(matches!(&commands[1], Command::Fail { reason } if reason.contains("disk full")), "{commands:?}");
    assert_eq!(one.tick(9000), []);
}

#[test]
fn by_default_failed_checkpoints_never_fail_the_job() {
    let mut one = One::new(every_second());
    for epoch in 1..=1000 {
        assert_eq!(one.tick(epoch as i64 * 1000), inject(epoch, Checkpoint));
        assert!(matches!(one.decline(epoch)[..], [Command::Abort { .. }]));
    }
}

#[test]
fn bounded_job_without_interval_takes_only_the_last_epoch() {
    let mut one = One::new(CheckpointConfig { interval: None, ..CheckpointConfig::default() });
    assert_eq!(one.tick(3_600_000), []);
    let now = ProcessingTime(0);
    assert_eq!(one.0.on(Event::AllSourcesFinished { now }), inject(1, Stop));
    assert_eq!(one.acknowledge(1), [Command::WriteManifest { epoch: Epoch(1), kind: Stop }]);
    assert_eq!(one.durable(1, 0), [Command::Apply { epoch: Epoch(1) }]);
    assert_eq!(one.applied(1), [Command::RecordApplied { epoch: Epoch(1) }, Command::Finished]);
}

#[test]
fn stop_waits_for_the_epoch_in_flight_and_tries_the_last_again_when_it_fails() {
    let mut one = One::new(every_second());
    one.tick(1000);
    let now = ProcessingTime(1_100_000);
    assert_eq!(one.0.on(Event::StopRequested { kind: Savepoint, now }), []);
    one.acknowledge(1);
    let commands = one.durable(1, 1200);
    assert_eq!(commands[1..], inject(2, Stop), "the last epoch does not wait for the interval");
    assert!(matches!(one.decline(2)[..], [Command::Abort { .. }]));
    assert_eq!(one.tick(2199), []);
    assert_eq!(one.tick(2200), inject(3, Stop));
    assert_eq!(one.acknowledge(3), [Command::WriteManifest { epoch: Epoch(3), kind: Savepoint }]);
}

#[test]
fn savepoint_comes_at_once_and_before_the_last_epoch() {
    let mut one = One::new(every_second());
    let now = ProcessingTime(1);
    assert_eq!(one.0.on(Event::SavepointRequested { now }), inject(1, Savepoint));
    assert_eq!(one.0.on(Event::SavepointRequested { now }), [], "the next one waits");
    assert_eq!(one.0.on(Event::AllSourcesFinished { now }), []);
    one.acknowledge(1);
    assert_eq!(one.durable(1, 1)[1..], inject(2, Savepoint));
    one.acknowledge(2);
    assert_eq!(one.durable(2, 1), [], "two epochs are not applied yet");
    assert_eq!(one.applied(1)[2..], inject(3, Stop));
}
