//! How the shell shows things: what its commands and the `sql-client.*` settings have set.

use std::path::PathBuf;

use super::lex::{Kind, Token, tokens};
use crate::render::{Form, MAX_ROWS, MAX_WIDTH, TableStyle};

/// Flink's ways to show the result of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultMode {
    /// The table that the changes add up to, drawn anew while it changes.
    Table,
    /// The changes as they come, one per line.
    Changelog,
    /// The changes as they come, in a table that grows.
    Tableau,
}

impl ResultMode {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            ResultMode::Table => "table",
            ResultMode::Changelog => "changelog",
            ResultMode::Tableau => "tableau",
        }
    }

    /// The mode of that name.
    pub fn named(name: &str) -> Option<Self> {
        let all = [ResultMode::Table, ResultMode::Changelog, ResultMode::Tableau];
        all.into_iter().find(|mode| mode.name().eq_ignore_ascii_case(name))
    }
}

/// Names of the forms, as `\format` takes them.
pub const FORMATS: &[(&str, Form)] =
    &[("table", Form::Table), ("csv", Form::Csv), ("jsonl", Form::Jsonl), ("markdown", Form::Markdown)];

/// What is set.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How results of queries are shown on a terminal.
    pub mode: ResultMode,
    /// The form of all results.
    pub form: Form,
    /// True for a record per row.
    pub expanded: bool,
    /// True to show how long statements take.
    pub timing: bool,
    /// True to show long results in a pager.
    pub pager: bool,
    /// Where results go; None for the terminal.
    pub output: Option<PathBuf>,
    /// Width at which values are cut.
    pub max_width: usize,
    /// Most rows that are kept of a result.
    pub max_rows: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            mode: ResultMode::Table,
            form: Form::Table,
            expanded: false,
            timing: false,
            pager: true,
            output: None,
            max_width: MAX_WIDTH,
            max_rows: MAX_ROWS,
        }
    }
}

impl Settings {
    /// The form of a finished result.
    pub fn form(&self) -> Form {
        if self.form == Form::Table && self.expanded { Form::Expanded } else { self.form }
    }

    /// What tables look like.
    pub fn style(&self) -> TableStyle {
        TableStyle { form: self.form(), max_width: self.max_width, max_rows: self.max_rows }
    }

    /// Notes what a statement that was executed has set; others change nothing.
    pub fn note(&mut self, sql: &str) {
        let defaults = Settings::default();
        match setting(sql) {
            Some((key, Some(value))) => self.set(&key, &value),
            Some((key, None)) if key.is_empty() => {
                (self.mode, self.max_width, self.max_rows) = (defaults.mode, defaults.max_width, defaults.max_rows);
            }
            Some((key, None)) => match key.as_str() {
                "sql-client.execution.result-mode" => self.mode = defaults.mode,
                "sql-client.execution.max-table-result.rows" => self.max_rows = defaults.max_rows,
                "sql-client.display.max-column-width" | "table.display.max-column-width" => {
                    self.max_width = defaults.max_width;
                }
                _ => {}
            },
            None => {}
        }
    }

    /// Sets a key of Flink's SQL client; others change nothing.
    pub fn set(&mut self, key: &str, value: &str) {
        let count = || value.trim().parse::<usize>().ok().filter(|count| *count > 0);
        match key {
            "sql-client.execution.result-mode" => self.mode = ResultMode::named(value).unwrap_or(self.mode),
            "sql-client.execution.max-table-result.rows" => self.max_rows = count().unwrap_or(self.max_rows),
            "sql-client.display.max-column-width" | "table.display.max-column-width" => {
                self.max_width = count().unwrap_or(self.max_width);
            }
            _ => {}
        }
    }
}

/// Key and value of `SET`, key alone of `RESET`; an empty key for all of them.
fn setting(sql: &str) -> Option<(String, Option<String>)> {
    let seen: Vec<Token> = tokens(sql).into_iter().filter(|t| !t.is_blank() && t.kind != Kind::Semicolon).collect();
    let first = seen.first()?.of(sql).to_ascii_uppercase();
    match (first.as_str(), &seen[1..]) {
        ("SET", [key, equals, value]) if equals.of(sql) == "=" => Some((key.content(sql), Some(value.content(sql)))),
        ("RESET", []) => Some((String::new(), None)),
        ("RESET", [key]) => Some((key.content(sql), None)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_flinks_client_are_followed_and_reset() {
        let mut settings = Settings::default();
        settings.note("SET 'sql-client.execution.result-mode' = 'TABLEAU';");
        settings.note("set 'sql-client.display.max-column-width' = '12'");
        settings.note("SET 'sql-client.execution.max-table-result.rows' = '5'");
        settings.note("SET 'pipeline.name' = 'x'");
        assert_eq!((settings.mode, settings.max_width, settings.max_rows), (ResultMode::Tableau, 12, 5));
        settings.note("RESET 'sql-client.execution.result-mode'");
        assert_eq!((settings.mode, settings.max_width), (ResultMode::Table, 12));
        settings.note("RESET;");
        assert_eq!(settings, Settings::default());
    }
}
