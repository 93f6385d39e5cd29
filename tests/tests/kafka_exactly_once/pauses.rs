//! Processes that stand still: longer than their transactions live, and while another process takes over.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use eddyline_tests::checkpoints::{newest, wait_for_newer};
use eddyline_tests::services::kafka::shared;
use eddyline_tests::services::process::wait_for;

use super::jobs::{Job, Shape};

const LIMIT: Duration = Duration::from_secs(60);
const SIGKILL: i32 = 9;

/// Points at which a transaction is open, or was just committed.
const POINTS: [&str; 4] = ["kafka.transaction-begun", "kafka.flushed", "kafka.marker-sent", "kafka.committed"];

#[test]
fn a_transaction_that_expires_in_a_pause_is_repeated() {
    for point in POINTS {
        let mut job = Job::hasty(shared(), Shape::PassThrough);
        job.produce(10_000);
        let mut program = job.start(&[], &[("EDDYLINE_CRASH", &format!("{point}:2:pause"))]);
        program.wait_until_paused();
        let paused = Instant::now();
        job.produce(10_000);
        wait_for("the transaction to expire", LIMIT, || {
            (paused.elapsed() > Duration::from_secs(3) && !job.is_any_open()).then_some(())
        });
        program.signal("CONT");
        job.wait_until_whole(&mut program);
        assert!(program.stop().success(), "{}", program.output());
        job.check_end();
    }
}

#[test]
fn a_paused_process_that_was_taken_over_writes_nothing_more() {
    for point in POINTS {
        let mut job = Job::hasty(shared(), Shape::PassThrough);
        job.produce(10_000);
        let mut old = job.start(&[], &[("EDDYLINE_CRASH", &format!("{point}:2:pause"))]);
        old.wait_until_paused();
        let refused = job.start(&[], &[]).wait();
        assert!(!refused.success(), "a second process must be refused without --takeover");
        let mut new = job.start(&["--takeover"], &[]);
        job.produce(10_000);
        job.wait_until_whole(&mut new);
        old.signal("CONT");
        let ended = old.wait();
        assert!(!ended.success(), "'{point}': the old process ends with an error:\n{}", old.output());
        // The new one goes on.
        job.produce(10_000);
        job.wait_until_whole(&mut new);
        assert!(new.stop().success(), "{}", new.output());
        job.check_end();
    }
}

#[test]
fn a_job_that_is_down_for_long_between_checkpoint_and_commit_loses_nothing() {
    let mut job = Job::hasty(shared(), Shape::PassThrough);
    job.produce(10_000);
    for hit in 1..=3 {
        let mut program = job.start(&[], &[("EDDYLINE_CRASH", &format!("commit.begin:{hit}:kill9"))]);
        assert_eq!(program.wait().signal(), Some(SIGKILL), "{}", program.output());
        job.produce(10_000);
        let until = Instant::now() + Duration::from_secs(3);
        wait_for("longer than a transaction lives", LIMIT, || (Instant::now() > until).then_some(()));
    }
    let mut program = job.start(&[], &[]);
    job.wait_until_whole(&mut program);
    wait_for_newer(&job.checkpoints(), newest(&job.checkpoints()), &mut program);
    assert!(program.stop().success(), "{}", program.output());
    job.check_end();
}
