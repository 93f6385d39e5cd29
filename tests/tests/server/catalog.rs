//! What clients ask pg_catalog: psql's commands and its completion.

use eddyline_tests::server::Server;

use super::TABLES;

fn shown(server: &Server, command: &str) -> String {
    let output =
        server.psql_command(&["-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", command]).output().expect("psql can be run");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && err.is_empty(), "{command}:\n{out}\n{err}");
    out.into_owned()
}

#[test]
fn backslash_commands_of_psql_show_the_catalog() {
    let server = Server::start();
    server.psql(TABLES);
    let tables = shown(&server, "\\dt");
    assert!(tables.contains("public|counts|table|") && !tables.contains("|odd|"), "{tables}");
    assert!(shown(&server, "\\dv").contains("public|odd|view|"));
    let all = shown(&server, "\\d");
    assert!(["counts", "odd", "ticks"].iter().all(|name| all.contains(name)), "{all}");
    let columns = shown(&server, "\\d counts");
    assert!(columns.contains("k|bigint|") && columns.contains("n|numeric|"), "{columns}");
    assert!(columns.contains("seen|timestamp with time zone|"), "{columns}");
    assert!(columns.lines().any(|line| line.starts_with("k|bigint|") && line.contains("not null")), "{columns}");
    let whole = |command: &str| {
        let output = server.psql_command(&["-c", command]).output().expect("psql can be run");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(whole("\\d counts").contains("\"counts_pkey\" PRIMARY KEY, btree (k)"), "{}", whole("\\d counts"));
    assert!(!whole("\\d ticks").contains("PRIMARY KEY"));
    assert!(shown(&server, "\\di").contains("public|counts_pkey|index|"));
    assert!(shown(&server, "\\d odd").contains("name|text|"));
    assert!(shown(&server, "\\l").contains("default_catalog|"));
    assert!(shown(&server, "\\dn").contains("public|"));
    for command in ["\\dp", "\\z", "\\dt+", "\\dv+", "\\l+", "\\dn+", "\\d+ counts", "\\d+ odd"] {
        assert!(!shown(&server, command).is_empty(), "{command}");
    }
    for command in ["\\dT", "\\df", "\\du", "\\db", "\\dx", "\\dC", "\\do", "\\da", "\\dRp", "\\det"] {
        shown(&server, command);
    }
    server.psql("DROP TABLE counts");
    assert!(!shown(&server, "\\dt").contains("counts"));
}

/// The query of psql 15 behind a Tab in `SELECT * FROM co<Tab>`.
const COMPLETION: &str = "SELECT pg_catalog.quote_ident(c.relname) FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'S', \
'v', 'm', 'f', 'p') AND (pg_catalog.quote_ident(c.relname)) LIKE 'co%' AND pg_catalog.pg_table_is_visible(c.oid) AND \
c.relnamespace <> (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'pg_catalog') UNION SELECT \
pg_catalog.quote_ident(n.nspname) || '.' FROM pg_catalog.pg_namespace n WHERE pg_catalog.quote_ident(n.nspname) || '.' \
LIKE 'co%' LIMIT 1000";

#[test]
fn names_are_completed() {
    let server = Server::start();
    server.psql(TABLES);
    assert_eq!(server.psql(COMPLETION), "counts");
}

#[test]
fn information_schema_and_functions_answer() {
    let server = Server::start();
    server.psql(TABLES);
    let columns = "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'ticks' ORDER BY 1";
    assert_eq!(server.psql(columns).lines().count(), 2);
    assert_eq!(server.psql("SELECT current_database(), current_schema()"), "default_catalog|public");
    assert!(server.psql("SELECT version()").starts_with("PostgreSQL 16"));
    assert_eq!(server.psql("SELECT current_setting('server_version')"), "16.6");
}
