//! Completion, at the place marked by `|`.

#![allow(clippy::unwrap_used)]

use eddyline_engine::connector::{OptionSpec, OptionValue};

use super::{Known, complete};

struct Fixed;

impl Known for Fixed {
    fn tables(&self) -> Vec<String> {
        ["orders", "order items", "currencies"].map(String::from).to_vec()
    }

    fn columns(&self, table: &str) -> Vec<String> {
        match table {
            "orders" => ["order_id", "price", "ts"].map(String::from).to_vec(),
            "currencies" => ["code", "rate"].map(String::from).to_vec(),
            _ => Vec::new(),
        }
    }

    fn functions(&self) -> Vec<String> {
        // As SHOW FUNCTIONS says them.
        ["upper", "count"].map(String::from).to_vec()
    }

    fn job_names(&self) -> Vec<String> {
        vec!["counting".to_string()]
    }

    fn job_ids(&self) -> Vec<String> {
        vec!["0a1b".to_string()]
    }

    fn connectors(&self) -> Vec<String> {
        ["datagen", "kafka"].map(String::from).to_vec()
    }

    fn options(&self, connector: &str) -> Vec<OptionSpec> {
        match connector {
            "kafka" => vec![
                OptionSpec::required("topic", OptionValue::Text, ""),
                OptionSpec::optional("format", OptionValue::Text, ""),
                OptionSpec::optional(
                    "scan.startup.mode",
                    OptionValue::OneOf(&["earliest-offset", "latest-offset"]),
                    "",
                ),
                OptionSpec::optional("properties.*", OptionValue::Text, ""),
            ],
            "datagen" => vec![
                OptionSpec::with_default("rows-per-second", OptionValue::Integer, "10000", ""),
                OptionSpec::optional("fields.#.var-len", OptionValue::Boolean, ""),
            ],
            _ => Vec::new(),
        }
    }

    fn settings(&self) -> Vec<OptionSpec> {
        vec![
            OptionSpec::optional("pipeline.name", OptionValue::Text, ""),
            OptionSpec::optional("sql-client.execution.result-mode", OptionValue::OneOf(&["TABLE", "TABLEAU"]), ""),
        ]
    }
}

/// Checks what may stand at `|`, as it would be put in, with what is kept before it.
#[track_caller]
fn check(marked: &str, expected: &[&str]) {
    let at = marked.find('|').unwrap();
    let text = marked.replacen('|', "", 1);
    let (start, found) = complete(&text, at, &Fixed);
    let whole: Vec<String> = found.iter().map(|c| format!("{}{}", &text[..start], c.text)).collect();
    let behind: Vec<&str> = whole.iter().map(|text| &text[start..]).collect();
    assert_eq!(behind, expected, "{marked}");
}

#[test]
fn statements_begin_with_the_words_that_can_begin_them() {
    check("sel|", &["select"]);
    check("SELECT 1; STO|", &["STOP JOB"]);
    check("CREATE TEMP|", &["TEMPORARY"]);
    check("EXPLAIN ins|", &["insert into"]);
    check("SHOW J|", &["JOBS"]);
    check("sub|", &["subscribe to"]);
    check("FLU|", &["FLUSH"]);
    check("UPD|", &["UPDATE"]);
    check("del|", &["delete from"]);
    check("TRU|", &["TRUNCATE TABLE"]);
}

#[test]
fn tables_follow_the_words_that_want_them() {
    check("SELECT * FROM |", &["currencies", "`order items`", "orders"]);
    check("SELECT * FROM ord|", &["orders"]);
    check("SELECT * FROM orders AS o, cur|", &["currencies"]);
    check("DESCRIBE cu|", &["currencies"]);
    check("INSERT INTO o|", &["orders"]);
    check("UPDATE cur|", &["currencies"]);
    check("EXPLAIN UPDATE cur|", &["currencies"]);
    check("DELETE FROM cur|", &["currencies"]);
    check("TRUNCATE TABLE cur|", &["currencies"]);
    check("SUBSCRIBE TO cur|", &["currencies"]);
    check("CREATE TABLE o|", &[]);
}

#[test]
fn columns_are_those_of_the_tables_of_the_statement_wherever_these_stand() {
    check("SELECT pri| FROM orders", &["price", "primary"]);
    check("SELECT | FROM orders", &["order_id", "price", "ts"]);
    check("SELECT o.| FROM orders AS o JOIN currencies c ON TRUE", &["order_id", "price", "ts"]);
    check("SELECT c.r| FROM orders o JOIN currencies c ON TRUE", &["rate"]);
    check("SELECT * FROM orders; SELECT | FROM currencies", &["code", "rate"]);
    check("UPDATE orders SET |", &["order_id", "price", "ts"]);
    check("UPDATE orders SET p|", &["price"]);
    check("UPDATE currencies AS c SET r|", &["rate"]);
    check("UPDATE orders SET price = 1 WHERE |", &["order_id", "price", "ts"]);
    check("DELETE FROM currencies WHERE |", &["code", "rate"]);
}

#[test]
fn functions_and_keywords_take_the_case_that_is_typed() {
    check("SELECT upp|", &["upper("]);
    check("SELECT UPP|", &["UPPER("]);
    check("SELECT * FROM orders wher|", &["where"]);
}

#[test]
fn options_are_those_of_the_connector() {
    check("CREATE TABLE t (a INT) WITH (|", &["'connector' = '"]);
    check("CREATE TABLE t (a INT) WITH ('con|", &["connector' = '"]);
    check("CREATE TABLE t (a INT) WITH ('connector' = '|", &["datagen'", "kafka'"]);
    check("CREATE TABLE t (a INT) WITH ('connector' = 'ka|'", &["kafka"]);
    check(
        "CREATE TABLE t (a INT) WITH ('connector' = 'kafka', '|",
        &["format' = '", "properties.", "scan.startup.mode' = '", "topic' = '"],
    );
    check(
        "CREATE TABLE t (a INT) WITH ('topic' = 'x', '|', 'connector' = 'kafka')",
        &["format", "properties.", "scan.startup.mode"],
    );
    check(
        "CREATE TABLE t (a INT) WITH ('connector' = 'kafka', 'scan.startup.mode' = '|",
        &["earliest-offset'", "latest-offset'"],
    );
    check("CREATE TABLE t (a INT) WITH ('connector' = 'kafka', 'format' = 'j|", &["json'"]);
}

#[test]
fn options_of_columns_name_the_declared_columns() {
    let table = "CREATE TABLE t (a ROW<x INT, y INT>, `b` INT, WATERMARK FOR a AS a) WITH ('connector' = 'datagen', ";
    check(&format!("{table}'fi|"), &["fields.a.var-len' = '", "fields.b.var-len' = '"]);
    check(&format!("{table}'fields.a.var-len' = '|"), &["false'", "true'"]);
    check(&format!("{table}'rows-per-second' = |"), &["'10000'"]);
}

#[test]
fn settings_follow_set_and_reset() {
    check("SET 'pi|", &["pipeline.name' = '"]);
    check("SET |", &["'pipeline.name' = '", "'sql-client.execution.result-mode' = '"]);
    check("SET 'sql-client.execution.result-mode' = 't|", &["TABLE'", "TABLEAU'"]);
    check("RESET 'pi|'", &["pipeline.name"]);
}

#[test]
fn jobs_have_names_and_for_those_who_begin_to_type_one_ids() {
    check("STOP JOB '|", &["counting'"]);
    check("STOP JOB 'c|", &["counting'"]);
    check("STOP JOB '0|", &["0a1b'"]);
}

#[test]
fn nothing_stands_in_texts_and_comments() {
    check("SELECT 'sel|", &[]);
    check("SELECT 1 -- sel|", &[]);
    check("SELECT /* sel|", &[]);
}

#[test]
fn commands_and_their_arguments_are_completed() {
    check("\\tim|", &["\\timing"]);
    check("\\d cu|", &["currencies"]);
    check("\\format m|", &["markdown"]);
    check("\\x |", &["off", "on"]);
    check("SELECT 1;\n\\mode c|", &["changelog"]);
}
