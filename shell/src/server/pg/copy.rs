//! `COPY (query) TO STDOUT`: the rows of a query as text, CSV or PostgreSQL's binary format, as they come.

use bytes::{Buf, Bytes, BytesMut};
use eddyline_sql::error::Location;
use eddyline_sql::{SqlError, SqlState};
use futures::SinkExt;
use pgwire::messages::PgWireBackendMessage as Back;
use pgwire::messages::copy::{CopyData, CopyDone, CopyOutResponse};
use pgwire::messages::data::DataRow;

use super::answer::{Formats, Rows};
use super::connection::{Cancel, Connection};
use super::failure::{Failure, cancelled};
use super::script::{Scanner, Token, quoted_length};

/// Rows that are turned into messages at a time.
const ROWS: usize = 1024;
/// The head of the binary format: its mark, no flags, no extension.
const BINARY_HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// The end of the binary format: -1 in place of a number of fields.
const BINARY_END: &[u8] = &[0xff, 0xff];

/// How rows are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    style: Style,
    delimiter: char,
    null: String,
    header: bool,
    quote: char,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Text,
    Csv,
    Binary,
}

/// The query of a COPY, as its place in the text, or a table's name; and how its rows are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// Where the query begins and ends in the text; for a table, a query made of its name.
    pub query: Copied,
    /// How rows are written.
    pub form: Form,
}

/// What is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copied {
    /// The text between these two places.
    Query(usize, usize),
    /// `SELECT … FROM table`.
    Table(String),
}

/// The COPY in `text`, if it is one. `before` is what stands before it in the text that positions refer to.
pub fn parse(before: &str, text: &str) -> Result<Option<Copy>, SqlError> {
    let mut words = Words::of(text);
    if !words.take("copy") {
        return Ok(None);
    }
    let refuse = |message: &str, hint: &str| {
        let line = before.matches('\n').count() as u64 + 1;
        let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) as u64 + 1;
        SqlError::unsupported(message).with_hint(hint).at(Location { line, column })
    };
    const FORM: &str = "write COPY (query) TO STDOUT [WITH (FORMAT csv, HEADER true)]";
    let query = match words.parenthesized() {
        Some((start, end)) => Copied::Query(start, end),
        None => Copied::Table(words.table().ok_or_else(|| refuse("COPY of what?", FORM))?),
    };
    if words.take("from") {
        return Err(refuse("COPY … FROM is not supported", "INSERT INTO … VALUES takes many rows at once"));
    }
    if !(words.take("to") && words.take("stdout")) {
        return Err(refuse("COPY writes to STDOUT only", FORM));
    }
    let form = words.form().map_err(|what| refuse(&what, FORM))?;
    Ok(Some(Copy { query, form }))
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

    /// What stands between the parenthesis that is next and its partner.
    fn parenthesized(&mut self) -> Option<(usize, usize)> {
        if self.peek() != "(" {
            return None;
        }
        let (open, mut depth) = (self.next, 0);
        for place in open..self.tokens.len() {
            let (start, end) = self.tokens[place];
            match &self.text[start..end] {
                "(" => depth += 1,
                ")" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                self.next = place + 1;
                return Some((self.tokens[open].1, start));
            }
        }
        None
    }

    /// `[schema.]table [(columns)]` as a query.
    fn table(&mut self) -> Option<String> {
        let mut name = identifier(self.pop())?;
        while self.take(".") {
            name = format!("{name}.{}", identifier(self.pop())?);
        }
        let columns = match self.peek() {
            "(" => {
                let (start, end) = self.parenthesized()?;
                self.text[start..end]
                    .split(',')
                    .map(|column| identifier(column.trim()))
                    .collect::<Option<Vec<_>>>()?
                    .join(", ")
            }
            _ => "*".to_string(),
        };
        Some(format!("SELECT {columns} FROM {name}"))
    }

    /// `[WITH] (FORMAT csv, …)` or the older `[WITH] CSV HEADER …`; an error says what is not known.
    fn form(&mut self) -> Result<Form, String> {
        self.take("with");
        let listed = self.take("(");
        let (mut style, mut delimiter, mut null, mut header, mut quote) = (Style::Text, None, None, false, '"');
        while !self.peek().is_empty() && !self.take(")") {
            let key = self.pop().to_ascii_lowercase();
            match key.as_str() {
                "," => {}
                "format" => style = named_style(self.pop())?,
                "csv" | "binary" => style = named_style(&key)?,
                "header" => header = !listed || self.truth()?,
                "delimiter" | "delimiters" => delimiter = Some(self.character(&key)?),
                "quote" => quote = self.character(&key)?,
                "null" => null = Some(self.string(&key)?),
                "encoding" if self.string(&key)?.to_ascii_lowercase().replace('-', "") == "utf8" => {}
                other => return Err(format!("the option {} of COPY is not supported", other.to_uppercase())),
            }
        }
        let (own_delimiter, own_null) = if style == Style::Csv { (',', "") } else { ('\t', "\\N") };
        let (delimiter, null) = (delimiter.unwrap_or(own_delimiter), null.unwrap_or_else(|| own_null.to_string()));
        Ok(Form { style, delimiter, null, header, quote })
    }

    fn truth(&mut self) -> Result<bool, String> {
        match self.peek().trim_matches('\'').to_ascii_lowercase().as_str() {
            "," | ")" => return Ok(true),
            "true" | "on" | "1" => {}
            "false" | "off" | "0" => {
                self.next += 1;
                return Ok(false);
            }
            other => return Err(format!("HEADER {other} of COPY is not supported")),
        }
        self.next += 1;
        Ok(true)
    }

    fn string(&mut self, key: &str) -> Result<String, String> {
        self.take("as");
        // E'\t' is read as two tokens.
        let escaped = self.take("e");
        let token = self.pop();
        let inner = token.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
        let inner = inner.ok_or_else(|| format!("{} of COPY needs a text in quotes", key.to_uppercase()))?;
        let plain = inner.replace("''", "'");
        Ok(if escaped { plain.replace("\\t", "\t").replace("\\\\", "\\") } else { plain })
    }

    fn character(&mut self, key: &str) -> Result<char, String> {
        let text = self.string(key)?;
        let mut characters = text.chars();
        match (characters.next(), characters.next()) {
            (Some(one), None) if one.is_ascii() && !"\r\n".contains(one) => Ok(one),
            _ => Err(format!("{} of COPY must be a single character", key.to_uppercase())),
        }
    }
}

fn named_style(name: &str) -> Result<Style, String> {
    match name.trim_matches('\'').to_ascii_lowercase().as_str() {
        "text" => Ok(Style::Text),
        "csv" => Ok(Style::Csv),
        "binary" => Ok(Style::Binary),
        other => Err(format!("the format {other} of COPY is not supported")),
    }
}

/// A name as we quote it.
fn identifier(token: &str) -> Option<String> {
    let name = match token.chars().next()? {
        quote @ ('"' | '`') if quoted_length(token, quote) == token.len() && token.len() > 1 => {
            let inner = &token[1..token.len() - 1];
            inner.replace(&format!("{quote}{quote}"), &quote.to_string())
        }
        c if c.is_alphabetic() || c == '_' => token.to_string(),
        _ => return None,
    };
    Some(format!("`{}`", name.replace('`', "``")))
}

impl Form {
    fn is_binary(&self) -> bool {
        self.style == Style::Binary
    }

    /// How the fields are encoded before they are put together.
    pub fn formats(&self) -> Formats {
        Formats(vec![i16::from(self.is_binary())])
    }

    /// The line of column names, if there is to be one.
    fn head(&self, names: impl Iterator<Item = String>) -> Option<Bytes> {
        let names: Vec<Option<Vec<u8>>> = names.map(|name| Some(name.into_bytes())).collect();
        (self.header && !self.is_binary()).then(|| self.line(&names))
    }

    /// A row.
    fn row(&self, row: DataRow) -> Bytes {
        if self.is_binary() {
            let mut data = BytesMut::with_capacity(2 + row.data.len());
            data.extend_from_slice(&row.field_count.to_be_bytes());
            data.extend_from_slice(&row.data);
            return data.freeze();
        }
        let (mut data, mut fields) = (row.data, Vec::with_capacity(row.field_count.max(0) as usize));
        while data.remaining() >= 4 {
            let length = usize::try_from(data.get_i32()).ok();
            fields.push(length.map(|length| data.split_to(length.min(data.len())).to_vec()));
        }
        self.line(&fields)
    }

    fn line(&self, fields: &[Option<Vec<u8>>]) -> Bytes {
        let mut line = Vec::new();
        for (place, field) in fields.iter().enumerate() {
            if place > 0 {
                line.push(self.delimiter as u8);
            }
            match field {
                None => line.extend_from_slice(self.null.as_bytes()),
                Some(field) if self.style == Style::Csv => self.csv(field, fields.len() == 1, &mut line),
                Some(field) => self.text(field, &mut line),
            }
        }
        line.push(b'\n');
        line.into()
    }

    fn csv(&self, field: &[u8], alone: bool, line: &mut Vec<u8>) {
        let (delimiter, quote) = (self.delimiter as u8, self.quote as u8);
        let special = |byte: &u8| [delimiter, quote, b'\n', b'\r'].contains(byte);
        let needed = field == self.null.as_bytes() || (alone && field == b"\\.") || field.iter().any(special);
        if !needed {
            return line.extend_from_slice(field);
        }
        line.push(quote);
        for byte in field {
            line.extend(std::iter::repeat_n(*byte, if *byte == quote { 2 } else { 1 }));
        }
        line.push(quote);
    }

    fn text(&self, field: &[u8], line: &mut Vec<u8>) {
        for byte in field {
            let escaped = match byte {
                b'\\' => b'\\',
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                0x08 => b'b',
                0x0b => b'v',
                0x0c => b'f',
                other if *other == self.delimiter as u8 => *other,
                other => {
                    line.push(*other);
                    continue;
                }
            };
            line.extend_from_slice(&[b'\\', escaped]);
        }
    }
}

impl Connection {
    /// Sends the rows of a COPY as they come, and the tag behind them.
    pub(super) async fn copy_out(&mut self, mut rows: Rows, form: Form, cancel: &mut Cancel) -> Result<(), Failure> {
        let columns = rows.header.columns.len();
        let count = i16::try_from(columns)
            .map_err(|_| SqlError::new(SqlState::LimitExceeded, "a result has too many columns for the protocol"))?;
        let format = i8::from(form.is_binary());
        let response = CopyOutResponse::new(format, count, vec![i16::from(format); columns]);
        self.stream().feed(Back::CopyOutResponse(response)).await?;
        let names = rows.header.columns.iter().map(|column| column.name.clone());
        if let Some(head) = form.head(names) {
            self.stream().feed(Back::CopyData(CopyData::new(head))).await?;
        }
        let formats = form.formats();
        // As PostgreSQL has it, this is no message of its own.
        let mut mark = if form.is_binary() { BINARY_HEAD } else { &[] };
        while let Some(batch) = self.next_rows(&mut rows, ROWS, &formats, cancel).await? {
            for row in batch {
                let data = with_mark(&mut mark, form.row(row));
                self.stream().feed(Back::CopyData(CopyData::new(data))).await?;
            }
            if !rows.has_more_now() {
                tokio::select! {
                    flushed = self.stream().flush() => flushed?,
                    _ = &mut *cancel => return Err(cancelled().into()),
                }
            }
        }
        if form.is_binary() {
            let data = with_mark(&mut mark, Bytes::from_static(BINARY_END));
            self.stream().feed(Back::CopyData(CopyData::new(data))).await?;
        }
        self.stream().feed(Back::CopyDone(CopyDone::new())).await?;
        self.complete(format!("COPY {}", rows.sent())).await?;
        Ok(())
    }
}

/// `data` behind `mark`, when it was not sent yet.
fn with_mark(mark: &mut &'static [u8], data: Bytes) -> Bytes {
    match std::mem::take(mark) {
        [] => data,
        mark => [mark, &data].concat().into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn copied(text: &str) -> (String, Form) {
        let copy = parse("", text).unwrap().unwrap();
        match copy.query {
            Copied::Query(start, end) => (text[start..end].trim().to_string(), copy.form),
            Copied::Table(query) => (query, copy.form),
        }
    }

    #[test]
    fn queries_and_tables_are_found_with_their_options() {
        let (query, form) = copied("COPY (SUBSCRIBE TO v) TO STDOUT");
        assert_eq!(
            (query.as_str(), form.style, form.delimiter, form.null.as_str()),
            ("SUBSCRIBE TO v", Style::Text, '\t', "\\N")
        );
        let (query, form) = copied(
            "copy (SELECT ')' , (1) FROM t -- )\n) to stdout with (FORMAT csv, HEADER, NULL 'x', DELIMITER ';')",
        );
        assert!(query.starts_with("SELECT ')' , (1) FROM t"), "{query}");
        assert_eq!((form.style, form.header, form.delimiter, form.null.as_str()), (Style::Csv, true, ';', "x"));
        let (query, form) = copied("COPY public.\"My T\" (a, \"b c\") TO STDOUT CSV HEADER");
        assert_eq!((query.as_str(), form.header), ("SELECT `a`, `b c` FROM `public`.`My T`", true));
        assert_eq!(copied("COPY t TO STDOUT (FORMAT binary)").1.style, Style::Binary);
        assert!(!copied("COPY t TO STDOUT (FORMAT csv, HEADER false)").1.header);
        assert_eq!(parse("", "SELECT 1").unwrap(), None);
        for wrong in
            ["COPY t FROM STDIN", "COPY t TO 'file'", "COPY t TO STDOUT (FORMAT json)", "COPY t TO STDOUT (OIDS)"]
        {
            assert!(parse("", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn fields_are_escaped_so_that_they_can_be_told_apart() {
        let field = |text: &str| Some(text.as_bytes().to_vec());
        let fields = [field("a\tb"), None, field("c\\d\n"), field("")];
        let line = |options: &str| copied(&format!("COPY t TO STDOUT {options}")).1.line(&fields);
        assert_eq!(&line("")[..], b"a\\tb\t\\N\tc\\\\d\\n\t\n");
        assert_eq!(&line("CSV")[..], b"a\tb,,\"c\\d\n\",\"\"\n");
        assert_eq!(&line("CSV NULL 'c' DELIMITER E'\\t'")[..], b"\"a\tb\"\tc\t\"c\\d\n\"\t\n");
        let quoted = copied("COPY t TO STDOUT CSV").1.line(&[field("say \"hi\"")]);
        assert_eq!(&quoted[..], b"\"say \"\"hi\"\"\"\n");
    }
}
