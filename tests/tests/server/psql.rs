//! psql: statements, jobs, errors with their place, cursors, transactions.

use eddyline_tests::server::Server;

use super::{TABLES, VALUES};

#[test]
fn statements_run_and_jobs_start_and_stop() {
    let server = Server::start();
    assert_eq!(server.psql(TABLES), "");
    assert_eq!(server.psql("SHOW TABLES"), "counts\nodd\nticks");
    let id = server.psql("INSERT INTO counts SELECT k, COUNT(*), MAX(CURRENT_TIMESTAMP) FROM ticks GROUP BY k");
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    let name = "insert-into_default_catalog.default_database.counts";
    assert_eq!(server.job_status(name), "RUNNING");
    assert!(server.psql("SHOW JOBS").starts_with(&format!("{id}|{name}|RUNNING|")));
    // A second one of the same kind gets another name, and so other checkpoints.
    server.psql("SET pipeline.name = 'second'; INSERT INTO counts SELECT k, 1, CURRENT_TIMESTAMP FROM odd");
    assert_eq!(server.job_status("second"), "RUNNING");
    let error =
        server.psql_error("SET pipeline.name = 'second'; INSERT INTO counts SELECT k, 1, CURRENT_TIMESTAMP FROM odd");
    assert!(error.contains("42710: a job named 'second' is running"), "{error}");
    server.psql(&format!("STOP JOB '{id}'"));
    assert_eq!(server.job_status(name), "FINISHED");
    let savepoint = server.psql("STOP JOB 'second' WITH SAVEPOINT");
    assert!(server.folder().join(savepoint).join("manifest.json").exists());
    assert!(server.psql_error("STOP JOB 'third'").contains("42704: there is no job 'third'"));
    assert!(server.psql("EXPLAIN SELECT k, COUNT(*) FROM ticks GROUP BY k").contains("GroupAggregate(groupBy=[k]"));
    server.psql("DROP VIEW odd");
    assert_eq!(server.psql("SHOW TABLES"), "counts\nticks");
}

#[test]
fn values_of_every_type_are_shown_as_postgres_shows_them() {
    let server = Server::start();
    let expected = "1|-2|3|-4000000000|1.5|-2.5|-1234.50|t|ab|abc|søt|\\x00ff10|2020-10-10|08:15:01|\
                    2020-10-10 08:15:00.123|2020-10-10 08:15:00.123+00|1 day 02:03:04|1 year 2 mons|{1,2,3}|\
                    {a,\"b c\",\"d\\\"e\"}|{\"k\":1}|{\"n\":1,\"s\":\"x\"}||0.00";
    assert_eq!(server.psql(VALUES), expected);
}

#[test]
fn bounded_queries_give_tables_and_endless_ones_their_changes() {
    let server = Server::start();
    server.psql(TABLES);
    let query = "SELECT w, COUNT(*) FROM (VALUES ('a'), ('b'), ('a')) AS t (w) GROUP BY w";
    let mut rows: Vec<String> = server.psql(query).lines().map(str::to_string).collect();
    rows.sort();
    assert_eq!(rows, ["a|2", "b|1"]);
    let cursor = "BEGIN; DECLARE c CURSOR FOR SELECT k, COUNT(*) FROM ticks GROUP BY k; FETCH 3 FROM c; COMMIT";
    let changes = server.psql(cursor);
    assert!(changes.starts_with("+I|"), "{changes}");
    let plain =
        server.psql("BEGIN; DECLARE c CURSOR FOR SELECT k FROM ticks; FETCH 1 FROM c; FETCH 1 FROM c; CLOSE c; COMMIT");
    assert_eq!(plain.lines().count(), 2, "{plain}");
    let numbers = "SELECT a FROM (VALUES (1), (2), (3), (4)) AS t (a)";
    let moved = server.psql(&format!(
        "BEGIN; DECLARE c CURSOR FOR {numbers}; MOVE 2 IN c; FETCH 1 FROM c; MOVE ALL FROM c; FETCH c; COMMIT"
    ));
    assert_eq!(moved, "3");
    let output =
        server.psql_command(&["-c", &format!("BEGIN; DECLARE c CURSOR FOR {numbers}; MOVE 3 FROM c; COMMIT")]).output();
    assert!(String::from_utf8_lossy(&output.expect("psql").stdout).contains("MOVE 3"));
    assert!(!server.psql("SHOW JOBS").contains("RUNNING"), "a query ends with its cursor");
}

#[test]
fn errors_have_state_place_and_hint() {
    let server = Server::start();
    server.psql(TABLES);
    let error = server.psql_error("SELECT k,\n  nme FROM ticks");
    assert!(
        error.contains(
            "ERROR:  42703: Column 'nme' not found in any table\nLINE 2:   nme FROM ticks\n          ^\nHINT:"
        ),
        "{error}"
    );
    let error = server.psql_error("SELECT 1; SELEC 2");
    assert!(error.contains("42601") && error.contains("LINE 1: SELECT 1; SELEC 2\n                  ^"), "{error}");
    assert!(server.psql_error("CREATE TABLE ticks (a INT)").contains("42P07"));
    let error = server.psql_error("BEGIN; SELECT * FROM nowhere; SELECT 1; COMMIT");
    assert!(error.contains("42P01"), "{error}");
}

#[test]
fn transactions_are_accepted_and_say_what_they_do_not_undo() {
    let server = Server::start();
    let output = server.psql_command(&["-c", &format!("BEGIN; {TABLES} ROLLBACK")]).output().expect("psql");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("is not undone"), "{said}");
    assert_eq!(server.psql("SHOW TABLES"), "counts\nodd\nticks");
    let spoilt = server
        .psql_command(&[
            "-c",
            "BEGIN",
            "-c",
            "SELECT * FROM nowhere",
            "-c",
            "SELECT 1",
            "-c",
            "ROLLBACK",
            "-c",
            "SELECT 2",
        ])
        .output()
        .expect("psql");
    let (rows, said) = (String::from_utf8_lossy(&spoilt.stdout), String::from_utf8_lossy(&spoilt.stderr));
    assert!(said.contains("current transaction is aborted"), "{said}");
    assert!(rows.matches("(1 row)").count() == 1 && rows.contains("2"), "{rows}");
    assert_eq!(server.psql("SHOW server_version"), "16.6");
    assert_eq!(server.psql("SHOW TRANSACTION ISOLATION LEVEL"), "read committed");
}
