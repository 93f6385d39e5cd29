//! `COPY … TO STDOUT`: what can be copied, and when its rows come.

use eddyline_tests::server::Server;

const PEOPLE: &str = "CREATE TABLE people (id INT PRIMARY KEY, name STRING); INSERT INTO people VALUES (1, 'ada')";

const FOLLOW: &str = r#"
import os, signal, psycopg
signal.alarm(60)
connect = lambda: psycopg.connect(host='127.0.0.1', port=os.environ['PORT'], user='ada', autocommit=True)
with connect() as c, connect() as writer:
    writer.execute('CREATE TABLE quiet (id INT PRIMARY KEY)')
    try:
        with c.cursor().copy('COPY (SUBSCRIBE TO quiet) TO STDOUT') as copy:
            print('begun')
            rows = copy.rows()
            for n in (1, 2, 3):
                writer.execute('INSERT INTO quiet VALUES (%s)', [n])
                print(next(rows)[2])
            c.cancel()
            next(rows)
    except psycopg.errors.QueryCanceled: print('cancelled')
"#;

#[test]
fn a_copy_begins_before_there_are_rows_and_each_row_comes_when_it_is_made() {
    let server = Server::start();
    assert_eq!(server.python(FOLLOW), "begun\n1\n2\n3\ncancelled");
}

#[test]
fn what_is_refused_has_changed_nothing() {
    let server = Server::start();
    server.psql(PEOPLE);
    server.psql("CREATE TABLE gone (k INT) WITH ('connector' = 'blackhole')");
    let deep = format!("{}SELECT 1{}", "COPY (".repeat(7_000), ") TO STDOUT".repeat(7_000));
    for (sql, state, part, column) in [
        ("COPY (DROP TABLE people) TO STDOUT", "0A000", "take a query", 7),
        ("COPY (INSERT INTO people VALUES (2, 'bob')) TO STDOUT", "0A000", "take a query", 7),
        ("COPY (INSERT INTO gone SELECT id FROM people) TO STDOUT", "0A000", "take a query", 7),
        ("BEGIN; DECLARE c CURSOR FOR DELETE FROM people", "0A000", "take a query", 29),
        ("COPY nobody TO STDOUT", "42P01", "nobody", 6),
        ("COPY people (id, nam) TO STDOUT", "42703", "did you mean 'name'?", 6),
        ("COPY people TO STDOUT (FORMAT csv) WHERE id > 1", "42601", "unexpected 'WHERE'", 36),
        ("COPY people TO STDOUT (DELIMITER 'n')", "42601", "no letter", 0),
        (deep.as_str(), "42601", "COPY", 7),
    ] {
        let error = server.psql_error(sql);
        assert!(error.contains(state) && error.contains(part), "{error}");
        let shown = &sql[..sql.len().min(50)];
        let caret = error.lines().find_map(|line| Some(line.strip_suffix('^')?.len()));
        let before = error.lines().find_map(|line| line.find(&shown[..20]).filter(|_| line.starts_with("LINE 1: ")));
        if column > 0 && sql.len() < 100 {
            assert_eq!(caret.zip(before).map(|(caret, before)| caret + 1 - before), Some(column), "{error}");
        }
    }
    assert_eq!(server.psql("SELECT * FROM people"), "1|ada");
    assert_eq!(server.psql("SHOW JOBS"), "");
}

#[test]
fn whatever_only_looks_can_be_copied() {
    let server = Server::start();
    server.psql(PEOPLE);
    server.psql("CREATE TABLE `Odd, \"Name\"` (`a,b` INT); INSERT INTO `Odd, \"Name\"` VALUES (7)");
    for (sql, wanted) in [
        ("COPY people TO STDOUT (FORMAT csv, HEADER)", "id,name\n1,ada"),
        ("COPY default_database.people (name) TO STDOUT", "ada"),
        ("COPY \"Odd, \"\"Name\"\"\" (\"a,b\") TO STDOUT CSV HEADER", "\"a,b\"\n7"),
        ("COPY (SHOW MATERIALIZED VIEWS) TO STDOUT", ""),
        ("COPY (SELECT relname FROM pg_class WHERE relname = 'people') TO STDOUT", "people"),
        ("COPY (VALUES (1, 'x;y')) TO STDOUT WITH DELIMITER ';' NULL AS '-'", "1;x\\;y"),
    ] {
        assert_eq!(server.psql(sql), wanted, "{sql}");
    }
    assert!(server.psql("COPY pg_catalog.pg_namespace TO STDOUT").contains("public"));
}

#[test]
fn a_statement_set_with_a_case_is_one_statement() {
    let server = Server::start();
    server.psql(PEOPLE);
    server.psql("CREATE TABLE a (k INT) WITH ('connector' = 'blackhole'); CREATE TABLE b (k INT) WITH ('connector' = 'blackhole')");
    let started = server.psql(
        "EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT CASE WHEN TRUE THEN 1 END;
         INSERT INTO b SELECT id FROM people; END; SELECT 2 + 3",
    );
    let lines: Vec<&str> = started.lines().collect();
    assert!(lines.len() == 2 && lines[0].len() > 20 && lines[1] == "5", "{started}");
}
