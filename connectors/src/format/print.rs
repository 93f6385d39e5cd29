//! Writes values as text, in the forms of the Java functions that Flink uses for JSON and CSV.

use std::io::Write;

use arrow::datatypes::TimeUnit;

use eddyline_engine::time::civil_from_days;

use super::text::TimestampForm;

/// A whole number.
#[inline]
pub(super) fn integer(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    unsigned(u128::from(value.unsigned_abs()), 1, out);
}

/// A whole number with at least `width` digits.
#[inline]
fn unsigned(value: u128, width: usize, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 39];
    let mut start = digits.len();
    let mut write = |digit: u8| {
        start -= 1;
        digits[start] = b'0' + digit;
    };
    let mut high = value;
    while high > u128::from(u64::MAX) {
        write((high % 10) as u8);
        high /= 10;
    }
    let mut low = high as u64;
    while low > 0 {
        write((low % 10) as u8);
        low /= 10;
    }
    out.extend_from_slice(&digits[start.min(digits.len() - width)..]);
}

/// `text` between double quotes, with the necessary escapes only.
pub(super) fn json_text(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut start = 0;
    for (at, byte) in text.iter().enumerate() {
        if *byte >= b' ' && *byte != b'"' && *byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&text[start..at]);
        start = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            8 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            12 => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            other => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(other >> 4)]);
                out.push(HEX[usize::from(other & 15)]);
            }
        }
    }
    out.extend_from_slice(&text[start..]);
    out.push(b'"');
}

/// A DOUBLE in JSON: as [`double`], and between quotes when it is no number.
pub(super) fn json_double(value: f64, out: &mut Vec<u8>) {
    quoted_unless(value.is_finite(), out, |out| double(value, out));
}

/// A FLOAT in JSON.
pub(super) fn json_float(value: f32, out: &mut Vec<u8>) {
    quoted_unless(value.is_finite(), out, |out| float(value, out));
}

fn quoted_unless(plain: bool, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    if plain {
        return write(out);
    }
    out.push(b'"');
    write(out);
    out.push(b'"');
}

/// Java's `Double.toString`: `1.5`, `100.0`, `1.0E7`, `1.0E-4`, `NaN`, `-Infinity`.
pub(super) fn double(value: f64, out: &mut Vec<u8>) {
    // Small whole numbers are common, and their digits are at hand.
    if value.fract() == 0.0 && value.abs() < 1e7 && (value != 0.0 || value.is_sign_positive()) {
        integer(value as i64, out);
        return out.extend_from_slice(b".0");
    }
    floating(value.is_finite(), value.is_nan(), value.is_sign_negative(), out, |digits| write!(digits, "{value:e}"));
}

/// Java's `Float.toString`.
pub(super) fn float(value: f32, out: &mut Vec<u8>) {
    floating(value.is_finite(), value.is_nan(), value.is_sign_negative(), out, |digits| write!(digits, "{value:e}"));
}

/// Rewrites the shortest digits in Rust's scientific form as Java writes them.
fn floating(
    finite: bool,
    nan: bool,
    negative: bool,
    out: &mut Vec<u8>,
    shortest: impl FnOnce(&mut &mut [u8]) -> std::io::Result<()>,
) {
    if nan {
        return out.extend_from_slice(b"NaN");
    }
    if negative {
        out.push(b'-');
    }
    if !finite {
        return out.extend_from_slice(b"Infinity");
    }
    let mut buffer = [0u8; 40];
    let mut free = &mut buffer[..];
    let written = shortest(&mut free);
    let left = free.len();
    assert!(written.is_ok(), "the shortest form of a floating-point number fits in 40 bytes");
    let text = &buffer[usize::from(negative)..buffer.len() - left];
    let mark = text.iter().position(|b| *b == b'e').unwrap_or(text.len());
    let mut digits = [0u8; 32];
    let mut count = 0;
    for digit in text[..mark].iter().filter(|b| **b != b'.') {
        digits[count] = *digit;
        count += 1;
    }
    let exponent = std::str::from_utf8(text.get(mark + 1..).unwrap_or_default()).ok().and_then(|e| e.parse().ok());
    java_digits(&digits[..count], exponent.unwrap_or(0), out);
}

/// Writes d.ddd × 10^exponent: plainly from 10⁻³ to 10⁷, else with `E`.
fn java_digits(digits: &[u8], exponent: i32, out: &mut Vec<u8>) {
    let zeros = |count: i32, out: &mut Vec<u8>| out.extend(std::iter::repeat_n(b'0', count.max(0) as usize));
    if (-3..7).contains(&exponent) && !(digits == b"0" && exponent != 0) {
        let whole = (exponent + 1).max(0) as usize;
        if whole == 0 {
            out.extend_from_slice(b"0.");
            zeros(-exponent - 1, out);
            return out.extend_from_slice(digits);
        }
        out.extend_from_slice(&digits[..whole.min(digits.len())]);
        zeros(whole as i32 - digits.len() as i32, out);
        out.push(b'.');
        return out.extend_from_slice(digits.get(whole..).filter(|d| !d.is_empty()).unwrap_or(b"0"));
    }
    out.push(digits[0]);
    out.push(b'.');
    out.extend_from_slice(if digits.len() > 1 { &digits[1..] } else { b"0" });
    out.push(b'E');
    integer(i64::from(exponent), out);
}

/// How decimals are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DecimalForm {
    /// All digits: `2.50`, `100000.00`.
    Plain,
    /// Without trailing zeros behind the point: `2.5`, `100000`.
    Short,
    /// Without trailing zeros, large and small ones with an exponent (Java's `BigDecimal.toString`): `2.5`, `1E+5`.
    Scientific,
}

/// A decimal.
pub(super) fn decimal(unscaled: i128, scale: i8, form: DecimalForm, out: &mut Vec<u8>) {
    if unscaled < 0 {
        out.push(b'-');
    }
    let mut value = unscaled.unsigned_abs();
    let mut scale = i64::from(scale);
    if form != DecimalForm::Plain {
        if value == 0 {
            return out.push(b'0');
        }
        while value.is_multiple_of(10) && (scale > 0 || form == DecimalForm::Scientific) {
            value /= 10;
            scale -= 1;
        }
    }
    let mut digits = Vec::with_capacity(40);
    unsigned(value, 1, &mut digits);
    if form == DecimalForm::Scientific {
        return big_decimal(&digits, scale, out);
    }
    plain_decimal(&digits, scale, out);
}

fn plain_decimal(digits: &[u8], scale: i64, out: &mut Vec<u8>) {
    let point = digits.len() as i64 - scale;
    if point <= 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', -point as usize));
        return out.extend_from_slice(digits);
    }
    let (whole, fraction) = digits.split_at(digits.len().min(point as usize));
    out.extend_from_slice(whole);
    out.extend(std::iter::repeat_n(b'0', point as usize - whole.len()));
    if !fraction.is_empty() {
        out.push(b'.');
        out.extend_from_slice(fraction);
    }
}

/// Java's `BigDecimal.toString` of digits × 10^-scale.
fn big_decimal(digits: &[u8], scale: i64, out: &mut Vec<u8>) {
    let exponent = digits.len() as i64 - 1 - scale;
    if scale >= 0 && exponent >= -6 {
        return plain_decimal(digits, scale, out);
    }
    out.push(digits[0]);
    if digits.len() > 1 {
        out.push(b'.');
        out.extend_from_slice(&digits[1..]);
    }
    if exponent != 0 {
        out.extend_from_slice(if exponent < 0 { b"E" } else { b"E+" });
        integer(exponent, out);
    }
}

/// A decimal number given as well-formed text, in the form [`DecimalForm::Scientific`].
pub(super) fn decimal_text(text: &[u8], out: &mut Vec<u8>) {
    let mark = text.iter().position(|b| matches!(b, b'e' | b'E')).unwrap_or(text.len());
    let written = text.get(mark + 1..).and_then(|e| std::str::from_utf8(e).ok()?.parse::<i64>().ok()).unwrap_or(0);
    let point = text[..mark].iter().position(|b| *b == b'.');
    let fraction = point.map_or(0, |point| mark - point - 1);
    let mut digits: Vec<u8> = text[..mark].iter().copied().filter(u8::is_ascii_digit).collect();
    let leading = digits.iter().take_while(|d| **d == b'0').count();
    digits.drain(..leading);
    let trailing = digits.iter().rev().take_while(|d| **d == b'0').count();
    digits.truncate(digits.len() - trailing);
    if digits.is_empty() {
        return out.push(b'0');
    }
    if text.starts_with(b"-") {
        out.push(b'-');
    }
    big_decimal(&digits, fraction as i64 - trailing as i64 - written, out);
}

/// `2024-02-29`.
pub(super) fn date(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil_from_days(days);
    match year {
        0..=9999 => unsigned(year.unsigned_abs().into(), 4, out),
        _ => {
            out.push(if year < 0 { b'-' } else { b'+' });
            unsigned(year.unsigned_abs().into(), 4, out);
        }
    }
    for part in [month, day] {
        out.push(b'-');
        unsigned(part.unsigned_abs().into(), 2, out);
    }
}

/// `08:15:00`, with the fraction's digits up to the last that is not 0.
pub(super) fn time(value: i64, unit: TimeUnit, out: &mut Vec<u8>) {
    let per_second = units_per_second(unit);
    time_of_day(value.div_euclid(per_second), value.rem_euclid(per_second), unit, out);
}

fn time_of_day(seconds: i64, fraction: i64, unit: TimeUnit, out: &mut Vec<u8>) {
    for (part, mark) in [(seconds / 3600, b':'), (seconds / 60 % 60, b':'), (seconds % 60, b'.')] {
        unsigned(part.unsigned_abs().into(), 2, out);
        if mark == b':' || fraction != 0 {
            out.push(mark);
        }
    }
    if fraction != 0 {
        let width = units_per_second(unit).ilog10() as usize;
        unsigned(fraction.unsigned_abs().into(), width, out);
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

/// `2024-02-29 08:15:00.5`, with `Z` behind when `zoned`.
pub(super) fn timestamp(value: i64, unit: TimeUnit, form: TimestampForm, zoned: bool, out: &mut Vec<u8>) {
    let per_second = units_per_second(unit);
    let seconds = value.div_euclid(per_second);
    date(seconds.div_euclid(86_400), out);
    out.push(form.separator());
    time_of_day(seconds.rem_euclid(86_400), value.rem_euclid(per_second), unit, out);
    if zoned {
        out.push(b'Z');
    }
}

fn units_per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// Padded base64 text.
pub(super) fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in bytes.chunks(3) {
        let part = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = part(0) << 16 | part(1) << 8 | part(2);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= group.len() { digit } else { b'=' });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn doubles_are_written_as_java_does() {
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (100.0, "100.0"),
            (59.9, "59.9"),
            (-1.5, "-1.5"),
            (0.001, "0.001"),
            (0.00099, "9.9E-4"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (12_345_678.9, "1.23456789E7"),
            (1234567.25, "1234567.25"),
            (1e300, "1.0E300"),
            (-1e-7, "-1.0E-7"),
            (1.5e-320, "1.5E-320"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(text(|out| double(value, out)), expected);
        }
        assert_eq!(text(|out| float(0.1, out)), "0.1");
        assert_eq!(text(|out| float(1e10, out)), "1.0E10");
        assert_eq!(text(|out| json_float(f32::NAN, out)), "\"NaN\"");
    }

    #[test]
    fn decimals_have_three_forms() {
        use DecimalForm::{Plain, Scientific, Short};
        for (unscaled, scale, plain, short, scientific) in [
            (250, 2, "2.50", "2.5", "2.5"),
            (100, 2, "1.00", "1", "1"),
            (0, 2, "0.00", "0", "0"),
            (-45, 2, "-0.45", "-0.45", "-0.45"),
            (10_000_000, 2, "100000.00", "100000", "1E+5"),
            (12_300, 0, "12300", "12300", "1.23E+4"),
            (1, 6, "0.000001", "0.000001", "0.000001"),
            (27, 9, "0.000000027", "0.000000027", "2.7E-8"),
            (
                i128::from(u64::MAX) * 100 + 1,
                2,
                "18446744073709551615.01",
                "18446744073709551615.01",
                "18446744073709551615.01",
            ),
        ] {
            assert_eq!(text(|out| decimal(unscaled, scale, Plain, out)), plain);
            assert_eq!(text(|out| decimal(unscaled, scale, Short, out)), short);
            assert_eq!(text(|out| decimal(unscaled, scale, Scientific, out)), scientific);
        }
        for (written, expected) in [("1.50", "1.5"), ("-0.0", "0"), ("1e3", "1E+3"), ("10.0e-9", "1E-8"), ("007", "7")]
        {
            assert_eq!(text(|out| decimal_text(written.as_bytes(), out)), expected);
        }
    }

    #[test]
    fn times_drop_trailing_zeros_of_the_fraction() {
        use TimestampForm::{Iso8601, Sql};
        let millis = TimeUnit::Millisecond;
        assert_eq!(text(|out| timestamp(1500, millis, Sql, false, out)), "1970-01-01 00:00:01.5");
        assert_eq!(text(|out| timestamp(1000, millis, Iso8601, true, out)), "1970-01-01T00:00:01Z");
        assert_eq!(text(|out| timestamp(-100, millis, Sql, false, out)), "1969-12-31 23:59:59.9");
        assert_eq!(text(|out| timestamp(1, TimeUnit::Nanosecond, Sql, false, out)), "1970-01-01 00:00:00.000000001");
        assert_eq!(text(|out| time(29_100, TimeUnit::Second, out)), "08:05:00");
        assert_eq!(text(|out| time(86_399_050, millis, out)), "23:59:59.05");
        assert_eq!(text(|out| date(19_782, out)), "2024-02-29");
        assert_eq!(text(|out| date(3_789_391, out)), "+12345-01-01");
        assert_eq!(text(|out| date(-719_529, out)), "-0001-12-31");
    }

    #[test]
    fn text_and_bytes_are_escaped() {
        assert_eq!(text(|out| json_text("a\"\\\n\u{1f}ß/".as_bytes(), out)), "\"a\\\"\\\\\\n\\u001Fß/\"");
        for (bytes, expected) in [("", ""), ("a", "YQ=="), ("ab", "YWI="), ("abc", "YWJj"), ("abcd", "YWJjZA==")] {
            assert_eq!(text(|out| base64(bytes.as_bytes(), out)), expected);
        }
        assert_eq!(text(|out| integer(i64::MIN, out)), "-9223372036854775808");
        assert_eq!(text(|out| integer(0, out)), "0");
    }
}
