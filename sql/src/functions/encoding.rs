//! Hashes and encodings: MD5, SHA1, SHA2, base64, character sets, URLs.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use datafusion_common::Result;
use sha2::Digest as _;

use super::call::{Call, Function, Kind, data_error};
use super::returns;

/// The functions of this file.
pub(super) fn functions() -> Vec<Function> {
    const T: &[Kind] = &[Kind::Text];
    const TT: &[Kind] = &[Kind::Text, Kind::Text];
    macro_rules! hash {
        ($name:literal, $f:expr) => {
            Function::new($name, &[Kind::TextOrBytes], returns::text, |call| hashed(call, $f))
        };
    }
    vec![
        hash!("md5", |b| hex(&<md5::Md5 as md5::Digest>::digest(b))),
        hash!("sha1", |b| hex(&<sha1::Sha1 as sha1::Digest>::digest(b))),
        hash!("sha224", |b| hex(&sha2::Sha224::digest(b))),
        hash!("sha256", |b| hex(&sha2::Sha256::digest(b))),
        hash!("sha384", |b| hex(&sha2::Sha384::digest(b))),
        hash!("sha512", |b| hex(&sha2::Sha512::digest(b))),
        Function::new("sha2", &[Kind::TextOrBytes, Kind::Int], returns::text, sha2_of),
        Function::new("to_base64", &[Kind::TextOrBytes], returns::text, |call| hashed(call, |b| STANDARD.encode(b))),
        Function::new("from_base64", T, returns::text, from_base64).nullable(),
        Function::new("encode", TT, returns::bytes, encode).nullable(),
        Function::new("decode", &[Kind::Bytes, Kind::Text], returns::text, decode).nullable(),
        Function::new("url_encode", T, returns::text, url_encode),
        Function::new("url_decode", T, returns::text, |call| url_decode(call, false)).nullable(),
        Function::new("url_decode_recursive", T, returns::text, |call| url_decode(call, true)).nullable(),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The bytes of a text or binary argument.
fn over_bytes<R>(call: &Call<'_>, mut f: impl FnMut(usize, &[u8]) -> R) -> Result<Vec<Option<R>>> {
    if call.arg(0)?.0.data_type() == &DataType::Binary {
        let bytes = call.bytes(0)?;
        return Ok((0..call.rows).map(|row| bytes.get(row).map(|b| f(row, b))).collect());
    }
    let text = call.text(0)?;
    Ok((0..call.rows).map(|row| text.get(row).map(|t| f(row, t.as_bytes()))).collect())
}

fn hashed(call: &Call<'_>, f: impl Fn(&[u8]) -> String) -> Result<ArrayRef> {
    let mut hashes = over_bytes(call, |_, bytes| f(bytes))?;
    call.texts(|row| Ok(hashes[row].take()))
}

fn sha2_of(call: &Call<'_>) -> Result<ArrayRef> {
    let lengths = call.int(1)?;
    let mut hashes = over_bytes(call, |row, bytes| match lengths.get(row) {
        Some(224) => Ok(Some(hex(&sha2::Sha224::digest(bytes)))),
        Some(256) => Ok(Some(hex(&sha2::Sha256::digest(bytes)))),
        Some(384) => Ok(Some(hex(&sha2::Sha384::digest(bytes)))),
        Some(512) => Ok(Some(hex(&sha2::Sha512::digest(bytes)))),
        Some(_) => Err(data_error("Unsupported algorithm: SHA2 knows 224, 256, 384 and 512 bits")),
        None => Ok(None),
    })?;
    call.texts(|row| hashes[row].take().transpose().map(Option::flatten))
}

fn from_base64(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.text(0)?;
    call.texts(|row| {
        let bytes = text.get(row).and_then(|t| STANDARD.decode(t).ok());
        Ok(bytes.map(|b| String::from_utf8_lossy(&b).into_owned()))
    })
}

/// Character sets that both ends of ENCODE and DECODE know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Charset {
    Utf8,
    Ascii,
    Latin1,
    Utf16 { big_endian: bool, mark: bool },
}

impl Charset {
    fn named(name: &str) -> Option<Charset> {
        Some(match name.to_ascii_uppercase().as_str() {
            "UTF-8" | "UTF8" => Charset::Utf8,
            "US-ASCII" | "ASCII" => Charset::Ascii,
            "ISO-8859-1" | "LATIN1" => Charset::Latin1,
            "UTF-16BE" => Charset::Utf16 { big_endian: true, mark: false },
            "UTF-16LE" => Charset::Utf16 { big_endian: false, mark: false },
            "UTF-16" => Charset::Utf16 { big_endian: true, mark: true },
            _ => return None,
        })
    }

    fn encode(self, text: &str) -> Vec<u8> {
        let narrow =
            |limit: u32| text.chars().map(move |c| u8::try_from(u32::from(c)).ok().filter(|_| u32::from(c) < limit));
        match self {
            Charset::Utf8 => text.as_bytes().to_vec(),
            Charset::Ascii => narrow(128).map(|b| b.unwrap_or(b'?')).collect(),
            Charset::Latin1 => narrow(256).map(|b| b.unwrap_or(b'?')).collect(),
            Charset::Utf16 { big_endian, mark } => {
                let units = mark.then_some(0xfeff).into_iter().chain(text.encode_utf16());
                units.flat_map(|u: u16| if big_endian { u.to_be_bytes() } else { u.to_le_bytes() }).collect()
            }
        }
    }

    fn decode(self, bytes: &[u8]) -> String {
        match self {
            Charset::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
            Charset::Ascii => bytes.iter().map(|b| if b.is_ascii() { char::from(*b) } else { '\u{fffd}' }).collect(),
            Charset::Latin1 => bytes.iter().map(|b| char::from(*b)).collect(),
            Charset::Utf16 { big_endian, mark } => {
                let little = mark && bytes.starts_with(&[0xff, 0xfe]);
                let unit = |pair: &[u8]| match pair {
                    [a, b] if big_endian && !little => u16::from_be_bytes([*a, *b]),
                    [a, b] => u16::from_le_bytes([*a, *b]),
                    _ => 0xfffd,
                };
                let units: Vec<u16> = bytes.chunks(2).map(unit).filter(|u| !(mark && *u == 0xfeff)).collect();
                String::from_utf16_lossy(&units)
            }
        }
    }
}

fn charset(name: &str) -> Result<Charset> {
    Charset::named(name).ok_or_else(|| data_error(format!("Unsupported encoding: {name}")))
}

fn encode(call: &Call<'_>) -> Result<ArrayRef> {
    let (text, names) = (call.text(0)?, call.text(1)?);
    call.byte_strings(|row| match text.get(row).zip(names.get(row)) {
        Some((text, name)) => Ok(Some(charset(name)?.encode(text))),
        None => Ok(None),
    })
}

fn decode(call: &Call<'_>) -> Result<ArrayRef> {
    let (bytes, names) = (call.bytes(0)?, call.text(1)?);
    call.texts(|row| match bytes.get(row).zip(names.get(row)) {
        Some((bytes, name)) => Ok(Some(charset(name)?.decode(bytes))),
        None => Ok(None),
    })
}

/// As forms encode: blanks are `+`, and only letters, digits and `.-*_` stand for themselves.
fn url_encode(call: &Call<'_>) -> Result<ArrayRef> {
    let text = call.text(0)?;
    let encode = |byte: u8| match byte {
        b' ' => "+".to_string(),
        b'.' | b'-' | b'*' | b'_' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    call.texts(|row| Ok(text.get(row).map(|t| t.bytes().map(encode).collect::<String>())))
}

fn url_decode(call: &Call<'_>, recursive: bool) -> Result<ArrayRef> {
    let text = call.text(0)?;
    call.texts(|row| {
        let Some(mut decoded) = text.get(row).and_then(decode_url) else { return Ok(None) };
        while recursive && let Some(next) = decode_url(&decoded).filter(|next| *next != decoded) {
            decoded = next;
        }
        Ok(Some(decoded))
    })
}

fn decode_url(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = rest.get(2..)?;
            }
            _ => bytes.push(byte),
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
