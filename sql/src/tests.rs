//! Tests of whole sessions without any connector.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use eddyline_engine::connector::Registry;
use eddyline_engine::time::ManualClock;

use crate::parse::parse_script;
use crate::{Outcome, Session};

/// 2024-02-29 12:34:56.789 UTC.
const LEAP_DAY: i64 = 1_709_210_096_789_000;

/// The cells of a query's rows as text.
fn rows(session: &mut Session, sql: &str) -> Vec<Vec<String>> {
    let statement = &parse_script(sql).unwrap()[0];
    let Outcome::Changes { changes, job, .. } = session.execute(statement).unwrap() else { panic!("{sql} is a query") };
    let mut rows = Vec::new();
    for batch in changes.iter() {
        let options = FormatOptions::default();
        let columns: Vec<ArrayFormatter<'_>> =
            batch.rows().columns().iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &options).unwrap()).collect();
        rows.extend((0..batch.len()).map(|row| columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>()));
    }
    job.wait().unwrap();
    rows
}

fn session_at(micros: i64, seed: u64) -> Session {
    let mut session = Session::new(Registry::default());
    session.set_clock(Arc::new(ManualClock::at(micros)), seed);
    session.set("table.local-time-zone", "Asia/Tokyo").unwrap();
    session
}

#[test]
fn functions_of_time_read_the_clock_of_the_session() {
    let sql = "SELECT NOW(), CURRENT_TIMESTAMP, LOCALTIMESTAMP, PROCTIME(), CURRENT_DATE, UNIX_TIMESTAMP() \
               FROM (VALUES (1)) AS t (a)";
    let instant = "2024-02-29T12:34:56.789Z";
    let expected = [instant, instant, "2024-02-29T21:34:56.789", instant, "2024-02-29", "1709210096"];
    assert_eq!(rows(&mut session_at(LEAP_DAY, 1), sql), [expected]);
}

#[test]
fn random_functions_repeat_with_the_seed_of_the_session() {
    let sql = "SELECT RAND(), RAND_INTEGER(1000000), UUID() FROM (VALUES (1), (2)) AS t (a)";
    let first = rows(&mut session_at(LEAP_DAY, 7), sql);
    assert_ne!(first[0], first[1], "rows differ");
    assert_eq!(first, rows(&mut session_at(LEAP_DAY, 7), sql));
    assert_ne!(first, rows(&mut session_at(LEAP_DAY, 8), sql));
}
