//! The program killed at random moments, and at every named point of the protocol.
//!
//! `EDDYLINE_SEED=<n>` repeats a run of the random tests.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use eddyline_engine::crash::POINTS;
use eddyline_tests::services::process::wait_for;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::jobs::{Job, Shape};

const KILLS: i64 = 20;
const SIGKILL: i32 = 9;

fn survive_kills(shape: Shape, parallelism: usize, rows: i64, kills: i64, seed: u64) {
    let seed = std::env::var("EDDYLINE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(seed);
    println!("{shape:?} at parallelism {parallelism}: {rows} rows, {kills} kills; repeat with EDDYLINE_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut job = Job::new(shape, parallelism);
    let mut program = job.start(&[], &[]);
    for _ in 0..kills {
        job.produce(rows / kills);
        let until = Instant::now() + Duration::from_millis(random.random_range(0..2500));
        wait_for("the moment of the kill", Duration::from_secs(60), || (Instant::now() >= until).then_some(()));
        program.assert_running();
        program.kill();
        program = job.start(&[], &[]);
    }
    job.close();
    job.wait_until_whole(&mut program);
    assert!(program.stop().success(), "{}", program.output());
    job.check_end();
}

#[test]
fn a_million_rows_pass_through_at_parallelism_1() {
    survive_kills(Shape::PassThrough, 1, 1_000_000, KILLS, 101);
}

#[test]
fn a_million_rows_pass_through_at_parallelism_2() {
    survive_kills(Shape::PassThrough, 2, 1_000_000, KILLS, 102);
}

#[test]
fn windows_survive_kills_at_parallelism_1() {
    survive_kills(Shape::Windows, 1, 200_000, 10, 103);
}

#[test]
fn windows_survive_kills_at_parallelism_2() {
    survive_kills(Shape::Windows, 2, 200_000, 10, 104);
}

#[test]
fn counts_survive_kills_at_parallelism_1() {
    survive_kills(Shape::Counts, 1, 100_000, 10, 105);
}

#[test]
fn counts_survive_kills_at_parallelism_2() {
    survive_kills(Shape::Counts, 2, 100_000, 10, 106);
}

/// Each point meets a job that was killed with a decided epoch that is not visible.
#[test]
fn every_kafka_crash_point_is_survived() {
    let points = POINTS.iter().filter(|point| point.starts_with("kafka."));
    for point in points {
        let mut job = Job::hasty(Shape::PassThrough);
        job.produce(2_000);
        let run_into = |job: &Job, crash: &str| {
            let mut program = job.start(&[], &[("EDDYLINE_CRASH", crash)]);
            let status = program.wait();
            assert_eq!(status.signal(), Some(SIGKILL), "'{crash}' was not reached:\n{}", program.output());
        };
        run_into(&job, "commit.begin:1:kill9");
        job.produce(2_000);
        run_into(&job, &format!("{point}:1:kill9"));
        job.produce(2_000);
        let mut program = job.start(&[], &[]);
        job.wait_until_whole(&mut program);
        assert!(program.stop().success(), "{}", program.output());
        job.check_end();
        println!("{point}: killed, recovered, every row visible once");
    }
}
