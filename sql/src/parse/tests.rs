//! Tests of the grammar: the conformance corpus parses, shapes and statements are as promised, mistakes are explained.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use sqlparser::ast::{Expr, SetExpr, Statement as Ast, TableFactor};

use super::*;
use crate::error::SqlError;
use crate::statement::*;

fn one(sql: &str) -> Statement {
    let mut statements = parse_script(sql).unwrap_or_else(|e| panic!("{}", e.render(sql)));
    assert_eq!(statements.len(), 1, "{sql}");
    statements.remove(0).statement
}

fn fails(sql: &str) -> SqlError {
    match parse_script(sql) {
        Ok(statements) => panic!("parsed: {statements:?}"),
        Err(error) => error,
    }
}

fn table(sql: &str) -> CreateTable {
    match one(sql) {
        Statement::CreateTable(table) => *table,
        other => panic!("{other:?}"),
    }
}

/// What the expression looks like after parsing.
fn shape(expr: &str) -> String {
    parse_expression(expr).unwrap_or_else(|e| panic!("{}", e.render(expr))).to_string()
}

fn from(sql: &str) -> Vec<TableFactor> {
    let query = parse_query(sql).unwrap_or_else(|e| panic!("{}", e.render(sql)));
    let SetExpr::Select(select) = *query.body else { panic!("{sql}") };
    select
        .from
        .into_iter()
        .flat_map(|t| std::iter::once(t.relation).chain(t.joins.into_iter().map(|j| j.relation)))
        .collect()
}

fn conformance() -> Option<PathBuf> {
    let given = std::env::var_os("CONFORMANCE").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance");
    given.into_iter().chain([beside]).find(|p| p.join("visible").is_dir())
}

/// Used where the corpus is not at hand.
const SAMPLES: &[&str] = &[
    "CREATE TABLE t (a INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'x'); SELECT * FROM t;",
    "SELECT word, COUNT(*) FROM lines CROSS JOIN UNNEST(SPLIT(line, ' ')) AS w (word) GROUP BY word",
];

#[test]
fn every_conformance_case_parses_unless_it_is_about_syntax() {
    let mut cases: Vec<(String, String, bool)> = Vec::new();
    match conformance() {
        Some(root) => {
            for area in std::fs::read_dir(root.join("visible")).unwrap() {
                for case in std::fs::read_dir(area.unwrap().path()).unwrap() {
                    let case = case.unwrap().path();
                    let sql = std::fs::read_to_string(case.join("case.sql")).unwrap();
                    let error = std::fs::read_to_string(case.join("expected.error")).unwrap_or_default();
                    let sql = sql.replace("${DATA}", "/data").replace("${CASE}", "/case").replace("${TMP}", "/tmp");
                    cases.push((case.display().to_string(), sql, error.trim() == "Encountered"));
                }
            }
            assert!(cases.len() > 150, "only {} cases found", cases.len());
        }
        None => cases.extend(SAMPLES.iter().map(|s| ("sample".to_string(), s.to_string(), false))),
    }
    let mut wrong = Vec::new();
    for (name, sql, must_fail) in cases {
        match (parse_script(&sql), must_fail) {
            (Err(error), true) => assert!(error.message.contains("Encountered"), "{name}: {error}"),
            (Ok(_), true) => wrong.push(format!("{name}: parsed")),
            (Err(error), false) => wrong.push(format!("{name}: {}", error.render(&sql))),
            (Ok(_), false) => {}
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn script_is_cut_at_semicolons_with_positions_of_the_file() {
    let sql = "-- first; not\nSELECT 'a;b';;\n  /* ; */ SET 'k' = 'v';\nINSERT INTO t SELECT 1";
    let statements = parse_script(sql).unwrap();
    let found: Vec<_> = statements.iter().map(|s| (s.text.as_str(), s.start.line, s.start.column)).collect();
    assert_eq!(found, [("SELECT 'a;b'", 2, 1), ("SET 'k' = 'v'", 3, 11), ("INSERT INTO t SELECT 1", 4, 1)]);
}

#[test]
fn statement_sets_hold_several_inserts() {
    let body = "INSERT INTO a SELECT CASE WHEN x THEN 1 END FROM t; INSERT INTO b (x, y) VALUES (1, 2);";
    for sql in [
        format!("EXECUTE STATEMENT SET BEGIN {body} END; SELECT 1"),
        format!("BEGIN STATEMENT SET; {body} END; SELECT 1"),
    ] {
        let statements = parse_script(&sql).unwrap();
        let Statement::StatementSet(inserts) = &statements[0].statement else { panic!("{sql}") };
        assert_eq!(inserts.len(), 2);
        assert_eq!(inserts[1].columns, ["x", "y"]);
        assert_eq!(inserts[1].text, "INSERT INTO b (x, y) VALUES (1, 2)");
        assert_eq!(statements.len(), 2);
    }
    assert!(matches!(one("EXPLAIN EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1; END"), Statement::Explain(_)));
}

#[test]
fn create_table_has_all_its_parts() {
    let t = table(
        "CREATE TEMPORARY TABLE IF NOT EXISTS db.`my t` (
           id BIGINT NOT NULL COMMENT 'the id', total AS price * qty COMMENT 'sum', price DECIMAL(10, 2),
           ts TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL, `offset` BIGINT METADATA, qty INT,
           r ROW<a INT NOT NULL, b ARRAY<MAP<STRING, INT>>>,
           WATERMARK FOR ts AS ts - INTERVAL '5' SECOND, CONSTRAINT pk PRIMARY KEY (id, qty) NOT ENFORCED
         ) COMMENT 'c' DISTRIBUTED BY HASH (id) INTO 4 BUCKETS PARTITIONED BY (qty)
         WITH ('connector' = 'kafka', 'topic' = 'It''s')",
    );
    assert_eq!(
        (t.name.parts.as_slice(), t.temporary, t.if_not_exists),
        (["db".into(), "my t".into()].as_slice(), true, true)
    );
    let names: Vec<_> = t.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["id", "total", "price", "ts", "offset", "qty", "r"]);
    let ColumnDefinitionKind::Computed { expr } = &t.columns[1].kind else { panic!() };
    assert_eq!(expr.to_string(), "price * qty");
    let ColumnDefinitionKind::Metadata { key, is_virtual, .. } = &t.columns[3].kind else { panic!() };
    assert_eq!((key.as_str(), *is_virtual), ("timestamp", true));
    let ColumnDefinitionKind::Physical { data_type } = &t.columns[6].kind else { panic!() };
    assert_eq!(data_type.to_string(), "ROW<`a` INT NOT NULL, `b` ARRAY<MAP<STRING, INT>>>");
    let watermark = t.watermark.unwrap();
    assert_eq!((watermark.column.as_str(), watermark.expr.to_string().as_str()), ("ts", "ts - INTERVAL '5' SECOND"));
    assert_eq!(t.primary_key.unwrap().columns, ["id", "qty"]);
    assert_eq!(t.distribution.as_deref(), Some("DISTRIBUTED BY HASH (id) INTO 4 BUCKETS"));
    assert_eq!(t.partition_keys, ["qty"]);
    assert_eq!(t.options["topic"], "It's");
    assert_eq!(t.columns[0].comment.as_deref(), Some("the id"));
    assert_eq!(t.columns[1].comment.as_deref(), Some("sum"));
}

#[test]
fn create_table_other_forms() {
    let t = table("CREATE TABLE t (id INT PRIMARY KEY NOT ENFORCED, a INT)");
    assert_eq!(t.primary_key.unwrap().columns, ["id"]);
    let t = table("CREATE TABLE t (WATERMARK FOR ts AS ts) WITH ('a' = 'b') LIKE s (EXCLUDING ALL INCLUDING OPTIONS)");
    let like = t.like.unwrap();
    assert_eq!((like.source.table(), like.options.len()), ("s", 2));
    let t = table("CREATE TABLE t (b, a) WITH ('x' = 'y') AS SELECT a, b FROM s");
    assert!(t.query.is_some());
    assert_eq!(t.column_order, ["b", "a"]);
    let enforced = fails("CREATE TABLE t (id INT, PRIMARY KEY (id) ENFORCED) WITH ('a' = 'b')");
    assert!(enforced.message.contains("Flink doesn't support ENFORCED mode for PRIMARY KEY constraint"), "{enforced}");
    assert!(fails("CREATE TABLE t (a INT) WITH ('k' = '1', 'k' = '2')").message.contains("given twice"));
}

#[test]
fn views_drops_and_alters() {
    let Statement::CreateView(view) = one("CREATE TEMPORARY VIEW v (a, b) AS SELECT 1, 2 -- end\n") else { panic!() };
    assert_eq!((view.columns.len(), view.query_text == "SELECT 1, 2", view.temporary), (2, true, true));
    let Statement::Drop(drop) = one("DROP TEMPORARY VIEW IF EXISTS v") else { panic!() };
    assert_eq!((drop.kind, drop.temporary, drop.if_exists), (ObjectKind::View, true, true));
    let actions = |sql: &str| match one(sql) {
        Statement::AlterTable(alter) => alter.actions,
        other => panic!("{other:?}"),
    };
    let added = actions("ALTER TABLE t ADD (c AS a + 1, d INT AFTER a, WATERMARK FOR ts AS ts)");
    assert!(matches!(&added[1], AlterAction::AddColumn(_, Some(ColumnPosition::After(a))) if a == "a"));
    assert!(matches!(&added[2], AlterAction::AddWatermark(_)));
    assert!(matches!(&actions("ALTER TABLE t RENAME TO u")[0], AlterAction::RenameTable(n) if n.table() == "u"));
    assert!(matches!(&actions("ALTER TABLE t RENAME a TO b")[0], AlterAction::RenameColumn { .. }));
    assert!(matches!(&actions("ALTER TABLE t SET ('a' = 'b')")[0], AlterAction::SetOptions(o) if o["a"] == "b"));
    assert!(matches!(&actions("ALTER TABLE t RESET ('a')")[0], AlterAction::ResetOptions(_)));
    assert_eq!(actions("ALTER TABLE t DROP (a, b)").len(), 2);
    assert_eq!(actions("ALTER TABLE t DROP WATERMARK"), [AlterAction::DropWatermark]);
    assert!(matches!(&actions("ALTER TABLE t MODIFY a BIGINT FIRST")[0], AlterAction::ModifyColumn(_, Some(_))));
}

#[test]
fn commands() {
    assert!(matches!(one("SET 'a' = 'b'"), Statement::Set { key, value, .. } if key == "a" && value == "b"));
    assert_eq!(one("SET;"), Statement::ShowSettings);
    assert_eq!(one("RESET"), Statement::Reset { key: None });
    assert_eq!(one("RESET 'a'"), Statement::Reset { key: Some("a".into()) });
    assert!(
        matches!(one("SHOW TABLES NOT LIKE 'x%'"), Statement::Show(s) if s.kind == ShowKind::Tables && s.filter.clone().unwrap().negated)
    );
    for sql in [
        "SHOW VIEWS",
        "SHOW JOBS",
        "SHOW LAG",
        "SHOW LAG FOR JOB 'x'",
        "SHOW CHECKPOINTS FOR JOB 'x'",
        "SHOW FUNCTIONS",
        "SHOW CREATE TABLE t",
        "SHOW COLUMNS FROM t",
        "DESC t",
        "DESCRIBE a.b.c",
        "USE CATALOG c",
        "USE d",
        "CREATE DATABASE IF NOT EXISTS d",
        "STOP JOB 'x' WITH SAVEPOINT",
        "SUBSCRIBE TO v",
    ] {
        one(sql);
    }
    assert_eq!(fails("SET a = b").hint.as_deref(), Some("write SET 'key' = 'value'"));
    let Statement::Explain(explain) = one("EXPLAIN CHANGELOG_MODE, ESTIMATED_COST SELECT 1") else { panic!() };
    assert_eq!(explain.details, ["CHANGELOG_MODE", "ESTIMATED_COST"]);
    one("EXPLAIN PLAN FOR INSERT INTO t SELECT 1");
    one("EXPLAIN SELECT 1");
}

#[test]
fn rows_of_our_own_tables_change_by_these_forms() {
    let mutation = |sql: &str| match one(sql) {
        Statement::Mutation(mutation) => *mutation,
        other => panic!("{other:?}"),
    };
    let query = |sql: &str| mutation(sql).query.to_string();
    let update = mutation("UPDATE a.t AS x SET `b c` = x.b + 1, d = $1 WHERE x.k IN (1, 2)");
    let columns: Vec<String> = update.assigned.into_iter().flatten().map(|assigned| assigned.column).collect();
    assert_eq!((update.table.to_string(), columns), ("a.t".to_string(), vec!["b c".to_string(), "d".to_string()]));
    assert_eq!(
        update.query.to_string(),
        "SELECT x.b + 1 AS `new value 0`, $1 AS `new value 1` FROM `t` AS `x` WHERE x.k IN (1, 2)"
    );
    assert_eq!(query("DELETE FROM t x WHERE TRUE"), "SELECT 1 FROM `t` AS `x` WHERE true");
    assert_eq!(query("DELETE FROM t"), "SELECT 1 FROM `t`");
    assert!(mutation("TRUNCATE TABLE t").assigned.is_none());
    assert_eq!(one("FLUSH"), Statement::Flush);
    one("EXPLAIN UPDATE t SET a = 1");
    for wrong in ["UPDATE t SET a = 1, a = 2", "UPDATE t", "DELETE t", "DELETE FROM t WHERE", "UPDATE t SET a"] {
        fails(wrong);
    }
}

#[test]
fn insert_forms() {
    let insert = |sql: &str| match one(sql) {
        Statement::Insert(insert) => *insert,
        other => panic!("{other:?}"),
    };
    let i =
        insert("INSERT INTO a.t /*+ OPTIONS('sink.parallelism' = '2') */ (x, y) SELECT 1, 2 ON CONFLICT DO NOTHING");
    assert_eq!((i.target.table(), i.columns.len(), i.on_conflict), ("t", 2, Some(OnConflict::Nothing)));
    assert_eq!(i.target_options["sink.parallelism"], "2");
    assert!(insert("INSERT OVERWRITE t PARTITION (d = 'x') (SELECT 1)").overwrite);
    assert!(insert("INSERT INTO t VALUES (1, 'a'), (2, 'b')").columns.is_empty());
}

#[test]
fn functions_get_their_shapes() {
    for (sql, shaped) in [
        ("CEIL(ts TO DAY)", "CEIL(ts, 'DAY')"),
        ("FLOOR(x)", "FLOOR(x)"),
        ("TIMESTAMPADD(minute, -1, ts)", "TIMESTAMPADD('MINUTE', -1, ts)"),
        ("MAP['a', 1]['a']", "MAP('a', 1)['a']"),
        ("a BETWEEN SYMMETRIC 1 AND 2 AND b", "(a BETWEEN 1 AND 2 OR a BETWEEN 2 AND 1) AND b"),
        ("a NOT BETWEEN SYMMETRIC 1 AND 2", "NOT (a BETWEEN 1 AND 2 OR a BETWEEN 2 AND 1)"),
        ("x IS NOT JSON OBJECT AND y", "NOT IS_JSON(x, 'OBJECT') AND y"),
        ("JSON_VALUE(x, '$.a')", "JSON_VALUE(x, '$.a')"),
        (
            "JSON_VALUE(x, 'p' RETURNING INTEGER DEFAULT 0 ON EMPTY)",
            "JSON_VALUE(x, 'p', 'INT', 'DEFAULT', 0, 'NULL', NULL)",
        ),
        (
            "JSON_QUERY(x, 'p' WITH CONDITIONAL ARRAY WRAPPER)",
            "JSON_QUERY(x, 'p', 'STRING', 'CONDITIONAL', 'NULL', 'NULL')",
        ),
        ("JSON_QUERY(x, 'p' EMPTY ARRAY ON EMPTY)", "JSON_QUERY(x, 'p', 'STRING', 'WITHOUT', 'EMPTY ARRAY', 'NULL')"),
        ("JSON_EXISTS(x, 'p' TRUE ON ERROR)", "JSON_EXISTS(x, 'p', 'TRUE')"),
        ("JSON_OBJECT(KEY 'a' VALUE b, 'c' VALUE d)", "JSON_OBJECT('a', b, 'c', d)"),
        ("JSON_OBJECT('a' VALUE b ABSENT ON NULL)", "JSON_OBJECT_ABSENT_ON_NULL('a', b)"),
        ("JSON_ARRAY(a, b NULL ON NULL)", "JSON_ARRAY_NULL_ON_NULL(a, b)"),
        ("JSON_ARRAY()", "JSON_ARRAY()"),
        ("JSON_ARRAYAGG(a NULL ON NULL) FILTER (WHERE b)", "JSON_ARRAYAGG_NULL_ON_NULL(a) FILTER (WHERE b)"),
        ("JSON_OBJECTAGG(KEY a VALUE b)", "JSON_OBJECTAGG(a, b)"),
        ("CAST(x AS ROW<a INT, b TIMESTAMP(3) WITH LOCAL TIME ZONE>)", "CAST(x AS ROW<`a` INT, `b` TIMESTAMP_LTZ(3)>)"),
        ("TRY_CAST(x AS BYTES)", "TRY_CAST(x AS BYTES)"),
        ("E'a\\tb' || U&'\\263A'", "'a\tb' || '☺'"),
        ("x IS NOT DISTINCT FROM y AND z", "x IS NOT DISTINCT FROM y AND z"),
    ] {
        assert_eq!(shape(sql), shaped, "{sql}");
    }
    let Expr::BinaryOp { .. } = parse_expression("x IS DISTINCT FROM y AND z").unwrap() else {
        panic!("AND binds weaker")
    };
}

#[test]
fn expressions_of_flink_parse() {
    for sql in [
        "INTERVAL '10' MINUTES",
        "INTERVAL '10' SECOND(3)",
        "INTERVAL '1 02:03:04.500' DAY TO SECOND",
        "INTERVAL '-3' SECONDS",
        "TIMESTAMP '2020-01-01 00:00:00'",
        "DATE '2020-01-01'",
        "X'0aFF'",
        ".5",
        "1e1",
        "arr[1].b",
        "t.r.a",
        "ARRAY[1, 2]",
        "ROW(1, 2)",
        "EXTRACT(DAY FROM x)",
        "TRIM(BOTH 'x' FROM y)",
        "OVERLAY(a PLACING 'b' FROM 2 FOR 3)",
        "POSITION(a IN b)",
        "SUBSTRING(a FROM 1 FOR 2)",
        "a LIKE 'x!%' ESCAPE '!'",
        "a SIMILAR TO 'b'",
        "a NOT IN (1, 2)",
        "COUNT(DISTINCT a) FILTER (WHERE b > 1)",
        "LAG(a, 1, 'x') OVER (PARTITION BY b ORDER BY c)",
        "LEFT(a, 2)",
        "IF(a, 1, 2)",
        "CURRENT_TIMESTAMP",
        "LOCALTIMESTAMP",
        "PROCTIME()",
        "CASE a WHEN 1 THEN 2 END",
        "EXISTS (SELECT 1)",
        "(a, b) IN (SELECT 1, 2)",
        "SUM(a) OVER (ORDER BY ts RANGE BETWEEN INTERVAL '3' SECOND PRECEDING AND CURRENT ROW)",
        "`a b`.`c``d`",
        "YEAR(d)",
        "a % 2",
    ] {
        shape(sql);
    }
}

#[test]
fn queries_of_flink_parse() {
    for sql in [
        "SELECT * FROM TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' MINUTES)",
        "SELECT * FROM TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '5' MINUTES, INTERVAL '10' MINUTES))",
        "SELECT * FROM TUMBLE(DATA => TABLE t, TIMECOL => DESCRIPTOR(ts), SIZE => INTERVAL '1' DAY, `OFFSET` => INTERVAL '1' HOUR)",
        "SELECT * FROM TO_CHANGELOG(input => TABLE t, op => DESCRIPTOR(op), op_mapping => MAP['INSERT', 'I'])",
        "SELECT TUMBLE_START(ts, INTERVAL '1' DAY) FROM t GROUP BY TUMBLE(ts, INTERVAL '1' DAY), ROLLUP(a, b), GROUPING SETS ((a), ())",
        "SELECT * FROM a LEFT JOIN b FOR SYSTEM_TIME AS OF a.ts AS r ON a.k = r.k",
        "SELECT * FROM t QUALIFY ROW_NUMBER() OVER (ORDER BY x DESC) = 1",
        "SELECT * FROM t ORDER BY a FETCH FIRST 1 ROWS ONLY",
        "SELECT a FROM t EXCEPT ALL SELECT b FROM u INTERSECT SELECT c FROM v",
        "VALUES (1, 'a'), (2, 'b')",
        "SELECT * FROM (VALUES (1, 'a')) AS t (n, s)",
        "WITH q AS (SELECT 1 AS a) SELECT * FROM q",
        "SELECT SUM(a) OVER w FROM t WINDOW w AS (PARTITION BY k ORDER BY ts)",
        "SELECT 1 AS `from`, t.* FROM t, LATERAL TABLE(f(x)) AS u (a)",
        "SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY s ORDER BY ts MEASURES A.x AS ax ONE ROW PER MATCH AFTER MATCH SKIP PAST LAST ROW PATTERN (A B+ C) DEFINE B AS B.p < A.p) AS m",
    ] {
        parse_query(sql).unwrap_or_else(|e| panic!("{}", e.render(sql)));
    }
}

#[test]
fn table_functions_have_one_form() {
    let factors = from(
        "SELECT * FROM TABLE(f(TABLE t PARTITION BY a, b, DESCRIPTOR(ts))) AS w CROSS JOIN UNNEST(x) WITH ORDINALITY AS u (e, o) LEFT JOIN LATERAL TABLE(g(y)) AS v (a) ON TRUE",
    );
    assert!(
        matches!(&factors[0], TableFactor::Table { name, args: Some(args), alias: Some(_), .. }
        if name.to_string() == "f" && args.args[0].to_string() == "TABLE(t, PARTITION_BY(a, b))" && args.args.len() == 2),
        "{:?}",
        factors[0]
    );
    assert!(
        matches!(&factors[1], TableFactor::UNNEST { with_ordinality: true, array_exprs, .. } if array_exprs.len() == 1)
    );
    assert!(
        matches!(&factors[2], TableFactor::Function { lateral: true, name, args, .. } if name.to_string() == "g" && args.len() == 1)
    );
}

#[test]
fn hints_reach_their_tables() {
    let sql = "SELECT /*+ STATE_TTL('o' = '1d', u = '2d') */ * FROM c.orders /*+ OPTIONS('a.b' = '1', 'c' = '2') */ AS o, users u";
    let factors = from(sql);
    let options = table_options(&factors[0]).unwrap();
    assert_eq!(options.into_iter().collect::<Vec<_>>(), [("a.b".into(), "1".into()), ("c".into(), "2".into())]);
    assert!(table_options(&factors[1]).unwrap().is_empty());
    let SetExpr::Select(select) = *parse_query(sql).unwrap().body else { panic!() };
    let hints = query_hints(&select).unwrap();
    assert_eq!(hints[0].name, "STATE_TTL");
    assert_eq!(hints[0].entries, [(Some("o".into()), "1d".into()), (Some("u".into()), "2d".into())]);
    let error = fails("SELECT 1 /*+ OPTIONS('a' = 'b') */ FROM t");
    assert_eq!(error.position.map(|p| (p.line, p.column)), Some((1, 10)));
}

#[test]
fn mistakes_are_explained_in_flinks_words() {
    let error = fails("SELECT 1;\nSELECT order_id FORM orders;");
    assert_eq!(error.message, "SQL parse failed. Encountered \"orders\" at line 2, column 22.");
    assert_eq!(error.hint.as_deref(), Some("did you mean FROM?"));
    assert_eq!(error.sqlstate(), "42601");
    assert!(
        error
            .render("SELECT 1;\nSELECT order_id FORM orders;")
            .contains("\nLINE 2: SELECT order_id FORM orders;\n                             ^")
    );
    assert_eq!(fails("SLECT 1").hint.as_deref(), Some("did you mean SELECT?"));
    assert_eq!(fails("SELECT (1").message, "SQL parse failed. Encountered \"<EOF>\" at line 1, column 10.");
    assert!(fails("SELECT \"a\" FROM t").hint.unwrap().contains("back-ticks"));
    assert!(fails("SELECT * FROM t EMIT CHANGES").hint.unwrap().contains("leave out"));
    assert_eq!(fails("CREATE TABLE t (a TEXT)").hint.as_deref(), Some("use STRING"));
    assert_eq!(fails("SELECT a, FROM t").message, "SQL parse failed. Encountered \"FROM\" at line 1, column 11.");
    let open = fails("SELECT 'abc");
    assert!(open.message.contains("Unterminated string literal"), "{open}");
    assert_eq!(fails("CREATE FUNCTION f AS 'x'").sqlstate(), "0A000");
    assert_eq!(fails(&format!("SELECT {}1", "(".repeat(500))).sqlstate(), "42601");
}

#[test]
fn types_print_as_they_were_read() {
    for text in [
        "DECIMAL(10, 2)",
        "STRING",
        "TIMESTAMP(3)",
        "TIMESTAMP_LTZ(3)",
        "ROW<`a` INT, `b c` ARRAY<STRING NOT NULL>>",
        "BIGINT NOT NULL",
        "MAP<VARCHAR(5) NOT NULL, INT> NOT NULL",
        "MULTISET<INT>",
        "CHAR(0) NOT NULL",
        "TIME(0)",
        "BINARY(2)",
        "INTERVAL DAY TO SECOND(3)",
    ] {
        assert_eq!(parse_type(text).unwrap().to_string(), text);
    }
    for (text, printed) in [
        ("INT ARRAY", "ARRAY<INT>"),
        ("VARCHAR(2147483647)", "STRING"),
        ("TIMESTAMP", "TIMESTAMP(6)"),
        ("DEC(5)", "DECIMAL(5, 0)"),
        ("ARRAY<ARRAY<ARRAY<INT>>>", "ARRAY<ARRAY<ARRAY<INT>>>"),
        ("TIMESTAMP(3) WITHOUT TIME ZONE", "TIMESTAMP(3)"),
    ] {
        assert_eq!(parse_type(text).unwrap().to_string(), printed);
    }
    assert!(parse_type("DECIMAL(40, 2)").is_err());
    assert!(parse_type("TIMESTAMP(10)").is_err());
}

#[test]
fn ast_of_queries_has_positions_of_the_file() {
    let statements = parse_script("SELECT 1;\nSELECT colour FROM t").unwrap();
    let Statement::Query(query) = &statements[1].statement else { panic!() };
    let span = sqlparser::ast::Spanned::span(&Ast::Query(query.clone()));
    assert_eq!((span.start.line, span.start.column), (2, 1));
}
