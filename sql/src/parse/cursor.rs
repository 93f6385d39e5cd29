//! A parser that stands in one statement: sqlparser's parser plus what our own grammar needs.

use std::collections::BTreeMap;

use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan};

use super::dialect::FlinkDialect;
use super::hints::TableHints;
use super::source::Source;
use crate::statement::TableName;

/// Result of a grammar rule.
pub(super) type Parsed<T> = Result<T, ParserError>;

/// Parses one statement. Words are matched without regard to letter case, quoted names never match.
pub(super) struct Cursor<'a> {
    /// sqlparser's parser, for queries and expressions.
    pub parser: Parser<'a>,
    /// The script.
    pub source: &'a Source<'a>,
    /// Hints behind tables that no table has taken yet.
    pub hints: TableHints,
    /// Where the last name was: hints are filed under it.
    pub last_name: Location,
    words: Vec<(Location, String)>,
    spans: Vec<Span>,
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of `tokens`, which belong to `source`.
    pub fn new(source: &'a Source<'a>, tokens: Vec<TokenWithSpan>) -> Self {
        let words = tokens.iter().filter_map(|t| match &t.token {
            Token::Word(w) if w.quote_style.is_none() => Some((t.span.start, w.value.clone())),
            _ => None,
        });
        let words = words.collect();
        let significant = tokens.iter().filter(|t| !matches!(t.token, Token::Whitespace(_)));
        let spans = significant.map(|t| t.span).collect();
        let parser = Parser::new(&FlinkDialect).with_tokens_with_locations(tokens);
        Cursor { parser, source, hints: TableHints::default(), last_name: Location::empty(), words, spans }
    }

    /// Where the next token is.
    pub fn position(&self) -> Location {
        self.parser.peek_token().span.start
    }

    /// The text from `start` to the end of the last token before this place; a comment behind it is left out.
    pub fn text_from(&self, start: Location) -> String {
        let here = self.position();
        let end = self.spans.iter().rev().find(|span| span.start < here).map_or(start, |span| span.end);
        self.source.text(start, end).to_string()
    }

    /// The last unquoted word before `place`.
    pub fn word_before(&self, place: Location) -> Option<String> {
        self.words.iter().rev().find(|(at, _)| *at < place).map(|(_, word)| word.clone())
    }

    /// True when the next tokens are these words.
    pub fn sees(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(i, word)| is_word(&self.parser.peek_nth_token(i).token, word))
    }

    /// Takes these words if all of them are next.
    pub fn take(&mut self, words: &[&str]) -> bool {
        let found = self.sees(words);
        if found {
            words.iter().for_each(|_| drop(self.parser.next_token()));
        }
        found
    }

    /// Takes these words or fails.
    pub fn expect(&mut self, words: &[&str]) -> Parsed<()> {
        for word in words {
            if !self.take(&[word]) {
                return self.parser.expected(word, self.parser.peek_token());
            }
        }
        Ok(())
    }

    /// Takes the first of `words` that is next.
    pub fn take_one<'w>(&mut self, words: &[&'w str]) -> Option<&'w str> {
        words.iter().copied().find(|word| self.take(&[word]))
    }

    /// Takes one of `words` or fails.
    pub fn expect_one<'w>(&mut self, words: &[&'w str]) -> Parsed<&'w str> {
        match self.take_one(words) {
            Some(word) => Ok(word),
            None => self.parser.expected(&words.join(" or "), self.parser.peek_token()),
        }
    }

    /// Takes this sign if it is next.
    pub fn sign(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }

    /// Takes this sign or fails.
    pub fn expect_sign(&mut self, token: &Token) -> Parsed<()> {
        self.parser.expect_token(token).map(drop)
    }

    /// A name.
    pub fn name(&mut self) -> Parsed<String> {
        let next = self.parser.peek_token();
        match next.token {
            Token::Word(word) => {
                self.parser.next_token();
                self.last_name = next.span.start;
                Ok(word.value)
            }
            _ => self.parser.expected("a name", next),
        }
    }

    /// `[catalog.][database.]table`.
    pub fn table_name(&mut self) -> Parsed<TableName> {
        let position = self.position();
        let mut parts = vec![self.name()?];
        while parts.len() < 3 && self.sign(&Token::Period) {
            parts.push(self.name()?);
        }
        Ok(TableName { parts, position })
    }

    /// `(a, b, c)`.
    pub fn names_in_parens(&mut self) -> Parsed<Vec<String>> {
        self.in_parens(Self::name)
    }

    /// `(item, item, …)`.
    pub fn in_parens<T>(&mut self, mut item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        self.expect_sign(&Token::LParen)?;
        let mut items = vec![item(self)?];
        while self.sign(&Token::Comma) {
            items.push(item(self)?);
        }
        self.expect_sign(&Token::RParen)?;
        Ok(items)
    }

    /// A string literal.
    pub fn string(&mut self) -> Parsed<String> {
        match self.parser.peek_token().token {
            Token::SingleQuotedString(text) => {
                self.parser.next_token();
                Ok(text)
            }
            _ => self.parser.expected("a text in single quotes", self.parser.peek_token()),
        }
    }

    /// `COMMENT 'text'`, if it is there.
    pub fn comment(&mut self) -> Parsed<Option<String>> {
        if matches!(self.parser.peek_nth_token(1).token, Token::SingleQuotedString(_)) && self.take(&["COMMENT"]) {
            return self.string().map(Some);
        }
        Ok(None)
    }

    /// `('key' = 'value', …)`; a key given twice is an error.
    pub fn options(&mut self) -> Parsed<BTreeMap<String, String>> {
        let mut options = BTreeMap::new();
        if self.parser.peek_nth_token(1).token == Token::RParen {
            self.expect_sign(&Token::LParen)?;
            self.expect_sign(&Token::RParen)?;
            return Ok(options);
        }
        let entries = self.in_parens(|c| {
            let at = c.position();
            let key = c.string()?;
            c.expect_sign(&Token::Eq)?;
            Ok((at, key, c.string()?))
        })?;
        for (at, key, value) in entries {
            if options.contains_key(&key) {
                let message = format!("Option '{key}' is given twice.");
                return Err(super::failure::refuse(&message, "leave one of them out", at));
            }
            options.insert(key, value);
        }
        Ok(options)
    }

    /// `IF EXISTS`, if it is there.
    pub fn if_exists(&mut self) -> bool {
        self.take(&["IF", "EXISTS"])
    }

    /// `IF NOT EXISTS`, if it is there.
    pub fn if_not_exists(&mut self) -> bool {
        self.take(&["IF", "NOT", "EXISTS"])
    }

    /// Fails unless the statement ends here.
    pub fn end(&mut self) -> Parsed<()> {
        let next = self.parser.peek_token();
        if next.token == Token::EOF { Ok(()) } else { self.parser.expected("end of statement", next) }
    }
}

/// True when `token` is the unquoted word `word`.
pub(super) fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
}

/// True when `token` is this keyword, unquoted.
pub(super) fn is_keyword(token: &Token, keyword: Keyword) -> bool {
    matches!(token, Token::Word(w) if w.quote_style.is_none() && w.keyword == keyword)
}
