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

fn execute(session: &mut Session, sql: &str) -> crate::Result<()> {
    parse_script(sql)?.iter().try_for_each(|statement| session.execute(statement).map(drop))
}

#[cfg(feature = "batch")]
#[test]
fn tables_of_our_own_are_read_and_written_in_any_session() {
    let mut session = Session::new(Registry::default());
    execute(
        &mut session,
        "CREATE TABLE t (id INT PRIMARY KEY, n BIGINT, twice AS n * 2);
         INSERT INTO t VALUES (1, 10), (2, 20), (3, CAST(NULL AS BIGINT));
         UPDATE t SET n = n + (SELECT MAX(n) FROM t) WHERE twice > 20",
    )
    .unwrap();
    let expected: [&[&str]; 3] = [&["1", "10", "20"], &["2", "40", "80"], &["3", "", ""]];
    assert_eq!(rows(&mut session, "SELECT * FROM t ORDER BY id"), expected);
    let error = execute(&mut session, "DELETE FROM t WHERE id = (SELECT id FROM t WHERE n > 0)").unwrap_err();
    assert!(error.message.contains("more than one row"), "{error}");
    let mut other = Session::on(Arc::clone(session.engine()));
    execute(&mut other, "DELETE FROM t WHERE id = (SELECT MAX(id) FROM t)").unwrap();
    assert_eq!(rows(&mut session, "SELECT COUNT(*) FROM t"), [["2"]]);
    // A temporary table of the same name is another table.
    execute(&mut other, "CREATE TEMPORARY TABLE t (a INT)").unwrap();
    let error = execute(&mut other, "DELETE FROM t").unwrap_err();
    assert!(error.message.contains("no table of our own"), "{error}");
    assert!(execute(&mut other, "SELECT * FROM t").unwrap_err().message.contains("does not define a connector"));
    assert_eq!(rows(&mut session, "SELECT COUNT(*) FROM t"), [["2"]]);
}
