//! Splits one CSV line into its fields, with Jackson's rules.

use super::super::fault::{Fault, Parsed};
use super::super::framing::Quoting;

/// The fields of a line, quotes and escapes resolved.
#[derive(Default)]
pub(super) struct Fields {
    data: Vec<u8>,
    ends: Vec<usize>,
}

impl Fields {
    /// Number of fields.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Field `index`.
    pub(super) fn get(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        Some(&self.data[start..end])
    }

    /// Splits `line`, which has no line end. An empty line is one empty field.
    pub(super) fn split(&mut self, line: &[u8], rules: &Quoting) -> Parsed {
        self.data.clear();
        self.ends.clear();
        let mut at = 0;
        loop {
            if rules.trim {
                at += blanks(&line[at..]);
            }
            at = match line.get(at) {
                Some(byte) if Some(*byte) == rules.quote => self.quoted(line, at, rules)?,
                _ => self.plain(line, at, rules)?,
            };
            self.ends.push(self.data.len());
            if at == line.len() {
                return Ok(());
            }
            // Only a delimiter ends a field before the line's end.
            at += 1;
        }
    }

    /// Reads a field without quotes from `at`; returns where it ends.
    fn plain(&mut self, line: &[u8], mut at: usize, rules: &Quoting) -> Parsed<usize> {
        let start = self.data.len();
        while let Some(byte) = line.get(at).filter(|byte| **byte != rules.delimiter) {
            match byte {
                b'\n' => return Err(Fault::syntax(at, "expected one line, found a second one")),
                _ if Some(*byte) == rules.escape => at = self.escaped(line, at)?,
                _ => self.data.push(*byte),
            }
            at += 1;
        }
        if rules.trim {
            while self.data.len() > start && self.data.last() == Some(&b' ') {
                self.data.pop();
            }
        }
        Ok(at)
    }

    /// Reads a field whose opening quote is at `at`; returns where it ends.
    fn quoted(&mut self, line: &[u8], opening: usize, rules: &Quoting) -> Parsed<usize> {
        let mut at = opening + 1;
        loop {
            match line.get(at) {
                None => return Err(Fault::syntax(opening, "the quoted field that starts here has no end,")),
                Some(byte) if Some(*byte) == rules.quote => {
                    if line.get(at + 1) != Some(byte) {
                        break;
                    }
                    self.data.push(*byte);
                    at += 1;
                }
                Some(byte) if Some(*byte) == rules.escape => at = self.escaped(line, at)?,
                Some(byte) => self.data.push(*byte),
            }
            at += 1;
        }
        at += 1 + blanks(&line[at + 1..]);
        match line.get(at) {
            Some(byte) if *byte != rules.delimiter => {
                Err(Fault::syntax(at, "expected the delimiter or the end of the line behind the closing quote"))
            }
            _ => Ok(at),
        }
    }

    /// Resolves the escape at `at`; returns the position of the character behind it.
    fn escaped(&mut self, line: &[u8], at: usize) -> Parsed<usize> {
        let byte = line.get(at + 1).ok_or_else(|| Fault::syntax(at, "nothing follows the escape character"))?;
        self.data.push(match byte {
            b'0' => 0,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            other => *other,
        });
        Ok(at + 1)
    }
}

fn blanks(text: &[u8]) -> usize {
    text.iter().take_while(|byte| **byte == b' ').count()
}
