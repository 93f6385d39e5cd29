//! Where the cursor is.

use super::super::lex::{Kind, Token, tokens};
use super::super::words::is_keyword;

/// A list of keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// Options of a table: `WITH (…)`, `OPTIONS(…)`, `ALTER TABLE t SET (…)`.
    Options,
    /// Settings of the session.
    Settings,
}

/// What may stand at the cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A command with its backslash.
    Command,
    /// What belongs to this command.
    Argument(String),
    /// The first words of a statement.
    Start,
    /// What SHOW shows.
    Show,
    /// The name of a table or view.
    Table,
    /// A column of this table, or of the table with this alias.
    Column(String),
    /// Columns, functions, keywords.
    Expression,
    /// The id or name of a job, in quotes.
    Job,
    /// A key.
    Key(List),
    /// A value of this key.
    Value(List, String),
    /// Something new.
    Nothing,
}

/// A table that the statement names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its name in this statement.
    pub alias: Option<String>,
}

/// What completion needs to know of the text.
#[derive(Debug)]
pub struct Context {
    /// Where that which is being typed begins; in quotes, behind the quote.
    pub start: usize,
    /// What may stand there.
    pub place: Place,
    /// True inside of a quote that is open at the cursor.
    pub quoted: bool,
    /// True when a quote follows the cursor.
    pub closes: bool,
    /// Tables of the statement.
    pub tables: Vec<Named>,
    /// Pairs of texts with an equals sign between them, anywhere in the statement.
    pub pairs: Vec<(String, String)>,
    /// Names of columns that the statement declares.
    pub declared: Vec<String>,
}

impl Context {
    /// The context of byte `at` of `text`.
    pub fn of(text: &str, at: usize) -> Self {
        let all = tokens(text);
        let before = tokens(&text[..at]);
        let begin = before.iter().rposition(|t| t.kind == Kind::Semicolon).map_or(0, |index| before[index].end);
        let end = all.iter().find(|t| t.kind == Kind::Semicolon && t.start >= at).map_or(text.len(), |t| t.start);
        let statement: Vec<Token> =
            all.into_iter().filter(|t| t.start >= begin && t.end <= end && !t.is_blank()).collect();
        let mut context = Context {
            start: at,
            place: Place::Nothing,
            quoted: false,
            closes: text[at..].starts_with('\''),
            tables: named_tables(text, &statement),
            pairs: pairs(text, &statement),
            declared: declared(text, &statement),
        };
        context.locate(text, at, begin, &before);
        context
    }

    fn locate(&mut self, text: &str, at: usize, begin: usize, before: &[Token]) {
        let line = text[begin..at].trim_start();
        if line.starts_with('\\') && !line.contains('\n') {
            match line.split_once(char::is_whitespace) {
                Some((command, _)) => self.place = Place::Argument(command.to_string()),
                None => (self.start, self.place) = (at - line.len(), Place::Command),
            }
            return;
        }
        let mut seen: Vec<Token> = before.iter().filter(|t| t.start >= begin).copied().collect();
        match seen.last() {
            Some(last) if last.kind == Kind::Comment && (!last.closed || last.of(text).starts_with("--")) => return,
            Some(last) if last.kind == Kind::Name && !last.closed => {
                (self.start, self.place) = (last.start, Place::Table);
                seen.pop();
            }
            Some(last) if last.kind == Kind::Text && !last.closed => {
                (self.start, self.quoted) = (last.start + 1, true);
                seen.pop();
            }
            Some(last) if last.kind == Kind::Word => {
                self.start = last.start;
                seen.pop();
            }
            _ => {}
        }
        seen.retain(|t| !t.is_blank());
        let words: Vec<String> = seen.iter().map(|t| t.of(text).to_ascii_uppercase()).collect();
        self.place = match list(text, &seen, &words) {
            Some(place) => place,
            None if self.quoted && ends(&words, &["STOP", "JOB"]) => Place::Job,
            None if self.quoted || self.place == Place::Table => std::mem::replace(&mut self.place, Place::Nothing),
            None => word_place(text, &seen, &words),
        };
    }

    /// The table behind an alias, or the name itself.
    pub fn table(&self, name: &str) -> String {
        let aliased = self.tables.iter().find(|t| t.alias.as_deref() == Some(name));
        aliased.map_or(name, |table| table.name.as_str()).to_string()
    }
}

fn ends(words: &[String], with: &[&str]) -> bool {
    words.len() >= with.len() && words[words.len() - with.len()..].iter().eq(with)
}

/// The place in a list of keys and values, if the cursor is in one.
fn list(text: &str, seen: &[Token], words: &[String]) -> Option<Place> {
    let key_before_equals = || {
        let [.., key, equals] = seen else { return None };
        (equals.of(text) == "=" && key.kind == Kind::Text).then(|| key.content(text))
    };
    match words.first().map(String::as_str) {
        Some("SET") if words.len() == 1 => return Some(Place::Key(List::Settings)),
        Some("RESET") if words.len() == 1 => return Some(Place::Key(List::Settings)),
        Some("SET") => {
            return Some(key_before_equals().map_or(Place::Nothing, |key| Place::Value(List::Settings, key)));
        }
        _ => {}
    }
    let mut depth = 0;
    let open = seen.iter().rposition(|token| {
        match token.of(text) {
            ")" => depth += 1,
            "(" => depth -= 1,
            _ => {}
        }
        depth < 0
    })?;
    if !["WITH", "OPTIONS", "SET", "RESET"].contains(&words.get(open.checked_sub(1)?)?.as_str()) {
        return None;
    }
    match seen.last()?.of(text) {
        "(" | "," => Some(Place::Key(List::Options)),
        "=" => key_before_equals().map(|key| Place::Value(List::Options, key)),
        _ => Some(Place::Nothing),
    }
}

/// The place of a word that is not in quotes.
fn word_place(text: &str, seen: &[Token], words: &[String]) -> Place {
    let Some(last) = words.last() else { return Place::Start };
    let first = words[0].as_str();
    let before = seen.len().checked_sub(2).and_then(|index| seen.get(index));
    let column_of = |table: Option<&Token>| table.map_or(Place::Nothing, |table| Place::Column(table.content(text)));
    match last.as_str() {
        "." => column_of(before),
        "EXPLAIN" => Place::Start,
        "SHOW" => Place::Show,
        "TABLE" | "VIEW" if first == "CREATE" => Place::Nothing,
        "FROM" | "JOIN" | "INTO" | "TABLE" | "VIEW" | "DESCRIBE" | "DESC" | "OVERWRITE" | "LIKE" | "UPDATE" => {
            Place::Table
        }
        "TO" if first == "SUBSCRIBE" => Place::Table,
        "SET" if words.iter().any(|word| word == "UPDATE") => column_of(before),
        "," if is_in_from(words) => Place::Table,
        _ => Place::Expression,
    }
}

/// True when the last clause begun is FROM.
fn is_in_from(words: &[String]) -> bool {
    const CLAUSES: &[&str] = &["SELECT", "FROM", "WHERE", "GROUP", "HAVING", "ORDER", "ON", "SET", "VALUES", "(", ")"];
    words.iter().rev().find(|word| CLAUSES.contains(&word.as_str())).is_some_and(|word| word == "FROM")
}

/// Tables behind FROM, JOIN, INTO, UPDATE and their like, with their aliases.
fn named_tables(text: &str, statement: &[Token]) -> Vec<Named> {
    let word = |index: usize| statement.get(index).map_or(String::new(), |t| t.of(text).to_ascii_uppercase());
    let is_name = |index: usize| {
        statement.get(index).is_some_and(|t| t.kind == Kind::Name || (t.kind == Kind::Word && !is_keyword(t.of(text))))
    };
    let mut found = Vec::new();
    for index in 0..statement.len() {
        let comma = word(index) == "," && is_in_from(&(0..index).map(word).collect::<Vec<_>>());
        if !comma && !["FROM", "JOIN", "INTO", "TABLE", "DESCRIBE", "UPDATE"].contains(&word(index).as_str()) {
            continue;
        }
        let mut at = index + 1;
        while is_name(at) && word(at + 1) == "." && is_name(at + 2) {
            at += 2;
        }
        if !is_name(at) {
            continue;
        }
        let behind = if word(at + 1) == "AS" { at + 2 } else { at + 1 };
        let alias = is_name(behind).then(|| statement[behind].content(text));
        found.push(Named { name: statement[at].content(text), alias });
    }
    found
}

fn pairs(text: &str, statement: &[Token]) -> Vec<(String, String)> {
    let pair = |window: &[Token]| match window {
        [key, equals, value] if key.kind == Kind::Text && value.kind == Kind::Text && equals.of(text) == "=" => {
            Some((key.content(text), value.content(text)))
        }
        _ => None,
    };
    statement.windows(3).filter_map(pair).collect()
}

/// Names behind the first parenthesis and the commas in it, up to its end: the columns of CREATE TABLE.
fn declared(text: &str, statement: &[Token]) -> Vec<String> {
    if !statement.first().is_some_and(|first| first.of(text).eq_ignore_ascii_case("CREATE")) {
        return Vec::new();
    }
    let (mut depth, mut found) = (0, Vec::new());
    for pair in statement.windows(2) {
        match pair[0].of(text) {
            "(" | "<" => depth += 1,
            ")" if depth == 1 => return found,
            ")" | ">" => depth -= 1,
            _ => {}
        }
        let begins = depth == 1 && matches!(pair[0].of(text), "(" | ",");
        let keyword = ["WATERMARK", "PRIMARY", "CONSTRAINT"].iter().any(|w| pair[1].of(text).eq_ignore_ascii_case(w));
        if begins && !keyword && matches!(pair[1].kind, Kind::Word | Kind::Name) {
            found.push(pair[1].content(text));
        }
    }
    found
}
