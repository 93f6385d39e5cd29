//! Java's date patterns (`yyyy-MM-dd HH:mm:ss.SSS`, `E d MMM yy, h a`): printing and reading.
//!
//! A pattern is compiled once into items; letters it does not know make it unusable, which callers report.

use chrono::{Datelike, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Timelike};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    items: Vec<Item>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    /// A pattern letter and how often it stands there.
    Field(char, usize),
    Literal(String),
}

/// What reading has found so far.
#[derive(Debug, Default)]
struct Found {
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    day_of_year: Option<u32>,
    hour: Option<u32>,
    half_day_hour: Option<u32>,
    afternoon: bool,
    minute: u32,
    second: u32,
    nanos: u32,
}

impl Pattern {
    /// Compiles `text`; None if it has a letter that Java does not know or an open quote.
    pub fn compile(text: &str) -> Option<Pattern> {
        let mut items = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            if c == '\'' {
                let mut literal = String::new();
                loop {
                    match chars.next()? {
                        '\'' if chars.peek() == Some(&'\'') => {
                            chars.next();
                            literal.push('\'');
                        }
                        '\'' => break,
                        other => literal.push(other),
                    }
                }
                items.push(Item::Literal(if literal.is_empty() { "'".into() } else { literal }));
            } else if c.is_ascii_alphabetic() {
                let mut count = 1;
                while chars.next_if_eq(&c).is_some() {
                    count += 1;
                }
                if !"yuMLdDEeHhKkmsSnaQqwGzZXxV".contains(c) {
                    return None;
                }
                items.push(Item::Field(c, count));
            } else {
                match items.last_mut() {
                    Some(Item::Literal(literal)) => literal.push(c),
                    _ => items.push(Item::Literal(c.to_string())),
                }
            }
        }
        Some(Pattern { items })
    }

    /// Prints `at`; `offset` is what zone letters print.
    pub fn format(&self, at: NaiveDateTime, offset: FixedOffset) -> String {
        let mut out = String::with_capacity(24);
        for item in &self.items {
            match item {
                Item::Literal(literal) => out.push_str(literal),
                Item::Field(letter, count) => out.push_str(&field(*letter, *count, at, offset)),
            }
        }
        out
    }

    /// Reads `text`, all of it; what the pattern does not name is the start of 1970.
    pub fn parse(&self, text: &str) -> Option<NaiveDateTime> {
        let mut rest = text;
        let mut found = Found::default();
        for (i, item) in self.items.iter().enumerate() {
            rest = match item {
                Item::Literal(literal) => rest.strip_prefix(literal.as_str())?,
                Item::Field(letter, count) => {
                    // Adjacent number fields have fixed widths: yyyyMMdd.
                    let tight = matches!(self.items.get(i + 1), Some(Item::Field(..)));
                    found.read(*letter, *count, tight, rest)?
                }
            };
        }
        if rest.is_empty() { found.value() } else { None }
    }
}

fn field(letter: char, count: usize, at: NaiveDateTime, offset: FixedOffset) -> String {
    let name = |names: &[&str], i: u32| -> String {
        let full = names.get(usize::try_from(i).unwrap_or(0)).copied().unwrap_or_default();
        if count >= 4 { full.to_string() } else { full.chars().take(3).collect() }
    };
    let number = match letter {
        'y' | 'u' if count == 2 => return format!("{:02}", at.year().rem_euclid(100)),
        'y' | 'u' => return format!("{:0count$}", at.year()),
        'M' | 'L' if count >= 3 => return name(&MONTHS, at.month0()),
        'E' => return name(&DAYS, at.weekday().num_days_from_monday()),
        'a' => return if at.hour() < 12 { "AM".into() } else { "PM".into() },
        'G' => return if at.year() > 0 { "AD".into() } else { "BC".into() },
        'S' => {
            return format!("{:09}", at.nanosecond() % 1_000_000_000)
                .chars()
                .chain("000".chars())
                .take(count)
                .collect();
        }
        'z' | 'Z' | 'X' | 'x' | 'V' => return zone_text(letter, count, offset),
        'M' | 'L' => at.month(),
        'd' => at.day(),
        'D' => at.ordinal(),
        'e' => at.weekday().num_days_from_sunday() + 1,
        'H' => at.hour(),
        'k' => (at.hour() + 23) % 24 + 1,
        'K' => at.hour() % 12,
        'h' => (at.hour() + 11) % 12 + 1,
        'm' => at.minute(),
        's' => at.second(),
        'n' => at.nanosecond(),
        'w' => at.iso_week().week(),
        _ => at.month0() / 3 + 1,
    };
    format!("{number:0count$}")
}

fn zone_text(letter: char, count: usize, offset: FixedOffset) -> String {
    let seconds = offset.local_minus_utc();
    if seconds == 0 && letter == 'X' {
        return "Z".into();
    }
    if seconds == 0 && matches!(letter, 'z' | 'V') {
        return "UTC".into();
    }
    let colon = if letter != 'Z' && count >= 3 { ":" } else { "" };
    let (sign, minutes) = (if seconds < 0 { '-' } else { '+' }, seconds.abs() / 60);
    format!("{sign}{:02}{colon}{:02}", minutes / 60, minutes % 60)
}

impl Found {
    /// Reads one field from the start of `text` and returns what follows it.
    fn read<'a>(&mut self, letter: char, count: usize, tight: bool, text: &'a str) -> Option<&'a str> {
        match letter {
            'M' | 'L' if count >= 3 => {
                let (i, rest) = named(&MONTHS, count, text)?;
                self.month = Some(i + 1);
                return Some(rest);
            }
            'E' => return named(&DAYS, count, text).map(|(_, rest)| rest),
            'a' => {
                let half = text.get(..2)?.to_ascii_uppercase();
                self.afternoon = half == "PM";
                return if half == "AM" || half == "PM" { text.get(2..) } else { None };
            }
            _ => {}
        }
        // Java reads one letter as any number of digits, several as exactly so many (years of four may be longer).
        let most = match (letter, count) {
            ('S', n) => n,
            (_, 1) if !tight => 19,
            ('y' | 'u', n) if n >= 4 && !tight => 9,
            (_, n) => n,
        };
        let digits = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
        if digits == 0 || (count > 1 && digits < count) {
            return None;
        }
        let (digits, rest) = text.split_at(digits);
        let number: u32 = digits.parse().ok()?;
        match letter {
            'y' | 'u' if count == 2 => self.year = Some(2000 + i32::try_from(number).ok()?),
            'y' | 'u' => self.year = Some(i32::try_from(number).ok()?),
            'M' | 'L' => self.month = Some(number),
            'd' => self.day = Some(number),
            'D' => self.day_of_year = Some(number),
            'H' => self.hour = Some(number),
            'k' => self.hour = Some(number % 24),
            'h' | 'K' => self.half_day_hour = Some(number % 12),
            'm' => self.minute = number,
            's' => self.second = number,
            'S' => self.nanos = format!("{digits:0<9}").get(..9)?.parse().ok()?,
            'n' => self.nanos = number,
            _ => return None,
        }
        Some(rest)
    }

    fn value(&self) -> Option<NaiveDateTime> {
        let year = self.year.unwrap_or(1970);
        let date = match self.day_of_year {
            Some(day) => NaiveDate::from_yo_opt(year, day)?,
            None => {
                let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
                NaiveDate::from_ymd_opt(year, month, day)?
            }
        };
        let hour = self.hour.or(self.half_day_hour.map(|h| h + if self.afternoon { 12 } else { 0 })).unwrap_or(0);
        Some(date.and_time(NaiveTime::from_hms_nano_opt(hour, self.minute, self.second, self.nanos)?))
    }
}

fn named<'a>(names: &[&str], count: usize, text: &'a str) -> Option<(u32, &'a str)> {
    let wanted = |name: &str| if count >= 4 { name.len() } else { 3 };
    let at = names.iter().position(|n| text.get(..wanted(n)).is_some_and(|t| t == &n[..wanted(n)]))?;
    Some((u32::try_from(at).ok()?, &text[wanted(names[at])..]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(text: &str) -> NaiveDateTime {
        super::super::temporal::parse_timestamp(text).unwrap()
    }

    #[test]
    fn patterns_print_as_in_java() {
        let utc = FixedOffset::east_opt(0).unwrap();
        let check = |time: &str, pattern: &str, text: &str| {
            assert_eq!(Pattern::compile(pattern).unwrap().format(at(time), utc), text);
        };
        check("2024-01-31 23:59:59.999", "yyyy/MM/dd HH:mm:ss.SSS", "2024/01/31 23:59:59.999");
        check("2024-01-31 23:59:59.999", "E d MMM yy, h a", "Wed 31 Jan 24, 11 PM");
        check("2024-02-29 00:00:00", "E d MMM yy, h a", "Thu 29 Feb 24, 12 AM");
        check("2024-03-10 07:00:00", "yyyy-DDD HH", "2024-070 07");
        check("2024-03-10 07:00:00", "'T'HH''mm", "T07'00");
        assert!(Pattern::compile("yyyy-bb").is_none());
    }

    #[test]
    fn patterns_read_what_they_print() {
        let read = |pattern: &str, text: &str| Pattern::compile(pattern).unwrap().parse(text);
        assert_eq!(read("dd/MM/yyyy HH:mm", "31/12/2023 12:34"), Some(at("2023-12-31 12:34:00")));
        assert_eq!(read("yyyyMMdd", "20240131"), Some(at("2024-01-31")));
        assert_eq!(read("yyyy-MM-dd HH:mm:ss.SSS", "2024-01-31 01:02:03.456"), Some(at("2024-01-31 01:02:03.456")));
        assert_eq!(read("dd/MM/yyyy HH:mm", ""), None);
        assert_eq!(read("dd.MM.yyyy", "10.03.2024 "), None);
    }
}
