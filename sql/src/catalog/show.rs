//! Tables in words: `DESCRIBE`, `SHOW CREATE`, and the rule for what is a secret.

use std::fmt::Write;

use super::table::declared_type;
use super::{Catalog, CatalogObject, CatalogTable, CatalogView};
use crate::error::{Result, SqlError};
use crate::parse::parse_script;
use crate::statement::{ColumnDefinition, ColumnDefinitionKind, ObjectKind, Show, ShowFilter, Statement, TableName};

/// One row of `DESCRIBE`.
#[derive(Debug, Clone, PartialEq)]
pub struct DescribedColumn {
    /// Name.
    pub name: String,
    /// Flink's spelling of the type, with its time attribute.
    pub data_type: String,
    /// `TRUE` or `FALSE` as Flink prints it.
    pub nullable: bool,
    /// `PRI(a, b)` for columns of the primary key.
    pub key: Option<String>,
    /// `AS expr`, `METADATA FROM 'key' VIRTUAL`.
    pub extras: Option<String>,
    /// The watermark expression of the event time column.
    pub watermark: Option<String>,
}

impl CatalogTable {
    /// The rows of `DESCRIBE`. `types` gives the planned type of each column, with its time attribute and without
    /// nullability, as `TIMESTAMP(3) *ROWTIME*`, and whether it may be NULL; without it computed columns have no type.
    pub fn describe(&self, types: impl Fn(&str) -> Option<(String, bool)>) -> Vec<DescribedColumn> {
        self.columns
            .iter()
            .map(|column| {
                let declared = declared_type(&column.kind).map(|t| (t.data_type.to_string(), t.nullable));
                let (data_type, nullable) = types(&column.name).or(declared).unwrap_or((String::new(), true));
                let key = self.primary_key.as_ref().filter(|k| k.columns.contains(&column.name));
                let watermark = self.watermark.as_ref().filter(|w| w.column == column.name);
                DescribedColumn {
                    name: column.name.clone(),
                    data_type,
                    nullable,
                    key: key.map(|k| format!("PRI({})", k.columns.join(", "))),
                    extras: extras(column),
                    watermark: watermark.map(|w| w.expr.to_string()),
                }
            })
            .collect()
    }

    /// `CREATE TABLE` text that makes this table again, except that secrets are hidden.
    pub fn show_create(&self, temporary: bool) -> String {
        self.create_text(temporary, redact)
    }

    /// `CREATE TABLE` text with option values as `shown` shows them.
    fn create_text(&self, temporary: bool, shown: fn(&str, &str) -> String) -> String {
        let mut lines: Vec<String> = self.columns.iter().map(column_text).collect();
        if let Some(watermark) = &self.watermark {
            lines.push(format!("WATERMARK FOR {} AS {}", quoted(&watermark.column), watermark.expr));
        }
        if let Some(key) = &self.primary_key {
            let name = key.name.as_ref().map(|n| format!("CONSTRAINT {} ", quoted(n))).unwrap_or_default();
            let mode = if key.enforced { "" } else { " NOT ENFORCED" };
            lines.push(format!("{name}PRIMARY KEY ({}){mode}", quoted_list(&key.columns)));
        }
        let kind = if temporary { "TEMPORARY TABLE" } else { "TABLE" };
        let mut text = format!("CREATE {kind} {} (\n  {}\n)", quoted(&self.name), lines.join(",\n  "));
        if let Some(comment) = &self.comment {
            let _ = write!(text, "\nCOMMENT {}", literal(comment));
        }
        if let Some(distribution) = &self.distribution {
            let _ = write!(text, "\n{distribution}");
        }
        if !self.partition_keys.is_empty() {
            let _ = write!(text, "\nPARTITIONED BY ({})", quoted_list(&self.partition_keys));
        }
        if !self.options.is_empty() {
            let options: Vec<String> =
                self.options.iter().map(|(k, v)| format!("{} = {}", literal(k), literal(&shown(k, v)))).collect();
            let _ = write!(text, "\nWITH (\n  {}\n)", options.join(",\n  "));
        }
        text
    }
}

impl CatalogView {
    /// `CREATE VIEW` text that makes this view again.
    pub fn show_create(&self, temporary: bool) -> String {
        let kind = if temporary { "TEMPORARY VIEW" } else { "VIEW" };
        let mut text = format!("CREATE {kind} {}", quoted(&self.name));
        if !self.columns.is_empty() {
            let _ = write!(text, " ({})", quoted_list(&self.columns));
        }
        if let Some(comment) = &self.comment {
            let _ = write!(text, "\nCOMMENT {}", literal(comment));
        }
        let _ = write!(text, "\nAS {}", self.query_text);
        text
    }
}

impl Catalog {
    /// The statement that makes the table `name` again whatever else there is, secrets included. `text`, which made it,
    /// where no other can be written.
    pub(crate) fn definition(&self, name: &str, text: &str) -> String {
        let Some(CatalogObject::Table(table)) = self.find(name) else { return text.to_string() };
        let temporary = self.temporary.contains_key(name);
        let plain: fn(&str, &str) -> String = |_, value| value.to_string();
        let definition = table.create_text(temporary, plain);
        // What sqlparser prints is not always what we read.
        let read = parse_script(&definition).ok().and_then(|mut statements| statements.pop());
        let again = read.and_then(|parsed| match parsed.statement {
            Statement::CreateTable(create) => CatalogTable::new(&create, None, &[]).ok(),
            _ => None,
        });
        match again.is_some_and(|again| again.create_text(temporary, plain) == definition) {
            true => definition,
            false => text.to_string(),
        }
    }

    /// The text of `SHOW CREATE TABLE` and its like.
    pub fn show_create(&self, kind: ObjectKind, name: &TableName) -> Result<String> {
        let temporary = self.temporary.contains_key(name.table());
        let object = self.get(name)?;
        if object.kind() != kind {
            let what = super::word(object.kind());
            let message = format!("'{name}' is a {what}");
            return Err(SqlError::new(crate::SqlState::InvalidTableDefinition, message)
                .with_hint(format!("write SHOW CREATE {}", what.to_uppercase()))
                .at(name.position));
        }
        Ok(match object {
            CatalogObject::Table(table) => table.show_create(temporary),
            CatalogObject::View(view) => view.show_create(temporary),
            CatalogObject::Materialized(view) => view.show_create(),
        })
    }
}

impl Show {
    /// True when the statement's `LIKE` lets `name` through.
    pub fn matches(&self, name: &str) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.matches(name))
    }
}

impl ShowFilter {
    fn matches(&self, name: &str) -> bool {
        let fold = |s: &str| if self.ignore_case { s.to_lowercase() } else { s.to_string() };
        let pattern: Vec<char> = fold(&self.pattern).chars().collect();
        let name: Vec<char> = fold(name).chars().collect();
        like(&pattern, &name) != self.negated
    }
}

/// SQL's LIKE with `%`, `_` and `\` before either.
fn like(pattern: &[char], text: &[char]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        (['%', rest @ ..], _) => like(rest, text) || (!text.is_empty() && like(pattern, &text[1..])),
        (['\\', p, rest @ ..], [t, text @ ..]) => p == t && like(rest, text),
        (['_', rest @ ..], [_, text @ ..]) => like(rest, text),
        ([p, rest @ ..], [t, text @ ..]) => p == t && like(rest, text),
        _ => false,
    }
}

/// The value of an option as it may be shown: passwords, tokens, keys and user information in URLs are hidden.
pub fn redact(key: &str, value: &str) -> String {
    const SECRETS: &[&str] = &[
        "password",
        "secret",
        "token",
        "apikey",
        "api-key",
        "api_key",
        "access-key",
        "access_key",
        "auth-params",
        "service-key",
        "basic-auth",
        "bearer-auth",
        "jaas.config",
        "sasl.",
        "credentials",
        "private-key",
        "keystore.key",
        "http-headers",
    ];
    let key = key.to_ascii_lowercase();
    if SECRETS.iter().any(|secret| key.contains(secret)) && !key.ends_with("sasl.mechanism") {
        return "***".to_string();
    }
    redact_url(value)
}

/// Hides `user:password@` behind `://`, and `password=…` in a URL's query.
fn redact_url(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else { return value.to_string() };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority.to_string(), |(_, host)| format!("***@{host}"));
    let path = match path.split_once('?') {
        Some((path, query)) => {
            let parts = query.split('&').map(|part| match part.split_once('=') {
                Some((key, _)) if key.to_ascii_lowercase().contains("password") => format!("{key}=***"),
                _ => part.to_string(),
            });
            format!("{path}?{}", parts.collect::<Vec<_>>().join("&"))
        }
        None => path.to_string(),
    };
    format!("{scheme}://{host}{path}")
}

fn column_text(column: &ColumnDefinition) -> String {
    let name = quoted(&column.name);
    let mut text = match &column.kind {
        ColumnDefinitionKind::Physical { data_type } => format!("{name} {data_type}"),
        ColumnDefinitionKind::Computed { expr } => format!("{name} AS {expr}"),
        ColumnDefinitionKind::Metadata { data_type, .. } => {
            format!("{name} {data_type} {}", extras(column).unwrap_or_default())
        }
    };
    if let Some(comment) = &column.comment {
        let _ = write!(text, " COMMENT {}", literal(comment));
    }
    text
}

fn extras(column: &ColumnDefinition) -> Option<String> {
    match &column.kind {
        ColumnDefinitionKind::Physical { .. } => None,
        ColumnDefinitionKind::Computed { expr } => Some(format!("AS {expr}")),
        ColumnDefinitionKind::Metadata { key, is_virtual, .. } => {
            let from = if *key == column.name { String::new() } else { format!(" FROM {}", literal(key)) };
            Some(format!("METADATA{from}{}", if *is_virtual { " VIRTUAL" } else { "" }))
        }
    }
}

pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

pub(super) fn quoted_list(names: &[String]) -> String {
    names.iter().map(|n| quoted(n)).collect::<Vec<_>>().join(", ")
}

pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
