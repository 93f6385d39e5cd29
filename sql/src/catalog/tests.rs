//! Tests of the catalog: names, LIKE, ALTER, what is shown, what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use eddyline_engine::connector::ColumnKind;

use super::*;
use crate::parse::{parse_script, parse_type};
use crate::statement::Statement;

/// Runs DDL statements; a CTAS has the columns `a INT, b STRING`.
fn run(catalog: &mut Catalog, sql: &str) -> Result<()> {
    let query = [("a".to_string(), parse_type("INT")?), ("b".to_string(), parse_type("STRING")?)];
    for parsed in parse_script(sql)? {
        match parsed.statement {
            Statement::CreateTable(create) => {
                let columns = if create.query.is_some() { &query[..] } else { &[] };
                catalog.create_table(&create, columns)?;
            }
            Statement::CreateView(create) => drop(catalog.create_view(&create)?),
            Statement::Drop(statement) => drop(catalog.drop(&statement)?),
            Statement::AlterTable(alter) => drop(catalog.alter_table(&alter)?),
            Statement::AlterView(alter) => catalog.alter_view(&alter)?,
            other => panic!("{other:?}"),
        }
    }
    Ok(())
}

fn with(sql: &str) -> Catalog {
    let mut catalog = Catalog::default();
    run(&mut catalog, sql).unwrap_or_else(|e| panic!("{}", e.render(sql)));
    catalog
}

fn refused(sql: &str) -> SqlError {
    match run(&mut Catalog::default(), sql) {
        Ok(()) => panic!("accepted: {sql}"),
        Err(error) => error,
    }
}

fn table(catalog: &Catalog, name: &str) -> Arc<CatalogTable> {
    catalog.find(name).unwrap().table().unwrap().clone()
}

fn names(table: &CatalogTable) -> Vec<&str> {
    table.columns.iter().map(|c| c.name.as_str()).collect()
}

const BASE: &str =
    "CREATE TABLE base (id INT, ts TIMESTAMP(3), big AS id * 2, off BIGINT METADATA FROM 'offset' VIRTUAL,
    WATERMARK FOR ts AS ts, PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'kafka', 'topic' = 'a');";

#[test]
fn temporary_hides_permanent_until_dropped() {
    let mut catalog = with("CREATE TABLE t (a INT); CREATE TEMPORARY VIEW t AS SELECT 1;");
    assert_eq!(catalog.find("t").unwrap().kind(), ObjectKind::View);
    assert_eq!((catalog.names(), catalog.views()), (vec!["t"], vec!["t"]));
    run(&mut catalog, "DROP TEMPORARY VIEW t").unwrap();
    assert_eq!(catalog.find("t").unwrap().kind(), ObjectKind::Table);
    run(&mut catalog, "CREATE TEMPORARY TABLE t (b INT)").unwrap();
    let error = run(&mut catalog, "DROP TABLE t").unwrap_err();
    assert!(error.message.contains("Temporary table with identifier 't' exists"), "{error}");
}

#[test]
fn names_are_case_sensitive_unique_and_suggested() {
    let mut catalog = with("CREATE TABLE orders (a INT); CREATE TABLE Orders (a INT)");
    let error = run(&mut catalog, "CREATE VIEW orders AS SELECT 1").unwrap_err();
    assert_eq!((error.message.as_str(), error.sqlstate()), ("A table or view named 'orders' already exists", "42P07"));
    run(&mut catalog, "CREATE TABLE IF NOT EXISTS orders (b INT)").unwrap();
    assert_eq!(names(&table(&catalog, "orders")), ["a"]);
    let name = |parts: &[&str]| TableName {
        parts: parts.iter().map(|p| p.to_string()).collect(),
        position: crate::error::Location { line: 1, column: 15 },
    };
    let error = catalog.get(&name(&["order"])).unwrap_err();
    assert_eq!(error.message, "Object 'order' not found");
    assert!(error.hint.unwrap().contains("did you mean"));
    assert!(error.position.is_some());
    assert!(catalog.get(&name(&["default_catalog", "default_database", "orders"])).is_ok());
    assert!(catalog.get(&name(&["elsewhere", "orders"])).is_err());
    assert!(run(&mut catalog, "CREATE TABLE d.x (a INT)").is_err());
    assert!(run(&mut catalog, "DROP TABLE IF EXISTS nothing").is_ok());
    assert!(run(&mut catalog, "DROP VIEW orders").unwrap_err().message.contains("does not exist"));
}

#[test]
fn like_takes_over_what_its_options_say() {
    let catalog = with(&format!(
        "{BASE} CREATE TABLE l1 (x INT) WITH ('topic' = 'b') LIKE base;
         CREATE TABLE l2 (WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) LIKE base (EXCLUDING ALL INCLUDING OPTIONS);
         CREATE TABLE l3 (big AS id * 3) LIKE base (OVERWRITING GENERATED EXCLUDING METADATA EXCLUDING CONSTRAINTS);"
    ));
    let l1 = table(&catalog, "l1");
    assert_eq!(names(&l1), ["id", "ts", "big", "off", "x"]);
    assert_eq!((l1.options["topic"].as_str(), l1.options["connector"].as_str()), ("b", "kafka"));
    assert!(l1.watermark.is_some() && l1.primary_key.is_some());
    let l2 = table(&catalog, "l2");
    assert_eq!(names(&l2), ["id", "ts"]);
    assert_eq!((l2.primary_key.is_none(), l2.options["topic"].as_str()), (true, "a"));
    assert_eq!(l2.watermark.as_ref().unwrap().expr.to_string(), "ts - INTERVAL '1' SECOND");
    let l3 = table(&catalog, "l3");
    assert_eq!(names(&l3), ["id", "ts", "big"]);
    assert_eq!(l3.describe(|_| None)[2].extras.as_deref(), Some("AS id * 3"));
    assert!(
        refused(&format!("{BASE} CREATE TABLE l (id INT) LIKE base"))
            .message
            .contains("already exists in the base table")
    );
    assert!(
        refused(&format!("{BASE} CREATE TABLE l (WATERMARK FOR ts AS ts) LIKE base"))
            .hint
            .unwrap()
            .contains("EXCLUDING WATERMARKS")
    );
    assert!(
        refused(&format!("{BASE} CREATE TABLE l WITH ('topic' = 'x') LIKE base (INCLUDING ALL)"))
            .message
            .contains("'topic'")
    );
}

#[test]
fn description_leaves_computed_columns_out_and_closes_the_key() {
    let catalog = with(BASE);
    let overrides = BTreeMap::from([("topic".to_string(), "hinted".to_string())]);
    let description = table(&catalog, "base").description(&overrides);
    let columns: Vec<_> =
        description.columns.iter().map(|c| (c.field.name().as_str(), c.field.is_nullable())).collect();
    assert_eq!(columns, [("id", false), ("ts", true), ("off", true)]);
    assert_eq!(description.columns[2].kind, ColumnKind::Metadata { key: "offset".into(), is_virtual: true });
    assert_eq!((description.options["topic"].as_str(), description.primary_key), ("hinted", vec!["id".to_string()]));
}

#[test]
fn create_table_as_select_takes_the_querys_columns() {
    let catalog =
        with("CREATE TABLE t (b, a) AS SELECT 1, 'x'; CREATE TABLE u (p AS PROCTIME(), a BIGINT) AS SELECT 1, 'x'");
    assert_eq!(names(&table(&catalog, "t")), ["b", "a"]);
    let u = table(&catalog, "u");
    assert_eq!(names(&u), ["p", "a", "b"]);
    assert_eq!(u.describe(|_| None)[1].data_type, "BIGINT");
}

#[test]
fn bad_definitions_are_refused_with_a_place() {
    for (sql, phrase) in [
        ("CREATE TABLE t (a INT, a INT)", "A column named 'a' already exists"),
        ("CREATE TABLE t (a INT, PRIMARY KEY (b) NOT ENFORCED)", "'b' is not defined"),
        ("CREATE TABLE t (a INT, c AS a, PRIMARY KEY (c) NOT ENFORCED)", "not a physical column"),
        ("CREATE TABLE t (a INT, WATERMARK FOR ts AS ts)", "'ts' is not defined"),
        ("CREATE TABLE t (ts STRING, WATERMARK FOR ts AS ts)", "the time field type is STRING"),
        ("CREATE TABLE t (ts TIMESTAMP(6), WATERMARK FOR ts AS ts)", "the time field type is TIMESTAMP(6)"),
        ("CREATE TABLE t (a INT) PARTITIONED BY (b)", "'b' is not defined"),
    ] {
        let error = refused(sql);
        assert!(error.message.contains(phrase), "{sql}: {error}");
        assert!(error.position.is_some(), "{sql}");
    }
}

#[test]
fn alter_changes_what_it_may() {
    let mut catalog = with(BASE);
    run(&mut catalog, "ALTER TABLE base ADD (x INT FIRST, y AS x + 1)").unwrap();
    assert_eq!(names(&table(&catalog, "base")), ["x", "id", "ts", "big", "off", "y"]);
    for (sql, phrase) in [
        ("ALTER TABLE base DROP x", "referenced by computed column 'y'"),
        ("ALTER TABLE base DROP id", "used as the primary key"),
        ("ALTER TABLE base RENAME ts TO t2", "watermark expression"),
        ("ALTER TABLE base ADD x INT", "already exists"),
        ("ALTER TABLE base ADD WATERMARK FOR ts AS ts", "already defined"),
        ("ALTER TABLE base DROP nope", "does not exist in the base table"),
        ("ALTER TABLE nope DROP a", "Object 'nope' not found"),
    ] {
        let error = run(&mut catalog, sql).unwrap_err();
        assert!(error.message.contains(phrase), "{sql}: {error}");
    }
    run(
        &mut catalog,
        "ALTER TABLE base DROP (y, x); ALTER TABLE base DROP WATERMARK; ALTER TABLE base DROP PRIMARY KEY",
    )
    .unwrap();
    run(&mut catalog, "ALTER TABLE base RENAME ts TO at_time; ALTER TABLE base SET ('topic' = 'z', 'k' = 'v'); ALTER TABLE base RESET ('k')").unwrap();
    run(&mut catalog, "ALTER TABLE base MODIFY at_time TIMESTAMP(6) AFTER big; ALTER TABLE base RENAME TO top")
        .unwrap();
    assert!(catalog.find("base").is_none());
    let top = table(&catalog, "top");
    assert_eq!(names(&top), ["id", "big", "at_time", "off"]);
    assert_eq!((top.options["topic"].as_str(), top.options.len()), ("z", 2));
}

#[test]
fn show_create_makes_the_same_table_again() {
    let sql = "CREATE TABLE `my t` (id BIGINT NOT NULL COMMENT 'it''s', m AS TIMESTAMPADD(DAY, 1, ts), j AS JSON_VALUE(d, '$.a' RETURNING INT), o AS JSON_OBJECT(KEY 'a' VALUE id),
        ts TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL, d STRING, r ROW<a INT>, c AS CAST(CEIL(ts TO DAY) AS TIMESTAMP_LTZ(3)),
        WATERMARK FOR ts AS ts - INTERVAL '5' SECOND, CONSTRAINT pk PRIMARY KEY (id) NOT ENFORCED) COMMENT 'c' PARTITIONED BY (id)
        WITH ('connector' = 'jdbc', 'url' = 'jdbc:mysql://u:p@h:1/d?user=x&password=y', 'password' = 'hidden', 'properties.sasl.jaas.config' = 'hidden')";
    let text = table(&with(sql), "my t").show_create(false);
    assert!(!text.contains("hidden") && !text.contains("u:p") && !text.contains("=y"), "{text}");
    assert!(text.contains("'url' = 'jdbc:mysql://***@h:1/d?user=x&password=***'"), "{text}");
    assert_eq!(table(&with(&text), "my t").show_create(false), text);
    let view = "CREATE VIEW `v` (`a`)\nAS SELECT 1 -- one";
    let catalog = with(view);
    let CatalogObject::View(v) = catalog.find("v").unwrap() else { panic!() };
    assert_eq!(v.show_create(false), "CREATE VIEW `v` (`a`)\nAS SELECT 1");
}

#[test]
fn describe_tells_keys_extras_and_watermark() {
    let rows = table(&with(BASE), "base")
        .describe(|name| (name == "ts").then(|| ("TIMESTAMP(3) *ROWTIME*".to_string(), true)));
    assert_eq!((rows[0].key.as_deref(), rows[0].nullable, rows[0].data_type.as_str()), (Some("PRI(id)"), false, "INT"));
    assert_eq!((rows[1].data_type.as_str(), rows[1].watermark.as_deref()), ("TIMESTAMP(3) *ROWTIME*", Some("ts")));
    assert_eq!(rows[2].extras.as_deref(), Some("AS id * 2"));
    assert_eq!(rows[3].extras.as_deref(), Some("METADATA FROM 'offset' VIRTUAL"));
}

#[test]
fn show_filters_like_sql() {
    let matches = |sql: &str, name: &str| match &parse_script(sql).unwrap()[0].statement {
        Statement::Show(show) => show.matches(name),
        other => panic!("{other:?}"),
    };
    assert!(matches("SHOW TABLES LIKE 'or%_s'", "orders"));
    assert!(!matches("SHOW TABLES LIKE 'OR%'", "orders"));
    assert!(matches("SHOW TABLES ILIKE 'OR%'", "orders"));
    assert!(!matches("SHOW TABLES NOT LIKE '%'", "orders"));
}
