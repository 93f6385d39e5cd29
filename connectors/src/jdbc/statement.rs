//! The SQL texts that a sink sends, for any number of rows at once. Identifiers are quoted, values are placeholders.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};

use super::target::{Rule, TargetType, type_name};

/// How a database spells things.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Dialect {
    MySql,
    Sqlite,
}

impl Dialect {
    /// `name` as an identifier.
    pub(super) fn quote(self, name: &str) -> String {
        match self {
            Dialect::MySql => format!("`{}`", name.replace('`', "``")),
            Dialect::Sqlite => format!("\"{}\"", name.replace('"', "\"\"")),
        }
    }

    /// A table, with its database when one is named.
    pub(super) fn quote_table(self, schema: Option<&str>, table: &str) -> String {
        let parts: Vec<String> = schema.into_iter().chain([table]).map(|part| self.quote(part)).collect();
        parts.join(".")
    }
}

/// Makes the statements of one sink.
#[derive(Debug)]
pub(super) struct Statements {
    dialect: Dialect,
    table: String,
    /// `INSERT INTO t (a, b) VALUES `.
    insert_head: String,
    /// `(?, ?)`, one row of values.
    insert_row: String,
    /// What turns the INSERT into an upsert; empty in append mode.
    insert_tail: String,
    /// The key's columns, `a` or `(a, b)`.
    key: String,
    /// One key of a DELETE, `?` or `(?, ?)`.
    key_row: String,
}

impl Statements {
    /// Statements for `table` (quoted) with `rules`' columns, of which those at `key` are the primary key.
    pub(super) fn new(dialect: Dialect, table: String, rules: &[Rule], key: &[usize]) -> Self {
        let columns: Vec<String> = rules.iter().map(|r| dialect.quote(&r.name)).collect();
        let keys: Vec<&str> = key.iter().map(|k| columns[*k].as_str()).collect();
        let key_values: Vec<String> = key.iter().map(|k| key_placeholder(dialect, &rules[*k].target)).collect();
        let (key_row, key_columns) = match keys.as_slice() {
            [one] => (key_values.concat(), (*one).to_string()),
            several => (format!("({})", key_values.join(", ")), format!("({})", several.join(", "))),
        };
        Statements {
            dialect,
            insert_head: format!("INSERT INTO {table} ({}) VALUES ", columns.join(", ")),
            insert_row: format!("({})", vec!["?"; columns.len()].join(", ")),
            insert_tail: upsert_clause(dialect, &columns, &keys),
            key: key_columns,
            key_row,
            table,
        }
    }

    /// Writes `rows` rows: an upsert with a key, else a plain INSERT.
    pub(super) fn insert(&self, rows: usize) -> Arc<str> {
        let mut sql =
            String::with_capacity(self.insert_head.len() + rows * (self.insert_row.len() + 2) + self.insert_tail.len());
        sql.push_str(&self.insert_head);
        repeat(&mut sql, &self.insert_row, rows);
        sql.push_str(&self.insert_tail);
        sql.into()
    }

    /// Deletes `rows` keys.
    pub(super) fn delete(&self, rows: usize) -> Arc<str> {
        let mut sql = format!("DELETE FROM {} WHERE {} IN (", self.table, self.key);
        if self.dialect == Dialect::Sqlite && self.key.starts_with('(') {
            sql.push_str("VALUES ");
        }
        repeat(&mut sql, &self.key_row, rows);
        sql.push(')');
        sql.into()
    }
}

fn repeat(sql: &mut String, row: &str, rows: usize) {
    for index in 0..rows {
        if index > 0 {
            sql.push_str(", ");
        }
        sql.push_str(row);
    }
}

/// MySQL compares a DECIMAL with a text as floating point numbers, and a key must be compared exactly.
fn key_placeholder(dialect: Dialect, target: &TargetType) -> String {
    match (dialect, target) {
        (Dialect::MySql, TargetType::Decimal { scale }) => format!("CAST(? AS DECIMAL(65, {scale}))"),
        (Dialect::MySql, TargetType::Date) => "CAST(? AS DATE)".into(),
        (Dialect::MySql, TargetType::Time { .. }) => "CAST(? AS TIME(6))".into(),
        (Dialect::MySql, TargetType::DateTime { .. }) => "CAST(? AS DATETIME(6))".into(),
        _ => "?".into(),
    }
}

fn upsert_clause(dialect: Dialect, columns: &[String], keys: &[&str]) -> String {
    if keys.is_empty() {
        return String::new();
    }
    let others: Vec<&str> = columns.iter().map(String::as_str).filter(|c| !keys.contains(c)).collect();
    match dialect {
        Dialect::MySql => {
            let set = if others.is_empty() { &keys[..1] } else { &others[..] };
            let set: Vec<String> = set.iter().map(|c| format!("{c} = VALUES({c})")).collect();
            format!(" ON DUPLICATE KEY UPDATE {}", set.join(", "))
        }
        Dialect::Sqlite if others.is_empty() => format!(" ON CONFLICT ({}) DO NOTHING", keys.join(", ")),
        Dialect::Sqlite => {
            let set: Vec<String> = others.iter().map(|c| format!("{c} = excluded.{c}")).collect();
            format!(" ON CONFLICT ({}) DO UPDATE SET {}", keys.join(", "), set.join(", "))
        }
    }
}

/// The statement that creates a table fit for the declared columns.
pub(super) fn create_table(dialect: Dialect, table: &str, fields: &[&Field], primary_key: &[String]) -> String {
    let mut parts: Vec<String> = Vec::with_capacity(fields.len() + 1);
    for field in fields {
        let is_key = primary_key.contains(field.name());
        let column_type = match dialect {
            Dialect::MySql => mysql_type(field, is_key),
            Dialect::Sqlite => sqlite_type(field),
        };
        let not_null = if is_key || !field.is_nullable() { " NOT NULL" } else { "" };
        parts.push(format!("{} {column_type}{not_null}", dialect.quote(field.name())));
    }
    if !primary_key.is_empty() {
        let keys: Vec<String> = primary_key.iter().map(|k| dialect.quote(k)).collect();
        parts.push(format!("PRIMARY KEY ({})", keys.join(", ")));
    }
    format!("CREATE TABLE {table} ({})", parts.join(", "))
}

fn mysql_type(field: &Field, is_key: bool) -> String {
    let declared = type_name(field);
    match field.data_type() {
        DataType::Utf8 if is_key => {
            let length = if declared.contains("CHAR(") { declared } else { "VARCHAR(255)".to_string() };
            format!("{length} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
        }
        DataType::Utf8 if declared.contains("CHAR(") && declared.len() < "VARCHAR(99999)".len() => declared,
        DataType::Utf8 => "LONGTEXT".into(),
        DataType::Binary if is_key => "VARBINARY(255)".into(),
        DataType::Binary => "LONGBLOB".into(),
        DataType::Timestamp(unit, _) => match super::target::digits(unit).min(6) {
            0 => "DATETIME".into(),
            digits => format!("DATETIME({digits})"),
        },
        _ => declared,
    }
}

/// Names whose affinity keeps the values exactly; SQLite's own NUMERIC keeps 15 digits only.
fn sqlite_type(field: &Field) -> String {
    match field.data_type() {
        DataType::Decimal128(precision, _) if *precision > 15 => "TEXT".into(),
        DataType::Timestamp(_, _) => "DATETIME".into(),
        DataType::Utf8 if !type_name(field).contains("CHAR(") => "TEXT".into(),
        DataType::Binary => "BLOB".into(),
        _ => type_name(field),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn rule(name: &str, target: TargetType) -> Rule {
        Rule { name: name.into(), declared: String::new(), target, refuse_trailing_space: false }
    }

    #[test]
    fn mysql_statements_quote_names_and_bind_values() {
        let rules = [rule("wo`rd", TargetType::Checked), rule("cnt", TargetType::Integer)];
        let one = Statements::new(Dialect::MySql, Dialect::MySql.quote_table(Some("d"), "t"), &rules, &[0]);
        assert_eq!(
            &*one.insert(2),
            "INSERT INTO `d`.`t` (`wo``rd`, `cnt`) VALUES (?, ?), (?, ?) ON DUPLICATE KEY UPDATE `cnt` = VALUES(`cnt`)"
        );
        assert_eq!(&*one.delete(2), "DELETE FROM `d`.`t` WHERE `wo``rd` IN (?, ?)");
        let both = Statements::new(Dialect::MySql, "`t`".into(), &rules, &[0, 1]);
        assert_eq!(
            &*both.insert(1),
            "INSERT INTO `t` (`wo``rd`, `cnt`) VALUES (?, ?) ON DUPLICATE KEY UPDATE `wo``rd` = VALUES(`wo``rd`)"
        );
        assert_eq!(&*both.delete(1), "DELETE FROM `t` WHERE (`wo``rd`, `cnt`) IN ((?, ?))");
        let price = [rule("price", TargetType::Decimal { scale: 2 })];
        let price = Statements::new(Dialect::MySql, "`t`".into(), &price, &[0]);
        assert_eq!(&*price.delete(1), "DELETE FROM `t` WHERE `price` IN (CAST(? AS DECIMAL(65, 2)))");
        let none = Statements::new(Dialect::MySql, "`t`".into(), &rules, &[]);
        assert_eq!(&*none.insert(1), "INSERT INTO `t` (`wo``rd`, `cnt`) VALUES (?, ?)");
    }

    #[test]
    fn sqlite_statements_name_the_conflict() {
        let rules = [rule("a", TargetType::Any), rule("b", TargetType::Any)];
        let one = Statements::new(Dialect::Sqlite, "\"t\"".into(), &rules, &[0]);
        let upsert = r#"INSERT INTO "t" ("a", "b") VALUES (?, ?) ON CONFLICT ("a") DO UPDATE SET "b" = excluded."b""#;
        assert_eq!(&*one.insert(1), upsert);
        let both = Statements::new(Dialect::Sqlite, "\"t\"".into(), &rules, &[0, 1]);
        assert_eq!(&*both.delete(2), r#"DELETE FROM "t" WHERE ("a", "b") IN (VALUES (?, ?), (?, ?))"#);
        assert!(both.insert(1).ends_with(r#"ON CONFLICT ("a", "b") DO NOTHING"#));
    }

    #[test]
    fn created_table_has_columns_and_key() {
        let word = Field::new("word", DataType::Utf8, true);
        let cnt = Field::new("cnt", DataType::Int64, true);
        let price = Field::new("price", DataType::Decimal128(30, 2), false);
        let key = ["word".to_string()];
        assert_eq!(
            create_table(Dialect::Sqlite, "\"wc\"", &[&word, &cnt, &price], &key),
            r#"CREATE TABLE "wc" ("word" TEXT NOT NULL, "cnt" BIGINT, "price" TEXT NOT NULL, PRIMARY KEY ("word"))"#
        );
        assert_eq!(
            create_table(Dialect::MySql, "`wc`", &[&word, &cnt], &key),
            "CREATE TABLE `wc` (`word` VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, \
             `cnt` BIGINT, PRIMARY KEY (`word`))"
        );
    }
}
