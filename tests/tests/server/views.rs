//! Materialized views, through the clients that people use.

use std::path::Path;
use std::time::{Duration, Instant};

use eddyline_tests::program::run_sql;
use eddyline_tests::server::Server;
use eddyline_tests::services::kafka::Kafka;
use eddyline_tests::services::process::wait_for;

const LIMIT: Duration = Duration::from_secs(120);

/// A view of constants, and one on top of it.
const SMALL: &str = "
CREATE VIEW lines AS SELECT * FROM (VALUES (1, 'a', 10), (2, 'b', 20), (3, 'a', 30), (4, 'c', 40)) AS t (id, name, n);
CREATE MATERIALIZED VIEW by_name AS SELECT name, COUNT(*) AS cnt, SUM(n) AS total FROM lines GROUP BY name;
CREATE MATERIALIZED VIEW top (biggest, names) AS SELECT MAX(total), COUNT(*) FROM by_name;
";

pub fn serving(sql: &str) -> Server {
    let server = Server::start();
    server.psql(sql);
    server
}

pub fn wait_for_answer(server: &Server, sql: &str, wanted: &str) {
    wait_for(&format!("{sql} to give {wanted}"), LIMIT, || (server.psql(sql) == wanted).then_some(()));
}

/// The id of the job that keeps a view current.
fn job_of(server: &Server, view: &str) -> String {
    let jobs = server.psql("SHOW JOBS");
    let job = jobs.lines().find(|line| line.split('|').nth(1).is_some_and(|name| name.ends_with(&format!(".{view}"))));
    job.and_then(|line| line.split('|').next()).expect("the job of a view is listed").to_string()
}

#[test]
fn a_view_answers_what_a_table_would() {
    let server = serving(SMALL);
    wait_for_answer(&server, "SELECT names FROM top", "3");
    for (sql, answer) in [
        ("SELECT name, cnt, total FROM by_name ORDER BY name", "a|2|40\nb|1|20\nc|1|40"),
        ("SELECT name FROM by_name WHERE name = 'b'", "b"),
        ("SELECT name FROM by_name WHERE name IN ('c', 'a', 'x', 'a') ORDER BY 1 DESC", "c\na"),
        ("SELECT total FROM by_name WHERE name = 'b' AND total > 20", ""),
        ("SELECT name FROM by_name WHERE name NOT IN ('a', 'u', 'v', 'w', 'x', 'y') ORDER BY 1", "b\nc"),
        ("SELECT name FROM by_name WHERE name IN ('a', 'b', 'c') AND total < 30 LIMIT 1", "b"),
        ("SELECT name FROM by_name ORDER BY total DESC, name LIMIT 2", "a\nc"),
        ("SELECT name FROM by_name ORDER BY name OFFSET 1", "b\nc"),
        ("SELECT DISTINCT total FROM by_name ORDER BY total", "20\n40"),
        ("SELECT COUNT(*), SUM(total), AVG(total), MIN(name) FROM by_name", "3|100|33|a"),
        ("SELECT total, LISTAGG(name) FROM by_name GROUP BY total HAVING COUNT(*) > 1", "40|a,c"),
        ("SELECT COUNT(DISTINCT total) FILTER (WHERE cnt = 1) FROM by_name", "2"),
        ("SELECT a.name, b.name FROM by_name a JOIN by_name b ON a.total = b.total AND a.name < b.name", "a|c"),
        ("SELECT name FROM by_name WHERE total = (SELECT MAX(total) FROM by_name) ORDER BY name", "a\nc"),
        ("SELECT name, SUM(total) OVER (ORDER BY name) FROM by_name ORDER BY name", "a|40\nb|60\nc|100"),
        ("SELECT name FROM by_name UNION ALL SELECT CAST(names AS STRING) FROM top ORDER BY name", "3\na\nb\nc"),
        ("SELECT biggest FROM top", "40"),
        ("SELECT UPPER(name) || '!' FROM by_name WHERE name = 'a'", "A!"),
        ("WITH w AS (SELECT total / 7 AS x FROM by_name) SELECT MAX(x) FROM w", "5"),
    ] {
        assert_eq!(server.psql(sql), answer, "{sql}");
    }
    let looked_up = server.psql("EXPLAIN SELECT * FROM by_name WHERE name IN ('a', 'b')");
    assert!(looked_up.contains("== Rows to Read ==\n2"), "{looked_up}");
    let scanned = server.psql("EXPLAIN SELECT * FROM by_name WHERE name > 'a'");
    assert!(scanned.contains("== Rows to Read ==\n3"), "{scanned}");
    // Prepared, with parameters and binary results; through a cursor; and as a part of a continuous query.
    let output = server.python(
        "
import os, psycopg
with psycopg.connect(host='127.0.0.1', port=os.environ['PORT'], user='ada') as c:
    cursor = c.cursor(binary=True)
    for name in ['a', 'b', 'x']:
        print(cursor.execute('SELECT total, cnt FROM by_name WHERE name = %s', [name], prepare=True).fetchone())
    print([d.name for d in cursor.description])
    with c.cursor('walk') as walk:
        walk.execute('SELECT name FROM by_name ORDER BY name')
        print(walk.fetchmany(2), walk.fetchall())",
    );
    assert_eq!(output, "(40, 2)\n(20, 1)\nNone\n['total', 'cnt']\n[('a',), ('b',)] [('c',)]");
}

#[test]
fn views_have_the_key_of_their_query_or_the_declared_one_or_none() {
    let server = serving(SMALL);
    server.psql(
        "CREATE MATERIALIZED VIEW pairs AS SELECT a.total, b.name FROM by_name a JOIN by_name b ON a.total = b.total;
         CREATE MATERIALIZED VIEW newest (id, name, PRIMARY KEY (name) NOT ENFORCED) AS SELECT id, name FROM lines;
         CREATE MATERIALIZED VIEW of_total (total, cnt, PRIMARY KEY (total) NOT ENFORCED)
           AS SELECT total, cnt FROM by_name;
         CREATE MATERIALIZED VIEW copy AS SELECT * FROM by_name;
         CREATE MATERIALIZED VIEW words AS SELECT name FROM lines;",
    );
    wait_for_answer(&server, "SELECT total, name FROM pairs ORDER BY 1, 2", "20|b\n40|a\n40|a\n40|c\n40|c");
    wait_for_answer(&server, "SELECT id, name FROM newest ORDER BY name", "3|a\n2|b\n4|c");
    wait_for_answer(&server, "SELECT COUNT(*) FROM of_total", "2");
    wait_for_answer(&server, "SELECT name FROM words ORDER BY name", "a\na\nb\nc");
    wait_for_answer(&server, "SELECT cnt, total FROM copy WHERE name = 'a'", "2|40");
    for (view, key) in [("pairs", ""), ("newest", "PRI(name)"), ("of_total", "PRI(total)"), ("copy", "PRI(name)")] {
        let described = server.psql(&format!("DESCRIBE {view}"));
        assert_eq!(described.matches("PRI(").count(), usize::from(!key.is_empty()), "{described}");
        assert!(described.contains(key), "{described}");
    }
}

#[test]
fn a_file_makes_views_and_asks_them() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // Without the view that never ends.
    let views = SMALL.split("CREATE MATERIALIZED VIEW top").next().unwrap_or_default();
    let sql = format!("{views} SELECT name, total FROM by_name ORDER BY name DESC LIMIT 2;");
    let run = run_sql(folder.path(), &sql, &[]);
    assert!(run.success, "{}", run.stderr);
    assert_eq!(run.stdout, "{\"op\":\"+I\",\"row\":[\"c\",40]}\n{\"op\":\"+I\",\"row\":[\"b\",20]}\n");
}

#[test]
fn views_are_listed_described_and_dropped_in_order() {
    let server = serving(SMALL);
    assert_eq!(server.psql("SHOW MATERIALIZED VIEWS"), "by_name\ntop");
    assert_eq!(server.psql("SHOW VIEWS"), "lines");
    assert_eq!(server.psql("SHOW TABLES"), "by_name\nlines\ntop");
    let described = server.psql("DESCRIBE by_name");
    assert!(described.starts_with("name|STRING|FALSE|") && described.contains("|PRI(name)|"), "{described}");
    assert!(described.contains("cnt|BIGINT|FALSE"), "{described}");
    let created = server.psql("SHOW CREATE MATERIALIZED VIEW top");
    assert!(created.contains("CREATE MATERIALIZED VIEW `top` (`biggest`, `names`)\nAS SELECT MAX(total)"), "{created}");
    let refused = server.psql_error("DROP MATERIALIZED VIEW by_name");
    assert!(refused.contains("2BP01: cannot drop materialized view 'by_name' because other objects"), "{refused}");
    assert!(refused.contains("DETAIL:  it is read by materialized view 'top'"), "{refused}");
    assert!(refused.contains("HINT:  write CASCADE") && refused.contains("LINE 1: DROP"), "{refused}");
    server.psql("CREATE TEMPORARY VIEW mine AS SELECT * FROM by_name; DROP MATERIALIZED VIEW IF EXISTS nothing");
    server.psql("DROP MATERIALIZED VIEW by_name CASCADE");
    assert_eq!(server.psql("SHOW TABLES"), "lines");
    assert!(server.psql_error("SELECT * FROM top").contains("42P01"));
    // A view that is made anew has nothing of the old one.
    server.psql("CREATE MATERIALIZED VIEW top AS SELECT id FROM lines WHERE n > 20");
    wait_for_answer(&server, "SELECT id FROM top ORDER BY id", "3\n4");
    server.psql("DROP MATERIALIZED VIEW top");
    let views = server.folder().join("data/checkpoints/views");
    let left = std::fs::read_dir(&views).map_or(0, |entries| {
        entries.flatten().filter(|view| view.path().read_dir().is_ok_and(|mut jobs| jobs.next().is_some())).count()
    });
    assert_eq!(left, 0, "their checkpoints are gone");
}

#[test]
fn mistakes_are_explained() {
    let server = serving(SMALL);
    wait_for_answer(&server, "SELECT names FROM top", "3");
    for (sql, parts) in [
        ("CREATE MATERIALIZED VIEW by_name AS SELECT 1 AS a", &["42P07", "by_name", "HINT"][..]),
        ("CREATE MATERIALIZED VIEW m AS SELECT nothing FROM by_name", &["42703", "nothing", "LINE 1"]),
        (
            "CREATE MATERIALIZED VIEW m AS SELECT a.id, b.id FROM lines a JOIN lines b ON a.id = b.id",
            &["42701", "'id' already exists", "name the columns"],
        ),
        ("CREATE MATERIALIZED VIEW m (a INT) AS SELECT id FROM lines", &["has the types of its query", "HINT"]),
        ("CREATE MATERIALIZED VIEW m (a, PRIMARY KEY (b) NOT ENFORCED) AS SELECT id FROM lines", &["42703", "'b'"]),
        ("CREATE MATERIALIZED VIEW m WITH ('a' = 'b') AS SELECT id FROM lines", &["has no options"]),
        ("CREATE MATERIALIZED TABLE m AS SELECT id FROM lines", &["0A000", "write CREATE MATERIALIZED VIEW"]),
        ("CREATE TEMPORARY MATERIALIZED VIEW m AS SELECT 1 AS a", &["0A000", "leave out TEMPORARY"]),
        (
            "CREATE TEMPORARY VIEW tmp AS SELECT 1 AS a; CREATE MATERIALIZED VIEW m AS SELECT a FROM tmp",
            &["cannot stand on the temporary 'tmp'"],
        ),
        ("DROP VIEW top", &["does not exist", "write DROP MATERIALIZED VIEW"]),
        ("DROP MATERIALIZED VIEW lines", &["does not exist", "write DROP VIEW"]),
        ("DROP MATERIALIZED VIEW nothing", &["42P01", "'nothing' does not exist"]),
        ("SHOW CREATE TABLE top", &["is a materialized view", "SHOW CREATE MATERIALIZED VIEW"]),
        ("INSERT INTO top SELECT 1, CAST(1 AS BIGINT)", &["'top' is a materialized view, not a table"]),
        ("SELECT * FROM top /*+ OPTIONS('a' = 'b') */", &["has no options"]),
        ("SELECT nme FROM by_name", &["42703", "name"]),
    ] {
        let error = server.psql_error(sql);
        assert!(parts.iter().all(|part| error.contains(part)), "{sql}\n{error}");
    }
    let id = job_of(&server, "top");
    let refused = server.psql_error(&format!("STOP JOB '{id}'"));
    assert!(refused.contains("55000") && refused.contains("DROP MATERIALIZED VIEW"), "{refused}");
    let plan = server.psql("EXPLAIN CREATE MATERIALIZED VIEW m AS SELECT name, COUNT(*) AS c FROM lines GROUP BY name");
    assert!(plan.contains("GroupAggregate") && plan.contains("Sink(table=[m]"), "{plan}");
    assert_eq!(server.psql("SHOW MATERIALIZED VIEWS"), "by_name\ntop", "nothing of all that was made");
}

#[test]
fn a_view_whose_source_is_away_is_read_as_it_was_and_says_so() {
    let broker = Kafka::start();
    let topic = broker.fresh_topic("late", 1);
    broker.produce_lines(&topic, 1, ["1", "2", "3"]);
    let mut server = serving(SMALL);
    server.psql(&format!(
        "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'kafka', 'topic' = '{topic}', 'format' = 'csv',
           'properties.bootstrap.servers' = '{}', 'scan.startup.mode' = 'earliest-offset');
         CREATE MATERIALIZED VIEW total AS SELECT SUM(n) AS total FROM numbers",
        broker.bootstrap()
    ));
    wait_for_answer(&server, "SELECT total FROM total", "6");
    server.kill();
    drop(broker);
    server.start_again();
    wait_for("the job to say what it lacks", LIMIT, || {
        let output =
            server.psql_command(&["-A", "-t", "-c", "SELECT total FROM total"]).output().expect("psql can be run");
        let (rows, warning) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(rows, "6\n", "{warning}");
        warning.contains("WARNING:  materialized view 'total' stands still, its job has failed").then_some(())
    });
    wait_for_answer(&server, "SELECT names FROM top", "3");
    server.psql("DROP MATERIALIZED VIEW total");
    assert_eq!(server.psql("SHOW MATERIALIZED VIEWS"), "by_name\ntop");
}

/// Files of checkpoints below `folder` whose name ends with `from` get the ending `to` instead.
fn rename_files(folder: &Path, from: &str, to: &str) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            rename_files(&path, from, to);
        } else if let Some(stem) = path.to_string_lossy().strip_suffix(from) {
            std::fs::rename(&path, format!("{stem}{to}")).expect("a writable folder");
        }
    }
}

#[test]
fn a_view_whose_rows_cannot_be_loaded_is_recovering_and_says_why() {
    let mut server = serving(
        "CREATE TABLE numbers (id INT PRIMARY KEY, n INT); INSERT INTO numbers VALUES (1, 10), (2, 20);
         CREATE MATERIALIZED VIEW total AS SELECT SUM(n) AS total FROM numbers; FLUSH",
    );
    wait_for("a checkpoint with the rows", LIMIT, || (server.psql("SELECT total FROM total") == "30").then_some(()));
    server.kill();
    let checkpoints = server.folder().join("data/checkpoints/views");
    rename_files(&checkpoints, ".parquet", ".away");
    server.start_again();
    let begun = Instant::now();
    let refused = server.psql_error("SELECT total FROM total");
    let waited = begun.elapsed();
    assert!(refused.contains("55000: view 'total' is recovering"), "{refused}");
    assert!(refused.contains("DETAIL:  its job cannot start: ") && refused.contains("is damaged"), "{refused}");
    assert!((Duration::from_secs(4)..Duration::from_secs(30)).contains(&waited), "{waited:?}");
    assert_eq!(server.psql("SELECT SUM(n) FROM numbers"), "30", "the table is there");
    rename_files(&checkpoints, ".away", ".parquet");
    let rows = || {
        let output = server.psql_command(&["-A", "-t", "-c", "SELECT total FROM total"]).output();
        String::from_utf8_lossy(&output.expect("psql can be run").stdout).trim().to_string()
    };
    wait_for("the view to be loaded", LIMIT, || (rows() == "30").then_some(()));
}

#[test]
fn a_long_select_is_cancelled_and_others_are_served_meanwhile() {
    let server = serving(
        "CREATE TABLE seq (n BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '3000', 'fields.n.kind' = 'sequence',
           'fields.n.start' = '1', 'fields.n.end' = '3000');
         CREATE MATERIALIZED VIEW numbers AS SELECT n, COUNT(*) AS cnt FROM seq GROUP BY n",
    );
    wait_for_answer(&server, "SELECT COUNT(*) FROM numbers", "3000");
    let output = server.python(
        "
import os, threading, time, psycopg
connect = lambda: psycopg.connect(host='127.0.0.1', port=os.environ['PORT'], user='ada', autocommit=True)
long, other = connect(), connect()
answers = []
def meanwhile():
    for n in range(20):
        answers.append(other.execute('SELECT cnt FROM numbers WHERE n = %s', [n + 1]).fetchone()[0])
    long.cancel()
threading.Thread(target=meanwhile).start()
try:
    long.execute('SELECT COUNT(*) FROM numbers a, numbers b, numbers c WHERE a.n + b.n + c.n = 5')
    print('it was not long')
except psycopg.errors.QueryCanceled:
    print('cancelled', answers == [1] * 20)
print(long.execute('SELECT COUNT(*) FROM numbers').fetchone())
while [row for row in other.execute('SHOW JOBS') if row[1] == 'select']:
    time.sleep(0.05)
print('gone')",
    );
    assert_eq!(output, "cancelled True\n(3000,)\ngone");
}
