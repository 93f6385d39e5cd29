//! The error that a user of SQL sees, in PostgreSQL's form: primary message, detail, hint, position, SQLSTATE.
//!
//! Phrases that Flink's users know (and search the web for) are kept; [`SqlError`] has a constructor for each. Errors
//! of the layers below are translated here and nowhere else.

use std::fmt::Write;

use datafusion_common::{DataFusionError, Diagnostic, SchemaError};
use eddyline_engine::connector::nearest;
pub use sqlparser::tokenizer::Location;
use thiserror::Error;

/// Result of every fallible call of this crate.
pub type Result<T, E = SqlError> = std::result::Result<T, E>;

/// PostgreSQL's five-character error classes, as far as we need them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqlState {
    /// The text is no SQL.
    SyntaxError,
    /// No table has this column.
    UndefinedColumn,
    /// There is no such table or view.
    UndefinedTable,
    /// There is no such function, or none for these argument types.
    UndefinedFunction,
    /// There is no such job.
    UndefinedObject,
    /// The name is taken.
    DuplicateTable,
    /// The name of a job is taken.
    DuplicateObject,
    /// Something cannot be dropped because something else depends on it.
    DependentObjects,
    /// A view or a job is not in the state that the statement needs.
    NotReady,
    /// A row with a key that is there already.
    UniqueViolation,
    /// NULL for a column that is NOT NULL.
    NotNullViolation,
    /// Two columns have one name.
    DuplicateColumn,
    /// Several tables have this column.
    AmbiguousColumn,
    /// A column is neither grouped nor aggregated.
    GroupingError,
    /// Types do not fit.
    DatatypeMismatch,
    /// A table definition that makes no sense.
    InvalidTableDefinition,
    /// A query that streams cannot answer, or that is wrong in a way none of the others name.
    InvalidQuery,
    /// An option or setting has a bad value.
    InvalidParameter,
    /// Flink can, we cannot (yet).
    FeatureNotSupported,
    /// A row could not be processed.
    DataException,
    /// An external system refused or did not answer.
    SystemError,
    /// The file system refused.
    IoError,
    /// Stopped on request.
    Cancelled,
    /// A client did not keep to the protocol.
    ProtocolViolation,
    /// A statement in a transaction that has failed.
    FailedTransaction,
    /// There is no such cursor.
    UndefinedCursor,
    /// There is no such prepared statement.
    UndefinedStatement,
    /// The name of a cursor or prepared statement is taken.
    DuplicateCursor,
    /// A limit was reached.
    LimitExceeded,
    /// A fault of the engine.
    Internal,
}

impl SqlState {
    /// The five characters.
    pub fn code(self) -> &'static str {
        match self {
            SqlState::SyntaxError => "42601",
            SqlState::UndefinedColumn => "42703",
            SqlState::UndefinedTable => "42P01",
            SqlState::UndefinedFunction => "42883",
            SqlState::UndefinedObject => "42704",
            SqlState::DuplicateTable => "42P07",
            SqlState::DuplicateObject => "42710",
            SqlState::DependentObjects => "2BP01",
            SqlState::NotReady => "55000",
            SqlState::UniqueViolation => "23505",
            SqlState::NotNullViolation => "23502",
            SqlState::DuplicateColumn => "42701",
            SqlState::AmbiguousColumn => "42702",
            SqlState::GroupingError => "42803",
            SqlState::DatatypeMismatch => "42804",
            SqlState::InvalidTableDefinition => "42P16",
            SqlState::InvalidQuery => "42000",
            SqlState::InvalidParameter => "22023",
            SqlState::FeatureNotSupported => "0A000",
            SqlState::DataException => "22000",
            SqlState::SystemError => "58000",
            SqlState::IoError => "58030",
            SqlState::Cancelled => "57014",
            SqlState::ProtocolViolation => "08P01",
            SqlState::FailedTransaction => "25P02",
            SqlState::UndefinedCursor => "34000",
            SqlState::UndefinedStatement => "26000",
            SqlState::DuplicateCursor => "42P03",
            SqlState::LimitExceeded => "54000",
            SqlState::Internal => "XX000",
        }
    }
}

/// What went wrong, for a person.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("{message}")]
pub struct SqlError {
    /// One sentence.
    pub message: String,
    /// More about it.
    pub detail: Option<String>,
    /// What the user can do.
    pub hint: Option<String>,
    /// Where, in the text that was given to the parser: line and column from 1.
    pub position: Option<Location>,
    /// Its class.
    pub state: SqlState,
}

impl SqlError {
    /// An error with nothing but a class and a message.
    pub fn new(state: SqlState, message: impl Into<String>) -> Self {
        SqlError { message: message.into(), detail: None, hint: None, position: None, state }
    }

    /// Flink's phrase for a token that no statement has there.
    pub fn encountered(token: &str, at: Location) -> Self {
        let message = format!("SQL parse failed. Encountered \"{token}\" at line {}, column {}.", at.line, at.column);
        SqlError::new(SqlState::SyntaxError, message).at(at)
    }

    /// Flink's phrase for any other mistake in the text.
    pub fn parse_failed(what: impl AsRef<str>, at: Location) -> Self {
        SqlError::new(SqlState::SyntaxError, format!("SQL parse failed. {}", what.as_ref())).at(at)
    }

    /// Flink's phrase for a column that no table of the query has; `known` are the columns there are.
    pub fn unknown_column<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        SqlError::new(SqlState::UndefinedColumn, format!("Column '{name}' not found in any table"))
            .suggest(name, known, "columns")
    }

    /// Flink's phrase for a table or view that does not exist; `known` are those that do.
    pub fn unknown_table<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        SqlError::new(SqlState::UndefinedTable, format!("Object '{name}' not found")).suggest(name, known, "tables")
    }

    /// Flink's phrase for a function that does not exist.
    pub fn unknown_function(name: &str) -> Self {
        let message = format!("No match found for function signature {name}(…)");
        let known = crate::functions::function_names();
        let error = SqlError::new(SqlState::UndefinedFunction, message);
        match nearest(name, known.iter().map(String::as_str)) {
            Some(near) => error.with_hint(format!("did you mean '{near}'?")),
            None => error.with_hint("SHOW FUNCTIONS lists the functions"),
        }
    }

    /// Flink's phrase for a name that is taken.
    pub fn duplicate_table(name: &str) -> Self {
        SqlError::new(SqlState::DuplicateTable, format!("A table or view named '{name}' already exists"))
    }

    /// Something that Flink has and we do not.
    pub fn unsupported(what: impl Into<String>) -> Self {
        SqlError::new(SqlState::FeatureNotSupported, what)
    }

    /// A broken invariant.
    pub fn internal(what: impl Into<String>) -> Self {
        SqlError::new(SqlState::Internal, what)
    }

    /// Adds where it went wrong; an unknown place adds nothing.
    pub fn at(mut self, position: Location) -> Self {
        if position.line > 0 {
            self.position = Some(position);
        }
        self
    }

    /// Adds what the user can do.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds more about it.
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// PostgreSQL's five-character error class.
    pub fn sqlstate(&self) -> &'static str {
        self.state.code()
    }

    fn suggest<'a>(self, name: &str, known: impl IntoIterator<Item = &'a str>, what: &str) -> Self {
        let mut known: Vec<&str> = known.into_iter().collect();
        known.sort_unstable();
        known.dedup();
        if let Some(near) = nearest(name, known.iter().copied()) {
            return self.with_hint(format!("did you mean '{near}'?"));
        }
        match known.len() {
            0 => self,
            1..=12 => self.with_hint(format!("known {what}: {}", known.join(", "))),
            more => self.with_hint(format!("known {what}: {}, … ({more} in all)", known[..12].join(", "))),
        }
    }

    /// The error as psql shows it: message, the line of `sql` with a caret below the place, detail and hint. `sql` is
    /// the text that was given to the parser.
    pub fn render(&self, sql: &str) -> String {
        let mut text = format!("ERROR: {}", self.message);
        let sql = &crate::secrets::mask(sql);
        if let Some((line, at)) = self.position.and_then(|at| Some((source_line(sql, at)?, at))) {
            let label = format!("LINE {}: ", at.line);
            let before: String = line.chars().take(at.column.saturating_sub(1) as usize).collect();
            // A tab stays a tab, so that the caret stands below the same place on every terminal.
            let blank: String =
                label.chars().chain(before.chars()).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            let _ = write!(text, "\n{label}{line}\n{blank}^");
        }
        if let Some(detail) = &self.detail {
            let _ = write!(text, "\nDETAIL: {detail}");
        }
        if let Some(hint) = &self.hint {
            let _ = write!(text, "\nHINT: {hint}");
        }
        text
    }
}

fn source_line(sql: &str, at: Location) -> Option<&str> {
    sql.lines().nth(usize::try_from(at.line).ok()?.checked_sub(1)?)
}

impl From<eddyline_engine::Error> for SqlError {
    fn from(error: eddyline_engine::Error) -> Self {
        use eddyline_engine::Error as E;
        if let E::Expression(inner) = &error
            && matches!(inner.find_root(), DataFusionError::ResourcesExhausted(_))
        {
            return out_of_memory();
        }
        let state = match &error {
            E::Data { .. } => SqlState::DataException,
            E::Expression(_) => SqlState::DataException,
            E::Option { .. } => SqlState::InvalidParameter,
            E::Connector { .. } => SqlState::SystemError,
            E::Checkpoint { .. } | E::Io { .. } => SqlState::IoError,
            E::Unavailable { .. } => SqlState::NotReady,
            E::Cancelled { .. } => SqlState::Cancelled,
            E::DuplicateKey { .. } => SqlState::UniqueViolation,
            E::Arrow(_) | E::Internal(_) => SqlState::Internal,
        };
        let mut result = SqlError::new(state, error.to_string());
        result.hint = error.hint().map(str::to_string);
        if let E::DuplicateKey { columns, values, .. } = &error {
            result.detail = Some(format!("Key ({columns})=({values}) already exists"));
            result.hint = Some("ON CONFLICT DO NOTHING keeps the row that is there, DO DEDUPLICATE replaces it".into());
        }
        result
    }
}

impl From<arrow::error::ArrowError> for SqlError {
    fn from(error: arrow::error::ArrowError) -> Self {
        SqlError::new(SqlState::DataException, error.to_string())
    }
}

impl From<DataFusionError> for SqlError {
    fn from(error: DataFusionError) -> Self {
        let diagnostic = find_diagnostic(&error).cloned();
        let mut result = translate(&error, diagnostic.as_ref());
        let span = diagnostic.as_ref().and_then(|d| d.span);
        if let (Some(span), None) = (span, result.position) {
            result = result.at(Location { line: span.start.line, column: span.start.column });
        }
        if let (Some(help), None) = (diagnostic.as_ref().and_then(|d| d.helps.first()), &result.hint) {
            result = result.with_hint(help.message.clone());
        }
        result
    }
}

fn find_diagnostic(error: &DataFusionError) -> Option<&Diagnostic> {
    match error {
        DataFusionError::Diagnostic(diagnostic, _) => Some(diagnostic),
        DataFusionError::Context(_, inner) => find_diagnostic(inner),
        DataFusionError::Shared(inner) => find_diagnostic(inner),
        DataFusionError::Collection(errors) => errors.first().and_then(find_diagnostic),
        _ => None,
    }
}

/// DataFusion's error in our words. An error of ours that travelled through DataFusion comes out unchanged.
fn translate(error: &DataFusionError, diagnostic: Option<&Diagnostic>) -> SqlError {
    use DataFusionError as E;
    match error {
        E::Diagnostic(_, inner) | E::Context(_, inner) => translate(inner, diagnostic),
        E::Shared(inner) => translate(inner, diagnostic),
        E::Collection(errors) if !errors.is_empty() => translate(&errors[0], diagnostic),
        E::External(inner) => match inner.downcast_ref::<SqlError>() {
            Some(ours) => ours.clone(),
            None => SqlError::new(SqlState::Internal, inner.to_string()),
        },
        E::SchemaError(inner, _) => translate_schema_error(inner),
        E::Plan(message) => translate_plan_error(message, diagnostic),
        E::NotImplemented(message) => SqlError::unsupported(message.clone()),
        E::Execution(message) => SqlError::new(SqlState::DataException, message.clone()),
        E::ArrowError(inner, _) => SqlError::new(SqlState::DataException, inner.to_string()),
        E::ResourcesExhausted(_) => out_of_memory(),
        E::Configuration(message) => SqlError::new(SqlState::InvalidParameter, message.clone()),
        other => SqlError::internal(other.strip_backtrace()),
    }
}

/// Only finite queries have DataFusion's memory pool.
fn out_of_memory() -> SqlError {
    SqlError::new(SqlState::LimitExceeded, "the query needs more memory than finite queries may use together")
        .with_hint("let a materialized view do the sorting, grouping or joining, or a part of it")
}

fn translate_schema_error(error: &SchemaError) -> SqlError {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            SqlError::unknown_column(&field.name, valid_fields.iter().map(|c| c.name.as_str()))
        }
        SchemaError::AmbiguousReference { field } => {
            SqlError::new(SqlState::AmbiguousColumn, format!("Column '{}' is ambiguous", field.name))
                .with_hint("put the table's name or alias before it")
        }
        SchemaError::DuplicateUnqualifiedField { name } | SchemaError::DuplicateQualifiedField { name, .. } => {
            SqlError::new(SqlState::DuplicateColumn, format!("Column '{name}' appears twice"))
                .with_hint("give one of them another name with AS")
        }
    }
}

/// DataFusion marks few plan errors by type; the ones that have a phrase of Flink's are known by their diagnostic.
fn translate_plan_error(message: &str, diagnostic: Option<&Diagnostic>) -> SqlError {
    let said = diagnostic.map_or("", |d| d.message.as_str());
    if let Some(table) = said.strip_prefix("table '").and_then(|s| s.strip_suffix("' not found")) {
        return SqlError::unknown_table(table.rsplit('.').next().unwrap_or(table), []);
    }
    if let Some(name) = said.strip_prefix("Invalid function '").and_then(|rest| rest.strip_suffix('\'')) {
        return SqlError::unknown_function(name);
    }
    if let Some(expr) = said.strip_suffix("' must appear in GROUP BY clause because it's not an aggregate expression") {
        let column = expr.rsplit('.').next().unwrap_or(expr).trim_matches(['"', '`', '\'']);
        return SqlError::new(SqlState::GroupingError, format!("Expression '{column}' is not being grouped"))
            .with_hint(format!("add '{column}' to GROUP BY or use it in an aggregate function"));
    }
    SqlError::new(SqlState::InvalidQuery, message.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use datafusion_common::{Column, Span};

    use super::*;

    fn spanned(error: DataFusionError, message: &str) -> SqlError {
        let at = |column| datafusion_common::Location { line: 2, column };
        let span = Span::new(at(3), at(9));
        error.with_diagnostic(Diagnostic::new_error(message, Some(span))).context("planning").into()
    }

    #[test]
    fn unknown_columns_and_tables_get_flinks_phrase_place_and_suggestion() {
        let missing = SchemaError::FieldNotFound {
            field: Box::new(Column::from_name("colour")),
            valid_fields: vec![Column::new(Some("t"), "color"), Column::new(Some("t"), "size")],
        };
        let error =
            spanned(DataFusionError::SchemaError(Box::new(missing), Box::new(None)), "column 'colour' not found");
        assert_eq!((error.message.as_str(), error.sqlstate()), ("Column 'colour' not found in any table", "42703"));
        assert_eq!(error.hint.as_deref(), Some("did you mean 'color'?"));
        assert_eq!(
            error.render("SELECT\n\t colour"),
            "ERROR: Column 'colour' not found in any table\nLINE 2: \t colour\n        \t ^\nHINT: did you mean 'color'?"
        );
        let error = spanned(DataFusionError::Plan("x".into()), "table 'a.b.order_lines' not found");
        assert_eq!((error.message.as_str(), error.sqlstate()), ("Object 'order_lines' not found", "42P01"));
    }

    #[test]
    fn unknown_functions_get_flinks_phrase_and_the_nearest_name() {
        let error = spanned(DataFusionError::Plan("x".into()), "Invalid function 'uper'");
        assert_eq!(
            (error.message.as_str(), error.sqlstate()),
            ("No match found for function signature uper(…)", "42883")
        );
        assert_eq!(error.hint.as_deref(), Some("did you mean 'upper'?"));
        let error = spanned(DataFusionError::Plan("x".into()), "Invalid function 'nothing_like_it'");
        assert_eq!(error.hint.as_deref(), Some("SHOW FUNCTIONS lists the functions"));
    }

    #[test]
    fn ungrouped_columns_get_flinks_phrase() {
        let said = "'orders.qty' must appear in GROUP BY clause because it's not an aggregate expression";
        let error = spanned(DataFusionError::Plan("long text".into()), said);
        assert_eq!((error.message.as_str(), error.sqlstate()), ("Expression 'qty' is not being grouped", "42803"));
    }

    #[test]
    fn errors_of_ours_come_back_out_of_datafusion_unchanged() {
        let ours = SqlError::unsupported("no such thing").with_hint("do without");
        let back: SqlError = DataFusionError::External(Box::new(ours.clone())).context("somewhere").into();
        assert_eq!(back, ours);
    }

    #[test]
    fn engine_errors_keep_their_hint() {
        let error: SqlError = eddyline_engine::Error::option("bad", "do this".to_string()).into();
        assert_eq!((error.hint.as_deref(), error.sqlstate()), (Some("do this"), "22023"));
    }

    #[test]
    fn a_position_outside_the_text_shows_no_line() {
        let error = SqlError::parse_failed("x", Location { line: 9, column: 1 });
        assert_eq!(error.render("one line"), "ERROR: SQL parse failed. x");
    }
}
