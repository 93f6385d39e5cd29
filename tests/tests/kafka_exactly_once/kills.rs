//! The program killed at random moments, and at every named point of the protocol.
//!
//! A run of the random tests prints the command that repeats it.

use std::os::unix::process::ExitStatusExt;

use eddyline_engine::crash::POINTS;
use eddyline_tests::chance::{pass, random};
use eddyline_tests::services::kafka::shared;

use super::jobs::Job;
use super::results::Shape;

const ROWS: i64 = 1_000_000;
const KILLS: i64 = 20;
const SIGKILL: i32 = 9;

fn survive_kills(shape: Shape, parallelism: usize, rows: i64, kills: i64, seed: u64) {
    let mut random = random(&format!("{shape:?} at parallelism {parallelism}: {rows} rows, {kills} kills"), seed);
    let mut job = Job::new(shared(), shape, parallelism);
    let mut program = job.start(&[], &[]);
    for _ in 0..kills {
        job.produce(rows / kills);
        pass(&mut random, 2500);
        program.assert_running();
        program.kill();
        program = job.start(&[], &[]);
    }
    job.close();
    job.end(program);
}

#[test]
fn a_million_rows_pass_through_at_parallelism_1() {
    survive_kills(Shape::PassThrough, 1, ROWS, KILLS, 101);
}

#[test]
fn a_million_rows_pass_through_at_parallelism_2() {
    survive_kills(Shape::PassThrough, 2, ROWS, KILLS, 102);
}

#[test]
fn windows_survive_kills_at_parallelism_1() {
    survive_kills(Shape::Windows, 1, ROWS, KILLS, 103);
}

#[test]
fn windows_survive_kills_at_parallelism_2() {
    survive_kills(Shape::Windows, 2, ROWS, KILLS, 104);
}

#[test]
fn counts_survive_kills_at_parallelism_1() {
    survive_kills(Shape::Counts, 1, 100_000, 10, 105);
}

#[test]
fn counts_survive_kills_at_parallelism_2() {
    survive_kills(Shape::Counts, 2, 100_000, 10, 106);
}

#[test]
fn upserts_survive_kills_at_parallelism_1() {
    survive_kills(Shape::Upserts, 1, ROWS, KILLS, 107);
}

#[test]
fn upserts_survive_kills_at_parallelism_2() {
    survive_kills(Shape::Upserts, 2, ROWS, KILLS, 108);
}

/// Processes stand still at random moments, are taken over, and wake up at random moments while the next one runs.
#[test]
fn takeovers_at_random_moments_lose_and_double_nothing() {
    let mut random = random("takeovers", 109);
    let mut job = Job::hasty(shared(), Shape::PassThrough);
    let mut program = job.start(&[], &[]);
    for _ in 0..8 {
        job.produce(5_000);
        pass(&mut random, 1500);
        program.signal("STOP");
        let mut next = job.start(&["--takeover"], &[]);
        pass(&mut random, 4000);
        program.signal("CONT");
        assert!(!program.wait().success(), "one that was taken over ends with an error:\n{}", program.output());
        next.assert_running();
        program = next;
    }
    job.end(program);
}

/// Each point meets a job that was killed with a decided epoch that is not visible.
#[test]
fn every_kafka_crash_point_is_survived() {
    let points = POINTS.iter().filter(|point| point.starts_with("kafka."));
    for point in points {
        let mut job = Job::hasty(shared(), Shape::PassThrough);
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
        let program = job.start(&[], &[]);
        job.end(program);
        println!("{point}: killed, recovered, every row visible once");
    }
}
