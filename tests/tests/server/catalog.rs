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
        "d", "da", "dA", "dAc", "dAf", "dAo", "dAp", "db", "dc", "dC", "dconfig", "dd", "dD", "ddp", "dE", "des",
        "det", "deu", "dew", "df", "dF", "dFd", "dFp", "dFt", "di", "dL", "dl", "dm", "dn", "do", "dO", "dp", "dP",
        "drds", "dRp", "dRs", "ds", "dS", "dt", "dT", "du", "dv", "dx", "dX", "dy", "l", "dtvmsi",
    ] {
        shown(&server, &format!("\\{command}"));
        shown(&server, &format!("\\{command}+"));
    }
    assert!(shown(&server, "\\dAp btree array_ops").contains("btree|array_ops|"));
    assert!(shown(&server, "\\dAp+ btree array_ops").contains("|btarraycmp"), "the function by name");
    assert!(shown(&server, "\\dFt+ simple").contains("|simple|dsimple_init|dsimple_lexize|"));
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

#[test]
fn texts_about_an_object_are_its_own() {
    let server = Server::start();
    server.psql(TABLES);
    server.psql(
        "CREATE TABLE two (a INT, `B c` INT, PRIMARY KEY (`B c`, a) NOT ENFORCED) WITH ('connector' = 'blackhole')",
    );
    server.psql("CREATE VIEW even COMMENT 'two by two' AS SELECT k FROM ticks WHERE MOD(k, 2) = 0");
    let odd = "SELECT k, name FROM ticks WHERE MOD(k, 2) = 1;";
    let even = "SELECT k FROM ticks WHERE MOD(k, 2) = 0;";
    // Whatever the tables around are called, and within an aggregate, too.
    let views = format!("even|{even}\nodd|{odd}");
    let in_public = "relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'public')";
    for from in ["pg_class", "pg_class o", "pg_class k"] {
        let asked = format!(
            "SELECT relname, pg_get_viewdef(oid) FROM {from} WHERE {in_public} AND relkind = 'v' ORDER BY relname"
        );
        assert_eq!(server.psql(&asked), views, "{from}");
    }
    let of = |function: &str| {
        server.psql(&format!("SELECT {function} FROM pg_class WHERE {in_public} AND relname = 'even'"))
    };
    assert_eq!(of("pg_catalog.pg_get_viewdef(pg_class.oid, true)"), even);
    assert_eq!(of("max(pg_get_viewdef(oid))"), even);
    assert_eq!(of("obj_description(oid, 'pg_class')"), "two by two");
    assert_eq!(of("obj_description(oid, 'pg_proc')"), "");
    assert_eq!(server.psql("SELECT pg_get_viewdef(0), pg_get_indexdef(1), obj_description(2, 'pg_class')"), "||");
    let with_comment = "SELECT relname FROM pg_class WHERE obj_description(oid, 'pg_class') IS NOT NULL";
    assert_eq!(server.psql(with_comment), "even");
    let indexes = "SELECT pg_get_indexdef(indexrelid) FROM pg_index ORDER BY 1";
    let (of_counts, of_two) = (
        "CREATE UNIQUE INDEX counts_pkey ON public.counts USING btree (k)",
        "CREATE UNIQUE INDEX two_pkey ON public.two USING btree (\"B c\", a)",
    );
    assert_eq!(server.psql(indexes), format!("{of_counts}\n{of_two}"));
    let parts = "SELECT pg_get_indexdef(indexrelid, 1, true), pg_get_indexdef(indexrelid, 2, true) FROM pg_index k \
                 ORDER BY 1";
    assert_eq!(server.psql(parts), "\"B c\"|a\nk|");
    let keys = "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint ORDER BY 1";
    assert_eq!(server.psql(keys), "counts_pkey|PRIMARY KEY (k)\ntwo_pkey|PRIMARY KEY (\"B c\", a)");
    // A new object of the same name has its own texts.
    server.psql("DROP VIEW even");
    server.psql("CREATE VIEW even AS SELECT k FROM ticks");
    assert_eq!(of("pg_get_viewdef(oid)"), "SELECT k FROM ticks;");
    assert_eq!(server.psql(with_comment), "");
}

#[test]
fn an_object_that_is_called_like_one_of_the_catalog_is_another_one() {
    let server = Server::start();
    server.psql("CREATE TABLE pg_cast (a INT, PRIMARY KEY (a) NOT ENFORCED) WITH ('connector' = 'blackhole')");
    let keyed = "SELECT n.nspname, c.relhasindex FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                 WHERE c.relname = 'pg_cast' ORDER BY 1";
    assert_eq!(server.psql(keyed), "pg_catalog|f\npublic|t");
    assert_eq!(server.psql("SELECT count(*) FROM pg_index"), "1");
    // A query's own names come before those of views.
    assert_eq!(server.psql("WITH pg_views AS (SELECT 7 AS a) SELECT a FROM pg_views"), "7");
    let both =
        "WITH pg_tables AS (SELECT tablename FROM pg_tables WHERE schemaname = 'public') SELECT * FROM pg_tables";
    assert_eq!(server.psql(both), "pg_cast");
}

#[test]
fn questions_that_cannot_be_answered_rightly_are_refused() {
    let server = Server::start();
    assert_eq!(
        server.psql("SELECT EXISTS (SELECT 1 FROM pg_class WHERE relname = 'no'), current_schema()"),
        "f|public"
    );
    assert_eq!(server.psql("SELECT EXISTS (SELECT 1 FROM pg_class LIMIT 1), current_schema()"), "t|public");
    let grouped = "SELECT EXISTS (SELECT 1 FROM pg_class WHERE relname = 'no' GROUP BY relkind), current_schema()";
    assert!(server.psql_error(grouped).contains("ERROR"));
    let formatted = "SELECT pg_catalog.format('%2$s of %1$I', relname, 'a b') FROM pg_class WHERE relname = 'pg_index'";
    assert_eq!(server.psql(formatted), "a b of pg_index");
    let unknown = server.psql_error("SELECT format('%d', relname) FROM pg_class");
    assert!(unknown.contains("unrecognized format() type specifier"), "{unknown}");
}
