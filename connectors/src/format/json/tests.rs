//! The `json` format against results of Flink 2.3 (the project's conformance cases), serde_json, and random bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Schema, SchemaRef, TimeUnit};
use eddyline_engine::connector::Options;
use eddyline_engine::error::Result;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use crate::format::{Decoder, Messages, create, specs};

fn options(pairs: &[(&str, &str)]) -> Options {
    let mut values: BTreeMap<String, String> = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    values.entry("format".into()).or_insert("json".into());
    Options::check("test", &values, specs("")).unwrap()
}

fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(fields.iter().map(|(n, t)| Field::new(*n, t.clone(), true)).collect::<Vec<_>>()))
}

fn decoder(schema: &SchemaRef, pairs: &[(&str, &str)]) -> Box<dyn Decoder> {
    create(&options(pairs), "").unwrap().decoder(schema.clone()).unwrap()
}

/// The rows of `decoder` as the encoder writes them, one per line, decimals with all digits.
fn written(schema: &SchemaRef, decoder: &mut dyn Decoder) -> Vec<String> {
    let format = create(&options(&[("json.encode.decimal-as-plain-number", "true")]), "").unwrap();
    let mut out = Messages::new();
    format.encoder(schema.clone()).unwrap().encode(&decoder.take().unwrap(), &mut out).unwrap();
    out.iter().map(|m| String::from_utf8(m.to_vec()).unwrap()).collect()
}

fn read(schema: &SchemaRef, pairs: &[(&str, &str)], lines: &[&str]) -> Result<Vec<String>> {
    let mut decoder = decoder(schema, pairs);
    for line in lines {
        decoder.decode(line.as_bytes())?;
    }
    Ok(written(schema, decoder.as_mut()))
}

fn list(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, true)))
}

fn row(fields: &[(&str, DataType)]) -> DataType {
    DataType::Struct(fields.iter().map(|(n, t)| Field::new(*n, t.clone(), true)).collect::<Fields>())
}

fn map(key: DataType, value: DataType) -> DataType {
    let parts = Fields::from(vec![Field::new("key", key, false), Field::new("value", value, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(parts), false)), false)
}

use DataType::{Boolean, Date32, Decimal128, Float64, Int8, Int16, Int32, Int64, Utf8};

fn timestamp(unit: TimeUnit) -> DataType {
    DataType::Timestamp(unit, None)
}

fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

#[test]
fn values_are_coerced_as_in_flink() {
    let schema = schema(&[
        ("id", Int32),
        ("i", Int32),
        ("b", Boolean),
        ("s", Utf8),
        ("dbl", Float64),
        ("dec", Decimal128(6, 2)),
        ("big", Int64),
    ]);
    let lines = [
        r#"{"id": 1, "i": 5, "b": true, "s": "text", "dbl": 1.5, "dec": 2.5, "big": 9007199254740993}"#,
        r#"{"id": 2}"#,
        r#"{"id": 3, "i": null, "b": null, "s": null, "dbl": null, "dec": null, "big": null, "extra": [1, 2]}"#,
        r#"{"id": "4", "i": "7", "b": "true", "s": 12, "dbl": "2.25", "dec": "3.3", "big": "8"}"#,
        r#"{"id": 5, "s": {"k": [1, {"z": null}], "a": "ü"}, "dbl": 3, "dec": 4}"#,
        r#"{"i": 6, "s": [1, "x"], "b": false, "dec": 1.005}"#,
        r#"{"id": 7, "s": true, "I": 99, "dbl": 1e3}"#,
        r#"{"id": 8, "s": "line\nbreak \"quoted\" \u00e9 \ud83d\ude00", "b": "TRUE"}"#,
    ];
    let expected = [
        r#"{"id":1,"i":5,"b":true,"s":"text","dbl":1.5,"dec":2.50,"big":9007199254740993}"#,
        r#"{"id":2,"i":null,"b":null,"s":null,"dbl":null,"dec":null,"big":null}"#,
        r#"{"id":3,"i":null,"b":null,"s":null,"dbl":null,"dec":null,"big":null}"#,
        r#"{"id":4,"i":7,"b":true,"s":"12","dbl":2.25,"dec":3.30,"big":8}"#,
        r#"{"id":5,"i":null,"b":null,"s":"{\"k\":[1,{\"z\":null}],\"a\":\"ü\"}","dbl":3.0,"dec":4.00,"big":null}"#,
        r#"{"id":null,"i":6,"b":false,"s":"[1,\"x\"]","dbl":null,"dec":1.01,"big":null}"#,
        r#"{"id":7,"i":null,"b":null,"s":"true","dbl":1000.0,"dec":null,"big":null}"#,
        r#"{"id":8,"i":null,"b":true,"s":"line\nbreak \"quoted\" é 😀","dbl":null,"dec":null,"big":null}"#,
    ];
    assert_eq!(read(&schema, &[], &lines).unwrap(), expected);
}

#[test]
fn bad_fields_become_null_and_bad_messages_are_counted() {
    let schema = schema(&[("id", Int32), ("n", Int32), ("ts", timestamp(TimeUnit::Millisecond)), ("s", Utf8)]);
    let lines = [
        r#"{"id": 1, "n": 1, "ts": "2024-01-01 00:00:00", "s": "ok"}"#,
        r#"{"id": 2, "n": "many", "ts": "2024-01-01 00:00:00", "s": "bad number"}"#,
        r#"{"id": 3, "n": 3, "ts": "yesterday", "s": "bad time"}"#,
        "this is not json",
        r#"{"id": 4, "n": 4.0, "s": "cut"#,
        r#"{"id": 5, "n": [5], "ts": null, "s": "array for number"}"#,
        r#"{"id": 6, "n": 6.7, "s": "fraction for INT"}"#,
        r#"{"id": 7, "n": "", "s": "empty text for number"}"#,
        r#"{"id": 8, "n": 99999999999, "s": "too large"}"#,
    ];
    let mut decoder = decoder(&schema, &[("json.ignore-parse-errors", "true")]);
    for line in lines {
        decoder.decode(line.as_bytes()).unwrap();
    }
    assert_eq!(decoder.skipped(), 2);
    let expected = [
        r#"{"id":1,"n":1,"ts":"2024-01-01 00:00:00","s":"ok"}"#,
        r#"{"id":2,"n":null,"ts":"2024-01-01 00:00:00","s":"bad number"}"#,
        r#"{"id":3,"n":3,"ts":null,"s":"bad time"}"#,
        r#"{"id":5,"n":null,"ts":null,"s":"array for number"}"#,
        r#"{"id":6,"n":6,"ts":null,"s":"fraction for INT"}"#,
        r#"{"id":7,"n":null,"ts":null,"s":"empty text for number"}"#,
        r#"{"id":8,"n":null,"ts":null,"s":"too large"}"#,
    ];
    assert_eq!(written(&schema, decoder.as_mut()), expected);
}

fn nested_schema() -> SchemaRef {
    let geo = row(&[("lat", Float64), ("lon", Float64)]);
    schema(&[
        ("id", Int32),
        ("nums", list(Int32)),
        ("props", map(Utf8, Utf8)),
        ("addr", row(&[("city", Utf8), ("geo", geo)])),
        ("people", list(row(&[("n", Utf8), ("a", Int32)]))),
    ])
}

#[test]
fn nested_values_with_missing_parts_at_every_level() {
    let lines = [
        r#"{"id": 1, "nums": [3, 1], "props": {"a": "1", "b": "2"}, "addr": {"city": "Oslo", "geo": {"lat": 59.9, "lon": 10.7}}, "people": [{"n": "p", "a": 1}, {"n": "q", "a": null}]}"#,
        r#"{"id": 2, "nums": [], "props": {}, "addr": {"city": null, "geo": null}, "people": []}"#,
        r#"{"id": 3, "nums": null, "props": null, "addr": null, "people": null}"#,
        r#"{"id": 4, "nums": [null, 7], "props": {"ключ": "значение", "c": null}, "addr": {"city": "", "geo": {"lat": 0.0, "lon": null}}, "people": [null, {"n": "", "a": 3}]}"#,
        r#"{"id": 5, "nums": [5], "props": {"a": ""}, "addr": {"geo": {"lon": -1.5}}, "people": [{"a": 9}]}"#,
    ];
    let expected = [
        r#"{"id":1,"nums":[3,1],"props":{"a":"1","b":"2"},"addr":{"city":"Oslo","geo":{"lat":59.9,"lon":10.7}},"people":[{"n":"p","a":1},{"n":"q","a":null}]}"#,
        r#"{"id":2,"nums":[],"props":{},"addr":{"city":null,"geo":null},"people":[]}"#,
        r#"{"id":3,"nums":null,"props":null,"addr":null,"people":null}"#,
        r#"{"id":4,"nums":[null,7],"props":{"ключ":"значение","c":null},"addr":{"city":"","geo":{"lat":0.0,"lon":null}},"people":[null,{"n":"","a":3}]}"#,
        r#"{"id":5,"nums":[5],"props":{"a":""},"addr":{"city":null,"geo":{"lat":null,"lon":-1.5}},"people":[{"n":null,"a":9}]}"#,
    ];
    assert_eq!(read(&nested_schema(), &[], &lines).unwrap(), expected);
}

#[test]
fn arrays_of_objects_give_a_row_each_and_blank_messages_none() {
    let schema = schema(&[("id", Int32), ("s", Utf8)]);
    let lines =
        [r#"[{"id": 1, "s": "a"}, {"id": 2, "s": "b"}]"#, r#"{"id": 3, "s": "c"}"#, "", " \t", "[]", r#"[{"id": 4}]"#];
    let expected = [r#"{"id":1,"s":"a"}"#, r#"{"id":2,"s":"b"}"#, r#"{"id":3,"s":"c"}"#, r#"{"id":4,"s":null}"#];
    assert_eq!(read(&schema, &[], &lines).unwrap(), expected);
}

#[test]
fn times_in_sql_form() {
    let schema = schema(&[
        ("d", Date32),
        ("tm", DataType::Time32(TimeUnit::Second)),
        ("ts", timestamp(TimeUnit::Millisecond)),
        ("ts6", timestamp(TimeUnit::Microsecond)),
        ("ts0", timestamp(TimeUnit::Second)),
        ("l", instant()),
    ]);
    let line = r#"{"d": "1999-12-31", "tm": "23:59:59", "ts": "1999-12-31 23:59:59.9", "ts6": "1999-12-31 23:59:59.1", "ts0": "1999-12-31 23:59:59", "l": "1999-12-31 23:59:59.123Z"}"#;
    let expected = r#"{"d":"1999-12-31","tm":"23:59:59","ts":"1999-12-31 23:59:59.9","ts6":"1999-12-31 23:59:59.1","ts0":"1999-12-31 23:59:59","l":"1999-12-31 23:59:59.123Z"}"#;
    assert_eq!(read(&schema, &[], &[line]).unwrap(), [expected]);
    for line in [r#"{"d": 5}"#, r#"{"ts": "1999-12-31T23:59:59"}"#, r#"{"l": "1999-12-31 23:59:59"}"#, r#"{"tm": ""}"#]
    {
        assert!(read(&schema, &[], &[line]).is_err(), "{line}");
    }
}

#[test]
fn times_in_iso_form_read_and_written() {
    let schema = schema(&[("ts", timestamp(TimeUnit::Millisecond)), ("l", instant())]);
    let iso = [("json.timestamp-format.standard", "ISO-8601"), ("json.encode.ignore-null-fields", "true")];
    let mut decoder = decoder(&schema, &iso);
    decoder.decode(br#"{"ts": "2024-02-29T08:15:00.25", "l": "2024-02-29T08:15:00Z"}"#).unwrap();
    decoder.decode(br#"{"ts": null}"#).unwrap();
    assert!(decoder.decode(br#"{"ts": "2024-02-29 08:15:00"}"#).is_err());
    let mut out = Messages::new();
    let format = create(&options(&iso), "").unwrap();
    format.encoder(schema.clone()).unwrap().encode(&decoder.take().unwrap(), &mut out).unwrap();
    let lines: Vec<&[u8]> = out.iter().collect();
    assert_eq!(lines, [br#"{"ts":"2024-02-29T08:15:00.25","l":"2024-02-29T08:15:00Z"}"#.as_slice(), b"{}"]);
}

#[test]
fn decimals_are_written_short_unless_asked_plain() {
    let schema = schema(&[("price", Decimal128(10, 2))]);
    let mut decoder = decoder(&schema, &[]);
    for line in [r#"{"price": 3.50}"#, r#"{"price": 1.00}"#, r#"{"price": 100000}"#, r#"{"price": 1e9}"#] {
        decoder.decode(line.as_bytes()).unwrap();
    }
    let mut out = Messages::new();
    let format = create(&options(&[]), "").unwrap();
    format.encoder(schema).unwrap().encode(&decoder.take().unwrap(), &mut out).unwrap();
    let lines: Vec<&str> = out.iter().map(|m| std::str::from_utf8(m).unwrap()).collect();
    assert_eq!(lines, [r#"{"price":3.5}"#, r#"{"price":1}"#, r#"{"price":1E+5}"#, r#"{"price":null}"#]);
}

#[test]
fn a_bad_message_leaves_no_trace_and_the_next_one_is_read() {
    let schema = nested_schema();
    let mut decoder = decoder(&schema, &[]);
    decoder.decode(br#"{"id": 1, "nums": [1], "props": {"a": "x"}}"#).unwrap();
    for bad in [
        r#"{"id": 2, "nums": [1, 2, "x"], "props": {"b": "y"}}"#,
        r#"{"props": {"b": "y", "c": "z"}, "people": [{"n": "p", "a": 1}, {"n": "q", "a": "no"}]}"#,
        r#"{"addr": {"city": "Rome", "geo": {"lat": 1, "lon": true}}}"#,
        r#"[{"id": 3}, {"id": 4, "nums": [7]}, {"id": "x"}]"#,
        r#"{"id": 5} {"id": 6}"#,
        r#"{"id": 7, "addr": {"city": "cut"#,
    ] {
        assert!(decoder.decode(bad.as_bytes()).is_err(), "{bad}");
        assert_eq!(decoder.rows(), 1, "{bad}");
    }
    decoder.decode(br#"{"id": 8, "props": {"d": "z"}, "people": [{"n": "r"}]}"#).unwrap();
    let expected = [
        r#"{"id":1,"nums":[1],"props":{"a":"x"},"addr":null,"people":null}"#,
        r#"{"id":8,"nums":null,"props":{"d":"z"},"addr":null,"people":[{"n":"r","a":null}]}"#,
    ];
    assert_eq!(written(&schema, decoder.as_mut()), expected);
    assert_eq!(decoder.rows(), 0);
}

#[test]
fn errors_name_field_type_and_byte() {
    let schema = nested_schema();
    for (line, parts) in [
        (r#"{"id": "x1"}"#, ["Failed to deserialize JSON '{\"id\": \"x1\"}'", "field 'id': expected INT", "at byte 7"]),
        (r#"{"addr":{"geo":{"lat":"n"}}}"#, ["field 'addr.geo.lat'", "expected DOUBLE, found \"n\"", "at byte 22"]),
        (r#"{"id": 1"#, ["expected ',' or '}'", "found the end of the message", "at byte 8"]),
        (r#"{"id": }"#, ["field 'id'", "expected a JSON value, found '}'", "at byte 7"]),
        ("nope", ["expected an object", "found 'n'", "at byte 0"]),
        (r#"{"props": "x"}"#, ["field 'props'", "expected MAP<STRING, STRING>", "at byte 10"]),
    ] {
        let error = read(&schema, &[], &[line]).unwrap_err();
        for part in parts {
            assert!(error.to_string().contains(part), "{error} lacks {part}");
        }
        assert!(error.hint().unwrap().contains("json.ignore-parse-errors"));
    }
}

#[test]
fn missing_fields_fail_if_asked() {
    let schema = schema(&[("a", Int32), ("b", row(&[("c", Int32)]))]);
    let strict = [("json.fail-on-missing-field", "true")];
    assert!(read(&schema, &strict, &[r#"{"a": null, "b": {"c": null}, "x": 1}"#]).is_ok());
    let error = read(&schema, &strict, &[r#"{"a": 1, "b": {}}"#]).unwrap_err().to_string();
    assert!(error.contains("field 'b': Could not find field with name 'c'"), "{error}");
    let both = options(&[("json.fail-on-missing-field", "true"), ("json.ignore-parse-errors", "true")]);
    let error = create(&both, "").err().unwrap().to_string();
    assert_eq!(error, "fail-on-missing-field and ignore-parse-errors shouldn't both be true.");
}

#[test]
fn null_in_a_not_null_column_is_a_bad_message() {
    let inner = DataType::Struct(vec![Field::new("k", Int32, false)].into());
    let fields = vec![Field::new("id", Int32, false), Field::new("r", inner, true)];
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let error = read(&schema, &[], &[r#"{"r": null}"#]).unwrap_err().to_string();
    assert!(error.contains("Column 'id' is NOT NULL, however, a null value"), "{error}");
    assert!(read(&schema, &[], &[r#"{"id": 1, "r": {}}"#]).is_err());
    let lenient = [("json.ignore-parse-errors", "true")];
    let lines =
        [r#"{"id": "x"}"#, r#"{"id": 2, "r": {"k": "y"}}"#, r#"{"id": 3, "r": null}"#, r#"{"id": 4, "r": {"k": 5}}"#];
    let rows = read(&schema, &lenient, &lines).unwrap();
    assert_eq!(rows, [r#"{"id":3,"r":null}"#, r#"{"id":4,"r":{"k":5}}"#]);
}

#[test]
fn the_last_of_equal_keys_counts() {
    let schema = schema(&[("a", Int32), ("m", map(Utf8, Int32))]);
    let lines =
        [r#"{"a": 1, "a": null, "a": 2, "m": {"x": 1, "y": 2, "x": 3, "x": 4}, "m": {"z": 1, "z": 2}}"#, r#"{"a": 1}"#];
    assert_eq!(read(&schema, &[], &lines).unwrap(), [r#"{"a":2,"m":{"z":2}}"#, r#"{"a":1,"m":null}"#]);
    let lines = [r#"{"m": {"x": 1, "y": 2, "x": 3, "x": 4}}"#];
    assert_eq!(read(&schema, &[], &lines).unwrap(), [r#"{"a":null,"m":{"y":2,"x":4}}"#]);
}

#[test]
fn number_limits() {
    let schema =
        schema(&[("t", Int8), ("s", Int16), ("i", Int32), ("b", Int64), ("d", Float64), ("f", DataType::Float32)]);
    let good = [
        r#"{"t":-128,"s":32767,"i":-2147483648,"b":-9223372036854775808,"d":1.7976931348623157e308,"f":3.4e38}"#,
        r#"{"i":2.9e2,"b":-0.9,"d":-0,"f":"NaN"}"#,
        r#"{"b":9223372036854775807,"d":"-Infinity","f":1}"#,
        r#"{"d":123456789012345678901234567890,"b":1e18}"#,
    ];
    let expected = [
        r#"{"t":-128,"s":32767,"i":-2147483648,"b":-9223372036854775808,"d":1.7976931348623157E308,"f":3.4E38}"#,
        r#"{"t":null,"s":null,"i":290,"b":0,"d":-0.0,"f":"NaN"}"#,
        r#"{"t":null,"s":null,"i":null,"b":9223372036854775807,"d":"-Infinity","f":1.0}"#,
        r#"{"t":null,"s":null,"i":null,"b":1000000000000000000,"d":1.2345678901234568E29,"f":null}"#,
    ];
    assert_eq!(read(&schema, &[], &good).unwrap(), expected);
    for bad in [
        r#"{"t":128}"#,
        r#"{"t":1.0}"#,
        r#"{"s":32768}"#,
        r#"{"s":1e2}"#,
        r#"{"i":2147483648}"#,
        r#"{"i":1e10}"#,
        r#"{"b":9223372036854775808}"#,
        r#"{"b":1e19}"#,
        r#"{"b":123456789012345678901234567890}"#,
        r#"{"d":NaN}"#,
        r#"{"d":Infinity}"#,
        r#"{"d":01}"#,
        r#"{"d":.5}"#,
        r#"{"d":1.}"#,
        r#"{"d":+1}"#,
        r#"{"d":1e}"#,
        r#"{"d":-}"#,
        r#"{"d":0x1}"#,
        r#"{"d":tru}"#,
        r#"{"d":nulls}"#,
        r#"{"i":true}"#,
        r#"{"b":"1.5"}"#,
    ] {
        assert!(read(&schema, &[], &[bad]).is_err(), "{bad}");
    }
}

#[test]
fn text_of_all_kinds() {
    let schema = schema(&[("s", Utf8), ("x", DataType::Binary)]);
    for (written_as, text) in [
        (r#""\u0041\ud83d\ude00\u00e9""#, "A😀é"),
        (r#""\ud83d""#, "?"),
        (r#""\ude00\ud83dx""#, "??x"),
        (r#""\ud83d\u0041""#, "?A"),
        (r#""\/\b\f\n\r\t\\\"""#, "/\u{8}\u{c}\n\r\t\\\""),
        ("\"raw\ttab and\u{1} control\"", "raw\ttab and\u{1} control"),
        ("\"日本 ü ключ, long enough for words\"", "日本 ü ключ, long enough for words"),
        (r#"1.50"#, "1.50"),
        (r#"-0"#, "-0"),
        (r#"[1.50, 1e3, {"a" : "\u00e9\n" }, [ ], {}, true]"#, r#"[1.5,1000.0,{"a":"é\n"},[],{},true]"#),
    ] {
        let mut decoder = decoder(&schema, &[]);
        decoder.decode(format!("{{\"s\": {written_as}}}").as_bytes()).unwrap();
        assert_eq!(decoder.take().unwrap().column(0).as_string::<i32>().value(0), text, "{written_as}");
    }
    let bad: [&[u8]; 7] = [
        b"{\"s\": \"\xff\"}",
        b"{\"s\": \"\\x\"}",
        b"{\"s\": \"\\u12g4\"}",
        b"{\"s\": \"abc\\",
        b"{\"s\": \"abc\\\"",
        b"{\"x\": \"YQ\"}",
        b"{\"s\": {\"a\": \"\xc3\"}}",
    ];
    for bad in bad {
        assert!(decoder(&schema, &[]).decode(bad).is_err(), "{}", String::from_utf8_lossy(bad));
    }
    assert_eq!(read(&schema, &[], &[r#"{"x": "YWI="}"#]).unwrap(), [r#"{"s":null,"x":"YWI="}"#]);
}

#[test]
fn depth_is_limited_without_overflowing_the_stack() {
    let schema = schema(&[("s", Utf8), ("n", Int32)]);
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for key in ["s", "unknown"] {
            let deep = |levels: usize| {
                let inner = if open == "[" { "" } else { "1" };
                format!("{{\"{key}\": {}{inner}{}}}", open.repeat(levels), close.repeat(levels))
            };
            assert!(read(&schema, &[], &[&deep(900)]).is_ok());
            let error = read(&schema, &[], &[&deep(200_000)]).unwrap_err().to_string();
            assert!(error.contains("nested deeper than 1000 levels"), "{}", &error[error.len() - 100..]);
        }
    }
}

#[test]
fn maps_need_text_keys() {
    let error = create(&options(&[]), "").unwrap().decoder(schema(&[("m", map(Int32, Int32))])).err().unwrap();
    assert!(error.to_string().contains("doesn't support non-string as key type of map. The type is: MAP<INT, INT>"));
}

#[test]
fn any_key_order_gives_what_serde_json_reads() {
    let schema =
        schema(&[("a", Int64), ("b", Utf8), ("c", Float64), ("d", Boolean), ("ä\"", Utf8), ("f", list(Int64))]);
    let mut random = StdRng::seed_from_u64(7);
    let mut decoder = decoder(&schema, &[]);
    let mut expected = Vec::new();
    for message in 0..3000 {
        let mut parts = random_parts(&mut random);
        // Runs of messages with one order, then another one.
        if message % 50 > 40 {
            parts.shuffle(&mut random);
        }
        let space = [" ", "", "  \n"][random.random_range(0..3)];
        let text: Vec<String> = parts.iter().map(|(k, v)| format!("{k}{space}:{space}{v}")).collect();
        let text = format!("{space}{{{space}{}{space}}}{space}", text.join(&format!("{space},{space}")));
        let value: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
        let row = schema.fields().iter().map(|f| (f.name().clone(), value.get(f.name()).cloned().unwrap_or_default()));
        expected.push(serde_json::Value::Object(row.collect()));
        decoder.decode(text.as_bytes()).unwrap();
    }
    let read = written(&schema, decoder.as_mut());
    assert_eq!(read.len(), expected.len());
    for (line, value) in read.iter().zip(expected) {
        assert_eq!(serde_json::from_str::<serde_json::Value>(line).unwrap(), value);
    }
}

fn random_parts(random: &mut StdRng) -> Vec<(String, String)> {
    let texts = [r#""x""#, r#""""#, r#""a\"b\\c\u00e9""#, r#""日本語のテキスト、長い""#, "null"];
    let mut parts = vec![
        ("\"a\"".to_string(), random.random::<i64>().to_string()),
        ("\"b\"".to_string(), texts[random.random_range(0..texts.len())].to_string()),
        ("\"c\"".to_string(), format!("{:.1}", random.random_range(-1e6..1e6))),
        ("\"unknown\"".to_string(), r#"{"a": [1, "]"], "b": {"a": 1}}"#.to_string()),
        ("\"d\"".to_string(), random.random::<bool>().to_string()),
        (
            if random.random() { r#""ä\"""# } else { r#""\u00e4\u0022""# }.to_string(),
            r#""key with escapes""#.to_string(),
        ),
        ("\"f\"".to_string(), format!("[{}, null, 3]", random.random::<i32>())),
    ];
    if random.random_range(0..10) == 0 {
        let at = random.random_range(0..parts.len());
        parts.remove(at);
    }
    parts
}

#[test]
fn random_and_mutilated_bytes_never_panic() {
    let schema = nested_schema();
    let mut random = StdRng::seed_from_u64(11);
    let good = br#"{"id": 12, "nums": [3, -1.5e2], "props": {"a": "\u00e9\n"}, "addr": {"city": "Oslo", "geo": {"lat": 59.9}}, "people": [{"n": "p", "a": "7"}], "more": [{}, "x", null]}"#;
    let bytes = b"{}[]\",:\\ 0123456789eE+-.tfnu\xff\xc3aZ\x00";
    for ignore in ["true", "false"] {
        let mut decoder = decoder(&schema, &[("json.ignore-parse-errors", ignore)]);
        for round in 0..20_000 {
            let mut message = good.to_vec();
            if round % 4 == 0 {
                message = (0..random.random_range(0..60)).map(|_| bytes[random.random_range(0..bytes.len())]).collect();
            }
            for _ in 0..random.random_range(0..4) {
                if message.is_empty() {
                    break;
                }
                let at = random.random_range(0..message.len());
                match random.random_range(0..3) {
                    0 => message[at] = bytes[random.random_range(0..bytes.len())],
                    1 => drop(message.remove(at)),
                    _ => message.truncate(at),
                }
            }
            let rows = decoder.rows();
            let outcome = decoder.decode(&message);
            assert!(outcome.is_ok() || decoder.rows() == rows);
            if outcome.is_ok() && ignore == "false" && !message.trim_ascii().is_empty() {
                // What we accept is JSON for serde_json too, but for lone surrogates and control characters in text.
                let text = String::from_utf8_lossy(&message);
                let lax = text.contains("\\u")
                    || message.iter().any(|b| *b < 32)
                    || message.contains(&0xff)
                    || message.contains(&0xc3);
                assert!(lax || serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
            }
        }
        let rows = decoder.rows();
        let batch = decoder.take().unwrap();
        assert_eq!(batch.len(), rows);
        assert!(rows > 1000);
        assert!(batch.column(0).as_primitive::<Int32Type>().values().contains(&12));
    }
}
