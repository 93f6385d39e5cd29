//! Cuts what a client sends into statements, and sorts them: ours, questions about the catalog, and what only matters on
//! the wire.

use std::ops::ControlFlow;

use eddyline_sql::catalog::Catalog;
use eddyline_sql::error::Location;
use eddyline_sql::parse::{SetTracker, parse_script};
use eddyline_sql::statement::{ParsedStatement, Statement};
use eddyline_sql::{Parameter, Result, SqlError};
use sqlparser::ast::{Visit, visit_relations};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use super::command::{self, Command, end_of};
use super::copy::{self, Copied, CopiedTable, Form};

/// Words that only a question about the catalog has, when it names no table.
const CATALOG_WORDS: &[&str] = &[
    "version",
    "current_schema",
    "current_schemas",
    "current_database",
    "current_catalog",
    "current_user",
    "session_user",
    "current_role",
    "current_setting",
    "set_config",
    "format_type",
    "obj_description",
    "col_description",
    "shobj_description",
    "has_table_privilege",
    "has_schema_privilege",
    "has_database_privilege",
    "quote_ident",
    "to_regclass",
    "regclass",
    "regtype",
    "regproc",
    "regnamespace",
    "inet_server_addr",
];

/// One statement of a client.
#[derive(Debug, Clone)]
pub enum Request {
    /// For the session.
    Statement(ParsedStatement),
    /// About pg_catalog and information_schema, in PostgreSQL's dialect.
    Catalog {
        /// The question.
        sql: String,
        /// Values of its parameters.
        parameters: Vec<Parameter>,
    },
    /// A cursor on one of the above, which only looks.
    Declare {
        /// Its name.
        name: String,
        /// True when it outlives its transaction.
        hold: bool,
        /// The query.
        query: Box<Request>,
    },
    /// The rows of one of the first two, which only looks, written out.
    Copy {
        /// The query.
        query: Box<Request>,
        /// Where the table is named of whose rows it was made.
        table: Option<Location>,
        /// How its rows are written.
        form: Form,
    },
    /// For the connection.
    Command(Command),
}

/// The statements of `sql`. `catalog` knows which tables are the user's.
pub fn requests(sql: &str, catalog: &Catalog) -> Result<Vec<Request>> {
    pieces(sql).into_iter().map(|(start, end)| request(sql, start, end, catalog)).collect()
}

fn request(sql: &str, start: usize, end: usize, catalog: &Catalog) -> Result<Request> {
    let (before, piece) = (&sql[..start], &sql[start..end]);
    if let Some(copy) = copy::parse(before, piece)? {
        let (query, table) = match copy.what {
            Copied::Query(from, to) => (query(sql, start + from, start + to, catalog)?, None),
            Copied::Table(at, table) => (table_query(&table, catalog)?, Some(end_of(&sql[..start + at]))),
        };
        return Ok(Request::Copy { query: Box::new(query), table, form: copy.form });
    }
    match command::parse(before, piece)? {
        Some(Command::Declare { name, hold, query: from }) => {
            let query = Box::new(query(sql, start + from, end, catalog)?);
            Ok(Request::Declare { name, hold, query })
        }
        Some(command) => Ok(Request::Command(command)),
        None => statement(sql, start, end, catalog),
    }
}

/// What stands between two places of `sql`, as a query inside of another statement.
fn query(sql: &str, start: usize, end: usize, catalog: &Catalog) -> Result<Request> {
    let start = start + sql[start..end].len() - sql[start..end].trim_start().len();
    let request = statement(sql, start, end, catalog)?;
    match &request {
        Request::Statement(parsed) if !only_looks(&parsed.statement) => {
            let hint = "SELECT, VALUES, SUBSCRIBE TO and SHOW can stand there";
            Err(SqlError::unsupported("COPY and DECLARE take a query, which changes nothing")
                .with_hint(hint)
                .at(end_of(&sql[..start])))
        }
        _ => Ok(request),
    }
}

fn only_looks(statement: &Statement) -> bool {
    use Statement::{Describe, Explain, Query, Show, ShowCreate, ShowSettings, Subscribe};
    matches!(
        statement,
        Query(_) | Subscribe { .. } | Show(_) | ShowCreate { .. } | ShowSettings | Describe { .. } | Explain(_)
    )
}

/// The rows of a table, of ours or of the catalog.
fn table_query(table: &CopiedTable, catalog: &Catalog) -> Result<Request> {
    let asked = table.query('"');
    let sql = if asks_catalog(&asked, catalog) { asked } else { table.query('`') };
    statement(&sql, 0, sql.len(), catalog)
}

fn statement(sql: &str, start: usize, end: usize, catalog: &Catalog) -> Result<Request> {
    let piece = &sql[start..end];
    if asks_catalog(piece, catalog) {
        return Ok(Request::Catalog { sql: piece.to_string(), parameters: Vec::new() });
    }
    // Positions in errors are those of the whole text.
    let mut padded: String = sql[..start].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
    padded.push_str(piece);
    match parse_script(&padded)?.pop() {
        Some(statement) => Ok(Request::Statement(statement)),
        None => Err(SqlError::internal("an empty statement was not recognised")),
    }
}

/// True for a query that reads only pg_catalog and information_schema, or that calls their functions on nothing.
fn asks_catalog(piece: &str, catalog: &Catalog) -> bool {
    let first = words(piece).next().unwrap_or_default();
    if !["select", "with", "table", "values"].contains(&first.as_str()) {
        return false;
    }
    let Ok(statements) = Parser::parse_sql(&PostgreSqlDialect {}, piece) else {
        // psql and drivers ask in ways that sqlparser does not read; what they ask about gives them away.
        return words(piece).any(|word| word.starts_with("pg_") || word == "information_schema");
    };
    let mut own = 0;
    let mut asked = 0;
    let ctes: Vec<String> = common_tables(&statements);
    let _: ControlFlow<()> = visit_relations(&statements, |name| {
        let parts: Vec<String> =
            name.0.iter().filter_map(|part| part.as_ident()).map(|ident| ident.value.to_lowercase()).collect();
        match parts.as_slice() {
            [table] if ctes.contains(table) => {}
            [.., schema, _] if schema == "pg_catalog" || schema == "information_schema" => asked += 1,
            [table] if table.starts_with("pg_") && catalog.find(table).is_none() => asked += 1,
            [function] if ["generate_series", "unnest"].contains(&function.as_str()) => {}
            _ => own += 1,
        }
        ControlFlow::Continue(())
    });
    own == 0 && (asked > 0 || mentions_catalog(piece))
}

fn common_tables(statements: &[sqlparser::ast::Statement]) -> Vec<String> {
    struct Names(Vec<String>);
    impl sqlparser::ast::Visitor for Names {
        type Break = ();
        fn pre_visit_query(&mut self, query: &sqlparser::ast::Query) -> ControlFlow<()> {
            let tables = query.with.iter().flat_map(|with| &with.cte_tables);
            self.0.extend(tables.map(|table| table.alias.name.value.to_lowercase()));
            ControlFlow::Continue(())
        }
    }
    let mut names = Names(Vec::new());
    let _ = statements.to_vec().visit(&mut names);
    names.0
}

fn mentions_catalog(piece: &str) -> bool {
    words(piece)
        .any(|word| word.starts_with("pg_") || word == "information_schema" || CATALOG_WORDS.contains(&word.as_str()))
}

/// The words outside of strings and comments, in lower case.
fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    let mut scanner = Scanner::new(text);
    std::iter::from_fn(move || {
        while let Some(token) = scanner.next_token() {
            if let Token::Word(start, end) = token {
                return Some(text[start..end].to_lowercase());
            }
        }
        None
    })
}

/// Where the statements of `sql` begin and end: cut at semicolons, except inside a statement set.
fn pieces(sql: &str) -> Vec<(usize, usize)> {
    let (mut scanner, mut set) = (Scanner::new(sql), SetTracker::default());
    let mut pieces = Vec::new();
    let mut piece: Option<(usize, usize)> = None;
    while let Some(token) = scanner.next_token() {
        let (from, to) = match token {
            Token::Semicolon if !set.is_inside() => {
                pieces.extend(piece.take());
                set = SetTracker::default();
                continue;
            }
            Token::Semicolon => continue,
            Token::Word(from, to) => {
                set.see(&sql[from..to]);
                (from, to)
            }
            Token::Other(from, to) => (from, to),
        };
        piece = Some((piece.map_or(from, |(begin, _)| begin), to));
    }
    pieces.extend(piece);
    pieces
}

pub(super) enum Token {
    Semicolon,
    Word(usize, usize),
    Other(usize, usize),
}

/// Just enough of a tokenizer to know strings, quoted names, comments, words and semicolons.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Scanner { text, at: 0 }
    }

    pub(super) fn next_token(&mut self) -> Option<Token> {
        loop {
            let rest = &self.text[self.at..];
            let c = rest.chars().next()?;
            let start = self.at;
            let is_hint = rest.starts_with("/*+");
            if c.is_whitespace() {
                self.at += c.len_utf8();
            } else if rest.starts_with("--") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with("/*") && !is_hint {
                self.at += rest.find("*/").map_or(rest.len(), |end| end + 2);
            } else if matches!(c, '\'' | '"' | '`') {
                self.at += quoted_length(rest, c);
                return Some(Token::Other(start, self.at));
            } else if c == ';' {
                self.at += 1;
                return Some(Token::Semicolon);
            } else if c.is_alphabetic() || c == '_' {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '$');
                self.at += end.unwrap_or(rest.len());
                return Some(Token::Word(start, self.at));
            } else {
                self.at += c.len_utf8();
                return Some(Token::Other(start, self.at));
            }
        }
    }
}

/// Bytes of the quoted piece at the beginning of `text`; a doubled quote is part of it.
pub(super) fn quoted_length(text: &str, quote: char) -> usize {
    let mut at = 1;
    while let Some(found) = text[at..].find(quote) {
        at += found + 1;
        if !text[at..].starts_with(quote) {
            return at;
        }
        at += 1;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn cut(sql: &str) -> Vec<&str> {
        pieces(sql).into_iter().map(|(start, end)| &sql[start..end]).collect()
    }

    #[test]
    fn semicolons_cut_only_between_statements() {
        assert_eq!(cut("  ; ;"), Vec::<&str>::new());
        assert_eq!(cut("SELECT ';' -- ; x\n, `a;b`;SELECT 2 /* ; */ ;"), ["SELECT ';' -- ; x\n, `a;b`", "SELECT 2"]);
        let set = "EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1; INSERT INTO b SELECT 2; END";
        assert_eq!(cut(&format!("{set}; SHOW JOBS")), [set, "SHOW JOBS"]);
        let cases = "BEGIN STATEMENT SET; INSERT INTO a SELECT CASE WHEN x THEN 1 END; INSERT INTO b SELECT 2; END";
        assert_eq!(cut(&format!("{cases}; SHOW JOBS")), [cases, "SHOW JOBS"]);
        assert_eq!(cut("BEGIN; SELECT 1; END"), ["BEGIN", "SELECT 1", "END"]);
        assert_eq!(cut("SELECT 'it''s; ok'"), ["SELECT 'it''s; ok'"]);
    }

    #[test]
    fn questions_about_the_catalog_are_told_from_queries() {
        let check = |sql: &str, expected: bool| {
            assert_eq!(asks_catalog(sql, &Catalog::default()), expected, "{sql}");
        };
        check("SELECT * FROM pg_catalog.pg_class", true);
        check("select relname from pg_class c join information_schema.tables t on true", true);
        check("SELECT version()", true);
        check("select 'x'::regclass", true);
        check("WITH c AS (SELECT 1 FROM pg_type) SELECT * FROM c", true);
        check("SELECT 1", false);
        check("SELECT 'pg_class'", false);
        check("SELECT * FROM orders", false);
        check("SELECT * FROM orders JOIN pg_class ON true", false);
        check("SHOW TABLES", false);
    }

    #[test]
    fn positions_are_those_of_the_whole_text() {
        let error = requests("BEGIN;\nSELECT 1;\n  SELEC 2", &Catalog::default()).unwrap_err();
        let at = error.position.unwrap();
        assert_eq!((at.line, at.column), (3, 3));
    }

    #[test]
    fn copies_and_cursors_take_what_changes_nothing() {
        let one = |sql: &str| requests(sql, &Catalog::default()).map(|mut requests| requests.remove(0));
        let is_query = |query: &Request| matches!(query, Request::Statement(_));
        assert!(matches!(one("COPY (SUBSCRIBE TO v) TO STDOUT"), Ok(Request::Copy { query, .. }) if is_query(&query)));
        assert!(
            matches!(one("DECLARE c CURSOR FOR SHOW JOBS"), Ok(Request::Declare { query, .. }) if is_query(&query))
        );
        let at =
            |wanted: u64| move |table: Option<Location>| table.is_some_and(|at| (at.line, at.column) == (1, wanted));
        assert!(
            matches!(one("COPY t TO STDOUT"), Ok(Request::Copy { query, table, .. }) if is_query(&query) && at(6)(table))
        );
        let is_catalog = |query: &Request| matches!(query, Request::Catalog { .. });
        for sql in ["COPY pg_catalog.pg_class TO STDOUT", "COPY (SELECT 1 FROM pg_class) TO STDOUT"] {
            assert!(matches!(one(sql), Ok(Request::Copy { query, .. }) if is_catalog(&query)), "{sql}");
        }
        let deep = format!("{}SELECT 1{}", "COPY (".repeat(10_000), ") TO STDOUT".repeat(10_000));
        for (sql, part, column) in [
            ("COPY (DROP TABLE t) TO STDOUT", "take a query", 7),
            ("COPY ( INSERT INTO t VALUES (1)) TO STDOUT", "take a query", 8),
            ("DECLARE c CURSOR FOR DELETE FROM t", "take a query", 22),
            (deep.as_str(), "COPY", 7),
        ] {
            let error = one(sql).unwrap_err();
            let at = error.position.unwrap();
            assert!(error.message.contains(part), "{error}");
            assert_eq!((at.line, at.column), (1, column), "{error}");
        }
    }

    #[test]
    fn what_is_no_statement_of_ours_is_ours_to_refuse() {
        assert!(matches!(requests("SELECT a FROM t", &Catalog::default()).unwrap()[..], [Request::Statement(_)]));
        assert!(matches!(requests("ROLLBACK", &Catalog::default()).unwrap()[..], [Request::Command(_)]));
    }
}
