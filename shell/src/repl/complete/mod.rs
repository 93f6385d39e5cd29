//! Completion: what may stand at the cursor.
//!
//! - `context`: where the cursor is: in a command, in a quote, behind a word; and which tables the statement names.
//! - `options`: keys and values in `WITH (…)` and behind `SET`, from the declarations that the reference is made of.
//! - `known`: the names there are, looked up when they are needed.

mod context;
mod files;
mod known;
mod options;

use super::settings::FORMATS;
use super::words::{COMMANDS, KEYWORDS};
use context::{Context, Place};

pub use known::{BackendNames, Known};

/// Something that may be put at the cursor.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// As it is listed.
    pub shown: String,
    /// As it is put in.
    pub text: String,
}

impl Candidate {
    fn plain(text: impl Into<String>) -> Self {
        let text = text.into();
        Candidate { shown: text.clone(), text }
    }
}

/// Words that begin a statement.
const STARTS: &[&str] = &[
    "ALTER TABLE",
    "ALTER VIEW",
    "BEGIN STATEMENT SET",
    "CLEAR",
    "CREATE MATERIALIZED VIEW",
    "CREATE TABLE",
    "CREATE TEMPORARY TABLE",
    "CREATE TEMPORARY VIEW",
    "CREATE VIEW",
    "DELETE FROM",
    "DESCRIBE",
    "DROP MATERIALIZED VIEW",
    "DROP TABLE",
    "DROP VIEW",
    "EXECUTE STATEMENT SET",
    "EXPLAIN",
    "FLUSH",
    "HELP",
    "INSERT INTO",
    "QUIT",
    "RESET",
    "SELECT",
    "SET",
    "SHOW",
    "STOP JOB",
    "SUBSCRIBE TO",
    "TRUNCATE TABLE",
    "UPDATE",
    "USE",
    "VALUES",
    "WITH",
];

/// Words behind SHOW.
const SHOWN: &[&str] = &[
    "CATALOGS",
    "CHECKPOINTS",
    "COLUMNS FROM",
    "CREATE MATERIALIZED VIEW",
    "CREATE TABLE",
    "CREATE VIEW",
    "CURRENT CATALOG",
    "CURRENT DATABASE",
    "DATABASES",
    "FUNCTIONS",
    "JOBS",
    "LAG",
    "MATERIALIZED VIEWS",
    "MODULES",
    "TABLES",
    "VIEWS",
];

/// What may stand at byte `at` of `text`: where it begins, and the candidates in order.
pub fn complete(text: &str, at: usize, known: &dyn Known) -> (usize, Vec<Candidate>) {
    let context = Context::of(text, at);
    let typed = &text[context.start..at];
    let mut found: Vec<Candidate> = match &context.place {
        Place::Command => COMMANDS.iter().map(|(name, _, _)| Candidate::plain(*name)).collect(),
        Place::Argument(command) => return argument(command, text, at, known),
        Place::Start => cased(STARTS, typed),
        Place::Show => cased(SHOWN, typed),
        Place::Table => tables(known),
        Place::Column(table) => known.columns(&context.table(table)).into_iter().map(name).collect(),
        Place::Expression => expression(&context, typed, known),
        Place::Job => jobs(typed, known),
        Place::Key(list) => options::keys(&context, list, known),
        Place::Value(list, key) => options::values(&context, list, key, known),
        Place::Nothing => Vec::new(),
    };
    // The word at the cursor may itself look like the alias of a table.
    found.retain(|candidate| starts_with(&candidate.text, typed) && candidate.text != typed);
    found.sort();
    found.dedup();
    (context.start, found)
}

/// Letter case of names counts when they are executed, but not when they are looked for.
fn starts_with(text: &str, typed: &str) -> bool {
    text.get(..typed.len()).is_some_and(|start| start.eq_ignore_ascii_case(typed))
}

/// Words in the letter case in which the user types.
fn cased(words: &[&str], typed: &str) -> Vec<Candidate> {
    let lower = typed.chars().any(|c| c.is_ascii_lowercase());
    words.iter().map(|word| Candidate::plain(if lower { word.to_lowercase() } else { word.to_uppercase() })).collect()
}

/// A name, quoted when it must be.
fn name(name: String) -> Candidate {
    let plain = name.chars().all(super::lex::is_word) && name.chars().next().is_some_and(|c| !c.is_ascii_digit());
    let quotes = !plain || super::words::is_keyword(&name);
    Candidate { text: if quotes { format!("`{name}`") } else { name.clone() }, shown: name }
}

fn tables(known: &dyn Known) -> Vec<Candidate> {
    known.tables().into_iter().map(name).collect()
}

/// Names of jobs; ids, which nobody reads, only once something is typed.
fn jobs(typed: &str, known: &dyn Known) -> Vec<Candidate> {
    let ids = if typed.is_empty() { Vec::new() } else { known.job_ids() };
    let candidate = |job: String| Candidate { text: format!("{}'", job.replace('\'', "''")), shown: job };
    known.job_names().into_iter().chain(ids).map(candidate).collect()
}

/// What an expression may begin with: columns first; without a letter typed, nothing else, because that is too much.
fn expression(context: &Context, typed: &str, known: &dyn Known) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = context.tables.iter().flat_map(|t| known.columns(&t.name)).map(name).collect();
    found.extend(context.tables.iter().filter_map(|table| table.alias.clone()).map(name));
    if typed.is_empty() {
        return found;
    }
    let functions = known.functions();
    let functions: Vec<&str> = functions.iter().map(String::as_str).collect();
    let with_parenthesis = |c: Candidate| Candidate { text: format!("{}(", c.text), shown: c.shown };
    found.extend(cased(&functions, typed).into_iter().map(with_parenthesis));
    found.extend(cased(KEYWORDS, typed));
    found.extend(context.tables.iter().map(|table| name(table.name.clone())));
    found
}

/// What may stand behind a command.
fn argument(command: &str, text: &str, at: usize, known: &dyn Known) -> (usize, Vec<Candidate>) {
    let start = text[..at].rfind(char::is_whitespace).map_or(0, |space| space + 1);
    let typed = &text[start..at];
    let mut found: Vec<Candidate> = match command {
        "\\i" | "\\o" => return files::complete(start, typed),
        "\\d" | "\\dt" | "\\dv" | "\\dm" => known.tables().into_iter().map(Candidate::plain).collect(),
        "\\df" => known.functions().into_iter().map(Candidate::plain).collect(),
        "\\format" => FORMATS.iter().map(|(name, _)| Candidate::plain(*name)).collect(),
        "\\mode" => ["changelog", "table", "tableau"].map(Candidate::plain).to_vec(),
        "\\x" | "\\timing" | "\\pager" => ["off", "on"].map(Candidate::plain).to_vec(),
        _ => Vec::new(),
    };
    found.retain(|candidate| starts_with(&candidate.text, typed));
    (start, found)
}

#[cfg(test)]
mod tests;
