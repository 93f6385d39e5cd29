//! Every SQL type through psycopg 3 (text and binary) and asyncpg (binary): least and largest values, NULL, and arrays of them.

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
  ('DATE', [("'0001-01-01'", dt.date(1, 1, 1)), ("'9999-12-31'", dt.date(9999, 12, 31))]),
  ('TIME', [("'00:00:00'", dt.time(0)), ("'23:59:59'", dt.time(23, 59, 59))]),
  ('TIMESTAMP(3)', [("'1969-12-31 23:59:59.999'", ts), ("'9999-12-31 23:59:59.999'", late)]),
  ('TIMESTAMP(6)', [("'1969-12-31 23:59:59.999001'", ts.replace(microsecond=999001))]),
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
  ("ARRAY[CAST(ROW(1) AS ROW<n INT>)]", [{'n': 1}])]
queries.append(('jsonb', 'SELECT ' + ', '.join(q for q, _ in JSON), [v for _, v in JSON]))
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
    assert_eq!(Server::start().python(SCRIPT), "20");
}
