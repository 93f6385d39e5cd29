//! Types of whole plans.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use chrono_tz::Tz;

use crate::functions::names::type_name;
use crate::functions::testing::plan;

fn check(sql: &str, columns: &str) {
    let schema = Schema::new(vec![
        Field::new("i", DataType::Int32, true),
        Field::new("b", DataType::Int64, true),
        Field::new("s", DataType::Utf8, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
    ]);
    let plan = plan(sql, &Arc::new(schema), Tz::UTC).unwrap();
    let shown = plan.schema().fields().iter().map(|f| format!("{} {}", f.name(), type_name(f.data_type())));
    assert_eq!(shown.collect::<Vec<_>>().join(", "), columns, "{sql}\n{}", plan.display_indent());
}

#[test]
fn branches_of_set_operations_get_common_types() {
    check("SELECT i AS x FROM t UNION ALL SELECT b FROM t", "x BIGINT");
    check("SELECT 1 AS x UNION ALL SELECT 2.5 UNION ALL SELECT b FROM t", "x DECIMAL(20, 1)");
    check("SELECT i FROM t INTERSECT SELECT b FROM t", "i INTEGER");
}

#[test]
fn rows_of_values_get_common_types() {
    check("SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS v(n, c)", "n INTEGER, c VARCHAR(2147483647)");
    check("SELECT * FROM (VALUES (1), (2.5)) AS v(n)", "n DECIMAL(11, 1)");
    check("SELECT * FROM (VALUES (1), (3000000000)) AS v(n)", "n BIGINT");
}

#[test]
fn keys_of_joins_and_subqueries_get_common_types() {
    check("SELECT a.i FROM t AS a JOIN t AS c ON a.i = c.b", "i INTEGER");
    check("SELECT i FROM t WHERE i IN (SELECT b FROM t)", "i INTEGER");
    check("SELECT i FROM t AS o WHERE EXISTS (SELECT 1 FROM t AS n WHERE n.b = o.i)", "i INTEGER");
}

#[test]
fn names_of_columns_stay() {
    check("SELECT i + 1 AS n, COUNT(*) AS c, SUM(i * 2) AS s FROM t GROUP BY i + 1", "n INTEGER, c BIGINT, s INTEGER");
    check(
        "SELECT s, AVG(i) AS a, SUM(CAST(i AS DECIMAL(10, 2))) AS d FROM t GROUP BY s HAVING COUNT(*) > 1",
        "s VARCHAR(2147483647), a INTEGER, d DECIMAL(38, 2)",
    );
    check("SELECT COUNT(*) FILTER (WHERE i > 1) AS c FROM t WHERE ts > '2024-01-01 00:00:00'", "c BIGINT");
    check(
        "SELECT SUM(i) OVER (PARTITION BY s ORDER BY ts RANGE BETWEEN INTERVAL '5' SECOND PRECEDING AND CURRENT ROW) AS x FROM t",
        "x INTEGER",
    );
}
