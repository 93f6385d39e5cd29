//! `COPY … TO STDOUT` as it is written: what is copied, and the options of its form.

use eddyline_sql::{SqlError, SqlState};

use super::form::{Form, Options, Style};
use crate::server::pg::command::end_of;
use crate::server::pg::script::{Scanner, Token, quoted_length};

const SYNTAX: &str = "write COPY (query) TO STDOUT [WITH (FORMAT csv, HEADER true)]";

/// What is copied, and how its rows are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// What is copied.
    pub what: Copied,
    /// How its rows are written.
    pub form: Form,
}

/// What is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copied {
    /// The text between these two places.
    Query(usize, usize),
    /// A table whose name stands at this place.
    Table(usize, CopiedTable),
}

/// A table, or some of its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedTable {
    name: Vec<String>,
    /// None for all.
    columns: Vec<String>,
}

impl CopiedTable {
    /// The query of its rows, with names in these quotes.
    pub fn query(&self, quote: char) -> String {
        let quoted = |name: &String| format!("{quote}{}{quote}", name.replace(quote, &format!("{quote}{quote}")));
        let columns: Vec<String> = self.columns.iter().map(quoted).collect();
        let columns = if columns.is_empty() { "*".to_string() } else { columns.join(", ") };
        let name: Vec<String> = self.name.iter().map(quoted).collect();
        format!("SELECT {columns} FROM {}", name.join("."))
    }
}

/// The COPY in `text`, if it is one. `before` is what stands before it in the text that positions refer to.
pub fn parse(before: &str, text: &str) -> Result<Option<Copy>, SqlError> {
    // Most texts are none, and may be long.
    let first = Scanner::new(text).next_token();
    if !matches!(first, Some(Token::Word(start, end)) if text[start..end].eq_ignore_ascii_case("copy")) {
        return Ok(None);
    }
    let mut words = Words::of(text);
    words.next += 1;
    words.copy().map(Some).map_err(|wrong| {
        let at = words.place(words.next.saturating_sub(1));
        let at = end_of(&format!("{before}{}", &text[..at]));
        match wrong {
            Wrong::Syntax(message) => SqlError::new(SqlState::SyntaxError, message).with_hint(SYNTAX).at(at),
            Wrong::Unsupported(message, hint) => SqlError::unsupported(message).with_hint(hint).at(at),
        }
    })
}

/// Why a COPY is refused; the token before the next one is to blame.
enum Wrong {
    Syntax(String),
    Unsupported(&'static str, &'static str),
}

impl From<String> for Wrong {
    fn from(message: String) -> Self {
        Wrong::Syntax(message)
    }
}

/// The tokens of a COPY, each as it is written and where.
struct Words<'a> {
    text: &'a str,
    tokens: Vec<(usize, usize)>,
    next: usize,
}

impl<'a> Words<'a> {
    fn of(text: &'a str) -> Self {
        let mut scanner = Scanner::new(text);
        let mut tokens = Vec::new();
        while let Some(token) = scanner.next_token() {
            match token {
                Token::Word(start, end) | Token::Other(start, end) => tokens.push((start, end)),
                Token::Semicolon => {}
            }
        }
        Words { text, tokens, next: 0 }
    }

    /// Where the token at `index` begins.
    fn place(&self, index: usize) -> usize {
        self.tokens.get(index).map_or(self.text.len(), |(start, _)| *start)
    }

    fn peek(&self) -> &'a str {
        self.tokens.get(self.next).map_or("", |(start, end)| &self.text[*start..*end])
    }

    fn pop(&mut self) -> &'a str {
        let token = self.peek();
        self.next += 1;
        token
    }

    fn take(&mut self, word: &str) -> bool {
        let taken = self.peek().eq_ignore_ascii_case(word);
        self.next += usize::from(taken);
        taken
    }

    /// What stands behind COPY.
    fn copy(&mut self) -> Result<Copy, Wrong> {
        let at = self.place(self.next);
        let what = match self.peek() {
            "(" => self.query()?,
            _ => Copied::Table(at, self.table()?),
        };
        if self.take("from") {
            return Err(Wrong::Unsupported(
                "COPY … FROM is not supported",
                "INSERT INTO … VALUES takes many rows at once",
            ));
        }
        if !(self.take("to") && self.take("stdout")) {
            self.next += 1;
            return Err(Wrong::Unsupported("COPY writes to STDOUT only", SYNTAX));
        }
        self.take("with");
        let options = if self.take("(") { self.options()? } else { self.old_options()? };
        if self.next < self.tokens.len() {
            let word = self.pop();
            return Err(format!("unexpected '{word}' behind a COPY").into());
        }
        Ok(Copy { what, form: Form::of(options)? })
    }

    /// What stands between the parenthesis that is next and its partner.
    fn query(&mut self) -> Result<Copied, Wrong> {
        let mut depth = 0_usize;
        let begin = self.place(self.next) + 1;
        loop {
            let place = self.place(self.next);
            match self.pop() {
                "(" => depth += 1,
                ")" => depth -= 1,
                "" => return Err("a parenthesis is not closed".to_string().into()),
                _ => {}
            }
            if depth == 0 {
                return match self.text[begin..place].trim() {
                    "" => Err("COPY of what?".to_string().into()),
                    _ => Ok(Copied::Query(begin, place)),
                };
            }
        }
    }

    /// `[schema.]table [(columns)]`
    fn table(&mut self) -> Result<CopiedTable, Wrong> {
        let mut name = vec![self.name()?];
        while self.take(".") {
            name.push(self.name()?);
        }
        let mut columns = Vec::new();
        if self.take("(") {
            columns.push(self.name()?);
            while self.take(",") {
                columns.push(self.name()?);
            }
            self.closed()?;
        }
        Ok(CopiedTable { name, columns })
    }

    fn closed(&mut self) -> Result<(), Wrong> {
        match self.pop() {
            ")" => Ok(()),
            "" => Err("a parenthesis is not closed".to_string().into()),
            other => Err(format!("unexpected '{other}'").into()),
        }
    }

    /// A name without its quotes.
    fn name(&mut self) -> Result<String, Wrong> {
        let token = self.pop();
        match token.chars().next() {
            Some(quote @ ('"' | '`')) if quoted_length(token, quote) == token.len() && token.len() > 1 => {
                Ok(token[1..token.len() - 1].replace(&format!("{quote}{quote}"), &quote.to_string()))
            }
            Some(c) if c.is_alphabetic() || c == '_' => Ok(token.to_string()),
            Some(_) => Err(format!("'{token}' is no name").into()),
            None => Err("COPY of what?".to_string().into()),
        }
    }

    /// `FORMAT csv, HEADER true)`
    fn options(&mut self) -> Result<Options, Wrong> {
        let mut options = Options::default();
        loop {
            let key = self.pop().to_ascii_lowercase();
            match key.as_str() {
                "format" => once(&mut options.style, &key, named_style(self.pop())?)?,
                "header" => {
                    let given = self.truth()?;
                    once(&mut options.header, &key, given)?;
                }
                _ => self.text_option(&mut options, &key)?,
            }
            if !self.take(",") {
                self.closed()?;
                return Ok(options);
            }
        }
    }

    /// `CSV HEADER …`, as it was written before there were parentheses.
    fn old_options(&mut self) -> Result<Options, Wrong> {
        let mut options = Options::default();
        while self.next < self.tokens.len() {
            let key = self.pop().to_ascii_lowercase();
            match key.as_str() {
                "csv" | "binary" => once(&mut options.style, "format", named_style(&key)?)?,
                "header" => once(&mut options.header, &key, true)?,
                "delimiters" => self.text_option(&mut options, "delimiter")?,
                _ => self.text_option(&mut options, &key)?,
            }
        }
        Ok(options)
    }

    fn text_option(&mut self, options: &mut Options, key: &str) -> Result<(), Wrong> {
        let slot = match key {
            "delimiter" => &mut options.delimiter,
            "null" => &mut options.null,
            "quote" => &mut options.quote,
            "encoding" => &mut options.encoding,
            other => return Err(format!("the option {} of COPY is not supported", other.to_uppercase()).into()),
        };
        once(slot, key, self.string(key)?)
    }

    fn truth(&mut self) -> Result<bool, Wrong> {
        let value = match self.peek() {
            "," | ")" => return Ok(true),
            _ => self.pop(),
        };
        match value.trim_matches('\'').to_ascii_lowercase().as_str() {
            "true" | "on" | "1" => Ok(true),
            "false" | "off" | "0" => Ok(false),
            other => Err(format!("HEADER {other} of COPY is not supported").into()),
        }
    }

    fn string(&mut self, key: &str) -> Result<String, Wrong> {
        self.take("as");
        // E'\t' is read as two tokens.
        let escaped = self.take("e");
        let token = self.pop();
        let inner = token.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
        let inner = inner.ok_or_else(|| format!("{} of COPY needs a text in quotes", key.to_uppercase()))?;
        let plain = inner.replace("''", "'");
        Ok(if escaped { unescaped(&plain) } else { plain })
    }
}

fn once<T>(slot: &mut Option<T>, key: &str, value: T) -> Result<(), Wrong> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("{} of COPY is given twice", key.to_uppercase()).into()),
    }
}

fn named_style(name: &str) -> Result<Style, Wrong> {
    match name.trim_matches('\'').to_ascii_lowercase().as_str() {
        "text" => Ok(Style::Text),
        "csv" => Ok(Style::Csv),
        "binary" => Ok(Style::Binary),
        other => Err(format!("the format {other} of COPY is not supported").into()),
    }
}

/// What stands between the quotes of `E'…'`.
fn unescaped(text: &str) -> String {
    let (mut plain, mut signs) = (String::new(), text.chars());
    while let Some(sign) = signs.next() {
        plain.push(match sign {
            '\\' => match signs.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some(other) => other,
                None => '\\',
            },
            other => other,
        });
    }
    plain
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn form(options: Options) -> Form {
        Form::of(options).unwrap()
    }

    fn csv() -> Options {
        Options { style: Some(Style::Csv), ..Options::default() }
    }

    fn text(text: &str) -> Option<String> {
        Some(text.to_string())
    }

    fn copied(text: &str) -> (String, Form) {
        let copy = parse("", text).unwrap().unwrap();
        match copy.what {
            Copied::Query(start, end) => (text[start..end].trim().to_string(), copy.form),
            Copied::Table(_, table) => (table.query('`'), copy.form),
        }
    }

    #[test]
    fn queries_and_tables_are_found() {
        assert_eq!(copied("COPY (SUBSCRIBE TO v) TO STDOUT").0, "SUBSCRIBE TO v");
        assert_eq!(copied("copy (SELECT ')' , (1) FROM t -- )\n) to stdout").0, "SELECT ')' , (1) FROM t -- )");
        assert_eq!(copied("COPY public.\"My T\" (a, \"b, c\") TO STDOUT").0, "SELECT `a`, `b, c` FROM `public`.`My T`");
        assert_eq!(parse("", "SELECT 1").unwrap(), None);
        assert_eq!(parse("", "").unwrap(), None);
    }

    #[test]
    fn options_are_read_in_both_forms() {
        let check = |options: &str, wanted: Options| {
            assert_eq!(copied(&format!("COPY t TO STDOUT {options}")).1, form(wanted), "{options}");
        };
        check("", Options::default());
        let all = || Options { null: text("x"), delimiter: text(";"), quote: text("'"), header: Some(true), ..csv() };
        check("WITH (FORMAT csv, HEADER, NULL 'x', DELIMITER ';', QUOTE '''', ENCODING 'utf8')", all());
        check("CSV HEADER NULL AS 'x' DELIMITER ';' QUOTE ''''", all());
        check("(FORMAT binary)", Options { style: Some(Style::Binary), ..Options::default() });
        check("(HEADER false, FORMAT 'csv')", csv());
        check("CSV DELIMITERS E'\\t'", Options { delimiter: text("\t"), ..csv() });
        check("(NULL E'\\\\t')", Options { null: text("\\t"), ..Options::default() });
    }

    #[test]
    fn what_is_not_understood_is_refused_where_it_stands() {
        for (wrong, part, column) in [
            ("COPY t FROM STDIN", "FROM is not supported", 8),
            ("COPY t TO 'file'", "STDOUT only", 11),
            ("COPY t TO STDOUT (FORMAT json)", "format json", 26),
            ("COPY t TO STDOUT (OIDS)", "option OIDS", 19),
            ("COPY t TO STDOUT (FORMAT csv", "not closed", 29),
            ("COPY t TO STDOUT (FORMAT csv) WHERE a", "unexpected 'WHERE'", 31),
            ("COPY t TO STDOUT (NULL 'a', NULL 'b')", "NULL of COPY is given twice", 34),
            ("COPY t (a b) TO STDOUT", "unexpected 'b'", 11),
            ("COPY (SELECT 1 TO STDOUT", "not closed", 25),
            ("COPY () TO STDOUT", "COPY of what?", 7),
            ("COPY", "COPY of what?", 5),
            ("COPY t TO STDOUT (DELIMITER 5)", "text in quotes", 29),
        ] {
            let error = parse("", wrong).unwrap_err();
            let at = error.position.unwrap();
            assert!(error.message.contains(part), "{wrong}: {error}");
            assert_eq!((at.line, at.column), (1, column), "{wrong}: {error}");
        }
    }
}
