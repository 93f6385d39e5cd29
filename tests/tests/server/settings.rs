//! Settings of PostgreSQL that drivers send and ask for.

use eddyline_tests::server::Server;

/// What SHOW says in a session that has set nothing; all of them are what some driver or tool asks for.
const UNTOUCHED: &[(&str, &str)] = &[
    ("application_name", ""),
    ("bytea_output", "hex"),
    ("client_encoding", "UTF8"),
    ("client_min_messages", "notice"),
    ("DateStyle", "ISO, MDY"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("extra_float_digits", "1"),
    ("in_hot_standby", "off"),
    ("integer_datetimes", "on"),
    ("IntervalStyle", "postgres"),
    ("is_superuser", "off"),
    ("lc_collate", "C"),
    ("lc_ctype", "C"),
    ("lock_timeout", "0"),
    ("max_identifier_length", "63"),
    ("search_path", "public"),
    ("server_encoding", "UTF8"),
    ("server_version", "16.6"),
    ("server_version_num", "160006"),
    ("session_authorization", "ada"),
    ("standard_conforming_strings", "on"),
    ("statement_timeout", "0"),
    ("TimeZone", "UTC"),
    ("transaction_isolation", "read committed"),
    ("TRANSACTION ISOLATION LEVEL", "read committed"),
    ("transaction_read_only", "off"),
];

#[test]
fn show_answers_what_drivers_ask_for() {
    let server = Server::start();
    let questions: Vec<String> = UNTOUCHED.iter().map(|(name, _)| format!("SHOW {name};")).collect();
    let mut asked = server.psql_command(&["-A", "-t", "-c", &questions.concat()]);
    let output = asked.env("PGAPPNAME", "").output().expect("psql can be run");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let wanted: Vec<&str> = UNTOUCHED.iter().map(|(_, value)| *value).collect();
    assert_eq!(said.lines().collect::<Vec<_>>(), wanted, "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_is_set_is_shown_until_it_is_reset_and_to_nobody_else() {
    let server = Server::start();
    for (set, name, shown, reset) in [
        ("SET extra_float_digits = 3", "extra_float_digits", "3", "RESET extra_float_digits"),
        ("SET SESSION statement_timeout TO 5000", "statement_timeout", "5000", "RESET ALL"),
        ("SET LOCAL lock_timeout = '10s'", "lock_timeout", "10s", "RESET lock_timeout"),
        ("SET search_path TO public, pg_catalog", "search_path", "public, pg_catalog", "DISCARD ALL"),
        ("SET Application_Name = 'probe'", "application_name", "probe", "RESET ALL"),
        ("SET client_min_messages = warning", "client_min_messages", "warning", "RESET client_min_messages"),
        // These say how the server writes, whatever a client would like.
        ("SET TimeZone = 'Europe/Berlin'", "timezone", "UTC", "RESET timezone"),
        ("SET TIME ZONE 'Europe/Berlin'", "timezone", "UTC", "RESET timezone"),
        ("SET DateStyle = 'German'", "datestyle", "ISO, MDY", "RESET ALL"),
        ("SET IntervalStyle = 'iso_8601'", "intervalstyle", "postgres", "RESET ALL"),
        ("SET bytea_output = 'escape'", "bytea_output", "hex", "RESET ALL"),
        ("SET NAMES 'UTF8'", "client_encoding", "UTF8", "RESET ALL"),
        ("SET client_encoding TO 'utf-8'", "client_encoding", "UTF8", "RESET ALL"),
    ] {
        let untouched = UNTOUCHED.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let untouched = if name == "application_name" { "psql" } else { untouched.expect("a known setting").1 };
        let said = server.psql(&format!("{set}; SHOW {name}; {reset}; SHOW {name}"));
        assert_eq!(said, format!("{shown}\n{untouched}"), "{set}");
        assert_eq!(server.psql(&format!("SHOW {name}")), untouched, "{set} is of one session");
    }
    for accepted in [
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SET standard_conforming_strings = on",
    ] {
        assert_eq!(server.psql(accepted), "");
    }
    let refused = server.psql_error("SET client_encoding TO 'LATIN1'");
    assert!(refused.contains("22023") && refused.contains("HINT:  use UTF8"), "{refused}");
    // Our own settings are set with or without quotes and listed by SET.
    let said = server.psql("SET execution.checkpointing.interval = '3 s'; SET 'pipeline.name' = 'mine'; SET");
    assert_eq!(said, "execution.checkpointing.interval|3 s\npipeline.name|mine");
}

/// The drivers' own ways to set and read: parameters of the startup message, and what SELECT says.
#[test]
fn settings_of_the_startup_message_are_shown() {
    let server = Server::start();
    let said = server.python(
        "
import os, psycopg
with psycopg.connect(host='127.0.0.1', port=os.environ['PORT'], user='ada', application_name='probe', autocommit=True) as c:
    print(c.execute('SHOW application_name').fetchone()[0], c.info.parameter_status('application_name'))
    c.execute(\"SET application_name = 'other'\")
    print(c.execute('SHOW application_name').fetchone()[0], c.info.parameter_status('application_name'))
    print(c.execute(\"SELECT current_setting('server_version_num')\").fetchone()[0])
    print(c.info.parameter_status('TimeZone'), c.info.encoding, c.info.server_version)",
    );
    assert_eq!(said, "probe probe\nother other\n160006\nUTC utf-8 160006");
}
