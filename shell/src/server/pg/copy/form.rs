//! How the rows of a COPY are written: as text, as CSV, or in PostgreSQL's binary format.

use bytes::{Buf, Bytes, BytesMut};
use pgwire::messages::data::DataRow;

use crate::server::pg::answer::Formats;

/// Signs that mean something else behind a backslash, or are part of values, and so can part no fields of a text.
const NO_DELIMITERS: &str = "\\.abcdefghijklmnopqrstuvwxyz0123456789";

/// How rows are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    pub(super) style: Style,
    delimiter: u8,
    null: String,
    pub(super) header: bool,
    quote: u8,
}

/// The three ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Text,
    Csv,
    Binary,
}

/// The options of a COPY as they are given.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub style: Option<Style>,
    pub delimiter: Option<String>,
    pub null: Option<String>,
    pub header: Option<bool>,
    pub quote: Option<String>,
    pub encoding: Option<String>,
}

impl Form {
    /// The form that is asked for; an error says why its rows could not be read back.
    pub(super) fn of(options: Options) -> Result<Self, String> {
        let style = options.style.unwrap_or(Style::Text);
        if options.encoding.is_some_and(|name| name.to_ascii_lowercase().replace('-', "") != "utf8") {
            return Err("ENCODING of COPY must be UTF8".to_string());
        }
        let given = [
            ("DELIMITER", options.delimiter.is_some()),
            ("NULL", options.null.is_some()),
            ("HEADER", options.header == Some(true)),
        ];
        if let Some((name, _)) = given.iter().find(|(_, given)| *given && style == Style::Binary) {
            return Err(format!("{name} of COPY is for text and CSV"));
        }
        if options.quote.is_some() && style != Style::Csv {
            return Err("QUOTE of COPY is for CSV".to_string());
        }
        let (own_delimiter, own_null) = if style == Style::Csv { (b',', "") } else { (b'\t', "\\N") };
        let form = Form {
            style,
            delimiter: options.delimiter.map_or(Ok(own_delimiter), |text| character("DELIMITER", &text))?,
            null: options.null.unwrap_or_else(|| own_null.to_string()),
            header: options.header.unwrap_or(false),
            quote: options.quote.map_or(Ok(b'"'), |text| character("QUOTE", &text))?,
        };
        form.check()?;
        Ok(form)
    }

    fn check(&self) -> Result<(), String> {
        let in_null = |byte: u8| self.null.as_bytes().contains(&byte);
        let csv = self.style == Style::Csv;
        let refused = if csv && self.delimiter == self.quote {
            "DELIMITER and QUOTE of COPY must be different"
        } else if !csv && NO_DELIMITERS.as_bytes().contains(&self.delimiter) {
            "DELIMITER of COPY must be no letter, no digit, no point and no backslash"
        } else if in_null(b'\r') || in_null(b'\n') {
            "NULL of COPY must be one line"
        } else if in_null(self.delimiter) || (csv && in_null(self.quote)) {
            "NULL of COPY must contain neither DELIMITER nor QUOTE"
        } else {
            return Ok(());
        };
        Err(refused.to_string())
    }

    pub(super) fn is_binary(&self) -> bool {
        self.style == Style::Binary
    }

    /// How the fields are encoded before they are put together.
    pub(super) fn formats(&self) -> Formats {
        Formats(vec![i16::from(self.is_binary())])
    }

    /// The line of column names, if there is to be one.
    pub(super) fn head<'a>(&self, names: impl Iterator<Item = &'a str>) -> Option<Bytes> {
        let names: Vec<Option<&str>> = names.map(Some).collect();
        self.header.then(|| self.line(&names))
    }

    /// A row.
    pub(super) fn row(&self, row: DataRow) -> Bytes {
        if self.is_binary() {
            let mut data = BytesMut::with_capacity(2 + row.data.len());
            data.extend_from_slice(&row.field_count.to_be_bytes());
            data.extend_from_slice(&row.data);
            return data.freeze();
        }
        let (mut data, mut fields) = (row.data, Vec::with_capacity(row.field_count.max(0) as usize));
        while data.remaining() >= 4 {
            let length = usize::try_from(data.get_i32()).ok();
            fields.push(length.map(|length| data.split_to(length.min(data.len()))));
        }
        self.line(&fields)
    }

    fn line<T: AsRef<[u8]>>(&self, fields: &[Option<T>]) -> Bytes {
        let mut line = Vec::new();
        for (place, field) in fields.iter().enumerate() {
            if place > 0 {
                line.push(self.delimiter);
            }
            match field {
                None => line.extend_from_slice(self.null.as_bytes()),
                Some(field) if self.style == Style::Csv => self.csv(field.as_ref(), fields.len() == 1, &mut line),
                Some(field) => self.text(field.as_ref(), &mut line),
            }
        }
        line.push(b'\n');
        line.into()
    }

    fn csv(&self, field: &[u8], alone: bool, line: &mut Vec<u8>) {
        let special = |byte: &u8| [self.delimiter, self.quote, b'\n', b'\r'].contains(byte);
        let needed = field == self.null.as_bytes() || (alone && field == b"\\.") || field.iter().any(special);
        if !needed {
            return line.extend_from_slice(field);
        }
        line.push(self.quote);
        for byte in field {
            line.extend(std::iter::repeat_n(*byte, if *byte == self.quote { 2 } else { 1 }));
        }
        line.push(self.quote);
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
                other if *other == self.delimiter => *other,
                other => {
                    line.push(*other);
                    continue;
                }
            };
            line.extend_from_slice(&[b'\\', escaped]);
        }
    }
}

fn character(name: &str, text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [one] if one.is_ascii() && !b"\r\n".contains(one) => Ok(*one),
        _ => Err(format!("{name} of COPY must be a single ASCII character")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn csv() -> Options {
        Options { style: Some(Style::Csv), ..Options::default() }
    }

    #[test]
    fn fields_are_escaped_so_that_they_can_be_told_apart() {
        let fields = [Some("a\tb"), None, Some("c\\d\n"), Some("")];
        let line = |options| Form::of(options).unwrap().line(&fields);
        assert_eq!(&line(Options::default())[..], b"a\\tb\t\\N\tc\\\\d\\n\t\n");
        assert_eq!(&line(csv())[..], b"a\tb,,\"c\\d\n\",\"\"\n");
        let own = Options { null: Some("c".to_string()), delimiter: Some("\t".to_string()), ..csv() };
        assert_eq!(&line(own)[..], b"\"a\tb\"\tc\t\"c\\d\n\"\t\n");
        assert_eq!(&Form::of(csv()).unwrap().line(&[Some("say \"hi\"")])[..], b"\"say \"\"hi\"\"\"\n");
    }

    #[test]
    fn forms_that_could_not_be_read_back_are_refused() {
        let text = |text: &str| Some(text.to_string());
        let binary = || Options { style: Some(Style::Binary), ..Options::default() };
        for (options, part) in [
            (Options { delimiter: text("n"), ..Options::default() }, "no letter"),
            (Options { delimiter: text("\\"), ..Options::default() }, "no backslash"),
            (Options { delimiter: text("\n"), ..csv() }, "single ASCII"),
            (Options { delimiter: text("ab"), ..csv() }, "single ASCII"),
            (Options { delimiter: text("\""), ..csv() }, "must be different"),
            (Options { null: text("a,b"), ..csv() }, "neither DELIMITER nor QUOTE"),
            (Options { null: text("a\nb"), ..Options::default() }, "one line"),
            (Options { quote: text("'"), ..Options::default() }, "for CSV"),
            (Options { delimiter: text(","), ..binary() }, "for text and CSV"),
            (Options { header: Some(true), ..binary() }, "HEADER of COPY is for text"),
            (Options { encoding: text("latin1"), ..csv() }, "UTF8"),
        ] {
            let error = Form::of(options).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        Form::of(Options { encoding: text("UTF-8"), quote: text("'"), delimiter: text("\""), ..csv() }).unwrap();
    }
}
