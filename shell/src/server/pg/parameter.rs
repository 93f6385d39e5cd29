//! Values of parameters, from the wire's text and binary forms to the texts that `Session::bind` takes.

use eddyline_sql::types::FlinkType;
use eddyline_sql::{Parameter, SqlError, SqlState};

use super::numeric;

/// Microseconds from 1970-01-01 to 2000-01-01.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
const DAY_MICROS: i64 = 86_400_000_000;

/// The value of parameter `number`.
pub fn decode(number: usize, data_type: &FlinkType, bytes: Option<&[u8]>, binary: bool) -> Result<Parameter, SqlError> {
    let value = match bytes {
        None => None,
        Some(bytes) => {
            let value = if binary { from_binary(data_type, bytes) } else { from_text(data_type, bytes) };
            Some(value.ok_or_else(|| {
                let form = if binary { "binary" } else { "text" };
                let message = format!("the {form} value of parameter ${number} is no {data_type}");
                SqlError::new(SqlState::DataException, message)
            })?)
        }
    };
    Ok(Parameter { data_type: narrow(data_type, value.as_deref()), value })
}

/// A NUMERIC without a declared type gets the digits that its value has.
fn narrow(data_type: &FlinkType, value: Option<&str>) -> FlinkType {
    let (FlinkType::Decimal { .. }, Some(value)) = (data_type, value) else { return data_type.clone() };
    let scale = value.split_once('.').map_or(0, |(_, behind)| behind.len());
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    match (u8::try_from(digits.max(scale).max(1)), u8::try_from(scale)) {
        (Ok(precision), Ok(scale)) if precision <= 38 => FlinkType::Decimal { precision, scale },
        _ => data_type.clone(),
    }
}

fn from_text(data_type: &FlinkType, bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    Some(match data_type {
        FlinkType::Boolean => match text.trim().to_ascii_lowercase().as_str() {
            "t" | "true" | "on" | "yes" | "1" => "true".to_string(),
            "f" | "false" | "off" | "no" | "0" => "false".to_string(),
            _ => return None,
        },
        FlinkType::Binary(_) | FlinkType::Varbinary(_) | FlinkType::Bytes => text.strip_prefix("\\x")?.to_string(),
        FlinkType::TimestampLtz(_) => instant(text)?.to_string(),
        _ => text.to_string(),
    })
}

/// Microseconds since the epoch of `2020-10-10 08:15:00.12+02`, `…+02:30`, `…Z`; without a zone it is UTC.
fn instant(text: &str) -> Option<i64> {
    let text = text.trim().replace('T', " ");
    let zone_at = text.get(10..)?.find(['+', '-', 'Z']).map(|at| at + 10);
    let (local, zone) = text.split_at(zone_at.unwrap_or(text.len()));
    let date: Vec<i64> = local.get(..10)?.split('-').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let [year, month, day] = date[..] else { return None };
    let (clock, fraction) = local.get(10..)?.trim().split_once('.').unwrap_or((local.get(10..)?.trim(), ""));
    let clock: Vec<i64> = clock.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let [hours, minutes, seconds] = clock[..] else { return None };
    let fraction: i64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    let offset = match zone {
        "" | "Z" => 0,
        zone => {
            let sign = if zone.starts_with('-') { -1 } else { 1 };
            let mut parts = zone[1..].split(':').map(|part| part.parse::<i64>().ok());
            let (hours, minutes) = (parts.next()??, parts.next().map_or(Some(0), |m| m)?);
            sign * (hours * 3600 + minutes * 60)
        }
    };
    let days = days_from_civil(year, month, day);
    Some((days * 86_400 + hours * 3600 + minutes * 60 + seconds - offset) * 1_000_000 + fraction)
}

/// Days since the epoch of a date (Howard Hinnant's days_from_civil).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted = (month + 9) % 12;
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn from_binary(data_type: &FlinkType, bytes: &[u8]) -> Option<String> {
    use FlinkType as T;
    Some(match data_type {
        T::TinyInt | T::SmallInt => i16::from_be_bytes(bytes.try_into().ok()?).to_string(),
        T::Int => i32::from_be_bytes(bytes.try_into().ok()?).to_string(),
        // Object identifiers have half the length.
        T::BigInt => match bytes.len() {
            4 => u32::from_be_bytes(bytes.try_into().ok()?).to_string(),
            _ => i64::from_be_bytes(bytes.try_into().ok()?).to_string(),
        },
        T::Float => f32::from_be_bytes(bytes.try_into().ok()?).to_string(),
        T::Double => f64::from_be_bytes(bytes.try_into().ok()?).to_string(),
        T::Decimal { .. } => numeric::decode(bytes)?,
        T::Boolean => match bytes {
            [0] => "false".to_string(),
            [1] => "true".to_string(),
            _ => return None,
        },
        T::Char(_) | T::Varchar(_) | T::String | T::Null => std::str::from_utf8(bytes).ok()?.to_string(),
        T::Binary(_) | T::Varbinary(_) | T::Bytes => bytes.iter().map(|b| format!("{b:02x}")).collect(),
        T::Date => date_text(i64::from(i32::from_be_bytes(bytes.try_into().ok()?)) * DAY_MICROS + EPOCH_MICROS),
        T::Time(_) => clock_text(i64::from_be_bytes(bytes.try_into().ok()?)),
        T::Timestamp(_) => {
            let micros = i64::from_be_bytes(bytes.try_into().ok()?).checked_add(EPOCH_MICROS)?;
            format!("{} {}", date_text(micros), clock_text(micros.rem_euclid(DAY_MICROS)))
        }
        T::Array(item) => format!("{{{}}}", array(&item.data_type, bytes)?.join(",")),
        T::TimestampLtz(_) => i64::from_be_bytes(bytes.try_into().ok()?).checked_add(EPOCH_MICROS)?.to_string(),
        _ => return None,
    })
}

/// The items of an array of one dimension without NULLs.
fn array(item: &FlinkType, bytes: &[u8]) -> Option<Vec<String>> {
    let number = |at: usize| Some(i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    if number(0)? == 0 {
        return Some(Vec::new());
    }
    let count = number(12).filter(|_| number(0) == Some(1))?;
    let mut at = 20;
    (0..count)
        .map(|_| {
            let length = usize::try_from(number(at)?).ok()?;
            let value = from_binary(item, bytes.get(at + 4..at + 4 + length)?);
            at += 4 + length;
            value
        })
        .collect()
}

/// The day of a moment, as `2020-10-10`.
fn date_text(micros: i64) -> String {
    let days = i32::try_from(micros.div_euclid(DAY_MICROS)).unwrap_or_default();
    crate::render::value_text(&arrow::array::Date32Array::from(vec![days]), 0)
}

/// Microseconds of the day, as `08:15:00.120000`.
fn clock_text(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    format!("{:02}:{:02}:{:02}.{:06}", seconds / 3600, seconds / 60 % 60, seconds % 60, micros % 1_000_000)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn texts_and_bytes_of_one_value_agree() {
        let check = |data_type: FlinkType, text: &str, bytes: &[u8], value: &str| {
            let binary = decode(1, &data_type, Some(bytes), true).unwrap();
            assert_eq!(binary.value.as_deref(), Some(value), "{data_type}");
            assert_eq!(decode(1, &data_type, Some(text.as_bytes()), false).unwrap().value.as_deref(), Some(value));
        };
        check(FlinkType::Int, "-5", &(-5i32).to_be_bytes(), "-5");
        check(FlinkType::Boolean, "t", &[1], "true");
        check(FlinkType::Bytes, "\\x00ff", &[0, 255], "00ff");
        check(FlinkType::Date, "2000-01-03", &2i32.to_be_bytes(), "2000-01-03");
        let micros = 61_000_001i64;
        check(
            FlinkType::Timestamp(6),
            "2000-01-01 00:01:01.000001",
            &micros.to_be_bytes(),
            "2000-01-01 00:01:01.000001",
        );
        let epoch = (EPOCH_MICROS + micros).to_string();
        check(FlinkType::TimestampLtz(6), "2000-01-01 02:31:01.000001+02:30", &micros.to_be_bytes(), &epoch);
        assert_eq!(instant("1999-12-31 19:00:00-05"), Some(EPOCH_MICROS));
        assert_eq!(instant("2000-01-01T00:00:00Z"), Some(EPOCH_MICROS));
    }

    #[test]
    fn numbers_get_the_digits_that_they_have() {
        let decimal = FlinkType::Decimal { precision: 38, scale: 18 };
        let parameter = decode(1, &decimal, Some(b"-12.50"), false).unwrap();
        assert_eq!(parameter.data_type, FlinkType::Decimal { precision: 4, scale: 2 });
        assert!(decode(2, &FlinkType::Int, Some(&[1]), true).unwrap_err().message.contains("$2"));
    }
}
