//! Reads the tokens of one JSON message, without building anything.
//!
//! Follows RFC 8259 as Jackson does in Flink: control characters inside strings are allowed, NaN and comments are not.
//! Nesting is limited to [`MAX_DEPTH`]. UTF-8 is checked where text is kept, not in what is skipped.

use crate::format::fault::{Fault, Parsed};

/// Deepest nesting of arrays and objects, as in Jackson.
pub(super) const MAX_DEPTH: usize = 1000;

/// A position in a message.
pub(super) struct Cursor<'a> {
    input: &'a [u8],
    pub(super) position: usize,
}

/// A string as written, without its quotes.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) raw: &'a [u8],
    /// True when it holds escapes.
    pub(super) escaped: bool,
    /// True when all its bytes are ASCII.
    pub(super) ascii: bool,
}

/// A number as written, taken apart.
#[derive(Clone, Copy)]
pub(super) struct Number<'a> {
    pub(super) text: &'a [u8],
    pub(super) negative: bool,
    /// All digits as one whole number; wrong when `digits` is over 19.
    pub(super) mantissa: u64,
    pub(super) digits: usize,
    /// Digits behind the point.
    pub(super) fraction: usize,
    /// Power of ten written behind `e`, saturated.
    pub(super) exponent: i32,
    /// True when written with a point or an exponent.
    pub(super) float: bool,
}

impl<'a> Cursor<'a> {
    /// At the start of `input`.
    pub(super) fn new(input: &'a [u8]) -> Self {
        Cursor { input, position: 0 }
    }

    /// The byte here; 0, which no token starts with, at the end.
    #[inline]
    pub(super) fn byte(&self) -> u8 {
        self.input.get(self.position).copied().unwrap_or(0)
    }

    /// What is left.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.input[self.position..]
    }

    /// The bytes from `start` to here.
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        &self.input[start..self.position]
    }

    /// True behind the last byte.
    pub(super) fn at_end(&self) -> bool {
        self.position >= self.input.len()
    }

    /// Passes blanks.
    #[inline]
    pub(super) fn skip_space(&mut self) {
        while matches!(self.byte(), b' ' | b'\t' | b'\n' | b'\r') {
            self.position += 1;
        }
    }

    /// Passes `byte`, if it is here.
    #[inline]
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let found = self.byte() == byte;
        self.position += usize::from(found);
        found
    }

    /// Passes blanks, `byte` and blanks, or complains that `what` is missing.
    #[inline]
    pub(super) fn expect(&mut self, byte: u8, what: &'static str) -> Parsed {
        self.skip_space();
        if !self.take(byte) {
            return Err(self.unexpected(what));
        }
        self.skip_space();
        Ok(())
    }

    /// The fault that something else than `expected` is here.
    #[cold]
    pub(super) fn unexpected(&self, expected: &'static str) -> Box<Fault> {
        let found = match self.rest() {
            [] => "the end of the message".to_string(),
            rest => {
                let bytes = &rest[..rest.len().min(4)];
                let first = String::from_utf8_lossy(bytes).chars().next().unwrap_or('\u{fffd}');
                format!("'{}'", first.escape_debug())
            }
        };
        Fault::syntax(self.position, format!("expected {expected}, found {found}"))
    }

    /// Passes `word` (`true`, `false`, `null`).
    #[inline]
    pub(super) fn literal(&mut self, word: &'static str) -> Parsed {
        let end = self.position + word.len();
        let follows = self.input.get(end).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
        if !self.rest().starts_with(word.as_bytes()) || follows {
            return Err(self.unexpected("a JSON value"));
        }
        self.position = end;
        Ok(())
    }

    /// Passes a string; its opening quote is here.
    #[inline]
    pub(super) fn string(&mut self) -> Parsed<Text<'a>> {
        let opening = self.position;
        let start = opening + 1;
        let (mut at, mut escaped, mut high) = (start, false, 0u64);
        loop {
            while let Some(word) = word(self.input, at) {
                let hit = has_byte(word, b'"') | has_byte(word, b'\\');
                if hit != 0 {
                    // Only the bytes before the first hit count as text seen so far.
                    let before = (hit.trailing_zeros() / 8) as usize;
                    high |= word & HIGH_BITS & !(u64::MAX << (before * 8));
                    at += before;
                    break;
                }
                high |= word & HIGH_BITS;
                at += 8;
            }
            match self.input.get(at) {
                None => return Err(Fault::syntax(opening, "the string that starts here has no end,")),
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    at += 2;
                }
                Some(byte) => {
                    high |= u64::from(*byte) & 0x80;
                    at += 1;
                }
            }
        }
        // An escape at the very end can carry `at` past the message.
        let Some(raw) = self.input.get(start..at) else {
            return Err(Fault::syntax(opening, "the string that starts here has no end,"));
        };
        self.position = at + 1;
        Ok(Text { raw, escaped, ascii: high == 0 && (!escaped || raw.is_ascii()) })
    }

    /// Passes a number; its first byte is here.
    #[inline]
    pub(super) fn number(&mut self) -> Parsed<Number<'a>> {
        let start = self.position;
        let negative = self.take(b'-');
        let mut number = Number { text: &[], negative, mantissa: 0, digits: 0, fraction: 0, exponent: 0, float: false };
        let leading_zero = self.byte() == b'0';
        self.digits(&mut number);
        if number.digits == 0 || (leading_zero && number.digits > 1) {
            self.position = start;
            return Err(self.unexpected("a JSON value"));
        }
        if self.take(b'.') {
            number.float = true;
            let before = number.digits;
            self.digits(&mut number);
            number.fraction = number.digits - before;
            if number.fraction == 0 {
                return Err(self.unexpected("a digit"));
            }
        }
        if matches!(self.byte(), b'e' | b'E') {
            number.float = true;
            number.exponent = self.exponent()?;
        }
        number.text = self.since(start);
        Ok(number)
    }

    #[inline]
    fn digits(&mut self, number: &mut Number<'a>) {
        loop {
            let digit = self.byte().wrapping_sub(b'0');
            if digit > 9 {
                return;
            }
            number.mantissa = number.mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
            number.digits += 1;
            self.position += 1;
        }
    }

    fn exponent(&mut self) -> Parsed<i32> {
        self.position += 1;
        let negative = self.byte() == b'-';
        self.position += usize::from(matches!(self.byte(), b'-' | b'+'));
        if !self.byte().is_ascii_digit() {
            return Err(self.unexpected("a digit"));
        }
        let mut exponent = 0i32;
        while self.byte().is_ascii_digit() {
            exponent = exponent.saturating_mul(10).saturating_add(i32::from(self.byte() - b'0')).min(1_000_000_000);
            self.position += 1;
        }
        Ok(if negative { -exponent } else { exponent })
    }

    /// Passes any value, checking its form; `depth` arrays and objects are around it.
    pub(super) fn skip_value(&mut self, depth: usize) -> Parsed {
        match self.byte() {
            b'"' => self.skip_text(),
            b'{' | b'[' => self.skip_nested(depth),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => self.number().map(drop),
        }
    }

    fn skip_text(&mut self) -> Parsed {
        let position = self.position;
        let text = self.string()?;
        // Escapes are checked in what is skipped too; they are rare there.
        if text.escaped { text.append_to(position, &mut Vec::new()) } else { Ok(()) }
    }

    fn skip_nested(&mut self, depth: usize) -> Parsed {
        let object = self.byte() == b'{';
        let close = if object { b'}' } else { b']' };
        let depth = self.deeper(depth)?;
        self.position += 1;
        self.skip_space();
        if self.take(close) {
            return Ok(());
        }
        loop {
            if object {
                self.key()?;
            }
            self.skip_value(depth)?;
            if self.end_of_item(close)? {
                return Ok(());
            }
        }
    }

    /// Counts one more level of nesting.
    #[inline]
    pub(super) fn deeper(&self, depth: usize) -> Parsed<usize> {
        if depth >= MAX_DEPTH {
            return Err(Fault::syntax(self.position, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(depth + 1)
    }

    /// Passes a key, the colon and the blanks around.
    pub(super) fn key(&mut self) -> Parsed<Text<'a>> {
        if self.byte() != b'"' {
            return Err(self.unexpected("a field name in double quotes"));
        }
        let key = self.string()?;
        self.expect(b':', "a colon behind the field name")?;
        Ok(key)
    }

    /// Behind an element: passes a comma (false: another element follows) or `close` (true).
    #[inline]
    pub(super) fn end_of_item(&mut self, close: u8) -> Parsed<bool> {
        self.skip_space();
        if self.take(b',') {
            self.skip_space();
            return Ok(false);
        }
        if self.take(close) {
            return Ok(true);
        }
        Err(self.unexpected(if close == b'}' { "',' or '}'" } else { "',' or ']'" }))
    }
}

const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// Eight bytes from `at` on, the first one lowest; None near the end.
#[inline]
fn word(input: &[u8], at: usize) -> Option<u64> {
    let bytes = input.get(at..at + 8)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// The high bit of each byte of `word` that equals `byte` (exact up to and including the first one).
#[inline]
fn has_byte(word: u64, byte: u8) -> u64 {
    let difference = word ^ (LOW_BITS * u64::from(byte));
    difference.wrapping_sub(LOW_BITS) & !difference & HIGH_BITS
}

impl Text<'_> {
    /// Appends the text with its escapes resolved to `out`, and checks that it is UTF-8. `position` is that of the
    /// string, for the fault. A lone surrogate becomes `?`, as in Flink.
    pub(super) fn append_to(&self, position: usize, out: &mut Vec<u8>) -> Parsed {
        if !self.ascii && std::str::from_utf8(self.raw).is_err() {
            return Err(Fault::syntax(position, "invalid UTF-8 in the text"));
        }
        if !self.escaped {
            out.extend_from_slice(self.raw);
            return Ok(());
        }
        let mut rest = self.raw;
        while let Some(slash) = memchr::memchr(b'\\', rest) {
            out.extend_from_slice(&rest[..slash]);
            let used = escape(&rest[slash..], out).ok_or_else(|| {
                let offset = self.raw.len() - rest.len() + slash;
                Fault::syntax(position + 1 + offset, "unknown escape sequence in the text")
            })?;
            rest = &rest[slash + used..];
        }
        out.extend_from_slice(rest);
        Ok(())
    }
}

/// Appends what the escape sequence at the start of `input` stands for; returns its length.
fn escape(input: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let byte = match input.get(1)? {
        b'"' => b'"',
        b'\\' => b'\\',
        b'/' => b'/',
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'u' => return unicode_escape(input, out),
        _ => return None,
    };
    out.push(byte);
    Some(2)
}

fn unicode_escape(input: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let unit = hex(input)?;
    let low = match unit {
        0xD800..=0xDBFF => hex(&input[6..]).filter(|low| (0xDC00..=0xDFFF).contains(low)),
        _ => None,
    };
    let (code, used) = match low {
        Some(low) => (0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00), 12),
        None => (unit, 6),
    };
    let character = char::from_u32(code).unwrap_or('?');
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Some(used)
}

/// The four hexadecimal digits of `\uXXXX`.
fn hex(input: &[u8]) -> Option<u32> {
    let digits = input.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)?))
}
