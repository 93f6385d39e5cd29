//! Drivers: psycopg 3, asyncpg, SQLAlchemy, JDBC.

use eddyline_tests::server::Server;

use super::{TABLES, VALUES};

const CONNECT: &str = "
import os, sys
port = os.environ['PORT']
def same(a, b):
    assert a == b, f'{a!r} is not {b!r}'
";

/// What a driver should make of [`VALUES`]; `js` makes JSON out of what it gives for `jsonb`.
const EXPECTED: &str = "
import datetime as dt, decimal, json
utc = dt.timezone.utc
EXPECTED = [1, -2, 3, -4000000000, 1.5, -2.5, decimal.Decimal('-1234.50'), True, 'ab', 'abc', 'søt', b'\\x00\\xff\\x10',
  dt.date(2020, 10, 10), dt.time(8, 15, 1), dt.datetime(2020, 10, 10, 8, 15, 0, 123000),
  dt.datetime(2020, 10, 10, 8, 15, 0, 123000, utc), dt.timedelta(days=1, hours=2, minutes=3, seconds=4),
  dt.timedelta(days=365 + 60), [1, 2, 3], ['a', 'b c', 'd\"e'], {'k': 1}, {'n': 1, 's': 'x'}, None, decimal.Decimal('0.00')]
";

#[test]
fn psycopg_reads_every_type_in_both_forms_and_binds_parameters() {
    let server = Server::start();
    server.psql(TABLES);
    let script = format!(
        "{CONNECT}{EXPECTED}
import psycopg
with psycopg.connect(host='127.0.0.1', port=port, user='ada', dbname='default_catalog', autocommit=True) as c:
    for binary in (False, True):
        row = c.cursor(binary=binary).execute(r'''{VALUES}''').fetchone()
        for got, wanted in zip(row, EXPECTED, strict=True):
            same(got, wanted)
    for value in (7, 5_000_000_000, 'it''s \"x\"; --', b'\\x00\\x01', decimal.Decimal('-1.250'), True, 2.25,
                  dt.date(1999, 12, 31), dt.datetime(1969, 1, 1, 1, 2, 3, 456789),
                  dt.datetime(2024, 2, 29, 12, 0, 0, 1, utc)):
        for binary in (False, True):
            same(c.cursor(binary=binary).execute('SELECT %b' if binary else 'SELECT %t', [value]).fetchone()[0], value)
    same(c.execute('SELECT a FROM (VALUES (1), (2)) AS t (a) WHERE a >= %s', [2]).fetchall(), [(2,)])
    same(c.execute('SELECT CAST(%s AS INT)', [None]).fetchone(), (None,))
    # Each connection has a number of its own.
    with psycopg.connect(host='127.0.0.1', port=port, user='ada', autocommit=True) as other:
        numbers = [one.execute('SELECT pg_backend_pid()').fetchone()[0] for one in (c, other)]
        same(numbers, [c.info.backend_pid, other.info.backend_pid])
        assert numbers[0] != numbers[1], numbers
    # Parameters stay when what they stand in falls away.
    same(c.execute('SELECT * FROM pg_partition_tree(%s)', ['ticks']).fetchall(), [])
    same(c.execute('SELECT array_to_string(relacl, %s) FROM pg_class LIMIT 1', [',']).fetchone(), (None,))
    try:
        c.execute('SELECT nothing FROM ticks')
        assert False
    except psycopg.errors.UndefinedColumn as e:
        same(e.diag.statement_position, '8')
print('ok')"
    );
    assert_eq!(server.python(&script), "ok");
}

#[test]
fn psycopg_reads_an_endless_query_through_a_cursor_and_cancels_one() {
    let server = Server::start();
    server.psql(TABLES);
    let script = format!(
        "{CONNECT}
import psycopg, threading
with psycopg.connect(host='127.0.0.1', port=port, user='ada', dbname='default_catalog') as c:
    with c.cursor('counting') as cursor:
        cursor.execute('SELECT k, COUNT(*) FROM ticks WHERE k >= %s GROUP BY k', [1])
        same([d.name for d in cursor.description], ['op', 'k', 'EXPR$1'])
        seen = []
        while len(seen) < 20:
            seen += cursor.fetchmany(5)
        assert {{row[0] for row in seen}} >= {{'+I', '+U'}}, seen
    c.commit()
    c.autocommit = True
    stop = threading.Event()
    def cancel():
        while not stop.is_set():
            c.cancel_safe()
    canceller = threading.Thread(target=cancel)
    canceller.start()
    try:
        c.execute('SELECT k FROM ticks')
        assert False
    except psycopg.errors.QueryCanceled:
        pass
    finally:
        stop.set()
        canceller.join()
    for attempt in range(100):
        try:
            same(c.execute('SELECT 1').fetchone(), (1,))
            break
        except psycopg.errors.QueryCanceled:
            pass  # the last cancel request was still under way
print('ok')"
    );
    assert_eq!(server.python(&script), "ok");
}

#[test]
fn asyncpg_infers_parameters_and_reads_binary() {
    let server = Server::start();
    server.psql(TABLES);
    let script = format!(
        "{CONNECT}{EXPECTED}
import asyncio, asyncpg
async def main():
    c = await asyncpg.connect(host='127.0.0.1', port=port, user='ada', database='default_catalog')
    row = await c.fetchrow(r'''{VALUES}''')
    for (name, got), wanted in zip(row.items(), EXPECTED, strict=True):
        if name in 'uv':
            got = json.loads(got)
        if name == 'r':
            wanted = dt.timedelta(days=14 * 30 + 5) if got == dt.timedelta(days=14 * 30 + 5) else wanted
        same(got, wanted)
    rows = await c.fetch('SELECT a, b FROM (VALUES (1, \\'x\\'), (2, \\'y\\')) AS t (a, b) WHERE a > $1 AND b = $2', 1, 'y')
    same([tuple(r) for r in rows], [(2, 'y')])
    same(await c.fetchval('SELECT CAST($1 AS DECIMAL(10, 3))', decimal.Decimal('1.250')), decimal.Decimal('1.250'))
    async with c.transaction():
        cursor = await c.cursor('SELECT k FROM ticks')
        same(len(await cursor.fetch(3)) in (1, 2, 3), True)
    await c.execute('CREATE TABLE made (a INT) WITH (\\'connector\\' = \\'blackhole\\')')
    pool = await asyncpg.create_pool(host='127.0.0.1', port=port, user='ada', min_size=2, max_size=4)
    async def one(i):
        return await pool.fetchval('SELECT CAST($1 AS INT)', i)
    same(await asyncio.gather(*[one(i) for i in range(20)]), list(range(20)))
    await pool.close()
    await c.close()
asyncio.run(main())
print('ok')"
    );
    assert_eq!(server.python(&script), "ok");
    assert!(server.psql("SHOW TABLES").contains("made"));
}

#[test]
fn sqlalchemy_reflects_tables_and_runs_statements() {
    let server = Server::start();
    server.psql(TABLES);
    server.psql("CREATE MATERIALIZED VIEW per_k AS SELECT k, COUNT(*) AS n FROM odd GROUP BY k");
    let script = format!(
        "{CONNECT}
import sqlalchemy as sa
engine = sa.create_engine(f'postgresql+psycopg://ada@127.0.0.1:{{port}}/default_catalog')
inspector = sa.inspect(engine)
same(sorted(inspector.get_table_names()), ['counts', 'ticks'])
same((inspector.get_view_names(), inspector.get_materialized_view_names()), (['odd'], ['per_k']))
same([(c['name'], str(c['type'])) for c in inspector.get_columns('per_k')], [('k', 'BIGINT'), ('n', 'BIGINT')])
same(inspector.get_view_definition('per_k'), 'SELECT k, COUNT(*) AS n FROM odd GROUP BY k;')
columns = {{c['name']: (str(c['type']), c['nullable']) for c in inspector.get_columns('counts')}}
same(columns['k'], ('BIGINT', False))
same(columns['n'][1], True)
same(columns['seen'][0], 'TIMESTAMP')
key = inspector.get_pk_constraint('counts')
same((key['name'], key['constrained_columns']), ('counts_pkey', ['k']))
same(inspector.get_pk_constraint('ticks')['constrained_columns'], [])
same((inspector.get_indexes('counts'), inspector.get_foreign_keys('counts')), ([], []))
same(inspector.get_schema_names(), ['public'])
table = sa.Table('ticks', sa.MetaData(), autoload_with=engine)
same([c.name for c in table.columns], ['k', 'name'])
with engine.connect() as c:
    same(c.execute(sa.text('SELECT a FROM (VALUES (1), (2)) AS t (a) WHERE a = :a'), {{'a': 2}}).scalar(), 2)
print('ok')"
    );
    assert_eq!(server.python(&script), "ok");
}

#[test]
fn jdbc_looks_at_the_catalog_reads_pages_cancels_and_knows_where_errors_are() {
    let server = Server::start();
    server.psql(TABLES);
    let two = "CREATE TABLE two (a INT, b STRING, c INT, CONSTRAINT two_key PRIMARY KEY (b, a) NOT ENFORCED)";
    server.psql(&format!("{two} WITH ('connector' = 'blackhole')"));
    server.psql("CREATE MATERIALIZED VIEW per_k AS SELECT k, COUNT(*) AS n FROM odd GROUP BY k");
    let said = server.java(concat!(env!("CARGO_MANIFEST_DIR"), "/services/jdbc/Probe.java"));
    for line in [
        "product PostgreSQL",
        "TABLE counts",
        "VIEW odd",
        "MATERIALIZED VIEW per_k",
        "column k int8 NO",
        "column n numeric YES",
        "column seen timestamptz YES",
        "key two b 1 two_key",
        "key two a 2 two_key",
        "index two two_key b 1 unique",
        "index two two_key a 2 unique",
        "keys of ticks 0",
        "pages 25",
        "cancelled 57014",
        "error 42703 8",
    ] {
        assert!(said.lines().any(|l| l == line), "'{line}' is missing in:\n{said}");
    }
    assert_eq!(said.matches("values 42 it's 12.50 [1, 2]").count(), 7, "{said}");
}
