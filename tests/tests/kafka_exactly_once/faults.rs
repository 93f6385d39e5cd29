//! A million rows through every job while one fault after the other hits it: processes that stand still for longer than
//! their transactions live, alone and while another takes over; a broker that restarts; jobs that are down between a
//! checkpoint and its commit until the broker has forgotten them.
//!
//! Every fault hits in the middle of a transaction, at a point of the protocol that the test names. A run prints the
//! command that repeats it.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use eddyline_tests::chance::random;
use eddyline_tests::checkpoints::newest;
use eddyline_tests::program::Program;
use eddyline_tests::services::kafka::{FORGOTTEN_WITHIN, Kafka};
use eddyline_tests::services::process::wait_for;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::jobs::Job;
use super::results::Shape;

const ROWS: i64 = 1_000_000;
/// So many rows are written at once, at most one slice per checkpoint.
const SLICE: i64 = 20_000;
/// Slices that are written around one fault.
const SLICES: i64 = 7;
/// A transaction expires after so long; the broker looks every half a second.
const TRANSACTION: Duration = Duration::from_secs(2);
const EXPIRED: Duration = Duration::from_secs(3);
const LIMIT: Duration = Duration::from_secs(60);
const SIGKILL: i32 = 9;

/// What happens to a process that has come to a point of the protocol.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// It stands still until its transaction has expired, and goes on.
    Pause,
    /// It stands still until its transaction has expired; another one takes over meanwhile; it goes on.
    Takeover,
    /// Its broker is killed, and is started again after a while.
    BrokerRestart,
    /// It is killed, and nothing happens until the broker has forgotten its producers and transactional ids.
    Downtime,
}

/// The faults of a run. At both parallelisms together every job stands still, alone and taken over, at every point where
/// a transaction begins, is open, or was just committed.
const AT_1: [(Fault, &str); 7] = [
    (Fault::Pause, "kafka.transaction-begun"),
    (Fault::Pause, "kafka.flushed"),
    (Fault::Takeover, "kafka.marker-sent"),
    (Fault::Takeover, "kafka.commit-sent"),
    (Fault::Takeover, "kafka.committed"),
    (Fault::BrokerRestart, "kafka.flushed"),
    (Fault::Downtime, "commit.begin"),
];
const AT_2: [(Fault, &str); 7] = [
    (Fault::Pause, "kafka.marker-sent"),
    (Fault::Pause, "kafka.commit-sent"),
    (Fault::Pause, "kafka.committed"),
    (Fault::Takeover, "kafka.transaction-begun"),
    (Fault::Takeover, "kafka.flushed"),
    (Fault::BrokerRestart, "kafka.commit-sent"),
    (Fault::Downtime, "kafka.marker-sent"),
];

/// Points at which the rows of a transaction are written and it is not yet to be committed.
const OPEN: [&str; 2] = ["kafka.flushed", "kafka.marker-sent"];

/// When a fault hits.
struct Moment {
    point: &'static str,
    /// How often the point must be reached, counted from the start of the process. The first time is that of a transaction
    /// without rows when the job is new.
    hit: u64,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.point, self.hit)
    }
}

impl Moment {
    /// Starts a process that does something to itself at this moment.
    fn start(&self, job: &Job<'_>, action: &str) -> Program {
        job.start(&[], &[("EDDYLINE_CRASH", &format!("{self}:{action}"))])
    }

    /// Starts a process that comes to stand still at this moment; gives the rows that are left to be written, too.
    fn hold(&self, job: &mut Job<'_>) -> (Program, i64) {
        let mut program = self.start(job, "pause");
        let left = self.await_with_rows(job, || program.is_paused());
        assert!(
            job.is_any_open() || !OPEN.contains(&self.point),
            "no transaction is open at {self}:\n{}",
            program.output()
        );
        (program, left)
    }

    /// Feeds the job, slice by slice and checkpoint by checkpoint, until the moment `has_come`; gives the rows that are
    /// left to be written.
    fn await_with_rows(&self, job: &mut Job<'_>, mut has_come: impl FnMut() -> bool) -> i64 {
        for left in (0..SLICES).rev() {
            let known = newest(&job.checkpoints());
            job.produce(SLICE);
            let next = || (has_come() || newest(&job.checkpoints()) > known).then_some(());
            wait_for("a checkpoint", LIMIT, next);
            if has_come() {
                return left * SLICE;
            }
        }
        panic!("{self} was not reached")
    }
}

fn pause(job: &mut Job<'_>, at: &Moment) {
    let (mut program, left) = at.hold(job);
    let paused = Instant::now();
    job.produce(left);
    wait_until_expired(job, paused);
    program.signal("CONT");
    job.wait_until_whole(&mut program);
}

fn wait_until_expired(job: &Job<'_>, begun: Instant) {
    let is_over = || begun.elapsed() > EXPIRED && !job.is_any_open();
    wait_for("the transaction to expire", LIMIT, || is_over().then_some(()));
}

fn take_over(job: &mut Job<'_>, at: &Moment) {
    let (mut old, left) = at.hold(job);
    let paused = Instant::now();
    let refused = job.start(&[], &[]).wait();
    assert_eq!(refused.code(), Some(1), "a second process must be refused without --takeover");
    let mut new = job.start(&["--takeover"], &[]);
    job.produce(left / 2);
    job.wait_until_whole(&mut new);
    wait_until_expired(job, paused);
    old.signal("CONT");
    let ended = old.wait();
    assert_eq!(ended.code(), Some(1), "a process that was taken over ends with an error:\n{}", old.output());
    job.check_silence();
    job.produce(left - left / 2);
    job.wait_until_whole(&mut new);
}

fn restart_broker(job: &mut Job<'_>, at: &Moment, random: &mut StdRng) {
    let (mut program, left) = at.hold(job);
    job.kafka.stop();
    program.signal("CONT");
    job.kafka.restart(Duration::from_millis(random.random_range(0..3000)));
    job.produce(left);
    job.wait_until_whole(&mut program);
}

fn stay_down(job: &mut Job<'_>, at: &Moment) {
    let mut program = at.start(job, "kill9");
    let left = at.await_with_rows(job, || program.ended().is_some());
    assert_eq!(program.wait().signal(), Some(SIGKILL), "{}", program.output());
    let until = Instant::now() + FORGOTTEN_WITHIN;
    job.produce(left);
    wait_for("the broker to forget", LIMIT, || (Instant::now() > until).then_some(()));
    let mut program = job.start(&[], &[]);
    job.wait_until_whole(&mut program);
}

fn survive_faults(shape: Shape, parallelism: usize, seed: u64) {
    let mut random = random(&format!("{shape:?} at parallelism {parallelism}: {ROWS} rows"), seed);
    let mut faults = if parallelism == 1 { AT_1 } else { AT_2 };
    faults.shuffle(&mut random);
    let kafka = Kafka::forgetful();
    let mut job = Job::new(&kafka, shape, parallelism).with_transactions_of(TRANSACTION);
    for (fault, point) in faults {
        let (at, began) = (Moment { point, hit: random.random_range(2..=3) }, Instant::now());
        print!("after {} rows: {fault:?} at {at}", job.produced());
        match fault {
            Fault::Pause => pause(&mut job, &at),
            Fault::Takeover => take_over(&mut job, &at),
            Fault::BrokerRestart => restart_broker(&mut job, &at, &mut random),
            Fault::Downtime => stay_down(&mut job, &at),
        }
        println!(", survived in {:?}", began.elapsed());
    }
    let program = job.start(&[], &[]);
    job.produce(ROWS - job.produced());
    job.close();
    job.end(program);
}

#[test]
fn a_million_rows_pass_through_at_parallelism_1() {
    survive_faults(Shape::PassThrough, 1, 201);
}

#[test]
fn a_million_rows_pass_through_at_parallelism_2() {
    survive_faults(Shape::PassThrough, 2, 202);
}

#[test]
fn windows_survive_faults_at_parallelism_1() {
    survive_faults(Shape::Windows, 1, 203);
}

#[test]
fn windows_survive_faults_at_parallelism_2() {
    survive_faults(Shape::Windows, 2, 204);
}

#[test]
fn upserts_survive_faults_at_parallelism_1() {
    survive_faults(Shape::Upserts, 1, 205);
}

#[test]
fn upserts_survive_faults_at_parallelism_2() {
    survive_faults(Shape::Upserts, 2, 206);
}
