//! Every SQL type through psycopg 3 (text and binary), asyncpg (binary) and JDBC (text and binary): least and largest
//! values, NULL, and arrays of them.

use eddyline_tests::server::Server;

/// Reads each type as two values, NULL, and an array of the three; then what is shown as `jsonb`.
const SCRIPT: &str = r##"
import os, asyncio, asyncpg, psycopg, datetime as dt, decimal, json
D = decimal.Decimal; utc = dt.timezone.utc
ts = dt.datetime(1969, 12, 31, 23, 59, 59, 999000); late = dt.datetime(9999, 12, 31, 23, 59, 59, 999000)
CASES = [
  # type, (literal, value) …
  ('TINYINT', [('-128', -128), ('127', 127)]),
  ('SMALLINT', [('-32768', -32768), ('32767', 32767)]),
  ('INT', [('-2147483648', -2147483648), ('2147483647', 2147483647)]),
  ('BIGINT', [('-9223372036854775807', -9223372036854775807), ('9223372036854775807', 9223372036854775807)]),
  ('FLOAT', [('-1.5', -1.5), ('16777216', 16777216.0)]),
  ('DOUBLE', [('-1.0E300', -1e300), ('0.1', 0.1)]),
  ('DECIMAL(38, 18)', [("'-12345678901234567890.123456789012345678'", D('-12345678901234567890.123456789012345678')),
                       ("'0.000000000000000001'", D('0.000000000000000001'))]),
  ('DECIMAL(10, 0)', [("'10000'", D('10000')), ("'0'", D('0'))]),
  ('BOOLEAN', [('TRUE', True), ('FALSE', False)]),
  ('CHAR(3)', [("'abc'", 'abc'), ("'søt'", 'søt')]),
  ('VARCHAR(10)', [("''", ''), ("'a,b\"{}'", 'a,b"{}')]),
  ('STRING', [("'NULL'", 'NULL'), ("'a\nb\\\\'", 'a\nb\\\\')]),
  ('BYTES', [("X''", b''), ("X'00ff5c'", b'\x00\xff\\')]),
  ('BINARY(2)', [("X'00ff'", b'\x00\xff')]),
  ('VARBINARY(3)', [("X'00ff'", b'\x00\xff'), ("X''", b'')]),
  ('DATE', [("'0001-01-01'", dt.date(1, 1, 1)), ("'9999-12-31'", dt.date(9999, 12, 31))]),
  ('TIME(3)', [("'23:59:59.999'", dt.time(23, 59, 59, 999000))]),
  ('TIME', [("'00:00:00'", dt.time(0)), ("'23:59:59'", dt.time(23, 59, 59))]),
  ('TIMESTAMP(3)', [("'1969-12-31 23:59:59.999'", ts), ("'9999-12-31 23:59:59.999'", late)]),
  ('TIMESTAMP(6)', [("'1969-12-31 23:59:59.999001'", ts.replace(microsecond=999001))]),
  ('TIMESTAMP(0)', [("'1969-12-31 23:59:59'", ts.replace(microsecond=0))]),
  # PostgreSQL has microseconds; what is beyond them is cut off.
  ('TIMESTAMP(9)', [("'1969-12-31 23:59:59.123456789'", ts.replace(microsecond=123456)),
                    ("'2020-10-10 08:15:00.999999999'", dt.datetime(2020, 10, 10, 8, 15, 0, 999999))]),
  ('TIMESTAMP_LTZ(9)', [("'1969-12-31 23:59:59.123456789'", ts.replace(microsecond=123456, tzinfo=utc)),
                        ("'2020-10-10 08:15:00.999999999'", dt.datetime(2020, 10, 10, 8, 15, 0, 999999, utc))]),
  ('TIMESTAMP_LTZ(3)', [("'1969-12-31 23:59:59.999'", ts.replace(tzinfo=utc)), ("'9999-12-31 23:59:59.999'", late.replace(tzinfo=utc))]),
]
queries = []
for kind, values in CASES:
    casts = [f'CAST({text} AS {kind})' for text, _ in values]
    null = f'CAST(NULL AS {kind})'
    plain = [v for _, v in values]
    query = f"SELECT {', '.join(casts)}, {null}, ARRAY[{', '.join(casts + [null])}]"
    queries.append((kind, query, plain + [None, plain + [None]]))
queries.append(('INTERVAL',
  "SELECT INTERVAL '-1 02:03:04.5' DAY TO SECOND, ARRAY[INTERVAL '1' DAY, INTERVAL '2' DAY]",
  [-dt.timedelta(days=1, hours=2, minutes=3, seconds=4, milliseconds=500), [dt.timedelta(days=1), dt.timedelta(days=2)]]))
JSON = [
  ("ARRAY[ARRAY[1, 2], ARRAY[3]]", [[1, 2], [3]]),
  ("MAP['a', 1, 'b', CAST(NULL AS INT)]", {'a': 1, 'b': None}),
  ("CAST(ROW(1, 'x', CAST(NULL AS STRING)) AS ROW<n INT, s STRING, z STRING>)", {'n': 1, 's': 'x', 'z': None}),
  ("ARRAY[CAST(ROW(1) AS ROW<n INT>)]", [{'n': 1}]),
  ("MAP[1, ARRAY['x']]", {'1': ['x']}),
  ("CAST(ROW(CAST('12.50' AS DECIMAL(10, 2)), TRUE, CAST(1.5 AS DOUBLE)) AS ROW<d DECIMAL(10, 2), b BOOLEAN, f DOUBLE>)",
   {'d': 12.5, 'b': True, 'f': 1.5}),
  ("MAP['t', CAST('2020-10-10 08:15:00.123456789' AS TIMESTAMP(9))]", {'t': '2020-10-10 08:15:00.123456'}),
  ("CAST(NULL AS MAP<STRING, INT>)", None)]
queries.append(('jsonb', 'SELECT ' + ', '.join(q for q, _ in JSON), [v for _, v in JSON]))
queries.append(('jsonb', "SELECT COLLECT(a), COLLECT(b) FROM (VALUES ('x', 1), ('y', 2), ('x', 2)) AS t (a, b)",
  [{'x': 2, 'y': 1}, {'1': 1, '2': 2}]))
def check(who, kind, got, wanted):
    for g, w in zip(got, wanted, strict=True):
        if kind == 'jsonb' and isinstance(g, str): g = json.loads(g)
        assert g == w and type(g) == type(w), (who, kind, g, w)
with psycopg.connect(host='127.0.0.1', port=os.environ['PORT'], user='ada', autocommit=True) as c:
    for binary in (True, False):
        for kind, query, wanted in queries:
            check(f'psycopg, binary {binary}', kind, c.cursor(binary=binary).execute(query).fetchone(), wanted)
async def main():
    c = await asyncpg.connect(host='127.0.0.1', port=os.environ['PORT'], user='ada')
    for kind, query, wanted in queries:
        check('asyncpg', kind, list(await c.fetchrow(query)), wanted)
asyncio.run(main())
print(len(queries))
"##;

#[test]
fn every_type_is_read_by_psycopg_and_asyncpg_in_text_and_binary() {
    assert_eq!(Server::start().python(SCRIPT), "27");
}

/// What JDBC reads of each type, the same in text and in binary: SQL, name of the type, value.
const READ_BY_JDBC: &str = r#"
CAST(-128 AS TINYINT)|int2|-128
CAST(-32768 AS SMALLINT)|int2|-32768
-2147483648|int4|-2147483648
CAST(9223372036854775807 AS BIGINT)|int8|9223372036854775807
CAST(-1.5 AS FLOAT)|float4|-1.5
CAST(0.1 AS DOUBLE)|float8|0.1
CAST('-12345678901234567890.123456789012345678' AS DECIMAL(38, 18))|numeric|-12345678901234567890.123456789012345678
TRUE|bool|true
CAST('søt' AS CHAR(3))|text|søt
CAST('a,b' AS VARCHAR(10))|text|a,b
CAST('NULL' AS STRING)|text|NULL
CAST(X'00ff' AS BINARY(2))|bytea|00ff
CAST(X'00ff5c' AS VARBINARY(3))|bytea|00ff5c
X'5c00'|bytea|5c00
DATE '0001-01-01'|date|0001-01-01
TIME '23:59:59'|time|23:59:59
TIMESTAMP '1969-12-31 23:59:59.999'|timestamp|1969-12-31T23:59:59.999
CAST('1969-12-31 23:59:59.123456789' AS TIMESTAMP(9))|timestamp|1969-12-31T23:59:59.123456
CAST('2020-10-10 08:15:00.999999999' AS TIMESTAMP_LTZ(9))|timestamptz|2020-10-10T08:15:00.999999Z
INTERVAL '1 02:03:04.5' DAY TO SECOND|interval|1 day 02:03:04.5
INTERVAL '1-2' YEAR TO MONTH|interval|1 year 2 mons
ARRAY[CAST(1 AS SMALLINT), NULL]|_int2|[1, null]
ARRAY[1, NULL]|_int4|[1, null]
ARRAY[CAST(1 AS BIGINT), NULL]|_int8|[1, null]
ARRAY[CAST(1.5 AS FLOAT), NULL]|_float4|[1.5, null]
ARRAY[CAST(0.1 AS DOUBLE), NULL]|_float8|[0.1, null]
ARRAY[CAST('1.50' AS DECIMAL(10, 2)), NULL]|_numeric|[1.50, null]
ARRAY[TRUE, FALSE, CAST(NULL AS BOOLEAN)]|_bool|[true, false, null]
ARRAY['a b', 'c"d', 'NULL', CAST(NULL AS STRING)]|_text|[a b, c"d, NULL, null]
ARRAY[CAST('a' AS VARCHAR(3)), CAST(NULL AS VARCHAR(3))]|_text|[a, null]
ARRAY[X'00ff', X'']|_bytea|[00ff, ]
ARRAY[DATE '2020-10-10', CAST(NULL AS DATE)]|_date|[2020-10-10, null]
ARRAY[CAST('2020-10-10 08:15:00.123456789' AS TIMESTAMP(9))]|_timestamp|[2020-10-10 08:15:00.123456]
ARRAY[ARRAY[1, 2], ARRAY[3]]|jsonb|[[1,2],[3]]
MAP['k', 1]|jsonb|{"k":1}
CAST(ROW(1, 'x') AS ROW<n INT, s STRING>)|jsonb|{"n":1,"s":"x"}
CAST(NULL AS TIMESTAMP(3))|timestamp|null
"#;

#[test]
fn every_type_is_read_by_jdbc_in_text_and_binary() {
    let read = Server::start().java(concat!(env!("CARGO_MANIFEST_DIR"), "/services/jdbc/Types.java"));
    let of = |form: &str| read.lines().filter_map(|line| line.strip_prefix(form)).collect::<Vec<_>>().join("\n");
    assert_eq!(of("text|"), READ_BY_JDBC.trim());
    assert_eq!(of("binary|"), READ_BY_JDBC.trim());
}
