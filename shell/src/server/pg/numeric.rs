//! PostgreSQL's binary NUMERIC: digits to the base of 10 000.

use bytes::{BufMut, BytesMut};

const BASE: u128 = 10_000;
const NEGATIVE: u16 = 0x4000;
const NOT_A_NUMBER: u16 = 0xC000;

/// Writes `value` · 10^-`scale`.
pub fn encode(value: i128, scale: i8, out: &mut BytesMut) {
    let scale = u32::from(scale.unsigned_abs());
    // With a multiple of four digits behind the point, groups of four are digits to the base.
    let padding = (4 - scale % 4) % 4;
    let groups_behind = (scale + padding) / 4;
    let mut digits: Vec<u16> = Vec::new();
    let mut rest = value.unsigned_abs();
    // The lowest group is filled up with zeros; doing it there cannot overflow.
    let lowest = 10u128.pow(4 - padding);
    if rest > 0 {
        digits.push((rest % lowest * 10u128.pow(padding)) as u16);
        rest /= lowest;
    }
    while rest > 0 {
        digits.push((rest % BASE) as u16);
        rest /= BASE;
    }
    let weight = digits.len() as i32 - groups_behind as i32 - 1;
    let trailing = digits.iter().take_while(|d| **d == 0).count();
    digits.drain(..trailing);
    out.put_u16(digits.len() as u16);
    out.put_i16(if digits.is_empty() { 0 } else { weight as i16 });
    out.put_u16(if value < 0 { NEGATIVE } else { 0 });
    out.put_u16(scale as u16);
    digits.iter().rev().for_each(|digit| out.put_u16(*digit));
}

/// The number as decimal text; None when the bytes are no number.
pub fn decode(bytes: &[u8]) -> Option<String> {
    let mut words = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let (count, weight, sign, scale) = (words.next()?, words.next()? as i16, words.next()?, words.next()?);
    if sign >= NOT_A_NUMBER {
        return None;
    }
    let digits: Vec<u16> = words.collect();
    if digits.len() != usize::from(count) || digits.iter().any(|d| u128::from(*d) >= BASE) {
        return None;
    }
    let group = |index: i32| usize::try_from(index).ok().and_then(|i| digits.get(i)).copied().unwrap_or(0);
    let mut whole = String::new();
    (0..=i32::from(weight)).for_each(|index| whole.push_str(&format!("{:04}", group(index))));
    let whole = whole.trim_start_matches('0');
    let mut behind = String::new();
    let groups = i32::from(scale).div_euclid(4) + 1;
    (1..=groups).for_each(|i| behind.push_str(&format!("{:04}", group(i32::from(weight) + i))));
    let behind = behind.get(..usize::from(scale)).unwrap_or("");
    let point = if behind.is_empty() { "" } else { "." };
    let sign = if sign == NEGATIVE { "-" } else { "" };
    Some(format!("{sign}{}{point}{behind}", if whole.is_empty() { "0" } else { whole }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_as_they_went() {
        for (value, scale, text) in [
            (0, 0, "0"),
            (0, 2, "0.00"),
            (1, 0, "1"),
            (-12345, 2, "-123.45"),
            (5, 4, "0.0005"),
            (10_000, 0, "10000"),
            (123_456_789, 5, "1234.56789"),
            (-99_999_999_999_999_999_999_999_999_999_999_999_999, 0, "-99999999999999999999999999999999999999"),
            (1, 38, "0.00000000000000000000000000000000000001"),
        ] {
            let mut bytes = BytesMut::new();
            encode(value, scale, &mut bytes);
            assert_eq!(decode(&bytes).as_deref(), Some(text), "{value} {scale}");
        }
    }

    #[test]
    fn the_bytes_are_those_of_postgres() {
        let mut bytes = BytesMut::new();
        encode(-1_234_500, 3, &mut bytes);
        // SELECT numeric_send(-1234.500)
        assert_eq!(&bytes[..], [0, 2, 0, 0, 0x40, 0, 0, 3, 0x04, 0xD2, 0x13, 0x88]);
        assert_eq!(decode(&[0, 0, 0, 0, 0xC0, 0, 0, 0]), None, "NaN");
    }
}
