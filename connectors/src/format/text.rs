//! Reads values from plain text, with the rules of the Java functions that Flink uses for JSON and CSV.
//!
//! Every function takes bytes and answers None for text that is not of its type; NULL for what does not fit is
//! [`Decimal::TooLarge`] alone, because Flink reads an oversized DECIMAL as NULL.

use arrow::datatypes::TimeUnit;

/// Takes off blanks and control characters at both ends, as Java's `trim`.
pub(super) fn trim(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && *first <= b' '
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && *last <= b' '
    {
        text = rest;
    }
    text
}

/// A whole number: optional sign and digits, nothing else.
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match trim(text) {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    // Counting downwards reaches the smallest number, which has no positive twin.
    let value = digits.iter().try_fold(0i64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_sub(digit)
    })?;
    if negative { Some(value) } else { value.checked_neg() }
}

/// A floating-point number, or `NaN`, `Infinity`, `-Infinity`.
pub(super) fn double(text: &[u8]) -> Option<f64> {
    let text = floating(text)?;
    text.parse().ok()
}

/// As [`double`], rounded once.
pub(super) fn float(text: &[u8]) -> Option<f32> {
    floating(text)?.parse().ok()
}

/// The text if Rust and Java read it alike.
fn floating(text: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(trim(text)).ok()?;
    let numeric = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'+' | b'-' | b'e' | b'E'));
    let word = matches!(text.trim_start_matches(['+', '-']), "NaN" | "Infinity");
    (numeric || word).then_some(text)
}

/// `true` in any letter case; everything else is false.
pub(super) fn boolean(text: &[u8]) -> bool {
    trim(text).eq_ignore_ascii_case(b"true")
}

/// An unscaled decimal value, or one that does not fit its type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Decimal {
    /// Value times ten to the scale.
    Unscaled(i128),
    /// More digits before the point than the type has.
    TooLarge,
}

/// A decimal number of any length, rounded half up to `scale`: `-12.345`, `1e3`, `.5`.
pub(super) fn decimal(text: &[u8], precision: u8, scale: i8) -> Option<Decimal> {
    let (negative, text) = match trim(text) {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] | rest => (false, rest),
    };
    let mark = text.iter().position(|b| matches!(b, b'e' | b'E'));
    let (digits, exponent) = match mark {
        Some(mark) => (&text[..mark], exponent(&text[mark + 1..])?),
        None => (text, 0),
    };
    let point = digits.iter().position(|b| *b == b'.');
    let (whole, fraction) = match point {
        Some(point) => (&digits[..point], &digits[point + 1..]),
        None => (digits, &[][..]),
    };
    let all = || whole.iter().chain(fraction);
    if whole.len() + fraction.len() == 0 || !all().all(u8::is_ascii_digit) {
        return None;
    }
    let zeros = all().take_while(|b| **b == b'0').count();
    let significant = all().skip(zeros).map(|b| b - b'0');
    // The value is 0.d1d2d3… times ten to the `magnitude`.
    let magnitude = whole.len() as i64 - zeros as i64 + exponent;
    Some(rescale(negative, significant, magnitude, precision, scale))
}

/// Keeps the first `magnitude + scale` of the digits and rounds by the next one.
fn rescale(negative: bool, mut digits: impl Iterator<Item = u8>, magnitude: i64, precision: u8, scale: i8) -> Decimal {
    let Some(first) = digits.next() else { return Decimal::Unscaled(0) };
    let kept = magnitude + i64::from(scale);
    if kept > i64::from(precision) {
        return Decimal::TooLarge;
    }
    if kept < 0 {
        return Decimal::Unscaled(0);
    }
    let mut digits = std::iter::once(first).chain(digits);
    let mut value = 0i128;
    for _ in 0..kept {
        value = value * 10 + i128::from(digits.next().unwrap_or(0));
    }
    if digits.next().is_some_and(|digit| digit >= 5) {
        value += 1;
    }
    fit(if negative { -value } else { value }, precision)
}

/// `value` if it has at most `precision` digits.
pub(super) fn fit(value: i128, precision: u8) -> Decimal {
    if value.unsigned_abs() < 10u128.pow(u32::from(precision)) { Decimal::Unscaled(value) } else { Decimal::TooLarge }
}

fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0i64, |v, d| (v * 10 + i64::from(d - b'0')).min(1_000_000_000));
    Some(if negative { -value } else { value })
}

/// Form of timestamps in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimestampForm {
    /// `2020-12-30 12:13:14.123`
    Sql,
    /// `2020-12-30T12:13:14.123`
    Iso8601,
}

impl TimestampForm {
    /// What stands between date and time.
    pub(super) fn separator(self) -> u8 {
        match self {
            TimestampForm::Sql => b' ',
            TimestampForm::Iso8601 => b'T',
        }
    }
}

/// `2024-02-29` as days since the epoch. The day must exist.
pub(super) fn date(text: &[u8]) -> Option<i32> {
    let (year, month, day, rest) = date_parts(text)?;
    let valid = rest.is_empty() && day <= days_in_month(year, month);
    if valid { i32::try_from(days_from_civil(year, month, day)).ok() } else { None }
}

/// `08:15:00.123` as a time of day in `unit`; finer digits are cut off.
pub(super) fn time(text: &[u8], unit: TimeUnit) -> Option<i64> {
    let (seconds, nanos, rest) = time_parts(text, false)?;
    (rest.is_empty() && seconds < 86_400).then(|| in_unit(seconds, nanos, unit))?
}

/// A timestamp in `unit` since the epoch; finer digits are cut off. A `zoned` one must end in `Z`. As in Flink, a day
/// behind the end of its month counts as the last one, and 24:00:00 as the next day.
pub(super) fn timestamp(text: &[u8], form: TimestampForm, zoned: bool, unit: TimeUnit) -> Option<i64> {
    let (year, month, day, rest) = date_parts(text)?;
    let rest = rest.strip_prefix(&[form.separator()])?;
    let (seconds, nanos, rest) = time_parts(rest, form == TimestampForm::Iso8601)?;
    let rest = if zoned { rest.strip_prefix(b"Z")? } else { rest };
    if !rest.is_empty() {
        return None;
    }
    let days = days_from_civil(year, month, day.min(days_in_month(year, month)));
    in_unit(days.checked_mul(86_400)?.checked_add(seconds)?, nanos, unit)
}

fn in_unit(seconds: i64, nanos: i64, unit: TimeUnit) -> Option<i64> {
    let per_second = match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    };
    seconds.checked_mul(per_second)?.checked_add(nanos / (1_000_000_000 / per_second))
}

/// Year, month and day at the start of `text`, and what follows. Years have four digits, or more behind a sign.
fn date_parts(text: &[u8]) -> Option<(i64, i64, i64, &[u8])> {
    let (year, rest) = match text {
        [sign @ (b'+' | b'-'), rest @ ..] => {
            let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            let (year, rest) = rest.split_at(digits);
            let value = if (4..=9).contains(&digits) { number(year)? } else { return None };
            (if *sign == b'-' { -value } else { value }, rest)
        }
        _ => (number(text.get(..4)?)?, &text[4..]),
    };
    let [b'-', m1, m2, b'-', d1, d2, rest @ ..] = rest else { return None };
    let (month, day) = (number(&[*m1, *m2])?, number(&[*d1, *d2])?);
    ((1..=12).contains(&month) && (1..=31).contains(&day)).then_some((year, month, day, rest))
}

/// Seconds of the day and nanoseconds at the start of `text`, and what follows.
fn time_parts(text: &[u8], optional_seconds: bool) -> Option<(i64, i64, &[u8])> {
    let [h1, h2, b':', m1, m2, rest @ ..] = text else { return None };
    let (hour, minute) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
    let (second, rest) = match rest {
        [b':', s1, s2, rest @ ..] => (number(&[*s1, *s2])?, rest),
        _ if optional_seconds => (0, rest),
        _ => return None,
    };
    let (nanos, rest) = match rest {
        [b'.', rest @ ..] => {
            let digits = rest.iter().take(9).take_while(|b| b.is_ascii_digit()).count();
            let value = number(&rest[..digits])?;
            (value * 10i64.pow(9 - digits as u32), &rest[digits..])
        }
        _ => (0, rest),
    };
    let end_of_day = hour == 24 && minute == 0 && second == 0 && nanos == 0;
    ((hour < 24 || end_of_day) && minute < 60 && second < 60).then_some((
        hour * 3600 + minute * 60 + second,
        nanos,
        rest,
    ))
}

#[inline]
fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0i64, |value, digit| {
        let digit = digit.wrapping_sub(b'0');
        (digit <= 9).then(|| value * 10 + i64::from(digit))
    })
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Appends the bytes that padded base64 text stands for; blanks in it do not count. None for other text.
pub(super) fn base64(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut group = [0u32; 4];
    let (mut filled, mut padding) = (0, 0);
    for byte in text.iter().filter(|b| **b > b' ') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' if filled >= 2 => {
                padding += 1;
                0
            }
            _ => return None,
        };
        // Nothing but padding follows padding.
        if padding > 2 || (padding > 0 && *byte != b'=') {
            return None;
        }
        group[filled] = u32::from(value);
        filled = (filled + 1) % 4;
        if filled == 0 {
            let bits = group[0] << 18 | group[1] << 12 | group[2] << 6 | group[3];
            out.extend_from_slice(&bits.to_be_bytes()[1..4 - padding]);
            // A further group behind padding starts with a byte that the check above refuses.
        }
    }
    (filled == 0).then_some(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn integers_follow_java() {
        for (text, value) in [("7", 7), (" 60 ", 60), ("+5", 5), ("-0", 0), ("-9223372036854775808", i64::MIN)] {
            assert_eq!(integer(text.as_bytes()), Some(value), "{text}");
        }
        for text in ["", " ", "-", "1.0", "1e3", "9223372036854775808", "0x10", "1 2", "--1"] {
            assert_eq!(integer(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn floating_point_words_are_javas_only() {
        assert_eq!(double(b" 1.5 "), Some(1.5));
        assert!(double(b"NaN").unwrap().is_nan());
        assert_eq!(double(b"-Infinity"), Some(f64::NEG_INFINITY));
        for text in ["nan", "inf", "infinity", "", "1,5", "e", "--1"] {
            assert_eq!(double(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn decimals_round_half_up_and_overflow() {
        let read = |text: &str| decimal(text.as_bytes(), 6, 2);
        for (text, value) in [
            ("2.5", 250),
            ("1.005", 101),
            ("-1.005", -101),
            ("1.004999999999999999999999999999999999999999999999999999", 100),
            ("0.00", 0),
            ("0.005", 1),
            ("0.0049", 0),
            (".5", 50),
            ("5.", 500),
            ("1e3", 100_000),
            ("123456e-4", 1235),
            ("0e999999999999", 0),
            ("1e-999999999999", 0),
            ("9999.99", 999_999),
            ("000000000000000000000000000000000000000000000000001", 100),
        ] {
            assert_eq!(read(text), Some(Decimal::Unscaled(value)), "{text}");
        }
        for text in ["9999.995", "10000", "1e4", "1e999999999999", "-123456789012345678901234567890123456789012"] {
            assert_eq!(read(text), Some(Decimal::TooLarge), "{text}");
        }
        for text in ["", ".", "-", "1e", "1e+", "a", "1.2.3", "1 1", "NaN", "0x1"] {
            assert_eq!(read(text), None, "{text}");
        }
        let large = decimal(b"99999999999999999999999999999999999999", 38, 0);
        assert_eq!(large, Some(Decimal::Unscaled(10i128.pow(38) - 1)));
        assert_eq!(decimal(b"99999999999999999999999999999999999999.5", 38, 0), Some(Decimal::TooLarge));
    }

    #[test]
    fn dates_must_exist() {
        assert_eq!(date(b"1970-01-01"), Some(0));
        assert_eq!(date(b"2024-02-29"), Some(19_782));
        assert_eq!(date(b"1969-12-31"), Some(-1));
        assert_eq!(date(b"+12345-01-01"), Some(3_789_391));
        for text in ["2023-02-29", "2024-13-01", "2024-1-1", "2024-01-01 ", "24-01-01", "", "2024-01-00"] {
            assert_eq!(date(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn timestamps_have_the_form_of_the_option() {
        use TimestampForm::{Iso8601, Sql};
        let read = |text: &str, form, zoned| timestamp(text.as_bytes(), form, zoned, TimeUnit::Millisecond);
        assert_eq!(read("1970-01-01 00:00:01.5", Sql, false), Some(1500));
        assert_eq!(read("1970-01-01 00:00:01.123999999", Sql, false), Some(1123));
        assert_eq!(read("1969-12-31 23:59:59.9", Sql, false), Some(-100));
        assert_eq!(read("1970-01-01 00:00:01Z", Sql, true), Some(1000));
        assert_eq!(read("1970-01-01T00:00:01.25Z", Iso8601, true), Some(1250));
        assert_eq!(read("1970-01-01T00:01", Iso8601, false), Some(60_000));
        assert_eq!(read("1970-02-30 00:00:00", Sql, false), read("1970-02-28 00:00:00", Sql, false));
        assert_eq!(read("1970-01-01 24:00:00", Sql, false), Some(86_400_000));
        for text in ["1970-01-01T00:00:01", "1970-01-01 00:00", "1970-01-01", "1970-01-01 00:00:01Z", "yesterday"] {
            assert_eq!(read(text, Sql, false), None, "{text}");
        }
        for text in ["1970-01-01 00:00:01", "1970-01-01 00:00:01+01:00", "1970-01-01 25:00:00Z"] {
            assert_eq!(read(text, Sql, true), None, "{text}");
        }
        assert_eq!(timestamp(b"+999999999-01-01 00:00:00", Sql, false, TimeUnit::Nanosecond), None);
        assert_eq!(time(b"08:15:00", TimeUnit::Second), Some(29_700));
        assert_eq!(time(b"23:59:59.5", TimeUnit::Millisecond), Some(86_399_500));
        assert_eq!(time(b"24:00:00", TimeUnit::Second), None);
    }

    #[test]
    fn base64_needs_its_padding() {
        let read = |text: &str| {
            let mut out = Vec::new();
            base64(text.as_bytes(), &mut out).map(|()| out)
        };
        assert_eq!(read(""), Some(vec![]));
        assert_eq!(read("YWJj"), Some(b"abc".to_vec()));
        assert_eq!(read("YWI="), Some(b"ab".to_vec()));
        assert_eq!(read("YQ=="), Some(b"a".to_vec()));
        assert_eq!(read("YW Jj\n/+8="), Some(b"abc\xff\xef".to_vec()));
        for text in ["YW", "YWI", "YQ=", "Y===", "YWJj=", "YQ==YQ==", "YW-j", "===="] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
