//! `\d` and its like, made of statements, so that they work over every backend.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use eddyline_sql::SqlError;

use super::backend::Backend;
use super::shell::Shell;
use crate::failure::Failure;

/// Lists materialized views.
pub const MATERIALIZED: &str = "SHOW MATERIALIZED VIEWS";

/// The first column of a statement's rows.
pub fn names(backend: &mut dyn Backend, sql: &str) -> Result<Vec<String>, SqlError> {
    column(backend, sql, 0)
}

/// A column of a statement's rows, where it is text.
pub fn column(backend: &mut dyn Backend, sql: &str, index: usize) -> Result<Vec<String>, SqlError> {
    let (_, rows) = backend.rows(sql)?;
    let Some(column) = rows.columns().get(index).and_then(|column| column.as_string_opt::<i32>()) else {
        return Ok(Vec::new());
    };
    Ok(column.iter().flatten().map(str::to_string).collect())
}

/// A name as it must be written in SQL.
pub fn quoted(name: &str) -> String {
    match name.contains(['`', '.']) {
        true => name.to_string(),
        false => format!("`{name}`"),
    }
}

fn failed(error: SqlError) -> Failure {
    Failure::Message(error.render(""))
}

fn ask(shell: &Shell, sql: &str) -> Result<Vec<String>, Failure> {
    names(shell.backend.borrow_mut().as_mut(), sql).map_err(failed)
}

/// Tables and views.
pub fn all(shell: &Shell) -> Result<(), Failure> {
    let (views, materialized) = (ask(shell, "SHOW VIEWS")?, ask(shell, MATERIALIZED)?);
    let kind = |name: &String| match (views.contains(name), materialized.contains(name)) {
        (true, _) => "view".to_string(),
        (false, true) => "materialized view".to_string(),
        (false, false) => "table".to_string(),
    };
    let names = ask(shell, "SHOW TABLES")?;
    let kinds = names.iter().map(kind).collect();
    show(shell, &[("name", names), ("type", kinds)])
}

/// Tables that are no views.
pub fn tables(shell: &Shell, pattern: &str) -> Result<(), Failure> {
    let (views, materialized) = (ask(shell, "SHOW VIEWS")?, ask(shell, MATERIALIZED)?);
    let mut tables = ask(shell, &format!("SHOW TABLES{}", like(pattern)))?;
    tables.retain(|name| !views.contains(name) && !materialized.contains(name));
    show(shell, &[("table name", tables)])
}

/// Views.
pub fn views(shell: &Shell, pattern: &str) -> Result<(), Failure> {
    listed(shell, "SHOW VIEWS", pattern)
}

/// The rows of a SHOW statement.
pub fn listed(shell: &Shell, statement: &str, pattern: &str) -> Result<(), Failure> {
    let asked = shell.backend.borrow_mut().rows(&format!("{statement}{}", like(pattern)));
    let (schema, rows) = asked.map_err(failed)?;
    shell.show_rows(&schema, &rows)
}

/// The columns of a table or view, and what else belongs to its definition.
pub fn one(shell: &Shell, name: &str) -> Result<(), Failure> {
    let name = quoted(name);
    let (schema, rows) = shell.backend.borrow_mut().rows(&format!("DESCRIBE {name}")).map_err(failed)?;
    shell.show_rows(&schema, &rows)?;
    for kind in ["TABLE", "VIEW", "MATERIALIZED VIEW"] {
        if let Ok(text) = names(shell.backend.borrow_mut().as_mut(), &format!("SHOW CREATE {kind} {name}")) {
            text.first().and_then(|text| behind_columns(text)).into_iter().for_each(|rest| println!("{rest}"));
            return Ok(());
        }
    }
    Ok(())
}

/// The definition behind the columns: options of a table, query of a view.
fn behind_columns(definition: &str) -> Option<&str> {
    let rest = match definition.split_once("\n)") {
        Some((columns, rest)) if columns.contains("(\n") => rest,
        _ => definition.split_once("\n").map(|(_, rest)| rest)?,
    };
    Some(rest.trim()).filter(|rest| !rest.is_empty())
}

/// psql's pattern as LIKE.
fn like(pattern: &str) -> String {
    if pattern.is_empty() {
        return String::new();
    }
    let escaped = pattern.replace('_', "\\_").replace('*', "%").replace('?', "_").replace('\'', "''");
    format!(" LIKE '{escaped}'")
}

fn show(shell: &Shell, columns: &[(&str, Vec<String>)]) -> Result<(), Failure> {
    let fields: Vec<Field> = columns.iter().map(|(name, _)| Field::new(*name, DataType::Utf8, false)).collect();
    let schema = Arc::new(Schema::new(fields));
    let arrays = columns.iter().map(|(_, values)| Arc::new(StringArray::from(values.clone())) as ArrayRef).collect();
    match RecordBatch::try_new(Arc::clone(&schema), arrays) {
        Ok(rows) => shell.show_rows(&schema, &rows),
        Err(error) => Err(failed(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_psql_become_like() {
        assert_eq!(like(""), "");
        assert_eq!(like("ord*_?'"), " LIKE 'ord%\\__'''");
    }

    #[test]
    fn the_rest_of_a_definition_is_what_is_behind_the_columns() {
        let table =
            "CREATE TABLE `t` (\n  `a` INT,\n  PRIMARY KEY (`a`) NOT ENFORCED\n)\nWITH (\n  'connector' = 'x'\n)";
        assert_eq!(behind_columns(table), Some("WITH (\n  'connector' = 'x'\n)"));
        assert_eq!(behind_columns("CREATE VIEW `v`\nAS SELECT 1"), Some("AS SELECT 1"));
        assert_eq!(behind_columns("CREATE TABLE `t` (\n  `a` INT\n)"), None);
    }
}
