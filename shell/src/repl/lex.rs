//! Just enough of a tokenizer for text that is still being typed: it never fails, and an open quote or comment is a
//! token that knows that it is open.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// White space.
    Space,
    /// `-- …` or `/* … */`; hints (`/*+ … */`) too.
    Comment,
    /// A keyword or a name.
    Word,
    /// `` `name` `` or `"name"`.
    Name,
    /// `'text'`.
    Text,
    /// `12.5e3`.
    Number,
    /// `;`.
    Semicolon,
    /// Any other character.
    Sign,
}

/// A piece of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Its first byte.
    pub start: usize,
    /// Behind its last byte.
    pub end: usize,
    /// False for a quote or block comment that does not end.
    pub closed: bool,
}

impl Token {
    /// Its text, quotes included.
    pub fn of<'a>(&self, text: &'a str) -> &'a str {
        &text[self.start..self.end]
    }

    /// True for what the parser does not see.
    pub fn is_blank(&self) -> bool {
        matches!(self.kind, Kind::Space | Kind::Comment)
    }

    /// The content of a quoted token without its quotes, doubled quotes made single.
    pub fn content(&self, text: &str) -> String {
        let whole = self.of(text);
        let Some(quote) = whole.chars().next().filter(|_| matches!(self.kind, Kind::Text | Kind::Name)) else {
            return whole.to_string();
        };
        let inner = whole.get(1..if self.closed { whole.len() - 1 } else { whole.len() }).unwrap_or_default();
        inner.replace(&format!("{quote}{quote}"), &quote.to_string())
    }
}

/// All tokens of `text`, without gaps.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut found: Vec<Token> = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let (kind, length, closed) = next(rest, c, escapes(text, &found, at));
        found.push(Token { kind, start: at, end: at + length, closed });
        at += length;
    }
    found
}

/// True when the quote at `at` opens a string with escapes: `E'…'`.
fn escapes(text: &str, found: &[Token], at: usize) -> bool {
    found.last().is_some_and(|t| t.kind == Kind::Word && t.end == at && t.of(text).eq_ignore_ascii_case("e"))
}

/// The token that `rest` begins with: its kind, its length, whether it is closed.
fn next(rest: &str, c: char, escapes: bool) -> (Kind, usize, bool) {
    let run = |belongs: fn(char) -> bool| rest.find(|c| !belongs(c)).unwrap_or(rest.len());
    if c.is_whitespace() {
        return (Kind::Space, run(char::is_whitespace), true);
    }
    if rest.starts_with("--") {
        return (Kind::Comment, rest.find('\n').unwrap_or(rest.len()), true);
    }
    if let Some(behind) = rest.strip_prefix("/*") {
        let end = behind.find("*/");
        return (Kind::Comment, end.map_or(rest.len(), |end| end + 4), end.is_some());
    }
    match c {
        '\'' | '"' | '`' => {
            let kind = if c == '\'' { Kind::Text } else { Kind::Name };
            let (length, closed) = quoted(rest, c, escapes);
            (kind, length, closed)
        }
        ';' => (Kind::Semicolon, 1, true),
        c if c.is_ascii_digit() => (Kind::Number, run(|c| c.is_alphanumeric() || c == '.'), true),
        c if is_word(c) => (Kind::Word, run(is_word), true),
        _ => (Kind::Sign, c.len_utf8(), true),
    }
}

/// True for the characters of words.
pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// Length of the quoted piece that `rest` begins with, and whether it ends; a doubled quote is part of it.
fn quoted(rest: &str, quote: char, escapes: bool) -> (usize, bool) {
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if escapes && c == '\\' {
            chars.next();
        } else if c == quote {
            match chars.peek() {
                Some((_, next)) if *next == quote => drop(chars.next()),
                _ => return (at + 1, true),
            }
        }
    }
    (rest.len(), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(Kind, &str)> {
        tokens(text).iter().filter(|t| t.kind != Kind::Space).map(|t| (t.kind, t.of(text))).collect()
    }

    #[test]
    fn tokens_cover_the_text_without_gaps() {
        for text in ["", "SELECT 'ä' FROM `x``y` -- é\n/* open", "E'\\'' ;\n\"", "a.b=1.5e3;;'"] {
            let found = tokens(text);
            let joined: String = found.iter().map(|t| t.of(text)).collect();
            assert_eq!(joined, text);
        }
    }

    #[test]
    fn quotes_and_comments_hide_what_is_in_them() {
        use Kind::{Comment, Name, Semicolon, Text, Word};
        assert_eq!(
            kinds("a 'x;''y' `b;c` -- d;\n;"),
            [(Word, "a"), (Text, "'x;''y'"), (Name, "`b;c`"), (Comment, "-- d;"), (Semicolon, ";")]
        );
        assert_eq!(kinds("/* ; */ x"), [(Comment, "/* ; */"), (Word, "x")]);
        assert_eq!(kinds("E'a\\'b' c"), [(Word, "E"), (Text, "'a\\'b'"), (Word, "c")]);
    }

    #[test]
    fn what_is_open_is_known_to_be_open() {
        let closed = |text: &str| tokens(text).last().is_none_or(|t| t.closed);
        assert!(closed("'a'") && closed("'a'''") && closed("/* a */") && closed("-- a"));
        assert!(!closed("'a") && !closed("'a''") && !closed("/* a") && !closed("`a"));
    }

    #[test]
    fn contents_are_without_quotes() {
        let content = |text: &str| tokens(text)[0].content(text);
        assert_eq!(content("'it''s'"), "it's");
        assert_eq!(content("'open"), "open");
        assert_eq!(content("word"), "word");
    }
}
