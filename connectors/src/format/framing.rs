//! Where one message ends and the next begins in a file.

/// How messages follow each other in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// One message per line.
    Lines,
    /// One message per line, but line ends between quotes belong to the message (CSV).
    Quoted(Quoting),
}

/// The characters of CSV that matter for line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quoting {
    /// Between fields.
    pub delimiter: u8,
    /// Around fields; None when quotes are text.
    pub quote: Option<u8>,
    /// Takes the meaning from the next character.
    pub escape: Option<u8>,
    /// True when lines that start with `#` are comments.
    pub comments: bool,
    /// True when blanks before a quote do not count.
    pub trim: bool,
}

/// Where in a line the search for its end is.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    FieldStart,
    Plain,
    Quoted,
    /// Right behind a closing quote.
    Closed,
}

impl Framing {
    /// Length of the first message of `input` with its line end; None when `input` holds no whole message.
    pub fn first_message(&self, input: &[u8]) -> Option<usize> {
        match self {
            Framing::Lines => memchr::memchr(b'\n', input).map(|end| end + 1),
            Framing::Quoted(quoting) => quoting.first_message(input),
        }
    }
}

impl Quoting {
    fn first_message(&self, input: &[u8]) -> Option<usize> {
        let first_line = memchr::memchr(b'\n', input)?;
        let special = |byte: &u8| Some(*byte) == self.quote || Some(*byte) == self.escape;
        if self.is_comment(&input[..first_line]) || !input[..first_line].iter().any(special) {
            return Some(first_line + 1);
        }
        let (mut at, mut place) = (0, Place::FieldStart);
        while let Some(byte) = input.get(at) {
            at += 1;
            let quote = Some(*byte) == self.quote;
            place = match place {
                _ if Some(*byte) == self.escape => {
                    at += 1;
                    if place == Place::Quoted { Place::Quoted } else { Place::Plain }
                }
                Place::Quoted if quote => Place::Closed,
                // A doubled quote is text.
                Place::Quoted => Place::Quoted,
                Place::FieldStart | Place::Closed if quote => Place::Quoted,
                _ if *byte == b'\n' => return Some(at),
                _ if *byte == self.delimiter => Place::FieldStart,
                Place::FieldStart if self.trim && *byte == b' ' => Place::FieldStart,
                _ => Place::Plain,
            };
        }
        None
    }

    /// True for a line that the option `allow-comments` skips: a comment or a blank line.
    pub(super) fn is_comment(&self, line: &[u8]) -> bool {
        self.comments && matches!(line.trim_ascii_start(), [] | [b'#', ..])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const CSV: Framing =
        Framing::Quoted(Quoting { delimiter: b',', quote: Some(b'"'), escape: None, comments: true, trim: false });

    fn messages(framing: Framing, mut input: &[u8]) -> Vec<&str> {
        let mut found = Vec::new();
        while let Some(length) = framing.first_message(input) {
            found.push(std::str::from_utf8(&input[..length]).unwrap());
            input = &input[length..];
        }
        found
    }

    #[test]
    fn lines_end_at_line_feeds() {
        assert_eq!(messages(Framing::Lines, b"a\n\nb\"\nrest"), ["a\n", "\n", "b\"\n"]);
    }

    #[test]
    fn quoted_line_feeds_belong_to_the_message() {
        assert_eq!(messages(CSV, b"1,\"a\nb\",2\n3,x\n"), ["1,\"a\nb\",2\n", "3,x\n"]);
        assert_eq!(messages(CSV, b"\"say \"\"hi\"\"\n\",1\n\"\"\n"), ["\"say \"\"hi\"\"\n\",1\n", "\"\"\n"]);
        assert_eq!(messages(CSV, b"5\" disk,1\n# it's \"a\ncomment\n"), ["5\" disk,1\n", "# it's \"a\n", "comment\n"]);
        assert_eq!(messages(CSV, b"5\"\" disk\nx\n"), ["5\"\" disk\n", "x\n"]);
        assert_eq!(messages(CSV, b"1,\"open\n"), Vec::<&str>::new());
    }

    #[test]
    fn escaped_quotes_and_line_feeds_are_text() {
        let escaping = Framing::Quoted(Quoting {
            delimiter: b',',
            quote: Some(b'"'),
            escape: Some(b'\\'),
            comments: false,
            trim: false,
        });
        assert_eq!(messages(escaping, b"\"a\\\"\n\",1\n\\\"x\n"), ["\"a\\\"\n\",1\n", "\\\"x\n"]);
    }
}
