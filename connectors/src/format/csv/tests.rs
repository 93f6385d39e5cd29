//! The `csv` format against results of Flink 2.3 (the project's conformance cases) and random bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::DataType::{Boolean, Date32, Decimal128, Float64, Int32, Int64, Utf8};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use eddyline_engine::connector::Options;
use eddyline_engine::error::Result;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::format::{Decoder, Format, Messages, create, specs};

fn format(name: &str, pairs: &[(&str, &str)]) -> Arc<dyn Format> {
    let mut values: BTreeMap<String, String> = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    values.insert("format".into(), name.into());
    create(&Options::check("test", &values, specs("")).unwrap(), "").unwrap()
}

fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(fields.iter().map(|(n, t)| Field::new(*n, t.clone(), true)).collect::<Vec<_>>()))
}

fn millis() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, None)
}

/// The rows of `decoder` as JSON arrays of the field values.
fn rows(schema: &SchemaRef, decoder: &mut dyn Decoder) -> Vec<String> {
    let json = format("json", &[("json.encode.decimal-as-plain-number", "true")]);
    let mut out = Messages::new();
    json.encoder(schema.clone()).unwrap().encode(&decoder.take().unwrap(), &mut out).unwrap();
    let values = |message: &[u8]| {
        let row: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(message).unwrap();
        serde_json::to_string(&row.values().collect::<Vec<_>>()).unwrap()
    };
    out.iter().map(values).collect()
}

fn read(schema: &SchemaRef, pairs: &[(&str, &str)], lines: &[&str]) -> Result<Vec<String>> {
    let mut decoder = format("csv", pairs).decoder(schema.clone())?;
    for line in lines {
        decoder.decode(line.as_bytes())?;
    }
    Ok(rows(schema, decoder.as_mut()))
}

#[test]
fn quoted_fields_blanks_and_empty_text() {
    let schema = schema(&[
        ("id", Int32),
        ("s", Utf8),
        ("n", Int64),
        ("amount", Decimal128(8, 2)),
        ("ts", millis()),
        ("ok", Boolean),
    ]);
    let lines = [
        "1,plain,10,1.50,2024-01-01 00:00:00,true",
        "2,\"with, comma\",20,2,2024-01-01 00:00:00.123,false",
        "3,\"say \"\"hi\"\"\",30,-3.25,\"2024-01-01 10:00:00\",TRUE\r\n",
        "4,,40,0,2024-01-01 00:00:00,false\n",
        "5,\"\",50,100000.00,2024-12-31 23:59:59.999,true",
        "6,  spaces , 60 ,6.60,2024-01-01 00:00:00,false",
        "7,日本 ü,70,7.777,2024-01-01 00:00:00,true",
    ];
    let expected = [
        r#"[1,"plain",10,1.5,"2024-01-01 00:00:00",true]"#,
        r#"[2,"with, comma",20,2.0,"2024-01-01 00:00:00.123",false]"#,
        r#"[3,"say \"hi\"",30,-3.25,"2024-01-01 10:00:00",true]"#,
        r#"[4,"",40,0.0,"2024-01-01 00:00:00",false]"#,
        r#"[5,"",50,100000.0,"2024-12-31 23:59:59.999",true]"#,
        r#"[6,"  spaces ",60,6.6,"2024-01-01 00:00:00",false]"#,
        r#"[7,"日本 ü",70,7.78,"2024-01-01 00:00:00",true]"#,
    ];
    assert_eq!(read(&schema, &[], &lines).unwrap(), expected);
}

#[test]
fn collections_use_the_element_delimiter() {
    let position: Fields = vec![Field::new("x", Int32, true), Field::new("y", Int32, true)].into();
    let tags = DataType::List(Arc::new(Field::new("item", Utf8, true)));
    let schema = schema(&[("id", Int32), ("tags", tags), ("pos", DataType::Struct(position))]);
    let pipe = [("csv.array-element-delimiter", "|")];
    let lines = ["1,a|b|c,1|2", "2,solo,3|4", "3,,"];
    let expected = [r#"[1,["a","b","c"],{"x":1,"y":2}]"#, r#"[2,["solo"],{"x":3,"y":4}]"#, r#"[3,[],null]"#];
    assert_eq!(read(&schema, &pipe, &lines).unwrap(), expected);
    assert!(read(&schema, &pipe, &["1,a,1"]).unwrap_err().to_string().contains("2 fields expected but was 1"));
    let mut decoder = format("csv", &pipe).decoder(schema.clone()).unwrap();
    decoder.decode(b"1,a|b,1|2").unwrap();
    let mut out = Messages::new();
    format("csv", &[]).encoder(schema).unwrap().encode(&decoder.take().unwrap(), &mut out).unwrap();
    assert_eq!(out.get(0).unwrap(), b"1,a;b,1;2");
}

#[test]
fn bad_fields_become_null_and_short_lines_are_filled() {
    let schema = schema(&[("id", Int32), ("n", Int32), ("d", Date32), ("s", Utf8)]);
    let lines = [
        "1,10,2024-01-01,fine",
        "2,ten,2024-01-01,bad number",
        "3,30,soon,bad date",
        "4,40",
        "five,50,2024-01-05,bad id",
        "6,,,",
        "7,1,2024-01-01,too,many",
        "8,\"open",
    ];
    let expected = [
        r#"[1,10,"2024-01-01","fine"]"#,
        r#"[2,null,"2024-01-01","bad number"]"#,
        r#"[3,30,null,"bad date"]"#,
        r#"[4,40,null,null]"#,
        r#"[null,50,"2024-01-05","bad id"]"#,
        r#"[6,null,null,""]"#,
    ];
    let mut decoder = format("csv", &[("csv.ignore-parse-errors", "true")]).decoder(schema.clone()).unwrap();
    for line in lines {
        decoder.decode(line.as_bytes()).unwrap();
    }
    assert_eq!(decoder.skipped(), 2);
    assert_eq!(rows(&schema, decoder.as_mut()), expected);
}

#[test]
fn empty_text_as_null_and_trimmed_blanks() {
    let schema = schema(&[("id", Int32), ("s", Utf8), ("n", Int32), ("b", Boolean), ("d", Date32)]);
    let lines = [
        "1,a,1,true,2024-01-01",
        "2,,,,",
        "3,\"\", 3 , false , 2024-01-03 ",
        "4,  x  ,\"4\",true,2024-01-04",
        "5,\"  y \",5,TRUE,",
    ];
    let expected = [
        r#"[1,"a",1,true,"2024-01-01"]"#,
        r#"[2,null,null,null,null]"#,
        r#"[3,null,3,false,"2024-01-03"]"#,
        r#"[4,"x",4,true,"2024-01-04"]"#,
        r#"[5,"  y ",5,true,null]"#,
    ];
    let options = [("csv.empty-string-as-null", "true"), ("csv.trim-spaces", "true")];
    assert_eq!(read(&schema, &options, &lines).unwrap(), expected);
}

#[test]
fn delimiter_quote_null_literal_and_comments() {
    let schema = schema(&[("id", Int32), ("s", Utf8), ("n", Int32), ("dbl", Float64)]);
    let options = [
        ("csv.field-delimiter", ";"),
        ("csv.quote-character", "'"),
        ("csv.null-literal", "n/a"),
        ("csv.allow-comments", "true"),
    ];
    let lines = [
        "# id;text;n;dbl",
        "1;one;1;0.5",
        "2;n/a;2;n/a",
        "3;'a;b';n/a;1e3",
        "# in between",
        "4;'it''s';-4;-0.0",
        "5;a,b;5;7",
    ];
    let expected = [
        "[1,\"one\",1,0.5]",
        "[2,null,2,null]",
        "[3,\"a;b\",null,1000.0]",
        "[4,\"it's\",-4,-0.0]",
        "[5,\"a,b\",5,7.0]",
    ];
    assert_eq!(read(&schema, &options, &lines).unwrap(), expected);
}

#[test]
fn an_empty_boolean_is_false_and_so_is_any_other_word() {
    let schema = schema(&[("id", Int32), ("b", Boolean)]);
    let expected = ["[1,true]", "[2,false]", "[3,false]", "[4,true]"];
    assert_eq!(read(&schema, &[], &["1,true", "2,", "3,yes", "4,TRUE"]).unwrap(), expected);
}

#[test]
fn lines_of_the_wrong_length() {
    let schema = schema(&[("id", Int32), ("s", Utf8), ("n", Int32)]);
    let error = |pairs: &[(&str, &str)], line: &str| read(&schema, pairs, &[line]).unwrap_err().to_string();
    assert!(error(&[], "2,b").contains("Row length mismatch. 3 fields expected but was 2"));
    assert!(error(&[], "\n").contains("3 fields expected but was 1"));
    assert!(error(&[], "2,b,3,4").contains("Too many entries: expected at most 3"));
    assert!(error(&[("csv.allow-trailing-comma", "false")], "2,b,3,").contains("Too many entries"));
    assert_eq!(read(&schema, &[], &["", "2,b,3,"]).unwrap(), ["[2,\"b\",3]"]);
    assert_eq!(read(&schema, &[("csv.ignore-trailing-unmappable", "true")], &["2,b,3,4"]).unwrap(), ["[2,\"b\",3]"]);
    let strict = [("csv.fail-on-missing-columns", "true"), ("csv.ignore-parse-errors", "true")];
    assert_eq!(read(&schema, &strict, &["2,b", "2,b,3"]).unwrap(), ["[2,\"b\",3]"]);
}

#[test]
fn a_bad_line_leaves_no_trace() {
    let schema = schema(&[("id", Int32), ("s", Utf8), ("n", Int32)]);
    let mut decoder = format("csv", &[]).decoder(schema.clone()).unwrap();
    decoder.decode(b"1,a,1").unwrap();
    for bad in ["2,b,x", "2,\"b\"c,1", "2,b", "2,\"b", "2,b\n3,c,3"] {
        let error = decoder.decode(bad.as_bytes()).unwrap_err();
        assert!(error.to_string().starts_with("Failed to deserialize CSV row '2,"), "{error}");
        assert!(error.hint().unwrap().contains("csv.ignore-parse-errors"));
    }
    decoder.decode(b"3,c,3").unwrap();
    assert_eq!(rows(&schema, decoder.as_mut()), ["[1,\"a\",1]", "[3,\"c\",3]"]);
}

#[test]
fn escapes_and_disabled_quotes() {
    let schema = schema(&[("a", Utf8), ("b", Utf8)]);
    let escape = [("csv.escape-character", "\\")];
    assert_eq!(read(&schema, &escape, &[r#"a\,b,"c\"d\n""#]).unwrap(), [r#"["a,b","c\"d\n"]"#]);
    assert!(read(&schema, &escape, &["a,b\\"]).is_err());
    assert_eq!(read(&schema, &[("csv.disable-quote-character", "true")], &["\"a,b\""]).unwrap(), [r#"["\"a","b\""]"#]);
    assert_eq!(read(&schema, &[("csv.field-delimiter", "\\t")], &["a\tb"]).unwrap(), [r#"["a","b"]"#]);
    let both = [("csv.disable-quote-character", "true"), ("csv.quote-character", "'")];
    let values: BTreeMap<String, String> = both.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let values = values.into_iter().chain([("format".to_string(), "csv".to_string())]).collect();
    assert!(create(&Options::check("test", &values, specs("")).unwrap(), "").is_err());
}

fn write(pairs: &[(&str, &str)], schema: &SchemaRef, json: &[&str]) -> Vec<String> {
    let mut decoder = format("json", &[]).decoder(schema.clone()).unwrap();
    for line in json {
        decoder.decode(line.as_bytes()).unwrap();
    }
    let mut out = Messages::new();
    let encoder = format("csv", pairs).encoder(schema.clone());
    encoder.unwrap().encode(&decoder.take().unwrap(), &mut out).unwrap();
    out.iter().map(|m| String::from_utf8(m.to_vec()).unwrap()).collect()
}

#[test]
fn lines_are_written_with_quotes_where_flink_puts_them() {
    let schema = schema(&[
        ("id", Int32),
        ("txt", Utf8),
        ("price", Decimal128(10, 2)),
        ("qty", Float64),
        ("ts", millis()),
        ("d", Date32),
        ("flag", Boolean),
    ]);
    let json = [
        r#"{"id": 1, "txt": "a,b", "price": 3.5, "qty": 0.5, "ts": "2024-03-01 09:00:01", "d": "2024-03-01", "flag": false}"#,
        r#"{"id": 2, "txt": "say \"x\"", "price": 4.2}"#,
        r#"{"id": 3, "txt": " pad ", "qty": 1}"#,
        r#"{"id": 4, "txt": "Brötchen", "price": 1.00}"#,
        r#"{"id": 6, "txt": "", "price": 100000}"#,
        r#"{"id": 7, "txt": "exactly_24_characters_öö", "price": -0.01}"#,
        r#"{"id": 8, "txt": "more_than_24_characters__", "flag": true}"#,
    ];
    let expected = [
        "1,\"a,b\",3.5,0.5,\"2024-03-01 09:00:01\",2024-03-01,false",
        "2,\"say \"\"x\"\"\",4.2,,,,",
        "3,\" pad \",,1.0,,,",
        "4,Brötchen,1,,,,",
        "6,,\"1E+5\",,,,",
        "7,exactly_24_characters_öö,-0.01,,,,",
        "8,\"more_than_24_characters__\",,,,,true",
    ];
    assert_eq!(write(&[], &schema, &json), expected);
}

#[test]
fn writing_options() {
    let schema = schema(&[("a", Utf8), ("b", Decimal128(10, 3)), ("c", Boolean)]);
    let json = [r#"{"a": "abc", "b": 100000, "c": false}"#, r#"{"a": "x'\\"}"#];
    let options = [
        ("csv.field-delimiter", ";"),
        ("csv.quote-character", "'"),
        ("csv.escape-character", "\\"),
        ("csv.null-literal", "n/a"),
    ];
    // The first line is that of Flink's own CsvFormatFactoryTest.
    assert_eq!(write(&options, &schema, &json), ["abc;'1E+5';false", "'x''\\\\';n/a;n/a"]);
    let plain = [("csv.write-bigdecimal-in-scientific-notation", "false"), ("csv.disable-quote-character", "true")];
    assert_eq!(write(&plain, &schema, &json), ["abc,100000,false", "x'\\,,"]);
}

#[test]
fn maps_and_nested_collections_are_refused() {
    let inner = DataType::List(Arc::new(Field::new("item", Utf8, true)));
    let nested = DataType::List(Arc::new(Field::new("item", inner, true)));
    assert!(format("csv", &[]).decoder(schema(&[("a", nested.clone())])).is_err());
    assert!(format("csv", &[]).encoder(schema(&[("a", nested)])).is_err());
}

#[test]
fn random_bytes_never_panic_and_written_lines_read_back() {
    let schema = schema(&[("id", Int32), ("s", Utf8), ("t", Utf8), ("d", Date32)]);
    let mut random = StdRng::seed_from_u64(5);
    let bytes = b",\"'\\\n\r #;aZ01-\xc3\xa4";
    for pairs in
        [&[][..], &[("csv.escape-character", "\\")], &[("csv.trim-spaces", "true"), ("csv.allow-comments", "true")]]
    {
        let format = format("csv", pairs);
        let mut decoder = format.decoder(schema.clone()).unwrap();
        for _ in 0..20_000 {
            let line: Vec<u8> =
                (0..random.random_range(0..24)).map(|_| bytes[random.random_range(0..bytes.len())]).collect();
            drop(decoder.decode(&line));
            assert!(format.framing().first_message(&line).is_none_or(|end| end <= line.len()));
        }
        drop(decoder.take().unwrap());
        for _ in 0..2000 {
            let word = |random: &mut StdRng| -> String {
                let letters = [",", "\"", "\\", " ", "a", "ü", "\n", "#", "😀"];
                (0..random.random_range(0..30)).map(|_| letters[random.random_range(0..letters.len())]).collect()
            };
            let row = serde_json::json!({"id": 1, "s": word(&mut random), "t": word(&mut random), "d": "2024-01-01"});
            let line = write(pairs, &schema, &[&row.to_string()]).remove(0) + "\n";
            assert_eq!(format.framing().first_message(line.as_bytes()), Some(line.len()), "{line}");
            decoder.decode(line.as_bytes()).unwrap();
            let expected = serde_json::to_string(&row.as_object().unwrap().values().collect::<Vec<_>>()).unwrap();
            assert_eq!(rows(&schema, decoder.as_mut()), [expected], "{line}");
        }
    }
}
