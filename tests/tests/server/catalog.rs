//! What clients ask pg_catalog: psql's commands, and queries of information_schema.

use eddyline_tests::server::Server;

use super::TABLES;

fn shown(server: &Server, command: &str) -> String {
    let output =
        server.psql_command(&["-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", command]).output().expect("psql can be run");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let fine = (output.status.success() && err.is_empty()) || err.starts_with("Did not find any");
    assert!(fine, "{command}:\n{out}\n{err}");
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
    for command in ["\\dS", "\\dp", "\\z", "\\dt+", "\\dv+", "\\l+", "\\dn+", "\\d+ counts", "\\d+ odd"] {
        assert!(!shown(&server, command).is_empty(), "{command}");
    }
    // Each command of psql 15 that looks into the catalog, with and without its additions.
    for command in [
        "d", "da", "dA", "dAc", "dAf", "dAo", "db", "dc", "dC", "dconfig", "dd", "dD", "ddp", "dE", "des", "det",
        "deu", "dew", "df", "dF", "dFd", "di", "dL", "dl", "dm", "dn", "do", "dO", "dp", "dP", "drds", "dRp", "dRs",
        "ds", "dS", "dt", "dT", "du", "dv", "dx", "dX", "dy", "l", "dtvmsi",
    ] {
        shown(&server, &format!("\\{command}"));
        shown(&server, &format!("\\{command}+"));
    }
    assert!(shown(&server, "\\dconfig server_v*").contains("server_version|16.6"));
    let key = whole("\\d counts_pkey");
    assert!(key.contains("primary key, btree, for table \"public.counts\""), "{key}");
    assert!(key.contains(" k      | bigint | yes  | k"), "{key}");
    server.psql("DROP TABLE counts");
    assert!(!shown(&server, "\\dt").contains("counts"));
}

#[test]
fn materialized_views_are_a_kind_of_their_own() {
    let server = Server::start();
    server.psql(TABLES);
    server.psql("CREATE MATERIALIZED VIEW per_k COMMENT 'counted' AS SELECT k, COUNT(*) AS n FROM odd GROUP BY k");
    let of = |command: &str| shown(&server, command);
    assert_eq!(of("\\dm").trim(), "public|per_k|materialized view|postgres");
    assert!(of("\\dm+").contains("|counted"), "{}", of("\\dm+"));
    assert_eq!(of("\\dv").trim(), "public|odd|view|postgres");
    assert!(!of("\\dt").contains("per_k"));
    let all = of("\\d");
    assert!(all.contains("public|per_k|materialized view|"), "{all}");
    let whole = server.psql_command(&["-c", "\\d+ per_k"]).output().expect("psql can be run");
    let whole = String::from_utf8_lossy(&whole.stdout).into_owned();
    assert!(whole.contains("Materialized view \"public.per_k\""), "{whole}");
    assert!(whole.contains("\"per_k_pkey\" PRIMARY KEY, btree (k)"), "{whole}");
    assert!(whole.contains("View definition:\nSELECT k, COUNT(*) AS n FROM odd GROUP BY k;"), "{whole}");
    assert!(of("\\sv odd").contains("CREATE OR REPLACE VIEW public.odd AS\nSELECT k, name FROM ticks"));
    assert_eq!(
        server.psql("SELECT matviewname, hasindexes, definition FROM pg_matviews"),
        "per_k|t|SELECT k, COUNT(*) AS n FROM odd GROUP BY k;"
    );
    assert_eq!(server.psql("SELECT viewname FROM pg_catalog.pg_views WHERE schemaname = 'public'"), "odd");
    let tables = "SELECT tablename, hasindexes FROM pg_tables WHERE schemaname = 'public' ORDER BY 1";
    assert_eq!(server.psql(tables), "counts|t\nticks|f");
    let indexes = "SELECT tablename, indexdef FROM pg_indexes WHERE indexname = 'per_k_pkey'";
    let definition = "CREATE UNIQUE INDEX per_k_pkey ON public.per_k USING btree (k)";
    assert_eq!(server.psql(indexes), format!("per_k|{definition}"));
    let listed =
        "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1";
    assert_eq!(server.psql(listed), "counts|BASE TABLE\nodd|VIEW\nper_k|MATERIALIZED VIEW\nticks|BASE TABLE");
    let views = "SELECT table_name FROM information_schema.views WHERE table_schema = 'public'";
    assert_eq!(server.psql(views), "odd");
    // One that has the name of a table of pg_catalog is another one.
    server.psql("CREATE MATERIALIZED VIEW pg_language AS SELECT k FROM odd");
    let kinds = "SELECT n.nspname, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                 WHERE c.relname = 'pg_language' ORDER BY 1";
    assert_eq!(server.psql(kinds), "pg_catalog|r\npublic|m");
}

#[test]
fn information_schema_and_functions_answer() {
    let server = Server::start();
    server.psql(TABLES);
    let columns = "SELECT column_name, ordinal_position, data_type, is_nullable, udt_name FROM information_schema.columns \
                   WHERE table_name = 'counts' ORDER BY ordinal_position";
    assert_eq!(
        server.psql(columns),
        "k|1|bigint|NO|int8\nn|2|numeric|YES|numeric\nseen|3|timestamp with time zone|YES|timestamptz"
    );
    let keys = "SELECT c.constraint_name, k.column_name, k.ordinal_position FROM information_schema.table_constraints c \
                JOIN information_schema.key_column_usage k ON k.constraint_name = c.constraint_name \
                WHERE c.constraint_type = 'PRIMARY KEY' AND c.table_name = 'counts'";
    assert_eq!(server.psql(keys), "counts_pkey|k|1");
    assert_eq!(server.psql("SELECT current_database(), current_schema()"), "default_catalog|public");
    assert!(server.psql("SELECT version()").starts_with("PostgreSQL 16"));
    assert_eq!(server.psql("SELECT current_setting('server_version')"), "16.6");
}
